//! Counters to minutes: by how much each has grown since it was last looked at, added up until the minute is over.
//!
//! Pure: the moment is an argument. What was counted between two looks belongs to the minute of the first one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Seconds.
pub const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// Users that have no rows of their own, together.
pub const OTHERS: &str = "(others)";

/// A key that was not seen for so long is forgotten: a user or a listener that is no longer configured.
const FORGOTTEN_AFTER: u64 = DAY;

/// What a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum By {
    /// Everything; its key is empty.
    Total,
    User,
    /// `service address`, e.g. `socks5 127.0.0.1:1080`.
    Listener,
}

impl By {
    pub const ALL: [By; 3] = [By::Total, By::User, By::Listener];

    /// The name used in queries, answers, and between processes.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["total", "user", "listener"][self as usize]
    }

    #[must_use]
    pub fn of(label: &str) -> Option<By> {
        By::ALL.into_iter().find(|by| by.label() == label)
    }
}

/// Counters as they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Ever opened.
    pub connections: u64,
    pub failed: u64,
    /// Open now.
    pub active: u64,
}

/// What some span of time came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Opened in it.
    pub connections: u64,
    pub failed: u64,
    /// The most that were open at once.
    pub active_max: u64,
}

impl Figures {
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sent_bytes.saturating_add(self.received_bytes)
    }

    /// Adds another part of the same span of time.
    pub fn add(&mut self, other: &Figures) {
        self.add_up(other);
        self.active_max = self.active_max.max(other.active_max);
    }

    /// Adds somebody else's same span of time: at worst both had their most at once.
    pub fn join(&mut self, other: &Figures) {
        self.add_up(other);
        self.active_max = self.active_max.saturating_add(other.active_max);
    }

    fn add_up(&mut self, other: &Figures) {
        self.sent_bytes = self.sent_bytes.saturating_add(other.sent_bytes);
        self.received_bytes = self.received_bytes.saturating_add(other.received_bytes);
        self.connections = self.connections.saturating_add(other.connections);
        self.failed = self.failed.saturating_add(other.failed);
    }

    /// What opened and closed between two looks was open too: one at least.
    fn with_what_came_and_went(self) -> Figures {
        Figures { active_max: self.active_max.max(self.connections.min(1)), ..self }
    }

    fn is_nothing(&self) -> bool {
        *self == Figures::default()
    }
}

/// By how much a counter has grown. One that went back began anew: all that it says is new.
fn grown(before: u64, now: u64) -> u64 {
    if now < before { now } else { now - before }
}

/// One key's part of a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub by: By,
    pub key: Arc<str>,
    pub figures: Figures,
}

/// What a minute came to. The row of the total is always there; other rows that would say nothing are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// When it began, in seconds since 1970: a multiple of [`MINUTE`].
    pub at: u64,
    pub rows: Vec<Row>,
}

#[derive(Default)]
struct Entry {
    before: Counters,
    figures: Figures,
    /// When it was last looked at.
    seen: u64,
}

/// Holds the minute that is under way.
#[derive(Default)]
pub struct Tracker {
    /// When it began; `None`: nothing has been looked at.
    at: Option<u64>,
    entries: [HashMap<Arc<str>, Entry>; By::ALL.len()],
    admitted: Admitted,
}

/// Users that have rows of their own until the hour ends, so that no hour has more of them than may be.
#[derive(Clone, Default)]
struct Admitted {
    hour: u64,
    users: HashSet<Arc<str>>,
}

impl Tracker {
    /// Begins a look at the counters, at `now` (seconds since 1970); what [`Tracker::count`] is told until
    /// [`Tracker::roll`] belongs to it.
    pub fn begin(&mut self, now: u64) {
        self.at.get_or_insert(now - now % MINUTE);
    }

    /// One key's counters as they stand at `now`; by how much they have grown, and what is open.
    pub fn count(&mut self, by: By, key: &Arc<str>, counters: Counters, now: u64) -> Figures {
        let entries = &mut self.entries[by as usize];
        if !entries.contains_key(key) {
            entries.insert(key.clone(), Entry::default());
        }
        let Some(entry) = entries.get_mut(key) else { return Figures::default() };
        let before = std::mem::replace(&mut entry.before, counters);
        entry.seen = now;
        let figures = Figures {
            sent_bytes: grown(before.sent_bytes, counters.sent_bytes),
            received_bytes: grown(before.received_bytes, counters.received_bytes),
            connections: grown(before.connections, counters.connections),
            failed: grown(before.failed, counters.failed),
            active_max: counters.active,
        };
        entry.figures.add(&figures.with_what_came_and_went());
        figures
    }

    /// What all together have grown by since the last look, and have open. A sum of counters would not do: it goes back when
    /// one that is summed up goes.
    pub fn count_total(&mut self, grown: &Figures, now: u64) {
        let entry = self.entries[By::Total as usize].entry("".into()).or_default();
        entry.before.active = grown.active_max;
        entry.seen = now;
        entry.figures.add(&grown.with_what_came_and_went());
    }

    /// Adds what somebody else has counted, to the minute that is under way.
    pub fn inherit(&mut self, by: By, key: &str, figures: &Figures, now: u64) {
        self.begin(now);
        let entries = &mut self.entries[by as usize];
        let entry = entries.entry(key.into()).or_default();
        entry.figures.add(figures);
        entry.seen = now;
    }

    /// Ends the look: the minute that is over by `now`, if one is. A clock that was set back ends it too.
    pub fn roll(&mut self, now: u64, users_max: usize) -> Option<Minute> {
        let at = self.at?;
        let begun = now - now % MINUTE;
        if begun == at {
            return None;
        }
        let finished = self.take(users_max);
        self.at = Some(begun);
        for entries in &mut self.entries {
            entries.retain(|_, entry| now.saturating_sub(entry.seen) < FORGOTTEN_AFTER);
        }
        finished
    }

    /// The minute under way, ended early: nothing of it is told twice.
    pub fn take(&mut self, users_max: usize) -> Option<Minute> {
        let mut admitted = std::mem::take(&mut self.admitted);
        let taken = self.minute(users_max, &mut admitted);
        self.admitted = admitted;
        for entry in self.entries.iter_mut().flat_map(HashMap::values_mut) {
            // Who is connected still is, when the next one begins.
            entry.figures = Figures { active_max: entry.before.active, ..Figures::default() };
        }
        taken
    }

    /// The minute under way, as far as it is.
    #[must_use]
    pub fn so_far(&self, users_max: usize) -> Option<Minute> {
        self.minute(users_max, &mut self.admitted.clone())
    }

    fn minute(&self, users_max: usize, admitted: &mut Admitted) -> Option<Minute> {
        let at = self.at?;
        let mut rows: Vec<Row> = Vec::new();
        for by in By::ALL {
            let entries = self.entries[by as usize].iter();
            let said = entries.filter(|(_, entry)| by == By::Total || !entry.figures.is_nothing());
            let own = said.map(|(key, entry)| Row { by, key: key.clone(), figures: entry.figures });
            rows.extend(own);
        }
        rows.sort_unstable_by(|a, b| (a.by, &a.key).cmp(&(b.by, &b.key)));
        Some(Minute { at, rows: admitted.fold(rows, at, users_max) })
    }
}

impl Admitted {
    /// Sums up the users beyond the most that may have rows of their own.
    fn fold(&mut self, rows: Vec<Row>, at: u64, users_max: usize) -> Vec<Row> {
        let hour = at - at % HOUR;
        if hour != self.hour {
            *self = Admitted { hour, users: HashSet::new() };
        }
        let mut new: Vec<&Row> =
            rows.iter().filter(|row| row.by == By::User && !self.users.contains(&row.key)).collect();
        new.sort_by_key(|row| std::cmp::Reverse(row.figures.bytes()));
        let room = users_max.saturating_sub(self.users.len());
        self.users.extend(new.into_iter().take(room).map(|row| row.key.clone()));
        let (own, others): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.by != By::User || self.users.contains(&row.key));
        let mut rows = own;
        if !others.is_empty() {
            let mut sum = Figures::default();
            others.iter().for_each(|row| sum.join(&row.figures));
            rows.push(Row { by: By::User, key: OTHERS.into(), figures: sum });
        }
        rows
    }
}

#[cfg(test)]
mod tests;
