//! The plain JSON protocol: what is a request, what is said of what is none, and the exact shapes of answers.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod play;

use play::pubsub_json::assert_lawful;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringway_dataplane::proto::pubsub_json::{
    Ask, BARE_PONG, DATA_NESTING_MAX, ErrorCode, error, message, parse, pong, published, subscribed,
    unsubscribed,
};
use serde_json::value::RawValue;

/// A request in few words: its verb, topic, data and id.
fn told(text: &str) -> String {
    assert_lawful(text);
    match parse(text) {
        Ok(request) => {
            let id = request.id.map_or(String::new(), |id| format!(" id {id}"));
            match request.ask {
                Ask::Subscribe { topic } => format!("subscribe {topic}{id}"),
                Ask::Unsubscribe { topic } => format!("unsubscribe {topic}{id}"),
                Ask::Publish { topic, data } => format!("publish {topic} {data}{id}"),
                Ask::Ping => format!("ping{id}"),
                Ask::BarePing => "bare ping".into(),
            }
        }
        Err(fault) => {
            let id = fault.id.map_or(String::new(), |id| format!(" id {id}"));
            format!("{} {}{id}", fault.code.number(), fault.message)
        }
    }
}

fn written(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    write(&mut out);
    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
}

#[test]
fn requests_are_read_in_both_shapes() {
    for (text, expected) in [
        (r#"{"type":"subscribe","topic":"traffic_data"}"#, "subscribe traffic_data"),
        (r#"{"type":"subscribe","data":{"topic":"traffic_data"}}"#, "subscribe traffic_data"),
        (r#"{"type":"subscribe","topic":"news.*","id":7}"#, "subscribe news.* id 7"),
        (r#"{"type":"subscribe","topic":"*","id":"a\"b"}"#, r#"subscribe * id "a\"b""#),
        (r#"{"topic":"a","data":{"topic":"b"},"type":"subscribe"}"#, "subscribe a"),
        (r#"{"type":"unsubscribe","topic":"a","id":-1.5e3}"#, "unsubscribe a id -1.5e3"),
        (r#"{"type":"unsubscribe","data":{"topic":"a"},"id":1}"#, "unsubscribe a id 1"),
        (r#"{"type":"publish","topic":"a","data":{"x": [1,  2]}}"#, r#"publish a {"x": [1,  2]}"#),
        (r#"{"type":"publish","data":{"topic":"a","data":"text"}}"#, r#"publish a "text""#),
        (
            r#"{"type":"publish","topic":"a","data":{"topic":"b","data":1}}"#,
            r#"publish a {"topic":"b","data":1}"#,
        ),
        (r#"{"type":"publish","topic":"a","data":null}"#, "publish a null"),
        ("\r\n{ \"type\" : \"publish\",\n\"topic\":\"a\",\n\"data\": [\n1 ]\n}\n", "publish a [\n1 ]"),
        (r#"{"type":"publish","topic":"a","data":1e999}"#, "publish a 1e999"),
        (r#"{"type":"publish","topic":"a","data":"\ud800"}"#, r#"publish a "\ud800""#),
        (r#"{"type":"sub\u0073cribe","topic":"\u65e5\/x"}"#, "subscribe 日/x"),
        (r#"{"type":"subscribe","topic":"a","more":{"deep":[1]},"Topic":3}"#, "subscribe a"),
        (r#"{"type":"ping"}"#, "ping"),
        (r#"{"type":"ping","id":3,"topic":17}"#, "ping id 3"),
        ("ping", "bare ping"),
        ("ping\n", "bare ping"),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_request_is_told_why() {
    for (text, expected) in [
        ("", "107 not JSON: EOF while parsing a value at line 1 column 0"),
        ("hello", "107 not JSON: expected value at line 1 column 1"),
        ("\"ping\"", "107 a request is one JSON object"),
        ("[]", "107 a request is one JSON object"),
        (r#"["subscribe","a"]"#, "107 a request is one JSON object"),
        ("null", "107 a request is one JSON object"),
        (r#"{"type":"ping"}{"type":"ping"}"#, "107 not JSON: trailing characters at line 1 column 16"),
        (r#"{"type":"ping","id":1"#, "107 not JSON: EOF while parsing an object at line 1 column 21"),
        (r#"{"type":"ping",}"#, "107 not JSON: trailing comma at line 1 column 16"),
        ("{}", "107 `type` is missing"),
        (r#"{"type":5,"id":1}"#, "107 `type` must be a string id 1"),
        (r#"{"type":null}"#, "107 `type` must be a string"),
        (
            r#"{"type":"login","id":"x"}"#,
            r#"104 unknown `type`: there are subscribe, unsubscribe, publish and ping id "x""#,
        ),
        (
            r#"{"type":"Subscribe","topic":"a"}"#,
            "104 unknown `type`: there are subscribe, unsubscribe, publish and ping",
        ),
        (r#"{"type":"subscribe","id":1}"#, "107 `topic` is missing id 1"),
        (r#"{"type":"subscribe","data":"a"}"#, "107 `topic` is missing"),
        (r#"{"type":"subscribe","data":{}}"#, "107 `topic` is missing"),
        (r#"{"type":"subscribe","topic":null,"data":{"topic":"a"}}"#, "107 `topic` must be a string"),
        (r#"{"type":"subscribe","topic":["a"]}"#, "107 `topic` must be a string"),
        (r#"{"type":"subscribe","topic":"\ud800"}"#, "107 `topic` must be a string"),
        (r#"{"type":"subscribe","topic":""}"#, "107 a topic may not be empty"),
        (r#"{"type":"subscribe","topic":"a b"}"#, "107 a topic may not have spaces or control characters"),
        (r#"{"type":"subscribe","topic":"a\n"}"#, "107 a topic may not have spaces or control characters"),
        (
            r#"{"type":"subscribe","topic":"a*"}"#,
            "107 `*` may only stand at a topic's end, alone or after a `.`",
        ),
        (
            r#"{"type":"publish","topic":"a.*","data":1}"#,
            "107 publish to a topic: a pattern is for subscribing",
        ),
        (r#"{"type":"publish","topic":"a","id":1}"#, "107 `data` is missing id 1"),
        (r#"{"type":"publish","data":{"topic":"a"}}"#, "107 `data` is missing"),
        (r#"{"type":"publish","data":{"topic":"a","data":1,"data":2}}"#, "107 `data` stands twice in `data`"),
        (r#"{"type":"ping","type":"ping","id":9}"#, "107 `type` stands twice id 9"),
        (r#"{"type":"subscribe","topic":"a","topic":"b"}"#, "107 `topic` stands twice"),
        (r#"{"type":"ping","id":1,"id":1}"#, "107 `id` stands twice"),
        (r#"{"type":"ping","id":true}"#, "107 `id` must be a string or a number"),
        (r#"{"type":"ping","id":null}"#, "107 `id` must be a string or a number"),
        (r#"{"type":"ping","id":{"a":1}}"#, "107 `id` must be a string or a number"),
    ] {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn lengths_and_depths_are_limited() {
    let subscribe = |topic: &str| told(&format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#));
    assert!(subscribe(&"x".repeat(255)).starts_with("subscribe "));
    assert_eq!(subscribe(&"x".repeat(256)), "107 a topic may have 255 bytes at most");
    let ping = |id: &str| told(&format!(r#"{{"type":"ping","id":"{id}"}}"#));
    assert!(ping(&"x".repeat(254)).starts_with("ping id "));
    assert_eq!(ping(&"x".repeat(255)), "107 `id` may have 256 bytes at most");
    let publish = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        told(&format!(r#"{{"type":"publish","topic":"a","id":1,"data":{open}"\"[[",{{"a":"]"}}{close}}}"#))
    };
    assert!(publish(DATA_NESTING_MAX - 1).starts_with("publish a "));
    assert_eq!(publish(DATA_NESTING_MAX), "107 `data` is nested deeper than 120 id 1");
    assert_eq!(publish(200_000), "107 `data` is nested deeper than 120 id 1", "without recursion");
    let ignored = format!(r#"{{"type":"ping","other":{}{}}}"#, "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(told(&ignored), "ping");
}

#[test]
fn answers_have_exactly_these_shapes() {
    let seven = RawValue::from_string("7".into()).unwrap();
    let text = RawValue::from_string(r#""a\"b""#.into()).unwrap();
    for (answer, expected) in [
        (written(|out| subscribed("a", None, out)), r#"{"type":"subscribed","topic":"a"}"#),
        (written(|out| subscribed("a", Some(&seven), out)), r#"{"type":"subscribed","topic":"a","id":7}"#),
        (
            written(|out| unsubscribed("a", Some(&text), out)),
            r#"{"type":"unsubscribed","topic":"a","id":"a\"b"}"#,
        ),
        (written(|out| published("a", None, out)), r#"{"type":"published","topic":"a"}"#),
        (written(|out| pong(None, out)), r#"{"type":"pong"}"#),
        (written(|out| pong(Some(&seven), out)), r#"{"type":"pong","id":7}"#),
        (
            written(|out| message("a", r#"{"x": 1}"#, None, out)),
            r#"{"type":"message","topic":"a","data":{"x": 1}}"#,
        ),
        (
            written(|out| message("a\"\\日", "null", Some(12), out)),
            r#"{"type":"message","topic":"a\"\\日","data":null,"offset":12}"#,
        ),
        (
            written(|out| error(ErrorCode::PermissionDenied, "not \"here\"", Some(&seven), out)),
            r#"{"type":"error","code":103,"message":"not \"here\"","id":7}"#,
        ),
    ] {
        assert_eq!(answer, expected);
        serde_json::from_str::<serde_json::Value>(&answer).unwrap();
    }
    assert_eq!(BARE_PONG, "pong");
}

#[test]
fn error_codes_are_those_of_centrifugo() {
    let numbers = [
        (ErrorCode::Internal, 100),
        (ErrorCode::UnknownChannel, 102),
        (ErrorCode::PermissionDenied, 103),
        (ErrorCode::MethodNotFound, 104),
        (ErrorCode::AlreadySubscribed, 105),
        (ErrorCode::LimitExceeded, 106),
        (ErrorCode::BadRequest, 107),
        (ErrorCode::NotAvailable, 108),
        (ErrorCode::TooManyRequests, 111),
    ];
    for (code, number) in numbers {
        assert_eq!(code.number(), number);
        assert!(!code.text().is_empty());
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,8}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(" [ ] ".into()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let members = vec(("[a-z\"\\\\]{0,3}", inner.clone()), 0..4).prop_map(|members| {
            let members = members
                .iter()
                .map(|(key, value)| format!("{}: {value}", serde_json::to_string(key).unwrap()));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        });
        prop_oneof![vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(" ,"))), members]
    })
}

/// Much like a request, and often one.
fn request() -> impl Strategy<Value = String> {
    let kind = select(vec![
        "\"subscribe\"",
        "\"unsubscribe\"",
        "\"publish\"",
        "\"publish\"",
        "\"ping\"",
        "1",
        "null",
    ]);
    let topic = prop_oneof!["[a-z.]{1,6}", "[a-z* .]{0,6}", Just("a.*".into())];
    let topic = topic.prop_map(|topic| format!("\"topic\":{}", serde_json::to_string(&topic).unwrap()));
    let part = prop_oneof![
        kind.prop_map(|kind| format!("\"type\":{kind}")),
        topic,
        json().prop_map(|data| format!("\"data\":{data}")),
        json().prop_map(|id| format!("\"id\":{id}")),
        json().prop_map(|other| format!("\"other\":{other}")),
        ("[a-z.]{1,4}", json())
            .prop_map(|(topic, data)| format!(r#""data":{{"topic":"{topic}","data":{data}}}"#)),
    ];
    vec(part, 0..6).prop_map(|parts| format!("{{{}}}", parts.join(",")))
}

proptest! {
    #[test]
    fn data_is_passed_on_byte_for_byte(data in json()) {
        let text = format!(r#"{{"type":"publish","topic":"a","data":{data}}}"#);
        let request = parse(&text).unwrap();
        let Ask::Publish { data: found, .. } = request.ask else { panic!("{text}") };
        prop_assert_eq!(found.get(), data.trim());
    }

    #[test]
    fn any_text_is_a_request_or_an_error_that_can_be_sent(
        text in prop_oneof![request(), ".{0,60}", "[{}\\[\\]\":,a-z0-9\\\\ ]{0,60}"],
    ) {
        assert_lawful(&text);
    }
}
