//! rustls' many errors as the few that an operator can act upon.

use ringway_shared::tls::TlsFault;
use rustls::{Error, InvalidMessage, PeerMisbehaved};

/// What an error of the protocol is called. `is_established`: the handshake is done.
pub(super) fn fault_of(error: &Error, is_established: bool) -> TlsFault {
    match error {
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => TlsFault::NothingInCommon,
        Error::AlertReceived(_) => TlsFault::RefusedByClient,
        Error::PeerMisbehaved(
            PeerMisbehaved::TooManyEmptyFragments
            | PeerMisbehaved::TooManyKeyUpdateRequests
            | PeerMisbehaved::TooManyRenegotiationRequests
            | PeerMisbehaved::TooManyWarningAlertsReceived
            | PeerMisbehaved::IllegalMiddleboxChangeCipherSpec,
        ) => TlsFault::Flood,
        Error::InvalidMessage(InvalidMessage::MessageTooLarge | InvalidMessage::HandshakePayloadTooLarge) => {
            TlsFault::Flood
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::InvalidEmptyPayload,
        ) if !is_established => TlsFault::NotTls,
        Error::EncryptError => TlsFault::Exhausted,
        _ => TlsFault::Protocol,
    }
}
