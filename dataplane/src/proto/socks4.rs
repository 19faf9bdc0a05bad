//! SOCKS4 (socks4.protocol) and its extension 4a (socks4a.protocol), both by Ying-Da Lee.

use super::handshake::{Auth, Demands, Outcome, UNBOUND};
use super::host;
use super::reader::{Message, Reader};
use super::request::{self, Request};
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Host, Target};
use std::net::{IpAddr, Ipv4Addr};

const VERSION: u8 = 4;
/// The memo sets no bound; RFC 1929's for names serves.
const USER_ID_BYTES_MAX: usize = 255;
/// RFC 1035 section 2.3.4.
const NAME_BYTES_MAX: usize = 255;
/// The longest message: VN, CD, DSTPORT, DSTIP, USERID and a name, each with its NUL.
pub const LENGTH_MAX: usize = 1 + 1 + 2 + 4 + USER_ID_BYTES_MAX + 1 + NAME_BYTES_MAX + 1;

/// CD of the answer. 92 and 93 are about identd, which we never ask.
const GRANTED: u8 = 90;
const REJECTED: u8 = 91;

/// VN CD DSTPORT DSTIP USERID NUL, in 4a followed by a name and NUL.
///
/// What is wrong with a message is told when it is whole, so that no rest of it resets our answer away.
pub fn request(input: &mut Reader, demands: &Demands) -> Message<Request> {
    if input.byte()? != VERSION {
        return Some(Err(Reason::BadVersion));
    }
    let command = input.byte()?;
    let (port, address) = (input.port()?, Ipv4Addr::from(input.array::<4>()?));
    // A user id proves nothing: it is read over.
    if let Err(reason) = input.terminated(USER_ID_BYTES_MAX)? {
        return Some(Err(reason));
    }
    let host = if announces_name(address) {
        match input.terminated(NAME_BYTES_MAX)? {
            Ok(name) => host::read(name).ok_or(Reason::BadName),
            Err(reason) => Err(reason),
        }
    } else {
        Ok(Host::Address(IpAddr::V4(address)))
    };
    Some(if demands.auth == Auth::None {
        asked(command, demands)
            .and_then(|command| Ok(Request { command, target: Target { host: host?, port } }))
    } else {
        Err(Reason::AuthRequired)
    })
}

/// SOCKS4 has CONNECT and BIND only.
fn asked(command: u8, demands: &Demands) -> Result<Command, Reason> {
    match request::command(command, demands.commands)? {
        Command::UdpAssociate => Err(Reason::CommandNotSupported),
        command => Ok(command),
    }
}

/// 4a: "0.0.0.x with nonzero x", which is nobody's address.
fn announces_name(address: Ipv4Addr) -> bool {
    matches!(address.octets(), [0, 0, 0, last] if last != 0)
}

/// Answers a request with VN CD DSTPORT DSTIP; returns the CD that was said. An IPv6 address has no place
/// in it: zeros stand for it, which a client takes for "the server's own".
pub fn answer(outcome: Outcome, output: &mut Vec<u8>) -> u16 {
    let code = if outcome.is_ok() { GRANTED } else { REJECTED };
    let bound = outcome.unwrap_or(UNBOUND);
    let address = match bound.ip().to_canonical() {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    output.extend([0, code]);
    output.extend(bound.port().to_be_bytes());
    output.extend(address.octets());
    code.into()
}
