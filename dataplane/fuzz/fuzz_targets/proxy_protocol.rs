//! The PROXY protocol against arbitrary proxies: lawful, and the same whatever the chunking.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::proxy_header::play_bytes(data));
