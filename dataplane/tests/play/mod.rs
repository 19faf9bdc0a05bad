//! Plays whole conversations in any chunking, and knows what must be said in them. Shared by chunking.rs, soak.rs and
//! fuzz/: `server` plays a client against our handshake, `upstream` an upstream proxy against our client,
//! `proxy_header` the PROXY protocol.

// Each of them uses its part; a test's helper may panic.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used)]

pub mod proxy_header;
pub mod server;
pub mod upstream;

/// One execution of the fuzzer: the first byte chooses how the other side behaves, the second how many of the bytes
/// behind it are chunk sizes; the rest is sent, whole, in those chunks and a byte at a time.
pub struct Script<'a> {
    pub choice: u8,
    pub input: &'a [u8],
    sizes: &'a [u8],
}

impl<'a> Script<'a> {
    pub fn of(data: &'a [u8]) -> Option<Script<'a>> {
        let [choice, sizes, rest @ ..] = data else { return None };
        let (sizes, input) = rest.split_at(usize::from(*sizes).min(rest.len()));
        Some(Script { choice: *choice, input, sizes })
    }

    pub fn bit(&self, index: u8) -> bool {
        self.choice >> index & 1 == 1
    }

    /// The conversation as `play` tells it of the whole input, once it has told the same of all chunkings.
    pub fn in_any_chunking<S: PartialEq + std::fmt::Debug>(
        &self,
        play: impl Fn(&mut dyn Iterator<Item = usize>) -> S,
    ) -> S {
        let whole = play(&mut std::iter::empty());
        assert_eq!(play(&mut self.sizes.iter().map(|size| usize::from(*size))), whole);
        assert_eq!(play(&mut std::iter::repeat(1)), whole);
        whole
    }
}
