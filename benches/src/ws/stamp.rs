//! What a message carries: `@`, its number and its time in hexadecimal digits, then letters up to its size. It stays
//! itself inside a JSON string, so wherever it arrives its order, its age and its wholeness are known.

use std::time::{Duration, Instant};

const NUMBER_DIGITS: usize = 8;
/// Nanoseconds of three days.
const TIME_DIGITS: usize = 12;
const STAMP_BYTES: usize = 1 + NUMBER_DIGITS + TIME_DIGITS;
pub const SIZE_MIN: usize = STAMP_BYTES;
const MARK: u8 = b'@';
const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub number: u32,
    /// Since the epoch of the [`Clock`].
    pub time: Duration,
}

/// Times as stamps hold them.
#[derive(Clone, Copy)]
pub struct Clock(Instant);

impl Default for Clock {
    fn default() -> Self {
        Clock(Instant::now())
    }
}

impl Clock {
    #[must_use]
    pub fn at(self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.0)
    }

    #[must_use]
    pub fn now(self) -> Duration {
        self.0.elapsed()
    }
}

/// A message of `size` bytes, its stamp still blank.
#[must_use]
pub fn blank(size: usize) -> Vec<u8> {
    let mut message = vec![b'0'; STAMP_BYTES];
    message[0] = MARK;
    message.extend(letters().take(size.saturating_sub(STAMP_BYTES)));
    message
}

fn letters() -> impl Iterator<Item = u8> {
    (b'a'..=b'z').cycle()
}

/// Bytes ready to be sent, with a message in them that is stamped in place.
pub struct Template {
    bytes: Vec<u8>,
    /// Where the stamp's first digit is.
    digits_at: usize,
    /// What the digits are masked with, the first by the first.
    mask: [u8; 4],
}

impl Template {
    /// `message_at` is where in `bytes` the message of [`blank`] begins, `mask` what its first four bytes are masked with.
    #[must_use]
    pub fn new(bytes: Vec<u8>, message_at: usize, mask: [u8; 4]) -> Template {
        let [first, second, third, fourth] = mask;
        Template { bytes, digits_at: message_at + 1, mask: [second, third, fourth, first] }
    }

    pub fn stamp(&mut self, stamp: Stamp) -> &[u8] {
        let digits = &mut self.bytes[self.digits_at..];
        write_hex(u64::from(stamp.number), &mut digits[..NUMBER_DIGITS], self.mask);
        // The number's digits are a multiple of the mask's four, so the mask starts over.
        write_hex(stamp.time.as_nanos() as u64, &mut digits[NUMBER_DIGITS..][..TIME_DIGITS], self.mask);
        &self.bytes
    }
}

fn write_hex(value: u64, into: &mut [u8], mask: [u8; 4]) {
    let digits = into.len();
    for (index, byte) in into.iter_mut().enumerate() {
        let nibble = (value >> (4 * (digits - 1 - index))) & 0xf;
        *byte = DIGITS[nibble as usize] ^ mask[index % 4];
    }
}

/// Reads stamps and compares the rest of messages with what was sent.
pub struct Reader {
    letters: Vec<u8>,
    /// Whether there is nothing around the message.
    bare: bool,
    /// Where the last message's stamp was found.
    mark_at: usize,
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    Stamped(Stamp),
    /// There is no stamp in it: not one of our messages.
    Other,
    /// Bytes differ from those that were sent, or some are missing or too many.
    Corrupt,
}

impl Reader {
    /// For messages of `size` bytes; `bare` when they arrive with nothing around them.
    #[must_use]
    pub fn new(size: usize, bare: bool) -> Reader {
        let letters = letters().take(size.saturating_sub(STAMP_BYTES)).collect();
        Reader { letters, bare, mark_at: 0 }
    }

    pub fn read(&mut self, message: &[u8]) -> Read {
        if message.get(self.mark_at) != Some(&MARK) {
            match message.iter().position(|byte| *byte == MARK) {
                Some(at) => self.mark_at = at,
                None => return Read::Other,
            }
        }
        let (stamp, rest) = match message[self.mark_at + 1..].split_at_checked(STAMP_BYTES - 1) {
            Some(parts) => parts,
            None => return Read::Corrupt,
        };
        let (number, time) = stamp.split_at(NUMBER_DIGITS);
        let (Some(number), Some(time)) = (read_hex(number), read_hex(time)) else { return Read::Corrupt };
        let after = rest.strip_prefix(self.letters.as_slice());
        let whole = match after {
            Some(after) if self.bare => self.mark_at == 0 && after.is_empty(),
            Some(after) => after.first() == Some(&b'"'),
            None => false,
        };
        if !whole {
            return Read::Corrupt;
        }
        Read::Stamped(Stamp { number: number as u32, time: Duration::from_nanos(time) })
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    for digit in digits {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(nibble);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::frame;

    const STAMP: Stamp = Stamp { number: 0xdead_beef, time: Duration::from_nanos(0x1234_5678_9abc) };

    #[test]
    fn a_stamp_survives_masking_and_json() {
        let mut bytes = Vec::new();
        let before = br#"{"type":"publish","topic":"t","data":""#;
        let message = [before, blank(100).as_slice(), br#""}"#].concat();
        let payload_at = frame::push_masked(frame::TEXT, &message, &mut bytes);
        let mut mask = frame::MASK;
        mask.rotate_left(before.len() % 4);
        let mut template = Template::new(bytes, payload_at + before.len(), mask);
        let frame = template.stamp(STAMP).to_vec();
        let unmasked = frame[payload_at..].iter().zip(frame::MASK.iter().cycle()).map(|(a, b)| a ^ b);
        let unmasked: Vec<u8> = unmasked.collect();
        assert_eq!(Reader::new(100, false).read(&unmasked), Read::Stamped(STAMP));
        assert_eq!(Reader::new(101, false).read(&unmasked), Read::Corrupt);
        assert_eq!(Reader::new(100, true).read(&unmasked), Read::Corrupt);
        assert_eq!(Reader::new(100, false).read(b"{}"), Read::Other);
    }

    #[test]
    fn a_changed_cut_or_grown_message_is_corrupt() {
        let mut template = Template::new(blank(64), 0, [0; 4]);
        let good = template.stamp(STAMP).to_vec();
        let mut reader = Reader::new(64, true);
        assert_eq!(reader.read(&good), Read::Stamped(STAMP));
        let mut changed = good.clone();
        changed[50] ^= 1;
        assert_eq!(reader.read(&changed), Read::Corrupt);
        assert_eq!(reader.read(&good[..63]), Read::Corrupt);
        assert_eq!(reader.read(&good[..10]), Read::Corrupt);
        assert_eq!(reader.read(&[&good[..], b"z"].concat()), Read::Corrupt);
    }
}
