//! A client sends compressed messages, and is sent some.

use super::{Script, in_any_chunking};
use flate2::{Decompress, FlushDecompress, Status};
use ringway_dataplane::proto::deflate::{Deflater, InflateFault, Inflater};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Small, so that arbitrary bytes reach it.
const BYTES_MAX: usize = 20_000;
/// What the sender has cut off, and a final block with nothing in it.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

thread_local! {
    /// As a worker has them: one for all, and nothing of one message in the next.
    static DEFLATERS: RefCell<BTreeMap<(u8, u32), Deflater>> = const { RefCell::new(BTreeMap::new()) };
}

type Inflated = Result<Vec<u8>, InflateFault>;

pub fn play_bytes(data: &[u8]) {
    let Some(script) = Script::of(data) else { return };
    if script.bit(5) {
        let bits = [9, 10, 12, 15][usize::from(script.bit(1)) + 2 * usize::from(script.bit(2))];
        let level = [0, 1, 6, 9][usize::from(script.bit(3)) + 2 * usize::from(script.bit(4))];
        return assert_round_trip(bits, level, script.input);
    }
    let keeps_context = script.bit(0);
    let seen = in_any_chunking(script.chunks(), |chunks| play(keeps_context, script.input, chunks));
    // Twice the same message: what the first leaves behind must not matter without context.
    if !keeps_context {
        let alone = plainly(script.input);
        assert_eq!(seen, [alone.clone(), alone]);
    }
}

/// The same message twice through one inflater.
pub fn play(keeps_context: bool, input: &[u8], chunks: &mut dyn Iterator<Item = usize>) -> [Inflated; 2] {
    let mut inflater = Inflater::new(keeps_context);
    [(); 2].map(|()| {
        let (mut out, mut rest) = (Vec::new(), input);
        loop {
            let (piece, after) = rest.split_at(chunks.next().unwrap_or(usize::MAX).min(rest.len()));
            let result = inflater.inflate(piece, after.is_empty(), &mut out, BYTES_MAX);
            assert!(out.capacity() <= BYTES_MAX + 1 && (result.is_err() || out.len() <= BYTES_MAX));
            match result {
                Ok(()) if after.is_empty() => return Ok(out),
                Ok(()) => rest = after,
                Err(fault) => return Err(fault),
            }
        }
    })
}

/// What zlib makes of it, one deflate stream after the other.
fn plainly(message: &[u8]) -> Inflated {
    let whole = [message, &TAIL].concat();
    let mut out = Vec::with_capacity(BYTES_MAX + 1);
    let (mut at, mut stream) = (0, Decompress::new(false));
    while !message.is_empty() {
        let status = stream.decompress_vec(&whole[at..], &mut out, FlushDecompress::None);
        at += stream.total_in() as usize;
        match status {
            _ if out.len() > BYTES_MAX => return Err(InflateFault::TooBig),
            Ok(Status::StreamEnd) if at == message.len() || at == whole.len() => break,
            Ok(Status::StreamEnd) => stream.reset(false),
            _ => return Err(InflateFault::Bad),
        }
    }
    Ok(out)
}

fn assert_round_trip(window_bits: u8, level: u32, plain: &[u8]) {
    let mut compressed = Vec::new();
    DEFLATERS.with_borrow_mut(|made| {
        let deflater = made.entry((window_bits, level)).or_insert_with(|| Deflater::new(window_bits, level));
        deflater.deflate(plain, &mut compressed);
    });
    assert!(compressed.len() <= plain.len() + plain.len() / 8 + 64);
    let mut out = Vec::new();
    Inflater::new(false).inflate(&compressed, true, &mut out, plain.len()).unwrap();
    assert_eq!(out, plain);
    // A client that holds us to the window, and looks into it instead of its output: that is new for each piece.
    let mut client = Decompress::new_with_window_bits(false, window_bits);
    let mut out = Vec::new();
    for piece in [&compressed[..], &TAIL].concat().chunks(16) {
        let mut some = Vec::with_capacity(plain.len() + 64);
        client.decompress_vec(piece, &mut some, FlushDecompress::None).unwrap();
        out.extend(some);
    }
    assert_eq!(out, plain);
}
