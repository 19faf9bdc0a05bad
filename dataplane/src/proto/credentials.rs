//! What a client says it is.

/// A name and a password. Wiped when dropped, and `Debug` never shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub name: Box<[u8]>,
    pub password: Box<[u8]>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(<redacted>)")
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        wipe(&mut self.name);
        wipe(&mut self.password);
    }
}

/// Overwrites bytes that may be a password. A best effort: what the allocator moved before is out of reach.
pub fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Or the compiler leaves out a write that nobody reads.
    std::hint::black_box(bytes);
}
