//! Rules against samples: inactive -> pending -> firing -> resolved. Pure: the time is an argument.
//!
//! An alert is known by its labels: a rule that is changed at a reload keeps the states of those whose labels stay the same, and what
//! a rule that has gone had firing is resolved.

use super::facts::Sample;
use super::labels::{Labels, fingerprint};
use ringway_shared::config::{AlertRule, Measure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Alerts of one rule at once; beyond them the mildest are left out.
pub const ALERTS_PER_RULE_MAX: usize = 100;
/// How long a resolved alert is still shown.
pub const RESOLVED_KEPT: Duration = Duration::from_secs(15 * 60);
/// Resolved alerts shown at once; beyond them the oldest go.
const RESOLVED_MAX: usize = 200;

/// A moment on both clocks: for waiting, and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub at: Instant,
    /// Since 1970.
    pub unix: Duration,
}

/// How an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Firing,
    Pending,
    Resolved,
}

impl Stage {
    /// The name used in answers and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["firing", "pending", "resolved"][self as usize]
    }
}

/// One alert.
#[derive(Clone, Debug)]
pub struct Alert {
    pub fingerprint: u64,
    pub rule: Rc<AlertRule>,
    pub labels: Rc<Labels>,
    pub stage: Stage,
    /// When this stage began.
    pub since: Now,
    /// When it fired, since 1970; of a pending one, when its rule was broken.
    pub started: Duration,
    /// As of the last second in which it was known; of a resolved one, the last value.
    pub value: f64,
    pub detail: String,
    /// While it fires: since when its rule is whole again.
    whole_since: Option<Instant>,
}

impl Alert {
    /// When it was resolved, since 1970.
    #[must_use]
    pub fn ended(&self) -> Option<Duration> {
        (self.stage == Stage::Resolved).then_some(self.since.unix)
    }
}

/// What has happened to an alert.
#[derive(Clone, Debug)]
pub struct Event {
    pub fired: bool,
    pub alert: Alert,
}

/// An alert that the process before this one had.
pub struct Legatee {
    pub labels: Labels,
    pub stage: Stage,
    pub since: Now,
    pub started: Duration,
    pub value: f64,
    pub detail: String,
}

/// All alerts there are.
#[derive(Default)]
pub struct Engine {
    rules: Vec<Rc<AlertRule>>,
    instance: Box<str>,
    alerts: BTreeMap<u64, Alert>,
    /// Grows with each change of a stage.
    changes: u64,
}

impl Engine {
    /// Goes on under these rules. What that changes shows with the next second.
    pub fn follow(&mut self, rules: &[AlertRule], instance: &str) {
        self.rules = rules.iter().cloned().map(Rc::new).collect();
        self.instance = instance.into();
    }

    /// Takes over an alert of the process before, if its rule is still there and its labels are the same.
    pub fn adopt(&mut self, rule: &str, alert: Legatee) {
        let Some(rule) = self.rules.iter().find(|known| *known.name == *rule) else { return };
        let Legatee { labels, stage, since, started, value, detail } = alert;
        let fingerprint = fingerprint(&labels);
        let (rule, labels) = (rule.clone(), Rc::new(labels));
        let alert =
            Alert { fingerprint, rule, labels, stage, since, started, value, detail, whole_since: None };
        self.alerts.insert(fingerprint, alert);
        self.changes += 1;
    }

    #[must_use]
    pub fn rules(&self) -> &[Rc<AlertRule>] {
        &self.rules
    }

    /// Those there are, in no order that means anything.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.values()
    }

    #[must_use]
    pub fn get(&self, fingerprint: u64) -> Option<&Alert> {
        self.alerts.get(&fingerprint)
    }

    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Holds the samples of one moment against the rules.
    pub fn step(&mut self, samples: impl Fn(Measure) -> Option<Vec<Sample>>, now: Now) -> Vec<Event> {
        let mut events = Vec::new();
        let mut seen = BTreeSet::new();
        for rule in self.rules.clone() {
            // Those of other labels, or of another severity, are of the rule as it was before: orphans.
            let is_own =
                |alert: &&Alert| alert.rule.name == rule.name && alert.labels.are_of(&rule, &self.instance);
            let own = self.alerts.values().filter(is_own);
            let own: Vec<u64> = own.map(|alert| alert.fingerprint).collect();
            let Some(samples) = samples(rule.of) else {
                // Nothing is known: nothing changes.
                seen.extend(own);
                continue;
            };
            for (fingerprint, labels, sample) in self.broken(&rule, samples) {
                seen.insert(fingerprint);
                events.extend(self.break_one(&rule, fingerprint, labels, sample, now));
            }
            for fingerprint in own {
                if seen.insert(fingerprint) {
                    events.extend(self.mend(&rule, fingerprint, now));
                }
            }
        }
        let orphans: Vec<u64> = self.alerts.keys().filter(|one| !seen.contains(one)).copied().collect();
        events.extend(orphans.into_iter().filter_map(|fingerprint| self.resolve(fingerprint, now)));
        self.forget(now);
        events
    }

    /// The samples that break a rule, with the labels of their alerts: those there are already, then the worst.
    fn broken(&self, rule: &AlertRule, samples: Vec<Sample>) -> Vec<(u64, Labels, Sample)> {
        let broken = samples.into_iter().filter(|sample| rule.is_broken_by(sample.value));
        let mut broken: Vec<_> = broken
            .map(|sample| {
                let labels = Labels::of(rule, &self.instance, sample.label.as_ref());
                (fingerprint(&labels), labels, sample)
            })
            .collect();
        if broken.len() > ALERTS_PER_RULE_MAX {
            let is_new = |one: u64| self.alerts.get(&one).is_none_or(|alert| alert.stage == Stage::Resolved);
            let distance = |sample: &Sample| (sample.value - rule.threshold).abs();
            broken.sort_by(|(a, _, one), (b, _, other)| {
                is_new(*a).cmp(&is_new(*b)).then(distance(other).total_cmp(&distance(one)))
            });
            broken.truncate(ALERTS_PER_RULE_MAX);
        }
        broken
    }

    /// A rule is broken.
    fn break_one(
        &mut self,
        rule: &Rc<AlertRule>,
        fingerprint: u64,
        labels: Labels,
        sample: Sample,
        now: Now,
    ) -> Option<Event> {
        let standing = self.alerts.get(&fingerprint).is_some_and(|alert| alert.stage != Stage::Resolved);
        if !standing {
            self.changes += 1;
            let alert = Alert {
                fingerprint,
                rule: rule.clone(),
                labels: Rc::new(labels),
                stage: Stage::Pending,
                since: now,
                started: now.unix,
                value: sample.value,
                detail: String::new(),
                whole_since: None,
            };
            self.alerts.insert(fingerprint, alert);
        }
        let alert = self.alerts.get_mut(&fingerprint)?;
        (alert.value, alert.detail, alert.whole_since) = (sample.value, sample.detail, None);
        alert.rule = rule.clone();
        let held = now.at.saturating_duration_since(alert.since.at);
        if alert.stage != Stage::Pending || held < rule.hold {
            return None;
        }
        (alert.stage, alert.since, alert.started) = (Stage::Firing, now, now.unix);
        // From nothing to firing is one change.
        self.changes += u64::from(standing);
        Some(Event { fired: true, alert: alert.clone() })
    }

    /// A rule is whole, as far as this alert goes.
    fn mend(&mut self, rule: &AlertRule, fingerprint: u64, now: Now) -> Option<Event> {
        let alert = self.alerts.get_mut(&fingerprint)?;
        if alert.stage == Stage::Firing {
            let since = *alert.whole_since.get_or_insert(now.at);
            if now.at.saturating_duration_since(since) < rule.keep_firing {
                return None;
            }
        }
        self.resolve(fingerprint, now)
    }

    /// It is over. One that only waited was none.
    fn resolve(&mut self, fingerprint: u64, now: Now) -> Option<Event> {
        let alert = self.alerts.get_mut(&fingerprint)?;
        match alert.stage {
            Stage::Resolved => return None,
            Stage::Pending => {
                self.changes += 1;
                self.alerts.remove(&fingerprint);
                return None;
            }
            Stage::Firing => {}
        }
        (alert.stage, alert.since) = (Stage::Resolved, now);
        self.changes += 1;
        Some(Event { fired: false, alert: alert.clone() })
    }

    /// What was resolved long ago is shown no more.
    fn forget(&mut self, now: Now) {
        let before = self.alerts.len();
        let age = |alert: &Alert| now.at.saturating_duration_since(alert.since.at);
        self.alerts.retain(|_, alert| alert.stage != Stage::Resolved || age(alert) < RESOLVED_KEPT);
        let resolved = self.alerts.values().filter(|alert| alert.stage == Stage::Resolved);
        let mut resolved: Vec<_> = resolved.map(|alert| (alert.since.at, alert.fingerprint)).collect();
        resolved.sort();
        let too_many = resolved.len().saturating_sub(RESOLVED_MAX);
        for (_, fingerprint) in resolved.into_iter().take(too_many) {
            self.alerts.remove(&fingerprint);
        }
        self.changes += u64::from(self.alerts.len() < before);
    }
}

#[cfg(test)]
mod tests;
