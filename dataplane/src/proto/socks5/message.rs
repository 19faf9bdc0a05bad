//! The client's three messages: how each is laid out and what in it is an error.
//!
//! Checks run in the order of the bytes, each as soon as its byte is there, so that chunking changes nothing.

use super::{ATYP_IPV4, ATYP_IPV6, ATYP_NAME, AUTHENTICATION_VERSION, VERSION};
use crate::proto::credentials::Credentials;
use crate::proto::host;
use crate::proto::reader::{Message, Reader};
use crate::proto::request::{self, Request};
use ringway_shared::config::Commands;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Host, Target};
use std::net::{IpAddr, Ipv4Addr};

/// The longest message: VER, ULEN, 255 bytes, PLEN, 255 bytes.
pub const LENGTH_MAX: usize = 1 + 1 + 255 + 1 + 255;

/// VER NMETHODS METHODS (RFC 1928 section 3); `wanted` must be among the methods.
pub fn greeting(input: &mut Reader, wanted: u8) -> Message<()> {
    if input.byte()? != VERSION {
        return Some(Err(Reason::BadVersion));
    }
    // NMETHODS 0 offers nothing and is answered at once: there is no more to wait for.
    let methods = input.field()?;
    Some(if methods.contains(&wanted) { Ok(()) } else { Err(Reason::NoAcceptableMethod) })
}

/// VER ULEN UNAME PLEN PASSWD (RFC 1929 section 2). The RFC counts lengths from 1; clients send empty
/// fields too, and whether those are right is for the users file to say.
pub fn credentials(input: &mut Reader) -> Message<Credentials> {
    if input.byte()? != AUTHENTICATION_VERSION {
        return Some(Err(Reason::Malformed));
    }
    let (name, password) = (input.field()?, input.field()?);
    Some(Ok(Credentials { name: name.into(), password: password.into() }))
}

/// VER CMD RSV ATYP DST.ADDR DST.PORT (RFC 1928 section 4).
///
/// RSV "must be set to X'00'", but clients are known to leave rubbish there, it says nothing, and
/// refusing it would protect nobody: it is ignored. A command that is not served is refused only when the
/// message is whole (or cannot be delimited), so that no rest of it meets a closed socket and resets our reply away.
pub fn request(input: &mut Reader, served: Commands) -> Message<Request> {
    if input.byte()? != VERSION {
        return Some(Err(Reason::Malformed));
    }
    let [command, _reserved, address_type] = input.array()?;
    let command = request::command(command, served);
    let host = match address_type {
        ATYP_IPV4 => Ok(Host::Address(IpAddr::from(input.array::<4>()?))),
        ATYP_IPV6 => Ok(Host::Address(IpAddr::from(input.array::<16>()?))),
        ATYP_NAME if command == Ok(Command::UdpAssociate) => own_address(input.field()?),
        ATYP_NAME => host::read(input.field()?).ok_or(Reason::BadName),
        _ => return Some(command.and(Err(Reason::AddressTypeNotSupported))),
    };
    let port = input.port()?;
    Some(command.and_then(|command| Ok(Request { command, target: Target { host: host?, port } })))
}

/// What a name says in UDP ASSOCIATE, where it stands for the client itself (RFC 1928 section 6): nothing, unless
/// it is an address. PySocks writes "0" for "I do not know".
fn own_address(name: &[u8]) -> Result<Host, Reason> {
    match host::read(name) {
        Some(address @ Host::Address(_)) => Ok(address),
        _ if name.is_empty() || name.contains(&0) => Err(Reason::BadName),
        _ => Ok(Host::Address(IpAddr::V4(Ipv4Addr::UNSPECIFIED))),
    }
}
