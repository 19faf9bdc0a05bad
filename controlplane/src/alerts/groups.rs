//! When a webhook is told what: the alerts of one rule go together, after a wait for others, at intervals, and again after long.
//!
//! Pure. A webhook is told that an alert is over if it was told of it at all, also of one that has been silenced meanwhile; of one that
//! was silenced or over by the time of its message it hears nothing. What it would not take has not been told.

use super::message::{Entry, Message};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// `alerts.group_wait`, `alerts.group_interval`, `alerts.repeat_interval`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    pub wait: Duration,
    pub interval: Duration,
    pub repeat: Duration,
}

/// An alert that fires.
#[derive(Clone, Debug)]
pub struct Standing {
    pub group: Rc<str>,
    pub entry: Entry,
    /// This webhook is to hear of it: it matters enough, and nobody has silenced it.
    pub audible: bool,
}

/// What this second is like.
pub struct Scene<'a> {
    pub firing: &'a [Standing],
    /// How an alert ended that fires no more.
    pub ended: &'a dyn Fn(&Entry) -> Entry,
    /// Whether a message about this rule waits to be delivered.
    pub waits: &'a dyn Fn(&str) -> bool,
    pub send_resolved: bool,
    pub pace: Pace,
    pub now: Instant,
}

/// What one webhook has been told, by rule.
#[derive(Default)]
pub struct Groups(BTreeMap<Rc<str>, Group>);

#[derive(Default)]
struct Group {
    /// Alerts that it was told fire.
    told: BTreeMap<u64, Told>,
    /// It did not take a message of what fires: that is news still.
    is_owed: bool,
    /// Since when there is something to tell.
    waiting: Option<Instant>,
    /// When the last message was made.
    last: Option<Instant>,
    /// When the last one arrived, unless it has been repeated since.
    arrived: Option<Instant>,
}

struct Told {
    entry: Entry,
    /// It has taken a message that says so.
    heard: bool,
}

impl Groups {
    /// The messages that are due.
    pub fn due(&mut self, scene: &Scene<'_>) -> Vec<Message> {
        let audible = scene.firing.iter().filter(|standing| standing.audible);
        for standing in audible {
            self.0.entry(standing.group.clone()).or_default();
        }
        let messages = self.0.iter_mut().filter_map(|(name, group)| {
            let entries = group.due(name, scene)?;
            Some(Message { group: name.clone(), entries })
        });
        let messages = messages.collect();
        self.0.retain(|_, group| !group.is_over(scene));
        messages
    }

    /// What the webhook was told fires.
    pub fn told(&self) -> impl Iterator<Item = &Entry> {
        self.0.values().flat_map(|group| group.told.values()).map(|told| &told.entry)
    }

    /// The process before has told it so. When is not known: it is as if it had arrived now.
    pub fn adopt(&mut self, name: &str, entry: Entry, now: Instant) {
        let group = self.0.entry(name.into()).or_default();
        group.told.insert(entry.fingerprint, Told { entry, heard: true });
        (group.last, group.arrived) = (Some(now), Some(now));
    }

    /// A message has arrived.
    pub fn arrived(&mut self, message: &Message, now: Instant) {
        let Some(group) = self.0.get_mut(&message.group) else { return };
        group.arrived = Some(now);
        for entry in &message.entries {
            if let Some(told) = group.told.get_mut(&entry.fingerprint) {
                told.heard = true;
            }
        }
    }

    /// A message was given up, and nothing that waits says the same: what of it fires is told again after the interval, until it is
    /// taken or over. That something is over is not: nobody waits for it who never heard that it began.
    pub fn given_up(&mut self, message: &Message, now: Instant) {
        let Some(group) = self.0.get_mut(&message.group) else { return };
        for entry in message.entries.iter().filter(|entry| entry.ended.is_none()) {
            let Some(told) = group.told.get(&entry.fingerprint) else { continue };
            (group.is_owed, group.last) = (true, Some(now));
            if !told.heard {
                group.told.remove(&entry.fingerprint);
            }
        }
    }
}

impl Group {
    fn due(&mut self, name: &Rc<str>, scene: &Scene<'_>) -> Option<Vec<Entry>> {
        let own = || scene.firing.iter().filter(|standing| standing.group == *name);
        let firing: BTreeSet<u64> = own().map(|standing| standing.entry.fingerprint).collect();
        let audible = || own().filter(|standing| standing.audible).map(|standing| &standing.entry);
        let over: Vec<u64> = self.told.keys().filter(|one| !firing.contains(one)).copied().collect();
        if !scene.send_resolved {
            over.iter().for_each(|one| drop(self.told.remove(one)));
        }
        let is_news = |entry: &Entry| self.is_owed || !self.told.contains_key(&entry.fingerprint);
        let has_news = audible().any(is_news) || (scene.send_resolved && !over.is_empty());
        if !has_news {
            self.waiting = None;
            let entries = audible().map(|entry| self.as_told(entry)).collect();
            return self.repeat(name, entries, scene);
        }
        let waiting = *self.waiting.get_or_insert(scene.now);
        let due = self.last.map_or(waiting + scene.pace.wait, |last| last + scene.pace.interval);
        if scene.now < due {
            return None;
        }
        let over = over.iter().filter_map(|one| self.told.remove(one)).map(|told| {
            let started = told.entry.started;
            Entry { started, ..(scene.ended)(&told.entry) }
        });
        let over: Vec<Entry> = over.collect();
        let audible: Vec<Entry> = audible().map(|entry| self.as_told(entry)).collect();
        for entry in audible.iter().cloned() {
            let heard = self.told.get(&entry.fingerprint).is_some_and(|told| told.heard);
            self.told.insert(entry.fingerprint, Told { entry, heard });
        }
        (self.waiting, self.last, self.is_owed) = (None, Some(scene.now), false);
        Some(audible.into_iter().chain(over).collect())
    }

    /// One that was over and fires again before anybody was told so is the same one to the receiver: it began when it was told to have.
    fn as_told(&self, entry: &Entry) -> Entry {
        let told = self.told.get(&entry.fingerprint);
        Entry { started: told.map_or(entry.started, |told| told.entry.started), ..entry.clone() }
    }

    /// Says again what has been said long ago. What has not arrived yet is not said twice.
    fn repeat(&mut self, name: &str, audible: Vec<Entry>, scene: &Scene<'_>) -> Option<Vec<Entry>> {
        let arrived = self.arrived?;
        let is_due = scene.now.saturating_duration_since(arrived) >= scene.pace.repeat;
        if audible.is_empty() || !is_due || (scene.waits)(name) {
            return None;
        }
        (self.arrived, self.last) = (None, Some(scene.now));
        Some(audible)
    }

    /// Nothing is left to tell, and the next alert would be the first of a new group.
    fn is_over(&self, scene: &Scene<'_>) -> bool {
        let resting = |last: Instant| scene.now.saturating_duration_since(last) < scene.pace.interval;
        self.told.is_empty() && self.waiting.is_none() && !self.last.is_some_and(resting)
    }
}

#[cfg(test)]
mod tests;
