//! Messages through permessage-deflate: RFC 7692's own examples, round trips, other senders' ways, and bombs.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod play;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringway_dataplane::proto::deflate::{Deflater, InflateFault, Inflater};

const LIMIT: usize = 1 << 20;

fn inflate(inflater: &mut Inflater, compressed: &[u8]) -> Result<Vec<u8>, InflateFault> {
    let mut out = Vec::new();
    inflater.inflate(compressed, true, &mut out, LIMIT).map(|()| out)
}

fn deflate(deflater: &mut Deflater, plain: &[u8]) -> Vec<u8> {
    let mut out = b"before".to_vec();
    deflater.deflate(plain, &mut out);
    assert!(out.starts_with(b"before"), "it appends");
    out.split_off(6)
}

/// Bytes that deflate finds nothing in.
fn noise(bytes: usize) -> Vec<u8> {
    let states = std::iter::successors(Some(88_172_645_463_325_252u64), |state| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    });
    states.map(|state| (state >> 32) as u8).take(bytes).collect()
}

// RFC 7692 section 7.2.3, in its order.

#[test]
fn the_rfcs_one_compressed_block() {
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflate(&mut Inflater::new(false), &hello).unwrap(), b"Hello");
    assert_eq!(deflate(&mut Deflater::new(15, 6), b"Hello"), hello);
    let mut out = Vec::new();
    let mut inflater = Inflater::new(false);
    inflater.inflate(&hello[..3], false, &mut out, LIMIT).unwrap();
    inflater.inflate(&hello[3..], true, &mut out, LIMIT).unwrap();
    assert_eq!(out, b"Hello", "the two fragments of its second example");
}

#[test]
fn the_rfcs_shared_window() {
    let (hello, again) = ([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], [0xf2, 0x00, 0x11, 0x00, 0x00]);
    let mut keeping = Inflater::new(true);
    assert_eq!(inflate(&mut keeping, &hello).unwrap(), b"Hello");
    assert_eq!(inflate(&mut keeping, &again).unwrap(), b"Hello");
    let mut forgetting = Inflater::new(false);
    assert_eq!(inflate(&mut forgetting, &hello).unwrap(), b"Hello");
    assert_eq!(inflate(&mut forgetting, &again), Err(InflateFault::Bad), "there is nothing to refer back to");
    assert_eq!(inflate(&mut forgetting, &hello).unwrap(), b"Hello", "and it serves the next connection");
    let mut deflater = Deflater::new(15, 6);
    assert_eq!(deflate(&mut deflater, b"Hello"), hello);
    assert_eq!(deflate(&mut deflater, b"Hello"), hello, "this side keeps no context");
}

#[test]
fn the_rfcs_block_without_compression() {
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(inflate(&mut Inflater::new(false), &stored).unwrap(), b"Hello");
    assert_eq!(inflate(&mut Inflater::new(true), &stored).unwrap(), b"Hello");
}

#[test]
fn the_rfcs_final_block_and_what_senders_make_of_it() {
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for keeps_context in [false, true] {
        let mut inflater = Inflater::new(keeps_context);
        let with_end = [&hello[..], &[0x00]].concat();
        assert_eq!(inflate(&mut inflater, &with_end).unwrap(), b"Hello", "as the RFC has it");
        assert_eq!(inflate(&mut inflater, &hello).unwrap(), b"Hello", "without the byte at the end");
        let several = [&hello[..], &hello, &with_end].concat();
        assert_eq!(inflate(&mut inflater, &several).unwrap(), b"HelloHelloHello");
        let mut out = Vec::new();
        for byte in &several {
            inflater.inflate(&[*byte], false, &mut out, LIMIT).unwrap();
        }
        inflater.inflate(b"", true, &mut out, LIMIT).unwrap();
        assert_eq!(out, b"HelloHelloHello", "a byte at a time");
    }
    let garbage = [&hello[..], &[0x07, 0x55]].concat();
    assert_eq!(
        inflate(&mut Inflater::new(false), &garbage),
        Err(InflateFault::Bad),
        "a block of type 3 behind it"
    );
}

#[test]
fn the_rfcs_two_blocks_in_one_message() {
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflate(&mut Inflater::new(false), &two).unwrap(), b"Hello");
}

#[test]
fn the_rfcs_empty_message() {
    for keeps_context in [false, true] {
        let mut deflater = Deflater::new(15, 6);
        let mut inflater = Inflater::new(keeps_context);
        for plain in [&b""[..], b"text", b"", b"", b"text"] {
            let compressed = deflate(&mut deflater, plain);
            assert!(!plain.is_empty() || compressed == [0x00]);
            assert_eq!(inflate(&mut inflater, &compressed).unwrap(), plain);
        }
        assert_eq!(inflate(&mut inflater, b"").unwrap(), b"", "no byte at all");
    }
}

// Limits.

#[test]
fn a_bomb_costs_no_more_than_the_limit() {
    // Without context each of these is whole: a gibibyte of zeros, a mebibyte at a time.
    let mebibyte = {
        let mut out = deflate(&mut Deflater::new(15, 9), &vec![0; 1 << 20]);
        out.extend([0x00, 0x00, 0xff, 0xff]);
        out
    };
    let bomb = mebibyte.repeat(1024);
    assert!(bomb.len() < 2 << 20, "{} bytes say a gibibyte", bomb.len());
    for keeps_context in [false, true] {
        let mut inflater = Inflater::new(keeps_context);
        for bytes_max in [0, 1, 4095, 4096, 4097, 100_000, LIMIT] {
            let mut out = Vec::new();
            assert_eq!(inflater.inflate(&bomb, true, &mut out, bytes_max), Err(InflateFault::TooBig));
            assert!(out.capacity() <= bytes_max + 1, "{} for {bytes_max}", out.capacity());
        }
        assert_eq!(inflate(&mut inflater, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
    }
}

#[test]
fn a_message_of_just_the_limit_is_whole() {
    let mut deflater = Deflater::new(15, 6);
    let mut inflater = Inflater::new(false);
    // A used output may have more room than this listener allows.
    let mut out = Vec::with_capacity(3 * LIMIT);
    for bytes in [1, 4095, 4096, 4097, 65_536, LIMIT] {
        let plain = noise(bytes);
        let compressed = deflate(&mut deflater, &plain);
        for out in [&mut Vec::new(), &mut out] {
            out.clear();
            inflater.inflate(&compressed, true, out, bytes).unwrap();
            assert_eq!(*out, plain);
            out.clear();
            assert_eq!(inflater.inflate(&compressed, true, out, bytes - 1), Err(InflateFault::TooBig));
        }
    }
}

#[test]
fn the_limit_is_that_of_the_whole_message() {
    let mut inflater = Inflater::new(false);
    let compressed = deflate(&mut Deflater::new(15, 6), &[7; 1000]);
    let mut out = Vec::new();
    let result = compressed.iter().try_for_each(|byte| inflater.inflate(&[*byte], false, &mut out, 999));
    assert_eq!(result, Err(InflateFault::TooBig));
}

#[test]
fn a_message_that_breaks_off_is_bad() {
    let whole = deflate(
        &mut Deflater::new(15, 6),
        "Was lange währt, wird endlich gut, währt lange. ".repeat(9).as_bytes(),
    );
    let mut inflater = Inflater::new(false);
    for end in 1..whole.len() {
        assert_eq!(
            inflate(&mut inflater, &whole[..end]),
            Err(InflateFault::Bad),
            "cut at {end} of {}",
            whole.len()
        );
    }
    inflate(&mut inflater, &whole).unwrap();
}

#[test]
fn a_reset_forgets_what_is_under_way() {
    let mut inflater = Inflater::new(true);
    inflater.inflate(&[0xf2, 0x48, 0xcd], false, &mut Vec::new(), LIMIT).unwrap();
    inflater.reset();
    assert_eq!(inflate(&mut inflater, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).unwrap(), b"Hello");
}

#[test]
fn a_small_window_is_kept_to() {
    let half = noise(2000);
    let plain = half.repeat(2);
    for window_bits in 9..=15 {
        let mut deflater = Deflater::new(window_bits, 9);
        let compressed = [&deflate(&mut deflater, &plain)[..], &[0, 0, 0xff, 0xff]].concat();
        let mut out = Vec::with_capacity(2 * plain.len());
        let mut held_to_it = Decompress::new_with_window_bits(false, window_bits);
        // In small pieces, so that the window and not the output is what it looks back into.
        for piece in compressed.chunks(100) {
            let mut some = Vec::with_capacity(2 * plain.len());
            held_to_it.decompress_vec(piece, &mut some, FlushDecompress::None).unwrap();
            out.extend(some);
        }
        assert_eq!(out, plain);
        // zlib looks back 262 bytes less than its window has.
        assert_eq!(compressed.len() < 3000, window_bits >= 12, "{window_bits}: {}", compressed.len());
    }
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let words = vec(prop_oneof![Just("price"), Just("{\"a\":"), Just("0"), Just("währung")], 0..200);
    prop_oneof![vec(any::<u8>(), 0..3000), words.prop_map(|words| words.concat().into_bytes())]
}

proptest! {
    #[test]
    fn what_is_deflated_is_inflated(
        messages in vec(message(), 1..6),
        (window_bits, level, keeps_context) in (9u8..=15, 0u32..=9, any::<bool>()),
        chunks in vec(0usize..50, 0..40),
    ) {
        let mut deflater = Deflater::new(window_bits, level);
        let mut inflater = Inflater::new(keeps_context);
        for plain in &messages {
            let compressed = deflate(&mut deflater, plain);
            prop_assert!(compressed.len() <= plain.len() + plain.len() / 8 + 64);
            let (mut out, mut rest) = (Vec::new(), &compressed[..]);
            for chunk in &chunks {
                let (piece, after) = rest.split_at((*chunk).min(rest.len()));
                inflater.inflate(piece, false, &mut out, LIMIT).unwrap();
                rest = after;
            }
            inflater.inflate(rest, true, &mut out, LIMIT).unwrap();
            prop_assert_eq!(&out, plain);
        }
    }

    #[test]
    fn a_client_may_refer_back_to_all_it_has_sent(messages in vec(message(), 1..6)) {
        let mut stream = Compress::new(Compression::new(6), false);
        let mut inflater = Inflater::new(true);
        for plain in messages.iter().filter(|plain| !plain.is_empty()) {
            let mut compressed = Vec::with_capacity(plain.len() * 2 + 100);
            stream.compress_vec(plain, &mut compressed, FlushCompress::Sync).unwrap();
            compressed.truncate(compressed.len() - 4);
            prop_assert_eq!(&inflate(&mut inflater, &compressed).unwrap(), plain);
        }
    }

    #[test]
    fn another_senders_flushes_are_understood(plain in message(), flushes in vec((any::<prop::sample::Index>(), 0usize..3), 0..5)) {
        let mut stream = Compress::new(Compression::new(6), false);
        let mut compressed = Vec::with_capacity(plain.len() * 2 + 1000);
        let mut cuts: Vec<_> = flushes.iter().map(|(at, kind)| (at.index(plain.len() + 1), *kind)).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for (at, kind) in cuts {
            let flush = [FlushCompress::Partial, FlushCompress::Sync, FlushCompress::Full][kind];
            stream.compress_vec(&plain[from..at], &mut compressed, flush).unwrap();
            from = at;
        }
        stream.compress_vec(&plain[from..], &mut compressed, FlushCompress::Finish).unwrap();
        compressed.push(0);
        prop_assert_eq!(inflate(&mut Inflater::new(false), &compressed).unwrap(), plain);
    }

    #[test]
    fn arbitrary_messages_are_what_zlib_makes_of_them_in_any_chunking(
        start in select(vec![&b""[..], b"\x02", b"\x01", b"\x00\x02\x00\xfd\xffab", b"\xf3\x48\xcd\xc9\xc9\x07\x00", b"\x03\x00"]),
        script in vec(any::<u8>(), 0..200),
    ) {
        // One choice, no chunk sizes, then the message; and the script's own choices.
        play::deflate::play_bytes(&[&[0, 0][..], start, &script].concat());
        play::deflate::play_bytes(&script);
    }
}
