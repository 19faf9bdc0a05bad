//! The server's frames: never masked (RFC 6455 section 5.1), never fragmented.

use super::Data;
use super::header::{CONTROL_BYTES_MAX, FIN, Kind, RSV1};

/// The longest reason of a close frame: a control frame's payload without the status code.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// A whole message in one frame. `compressed` sets RSV1: `payload` is what a `Deflater` made of it.
#[inline]
pub fn frame(data: Data, compressed: bool, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(header_len(payload.len()) + payload.len());
    frame_header(data, compressed, payload.len(), out);
    out.extend_from_slice(payload);
}

/// The header alone, for a payload that is written behind it.
#[inline]
pub fn frame_header(data: Data, compressed: bool, payload_bytes: usize, out: &mut Vec<u8>) {
    let kind = match data {
        Data::Text => Kind::Text,
        Data::Binary => Kind::Binary,
    };
    header(kind, compressed, payload_bytes, out);
}

/// The length of a server's header: 2, 4 or 10 bytes.
#[must_use]
#[inline]
pub fn header_len(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    }
}

/// `payload` is cut at 125 bytes.
pub fn ping(payload: &[u8], out: &mut Vec<u8>) {
    control(Kind::Ping, payload, out);
}

/// Answers a ping with its payload (section 5.5.3), cut at 125 bytes.
pub fn pong(payload: &[u8], out: &mut Vec<u8>) {
    control(Kind::Pong, payload, out);
}

/// `reason` is cut to 123 bytes, between two characters.
pub fn close_frame(code: u16, reason: &str, out: &mut Vec<u8>) {
    let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    header(Kind::Close, false, 2 + reason.len(), out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Answers a client's close frame: "typically echos the status code it received" (section 5.5.1).
pub fn close_answer(code: Option<u16>, out: &mut Vec<u8>) {
    match code {
        Some(code) => close_frame(code, "", out),
        None => control(Kind::Close, &[], out),
    }
}

fn control(kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    header(kind, false, payload.len(), out);
    out.extend_from_slice(payload);
}

/// The first byte has always FIN, and RSV1 for a compressed message (RFC 7692 section 6).
#[inline]
fn header(kind: Kind, compressed: bool, payload_bytes: usize, out: &mut Vec<u8>) {
    let first = FIN | kind as u8 | if compressed { RSV1 } else { 0 };
    match payload_bytes {
        0..=125 => out.extend_from_slice(&[first, payload_bytes as u8]),
        126..=0xffff => {
            let [high, low] = (payload_bytes as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn a_header_has_the_shortest_length() {
        for (length, header) in [
            (0, &b"\x81\x00"[..]),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\x00\x7e"),
            (65_535, b"\x81\x7e\xff\xff"),
            (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let payload = vec![b'a'; length];
            assert_eq!(header_len(length), header.len());
            assert_eq!(written(|out| frame(Data::Text, false, &payload, out)), [header, &payload].concat());
            assert_eq!(written(|out| frame_header(Data::Text, false, length, out)), header);
        }
        assert_eq!(written(|out| frame(Data::Binary, true, b"x", out)), b"\xc2\x01x");
    }

    #[test]
    fn control_frames_are_cut_to_what_they_may_hold() {
        assert_eq!(written(|out| pong(b"hello", out)), b"\x8a\x05hello");
        assert_eq!(written(|out| ping(&[7; 200], out)), [&b"\x89\x7d"[..], &[7; 125]].concat());
        assert_eq!(written(|out| close_frame(1001, "bye", out)), b"\x88\x05\x03\xe9bye");
        assert_eq!(written(|out| close_answer(Some(1000), out)), b"\x88\x02\x03\xe8");
        assert_eq!(written(|out| close_answer(None, out)), b"\x88\x00");
        // 61 characters of two bytes fit, the 62nd does not.
        let cut = [&b"\x88\x7c\x0b\xb8"[..], "é".repeat(61).as_bytes()].concat();
        assert_eq!(written(|out| close_frame(3000, &"é".repeat(100), out)), cut);
    }
}
