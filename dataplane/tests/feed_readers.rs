//! The feed at the gateway's own port: open where the control port asks nobody, and for nobody to publish on.
#![allow(clippy::unwrap_used, dead_code)]

mod proxy;
mod websocket;

use proxy::{Proxy, until};
use ringway_shared::config::{Config, ControlToken, Namespace, Publishers, Scope};
use ringway_shared::feed::Feed;
use ringway_shared::push::{Answer, Ask, Refusal, Who};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use websocket::{Client, publication, publish, push, subscribe};

fn listens(config: &mut Config) {
    config.websocket.listen = vec!["127.0.0.1:0".parse().unwrap()];
    // Whatever namespaces say.
    let all = Namespace {
        publish: Publishers::Anyone,
        presence: true,
        history_size: 10,
        history_ttl: Duration::from_secs(60),
        ..Namespace::default()
    };
    config.websocket.namespaces = [all].into();
}

fn asks_for_tokens(config: &mut Config) {
    listens(config);
    let token = ControlToken { name: "ops".into(), scope: Scope::Read, digest: [0; 32] };
    config.control.tokens = [token].into();
}

#[test]
fn on_loopback_without_tokens_it_is_open() {
    let proxy = Proxy::try_start(2, listens).unwrap();
    let mut clients: Vec<_> = (0..4).map(|_| Client::at_gateway(&proxy, "").upgraded()).collect();
    for client in &mut clients {
        assert_eq!(client.subscribe("alerts"), json!({"type": "subscribed", "topic": "alerts"}));
    }
    let readers = || -> u64 {
        proxy.cells.iter().map(|cells| cells.websocket.feed_subscriptions[Feed::Alerts as usize].get()).sum()
    };
    until(|| (readers() == 4).then_some(()));
    publish(&proxy, Feed::Alerts, &json!([1]));
    for client in &mut clients {
        assert_eq!(client.hear(), json!({"type": "message", "topic": "alerts", "data": [1]}));
    }
}

#[test]
fn with_tokens_and_for_foreign_pages_and_proxies_it_is_closed() {
    let open = Proxy::start(listens);
    let asking = Proxy::start(asks_for_tokens);
    let deaf = Proxy::start(|config| {
        listens(config);
        config.control.listen = Vec::new();
    });
    let own = open.workers.websocket_addresses()[0];
    for (proxy, more) in [
        (&asking, ""),
        (&deaf, ""),
        (&open, "X-Forwarded-For: 203.0.113.7\r\n"),
        (&open, "Via: 1.1 front\r\n"),
    ] {
        let mut client = Client::at_gateway(proxy, more).upgraded();
        for feed in Feed::ALL {
            assert!(client.denied(&subscribe(feed.topic())).contains("control port's /ws"), "{more}");
        }
        assert_eq!(client.subscribe("news")["type"], "subscribed");
    }
    drop((asking, deaf));
    // The host of the request is 127.0.0.1:9003.
    let mut same = Client::at_gateway(&open, "Origin: http://127.0.0.1:9003\r\n").upgraded();
    assert_eq!(same.subscribe("alerts")["type"], "subscribed", "{own}");
}

#[test]
fn listed_pages_of_elsewhere_come_in_and_do_not_read_the_feed() {
    let proxy = Proxy::start(|config| {
        listens(config);
        config.websocket.admission.allowed_origins = vec![ringway_shared::config::AllowedOrigin::Any];
    });
    let mut page = Client::at_gateway(&proxy, "Origin: https://app.example\r\n").upgraded();
    page.denied(&subscribe("traffic_data"));
    assert_eq!(page.subscribe("news")["type"], "subscribed");
}

#[test]
fn nobody_publishes_there_or_asks_who_is_there_or_what_was() {
    let proxy = Proxy::start(listens);
    let mut client = Client::at_gateway(&proxy, "").upgraded();
    client.subscribe("alerts");
    client.denied(&publication("alerts", &json!(1)));
    publish(&proxy, Feed::Alerts, &json!([]));
    for feed in Feed::ALL {
        let topic: Arc<str> = feed.topic().into();
        let (skip_history, idempotency_key) = (false, None);
        let who = Who { user: "".into(), client: None };
        for ask in [
            Ask::Publish { topic: topic.clone(), data: "1".into(), skip_history, idempotency_key },
            Ask::Subscribe { who, topic: topic.clone() },
        ] {
            let answer = push(&proxy, 0, ask);
            assert!(matches!(answer, Answer::Refused(Refusal::Reserved)), "{answer:?}");
        }
        let history = Ask::History { topic: topic.clone(), since: None, limit: None, reverse: false };
        for ask in [Ask::Presence { topic: topic.clone() }, history] {
            let answer = push(&proxy, 0, ask);
            assert!(matches!(answer, Answer::Refused(Refusal::NotAvailable)), "{answer:?}");
        }
    }
    // The star passes it over.
    let mut star = Client::at_gateway(&proxy, "").upgraded();
    star.subscribe("*");
    publish(&proxy, Feed::Alerts, &json!([]));
    assert_eq!(star.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
}

#[test]
fn a_reload_that_asks_for_tokens_ends_the_subscriptions() {
    let proxy = Proxy::start(listens);
    let mut client = Client::at_gateway(&proxy, "").upgraded();
    for topic in ["alerts", "proxy_health", "news"] {
        client.subscribe(topic);
    }
    proxy.reload(proxy::config(1, asks_for_tokens));
    let ended = [client.hear(), client.hear()];
    for topic in ["alerts", "proxy_health"] {
        assert!(ended.contains(&json!({"type": "unsubscribed", "topic": topic})), "{ended:?}");
    }
    publish(&proxy, Feed::Alerts, &json!([]));
    client.denied(&subscribe("alerts"));
    // What has nothing to do with it goes on.
    let answer = client.ask(&publication("news", &json!(1)));
    let rest = [answer, client.hear()];
    assert!(rest.contains(&json!({"type": "published", "topic": "news"})), "{rest:?}");
    // And one that asks nobody again opens it.
    proxy.reload(proxy::config(1, listens));
    assert_eq!(client.subscribe("alerts")["type"], "subscribed");
}
