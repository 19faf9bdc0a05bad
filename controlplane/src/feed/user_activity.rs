//! `user_activity`: the largest users, targets and topics. Targets and topics are added up by the workers, which have other things to do: only while
//! somebody reads, and never for more than a tenth of the time.

use crate::observe::UserRow;
use crate::server::State;
use crate::server::top::{Sums, add_up};
use ringway_dataplane::Workers;
use ringway_shared::feed::Feed;
use ringway_shared::inspect::{By, Of, Sketch};
use serde_json::{Value as Json, json};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Rows of each kind that are told.
const LEADERS: usize = 10;
/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// From the first look to the second: rates need two.
const FIRST_LOOKS_APART: Duration = Duration::from_millis(250);
/// A look that took a while is followed by so many times as long without one.
const REST_TIMES: u32 = 9;

/// What the last look came to.
#[derive(Default)]
pub struct Activity {
    is_wanted: Cell<bool>,
    wanted: Notify,
    /// Taken by whoever tells of it.
    told: RefCell<Option<Json>>,
}

/// One look at everything.
struct Look {
    at: Instant,
    users: Vec<UserRow>,
    bytes: Sums,
    connections: Sums,
    subscribers: Sums,
    publications: Sums,
}

impl Activity {
    /// Says whether somebody reads. What nobody does is forgotten.
    pub fn want(&self, is_wanted: bool) {
        if !is_wanted {
            *self.told.borrow_mut() = None;
        } else if !self.is_wanted.get() {
            self.wanted.notify_one();
        }
        self.is_wanted.set(is_wanted);
    }

    /// What is to be told, if there is something new.
    pub fn take(&self) -> Option<Json> {
        self.told.borrow_mut().take()
    }

    /// Looks as long as somebody reads. Never ends.
    pub async fn look_on(&self, state: &State, workers: &Workers) {
        loop {
            self.wanted.notified().await;
            let mut before: Option<Look> = None;
            while self.is_wanted.get() {
                let begun = Instant::now();
                let look = look(state, workers).await;
                let took = begun.elapsed();
                if let (Some(before), Some(now)) = (&before, &look) {
                    *self.told.borrow_mut() = Some(told(before, now)).filter(|_| self.is_wanted.get());
                }
                let apart = if before.is_none() { FIRST_LOOKS_APART } else { LOOK_EVERY };
                before = look.or(before);
                sleep((took * REST_TIMES).max(apart.saturating_sub(took))).await;
            }
        }
    }
}

/// `None`: others look through the tables, too many of them.
async fn look(state: &State, workers: &Workers) -> Option<Look> {
    Some(Look {
        bytes: add_up(state, By::Target, Of::Bytes).await.ok()?,
        connections: add_up(state, By::Target, Of::Connections).await.ok()?,
        subscribers: add_up(state, By::Topic, Of::Subscribers).await.ok()?,
        publications: add_up(state, By::Topic, Of::Publications).await.ok()?,
        users: workers.accounts().iter().map(UserRow::of).collect(),
        at: Instant::now(),
    })
}

fn told(before: &Look, now: &Look) -> Json {
    let mut partial: Vec<usize> = [&now.bytes, &now.connections, &now.subscribers, &now.publications]
        .iter()
        .flat_map(|sums| &sums.partial)
        .copied()
        .collect();
    partial.sort_unstable();
    partial.dedup();
    json!({
        "users": users(before, now),
        "users_known": now.users.len(),
        "targets": targets(before, now),
        "topics": topics(before, now),
        "at_most_off_by": now.bytes.sketch.at_most_off_by(),
        "partial": partial,
    })
}

/// The busiest users; those of whom there is nothing to tell are not among them.
fn users(before: &Look, now: &Look) -> Vec<Json> {
    let seconds = seconds(before.at, now.at);
    let earlier: HashMap<&Arc<str>, &UserRow> = before.users.iter().map(|row| (&row.name, row)).collect();
    let busy = |row: &&UserRow| row.active + row.sent_bytes + row.received_bytes + row.failed > 0;
    let mut rows: Vec<(f64, f64, &UserRow)> = now
        .users
        .iter()
        .filter(busy)
        .map(|row| {
            let earlier = earlier.get(&row.name).copied().unwrap_or(row);
            let rate = |now: u64, before: u64| per_second(now.saturating_sub(before), seconds);
            (rate(row.sent_bytes, earlier.sent_bytes), rate(row.received_bytes, earlier.received_bytes), row)
        })
        .collect();
    rows.sort_by(|(sent, received, row), (other_sent, other_received, other)| {
        let bytes = |row: &UserRow| row.sent_bytes + row.received_bytes;
        f64::total_cmp(&(other_sent + other_received), &(sent + received))
            .then_with(|| bytes(other).cmp(&bytes(row)))
            .then_with(|| row.name.cmp(&other.name))
    });
    let row = |(sent, received, row): &(f64, f64, &UserRow)| {
        json!({
            "user": &*row.name,
            "active": row.active,
            "sent_bytes": row.sent_bytes,
            "received_bytes": row.received_bytes,
            "sent_bytes_per_second": sent,
            "received_bytes_per_second": received,
            "failed": row.failed,
            "quota_left_bytes": row.quota_left,
        })
    };
    rows.iter().take(LEADERS).map(row).collect()
}

/// The largest by what grows fastest, then by what there is.
fn leaders<'a>(before: &Sums, now: &'a Sums, keep: impl Fn(&str) -> bool) -> Vec<(&'a str, u64, f64)> {
    let seconds = seconds(before.at, now.at);
    let grown = |key: &str, sum: u64| sum.saturating_sub(before.sketch.of(key).unwrap_or(0));
    let all = now.sketch.leaders().filter(|(key, _)| keep(key));
    let mut rows: Vec<_> = all.map(|(key, sum)| (key, sum, per_second(grown(key, sum), seconds))).collect();
    rows.sort_by(|(_, sum, rate), (_, other_sum, other)| other.total_cmp(rate).then(other_sum.cmp(sum)));
    rows.truncate(LEADERS);
    rows
}

fn targets(before: &Look, now: &Look) -> Vec<Json> {
    let rows = leaders(&before.bytes, &now.bytes, |_| true).into_iter();
    let row = |(target, bytes, rate): (&str, u64, f64)| {
        let connections = now.connections.sketch.of(target).unwrap_or(0);
        json!({"target": target, "bytes": bytes, "bytes_per_second": rate, "connections": connections})
    };
    rows.map(row).collect()
}

/// The feed's own are left out: who looks at this reads them.
fn topics(before: &Look, now: &Look) -> Vec<Json> {
    let is_theirs = |topic: &str| Feed::of(topic).is_none();
    let mut rows = leaders(&before.publications, &now.publications, is_theirs);
    let quiet = |sketch: &Sketch, topic: &str| sketch.of(topic).is_none();
    let subscribed = now.subscribers.sketch.leaders().filter(|(topic, _)| is_theirs(topic));
    let silent = subscribed.filter(|(topic, _)| quiet(&now.publications.sketch, topic));
    rows.extend(silent.map(|(topic, _)| (topic, 0, 0.0)).take(LEADERS - rows.len()));
    let row = |(topic, publications, rate): (&str, u64, f64)| {
        let subscribers = now.subscribers.sketch.of(topic).unwrap_or(0);
        json!({"topic": topic, "subscribers": subscribers, "publications": publications, "publications_per_second": rate})
    };
    rows.into_iter().map(row).collect()
}

fn seconds(before: Instant, now: Instant) -> f64 {
    f64::max((now - before).as_secs_f64(), 0.001)
}

/// To one decimal.
fn per_second(amount: u64, seconds: f64) -> f64 {
    (amount as f64 / seconds * 10.0).round() / 10.0
}
