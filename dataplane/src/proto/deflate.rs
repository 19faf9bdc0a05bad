//! permessage-deflate (RFC 7692): what is agreed at the upgrade, and messages made small and large again. The one
//! door to `flate2`, whose back end zlib-rs is pure Rust and honours window bits.
//!
//! [`negotiate`] answers a client's offers. [`Inflater`] takes a message's compressed bytes and never makes more of
//! them than the caller allows; [`Deflater`] makes a message's compressed bytes. Frames are not known here:
//! `websocket` joins and cuts them.
//!
//! Memory, measured (zlib-rs 0.6): an [`Inflater`] takes 47.6 kB of heap whatever the window, a [`Deflater`] 380 kB
//! with a window of 15 bits, 265 kB with 12, 250 kB with 9. So this side never keeps a context from one message to the
//! next: one deflater serves all connections of a worker, and one compressed message all subscribers that agreed to
//! its window. Clients may keep theirs where the configuration says so; else one inflater serves all of them too.

mod deflater;
mod inflater;
mod offers;

pub use deflater::Deflater;
pub use inflater::{InflateFault, Inflater};
pub(super) use offers::is_token;
pub use offers::{Malformed, negotiate, well_formed};

/// The base-2 logarithm of the largest window deflate has (RFC 1951 section 2), and what is agreed when nobody
/// speaks of windows (RFC 7692 section 7.1.2).
pub const WINDOW_BITS_MAX: u8 = 15;
/// RFC 7692 knows windows of 8 bits; zlib makes no raw deflate of them, and quietly takes 9.
pub const WINDOW_BITS_MIN: u8 = 9;

/// What a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest window of either side, as a base-2 logarithm; outside of 9..=15 the nearest of them counts. A
    /// client is held to a smaller one only if it says that it can be.
    pub window_bits: u8,
    /// Whether a client may keep its window from one message to the next. It sends less, and costs an [`Inflater`]
    /// of its own.
    pub context_takeover: bool,
}

impl Settings {
    fn window_bits(&self) -> u8 {
        self.window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX)
    }
}

/// What one connection has agreed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// Whether each message of the client stands for itself, so that any [`Inflater`] may read it.
    pub client_no_context_takeover: bool,
    pub server_window_bits: u8,
    pub client_window_bits: u8,
}

impl Negotiated {
    /// Whether a message that a [`Deflater`] has compressed within a window of `window_bits` may be sent here: so a
    /// publication is compressed once for all such connections.
    #[must_use]
    pub fn takes_shared(self, window_bits: u8) -> bool {
        window_bits <= self.server_window_bits
    }
}
