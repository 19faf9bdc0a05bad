//! Reading a message that may not be whole yet: `None` always means "more bytes are needed".

use ringway_shared::reason::Reason;

/// `None`: not whole yet.
pub(super) type Message<T> = Option<Result<T, Reason>>;

/// The unread rest of a message.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn over(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// How many bytes are still unread.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The unread bytes; they stay unread.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number in network byte order.
    pub(super) fn port(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// A field led by its length in one byte, as SOCKS5 writes methods, names and passwords.
    pub(super) fn field(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.bytes(usize::from(length))
    }

    /// A field ended by a NUL, as SOCKS4 writes user ids and names. One longer than `max` is malformed as
    /// soon as it is.
    pub(super) fn terminated(&mut self, max: usize) -> Message<&'a [u8]> {
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
