//! The header of a client's frame: RFC 6455 section 5.2, each rule checked at the first byte that breaks it.
//!
//! tungstenite's `FrameHeader::parse` reads through a `std::io` cursor, which proto/ must not name, and accepts lengths
//! that are not minimal: so the bytes are read here, and its server is asked in tests whether it agrees.

use super::{Rules, Violation};

/// Two bytes, eight of an extended length, four of a mask.
pub const BYTES_MAX: usize = 2 + 8 + 4;
/// The longest payload of a control frame (section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

pub const FIN: u8 = 0x80;
pub const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// What a frame is: its opcode (section 11.8), if it is none of the reserved ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Kind {
    #[inline]
    fn of(opcode: u8) -> Result<Kind, Violation> {
        Ok(match opcode {
            0 => Kind::Continuation,
            1 => Kind::Text,
            2 => Kind::Binary,
            8 => Kind::Close,
            9 => Kind::Ping,
            10 => Kind::Pong,
            _ => return Err(Violation::ReservedOpcode),
        })
    }

    #[inline]
    pub fn is_control(self) -> bool {
        matches!(self, Kind::Close | Kind::Ping | Kind::Pong)
    }

    /// A message begins with it.
    #[inline]
    fn is_first(self) -> bool {
        matches!(self, Kind::Text | Kind::Binary)
    }
}

/// A frame whose header has been read; while its payload arrives, what is still to come of it.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub kind: Kind,
    /// The last frame of its message.
    pub last: bool,
    /// RSV1: it begins a compressed message (RFC 7692 section 6).
    pub compressed: bool,
    /// Turned so that its first byte masks the next payload byte.
    pub mask: [u8; 4],
    /// Payload bytes that have not come yet.
    pub left_bytes: usize,
    pub header_bytes: u8,
}

/// What a header must fit.
pub struct Setting<'a> {
    pub rules: &'a Rules,
    /// permessage-deflate was negotiated.
    pub deflate: bool,
    /// The bytes held of the message under way.
    pub message_bytes: Option<usize>,
}

/// Reads the header at the start of `bytes`. `None`: it is not whole yet. Of the start of a header it tells the same
/// violation as of the whole.
#[inline]
pub fn read(bytes: &[u8], setting: &Setting) -> Result<Option<Frame>, Violation> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let kind = Kind::of(first & OPCODE)?;
    check_first(*first, kind, setting)?;
    let Some(second) = bytes.get(1) else { return Ok(None) };
    // "a server MUST close the connection upon receiving a frame that is not masked" (section 5.1)
    if second & MASKED == 0 {
        return Err(Violation::Unmasked);
    }
    let Some((length, length_bytes)) = length(second & LENGTH, kind, bytes)? else { return Ok(None) };
    let left_bytes = within_limits(length, kind, setting)?;
    let mask_at = 2 + length_bytes;
    let Some(mask) = bytes.get(mask_at..).and_then(<[u8]>::first_chunk) else { return Ok(None) };
    Ok(Some(Frame {
        kind,
        last: first & FIN != 0,
        compressed: first & RSV1 != 0,
        mask: *mask,
        left_bytes,
        header_bytes: (mask_at + mask.len()) as u8,
    }))
}

#[inline]
fn check_first(first: u8, kind: Kind, setting: &Setting) -> Result<(), Violation> {
    // RFC 7692 section 6: RSV1 marks the first frame of a message, and no other.
    let compression_allowed = setting.deflate && kind.is_first();
    if first & RSV2_RSV3 != 0 || first & RSV1 != 0 && !compression_allowed {
        return Err(Violation::ReservedBits);
    }
    // "MUST NOT be fragmented" (section 5.5)
    if kind.is_control() && first & FIN == 0 {
        return Err(Violation::FragmentedControl);
    }
    // Section 5.4: fragments of one message are not interleaved with those of another.
    match setting.message_bytes {
        None if kind == Kind::Continuation => Err(Violation::NothingToContinue),
        Some(_) if kind.is_first() => Err(Violation::MessageUnfinished),
        _ => Ok(()),
    }
}

/// The payload's length and how many bytes it takes behind the second. `None`: they have not all come.
#[inline]
fn length(short: u8, kind: Kind, bytes: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let extended = |from: u64, length: u64, length_bytes| {
        // "the minimal number of bytes MUST be used", "the most significant bit MUST be 0" (section 5.2)
        let minimal = length >= from && length <= i64::MAX as u64;
        if minimal { Ok(Some((length, length_bytes))) } else { Err(Violation::BadLength) }
    };
    match short {
        126 | 127 if kind.is_control() => Err(Violation::ControlTooLong),
        126 => match bytes.get(2..).and_then(<[u8]>::first_chunk) {
            Some(length) => extended(126, u64::from(u16::from_be_bytes(*length)), 2),
            None => Ok(None),
        },
        127 => match bytes.get(2..).and_then(<[u8]>::first_chunk) {
            Some(length) => extended(1 << 16, u64::from_be_bytes(*length), 8),
            None => Ok(None),
        },
        short => Ok(Some((u64::from(short), 0))),
    }
}

/// Refuses what is too much before anything of it is taken.
#[inline]
fn within_limits(length: u64, kind: Kind, setting: &Setting) -> Result<usize, Violation> {
    if kind.is_control() {
        // A status code has two bytes (section 5.5.1).
        let half_a_code = kind == Kind::Close && length == 1;
        return if half_a_code { Err(Violation::ClosePayload) } else { Ok(length as usize) };
    }
    let room = setting.rules.message_bytes_max.saturating_sub(setting.message_bytes.unwrap_or(0));
    match usize::try_from(length) {
        Ok(length) if length > setting.rules.frame_bytes_max => Err(Violation::FrameTooBig),
        Ok(length) if length > room => Err(Violation::MessageTooBig),
        Ok(length) => Ok(length),
        Err(_) => Err(Violation::FrameTooBig),
    }
}
