//! What a client of HTTP CONNECT says and hears (RFC 9110 section 9.3.6).

use crate::proto::handshake::UNBOUND;
use crate::proto::http_connect::{HEADERS_MAX, basic, framed};
use crate::proto::reader::{Message, Reader};
use ringway_shared::config::UpstreamLogin;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, Target};
use std::net::SocketAddr;

/// An authority has no other letters than ASCII's (RFC 3986 section 3.2.2); a name checked by `host::read` brings
/// no space or control character either.
pub fn request(login: Option<&UpstreamLogin>, target: &Target) -> Result<Vec<u8>, Reason> {
    if matches!(&target.host, Host::Name(name) if !name.is_ascii()) {
        return Err(Reason::BadName);
    }
    let authorization = login.map_or(String::new(), |login| {
        format!("Proxy-Authorization: {}\r\n", basic::write(&login.name, &login.password))
    });
    Ok(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n").into_bytes())
}

/// A response's head; `None`: an interim one (RFC 9110 section 15.2), the next decides.
///
/// Lines must end as ours do: where the head ends decides which bytes are the target's.
pub fn response(input: &mut Reader) -> Message<Option<SocketAddr>> {
    let head = framed(input)?.map_err(|_| Reason::UpstreamRefused);
    Some(head.and_then(judge))
}

fn judge(head: &[u8]) -> Result<Option<SocketAddr>, Reason> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    // `httparse` reads over empty lines; RFC 9112 section 2.2 has them before requests only.
    if !head.starts_with(b"HTTP/") {
        return Err(Reason::UpstreamRefused);
    }
    match (response.parse(head), response.code) {
        (Ok(httparse::Status::Complete(_)), Some(100..=199)) => Ok(None),
        // RFC 9110 section 9.3.6: any 2xx, whatever length it says its content has.
        (Ok(httparse::Status::Complete(_)), Some(200..=299)) => Ok(Some(UNBOUND)),
        (Ok(httparse::Status::Complete(_)), Some(status)) => {
            let told =
                response.headers.iter().rfind(|header| header.name.eq_ignore_ascii_case("proxy-status"));
            Err(told.and_then(|told| cause(told.value)).unwrap_or(reason_of(status)))
        }
        _ => Err(Reason::UpstreamRefused),
    }
}

/// What the upstream, which knows better than its status can say, gives as the cause (RFC 9209 section 2.3).
fn cause(proxy_status: &[u8]) -> Option<Reason> {
    let text = std::str::from_utf8(proxy_status).ok()?;
    let error = text.rsplit_once("error=")?.1.split([';', ',', ' ']).next()?;
    Some(match error {
        "connection_refused" => Reason::ConnectRefused,
        "connection_timeout" => Reason::ConnectTimeout,
        "destination_ip_unroutable" => Reason::HostUnreachable,
        "dns_error" => Reason::NameNotFound,
        "dns_timeout" => Reason::NameLookupTimeout,
        _ => return None,
    })
}

fn reason_of(status: u16) -> Reason {
    match status {
        502 => Reason::ConnectFailed,
        504 => Reason::ConnectTimeout,
        _ => Reason::UpstreamRefused,
    }
}
