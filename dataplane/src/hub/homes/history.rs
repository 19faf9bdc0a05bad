//! What homes keep of publications, so many and so long as the namespace says, within the worker's bytes.

use super::super::namespaces::Namespaces;
use super::super::values::{Epoch, HistoryQuestion, Position, Publication, Refusal, Reply};
use super::Homes;
use ringway_shared::config::Namespace;
use std::ops::Bound;
use std::sync::Arc;

/// Topics looked at in one [`Homes::tick`].
const TOPICS_PER_TICK: usize = 256;
/// Added to a publication's data for what else it takes in memory.
const OVERHEAD_BYTES: usize = 128;

pub(in super::super) struct Kept {
    at_ms: u64,
    publication: Arc<Publication>,
}

/// What a namespace says is to be kept.
#[derive(Clone, Copy)]
pub struct Keep {
    /// Publications of each topic; 0: none.
    size: usize,
    /// From their arrival at the home; 0: until newer ones push them out.
    ttl_ms: u64,
}

impl Keep {
    pub fn of(namespace: &Namespace) -> Keep {
        let ttl_ms = u64::try_from(namespace.history_ttl.as_millis()).unwrap_or(u64::MAX);
        Keep { size: namespace.history_size as usize, ttl_ms }
    }

    pub fn is_any(self) -> bool {
        self.size > 0
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.publication.data.len() + OVERHEAD_BYTES
    }

    fn is_over(&self, ttl_ms: u64, now_ms: u64) -> bool {
        ttl_ms > 0 && self.at_ms.saturating_add(ttl_ms) <= now_ms
    }
}

impl Homes {
    /// What is kept, as asked for. Errors: the namespace keeps none; `since` is of another epoch.
    pub fn history(&mut self, question: &HistoryQuestion, keep: Keep, now_ms: u64) -> Result<Reply, Refusal> {
        if !keep.is_any() {
            return Err(Refusal::NotKept);
        }
        if let Some(index) = self.names.get(&question.topic).copied() {
            self.trim(index, keep, now_ms);
            self.forget_if_idle(index);
        }
        let topic = self.topic(&question.topic);
        let position = topic.map_or(Position::default(), |topic| topic.position());
        let since = question.since;
        let is_elsewhere = |since: Position| {
            let beyond = !question.reverse && since.offset > position.offset;
            (since.epoch != Epoch::default() && since.epoch != position.epoch) || beyond
        };
        if since.is_some_and(is_elsewhere) {
            return Err(Refusal::OtherEpoch);
        }
        let kept = topic.into_iter().flat_map(|topic| &topic.history).map(|kept| &kept.publication);
        let offset = since.map(|since| since.offset);
        let publications = if question.reverse {
            let before =
                kept.rev().skip_while(|kept| offset.is_some_and(|offset| kept.position.offset >= offset));
            before.take(question.limit).cloned().collect()
        } else {
            let after = kept.skip_while(|kept| offset.is_some_and(|offset| kept.position.offset <= offset));
            after.take(question.limit).cloned().collect()
        };
        Ok(Reply::History { publications, position })
    }

    pub fn remove_history(&mut self, topic: &str) {
        if let Some(index) = self.names.get(topic).copied() {
            while self.remove_oldest(index) {}
            self.forget_if_idle(index);
        }
    }

    pub(super) fn keep(&mut self, index: u32, publication: &Arc<Publication>, keep: Keep, now_ms: u64) {
        let kept = Kept { at_ms: now_ms, publication: publication.clone() };
        self.totals.history_bytes += kept.bytes();
        self.totals.history_publications += 1;
        let topic = &mut self.topics[index as usize];
        if !topic.history.is_empty() {
            self.recent.remove(&topic.used);
        }
        self.uses += 1;
        topic.used = self.uses;
        self.recent.insert(self.uses, index);
        topic.history.push_back(kept);
        self.trim(index, keep, now_ms);
        self.evict();
    }

    pub(super) fn tick_histories(&mut self, namespaces: &Namespaces, now_ms: u64) {
        let from = (Bound::Excluded(self.cursor), Bound::Unbounded);
        let due: Vec<(u64, u32)> =
            self.recent.range(from).take(TOPICS_PER_TICK).map(|(used, index)| (*used, *index)).collect();
        self.cursor = if due.len() < TOPICS_PER_TICK { 0 } else { due.last().map_or(0, |(used, _)| *used) };
        for (_, index) in due {
            let keep = Keep::of(namespaces.of(&self.topics[index as usize].name));
            self.trim(index, keep, now_ms);
            self.forget_if_idle(index);
        }
    }

    /// Forgets a topic with nothing but history, one published to long ago. False: there was none among the first.
    pub(super) fn make_room(&mut self) -> bool {
        let first = self.recent.values().take(TOPICS_PER_TICK).copied();
        let idle = |index: &u32| {
            let topic = &self.topics[*index as usize];
            topic.interest.is_empty() && topic.present.is_empty()
        };
        let Some(index) = first.into_iter().find(idle) else { return false };
        self.totals.history_evicted += self.topics[index as usize].history.len() as u64;
        while self.remove_oldest(index) {}
        self.forget_if_idle(index);
        true
    }

    /// Takes out what is over a topic's own limits.
    fn trim(&mut self, index: u32, keep: Keep, now_ms: u64) {
        loop {
            let history = &self.topics[index as usize].history;
            let is_over = |kept: &Kept| history.len() > keep.size || kept.is_over(keep.ttl_ms, now_ms);
            if !history.front().is_some_and(is_over) {
                return;
            }
            self.remove_oldest(index);
        }
    }

    /// Keeps to the worker's bytes: the topic that was published to the longest ago loses its history.
    fn evict(&mut self) {
        while self.totals.history_bytes > self.limits.history_bytes_max {
            let Some((_, index)) = self.recent.first_key_value() else { return };
            let index = *index;
            while self.totals.history_bytes > self.limits.history_bytes_max && self.remove_oldest(index) {
                self.totals.history_evicted += 1;
            }
            self.forget_if_idle(index);
        }
    }

    /// False: there is none.
    fn remove_oldest(&mut self, index: u32) -> bool {
        let topic = &mut self.topics[index as usize];
        let Some(kept) = topic.history.pop_front() else { return false };
        self.totals.history_bytes -= kept.bytes();
        self.totals.history_publications -= 1;
        if topic.history.is_empty() {
            topic.history = Default::default();
            self.recent.remove(&topic.used);
        }
        true
    }
}
