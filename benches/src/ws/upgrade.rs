//! The client's side of the opening handshake, RFC 6455 section 4.1. The key is always the RFC's own example, so its
//! answer is known without SHA-1; a server cannot tell.

use crate::failure::Failure;
use crate::ws::Setting;
use crate::ws::url::Url;

pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// A longer head of an answer is a failure.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;

#[must_use]
pub fn request(setting: &Setting, url: &Url) -> Vec<u8> {
    let mut request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n",
        url.path, url.host
    );
    for header in &setting.headers {
        request += header;
        request += "\r\n";
    }
    (request + "\r\n").into_bytes()
}

/// The length of the answer's head, once all of it is there. Errors: another status than 101, a wrong Sec-WebSocket-Accept,
/// a head without end.
pub fn receive(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        let overlong = bytes.len() > HEAD_BYTES_MAX;
        return if overlong { Err(Failure::Protocol("its head has no end")) } else { Ok(None) };
    };
    let head = str::from_utf8(&bytes[..end]).map_err(|_| Failure::Protocol("its head is not text"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(101) => {}
        Some(status) => return Err(Failure::NotUpgraded(status)),
        None => return Err(Failure::Protocol("its answer is not HTTP")),
    }
    let is_accept = |line: &&str| line.to_ascii_lowercase().starts_with("sec-websocket-accept:");
    let accept = head.lines().find(is_accept).and_then(|line| line.split_once(':'));
    match accept {
        Some((_, value)) if value.trim() == ACCEPT => Ok(Some(end + 4)),
        _ => Err(Failure::Protocol("its Sec-WebSocket-Accept is not the key's")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_awaited_and_judged() {
        let good = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-ACCEPT: {ACCEPT}\r\n\r\nrest");
        let head = good.len() - 4;
        assert!(receive(&good.as_bytes()[..head - 1]).unwrap().is_none());
        assert_eq!(receive(good.as_bytes()).unwrap(), Some(head));
        let busy = receive(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n");
        assert!(matches!(busy, Err(Failure::NotUpgraded(503))));
        assert!(receive(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n").is_err());
        assert!(receive(&[b'x'; HEAD_BYTES_MAX + 1]).is_err());
    }
}
