//! The webhooks of the configuration: for each what it has been told and what waits for it, and the requests themselves.

use super::engine::{Engine, Now, Stage};
use super::groups::{Groups, Pace, Scene, Standing};
use super::labels::ALERTNAME;
use super::legacy::Row;
use super::message::{Entry, Message};
use super::queue::{Delivery, Outcome, Queue, Settled, Tally};
use super::silences::Silences;
use crate::fetch::{self, Ask};
use ringway_shared::config::{Alerts as Config, Webhook};
use serde_json::{Value as Json, json};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes of a receiver's answer: nobody reads it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// All of them.
#[derive(Default)]
pub struct Webhooks {
    lines: Vec<Line>,
    pace: Pace,
    /// Where people find the control port.
    url: Rc<str>,
    /// Of those that are configured no more.
    gone: Tally,
    /// The next process sends what is left.
    retired: bool,
}

/// One of them.
struct Line {
    hook: Arc<Webhook>,
    groups: Groups,
    queue: Queue,
}

/// A message on its way.
pub struct Flight {
    pub hook: Arc<Webhook>,
    pub message: Rc<Message>,
    url: Rc<str>,
}

impl Webhooks {
    /// Goes on with those of a configuration. One of the same name keeps what it was told and what waits for it.
    pub fn follow(&mut self, config: &Config, url: &str) {
        self.pace =
            Pace { wait: config.group_wait, interval: config.group_interval, repeat: config.repeat_interval };
        self.url = url.into();
        let mut before = std::mem::take(&mut self.lines);
        for hook in &config.webhooks {
            let known = before.iter().position(|line| line.hook.name == hook.name);
            let line = known.map(|index| before.swap_remove(index));
            let (groups, queue) = line.map_or_else(Default::default, |line| (line.groups, line.queue));
            self.lines.push(Line { hook: hook.clone(), groups, queue });
        }
        for line in before {
            let sums = self.gone.iter_mut().zip(line.queue.tally);
            sums.for_each(|(sum, count)| *sum += count);
        }
    }

    /// Makes the messages of this second.
    pub fn step(&mut self, engine: &Engine, silences: &Silences, now: Now) {
        if self.lines.is_empty() {
            return;
        }
        let firing: Vec<_> = engine.alerts().filter(|alert| alert.stage == Stage::Firing).collect();
        let ended = |entry: &Entry| {
            let shown = engine.get(entry.fingerprint).filter(|alert| alert.stage == Stage::Resolved);
            let ended = shown.and_then(|alert| alert.ended()).unwrap_or(now.unix);
            Entry { ended: Some(ended), ..shown.map_or_else(|| entry.clone(), Entry::of) }
        };
        for Line { hook, groups, queue } in &mut self.lines {
            let standing = firing.iter().map(|alert| Standing {
                group: (*alert.rule.name).into(),
                entry: Entry::of(alert),
                audible: alert.rule.severity >= hook.severity && silences.of(&alert.labels).is_none(),
            });
            let standing: Vec<_> = standing.collect();
            let due = groups.due(&Scene {
                firing: &standing,
                ended: &ended,
                waits: &|name| queue.has(name),
                send_resolved: hook.send_resolved,
                pace: self.pace,
                now: now.at,
            });
            for lost in due.into_iter().filter_map(|message| queue.push(message)) {
                groups.given_up(&lost, now.at);
            }
        }
    }

    /// The messages whose time has come, one for each webhook that has none under way.
    pub fn take(&mut self, now: Instant) -> Vec<Flight> {
        let (url, retired) = (&self.url, self.retired);
        let due = self.lines.iter_mut().filter(|_| !retired).filter_map(|line| {
            let message = line.queue.take(now)?;
            Some(Flight { hook: line.hook.clone(), message, url: url.clone() })
        });
        due.collect()
    }

    /// What came of one.
    pub fn settle(&mut self, name: &str, outcome: Outcome, now: Instant, chance: f64) {
        let Some(Line { groups, queue, .. }) = self.lines.iter_mut().find(|line| *line.hook.name == *name)
        else {
            return;
        };
        match &outcome {
            Outcome::Failed { why, .. } if !queue.is_failing() => {
                tracing::warn!("webhook {name}: {why}; it is tried again until it succeeds");
            }
            Outcome::Refused { why } => tracing::warn!("webhook {name}: {why}; this message is given up"),
            Outcome::Arrived if queue.is_failing() => {
                tracing::info!("webhook {name}: it takes messages again")
            }
            _ => {}
        }
        match queue.settle(outcome, now, chance) {
            Some(Settled::Arrived(message)) => groups.arrived(&message, now),
            Some(Settled::GivenUp(lost)) => groups.given_up(&lost, now),
            None => {}
        }
    }

    /// What was told and what waits, for the next process; nothing more is sent from here.
    pub fn bequeath(&mut self) -> Vec<Row> {
        self.retired = true;
        let mut rows = Vec::new();
        for Line { hook, groups, queue } in &self.lines {
            let webhook = || Box::from(&*hook.name);
            rows.extend(groups.told().map(|entry| Row::Told { webhook: webhook(), entry: entry.into() }));
            for (message, queued) in queue.messages().enumerate() {
                rows.extend(queued.entries.iter().map(|entry| Row::Queued {
                    webhook: webhook(),
                    message,
                    group: (*queued.group).into(),
                    entry: entry.into(),
                }));
            }
        }
        rows
    }

    /// Takes over what the process before has told a webhook.
    pub fn adopt_told(&mut self, webhook: &str, entry: Entry, now: Instant) {
        if let Some(line) = self.lines.iter_mut().find(|line| *line.hook.name == *webhook)
            && let Some(group) = entry.labels.get(ALERTNAME).map(str::to_owned)
        {
            line.groups.adopt(&group, entry, now);
        }
    }

    /// Takes over what it could not send.
    pub fn adopt_queued(&mut self, webhook: &str, message: usize, group: &str, entry: Entry) {
        if let Some(line) = self.lines.iter_mut().find(|line| *line.hook.name == *webhook) {
            line.queue.adopt(message, group, entry);
        }
    }

    /// How deliveries went, of all there ever were.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let each = self.lines.iter().map(|line| line.queue.tally).chain([self.gone]);
        each.fold(Tally::default(), |sum, one| std::array::from_fn(|index| sum[index] + one[index]))
    }

    #[must_use]
    pub fn to_json(&self) -> Vec<Json> {
        let row = |Line { hook, queue, .. }: &Line| {
            let count = |result: Delivery| queue.tally[result as usize];
            json!({
                "name": &*hook.name,
                "url": hook.shown_url(),
                "delivered": count(Delivery::Delivered),
                "failed": count(Delivery::Failed),
                "dropped": count(Delivery::Refused) + count(Delivery::QueueFull),
                "queued": queue.len(),
                "last_error": queue.last_error,
            })
        };
        self.lines.iter().map(row).collect()
    }
}

/// Sends a message once.
pub async fn deliver(flight: &Flight) -> Outcome {
    let Flight { hook, message, url } = flight;
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(hook.headers.iter().map(|(name, value)| (&**name, &**value)));
    let ask = Ask {
        method: "POST",
        url: &hook.url,
        headers: &headers,
        body: message.to_json(&hook.name, url).to_string().into(),
        time_max: hook.timeout,
        answer_bytes_max: ANSWER_BYTES_MAX,
    };
    match fetch::send(&ask, fetch::host_roots).await {
        Ok(answer) => judge(answer.status, answer.retry_after),
        Err(why) => Outcome::Failed { why, after: None },
    }
}

/// What an answer means. A redirect leads to another host, which nobody has configured.
fn judge(status: u16, after: Option<Duration>) -> Outcome {
    let why = format!("answered {status}");
    match status {
        200..300 => Outcome::Arrived,
        408 | 425 | 429 | 500.. => Outcome::Failed { why, after },
        _ => Outcome::Refused { why },
    }
}

#[cfg(test)]
mod tests;
