//! The last lines of the log, kept in memory for the support bundle.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

const LINES_MAX: usize = 1_000;
/// Of a longer line so many bytes are kept.
const LINE_BYTES_MAX: usize = 2_048;

/// The last lines, oldest first. Lines of the access log are not among them: who went where stays where the operator put it.
#[derive(Clone, Default)]
pub struct Recent(Rc<RefCell<VecDeque<Box<[u8]>>>>);

impl Recent {
    /// Keeps a line, and forgets the oldest if there are too many.
    pub fn keep(&self, line: &[u8]) {
        let mut lines = self.0.borrow_mut();
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line[..line.len().min(LINE_BYTES_MAX)].trim_ascii_end().into());
    }

    /// All of them, each ended by a newline.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.0.borrow();
        lines.iter().map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_in_their_order_and_none_is_too_long() {
        let recent = Recent::default();
        for number in 0..LINES_MAX + 5 {
            recent.keep(format!("line {number}\n").as_bytes());
        }
        recent.keep(&[b'x'; 3 * LINE_BYTES_MAX]);
        let text = recent.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), LINES_MAX);
        assert_eq!(lines[0], "line 6");
        assert_eq!(lines[LINES_MAX - 1].len(), LINE_BYTES_MAX);
    }
}
