//! What is said to the connection that is being read, behind what has been said to others that were read before it.

use std::ops::Range;

/// Frames for the connection that is being read. Before them lie those of connections that are written to together with it.
#[derive(Default)]
pub(super) struct Answers {
    bytes: Vec<u8>,
    /// Where this connection's own begin.
    begin: usize,
}

impl Answers {
    /// For appending.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// This connection's.
    pub fn own(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    /// Throws this connection's away.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.begin);
    }

    /// Puts this connection's aside until all of those are sent; where they lie.
    pub fn set_aside(&mut self) -> Range<usize> {
        let begin = std::mem::replace(&mut self.begin, self.bytes.len());
        begin..self.begin
    }

    /// As [`Answers::set_aside`] said.
    pub fn aside(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    /// The last that were put aside are sent, or queued.
    pub fn forget_last(&mut self, range: Range<usize>) {
        self.bytes.truncate(range.start);
        self.begin = range.start;
    }

    /// All that were put aside are sent, or queued.
    pub fn forget_aside(&mut self) {
        self.bytes.drain(..self.begin);
        self.begin = 0;
    }
}
