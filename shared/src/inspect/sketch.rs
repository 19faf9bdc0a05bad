//! The largest of many sums in little room: Space-Saving (Metwally, Agrawal, El Abbadi 2005), weighted.
//!
//! It holds so many keys and no more. Who comes when it is full takes the place of the smallest, and its sum with it: no sum is off
//! by more than the smallest, which is at most the whole divided by the places. Merged with others the figures add up.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Sums by key.
#[derive(Clone, Debug, Default)]
pub struct Sketch {
    places_max: usize,
    by_key: HashMap<Arc<str>, usize>,
    places: Vec<(Arc<str>, u64)>,
    /// Sum and place, the smallest first.
    order: BTreeSet<(u64, usize)>,
    whole: u64,
    /// Somebody's place was taken.
    overflowed: bool,
    /// What sketches that were merged into this one were off by.
    merged_off_by: u64,
}

impl Sketch {
    #[must_use]
    pub fn new(places_max: usize) -> Sketch {
        Sketch { places_max: places_max.max(1), ..Sketch::default() }
    }

    /// Adds to a key's sum.
    pub fn add(&mut self, key: &str, amount: u64) {
        if amount == 0 {
            return;
        }
        self.whole = self.whole.saturating_add(amount);
        let place = match self.by_key.get(key) {
            Some(place) => *place,
            None => self.place_for(key),
        };
        let sum = &mut self.places[place].1;
        self.order.remove(&(*sum, place));
        *sum = sum.saturating_add(amount);
        self.order.insert((*sum, place));
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: &Sketch) {
        let whole = self.whole.saturating_add(other.whole);
        other.places.iter().for_each(|(key, sum)| self.add(key, *sum));
        self.whole = whole;
        self.merged_off_by = self.merged_off_by.saturating_add(other.at_most_off_by());
    }

    fn place_for(&mut self, key: &str) -> usize {
        let key: Arc<str> = key.into();
        let smallest = self.order.first().copied().filter(|_| self.places.len() >= self.places_max);
        let place = match smallest {
            None => {
                self.places.push((key.clone(), 0));
                self.places.len() - 1
            }
            Some((sum, place)) => {
                self.overflowed = true;
                self.by_key.remove(&self.places[place].0);
                self.places[place] = (key.clone(), sum);
                place
            }
        };
        self.by_key.insert(key, place);
        place
    }

    /// A key's sum, if it has a place.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<u64> {
        self.by_key.get(key).map(|place| self.places[*place].1)
    }

    /// The keys that have a place and their sums, the largest first.
    pub fn leaders(&self) -> impl Iterator<Item = (&str, u64)> {
        self.order.iter().rev().map(|(sum, place)| (&*self.places[*place].0, *sum))
    }

    /// By how much any sum is off at most, that of a key without a place included, which counts as 0.
    #[must_use]
    pub fn at_most_off_by(&self) -> u64 {
        let smallest = self.order.first().map_or(0, |(sum, _)| *sum);
        self.merged_off_by.saturating_add(if self.overflowed { smallest } else { 0 })
    }

    /// Keys that have a place.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What all sums add up to: exact.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_keys_are_exact() {
        let mut sketch = Sketch::new(3);
        for (key, amount) in [("a", 1), ("b", 5), ("a", 2), ("c", 4), ("none", 0)] {
            sketch.add(key, amount);
        }
        assert_eq!(sketch.leaders().take(2).collect::<Vec<_>>(), [("b", 5), ("c", 4)]);
        assert_eq!((sketch.whole(), sketch.of("a"), sketch.at_most_off_by()), (12, Some(3), 0));
    }

    proptest! {
        /// Whether its parts were added up in one sketch or in two.
        #[test]
        fn no_sum_is_further_off_than_it_says(
            adds in prop::collection::vec((0..40u32, 1..1_000u64), 1..600),
            cut in 0..600usize,
        ) {
            let (mut exact, mut sketch, mut other) = (HashMap::new(), Sketch::new(8), Sketch::new(8));
            for (index, (key, amount)) in adds.iter().enumerate() {
                let key = key.to_string();
                *exact.entry(key.clone()).or_insert(0u64) += amount;
                if index < cut { sketch.add(&key, *amount) } else { other.add(&key, *amount) }
            }
            sketch.merge(&other);
            prop_assert!(sketch.len() <= 8);
            prop_assert_eq!(sketch.whole(), exact.values().sum::<u64>());
            for (key, exact) in exact {
                let off_by = sketch.of(&key).unwrap_or(0).abs_diff(exact);
                prop_assert!(off_by <= sketch.at_most_off_by(), "{} is off by {}", key, off_by);
            }
        }
    }
}
