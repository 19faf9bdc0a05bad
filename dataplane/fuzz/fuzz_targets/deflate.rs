//! Compressed messages of arbitrary clients: as zlib sees them, whatever the chunking; and what we compress comes back.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::deflate::play_bytes(data));
