//! Datagrams of arbitrary clients: taken apart without loss, and put together exactly when they are whole.

#![no_main]

#[path = "../../tests/play/mod.rs"]
mod play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| play::datagrams::play_bytes(data));
