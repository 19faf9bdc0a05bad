//! The opening handshake of WebSocket: what RFC 6455 section 4.2 demands, what is refused and how, in any chunking.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod play;

use play::{in_any_chunking, upgrade};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ringway_dataplane::proto::upgrade::{HEAD_BYTES_MAX, Refusal, Request, Upgrade, accept, refuse};
use ringway_shared::gateway::Refused;

/// RFC 6455 section 1.2's own request.
const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

fn ask(head: &str) -> Result<Request, Refusal> {
    let mut upgrade = Upgrade::default();
    let result = upgrade.receive(head.as_bytes()).expect("the head is whole");
    assert!(result.is_err() || upgrade.taken() == head.len());
    result
}

/// The request with one of its lines replaced, or left out, or with more of them.
fn with(field: &str, lines: &str) -> String {
    let kept = REQUEST.split_inclusive("\r\n").map(|line| if line.starts_with(field) { lines } else { line });
    kept.collect()
}

fn refused(head: &str) -> u16 {
    let refusal = ask(head).expect_err(head);
    let mut out = Vec::new();
    refusal.write(&mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with(&format!("HTTP/1.1 {} ", refusal.status)), "{text}");
    refusal.status
}

#[test]
fn the_rfcs_request_is_read_and_accepted() {
    let request = ask(REQUEST).unwrap();
    assert_eq!(
        (&*request.path, request.query.as_deref(), &*request.host),
        ("/chat", None, "server.example.com")
    );
    assert_eq!(request.origin.as_deref(), Some("http://example.com"));
    assert_eq!(request.protocols, ["chat", "superchat"]);
    assert!(request.extensions.is_empty() && request.authorization.is_none() && request.cookie.is_none());
    let mut out = Vec::new();
    accept(&request.key, Some("chat"), None, &mut out);
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), answer);
    let mut out = Vec::new();
    accept(&request.key, None, Some("permessage-deflate"), &mut out);
    assert!(out.ends_with(b"=\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"));
}

#[test]
fn it_is_told_whether_a_proxy_passes_it_on() {
    assert!(!ask(REQUEST).unwrap().forwarded);
    for line in [
        "Forwarded: for=192.0.2.1",
        "VIA: 1.1 front",
        "X-Forwarded-For: 192.0.2.1",
        "x-forwarded-proto: https",
        "X-Forwarded-Host: example.com",
        "x-real-ip:",
        "CF-Connecting-IP: 192.0.2.1",
        "True-Client-IP: 192.0.2.1",
        "X-Client-IP: 192.0.2.1",
    ] {
        let request = with("Origin", &format!("Origin: http://example.com\r\n{line}\r\n"));
        assert!(ask(&request).unwrap().forwarded, "{line}");
    }
}

#[test]
fn what_a_browser_sends_is_read() {
    let request = ask(
        "GET /ws?token=a%2Bb+c&x=1 HTTP/1.1\r\nHost: [::1]:8765\r\nConnection: keep-alive, Upgrade\r\nPragma: no-cache\r\n\
         Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0\r\nUpgrade: WebSocket\r\nOrigin: http://localhost:3000\r\n\
         Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: a=1; b=2\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nAuthorization: Bearer abc\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nSec-WebSocket-Extensions: x-other\r\n\r\n",
    )
    .unwrap();
    assert_eq!(request.query.as_deref(), Some("token=a%2Bb+c&x=1"));
    assert_eq!(request.query_value("token").as_deref(), Some("a+b c"));
    assert_eq!(request.extensions, ["permessage-deflate; client_max_window_bits", "x-other"]);
    assert_eq!(request.authorization.as_deref(), Some("Bearer abc"));
    assert_eq!(request.cookie.as_deref(), Some("a=1; b=2"));
    let debug = format!("{request:?}");
    assert!(!["token", "abc", "a=1"].iter().any(|secret| debug.contains(secret)), "{debug}");
}

#[test]
fn each_demand_of_the_rfc_is_made() {
    for (field, lines, status) in [
        ("GET", "POST /chat HTTP/1.1\r\n", 405),
        ("GET", "get /chat HTTP/1.1\r\n", 405),
        ("GET", "GET /chat HTTP/1.0\r\n", 400),
        ("GET", "GET /chat HTTP/2.0\r\n", 505),
        ("GET", "GET /chat HTTP/1.1 \r\n", 400),
        ("GET", "GET chat HTTP/1.1\r\n", 400),
        ("GET", "GET http://server.example.com/chat HTTP/1.1\r\n", 400),
        ("GET", "GET * HTTP/1.1\r\n", 400),
        ("GET", "GET /chat#part HTTP/1.1\r\n", 400),
        ("GET", "GET /chät HTTP/1.1\r\n", 400),
        ("Host", "", 400),
        ("Host", "Host:\r\n", 400),
        ("Host", "Host: a\r\nHost: a\r\n", 400),
        ("Host", "Host: a b\r\n", 400),
        ("Upgrade", "", 426),
        ("Upgrade", "Upgrade: h2c\r\n", 426),
        ("Upgrade", "Upgrade: websockets\r\n", 426),
        ("Connection", "", 400),
        ("Connection", "Connection: keep-alive\r\n", 400),
        ("Sec-WebSocket-Version", "", 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n", 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013\r\n", 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13, 8\r\n", 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n", 400),
        ("Sec-WebSocket-Key", "", 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key:\r\n", 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEy\r\n", 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n", 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25=ZQ==\r\n", 400),
        (
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            400,
        ),
        ("Origin", "Origin: a\r\nOrigin: b\r\n", 400),
        ("Origin", "Authorization: a\r\nAuthorization: b\r\n", 400),
        ("Origin", "Origin:\r\n folded\r\n", 400),
        ("Origin", " folded\r\n", 400),
        ("Origin", "Origin : a\r\n", 400),
        ("Origin", "Ori gin: a\r\n", 400),
        ("Origin", "Origin: a\nX: b\r\n", 400),
        ("Origin", "Origin: a\0\r\n", 400),
        ("Origin", "Content-Length: 5\r\n", 400),
        ("Origin", "Content-Length: 0\r\nContent-Length: 5\r\n", 400),
        ("Origin", "Transfer-Encoding: chunked\r\n", 400),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: chat, chat\r\n", 400),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n", 400),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: a b\r\n", 400),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions: a;\r\n", 400),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b c\r\n", 400),
    ] {
        assert_eq!(refused(&with(field, lines)), status, "{field} -> {lines:?}");
    }
}

#[test]
fn what_is_unusual_and_lawful_is_served() {
    for (field, lines) in [
        ("GET", "\r\nGET /chat?a=b?c HTTP/1.1\r\n"),
        ("Upgrade", "Upgrade: h2c\r\nupgrade: , WEBSOCKET\r\n"),
        ("Connection", "Connection: close\r\nCONNECTION: x,upgrade ,y\r\n"),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: \t dGhlIHNhbXBsZSBub25jZQ== \t\r\n"),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: 1234567890123456789012==\r\n"),
        ("Origin", ""),
        ("Origin", "Origin: null\r\nContent-Length: 0\r\nX: \u{fc}\r\n"),
        ("Sec-WebSocket-Protocol", "Sec-WebSocket-Protocol: ,a,\r\nSec-WebSocket-Protocol:b\r\n"),
    ] {
        ask(&with(field, lines)).unwrap_or_else(|refusal| panic!("{lines:?}: {refusal:?}"));
    }
}

#[test]
fn a_person_who_opens_the_port_is_told_what_it_is() {
    let refusal = ask("GET / HTTP/1.1\r\nHost: localhost:8765\r\nAccept: text/html\r\n\r\n").unwrap_err();
    assert_eq!(refusal.refused, Refused::UpgradeRequired);
    let mut out = Vec::new();
    refusal.write(&mut out);
    let text = String::from_utf8(out).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{head}");
    for line in
        ["Upgrade: websocket", "Sec-WebSocket-Version: 13", "Connection: close", "Connection: Upgrade"]
    {
        assert!(head.lines().any(|found| found == line), "{line} is missing in {head}");
    }
    assert!(head.contains(&format!("Content-Length: {}", body.len())));
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["code"], 426);
    assert!(body["error"]["hint"].as_str().unwrap().contains("/ws"), "{body}");

    let mut out = Vec::new();
    ask("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap_err().write(&mut out);
    let head = String::from_utf8(out).unwrap();
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "who asked for a head is sent no body: {head}");
}

#[test]
fn a_client_that_speaks_tls_to_a_plain_port_is_told_so() {
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc];
    let refusal = Upgrade::default().receive(&hello).unwrap().unwrap_err();
    assert!(refusal.status == 400 && refusal.hint.contains("TLS"), "{refusal:?}");
}

#[test]
fn any_status_can_be_refused_with() {
    let mut out = Vec::new();
    refuse(503, &[("Retry-After", "3")], "later \"please\"\n", &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && text.contains("\r\nRetry-After: 3\r\n")
    );
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["error"]["hint"], "later \"please\"\n");
}

#[test]
fn heads_are_limited_in_bytes_and_fields() {
    let padded = |bytes: usize| {
        let padding = "a".repeat(bytes - REQUEST.len() - "X: \r\n".len());
        with("Origin: ", &format!("Origin: http://example.com\r\nX: {padding}\r\n"))
    };
    assert_eq!(padded(HEAD_BYTES_MAX).len(), HEAD_BYTES_MAX);
    ask(&padded(HEAD_BYTES_MAX)).unwrap();
    assert_eq!(refused(&padded(HEAD_BYTES_MAX + 1)), 431);
    let fields = |count: usize| with("Origin: ", &"X: y\r\n".repeat(count - 6));
    ask(&fields(64)).unwrap();
    assert_eq!(refused(&fields(65)), 431);
    let mut slow = Upgrade::default();
    let answer = (0..).find_map(|_| slow.receive(b"GET /aaaa")).unwrap();
    assert_eq!(answer.unwrap_err().refused, Refused::HeaderTooLarge);
    assert!(slow.held_bytes() <= HEAD_BYTES_MAX, "{}", slow.held_bytes());
}

#[test]
fn what_follows_the_head_is_left_to_the_frames() {
    let bytes = [REQUEST.as_bytes(), b"\x81\x80abcd"].concat();
    for cut in 0..REQUEST.len() {
        let mut upgrade = Upgrade::default();
        assert!(upgrade.receive(&bytes[..cut]).is_none(), "{cut}");
        upgrade.receive(&bytes[cut..]).unwrap().unwrap();
        assert_eq!(&bytes[cut..][upgrade.taken()..], b"\x81\x80abcd", "{cut}");
    }
}

#[test]
fn query_parameters_are_decoded() {
    let value = |query: &str, name: &str| {
        let head = with("GET", &format!("GET /ws?{query} HTTP/1.1\r\n"));
        ask(&head).unwrap().query_value(name)
    };
    for (query, name, expected) in [
        ("", "token", None),
        ("a=1&token=x&token=y", "token", Some("x")),
        ("token", "token", Some("")),
        ("token=", "token", Some("")),
        ("tokens=x", "token", None),
        ("t%6Fken=x%20y+z%2b", "token", Some("x y z+")),
        ("token=a=b==", "token", Some("a=b==")),
        ("token=%zz%1%", "token", Some("%zz%1%")),
        ("token=%c3%bc%ff", "token", Some("ü\u{fffd}")),
        ("&&token=x", "token", Some("x")),
    ] {
        assert_eq!(value(query, name).as_deref(), expected, "{query}");
    }
    assert_eq!(ask(REQUEST).unwrap().query_value("token"), None);
}

fn request_of_any_kind() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => Just("GET /ws HTTP/1.1".to_owned()),
        2 => "GET /[ -~]{0,20} HTTP/1.[01]",
        1 => Just("POST /ws HTTP/1.1".into()),
    ];
    let fields = REQUEST.split("\r\n").skip(1).filter(|line| !line.is_empty()).map(str::to_owned);
    let fields: Vec<String> = fields
        .chain([
            "Cookie: a=b".into(),
            "Sec-WebSocket-Extensions: permessage-deflate".into(),
            "Content-Length: 3".into(),
        ])
        .collect();
    let flaw = prop::option::weighted(0.4, (any::<Index>(), any::<u8>()));
    let more = vec(prop_oneof![1 => select(fields.clone()), 1 => "X-[A-Za-z]{1,9}: [ -~]{0,300}"], 0..70);
    (line, more, prop::bool::weighted(0.8), flaw, vec(any::<u8>(), 0..100)).prop_map(
        move |(line, more, whole, flaw, behind)| {
            let all = fields[..6].iter().filter(|_| whole).chain(&more).map(|field| format!("{field}\r\n"));
            let mut head = format!("{line}\r\n{}\r\n", all.collect::<String>()).into_bytes();
            if let Some((at, byte)) = flaw {
                let at = at.index(head.len());
                head[at] = byte;
            }
            [head, behind].concat()
        },
    )
}

proptest! {
    #[test]
    fn any_chunking_of_a_request_is_the_same(
        bytes in prop_oneof![4 => request_of_any_kind(), 1 => vec(any::<u8>(), 0..300)],
        chunks in vec(0usize..60, 0..200),
    ) {
        let seen = in_any_chunking(chunks.into_iter(), |chunks| upgrade::play(&bytes, chunks));
        upgrade::assert_lawful(&bytes, &seen);
    }
}
