//! A fuzzer's bytes as a client's.

use super::{DEFLATE, RSV1, frame, in_any_chunking, oracle};
use ringway_dataplane::proto::websocket::Rules;

/// Small, so that a few bytes reach them.
const TIGHT: Rules = Rules { frame_bytes_max: 200, message_bytes_max: 300 };
const WIDE: Rules = Rules { frame_bytes_max: 4_000, message_bytes_max: 5_000 };

/// More than this is not sent: single bytes are read one by one.
const SENT_BYTES_MAX: usize = 6_000;

/// One execution: the first byte chooses the rules, the second how many of the bytes behind it are sizes of reads. The
/// rest is what the client sends, or records that say it: a frame's first byte, its payload's length, its payload.
/// From 250 on a length stands for one that is longer than the record.
pub fn play_bytes(data: &[u8]) {
    let [choice, sizes, rest @ ..] = data else { return };
    let (sizes, input) = rest.split_at(usize::from(*sizes).min(rest.len()));
    let chunks = sizes.iter().map(|size| usize::from(*size));
    let chosen = |bit: u8| choice >> bit & 1 == 1;
    let bytes = if chosen(0) { frames(input) } else { input.to_vec() };
    let rules = if chosen(1) { TIGHT } else { WIDE };
    let deflate = if chosen(2) { DEFLATE } else { None };
    let seen = in_any_chunking(&bytes, &rules, deflate, chunks);
    if deflate.is_none() {
        oracle::assert_agreement(&bytes, &rules, &seen);
    }
}

fn frames(mut records: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let [first, length, rest @ ..] = records
        && bytes.len() < SENT_BYTES_MAX
    {
        let payload_bytes = match length {
            250 => 126,
            251 => 200,
            252 => 201,
            253 => 300,
            254 => 1000,
            255 => 3_000,
            length => usize::from(*length),
        };
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        records = rest;
        let mut payload = payload.to_vec();
        if *length >= 250 {
            payload.resize(payload_bytes, b'a');
        }
        // The rarest of choices is the reserved bits, but for the one that means something.
        let reserved = if first & 0x30 == 0x30 { 0x30 } else { 0 };
        bytes.extend(frame(first & (0x8f | RSV1) | reserved, &payload));
    }
    bytes
}
