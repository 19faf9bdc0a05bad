//! Arbitrary texts in the plain JSON protocol: requests as a general parser reads them, answers that are JSON.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::pubsub_json::play_bytes(data));
