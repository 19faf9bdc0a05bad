//! How a client can break the protocol, and what it is told.

use ringway_shared::closing::Closing;

/// A connection ends with its first violation: nothing behind it is read (RFC 6455 section 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    ReservedBits,
    ReservedOpcode,
    FragmentedControl,
    ControlTooLong,
    NothingToContinue,
    MessageUnfinished,
    Unmasked,
    BadLength,
    FrameTooBig,
    MessageTooBig,
    InvalidText,
    BadDeflate,
    InflatedTooBig,
    ClosePayload,
    CloseCode,
    InvalidReason,
}

impl Violation {
    pub const ALL: [Violation; 16] = [
        Violation::ReservedBits,
        Violation::ReservedOpcode,
        Violation::FragmentedControl,
        Violation::ControlTooLong,
        Violation::NothingToContinue,
        Violation::MessageUnfinished,
        Violation::Unmasked,
        Violation::BadLength,
        Violation::FrameTooBig,
        Violation::MessageTooBig,
        Violation::InvalidText,
        Violation::BadDeflate,
        Violation::InflatedTooBig,
        Violation::ClosePayload,
        Violation::CloseCode,
        Violation::InvalidReason,
    ];

    /// How the connection ends: its label in the metrics, its close code.
    #[must_use]
    pub fn closing(self) -> Closing {
        self.facts().0
    }

    /// The status code of the close frame that answers it (RFC 6455 section 7.4.1).
    #[must_use]
    pub fn code(self) -> u16 {
        self.closing().code()
    }

    /// What it is counted as in `websocket_errors`.
    #[must_use]
    pub fn label(self) -> &'static str {
        self.closing().label()
    }

    /// What was wrong and which rule says so, for the close frame's reason: at most 123 bytes.
    #[must_use]
    pub fn text(self) -> &'static str {
        self.facts().1
    }

    fn facts(self) -> (Closing, &'static str) {
        let protocol = |text| (Closing::Protocol, text);
        let invalid_utf8 = |text| (Closing::InvalidUtf8, text);
        let too_big = |text| (Closing::MessageTooBig, text);
        match self {
            Violation::ReservedBits => {
                protocol("a reserved bit is set that no extension gave a meaning (RFC 6455 section 5.2)")
            }
            Violation::ReservedOpcode => protocol("the opcode is reserved (RFC 6455 section 5.2)"),
            Violation::FragmentedControl => {
                protocol("a control frame must not be fragmented (RFC 6455 section 5.5)")
            }
            Violation::ControlTooLong => {
                protocol("a control frame has at most 125 bytes of payload (RFC 6455 section 5.5)")
            }
            Violation::NothingToContinue => {
                protocol("a continuation frame continues no message (RFC 6455 section 5.4)")
            }
            Violation::MessageUnfinished => {
                protocol("a new message before the last fragment of the old one (RFC 6455 section 5.4)")
            }
            Violation::Unmasked => protocol("a client's frame must be masked (RFC 6455 section 5.1)"),
            Violation::BadLength => {
                protocol("the payload length is not in its shortest form (RFC 6455 section 5.2)")
            }
            Violation::FrameTooBig => too_big("the frame is larger than this server allows"),
            Violation::MessageTooBig => too_big("the message is larger than this server allows"),
            Violation::InvalidText => {
                invalid_utf8("a text message is not valid UTF-8 (RFC 6455 section 8.1)")
            }
            Violation::BadDeflate => {
                (Closing::InflateFailed, "the compressed message cannot be inflated (RFC 7692 section 7.2.2)")
            }
            Violation::InflatedTooBig => too_big("the message inflates to more than this server allows"),
            Violation::ClosePayload => protocol(
                "a close frame's payload is empty or begins with a status code (RFC 6455 section 5.5.1)",
            ),
            Violation::CloseCode => {
                protocol("the status code must not be sent in a close frame (RFC 6455 section 7.4)")
            }
            Violation::InvalidReason => {
                invalid_utf8("a close frame's reason is not valid UTF-8 (RFC 6455 section 5.5.1)")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::websocket::REASON_BYTES_MAX;

    #[test]
    fn each_has_a_code_of_the_rfc_and_a_reason_that_fits() {
        for (index, violation) in Violation::ALL.into_iter().enumerate() {
            assert_eq!(Violation::ALL.iter().position(|other| *other == violation), Some(index));
            assert!([1002, 1007, 1009].contains(&violation.code()), "{violation:?}");
            assert!((1..=REASON_BYTES_MAX).contains(&violation.text().len()), "{violation:?}");
        }
    }
}
