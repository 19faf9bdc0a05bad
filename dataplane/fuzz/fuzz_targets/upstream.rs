//! The client of upstream proxies against arbitrary upstreams: lawful, and the same whatever the chunking.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::upstream::play_bytes(data));
