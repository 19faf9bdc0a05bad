//! Messages that wait for one webhook: delivered one at a time and in order, again and again until they arrive. Pure.
//!
//! While its receiver is away, what is new about a rule is added to the message that waits; but that an alert is over never takes the
//! place of that it fires: the receiver hears both, in this order.

use super::message::{Entry, Message};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Messages of one webhook; beyond them the oldest that a newer one of the same rule follows is given up.
pub const MESSAGES_MAX: usize = 256;
/// The first retry, then twice as long each time.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Of a receiver's wish to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// Bytes of an error that are kept.
const ERROR_BYTES_MAX: usize = 300;

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Arrived,
    /// It is tried again, after this long at least.
    Failed {
        why: String,
        after: Option<Duration>,
    },
    /// The receiver will never take it.
    Refused {
        why: String,
    },
}

/// A message that waits no more.
pub enum Settled {
    Arrived(Rc<Message>),
    /// What nobody will hear now.
    GivenUp(Message),
}

/// How deliveries went, for metrics: one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver has taken a message.
    Delivered,
    /// An attempt failed; it is made again.
    Failed,
    /// The receiver refused a message: it is given up.
    Refused,
    /// A message was given up because too many waited.
    QueueFull,
}

impl Delivery {
    pub const ALL: [Delivery; 4] =
        [Delivery::Delivered, Delivery::Failed, Delivery::Refused, Delivery::QueueFull];

    /// The name used in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["delivered", "failed", "refused", "queue_full"][self as usize]
    }
}

/// Counted by [`Delivery`].
pub type Tally = [u64; Delivery::ALL.len()];

#[derive(Default)]
pub struct Queue {
    waiting: VecDeque<Rc<Message>>,
    /// The first of them is under way.
    flying: bool,
    /// Attempts in a row that failed.
    failures: u32,
    /// Not before.
    next_try: Option<Instant>,
    pub tally: Tally,
    pub last_error: Option<String>,
}

impl Queue {
    /// Adds a message. If that is one too many, what nobody will hear now of the one that was given up for it.
    pub fn push(&mut self, message: Message) -> Option<Message> {
        let open = usize::from(self.flying);
        let last = self.waiting.iter().rposition(|other| other.group == message.group);
        if let Some(index) = last.filter(|index| *index >= open && fits(&self.waiting[*index], &message)) {
            add(Rc::make_mut(&mut self.waiting[index]), message);
            return None;
        }
        self.waiting.push_back(Rc::new(message));
        (self.waiting.len() > MESSAGES_MAX).then(|| self.give_up_one(open))?
    }

    /// Makes room for one, without losing how any rule stands now.
    fn give_up_one(&mut self, open: usize) -> Option<Message> {
        let is_old = |index: &usize| {
            let group = &self.waiting[*index].group;
            self.waiting.iter().skip(index + 1).any(|later| later.group == *group)
        };
        let index = (open..self.waiting.len()).find(is_old).unwrap_or(open);
        let given_up = self.waiting.remove(index)?;
        self.count(Delivery::QueueFull);
        Some(self.unsaid(&given_up))
    }

    /// What of a message nothing that waits tells of.
    fn unsaid(&self, message: &Message) -> Message {
        let waiting = self.messages().filter(|waiting| waiting.group == message.group);
        let said: BTreeSet<u64> =
            waiting.flat_map(|waiting| &waiting.entries).map(|entry| entry.fingerprint).collect();
        let entries = message.entries.iter().filter(|entry| !said.contains(&entry.fingerprint));
        Message { group: message.group.clone(), entries: entries.cloned().collect() }
    }

    /// The message whose time has come; it is under way then, until [`Queue::settle`].
    pub fn take(&mut self, now: Instant) -> Option<Rc<Message>> {
        if self.flying || self.next_try.is_some_and(|at| now < at) {
            return None;
        }
        let first = self.waiting.front()?.clone();
        self.flying = true;
        Some(first)
    }

    /// What came of it. `chance`: 0 to 1, so that not all try at once.
    pub fn settle(&mut self, outcome: Outcome, now: Instant, chance: f64) -> Option<Settled> {
        if !std::mem::take(&mut self.flying) {
            return None;
        }
        match outcome {
            Outcome::Arrived => {
                (self.failures, self.next_try, self.last_error) = (0, None, None);
                self.count(Delivery::Delivered);
                Some(Settled::Arrived(self.waiting.pop_front()?))
            }
            Outcome::Refused { why } => {
                (self.failures, self.next_try) = (0, None);
                self.last_error = Some(cut(why));
                self.count(Delivery::Refused);
                let refused = self.waiting.pop_front()?;
                Some(Settled::GivenUp(self.unsaid(&refused)))
            }
            Outcome::Failed { why, after } => {
                let longest = RETRY_MIN.saturating_mul(1 << self.failures.min(16)).min(RETRY_MAX);
                let wait = longest.mul_f64(0.5 + 0.5 * chance.clamp(0.0, 1.0));
                let wait = wait.max(after.unwrap_or_default().min(RETRY_AFTER_MAX));
                self.failures = self.failures.saturating_add(1);
                self.next_try = Some(now + wait);
                self.last_error = Some(cut(why));
                self.count(Delivery::Failed);
                None
            }
        }
    }

    /// Those that wait, and the one under way.
    pub fn messages(&self) -> impl Iterator<Item = &Message> {
        self.waiting.iter().map(|message| &**message)
    }

    /// Takes over a part of a message of the process before, the one with this number.
    pub fn adopt(&mut self, number: usize, group: &str, entry: Entry) {
        let is_full = self.waiting.len() >= MESSAGES_MAX;
        match self.waiting.get_mut(number) {
            Some(message) => Rc::make_mut(message).entries.push(entry),
            None if !is_full => {
                self.waiting.push_back(Rc::new(Message { group: group.into(), entries: vec![entry] }));
            }
            None => {}
        }
    }

    /// Whether a message about this rule waits or is under way.
    #[must_use]
    pub fn has(&self, group: &str) -> bool {
        self.waiting.iter().any(|message| *message.group == *group)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The last attempt failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    fn count(&mut self, result: Delivery) {
        self.tally[result as usize] += 1;
    }
}

/// Whether a newer message says nothing that contradicts an older one.
fn fits(older: &Message, newer: &Message) -> bool {
    older.entries.iter().all(|old| {
        let new = newer.entries.iter().find(|new| new.fingerprint == old.fingerprint);
        new.is_none_or(|new| new.ended.is_some() == old.ended.is_some())
    })
}

/// Adds what is new.
fn add(older: &mut Message, newer: Message) {
    for new in newer.entries {
        match older.entries.iter_mut().find(|old| old.fingerprint == new.fingerprint) {
            Some(old) => *old = new,
            None => older.entries.push(new),
        }
    }
}

fn cut(text: String) -> String {
    if text.len() <= ERROR_BYTES_MAX {
        return text;
    }
    let end = text.floor_char_boundary(ERROR_BYTES_MAX);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests;
