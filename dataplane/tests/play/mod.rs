//! Plays whole conversations in any chunking, and knows what must be said in them. Shared by chunking.rs, soak.rs and
//! fuzz/: `server` plays a client against our handshake, `upstream` an upstream proxy against our client,
//! `proxy_header` the PROXY protocol, `datagrams` those of a UDP association, `upgrade` WebSocket's opening,
//! `deflate` its compressed messages, `pubsub_json` requests of the plain JSON protocol.

// Each of them uses its part; a test's helper may panic.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used)]

pub mod datagrams;
pub mod deflate;
pub mod proxy_header;
pub mod pubsub_json;
pub mod server;
pub mod upgrade;
pub mod upstream;

/// The conversation as `play` tells it of the whole input, once it has told the same of these chunks and of single bytes.
pub fn in_any_chunking<S: PartialEq + std::fmt::Debug>(
    mut chunks: impl Iterator<Item = usize>,
    play: impl Fn(&mut dyn Iterator<Item = usize>) -> S,
) -> S {
    let whole = play(&mut std::iter::empty());
    assert_eq!(play(&mut chunks), whole);
    assert_eq!(play(&mut std::iter::repeat(1)), whole);
    whole
}

/// One execution of a fuzzer: the first byte chooses how our own side behaves, the second how many of the bytes
/// behind it are chunk sizes; the rest is what the other side sends.
pub struct Script<'a> {
    choice: u8,
    sizes: &'a [u8],
    pub input: &'a [u8],
}

impl<'a> Script<'a> {
    pub fn of(data: &'a [u8]) -> Option<Script<'a>> {
        let [choice, sizes, rest @ ..] = data else { return None };
        let (sizes, input) = rest.split_at(usize::from(*sizes).min(rest.len()));
        Some(Script { choice: *choice, sizes, input })
    }

    pub fn bit(&self, index: u8) -> bool {
        self.choice >> index & 1 == 1
    }

    pub fn chunks(&self) -> impl Iterator<Item = usize> {
        self.sizes.iter().map(|size| usize::from(*size))
    }
}
