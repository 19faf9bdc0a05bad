//! The end of a connection: what a close frame says, and who has sent one (RFC 6455 sections 5.5.1 and 7).

use super::Violation;
use tungstenite::protocol::frame::coding::CloseCode;

/// Reads a close frame's payload: its status code and reason.
pub fn read(payload: &[u8]) -> Result<(Option<u16>, &str), Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok((None, "")) } else { Err(Violation::ClosePayload) };
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(Violation::CloseCode);
    }
    let reason = str::from_utf8(reason).map_err(|_| Violation::InvalidReason)?;
    Ok((Some(code), reason))
}

/// Whether a close frame may carry `code` (section 7.4, and IANA's registry for 1012 to 1014).
#[must_use]
pub fn may_be_sent(code: u16) -> bool {
    const BAD_GATEWAY: u16 = 1014;
    CloseCode::from(code).is_allowed() || code == BAD_GATEWAY
}

/// The closing handshake: each side sends one close frame, and after both the server closes the TCP connection
/// (section 7.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloseHandshake {
    sent: bool,
    received: bool,
}

impl CloseHandshake {
    /// Asks to send a close frame. `false`: one was sent, no other may follow it.
    #[must_use]
    pub fn send(&mut self) -> bool {
        !std::mem::replace(&mut self.sent, true)
    }

    /// The client's close frame came. `true`: it wants an answer; `false`: it is the answer to ours.
    #[must_use]
    pub fn receive(&mut self) -> bool {
        self.received = true;
        self.send()
    }

    /// Nothing but the TCP connection's end is left, once what was sent has left.
    #[must_use]
    pub fn is_done(self) -> bool {
        self.sent && self.received
    }

    /// No data may be sent any more.
    #[must_use]
    pub fn has_sent(self) -> bool {
        self.sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_sends_one_close_frame() {
        let mut by_client = CloseHandshake::default();
        assert!(by_client.receive());
        assert!(by_client.is_done() && !by_client.send());

        let mut by_server = CloseHandshake::default();
        assert!(by_server.send() && by_server.has_sent());
        assert!(!by_server.is_done() && !by_server.send());
        assert!(!by_server.receive());
        assert!(by_server.is_done());
    }

    #[test]
    fn codes_on_the_wire_are_those_of_the_registry() {
        let ranges = [(1000, 1003), (1007, 1014), (3000, 4999)];
        for code in 0..=u16::MAX {
            let listed = ranges.iter().any(|(first, last)| (*first..=*last).contains(&code));
            assert_eq!(may_be_sent(code), listed, "{code}");
        }
    }
}
