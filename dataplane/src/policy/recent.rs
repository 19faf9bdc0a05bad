//! A bounded memory: what is remembered last pushes out what was remembered first.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// At most so many entries, each new one beyond it in the place of the oldest. Empty it costs no heap.
#[derive(Debug)]
pub struct Recent<K, V> {
    entries: HashMap<K, V>,
    /// The keys, the oldest first.
    order: VecDeque<K>,
    entries_max: usize,
}

impl<K: Hash + Eq + Clone, V> Recent<K, V> {
    #[must_use]
    pub fn new(entries_max: usize) -> Recent<K, V> {
        Recent { entries: HashMap::new(), order: VecDeque::new(), entries_max }
    }

    #[must_use]
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }

    /// Remembers a value in place of what was known of the key before. A key known already keeps its age.
    pub fn put(&mut self, key: K, value: V) {
        if self.entries.insert(key.clone(), value).is_some() {
            return;
        }
        if self.order.len() >= self.entries_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.order.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_no_more_than_the_limit_is_held() {
        let mut recent = Recent::new(3);
        for key in [1, 2, 1, 3, 4] {
            recent.put(key, key * 10);
        }
        assert_eq!([1, 2, 3, 4].map(|key| recent.get(&key).copied()), [None, Some(20), Some(30), Some(40)]);
        assert_eq!((recent.entries.len(), recent.order.len()), (3, 3));
    }
}
