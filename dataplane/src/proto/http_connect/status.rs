//! The answers: a status and a cause (RFC 9209) for each [`Reason`].

use crate::proto::handshake::Outcome;
use ringway_shared::reason::Reason;
use std::fmt::Write;

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// A status code and, for Proxy-Status, an error type of RFC 9209 section 2.3.
type Status = (u16, &'static str);

/// Answers a request; returns the status that was said.
///
/// RFC 9110 section 9.3.6: a success has no content, and no field that speaks of any.
pub fn answer(outcome: Outcome, output: &mut Vec<u8>) -> u16 {
    let Err(reason) = outcome else {
        output.extend(ESTABLISHED.as_bytes());
        return 200;
    };
    let (code, error) = status(reason);
    let phrase = phrase(code);
    let body = format!("{code} {phrase}: {}\n", reason.label());
    let mut text = format!("HTTP/1.1 {code} {phrase}\r\nConnection: close\r\n");
    // RFC 9110 sections 15.5.6 and 15.5.8: fields these two must bring.
    text.push_str(match code {
        405 => "Allow: CONNECT\r\n",
        407 => "Proxy-Authenticate: Basic realm=\"ringway\", charset=\"UTF-8\"\r\n",
        _ => "",
    });
    let length = body.len();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "Proxy-Status: ringway; error={error}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    output.extend(text.as_bytes());
    code
}

/// The one way from a reason to the wire.
fn status(reason: Reason) -> Status {
    match reason {
        Reason::Malformed
        | Reason::BadName
        | Reason::AddressTypeNotSupported
        | Reason::NoAcceptableMethod => (400, "http_request_error"),
        Reason::DeniedTarget | Reason::ConnectForbidden => (403, "destination_ip_prohibited"),
        Reason::CommandNotSupported | Reason::DeniedAcl | Reason::BindPeerRefused | Reason::UserRemoved => {
            (403, "http_request_denied")
        }
        Reason::MethodNotAllowed => (405, "http_request_error"),
        Reason::AuthRequired | Reason::AuthFailed => (407, "http_request_denied"),
        Reason::GreetingTimeout
        | Reason::AuthTimeout
        | Reason::RequestTimeout
        | Reason::HandshakeTimeout
        | Reason::ProxyHeaderTimeout => (408, "http_request_error"),
        Reason::ClientBanned
        | Reason::LimitClientConnections
        | Reason::LimitClientNewConnections
        | Reason::LimitUserConnections
        | Reason::QuotaExhausted => (429, "http_request_denied"),
        Reason::HeaderTooLarge => (431, "http_request_error"),
        Reason::ConnectRefused => (502, "connection_refused"),
        Reason::TargetReset => (502, "connection_terminated"),
        Reason::NetworkUnreachable | Reason::HostUnreachable => (502, "destination_ip_unroutable"),
        Reason::NameNotFound | Reason::NameLookupFailed => (502, "dns_error"),
        Reason::ConnectFailed => (502, "destination_unavailable"),
        Reason::LimitConnections | Reason::LimitNewConnections | Reason::LimitUdpAssociations => {
            (503, "http_request_denied")
        }
        Reason::UpstreamUnreachable | Reason::UpstreamRefused => (503, "destination_unavailable"),
        Reason::NoResources
        | Reason::ResolverBusy
        | Reason::VerifierBusy
        | Reason::Drained
        | Reason::Draining
        | Reason::Killed => (503, "proxy_internal_error"),
        Reason::ConnectTimeout | Reason::BindTimeout => (504, "connection_timeout"),
        Reason::NameLookupTimeout => (504, "dns_timeout"),
        Reason::BadVersion => (505, "http_request_error"),
        // The client is gone, was answered, or never came so far; and what no answer can help.
        Reason::Finished
        | Reason::ClientGone
        | Reason::ClientReset
        | Reason::BadProxyHeader
        | Reason::TlsFailed
        | Reason::IdleTimeout
        | Reason::HalfClosedTimeout
        | Reason::UdpIdleTimeout
        | Reason::Panicked => (500, "proxy_internal_error"),
    }
}

/// RFC 9110 section 15 and RFC 6585.
pub fn phrase(code: u16) -> &'static str {
    match code {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
