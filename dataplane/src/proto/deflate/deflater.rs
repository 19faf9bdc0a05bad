//! Messages made small: RFC 7692 section 7.2.1, each for itself.

use super::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use flate2::{Compress, Compression, FlushCompress};
use std::fmt;

/// How each flush ends: an empty block without compression. Its last four bytes are not sent.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// What is left of that block when there is nothing before it: an empty message (section 7.2.3.6).
const EMPTY_MESSAGE: u8 = 0x00;
const LEVEL_MAX: u32 = 9;
/// The first room for the output, in bytes, beyond half of the input.
const ROOM_BYTES: usize = 64;

/// Deflates one message after the other. None refers back to those before it, so one deflater serves any number of
/// connections. See the module's head for what it costs.
pub struct Deflater {
    stream: Compress,
    window_bits: u8,
}

impl Deflater {
    /// `window_bits` from 9 to 15 (the nearest of them counts). `level` from 0, which only wraps, to 9; above 9 is 9.
    #[must_use]
    pub fn new(window_bits: u8, level: u32) -> Deflater {
        let window_bits = window_bits.clamp(WINDOW_BITS_MIN, WINDOW_BITS_MAX);
        let level = Compression::new(level.min(LEVEL_MAX));
        Deflater { stream: Compress::new_with_window_bits(level, false, window_bits), window_bits }
    }

    /// For [`Negotiated::takes_shared`](super::Negotiated::takes_shared).
    #[must_use]
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Appends a message's compressed bytes to `out`. They are at most an eighth and 64 bytes longer than `plain`
    /// (level 1 on noise); whoever finds them no shorter may send `plain` without compression instead.
    pub fn deflate(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        if plain.is_empty() {
            out.push(EMPTY_MESSAGE);
            return;
        }
        self.stream.reset();
        let mut rest = plain;
        let mut room = plain.len() / 2 + ROOM_BYTES;
        loop {
            out.reserve(room);
            let before = self.stream.total_in();
            // Its one error is a misused stream, which cannot come from here: it would end this loop as if all were said.
            let went_on = self.stream.compress_vec(rest, out, FlushCompress::Sync).is_ok();
            rest = rest.get((self.stream.total_in() - before) as usize..).unwrap_or_default();
            // Room left over is how the stream says that it has nothing more to write.
            if !went_on || out.len() < out.capacity() {
                break;
            }
            room = rest.len() + ROOM_BYTES;
        }
        debug_assert!(rest.is_empty() && out.ends_with(&TAIL), "a sync flush ends in an empty block");
        out.truncate(out.len().saturating_sub(TAIL.len()));
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").field("window_bits", &self.window_bits).finish_non_exhaustive()
    }
}
