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

/// A service that can be reached by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TlsService {
    Socks5,
    WebSocket,
}

impl TlsService {
    pub const ALL: [TlsService; 2] = [TlsService::Socks5, TlsService::WebSocket];

    /// The name of its section in the configuration, and of its metrics' label.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["socks5", "websocket"][self as usize]
    }
}

/// What a TLS handshake came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TlsResult {
    Succeeded,
    /// The client went away.
    ClientGone,
    /// The service's handshake time-out ran out.
    TimedOut,
    NotTls,
    NothingInCommon,
    RefusedByClient,
    Protocol,
    Flood,
}

impl TlsResult {
    pub const ALL: [TlsResult; 8] = [
        TlsResult::Succeeded,
        TlsResult::ClientGone,
        TlsResult::TimedOut,
        TlsResult::NotTls,
        TlsResult::NothingInCommon,
        TlsResult::RefusedByClient,
        TlsResult::Protocol,
        TlsResult::Flood,
    ];

    /// The name used in metrics and logs; that of the fault where there was one.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            TlsResult::Succeeded => "success",
            TlsResult::ClientGone => "client_gone",
            TlsResult::TimedOut => "timeout",
            TlsResult::NotTls => TlsFault::NotTls.label(),
            TlsResult::NothingInCommon => TlsFault::NothingInCommon.label(),
            TlsResult::RefusedByClient => TlsFault::RefusedByClient.label(),
            TlsResult::Protocol => TlsFault::Protocol.label(),
            TlsResult::Flood => TlsFault::Flood.label(),
        }
    }
}

impl From<TlsFault> for TlsResult {
    /// What a handshake came to that ended by this fault.
    fn from(fault: TlsFault) -> TlsResult {
        match fault {
            TlsFault::NotTls => TlsResult::NotTls,
            TlsFault::NothingInCommon => TlsResult::NothingInCommon,
            TlsFault::RefusedByClient => TlsResult::RefusedByClient,
            TlsFault::Protocol | TlsFault::Exhausted => TlsResult::Protocol,
            TlsFault::Flood => TlsResult::Flood,
            TlsFault::Truncated => TlsResult::ClientGone,
        }
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
