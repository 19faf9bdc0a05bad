//! Reading a message that may not be whole yet: `None` always means "more bytes are needed".

use ringway_shared::reason::Reason;

/// `None`: not whole yet.
pub type Message<T> = Option<Result<T, Reason>>;

/// The unread rest of a message.
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Of the rest, what an earlier try has seen and found too little.
    seen: usize,
}

impl<'a> Reader<'a> {
    pub fn over(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes, seen: 0 }
    }

    /// Reads `bytes` again, of which a try that gave `None` has seen the first `seen`.
    pub fn again(bytes: &'a [u8], seen: usize) -> Self {
        Reader { rest: bytes, seen }
    }

    /// How many bytes are still unread.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// The unread bytes; they stay unread.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many of the unread bytes need no second look.
    pub fn seen(&self) -> usize {
        self.seen
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number in network byte order.
    pub fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.first_chunk().copied()
    }

    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        self.seen = self.seen.saturating_sub(count);
        Some(taken)
    }

    /// A field led by its length in one byte, as SOCKS5 writes methods, names and passwords.
    pub fn field(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.bytes(usize::from(length))
    }

    /// A field ended by a NUL, as SOCKS4 writes user ids and names. One longer than `max` is malformed as
    /// soon as it is.
    pub fn terminated(&mut self, max: usize) -> Message<&'a [u8]> {
        let within = &self.rest[..self.rest.len().min(max + 1)];
        match within.iter().position(|byte| *byte == 0) {
            Some(length) => {
                let field = self.bytes(length)?;
                self.byte();
                Some(Ok(field))
            }
            None if within.len() > max => Some(Err(Reason::Malformed)),
            None => None,
        }
    }
}
