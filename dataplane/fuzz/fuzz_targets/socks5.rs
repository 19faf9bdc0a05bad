//! The SOCKS5 handshake against arbitrary clients: lawful output, and the same whatever the chunking.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::play_bytes(data));
