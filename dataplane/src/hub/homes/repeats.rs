//! Publications remembered by their idempotency keys, so that one sent again is not published again.

use super::super::values::Position;
use std::collections::{HashMap, VecDeque};

/// How long a key is remembered.
pub const IDEMPOTENCY_TTL_MS: u64 = 300_000;
/// Bytes of a key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

pub(in super::super) struct Repeats {
    known: HashMap<Box<str>, Position>,
    /// The same and when they end, the oldest first.
    order: VecDeque<(u64, Box<str>)>,
    entries_max: usize,
}

impl Repeats {
    pub fn new(entries_max: usize) -> Repeats {
        Repeats { known: HashMap::new(), order: VecDeque::new(), entries_max }
    }

    /// Where the publication with this key stands, if there was one not long ago.
    pub fn find(&mut self, topic: &str, key: &str, now_ms: u64) -> Option<Position> {
        self.tick(now_ms);
        self.known.get(&*joined(topic, key)).copied()
    }

    pub fn remember(&mut self, topic: &str, key: &str, position: Position, now_ms: u64) {
        if self.order.len() >= self.entries_max
            && let Some((_, oldest)) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let key: Box<str> = joined(topic, key).into();
        if self.known.insert(key.clone(), position).is_none() {
            self.order.push_back((now_ms + IDEMPOTENCY_TTL_MS, key));
        }
    }

    /// Forgets those that are over.
    pub fn tick(&mut self, now_ms: u64) {
        while self.order.front().is_some_and(|(ends_ms, _)| *ends_ms <= now_ms) {
            if let Some((_, oldest)) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// A topic has no control characters: nothing else joins to the same.
fn joined(topic: &str, key: &str) -> String {
    format!("{topic}\n{key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_is_no_room_and_each_when_its_time_is_over() {
        let mut repeats = Repeats::new(2);
        let position = |offset| Position { offset, ..Position::default() };
        for (offset, key) in [(1, "a"), (2, "b"), (3, "c")] {
            repeats.remember("topic", key, position(offset), offset);
        }
        assert_eq!(repeats.find("topic", "a", 9), None);
        assert_eq!(repeats.find("topic", "b", 9), Some(position(2)));
        assert_eq!(repeats.find("other", "b", 9), None);
        assert_eq!(repeats.find("topic", "b", 2 + IDEMPOTENCY_TTL_MS), None);
        repeats.tick(u64::MAX);
        assert!(repeats.known.is_empty() && repeats.order.is_empty());
    }
}
