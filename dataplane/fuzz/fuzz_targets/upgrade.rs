//! The opening handshake against arbitrary clients: lawful, and the same whatever the chunking.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::upgrade::play_bytes(data));
