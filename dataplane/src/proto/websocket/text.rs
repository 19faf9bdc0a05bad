//! A text message that arrives in parts: checked as it comes, and never twice.

use super::Violation;
use super::message::room;
use simdutf8::compat as utf8;

/// The longest character of UTF-8.
const CHARACTER_BYTES_MAX: usize = 4;

/// The text so far. What cannot become UTF-8 any more is refused at once, whatever may follow.
#[derive(Debug, Default)]
pub struct Text {
    whole: String,
    /// The start of a character whose rest has not come.
    start: [u8; CHARACTER_BYTES_MAX],
    start_bytes: u8,
}

impl Text {
    pub fn len(&self) -> usize {
        self.whole.len() + usize::from(self.start_bytes)
    }

    pub fn held_bytes(&self) -> usize {
        self.whole.capacity()
    }

    /// Takes what came next; `bytes_max` bounds the whole text and thereby what is reserved.
    pub fn push(&mut self, part: &[u8], bytes_max: usize) -> Result<(), Violation> {
        let part = self.complete_character(part, bytes_max)?;
        let (text, start) = match utf8::from_utf8(part) {
            Ok(text) => (text, &[][..]),
            // The end of input came within a character that may still become one.
            Err(error) if error.error_len().is_none() => {
                let (valid, start) = part.split_at(error.valid_up_to());
                (utf8::from_utf8(valid).unwrap_or_default(), start)
            }
            Err(_) => return Err(Violation::InvalidText),
        };
        self.append(text, bytes_max);
        for byte in start {
            self.push_start(*byte);
        }
        Ok(())
    }

    /// The text, if it does not end within a character.
    pub fn finish(self) -> Result<String, Violation> {
        if self.start_bytes == 0 { Ok(self.whole) } else { Err(Violation::InvalidText) }
    }

    /// Gives the character that was begun its next bytes, until it is one; what they leave of `part`.
    fn complete_character<'a>(&mut self, part: &'a [u8], bytes_max: usize) -> Result<&'a [u8], Violation> {
        let mut rest = part;
        while self.start_bytes > 0 {
            let Some((byte, after)) = rest.split_first() else { break };
            rest = after;
            self.push_start(*byte);
            let start = self.start;
            match str::from_utf8(&start[..usize::from(self.start_bytes)]) {
                Ok(character) => {
                    self.append(character, bytes_max);
                    self.start_bytes = 0;
                }
                Err(error) if error.error_len().is_none() => (),
                Err(_) => return Err(Violation::InvalidText),
            }
        }
        Ok(rest)
    }

    fn append(&mut self, text: &str, bytes_max: usize) {
        self.whole.reserve_exact(room(self.whole.len(), self.whole.capacity(), text.len(), bytes_max));
        self.whole.push_str(text);
    }

    /// A valid start has three bytes at most: a fourth makes it a character, or an error.
    fn push_start(&mut self, byte: u8) {
        if let Some(place) = self.start.get_mut(usize::from(self.start_bytes)) {
            *place = byte;
            self.start_bytes += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text of the parts, or after how many bytes it was refused.
    fn read<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Result<String, usize> {
        let mut text = Text::default();
        let mut seen = 0;
        for part in parts {
            seen += part.len();
            text.push(part, usize::MAX).map_err(|_| seen)?;
        }
        text.finish().map_err(|_| seen)
    }

    #[test]
    fn what_cannot_become_utf8_is_refused_at_its_first_wrong_byte() {
        for (bytes, refused_after) in [
            (&b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"[..], 13),
            (b"\xff", 1),
            (b"\xc0\xaf", 1),
            (b"\xe0\x9f\xbf", 2),
            (b"\xf0\x8f\xbf\xbf", 2),
            (b"\xf4\x8f\xbf\xbf\xf4\x90", 6),
            (b"\xf5", 1),
            (b"a\x80", 2),
            (b"\xe2\x82a", 3),
            (b"\xf0\x9f\x98", 3),
        ] {
            assert_eq!(read(bytes.chunks(1)), Err(refused_after), "{bytes:x?}");
        }
        assert_eq!(
            read("\u{10ffff}\u{fffd}\0é".as_bytes().chunks(1)).as_deref(),
            Ok("\u{10ffff}\u{fffd}\0é")
        );
    }

    proptest! {
        #[test]
        fn in_any_parts_it_is_what_the_whole_is(
            bytes in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                any::<Vec<u8>>(),
                // Long enough for vectors, with something in them at times.
                prop::collection::vec(prop_oneof![20 => Just(&b"a"[..]), 2 => Just("\u{fffd}".as_bytes()), 1 => Just(&b"\xe2\x82"[..])], 0..600)
                    .prop_map(|parts| parts.concat()),
            ],
            size in prop_oneof![1usize..9, 60usize..400],
        ) {
            prop_assert_eq!(read(bytes.chunks(size)).ok(), String::from_utf8(bytes.clone()).ok());
        }
    }
}
