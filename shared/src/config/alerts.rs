//! `alerts`: what is watched, and who is told. `measure` is the table of what can be watched, `rules` and `webhooks` read the
//! lists of the configuration.

mod measure;
pub mod rules;
pub mod webhooks;

pub use measure::{MEASURES, Measure, Unit};

use std::sync::Arc;
use std::time::Duration;

/// Rules of one configuration.
pub const RULES_MAX: usize = 100;
/// Webhooks of one configuration.
pub const WEBHOOKS_MAX: usize = 16;
/// Labels of one rule, besides those that every alert has.
pub const LABELS_MAX: usize = 16;

#[derive(Clone, Debug)]
pub struct Alerts {
    pub rules: Arc<[AlertRule]>,
    pub webhooks: Vec<Arc<Webhook>>,
    /// What the label `instance` says; `None`: the host's name and the control port.
    pub instance: Option<Box<str>>,
    /// From a group's first alert to its first message.
    pub group_wait: Duration,
    /// From one message of a group to the next that says something new.
    pub group_interval: Duration,
    /// After so long a message that says nothing new is sent again while alerts fire.
    pub repeat_interval: Duration,
}

/// One thing that is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertRule {
    /// Each name once; it is the label `alertname`.
    pub name: Arc<str>,
    pub of: Measure,
    pub when: When,
    /// In the unit of its measure.
    pub threshold: f64,
    /// The threshold as it is written.
    pub written: Box<str>,
    /// How long it must hold until it fires.
    pub hold: Duration,
    /// How long it must be over until it is resolved.
    pub keep_firing: Duration,
    pub severity: Severity,
    pub summary: Option<Box<str>>,
    /// In the order of their names.
    pub labels: Vec<(Box<str>, Box<str>)>,
}

/// Which side of its threshold is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Above,
    Below,
}

impl When {
    /// The name of the field that has the threshold.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["above", "below"][self as usize]
    }
}

/// How much it matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    pub const ALL: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

    /// The name used in the configuration, in labels and in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["info", "warning", "critical"][self as usize]
    }
}

impl AlertRule {
    /// Whether a value is on the wrong side.
    #[must_use]
    pub fn is_broken_by(&self, value: f64) -> bool {
        match self.when {
            When::Above => value > self.threshold,
            When::Below => value < self.threshold,
        }
    }
}

/// Who is told, by HTTP.
#[derive(PartialEq, Eq)]
pub struct Webhook {
    /// Each name once; it is the `receiver` of a message.
    pub name: Arc<str>,
    /// With what is secret of it.
    pub url: Box<str>,
    /// A file holds it: of its path nothing is shown either.
    pub url_is_secret: bool,
    /// Names in lower case, and values that may be secret.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// From the lookup of its name to the last byte of its answer.
    pub timeout: Duration,
    /// Alerts that matter less are not told.
    pub severity: Severity,
    /// Whether it is told when an alert is over.
    pub send_resolved: bool,
}

impl Webhook {
    /// Its URL without what may be secret: neither query nor, where a file holds it, path.
    #[must_use]
    pub fn shown_url(&self) -> String {
        webhooks::redacted(&self.url, self.url_is_secret)
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook")
            .field("name", &self.name)
            .field("url", &self.shown_url())
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("timeout", &self.timeout)
            .field("severity", &self.severity)
            .field("send_resolved", &self.send_resolved)
            .finish()
    }
}
