//! What becomes of alerts, second by second.

use super::*;
use ringway_shared::config::{Severity, When};
use std::sync::Arc;

fn rule(name: &str, hold: u64, keep_firing: u64) -> AlertRule {
    AlertRule {
        name: name.into(),
        of: Measure::Connections,
        when: When::Above,
        threshold: 10.0,
        written: "10".into(),
        hold: Duration::from_secs(hold),
        keep_firing: Duration::from_secs(keep_firing),
        severity: Severity::Warning,
        summary: None,
        labels: Vec::new(),
    }
}

/// One with an alert for each user.
fn rule_of_users() -> AlertRule {
    AlertRule { of: Measure::QuotaShare, ..rule("a", 0, 0) }
}

/// An engine and its clock.
struct Scene {
    engine: Engine,
    now: Now,
}

impl Scene {
    fn of(rules: &[AlertRule]) -> Scene {
        let mut engine = Engine::default();
        engine.follow(rules, "host:9003");
        Scene { engine, now: Now { at: Instant::now(), unix: Duration::from_secs(1_000_000) } }
    }

    fn pass(&mut self, seconds: u64) {
        self.now.at += Duration::from_secs(seconds);
        self.now.unix += Duration::from_secs(seconds);
    }

    /// One second with one value, or none; what it says has happened.
    fn second(&mut self, value: Option<f64>) -> String {
        self.samples(value.map(|value| vec![Sample::plain(value)]))
    }

    fn samples(&mut self, samples: Option<Vec<Sample>>) -> String {
        let events = self.engine.step(|_| samples.clone(), self.now);
        self.pass(1);
        let told = events.iter().map(|event| if event.fired { "fired " } else { "resolved " });
        told.collect::<String>().trim_end().to_owned()
    }

    fn stages(&self) -> Vec<&'static str> {
        self.engine.alerts().map(|alert| alert.stage.label()).collect()
    }
}

#[test]
fn transcripts() {
    // Values second by second (`?`: not known) and what happens in each (`.`: nothing).
    for (hold, keep_firing, seconds) in [
        (0, 0, "11:fired 12:. 10:resolved 10:. 11:fired"),
        (2, 0, "11:. 11:. 11:fired 9:resolved"),
        (2, 0, "11:. 11:. 9:. 11:. 11:. 11:fired"),
        (0, 2, "11:fired 9:. 9:. 9:resolved"),
        (0, 2, "11:fired 9:. 11:. 9:. 9:. 9:resolved"),
        (0, 0, "11:fired ?:. ?:. 9:resolved"),
        (0, 0, "?:. 9:. ?:."),
        (3, 0, "11:. ?:. ?:. 11:fired"),
        (2, 0, "11:. ?:. ?:. 9:. 11:."),
        (0, 1, "11:fired 9:. ?:. ?:. 9:resolved"),
    ] {
        let mut scene = Scene::of(&[rule("a", hold, keep_firing)]);
        for (index, second) in seconds.split(' ').enumerate() {
            let (value, told) = second.split_once(':').unwrap();
            let happened = scene.second(value.parse().ok());
            assert_eq!(
                happened,
                told.replace('.', ""),
                "{seconds}: second {index}, for {hold} {keep_firing}"
            );
        }
    }
}

#[test]
fn every_change_of_a_stage_is_counted_once_and_nothing_else_is() {
    let mut scene = Scene::of(&[rule("a", 1, 0)]);
    for (value, changes, stages) in [
        (9.0, 0, &[][..]),
        (11.0, 1, &["pending"]),
        (12.0, 2, &["firing"]),
        (13.0, 2, &["firing"]),
        (9.0, 3, &["resolved"]),
        (9.0, 3, &["resolved"]),
        (11.0, 4, &["pending"]),
        (9.0, 5, &[]),
    ] {
        scene.second(Some(value));
        assert_eq!((scene.engine.changes(), &scene.stages()[..]), (changes, stages), "{value}");
    }
}

#[test]
fn a_resolved_alert_is_shown_for_a_quarter_of_an_hour() {
    let mut scene = Scene::of(&[rule("a", 0, 0)]);
    assert_eq!(scene.second(Some(11.0)), "fired");
    assert_eq!(scene.second(Some(1.0)), "resolved");
    scene.pass(RESOLVED_KEPT.as_secs() - 2);
    scene.second(Some(1.0));
    assert_eq!(scene.stages(), ["resolved"]);
    scene.second(Some(1.0));
    assert_eq!(scene.stages(), [""; 0]);
}

#[test]
fn a_rule_that_is_changed_keeps_its_alerts_and_one_that_is_gone_resolves_them() {
    let mut scene = Scene::of(&[rule("a", 0, 0), rule("b", 0, 0)]);
    assert_eq!(scene.second(Some(50.0)), "fired fired");
    let started = scene.engine.alerts().next().unwrap().started;
    let changed = AlertRule { threshold: 20.0, hold: Duration::from_secs(60), ..rule("a", 0, 0) };
    scene.engine.follow(std::slice::from_ref(&changed), "host:9003");
    assert_eq!(scene.second(Some(50.0)), "resolved");
    let alert = scene.engine.alerts().find(|alert| alert.stage == Stage::Firing).unwrap();
    assert_eq!((alert.started, alert.rule.threshold), (started, 20.0));
    // Other labels are another alert.
    let severe = AlertRule { severity: Severity::Critical, hold: Duration::ZERO, ..changed };
    scene.engine.follow(&[severe], "host:9003");
    assert_eq!(scene.second(Some(50.0)), "fired resolved");
    // Also while nothing is known, a rule that is gone has no alerts.
    scene.engine.follow(&[], "host:9003");
    assert_eq!(scene.second(None), "resolved");
}

#[test]
fn each_subject_has_an_alert_of_its_own_up_to_the_limit() {
    let mut scene = Scene::of(&[rule_of_users()]);
    let of = |names: std::ops::Range<usize>, value: f64| -> Vec<Sample> {
        let sample = |name: usize| Sample {
            label: Some(("user", Arc::from(format!("user{name}")))),
            ..Sample::plain(value + name as f64)
        };
        names.map(sample).collect()
    };
    assert_eq!(scene.samples(Some(of(0..3, 11.0))), "fired fired fired");
    assert_eq!(scene.samples(Some(of(0..2, 11.0))), "resolved", "who is gone has none");
    // Those there are stay, then come the worst.
    scene.samples(Some(of(0..ALERTS_PER_RULE_MAX + 50, 11.0)));
    let firing: Vec<_> = scene.engine.alerts().filter(|alert| alert.stage == Stage::Firing).collect();
    assert_eq!(firing.len(), ALERTS_PER_RULE_MAX);
    let has = |name: &str| firing.iter().any(|alert| alert.labels.get("user") == Some(name));
    assert!(has("user0") && has("user1") && has("user149") && !has("user3"));
    assert_eq!(scene.samples(Some(of(0..ALERTS_PER_RULE_MAX + 50, 11.0))), "", "and none changes places");
}

#[test]
fn resolved_ones_are_bounded() {
    let mut scene = Scene::of(&[rule_of_users()]);
    for round in 0..10 {
        let sample = |name: usize| Sample {
            label: Some(("user", Arc::from(format!("user{round}.{name}")))),
            ..Sample::plain(11.0)
        };
        scene.samples(Some((0..ALERTS_PER_RULE_MAX).map(sample).collect()));
    }
    scene.samples(Some(Vec::new()));
    assert_eq!(scene.stages().len(), RESOLVED_MAX);
}

/// Whatever the values: who fires is broken for `for` before, events alternate, and no alert is lost.
#[test]
fn at_random_it_holds_what_it_promises() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for _ in 0..200 {
        let (hold, keep_firing) = (random(4), random(4));
        let mut scene = Scene::of(&[rule("a", hold, keep_firing)]);
        // Seconds for which it has been broken, or whole, without a break; not known does not break it.
        let (mut broken, mut whole, mut firing) = (0, 0, false);
        let (mut since_broken, mut since_whole) = (None, None);
        for second in 0..100_u64 {
            let value = match random(5) {
                0 => None,
                1 | 2 => Some(5.0),
                _ => Some(15.0),
            };
            match value {
                Some(value) if value > 10.0 => {
                    since_whole = None;
                    broken = second - *since_broken.get_or_insert(second);
                }
                Some(_) => {
                    since_broken = None;
                    whole = second - *since_whole.get_or_insert(second);
                }
                None => {}
            }
            let wanted = match value {
                Some(value) if value > 10.0 && !firing && broken >= hold => "fired",
                Some(value) if value <= 10.0 && firing && whole >= keep_firing => "resolved",
                _ => "",
            };
            assert_eq!(scene.second(value), wanted, "second {second}, for {hold}, keep_firing {keep_firing}");
            firing = if wanted.is_empty() { firing } else { wanted == "fired" };
        }
    }
}

#[test]
fn a_rule_with_other_labels_ends_its_alerts_and_begins_others() {
    let before = rule("a", 0, 3600);
    let severe = AlertRule { severity: Severity::Critical, ..before.clone() };
    let labelled = AlertRule { labels: vec![("team".into(), "net".into())], ..before.clone() };
    for (after, instance) in [(&severe, "host:9003"), (&labelled, "host:9003"), (&before, "other:9003")] {
        for (value, happened) in [(Some(11.0), "fired resolved"), (Some(9.0), "resolved"), (None, "resolved")]
        {
            let mut scene = Scene::of(std::slice::from_ref(&before));
            assert_eq!(scene.second(Some(11.0)), "fired");
            scene.engine.follow(std::slice::from_ref(after), instance);
            assert_eq!(scene.second(value), happened, "{after:?} {value:?}");
        }
    }
    // Another threshold is no other alert, nor is one of a user that is still there.
    let of_users = rule_of_users();
    let milder = AlertRule { threshold: 12.0, keep_firing: Duration::from_secs(60), ..of_users.clone() };
    let mut scene = Scene::of(&[of_users]);
    let alice = Sample { label: Some(("user", "alice".into())), ..Sample::plain(11.0) };
    assert_eq!(scene.samples(Some(vec![alice])), "fired");
    scene.engine.follow(&[milder], "host:9003");
    assert_eq!((scene.samples(None), scene.samples(Some(Vec::new()))), (String::new(), String::new()));
}
