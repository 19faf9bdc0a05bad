//! Alerts: what is watched each second, what fires, and who is told.
//!
//! In reading order: `facts` and `windows` (what is known of this second, as values of measures), `engine` and `labels` (rules against
//! values), `silences`; `groups`, `message`, `queue` and `webhooks` (who is told what and when, and the sending); `legacy` (what the next process is left); `view` (what is shown). [`Alerts`] is the one handle of it.

pub mod engine;
pub mod facts;
mod groups;
pub mod labels;
mod legacy;
mod message;
mod process;
mod queue;
pub mod silences;
mod view;
mod webhooks;
mod windows;

use crate::export::AlertFacts;
use engine::{Engine, Event, Now, Stage};
use facts::{Facts, Meters};
pub use queue::{Delivery, Tally};
use ringway_shared::config::{self, Severity};
use serde_json::Value as Json;
use silences::Silences;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::spawn_local;
use webhooks::Webhooks;

/// How many alerts fire and wait to, by [`Severity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub firing: [u64; Severity::ALL.len()],
    pub pending: [u64; Severity::ALL.len()],
}

impl Counts {
    #[must_use]
    pub fn firing(&self) -> u64 {
        self.firing.iter().sum()
    }

    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.iter().sum()
    }
}

/// Everything there is of alerts. One thread: plain cells.
#[derive(Default)]
pub struct Alerts {
    engine: RefCell<Engine>,
    meters: RefCell<Meters>,
    process: RefCell<process::Process>,
    silences: RefCell<Silences>,
    webhooks: RefCell<Webhooks>,
    /// The generation of the configuration that its rules are of.
    generation: Cell<u64>,
    /// Changes of silences.
    changes: Cell<u64>,
}

impl Alerts {
    /// Goes on under a configuration, if it is another one than before.
    pub fn follow(&self, config: &config::Alerts, generation: u64, own: impl Fn() -> Own) {
        if self.generation.replace(generation) != generation {
            let Own { instance, url } = own();
            let instance = config.instance.as_deref().unwrap_or(&instance);
            self.engine.borrow_mut().follow(&config.rules, instance);
            self.webhooks.borrow_mut().follow(config, &url);
        }
    }

    /// Holds this second, and what the kernel tells of this process, against the rules, and sends what is due. Call it once a second,
    /// within a `LocalSet`.
    pub fn watch(self: &Rc<Self>, facts: Facts) {
        let now = now();
        let facts = self.process.borrow_mut().add(facts, now.at);
        self.evaluate(facts, now);
        self.send();
    }

    /// Sends what is due: to each webhook one message at a time, each in a task of its own.
    fn send(self: &Rc<Self>) {
        let due = self.webhooks.borrow_mut().take(Instant::now());
        for flight in due {
            let alerts = self.clone();
            spawn_local(async move {
                let outcome = webhooks::deliver(&flight).await;
                alerts.webhooks.borrow_mut().settle(&flight.hook.name, outcome, Instant::now(), chance());
                alerts.send();
            });
        }
    }

    /// Holds one second against the rules.
    pub fn evaluate(&self, facts: Facts, now: Now) {
        let mut meters = self.meters.borrow_mut();
        let before = self.changed();
        meters.take(facts, now.at);
        let events = self.engine.borrow_mut().step(|of| meters.samples(of), now);
        events.iter().for_each(tell);
        drop(meters);
        if self.silences.borrow_mut().end(now.at) {
            self.count_change();
        }
        self.webhooks.borrow_mut().step(&self.engine.borrow(), &self.silences.borrow(), now);
        if self.changed() != before {
            let counts = self.counts();
            tracing::debug!("alerts: {} firing, {} pending", counts.firing(), counts.pending());
        }
    }

    /// Silences alerts for a time; what was made. The error says why it cannot be.
    pub fn silence(
        &self,
        matchers: BTreeMap<Box<str>, Box<str>>,
        time: Duration,
        by: &str,
        comment: &str,
    ) -> Result<Json, String> {
        let made = self.silences.borrow_mut().add(matchers, time, by, comment, now())?.to_json();
        self.count_change();
        Ok(made)
    }

    /// Ends a silence. False: there is none of that id.
    pub fn unsilence(&self, id: &str) -> bool {
        let removed = self.silences.borrow_mut().remove(id);
        if removed {
            self.count_change();
        }
        removed
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for alert in self.engine.borrow().alerts() {
            let severity = alert.rule.severity as usize;
            match alert.stage {
                Stage::Firing => counts.firing[severity] += 1,
                Stage::Pending => counts.pending[severity] += 1,
                Stage::Resolved => {}
            }
        }
        counts
    }

    /// What metrics tell.
    #[must_use]
    pub fn facts(&self) -> AlertFacts {
        AlertFacts {
            counts: self.counts(),
            silences: self.silences.borrow().len() as u64,
            deliveries: self.webhooks.borrow().tally(),
        }
    }

    /// Grows whenever an alert changes its stage, or a silence comes or goes: what was shown before is out of date.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.engine.borrow().changes() + self.changes.get()
    }

    fn count_change(&self) {
        self.changes.set(self.changes.get() + 1);
    }
}

/// What a configuration need not say.
pub struct Own {
    /// What the label `instance` says then.
    pub instance: String,
    /// Where people find the control port.
    pub url: String,
}

/// 0 to 1. A hasher's seed is the standard library's source of random numbers.
fn chance() -> f64 {
    RandomState::new().hash_one(()) as f64 / u64::MAX as f64
}

/// This moment.
#[must_use]
pub fn now() -> Now {
    Now { at: Instant::now(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
}

/// The line of the log.
fn tell(Event { fired, alert }: &Event) {
    let (name, severity, summary) = (&alert.rule.name, alert.rule.severity.label(), view::summary(alert));
    match (fired, alert.rule.severity) {
        (false, _) => tracing::info!("alert {name} is resolved: {summary}"),
        (true, Severity::Info) => tracing::info!("alert {name} fires ({severity}): {summary}"),
        (true, _) => tracing::warn!("alert {name} fires ({severity}): {summary}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::config::Measure;

    #[test]
    fn what_is_shown_changes_when_its_count_does() {
        let alerts = Alerts::default();
        let rule = config::AlertRule {
            name: "busy".into(),
            of: Measure::Connections,
            when: config::When::Above,
            threshold: 2.0,
            written: "2".into(),
            hold: Duration::ZERO,
            keep_firing: Duration::ZERO,
            severity: Severity::Critical,
            summary: None,
            labels: vec![("team".into(), "net".into())],
        };
        let config = config::Alerts {
            rules: [rule].into(),
            webhooks: Vec::new(),
            instance: None,
            group_wait: Duration::ZERO,
            group_interval: Duration::ZERO,
            repeat_interval: Duration::ZERO,
        };
        alerts.follow(&config, 1, || Own { instance: "host:9003".into(), url: "http://host:9003".into() });
        assert_eq!((alerts.changed(), alerts.counts()), (0, Counts::default()));
        alerts.evaluate(Facts { connections: 3, ..Facts::default() }, now());
        assert_eq!((alerts.changed(), alerts.counts().firing()), (1, 1));
        let shown = alerts.view();
        let alert = &shown["alerts"][0];
        for (member, wanted) in [
            ("name", "busy"),
            ("severity", "critical"),
            ("state", "firing"),
            ("unit", "count"),
            ("summary", "connections is 3, above 2"),
        ] {
            assert_eq!(alert[member], wanted, "{shown:#}");
        }
        assert_eq!(alert["labels"]["instance"], "host:9003");
        assert_eq!((&shown["firing"], &shown["pending"]), (&Json::from(1), &Json::from(0)));
        let silence = [("name".into(), "busy".into())].into();
        let made = alerts.silence(silence, Duration::from_secs(60), "ops", "known").unwrap();
        assert_eq!(alerts.changed(), 2);
        assert_eq!(alerts.view()["alerts"][0]["silenced_by"], made["id"]);
        assert!(alerts.unsilence(made["id"].as_str().unwrap()) && alerts.changed() == 3);
        alerts.evaluate(Facts::default(), now());
        assert_eq!((alerts.changed(), alerts.counts()), (4, Counts::default()));
        let over = &alerts.view()["alerts"][0];
        assert_eq!(
            (&over["state"], &over["summary"]),
            (&"resolved".into(), &"connections was 3, above 2".into())
        );
    }

    #[test]
    fn the_next_process_goes_on_where_this_one_ends() {
        let rule = config::AlertRule {
            name: "busy".into(),
            of: Measure::Connections,
            when: config::When::Above,
            threshold: 2.0,
            written: "2".into(),
            hold: Duration::ZERO,
            keep_firing: Duration::ZERO,
            severity: Severity::Critical,
            summary: None,
            labels: Vec::new(),
        };
        let hook = config::Webhook {
            name: "pager".into(),
            url: "http://127.0.0.1:1/".into(),
            url_is_secret: false,
            headers: Vec::new(),
            timeout: Duration::from_secs(1),
            severity: Severity::Info,
            send_resolved: true,
        };
        let config = config::Alerts {
            rules: [rule].into(),
            webhooks: vec![hook.into()],
            instance: None,
            group_wait: Duration::ZERO,
            group_interval: Duration::from_secs(1),
            repeat_interval: Duration::from_secs(3600),
        };
        let own = || Own { instance: "host:9003".into(), url: "http://host:9003".into() };
        let (old, next) = (Alerts::default(), Alerts::default());
        old.follow(&config, 1, own);
        let busy = || Facts { connections: 3, ..Facts::default() };
        old.evaluate(busy(), now());
        old.silence([("name".into(), "x".into())].into(), Duration::from_secs(60), "ops", "").unwrap();
        let rows = old.bequeath();
        assert!(old.webhooks.borrow_mut().take(Instant::now()).is_empty(), "nothing more is sent from there");
        next.follow(&config, 1, own);
        next.inherit(&rows);
        assert_eq!(next.view(), old.view());
        assert_eq!(next.webhooks()[0]["queued"], 1);
        let before = next.changed();
        next.evaluate(busy(), now());
        assert_eq!(
            (next.changed(), &next.webhooks()[0]["queued"]),
            (before, &Json::from(1)),
            "nothing is new"
        );
        let waiting = next.webhooks.borrow_mut().take(Instant::now());
        assert_eq!(waiting[0].message.entries.len(), 1);
        next.inherit(&["{".into(), "{\"alert\": 1}".into()]);
    }
}
