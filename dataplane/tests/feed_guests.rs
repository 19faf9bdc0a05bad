//! Connections that the control port lets in: how they come, what they may, and when they have to go.
#![allow(clippy::unwrap_used, dead_code)]

mod proxy;
mod websocket;

use proxy::{Proxy, until};
use ringway_shared::closing::Closing;
use ringway_shared::command::{Command, Drill};
use ringway_shared::config::{ConnectionRate, DriverChoice};
use ringway_shared::feed::{Feed, Grant};
use ringway_shared::inspect::{self, By, Filter, Of, Place, Sketch};
use serde_json::json;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use websocket::{Client, arrival, frame, grant, guest, head, publication, publish, subscribe, tcp, unix};

fn reads_the_feed<S: Read + Write>(proxy: &Proxy, mut client: Client<S>) {
    let topic = "traffic_data";
    proxy.workers.board().put(Feed::TrafficData, r#"{"seq":7}"#.into());
    assert_eq!(client.subscribe(topic), json!({"type": "subscribed", "topic": topic}));
    assert_eq!(client.hear(), json!({"type": "message", "topic": topic, "data": {"seq": 7}}));
    publish(proxy, Feed::TrafficData, &json!({"seq": 8}));
    assert_eq!(client.hear(), json!({"type": "message", "topic": topic, "data": {"seq": 8}}));
}

#[test]
fn who_is_let_in_reads_the_feed_on_any_worker_by_any_socket_and_driver() {
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let proxy = Proxy::try_start(2, |config| config.workers.driver = driver).unwrap();
        for worker in 0..2 {
            let (client, given) = tcp();
            assert!(proxy.workers.welcome(worker, arrival(given, head(""), &grant())).is_ok());
            reads_the_feed(&proxy, client.upgraded());
            let (client, given) = unix();
            assert!(proxy.workers.welcome(worker, arrival(given, head(""), &grant())).is_ok());
            reads_the_feed(&proxy, client.upgraded());
        }
    }
}

#[test]
fn what_was_read_behind_the_head_is_heard() {
    let proxy = Proxy::start(|_| {});
    proxy.workers.board().put(Feed::Alerts, "[]".into());
    let head = head("");
    let whole = [head.as_bytes(), &frame(1, subscribe("alerts").to_string().as_bytes())].concat();
    // The rest of a head, or of a frame, comes by the socket.
    for read_before in [0, 10, head.len() - 1, head.len(), head.len() + 3, whole.len()] {
        let (mut client, given) = unix();
        let (read, later) = whole.split_at(read_before);
        assert!(proxy.workers.welcome(0, arrival(given, read, &grant())).is_ok());
        client.0.write_all(later).unwrap();
        let mut client = client.upgraded();
        assert_eq!(client.hear()["type"], "subscribed", "{read_before}");
        assert_eq!(client.hear()["data"], json!([]), "{read_before}");
    }
}

#[test]
fn much_that_was_read_behind_the_head_is_answered_whole() {
    let proxy = Proxy::start(|_| {});
    let (client, given) = unix();
    let pings = frame(1, br#"{"type":"ping"}"#).repeat(2_000);
    let whole = [head("").as_bytes(), &pings].concat();
    assert!(proxy.workers.welcome(0, arrival(given, whole, &grant())).is_ok());
    let mut client = client.upgraded();
    for _ in 0..2_000 {
        assert_eq!(client.hear(), json!({"type": "pong"}));
    }
}

#[test]
fn what_is_no_upgrade_is_refused_in_words() {
    let proxy = Proxy::start(|_| {});
    let plain = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let echo = head("").replace("/ws", "/echo");
    for (sent, status) in [("\0\x01garbage\r\n\r\n", 400), (plain, 426), (&*echo, 404)] {
        let (client, given) = unix();
        assert!(proxy.workers.welcome(0, arrival(given, sent, &grant())).is_ok());
        client.refused(status);
    }
    assert_eq!(proxy.cells[0].websocket.by_control_port.get(), 0);
}

#[test]
fn nothing_but_the_feed_is_to_be_had() {
    let proxy = Proxy::start(|config| config.websocket.echo = true);
    let mut client = guest(&proxy, &grant()).upgraded();
    for topic in ["news", "*", "traffic_data.*"] {
        assert!(client.denied(&subscribe(topic)).contains("gateway's port"), "{topic}");
    }
    for topic in ["news", "traffic_data"] {
        client.denied(&publication(topic, &json!(1)));
    }
    let (client, given) = unix();
    let echo = head("").replace("/ws", "/echo");
    assert!(proxy.workers.welcome(0, arrival(given, echo, &grant())).is_ok());
    client.refused(404);
}

#[test]
fn who_loses_the_leave_is_closed_and_the_leave_is_given_back() {
    let proxy = Proxy::start(|_| {});
    let (kept, revoked) = (grant(), grant());
    let mut stays = guest(&proxy, &kept).upgraded();
    let mut goes = guest(&proxy, &revoked).upgraded();
    goes.subscribe("alerts");
    let cells = &proxy.cells[0].websocket;
    until(|| (cells.feed_subscriptions[Feed::Alerts as usize].get() == 1).then_some(()));
    revoked.revoke();
    assert_eq!(goes.closed(), 3507);
    goes.part();
    until(|| (Arc::strong_count(&revoked) == 1).then_some(()));
    assert_eq!((cells.closed[Closing::LeaveRevoked as usize].get(), cells.by_control_port.get()), (1, 1));
    until(|| (cells.feed_subscriptions[Feed::Alerts as usize].get() == 0).then_some(()));
    reads_the_feed(&proxy, Client(stays.0.try_clone().unwrap()));
    assert_eq!(stays.ask(&json!({"type": "ping"})), json!({"type": "pong"}));
    // Before it is let in at all.
    guest(&proxy, &revoked).refused(403);
}

#[test]
fn a_worker_that_cannot_take_it_gives_it_back() {
    let proxy = Proxy::start(|_| {});
    let (mut client, given) = unix();
    let nowhere = proxy.workers.welcome(7, arrival(given, head(""), &grant()));
    // Until the inbox is full, and it is looked at no sooner.
    assert!(proxy.workers.tell(0, Command::Drill(Drill::Stall(Duration::from_secs(2)))));
    while proxy.workers.tell(0, Command::Drill(Drill::Count { events: 0 })) {}
    let full = proxy.workers.welcome(0, nowhere.err().unwrap()).err().unwrap();
    assert_eq!(full.head, head("").into_bytes());
    assert_eq!(&*full.grant.holder, "ops");
    // What came back is whole: the caller may answer, or try again.
    let mut again = Some(full);
    until(|| {
        again = proxy.workers.welcome(0, again.take().unwrap()).err();
        again.is_none().then_some(())
    });
    assert!(client.answer().starts_with("HTTP/1.1 101 "));
}

#[test]
fn the_gateways_limits_are_not_for_them() {
    let proxy = Proxy::start(|config| {
        let websocket = &mut config.websocket;
        websocket.listen = vec!["127.0.0.1:0".parse().unwrap()];
        websocket.limits.connections = Some(1);
        websocket.limits.connections_per_client = Some(1);
        websocket.limits.subscriptions_per_client = 1;
        websocket.limits.messages_per_second = Some(1);
        websocket.admission.connection_rate = Some(ConnectionRate { per_second: 1, burst: 1, ramp_up: None });
    });
    let mut guests: Vec<_> = (0..3).map(|_| guest(&proxy, &grant()).upgraded()).collect();
    for guest in &mut guests {
        for feed in Feed::ALL {
            assert_eq!(guest.subscribe(feed.topic())["type"], "subscribed");
        }
    }
    // Nor do they take a client's place.
    let _client = Client::at_gateway(&proxy, "").upgraded();
    Client::at_gateway(&proxy, "").refused(503);
    let cells = &proxy.cells[0].websocket;
    assert_eq!((cells.active(), cells.clients(), cells.by_control_port.get()), (4, 1, 3));
}

#[test]
fn they_look_on_while_the_workers_rest_and_go_at_once_when_they_end() {
    let proxy = Proxy::start(|config| {
        config.websocket.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.websocket.timeouts.drain = Duration::ZERO;
    });
    let mut looks_on = guest(&proxy, &grant()).upgraded();
    let mut client = Client::at_gateway(&proxy, "").upgraded();
    assert!(proxy.workers.tell(0, Command::Rest));
    assert_eq!(client.closed(), 1012);
    client.part();
    Client::at_gateway(&proxy, "").refused(503);
    let mut comes = guest(&proxy, &grant()).upgraded();
    for one in [&mut looks_on, &mut comes] {
        assert_eq!(one.subscribe("alerts")["type"], "subscribed");
    }
    // However long a drain may take.
    proxy.reload(proxy::config(1, |config| config.websocket.timeouts.drain = Duration::from_secs(3_600)));
    assert!(proxy.workers.tell(0, Command::Drain));
    for mut one in [looks_on, comes] {
        assert_eq!(one.closed(), 1012);
        one.part();
    }
    until(|| (proxy.workers.state(0) == ringway_dataplane::WorkerState::Ended { cut: 0 }).then_some(()));
}

#[test]
fn they_are_listed_by_who_was_let_in_and_are_nobodys_traffic() {
    let proxy = Proxy::start(|_| {});
    let leave = Arc::new(Grant::new("uid:1000".into()));
    let mut client = guest(&proxy, &leave).upgraded();
    client.subscribe("alerts");
    let ask = |ask| {
        let (to, answer) = channel();
        proxy.workers.inspect(0, ask, Box::new(move |answer| to.send(answer).unwrap())).unwrap();
        answer.recv_timeout(proxy::PATIENCE).unwrap()
    };
    let (filter, from) = (Arc::new(Filter::default()), Place::START);
    let inspect::Answer::Rows { rows, .. } = ask(inspect::Ask::List { filter, from, rows_max: 10 }) else {
        panic!("another answer")
    };
    assert_eq!((rows.len(), rows[0].user.as_deref(), rows[0].phase), (1, Some("uid:1000"), "open"));
    let sketch = Box::new(Sketch::new(10));
    let inspect::Answer::Tops { sketch, .. } =
        ask(inspect::Ask::Top { by: By::User, of: Of::Connections, from, sketch })
    else {
        panic!("another answer")
    };
    assert!(sketch.is_empty());
}

#[test]
fn who_is_behind_gets_the_latest_alone() {
    let proxy = Proxy::start(|_| {});
    let mut client = guest(&proxy, &grant()).upgraded();
    client.subscribe("alerts");
    let long = "x".repeat(30_000);
    for seq in 1..=500 {
        publish(&proxy, Feed::Alerts, &json!({"seq": seq, "long": long}));
    }
    let (mut heard, mut last) = (0, 0);
    while last < 500 {
        let seq = client.hear()["data"]["seq"].as_u64().unwrap();
        assert!(seq > last);
        (heard, last) = (heard + 1, seq);
    }
    assert!(heard < 500, "nothing was left out: it was never behind");
}
