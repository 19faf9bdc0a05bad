//! Alerts as they are shown: by the API, and by the feed.

use super::Alerts;
use super::engine::{Alert, Stage};
use super::labels;
use super::silences::{Silence, stamp};
use ringway_shared::config::{AlertRule, show_duration};
use serde_json::{Value as Json, json};

impl Alerts {
    /// What the feed's topic `alerts` has besides its head: `{"alerts": […], "firing": 1, "pending": 0, "silences": […]}`.
    #[must_use]
    pub fn view(&self) -> Json {
        let counts = self.counts();
        json!({
            "alerts": self.shown(),
            "firing": counts.firing(),
            "pending": counts.pending(),
            "silences": self.silences.borrow().to_json(),
        })
    }

    /// All alerts: those that fire first, of them the worst, and the newest of those.
    #[must_use]
    pub fn shown(&self) -> Vec<Json> {
        let (engine, silences) = (self.engine.borrow(), self.silences.borrow());
        let mut alerts: Vec<&Alert> = engine.alerts().collect();
        alerts.sort_by_key(|alert| {
            let (severity, since) = (alert.rule.severity, alert.since.unix);
            (alert.stage, std::cmp::Reverse(severity), std::cmp::Reverse(since), alert.fingerprint)
        });
        alerts.into_iter().map(|alert| shown(alert, silences.of(&alert.labels))).collect()
    }

    /// The webhooks and how they do.
    #[must_use]
    pub fn webhooks(&self) -> Vec<Json> {
        self.webhooks.borrow().to_json()
    }

    /// The rules, each with the value that is nearest to breaking it, or breaks it most; null: none is known.
    #[must_use]
    pub fn rules(&self) -> Vec<Json> {
        let (engine, meters) = (self.engine.borrow(), self.meters.borrow());
        let row = |rule: &AlertRule| {
            let samples = meters.samples(rule.of).unwrap_or_default();
            let distance = |value: f64| match rule.when {
                ringway_shared::config::When::Above => value,
                ringway_shared::config::When::Below => -value,
            };
            let worst =
                samples.iter().max_by(|one, other| distance(one.value).total_cmp(&distance(other.value)));
            let labels: serde_json::Map<_, _> =
                rule.labels.iter().map(|(name, value)| (name.to_string(), Json::from(&**value))).collect();
            json!({
                "name": &*rule.name,
                "of": rule.of.label(),
                "when": rule.when.label(),
                "threshold": rule.threshold,
                "unit": rule.of.unit().label(),
                "written": rule.written,
                "for": show_duration(rule.hold),
                "keep_firing_for": show_duration(rule.keep_firing),
                "severity": rule.severity.label(),
                "summary": rule.summary,
                "labels": labels,
                "value": worst.map(|sample| rounded(sample.value)),
            })
        };
        engine.rules().iter().map(|rule| row(rule)).collect()
    }
}

fn shown(alert: &Alert, silence: Option<&Silence>) -> Json {
    json!({
        "fingerprint": labels::shown(alert.fingerprint),
        "name": &*alert.rule.name,
        "severity": alert.rule.severity.label(),
        "state": alert.stage.label(),
        "since": stamp(alert.since.unix),
        "value": rounded(alert.value),
        "threshold": alert.rule.threshold,
        "unit": alert.rule.of.unit().label(),
        "summary": summary(alert),
        "labels": alert.labels.to_json(),
        "silenced_by": silence.map(|silence| &*silence.id),
    })
}

/// What people are told: what the rule says, or else what is wrong.
#[must_use]
pub fn summary(alert: &Alert) -> String {
    alert.rule.summary.as_deref().map_or_else(|| description(alert), str::to_owned)
}

/// The value and its threshold in words; of what is over, the last value that was wrong.
#[must_use]
pub fn description(alert: &Alert) -> String {
    let Alert { rule, stage, value, detail, labels, .. } = alert;
    let whose = ["user", "service"].into_iter().find_map(|name| labels.get(name));
    let whose = whose.map_or_else(String::new, |whose| format!(" of {whose}"));
    let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
    let value = rule.of.unit().show(*value);
    let verb = if *stage == Stage::Resolved { "was" } else { "is" };
    format!("{}{whose} {verb} {value}{detail}, {} {}", rule.of.label(), rule.when.label(), rule.written)
}

/// Nobody reads more figures behind the point.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
