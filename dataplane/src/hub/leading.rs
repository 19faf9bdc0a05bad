//! How much there is of each topic, for whoever looks for the largest: a part of the tables at a time.

use super::Hub;

impl Hub {
    /// Tells of `most` entries of the table of names from `from` on: how many connections of this worker are subscribed to each topic or
    /// pattern. Where to go on, if there is more.
    pub fn each_subscriber_count(
        &self,
        from: usize,
        most: usize,
        tell: &mut dyn FnMut(&str, u64),
    ) -> Option<usize> {
        let (end, next) = part(from, most, self.local.names_capacity());
        (from..end).filter_map(|index| self.local.name_at(index)).for_each(|(name, count)| tell(name, count));
        next
    }

    /// The same with the topics this worker is home to: how much has been published to each since it is known.
    pub fn each_publication_count(
        &self,
        from: usize,
        most: usize,
        tell: &mut dyn FnMut(&str, u64),
    ) -> Option<usize> {
        let (end, next) = part(from, most, self.homes.topics_capacity());
        (from..end)
            .filter_map(|index| self.homes.topic_at(index))
            .for_each(|(name, count)| tell(name, count));
        next
    }
}

fn part(from: usize, most: usize, capacity: usize) -> (usize, Option<usize>) {
    let end = from.saturating_add(most).min(capacity);
    (end, (end < capacity).then_some(end))
}
