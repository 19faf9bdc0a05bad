//! A client of the plain JSON protocol says something.

use ringway_dataplane::proto::pubsub_json::{
    Ask, ID_BYTES_MAX, error, message, parse, pong, published, subscribed,
};
use ringway_shared::topic::Topic;
use serde_json::Value;
use serde_json::value::RawValue;

pub fn play_bytes(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        assert_lawful(text);
    }
}

/// Asserts what holds of every text: a request is what a general parser makes of it, and what goes back is JSON.
pub fn assert_lawful(text: &str) {
    let mut out = Vec::new();
    match parse(text) {
        Err(fault) => {
            error(fault.code, &fault.message, fault.id, &mut out);
            let answer = object(&out);
            assert_eq!(answer["code"], fault.code.number());
            assert!(fault.message.len() < 200, "{}", fault.message);
            assert_id(text, fault.id, &answer);
        }
        Ok(request) => match request.ask {
            Ask::BarePing => assert_eq!(text.trim_ascii(), "ping"),
            Ask::Ping => {
                assert_eq!(whole(text).map_or("ping".into(), |text| text["type"].clone()), "ping");
                pong(request.id, &mut out);
                assert_id(text, request.id, &object(&out));
            }
            Ask::Subscribe { topic } | Ask::Unsubscribe { topic } => {
                assert!(Topic::parse(&topic).is_ok());
                subscribed(&topic, request.id, &mut out);
                let answer = object(&out);
                assert_eq!(answer["topic"], *topic);
                assert_id(text, request.id, &answer);
            }
            Ask::Publish { topic, data } => {
                assert!(!Topic::parse(&topic).unwrap().is_pattern());
                published(&topic, request.id, &mut out);
                assert_id(text, request.id, &object(&out));
                assert_passed_on(text, &topic, data);
            }
        },
    }
}

fn assert_passed_on(text: &str, topic: &str, data: &RawValue) {
    assert!(text.contains(data.get()), "byte for byte");
    let mut out = Vec::new();
    message(topic, data.get(), Some(u64::MAX), &mut out);
    let out = String::from_utf8(out).unwrap();
    serde_json::from_str::<&RawValue>(&out).unwrap();
    // A parser that holds numbers and characters to be of a kind may refuse what is well-formed.
    let (Ok(message), Some(whole)) = (serde_json::from_str::<Value>(&out), whole(text)) else { return };
    assert_eq!((&message["type"], &message["topic"]), (&"message".into(), &topic.into()));
    let said = if whole["topic"].is_null() { &whole["data"]["data"] } else { &whole["data"] };
    assert_eq!(&message["data"], said);
}

fn assert_id(text: &str, id: Option<&RawValue>, answer: &Value) {
    let Some(id) = id else {
        return assert!(answer.get("id").is_none());
    };
    assert!(id.get().len() <= ID_BYTES_MAX && text.contains(id.get()));
    if let Some(whole) = whole(text) {
        assert_eq!(whole["id"], answer["id"]);
    }
}

/// As a general parser reads it; of a key that stands twice it takes the last.
fn whole(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

fn object(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).unwrap();
    serde_json::from_str::<&RawValue>(text).unwrap();
    // An `id` may be a number beyond what this parser holds.
    serde_json::from_str(text).unwrap_or_else(|_| {
        let end = text.rfind(",\"id\":").unwrap();
        serde_json::from_str(&format!("{}}}", &text[..end])).unwrap()
    })
}
