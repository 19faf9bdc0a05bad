//! RFC 6455 section 5.2, the client's side: masked frames out, unmasked frames in.

use crate::failure::Failure;

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// One key for all frames, so that they are masked once and stamped in place. Not zero: servers have to unmask.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const FIN: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Appends a whole masked frame; gives where in `out` its payload begins.
pub fn push_masked(opcode: u8, payload: &[u8], out: &mut Vec<u8>) -> usize {
    push_header(opcode, MASKED, payload.len(), out);
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    start
}

/// Appends a whole frame as servers send them.
pub fn push_unmasked(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    push_header(opcode, 0, payload.len(), out);
    out.extend_from_slice(payload);
}

fn push_header(opcode: u8, masked: u8, length: usize, out: &mut Vec<u8>) {
    out.push(FIN | opcode);
    match length {
        0..=125 => out.push(masked | length as u8),
        126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    pub fin: bool,
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    /// Where the payload begins.
    pub payload_at: usize,
    pub payload_len: usize,
}

impl Header {
    /// The header that `bytes` begin with, if all of it is there. Errors: reserved bits (we offer no extension), a length
    /// beyond any memory.
    pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Failure> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Failure::Protocol("a reserved bit is set"));
        }
        let (length_bytes, length) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(two) => (2, u64::from(u16::from_be_bytes(*two))),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(eight) => (8, u64::from_be_bytes(*eight)),
                None => return Ok(None),
            },
            short => (0, u64::from(short)),
        };
        let length = u32::try_from(length).map_err(|_| Failure::Protocol("a frame of more than 4 GB"))?;
        let mask = if second & MASKED == 0 {
            None
        } else {
            let Some(mask) = rest.get(length_bytes..).and_then(<[u8]>::first_chunk::<4>) else {
                return Ok(None);
            };
            Some(*mask)
        };
        let payload_at = 2 + length_bytes + if mask.is_some() { 4 } else { 0 };
        let (fin, opcode) = (first & FIN != 0, first & 0x0f);
        Ok(Some(Header { fin, opcode, mask, payload_at, payload_len: length as usize }))
    }

    #[must_use]
    pub fn end(&self) -> usize {
        self.payload_at + self.payload_len
    }
}

/// The status code of a close frame's payload; 1005 if there is none (RFC 6455 section 7.1.5).
#[must_use]
pub fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_framed_parses_back_at_every_length_form() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut bytes = Vec::new();
            let start = push_masked(TEXT, &payload, &mut bytes);
            let header = Header::parse(&bytes).unwrap().unwrap();
            assert_eq!((header.payload_at, header.end(), header.mask), (start, bytes.len(), Some(MASK)));
            assert!(header.fin && header.opcode == TEXT);
            for cut in 0..start {
                assert_eq!(Header::parse(&bytes[..cut]).unwrap(), None);
            }
            bytes.clear();
            push_unmasked(BINARY, &payload, &mut bytes);
            let header = Header::parse(&bytes).unwrap().unwrap();
            assert_eq!((header.mask, header.end()), (None, bytes.len()));
        }
    }

    #[test]
    fn reserved_bits_are_a_failure() {
        assert!(Header::parse(&[0xc1, 0]).is_err());
    }
}
