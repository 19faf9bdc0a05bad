//! Random clients: any chunking of what they send is the same, and tungstenite agrees.

use crate::play::script;
use crate::play::{
    BINARY, CLOSE, CONTINUATION, DEFLATE, FIN, PING, PONG, RSV1, Seen, TEXT, frame, in_any_chunking, oracle,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ringway_dataplane::proto::deflate::Deflater;
use ringway_dataplane::proto::websocket::{self, Data, Rules};

const RULES: Rules = Rules { frame_bytes_max: 2000, message_bytes_max: 3000 };

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "\\PC{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..200),
        1 => (0usize..2100).prop_map(|length| vec![b'a'; length]),
    ]
}

/// A message in one to four frames, with control frames between them.
fn message(deflate: bool) -> impl Strategy<Value = Vec<u8>> {
    let control = (select(vec![PING, PONG]), vec(any::<u8>(), 0..126));
    let between = prop::option::weighted(0.2, control);
    let cuts = vec((any::<Index>(), between), 0..4);
    let compressed = any::<bool>().prop_map(move |compressed| deflate && compressed);
    (select(vec![TEXT, BINARY]), payload(), compressed, cuts).prop_map(
        |(opcode, payload, compressed, cuts)| {
            let (first, payload) =
                if compressed { (opcode | RSV1, deflated(&payload)) } else { (opcode, payload) };
            let mut parts = cuts;
            parts.sort_by_key(|(cut, _)| cut.index(payload.len() + 1));
            let mut bytes = Vec::new();
            let mut begun = 0;
            let opcode = |begun: &[u8]| if begun.is_empty() { first } else { CONTINUATION };
            for (cut, between) in &parts {
                let end = cut.index(payload.len() + 1);
                let start = std::mem::replace(&mut begun, end);
                bytes.extend(frame(opcode(&bytes), &payload[start..end]));
                bytes.extend(between.iter().flat_map(|(opcode, payload)| frame(FIN | opcode, payload)));
            }
            bytes.extend(frame(FIN | opcode(&bytes), &payload[begun..]));
            bytes
        },
    )
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Deflater::new(15, 1).deflate(plain, &mut out);
    out
}

fn close() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![1000u16..1020, select(vec![2999, 3000, 4999, 5000]), any::<u16>()];
    let reason = prop_oneof!["\\PC{0,30}".prop_map(String::into_bytes), vec(any::<u8>(), 0..4)];
    prop_oneof![
        (code, reason)
            .prop_map(|(code, reason)| frame(FIN | CLOSE, &[&code.to_be_bytes()[..], &reason].concat())),
        vec(any::<u8>(), 0..3).prop_map(|payload| frame(FIN | CLOSE, &payload)),
    ]
}

/// Messages, perhaps a close frame, and in some of them a wrong byte or an early end.
fn client(deflate: bool) -> impl Strategy<Value = Vec<u8>> {
    let messages = vec(message(deflate), 0..6).prop_map(|messages| messages.concat());
    let flaw = prop::option::weighted(0.5, (any::<Index>(), any::<u8>()));
    let cut = prop::option::weighted(0.2, any::<Index>());
    let close = prop::option::weighted(0.5, close());
    (messages, close, messages_behind(deflate), flaw, cut).prop_map(|(messages, close, behind, flaw, cut)| {
        let mut bytes = [messages, close.unwrap_or_default(), behind].concat();
        if let Some((index, byte)) = flaw
            && !bytes.is_empty()
        {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(index) = cut {
            bytes.truncate(index.index(bytes.len() + 1));
        }
        bytes
    })
}

fn messages_behind(deflate: bool) -> impl Strategy<Value = Vec<u8>> {
    prop::option::weighted(0.3, message(deflate)).prop_map(Option::unwrap_or_default)
}

fn chunks() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![4 => 0usize..40, 1 => 0usize..1000], 0..100)
}

proptest! {
    #[test]
    fn any_chunking_is_the_same_and_tungstenite_agrees(bytes in client(false), chunks in chunks()) {
        let seen = in_any_chunking(&bytes, &RULES, None, chunks.into_iter());
        oracle::assert_agreement(&bytes, &RULES, &seen);
    }

    #[test]
    fn any_chunking_is_the_same_with_compressed_messages(bytes in client(true), chunks in chunks()) {
        in_any_chunking(&bytes, &RULES, DEFLATE, chunks.into_iter());
    }

    #[test]
    fn noise_is_the_same_in_any_chunking_and_to_tungstenite(data in vec(prop_oneof![any::<u8>(), 0x80u8..0x8b, 0u8..8], 0..400)) {
        script::play_bytes(&data);
    }

    #[test]
    fn what_is_sent_is_received_as_it_was(text: String, bytes: Vec<u8>, code in 3000u16..5000, reason: String) {
        let mut out = Vec::new();
        websocket::frame(Data::Text, false, text.as_bytes(), &mut out);
        websocket::frame(Data::Binary, false, &bytes, &mut out);
        websocket::ping(&bytes, &mut out);
        websocket::pong(&bytes, &mut out);
        websocket::close_frame(code, &reason, &mut out);
        let short = bytes[..bytes.len().min(125)].to_vec();
        let reason = reason[..reason.floor_char_boundary(websocket::REASON_BYTES_MAX)].to_owned();
        prop_assert_eq!(
            oracle::client_sees(&out),
            [Seen::Text(text), Seen::Binary(bytes), Seen::Ping(short.clone()), Seen::Pong(short), Seen::Close(Some(code), reason)]
        );
    }
}
