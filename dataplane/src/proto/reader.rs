//! Reading a message that may not be whole yet: `None` always means "more bytes are needed".

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

    /// A field led by its length in one byte, as SOCKS5 writes methods, names and passwords.
    pub(super) fn field(&mut self) -> Option<&'a [u8]> {
        let (&length, after) = self.rest.split_first()?;
        let (field, rest) = after.split_at_checked(usize::from(length))?;
        self.rest = rest;
        Some(field)
    }
}
