//! HTTP/1.x CONNECT: RFC 9110 section 9.3.6, in the syntax of RFC 9112, with Basic credentials (RFC 7617).
//!
//! A head is framed by our own few rules (`head`), which are stricter than any parser's about line ends, and
//! only when it is whole read by `httparse`: so nothing of it depends on how it was cut into segments.

mod authority;
pub mod basic;
mod head;
mod status;

pub use head::HEAD_BYTES_MAX;
pub use head::{HEADERS_MAX, framed, only, read};
pub use status::{answer, phrase};

use super::credentials::Credentials;
use super::handshake::{Auth, Demands};
use super::reader::{Message, Reader};
use super::request::Request;
use ringway_shared::reason::Reason;
use ringway_shared::session::Command;

/// Reads a request's head. With it come the credentials, if they are demanded: no others are looked at.
///
/// A Content-Length or Transfer-Encoding says nothing here (RFC 9110 section 9.3.6: a CONNECT has no
/// content): what follows the head is the tunnel's.
pub fn request(input: &mut Reader, demands: &Demands) -> Message<(Request, Option<Credentials>)> {
    let head = match framed(input)? {
        Ok(head) => head,
        Err(reason) => return Some(Err(reason)),
    };
    Some(judge(head, demands))
}

fn judge(head: &[u8], demands: &Demands) -> Result<(Request, Option<Credentials>), Reason> {
    let head = head::parse(head)?;
    if head.method != "CONNECT" {
        return Err(Reason::MethodNotAllowed);
    }
    let target = authority::read(head.target)?;
    let credentials = match demands.auth {
        Auth::None => None,
        Auth::Password => Some(head.authorization.and_then(basic::read).ok_or(Reason::AuthRequired)?),
    };
    if !demands.commands.contains(Command::Connect) {
        return Err(Reason::CommandNotSupported);
    }
    Ok((Request { command: Command::Connect, target }, credentials))
}
