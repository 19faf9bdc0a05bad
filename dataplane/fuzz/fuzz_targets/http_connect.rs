//! The HTTP CONNECT handshake against arbitrary clients: lawful, and the same whatever the chunking.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

use ringway_shared::session::Protocol;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::server::play_bytes(Protocol::HttpConnect, data));
