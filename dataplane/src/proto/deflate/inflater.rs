//! Messages made large again: RFC 7692 section 7.2.2, within a limit that holds while they grow.

use super::WINDOW_BITS_MAX;
use flate2::{Decompress, FlushDecompress, Status};
use std::fmt;

/// What the sender has cut off each message (RFC 7692 section 7.2.1), and behind it a final block with nothing in it:
/// only where the message has ended between two blocks will that one be read as such.
const TAIL: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];
/// Of it, what was cut off.
const CUT_OFF_BYTES: usize = 4;
/// The first room an output is given, in bytes; it is doubled as often as needed.
const FIRST_ROOM_BYTES: usize = 4096;

/// Why a message cannot be inflated. Nothing more is to be read from its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InflateFault {
    /// It would be larger than allowed: close code 1009.
    TooBig,
    /// It is not deflate, refers back to before its window, or breaks off within a block: close code 1007.
    Bad,
}

/// Inflates one message after the other. See the module's head for what it costs.
pub struct Inflater {
    stream: Decompress,
    keeps_context: bool,
    /// No byte of a message has come since the last one ended.
    at_start: bool,
    /// The last thing read was the end of a final block: what comes next starts a stream anew.
    at_stream_start: bool,
}

impl Inflater {
    /// `keeps_context`: a message may refer back to those before it, so this one serves one connection only: where
    /// not [`client_no_context_takeover`](super::Negotiated::client_no_context_takeover) was agreed. Without context
    /// it serves any number of connections, each of which brings whole messages: pieces of two must not be mixed.
    ///
    /// Its window is the largest whatever was agreed: a smaller one would save nothing.
    #[must_use]
    pub fn new(keeps_context: bool) -> Inflater {
        let stream = Decompress::new_with_window_bits(false, WINDOW_BITS_MAX);
        Inflater { stream, keeps_context, at_start: true, at_stream_start: true }
    }

    /// Takes the next piece of a message's compressed bytes, and appends what they say to `out`. `last`: the message
    /// ends with them. Pieces may be cut anywhere, and be empty.
    ///
    /// `out` holds what this message has brought so far and may not become longer than `bytes_max`; its capacity
    /// grows with what is written, to `bytes_max + 1` at most.
    ///
    /// A final block (BFINAL, RFC 7692 section 7.2.3.4) ends a deflate stream: the next block starts at the next
    /// byte, and cannot refer back to before it. After a final block a message may end even without the byte that
    /// section asks for, and an empty message may have no byte at all: senders are seen to do so.
    ///
    /// # Errors
    /// As [`InflateFault`] says. What `out` then holds is not the message; the inflater is ready for another one,
    /// which with context only another connection could bring.
    pub fn inflate(
        &mut self,
        compressed: &[u8],
        last: bool,
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), InflateFault> {
        let result = self.piece(compressed, last, out, bytes_max);
        if result.is_err() {
            self.restart();
            self.at_start = true;
        }
        result
    }

    /// Forgets a message that is under way, or the context.
    pub fn reset(&mut self) {
        self.restart();
        self.at_start = true;
    }

    fn piece(
        &mut self,
        compressed: &[u8],
        last: bool,
        out: &mut Vec<u8>,
        bytes_max: usize,
    ) -> Result<(), InflateFault> {
        if !compressed.is_empty() {
            self.at_start = false;
            self.feed(compressed, out, bytes_max)?;
        }
        if last {
            if !self.at_start && !self.at_stream_start {
                self.end(out, bytes_max)?;
            }
            self.at_start = true;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), InflateFault> {
        if self.keeps_context {
            // A final block would end the stream, and with it the context.
            return self.feed(&TAIL[..CUT_OFF_BYTES], out, bytes_max);
        }
        self.feed(&TAIL, out, bytes_max)?;
        if self.at_stream_start { Ok(()) } else { Err(InflateFault::Bad) }
    }

    fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>, bytes_max: usize) -> Result<(), InflateFault> {
        loop {
            if out.len() == out.capacity() {
                // One byte more than allowed is how a message that is too big shows.
                let allowed = bytes_max.saturating_add(1).saturating_sub(out.len());
                out.reserve_exact(out.len().max(FIRST_ROOM_BYTES).min(allowed.max(1)));
            }
            let (read, written) = (self.stream.total_in(), out.len());
            let status = self.stream.decompress_vec(input, out, FlushDecompress::None);
            let status = status.map_err(|_| InflateFault::Bad)?;
            let read = (self.stream.total_in() - read) as usize;
            input = input.get(read..).unwrap_or_default();
            let moved = read > 0 || out.len() > written;
            self.at_stream_start &= !moved;
            if status == Status::StreamEnd {
                self.restart();
            }
            if out.len() > bytes_max {
                return Err(InflateFault::TooBig);
            }
            // Without room left over the stream may have more to write.
            if input.is_empty() && (out.len() < out.capacity() || self.at_stream_start) {
                return Ok(());
            }
            if !moved {
                return Err(InflateFault::Bad);
            }
        }
    }

    fn restart(&mut self) {
        self.stream.reset(false);
        self.at_stream_start = true;
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("keeps_context", &self.keeps_context).finish_non_exhaustive()
    }
}
