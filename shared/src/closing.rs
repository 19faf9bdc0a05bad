//! Every way a WebSocket connection can end, once: one label, one close code, one blamed side.
//!
//! Codes below 3000 are RFC 6455's (section 7.4.1 and its registry). From 3000 on they are those of the Centrifugo family, whose clients come back
//! after 3000-3499 and stay away after 3500-3999.

use crate::reason::Blame;

macro_rules! closings {
    ($( $(#[$doc:meta])* $name:ident = $label:literal, $code:literal, $blame:ident, $text:literal; )*) => {
        /// Every way a WebSocket connection can end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Closing { $( $(#[$doc])* $name, )* }

        impl Closing {
            /// All of them, in the order of their discriminants.
            pub const ALL: &'static [Closing] = &[ $( Closing::$name, )* ];
            const LABELS: &'static [&'static str] = &[ $( $label, )* ];
            const CODES: &'static [u16] = &[ $( $code, )* ];
            const BLAMES: &'static [Blame] = &[ $( Blame::$blame, )* ];
            const TEXTS: &'static [&'static str] = &[ $( $text, )* ];
        }
    };
}

closings! {
    // Before the upgrade there is no close frame: 0.
    /// The client went away before its upgrade request was whole.
    GoneBeforeUpgrade = "gone_before_upgrade", 0, Client, "";
    /// The upgrade was refused with an HTTP status.
    UpgradeRefused = "upgrade_refused", 0, Client, "";
    /// `websocket.handshake_timeout` ran out.
    HandshakeTimeout = "handshake_timeout", 0, Client, "";
    /// The TLS handshake failed.
    TlsFailed = "tls_failed", 0, Client, "";

    /// The client closed, with whatever code.
    ClientClosed = "client_closed", 1000, Nobody, "";
    /// The connection ended without a close frame.
    ClientGone = "client_gone", 1006, Client, "";
    /// The client reset the connection.
    ClientReset = "client_reset", 1006, Client, "";
    /// The client did not answer our close frame within `websocket.close_timeout`.
    CloseTimeout = "close_timeout", 1006, Client, "";

    /// A frame or message breaks RFC 6455 or RFC 7692.
    Protocol = "protocol", 1002, Client, "";
    /// A text is not UTF-8.
    InvalidUtf8 = "invalid_utf8", 1007, Client, "";
    /// A compressed message cannot be inflated.
    InflateFailed = "inflate_failed", 1007, Client, "";
    /// A message is larger than `websocket.max_message_size`.
    MessageTooBig = "message_too_big", 1009, Client, "";
    /// A text is not a request of the protocol spoken here, too often.
    BadRequest = "bad_request", 3501, Client, "bad request";
    /// More messages or bytes per second than allowed.
    TooManyRequests = "too_many_requests", 3013, Client, "too many requests";
    /// No pong, nor anything else, within `websocket.pong_timeout`.
    HeartbeatTimeout = "heartbeat_timeout", 3012, Client, "no pong";
    /// `websocket.idle_timeout` ran out.
    IdleTimeout = "idle_timeout", 3000, Client, "idle";
    /// Its queue is full: it reads too slowly.
    SlowReader = "slow_reader", 3008, Client, "slow";
    /// Its token has expired.
    TokenExpired = "token_expired", 3005, Client, "expired";

    /// The publish API told it to go.
    Kicked = "kicked", 3503, Us, "disconnected";
    /// A newer session of its user took its place.
    Replaced = "replaced", 3503, Us, "replaced by a newer session";
    /// The operator ended it (`DELETE /api/v1/connections/{id}`, `POST /api/v1/connections/kill`): clients of the Centrifugo family stay away.
    Killed = "killed", 3503, Us, "ended by the operator";
    /// The control port took back its leave to read the feed.
    LeaveRevoked = "leave_revoked", 3507, Us, "permission denied";
    /// The process drains.
    Drained = "drained", 1012, Us, "service restart";
    /// A fault of ours.
    Internal = "internal", 1011, Us, "internal error";
    /// Writing to the socket failed.
    WriteFailed = "write_failed", 1006, Client, "";
}

impl Closing {
    /// How many there are.
    pub const COUNT: usize = Closing::ALL.len();

    /// The name used in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }

    /// The close code: sent where a close frame is sent; 1006 where none was exchanged, 0 before the upgrade.
    #[must_use]
    pub fn code(self) -> u16 {
        Self::CODES[self as usize]
    }

    /// Whose doing it was.
    #[must_use]
    pub fn blame(self) -> Blame {
        Self::BLAMES[self as usize]
    }

    /// What the close frame says beside the code.
    #[must_use]
    pub fn text(self) -> &'static str {
        Self::TEXTS[self as usize]
    }

    /// Whether it counts as an error (`websocket_errors`).
    #[must_use]
    pub fn is_error(self) -> bool {
        !matches!(
            self,
            Closing::ClientClosed
                | Closing::Kicked
                | Closing::Replaced
                | Closing::Killed
                | Closing::LeaveRevoked
                | Closing::Drained
                | Closing::IdleTimeout
        )
    }
}

impl Closing {
    /// Whether the connection failed, as [`Reason::is_failure`](crate::reason::Reason::is_failure) has it: narrower than
    /// [`Closing::is_error`], which counts every client that did not say goodbye.
    ///
    /// | ends | failures |
    /// | --- | --- |
    /// | closed by the client, or left without a word (pages are closed, networks change) | no |
    /// | silent or idle for too long; its token has expired | no |
    /// | ended by the operator or the publish API; replaced; drained | no |
    /// | the upgrade was refused, TLS failed | yes |
    /// | what the client said breaks its protocol or a limit; it reads too slowly | yes |
    /// | a fault of ours | yes |
    #[must_use]
    pub fn is_failure(self) -> bool {
        use Closing as C;
        match self {
            C::ClientClosed | C::GoneBeforeUpgrade | C::ClientGone | C::ClientReset => false,
            // Its socket was gone when we wrote to it.
            C::WriteFailed => false,
            C::HandshakeTimeout | C::CloseTimeout | C::HeartbeatTimeout | C::IdleTimeout => false,
            C::TokenExpired => false,
            C::Kicked | C::Replaced | C::Killed | C::LeaveRevoked | C::Drained => false,

            C::UpgradeRefused | C::TlsFailed => true,
            C::Protocol | C::InvalidUtf8 | C::InflateFailed | C::MessageTooBig | C::BadRequest => true,
            C::TooManyRequests | C::SlowReader => true,
            C::Internal => true,
        }
    }
}

/// The close codes that have a sample of their own in `websocket_closes`; all others are `other`.
pub const CODES: [u16; 24] = [
    1000, 1001, 1002, 1003, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3001, 3005,
    3008, 3012, 3013, 3500, 3501, 3503, 3507,
];

/// The label of each code, and of all others.
pub const CODE_LABELS: [&str; CLOSE_CODES] = [
    "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012", "1013",
    "1014", "3000", "3001", "3005", "3008", "3012", "3013", "3500", "3501", "3503", "3507", "other",
];
/// How many samples `websocket_closes` has.
pub const CLOSE_CODES: usize = CODES.len() + 1;

/// The place of a code in [`CODES`]; their number for all others.
#[must_use]
pub fn code_index(code: u16) -> usize {
    CODES.iter().position(|held| *held == code).unwrap_or(CODES.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every closing stands on one side: a new one has to be put somewhere.
    #[test]
    fn who_left_or_was_sent_away_has_not_failed_and_all_others_have() {
        const FAILURES: &[&str] = &[
            "upgrade_refused",
            "tls_failed",
            "protocol",
            "invalid_utf8",
            "inflate_failed",
            "message_too_big",
            "bad_request",
            "too_many_requests",
            "slow_reader",
            "internal",
        ];
        let failed = |closing: &&Closing| closing.is_failure();
        let failed: Vec<_> = Closing::ALL.iter().filter(failed).map(|closing| closing.label()).collect();
        assert_eq!(failed, FAILURES);
        assert!(Closing::ALL.iter().all(|closing| !closing.is_failure() || closing.is_error()));
    }

    #[test]
    fn labels_are_distinct_and_codes_have_samples() {
        for closing in Closing::ALL {
            assert_eq!(Closing::ALL.iter().filter(|other| other.label() == closing.label()).count(), 1);
            assert_eq!(CODE_LABELS[code_index(1012)], "1012");
            assert!(closing.code() == 0 || CODES.contains(&closing.code()), "{closing:?}");
        }
    }
}
