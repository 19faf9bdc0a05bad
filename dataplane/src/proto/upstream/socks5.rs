//! What a SOCKS5 client says and hears (RFC 1928, RFC 1929).

pub use crate::proto::socks5::{NAME_AND_PASSWORD, NO_AUTHENTICATION};

use crate::proto::handshake::UNBOUND;
use crate::proto::reader::{Message, Reader};
use crate::proto::socks5::{ATYP_IPV4, ATYP_IPV6, ATYP_NAME, AUTHENTICATION_VERSION, VERSION, push_address};
use ringway_shared::config::UpstreamLogin;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Host, Target};
use std::net::{IpAddr, SocketAddr};

/// The longest reply: VER REP RSV ATYP, a name led by its length, BND.PORT.
pub const REPLY_BYTES_MAX: usize = 4 + 1 + 255 + 2;

/// VER NMETHODS METHODS.
pub fn greeting(with_login: bool) -> Vec<u8> {
    if with_login {
        vec![VERSION, 2, NO_AUTHENTICATION, NAME_AND_PASSWORD]
    } else {
        vec![VERSION, 1, NO_AUTHENTICATION]
    }
}

/// VER ULEN UNAME PLEN PASSWD.
pub fn authentication(login: &UpstreamLogin) -> Result<Vec<u8>, Reason> {
    let mut message = vec![AUTHENTICATION_VERSION];
    for field in [&login.name, &login.password] {
        push_field(field, &mut message).ok_or(Reason::UpstreamRefused)?;
    }
    Ok(message)
}

/// VER CMD RSV ATYP DST.ADDR DST.PORT.
pub fn request(target: &Target) -> Result<Vec<u8>, Reason> {
    let mut message = vec![VERSION, Command::Connect as u8, 0];
    match &target.host {
        Host::Address(ip) => push_address(*ip, &mut message),
        Host::Name(name) => {
            message.push(ATYP_NAME);
            push_field(name.as_bytes(), &mut message).ok_or(Reason::BadName)?;
        }
    }
    message.extend(target.port.to_be_bytes());
    Ok(message)
}

/// VER METHOD.
pub fn selection(input: &mut Reader) -> Message<u8> {
    match input.byte()? {
        VERSION => input.byte().map(Ok),
        _ => Some(Err(Reason::UpstreamRefused)),
    }
}

/// VER STATUS. Servers are known to send the 5 of SOCKS for the version; the status alone decides.
pub fn status(input: &mut Reader) -> Message<()> {
    let [_version, status] = input.array()?;
    Some(if status == 0 { Ok(()) } else { Err(Reason::UpstreamRefused) })
}

/// VER REP RSV ATYP BND.ADDR BND.PORT. A refusal is heard as soon as REP is there: not all send the rest.
pub fn reply(input: &mut Reader) -> Message<SocketAddr> {
    let [version, reply] = input.array()?;
    if version != VERSION || reply != 0 {
        return Some(Err(if version == VERSION { reason_of(reply) } else { Reason::UpstreamRefused }));
    }
    let [_reserved, address_type] = input.array()?;
    let ip = match address_type {
        ATYP_IPV4 => IpAddr::from(input.array::<4>()?),
        ATYP_IPV6 => IpAddr::from(input.array::<16>()?),
        ATYP_NAME => input.field().map(|_name| UNBOUND.ip())?,
        _ => return Some(Err(Reason::UpstreamRefused)),
    };
    Some(Ok(SocketAddr::new(ip, input.port()?)))
}

/// What our own client is told of the upstream's REP (RFC 1928 section 6): causes beyond the upstream pass
/// through, its own refusals do not pose as ours.
fn reason_of(reply: u8) -> Reason {
    match reply {
        3 => Reason::NetworkUnreachable,
        4 => Reason::HostUnreachable,
        5 => Reason::ConnectRefused,
        6 => Reason::ConnectTimeout,
        _ => Reason::UpstreamRefused,
    }
}

/// `None`: longer than its one byte of length can say.
fn push_field(field: &[u8], message: &mut Vec<u8>) -> Option<()> {
    message.push(u8::try_from(field.len()).ok()?);
    message.extend(field);
    Some(())
}
