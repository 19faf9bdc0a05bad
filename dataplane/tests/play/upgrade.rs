//! A client opens a WebSocket connection.

use super::{Script, in_any_chunking};
use ringway_dataplane::proto::deflate::{Settings, negotiate};
use ringway_dataplane::proto::upgrade::{HEAD_BYTES_MAX, Refusal, Request, Upgrade, accept};

/// What came of a request, and how many bytes of the input were its head.
pub type Seen = Option<(Result<Request, Refusal>, usize)>;

pub fn play_bytes(data: &[u8]) {
    let Some(script) = Script::of(data) else { return };
    let seen = in_any_chunking(script.chunks(), |chunks| play(script.input, chunks));
    assert_lawful(script.input, &seen);
}

pub fn play(input: &[u8], chunks: &mut dyn Iterator<Item = usize>) -> Seen {
    let mut upgrade = Upgrade::default();
    let mut rest = input;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunks.next().unwrap_or(usize::MAX).min(rest.len()));
        if let Some(result) = upgrade.receive(chunk) {
            let taken = if result.is_ok() { input.len() - rest.len() + upgrade.taken() } else { 0 };
            return Some((result, taken));
        }
        assert!(upgrade.held_bytes() < HEAD_BYTES_MAX);
        rest = after;
    }
    None
}

/// Asserts what holds of every request, whatever was sent.
pub fn assert_lawful(input: &[u8], seen: &Seen) {
    match seen {
        None => {
            assert!(input.len() < HEAD_BYTES_MAX && !input.windows(4).any(|window| window == b"\r\n\r\n"));
        }
        Some((Err(refusal), _)) => {
            let mut out = Vec::new();
            refusal.write(&mut out);
            let answer = Answer::of(&out);
            assert_eq!(answer.status, refusal.status);
            assert!(refusal.without_body == answer.body.is_empty());
            let body = serde_json::from_slice::<serde_json::Value>(&answer.body);
            assert!(refusal.without_body || body.unwrap()["error"]["hint"] == refusal.hint);
        }
        Some((Ok(request), taken)) => {
            assert!(input[..*taken].ends_with(b"\r\n\r\n") && *taken <= HEAD_BYTES_MAX);
            assert!(request.path.starts_with('/') && !request.host.is_empty());
            let _ = request.query_value("token");
            let fields: Vec<_> = request.extensions.iter().map(String::as_str).collect();
            let settings = Settings { window_bits: 15, context_takeover: false };
            let agreed = negotiate(&fields, &settings).map(|(_, answer)| answer);
            let mut out = Vec::new();
            accept(&request.key, request.protocols.first().map(|name| &**name), agreed.as_deref(), &mut out);
            assert_eq!(Answer::of(&out).status, 101);
        }
    }
}

/// An answer as any HTTP client reads it.
struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let length = response.parse(bytes).unwrap().unwrap();
        Answer { status: response.code.unwrap(), body: bytes[length..].to_vec() }
    }
}
