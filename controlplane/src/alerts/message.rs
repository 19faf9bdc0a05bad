//! What a webhook is told: one message about the alerts of one rule, in the format of Alertmanager's webhooks (version 4).

use super::engine::Alert;
use super::labels::{self, ALERTNAME, Labels};
use super::silences::stamp;
use super::view;
use serde_json::{Value as Json, json};
use std::rc::Rc;
use std::time::Duration;

/// How an alert says that it is not over (Go's zero time, as Alertmanager says it).
const NEVER: &str = "0001-01-01T00:00:00Z";

/// An alert, as somebody is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub fingerprint: u64,
    pub labels: Rc<Labels>,
    pub summary: String,
    pub description: String,
    /// Since 1970.
    pub started: Duration,
    /// `None`: it fires.
    pub ended: Option<Duration>,
}

impl Entry {
    #[must_use]
    pub fn of(alert: &Alert) -> Entry {
        Entry {
            fingerprint: alert.fingerprint,
            labels: alert.labels.clone(),
            summary: view::summary(alert),
            description: view::description(alert),
            started: alert.started,
            ended: alert.ended(),
        }
    }

    fn to_json(&self, url: &str) -> Json {
        json!({
            "status": status(self.ended.is_none()),
            "labels": self.labels.to_json(),
            "annotations": {"summary": self.summary, "description": self.description},
            "startsAt": stamp(self.started),
            "endsAt": self.ended.map_or_else(|| NEVER.to_owned(), stamp),
            "generatorURL": format!("{url}/api/v1/alerts"),
            "fingerprint": labels::shown(self.fingerprint),
        })
    }
}

/// Alerts of one rule.
#[derive(Clone, Debug)]
pub struct Message {
    /// The rule's name.
    pub group: Rc<str>,
    pub entries: Vec<Entry>,
}

impl Message {
    /// The body. `url` is where ringway's control port is reached.
    #[must_use]
    pub fn to_json(&self, receiver: &str, url: &str) -> Json {
        let mut common = self.entries.first().map(|entry| (*entry.labels).clone()).unwrap_or_default();
        self.entries.iter().for_each(|entry| common.keep_common(&entry.labels));
        let annotations = [
            ("summary", same(&self.entries, |entry| &entry.summary)),
            ("description", same(&self.entries, |entry| &entry.description)),
        ];
        let annotations: serde_json::Map<_, _> = annotations
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), Json::from(text?))))
            .collect();
        json!({
            "version": "4",
            "groupKey": format!("{{}}:{{{ALERTNAME}={:?}}}", self.group),
            "truncatedAlerts": 0,
            "status": status(self.entries.iter().any(|entry| entry.ended.is_none())),
            "receiver": receiver,
            "groupLabels": {ALERTNAME: &*self.group},
            "commonLabels": common.to_json(),
            "commonAnnotations": annotations,
            "externalURL": url,
            "alerts": self.entries.iter().map(|entry| entry.to_json(url)).collect::<Vec<_>>(),
        })
    }
}

fn status(fires: bool) -> &'static str {
    if fires { "firing" } else { "resolved" }
}

/// What all of them say, if it is the same.
fn same(entries: &[Entry], of: impl Fn(&Entry) -> &str) -> Option<&str> {
    let first = of(entries.first()?);
    entries.iter().all(|entry| of(entry) == first).then_some(first)
}
