//! Frames of arbitrary clients: lawful, the same whatever the chunking, and as tungstenite's own server sees them.

#![no_main]

#[path = "../../tests/websocket_frames/play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::script::play_bytes(data));
