//! Tables of requests: who is let in, as whom, and why others are not.

mod sites;

use super::*;
use crate::server::push::{Form, Method};
use crate::server::route::Route;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringway_shared::config::UnixSocket;

const TOKENS: [(&str, Scope, &str); 3] = [
    ("looker", Scope::Read, "rw_look"),
    ("doer", Scope::Operate, "rw_do"),
    ("owner", Scope::Admin, "rw_own"),
];

fn route(method: &'static str, scope: Scope) -> Route {
    fn page(_: &crate::server::State, _: &super::super::asked::Asked) -> Answer {
        unreachable!("it is only asked for")
    }
    Route::get("/x", scope, page, "A page.", &[]).with_method(method)
}

fn push() -> Route {
    route("POST", Scope::Operate).served_by(ServedBy::Push(Form::One(Method::Publish)))
}

/// A configuration without tokens and keys.
fn open() -> Control {
    let control = |sets: &[&str]| crate::server::tests::config(sets).control.clone();
    control(&[])
}

fn with_tokens() -> Control {
    let tokens = TOKENS.map(|(name, scope, token)| ControlToken {
        name: name.into(),
        scope,
        digest: credentials::digest(token.as_bytes()),
    });
    Control { tokens: Arc::new(tokens), ..open() }
}

fn with_keys() -> Control {
    Control { api_keys: Arc::new([ApiKey::Plain("a-long-key".into())]), ..open() }
}

fn tcp() -> Peer {
    from_afar(true)
}

/// `near` is what the connection's own end says; whose address the other end has does not count.
fn from_afar(near: bool) -> Peer {
    Peer::Tcp { address: "192.0.2.1:40000".parse().unwrap(), near }
}

fn unix(uid: u32) -> Peer {
    Peer::Unix { uid, pid: None }
}

fn stranger() -> u32 {
    rustix::process::geteuid().as_raw() + 1
}

fn certified(name: Option<&str>) -> Peer {
    Peer::Tls { address: "192.0.2.1:40000".parse().unwrap(), near: true, name: name.map(Into::into) }
}

type Header<'a> = (&'a str, &'a str);

/// `name scope` of who is let in, or the status and kind of the refusal.
fn verdict_of(
    guard: &Guard,
    control: &Control,
    route: &Route,
    peer: &Peer,
    headers: &[Header<'_>],
) -> String {
    let mut request = hyper::Request::builder().uri("/x");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:9003");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).unwrap().into_parts();
    match guard.admit(control, &Asking { route, peer, head: &head }) {
        Ok(by) => format!("{} {}", by.name, by.scope.label()),
        Err(refused) => format!("{} {}", refused.answer.status, refused.failure.label()),
    }
}

fn verdict(control: &Control, route: &Route, headers: &[Header<'_>]) -> String {
    verdict_of(&Guard::default(), control, route, &tcp(), headers)
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

const JSON: Header<'_> = ("content-type", "application/json");

#[test]
fn tokens_open_what_their_scope_allows_and_nothing_else() {
    let control = with_tokens();
    let guard = Guard::default();
    for (index, needed) in [Scope::Read, Scope::Operate, Scope::Admin].into_iter().enumerate() {
        for method in ["GET", "POST", "DELETE"] {
            let route = route(method, needed);
            let ask = |headers: &[Header<'_>]| verdict_of(&guard, &control, &route, &tcp(), headers);
            assert_eq!(ask(&[]), "401 missing");
            for (held, (name, scope, token)) in TOKENS.into_iter().enumerate() {
                let wanted =
                    if held >= index { format!("{name} {}", scope.label()) } else { "403 scope".to_owned() };
                for value in [
                    format!("Bearer {token}"),
                    format!("bearer   {token}"),
                    basic(name, token),
                    basic(name, token).replacen("Basic", "bAsIc", 1),
                ] {
                    assert_eq!(ask(&[("authorization", &value)]), wanted, "{value}");
                }
            }
            for (value, told) in [
                ("Bearer".to_owned(), "401 wrong_token"),
                ("Bearer ".to_owned(), "401 wrong_token"),
                ("Bearer rw_ow".to_owned(), "401 wrong_token"),
                ("Bearerrw_own".to_owned(), "401 wrong_token"),
                ("rw_own".to_owned(), "401 wrong_token"),
                ("Digest username=owner".to_owned(), "401 wrong_token"),
                ("apikey rw_own".to_owned(), "401 wrong_token"),
                (basic("looker", "rw_own"), "401 wrong_token"),
                (basic("", "rw_own"), "401 wrong_token"),
                ("Basic !".to_owned(), "401 wrong_token"),
            ] {
                let told_now = verdict(&control, &route, &[("authorization", &value)]);
                assert_eq!(told_now, told, "{value}");
            }
            let two = [("authorization", "Bearer rw_own"), ("authorization", "Bearer rw_own")];
            assert_eq!(ask(&two), "401 several");
            // Only the publish API knows keys.
            assert_eq!(ask(&[("x-api-key", "rw_own")]), "401 missing");
        }
    }
    for headers in [&[][..], &[("authorization", "Bearer wrong")]] {
        assert_eq!(verdict(&control, &route("GET", Scope::Open), headers), "- open");
    }
}

#[test]
fn without_tokens_none_is_looked_at() {
    for headers in [&[][..], &[("authorization", "Bearer x")], &[("authorization", "Basic !")]] {
        assert_eq!(verdict(&open(), &route("POST", Scope::Admin), headers), "anybody admin");
    }
}

#[test]
fn whoever_came_from_beyond_loopback_is_nobody_once_the_tokens_are_gone() {
    let insecure = Control { insecure: true, ..open() };
    let afar = |name: Option<&str>| Peer::Tls {
        address: "192.0.2.1:1".parse().unwrap(),
        near: false,
        name: name.map(Into::into),
    };
    for (control, told) in
        [(open(), "403 missing"), (insecure, "anybody admin"), (with_tokens(), "401 missing")]
    {
        for peer in [from_afar(false), afar(None), afar(Some("ops"))] {
            let ask = |route: &Route| verdict_of(&Guard::default(), &control, route, &peer, &[JSON]);
            assert_eq!(ask(&route("POST", Scope::Admin)), told, "{peer}");
            assert_eq!(ask(&push()), told, "{peer}");
            assert_eq!(ask(&route("GET", Scope::Open)), "- open");
        }
    }
}

#[test]
fn metrics_alone_can_be_opened() {
    let control = Control { metrics_open: true, ..with_tokens() };
    let mut metrics = route("GET", Scope::Read);
    assert_eq!(verdict(&control, &metrics, &[]), "401 missing");
    metrics.path = "/metrics";
    assert_eq!(verdict(&control, &metrics, &[]), "- open");
    assert_eq!(verdict(&control, &metrics, &[("host", "evil.example")]), "403 host");
    assert_eq!(verdict(&with_tokens(), &metrics, &[]), "401 missing");
}

#[test]
fn the_kernel_says_who_is_at_the_unix_socket() {
    let own = rustix::process::geteuid().as_raw();
    let socket = |others| Some(UnixSocket { path: "x".into(), mode: 0o666, others });
    let admin = route("POST", Scope::Admin);
    for control in [open(), with_tokens()] {
        let control = Control { unix: socket(None), ..control };
        let ask =
            |peer, headers: &[Header<'_>]| verdict_of(&Guard::default(), &control, &admin, &peer, headers);
        assert_eq!(ask(unix(0), &[]), "uid:0 admin");
        assert_eq!(ask(unix(own), &[]), format!("uid:{own} admin"));
        assert_eq!(ask(unix(own), &[("host", "anything")]), format!("uid:{own} admin"));
        assert_eq!(ask(unix(own), &[("origin", "http://evil.example")]), "403 origin", "through a proxy");
        let told = ask(unix(stranger()), &[]);
        assert_eq!(told, if control.tokens.is_empty() { "403 missing" } else { "401 missing" });
    }
    let control = Control { unix: socket(Some(Scope::Operate)), ..with_tokens() };
    let ask = |peer, headers: &[Header<'_>]| verdict_of(&Guard::default(), &control, &admin, &peer, headers);
    assert_eq!(ask(unix(stranger()), &[]), "403 scope");
    assert_eq!(ask(unix(stranger()), &[("authorization", "Bearer rw_own")]), "owner admin");
    // What is shown counts, even where the connection says more.
    assert_eq!(ask(unix(own), &[("authorization", "Bearer rw_look")]), "403 scope");
    assert_eq!(ask(unix(own), &[("authorization", "Bearer wrong")]), "401 wrong_token");
    let publish = verdict_of(&Guard::default(), &control, &push(), &unix(stranger()), &[]);
    assert_eq!(publish, format!("uid:{} operate", stranger()));
}

#[test]
fn a_client_certificate_says_who_it_is() {
    let sets = ["control.tls.client_auth=optional", "control.tls.client_scope=operate"];
    let mut clients = open();
    clients.tls.clients = Some(ringway_shared::config::ClientCertificates {
        required: false,
        authorities: Default::default(),
        scope: Scope::Operate,
    });
    let (look, admin) = (route("GET", Scope::Read), route("POST", Scope::Admin));
    let ask = |control: &Control, route: &Route, peer, headers: &[Header<'_>]| {
        verdict_of(&Guard::default(), control, route, &peer, headers)
    };
    assert_eq!(ask(&clients, &look, certified(Some("ops")), &[]), "certificate:ops operate", "{sets:?}");
    assert_eq!(ask(&clients, &admin, certified(Some("ops")), &[]), "403 scope");
    // Where certificates are asked for, showing none is not more than showing one.
    assert_eq!(ask(&clients, &look, certified(None), &[]), "403 missing");
    let both = Control { tokens: with_tokens().tokens, ..clients };
    assert_eq!(
        ask(&both, &admin, certified(Some("ops")), &[("authorization", "Bearer rw_own")]),
        "owner admin"
    );
    assert_eq!(ask(&both, &look, certified(None), &[]), "401 missing");
    assert_eq!(ask(&open(), &admin, certified(None), &[]), "anybody admin", "nobody is asked there");
    // A page that came by plain HTTP is not the same origin.
    let plain = [("origin", "http://127.0.0.1:9003")];
    assert_eq!(ask(&open(), &admin, certified(None), &plain), "403 origin");
}

#[test]
fn publishing_takes_a_key_or_a_token_of_scope_operate() {
    let both = Control { tokens: with_tokens().tokens, ..with_keys() };
    for (control, headers, told) in [
        (with_keys(), &[("x-api-key", "a-long-key")][..], "api-key operate"),
        (with_keys(), &[("authorization", "ApiKey  a-long-key")], "api-key operate"),
        (with_keys(), &[("x-api-key", "another-key")], "401 wrong_key"),
        (with_keys(), &[("x-api-key", "")], "401 wrong_key"),
        (with_keys(), &[("authorization", "apikey")], "401 missing"),
        (with_keys(), &[("authorization", "Bearer a-long-key")], "401 missing"),
        (with_keys(), &[("accept", "a-long-key")], "401 missing"),
        (with_keys(), &[("x-api-key", "a-long-key"), ("x-api-key", "a-long-key")], "401 several"),
        (both.clone(), &[("x-api-key", "a-long-key"), ("authorization", "Bearer rw_do")], "401 several"),
        (both.clone(), &[("x-api-key", "a-long-key")], "api-key operate"),
        (both.clone(), &[("authorization", "Bearer rw_do")], "doer operate"),
        (both.clone(), &[("authorization", "Bearer rw_own")], "owner admin"),
        (both.clone(), &[("authorization", "Bearer rw_look")], "403 scope"),
        (both.clone(), &[], "401 missing"),
        (with_tokens(), &[("x-api-key", "rw_do")], "401 wrong_key"),
        (with_tokens(), &[("authorization", "Bearer rw_do")], "doer operate"),
        (with_tokens(), &[JSON], "401 missing"),
        (open(), &[JSON, ("x-api-key", "whatever")], "anybody admin"),
    ] {
        assert_eq!(verdict(&control, &push(), headers), told, "{headers:?}");
    }
}

#[test]
fn guessing_is_throttled_for_everything_that_is_shown() {
    let (guard, control, look) = (Guard::default(), with_tokens(), route("GET", Scope::Read));
    let ask =
        |route: &Route, value: &str| verdict_of(&guard, &control, route, &tcp(), &[("authorization", value)]);
    for number in 0..5 {
        assert_eq!(ask(&look, &format!("Bearer {number}")), "401 wrong_token");
    }
    assert_eq!(ask(&look, "Bearer rw_own"), "429 throttled", "even the right one");
    assert_eq!(ask(&push(), "apikey x"), "429 throttled");
    assert_eq!(ask(&look, "Bearer 4"), "401 wrong_token", "known to be wrong");
    assert_eq!(verdict_of(&guard, &control, &look, &tcp(), &[]), "401 missing");
    assert_eq!(ask(&route("GET", Scope::Open), "Bearer 9"), "- open");
    let other = Peer::Tcp { address: "192.0.2.2:1".parse().unwrap(), near: true };
    let right = [("authorization", "Bearer rw_own")];
    assert_eq!(verdict_of(&guard, &control, &look, &other, &right), "owner admin");
}

#[test]
fn refusals_say_what_would_do() {
    let control = with_tokens();
    let answer = |headers: &[Header<'_>]| {
        let mut request = hyper::Request::builder().uri("/x").header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let asking = Asking { route: &route("POST", Scope::Admin), peer: &tcp(), head: &head };
        let refused = Guard::default().admit(&control, &asking).err().unwrap();
        hyper::Response::from(*refused.answer)
    };
    let missing = answer(&[]);
    let challenges: Vec<_> = missing.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, ["Bearer realm=\"ringway\"", "Basic realm=\"ringway\", charset=\"UTF-8\""]);
    let low = answer(&[("authorization", "Bearer rw_look")]);
    assert_eq!(low.status(), 403);
    assert_eq!(
        low.headers()["www-authenticate"],
        "Bearer realm=\"ringway\", error=\"insufficient_scope\", scope=\"admin\""
    );
}
