//! How TLS connections go wrong, once: metrics and logs say the same words.

/// What ended a TLS connection, or kept it from beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TlsFault {
    /// What the client sent first is no TLS record.
    NotTls,
    /// Client and server share no protocol version, cipher suite, key exchange or signature scheme, or no
    /// application protocol.
    NothingInCommon,
    /// The client sent an alert: it does not trust the certificate, for example.
    RefusedByClient,
    /// A message breaks the protocol, or was tampered with on its way.
    Protocol,
    /// Messages beyond their limits, or too many that carry no data.
    Flood,
    /// The client's stream ended without saying so in TLS (no close_notify): what came may have been cut short.
    Truncated,
    /// Keys were used for as much as they may be.
    Exhausted,
}

impl TlsFault {
    pub const ALL: &'static [TlsFault] = &[
        TlsFault::NotTls,
        TlsFault::NothingInCommon,
        TlsFault::RefusedByClient,
        TlsFault::Protocol,
        TlsFault::Flood,
        TlsFault::Truncated,
        TlsFault::Exhausted,
    ];
    pub const COUNT: usize = Self::ALL.len();

    /// The one name of this fault, in metrics and in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["not_tls", "nothing_in_common", "refused_by_client", "protocol", "flood", "truncated", "exhausted"]
            [self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discriminants_index_the_labels() {
        for (index, fault) in TlsFault::ALL.iter().enumerate() {
            assert_eq!(*fault as usize, index);
            assert!(fault.label().bytes().all(|b| b == b'_' || b.is_ascii_lowercase()));
        }
    }
}
