//! What one process leaves to the next at a hot restart, so that nobody is told twice and nothing is forgotten: alerts, silences, what
//! webhooks were told, and what waits for them. Rows of JSON text, each small enough for a message between processes.

use super::Alerts;
use super::engine::{Legatee, Now, Stage};
use super::labels::Labels;
use super::message::Entry;
use super::now;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// One thing that is left. Times are since 1970.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    Alert {
        labels: Labels,
        rule: String,
        stage: Stage,
        since: Duration,
        started: Duration,
        value: f64,
        detail: String,
    },
    Silence {
        id: Box<str>,
        matchers: BTreeMap<Box<str>, Box<str>>,
        until: Duration,
        by: Box<str>,
        comment: Box<str>,
    },
    /// A webhook was told that this one fires.
    Told { webhook: Box<str>, entry: EntryRow },
    /// Part of a message that waits for a webhook; those of the same number are one.
    Queued { webhook: Box<str>, message: usize, group: Box<str>, entry: EntryRow },
}

#[derive(Serialize, Deserialize)]
pub struct EntryRow {
    fingerprint: u64,
    labels: Labels,
    summary: String,
    description: String,
    started: Duration,
    ended: Option<Duration>,
}

impl From<&Entry> for EntryRow {
    fn from(entry: &Entry) -> EntryRow {
        EntryRow {
            fingerprint: entry.fingerprint,
            labels: (*entry.labels).clone(),
            summary: entry.summary.clone(),
            description: entry.description.clone(),
            started: entry.started,
            ended: entry.ended,
        }
    }
}

impl From<EntryRow> for Entry {
    fn from(row: EntryRow) -> Entry {
        let EntryRow { fingerprint, labels, summary, description, started, ended } = row;
        Entry { fingerprint, labels: Rc::new(labels), summary, description, started, ended }
    }
}

impl Alerts {
    /// Leaves all to the next process: from now on nothing more is sent from here.
    #[must_use]
    pub fn bequeath(&self) -> Vec<String> {
        let alerts = self.engine.borrow();
        let alerts = alerts.alerts().map(|alert| Row::Alert {
            labels: (*alert.labels).clone(),
            rule: alert.rule.name.to_string(),
            stage: alert.stage,
            since: alert.since.unix,
            started: alert.started,
            value: alert.value,
            detail: alert.detail.clone(),
        });
        let silences = self.silences.borrow().bequeath();
        let rows = alerts.chain(silences).chain(self.webhooks.borrow_mut().bequeath());
        // A value that JSON cannot hold is not worth an alert.
        rows.filter_map(|row| serde_json::to_string(&row).ok()).collect()
    }

    /// Goes on with what the process before has left. Call it once the rules and webhooks are known, before the first second is
    /// judged.
    pub fn inherit(&self, rows: &[String]) {
        let now = now();
        let mut engine = self.engine.borrow_mut();
        let (mut silences, mut webhooks) = (self.silences.borrow_mut(), self.webhooks.borrow_mut());
        for row in rows.iter().filter_map(|row| serde_json::from_str(row).ok()) {
            match row {
                Row::Alert { labels, rule, stage, since, started, value, detail } => {
                    let since = ago(since, now);
                    engine.adopt(&rule, Legatee { labels, stage, since, started, value, detail });
                }
                Row::Silence { id, matchers, until, by, comment } => {
                    silences.adopt(id, matchers, until, by, comment, now);
                }
                Row::Told { webhook, entry } => webhooks.adopt_told(&webhook, entry.into(), now.at),
                Row::Queued { webhook, message, group, entry } => {
                    webhooks.adopt_queued(&webhook, message, &group, entry.into());
                }
            }
        }
    }
}

/// A moment of the past on both clocks.
fn ago(unix: Duration, now: Now) -> Now {
    let age = now.unix.saturating_sub(unix);
    Now { at: now.at.checked_sub(age).unwrap_or(now.at), unix }
}
