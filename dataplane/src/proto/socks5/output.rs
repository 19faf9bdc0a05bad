//! What a handshake has to say, held inline: every answer has a known, small length.

/// Bytes a handshake may have to say at once: method selection, authentication status, reply.
pub const OUTPUT_MAX: usize = 2 + 2 + 22;

/// Bytes for the client. Dereferences to a slice.
#[derive(Clone, Copy, Default)]
pub struct Output {
    bytes: [u8; OUTPUT_MAX],
    length: u8,
}

const _: () = assert!(OUTPUT_MAX <= u8::MAX as usize);

impl Output {
    /// Each state of a handshake answers at most once, so [`OUTPUT_MAX`] holds them all.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        let Some(free) = self.bytes.get_mut(start..start + bytes.len()) else {
            debug_assert!(false, "a handshake said more than {OUTPUT_MAX} bytes");
            return;
        };
        free.copy_from_slice(bytes);
        self.length += bytes.len() as u8;
    }
}

impl std::ops::Deref for Output {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", &**self)
    }
}
