//! From alerts to messages, and from answers to what they mean.

use super::*;
use crate::alerts::facts::Sample;
use ringway_shared::config::{AlertRule, Measure, Severity, When};

fn rule(name: &str, severity: Severity) -> AlertRule {
    AlertRule {
        name: name.into(),
        of: Measure::QuotaShare,
        when: When::Above,
        threshold: 90.0,
        written: "90%".into(),
        hold: Duration::ZERO,
        keep_firing: Duration::ZERO,
        severity,
        summary: Some("Sell them more.".into()),
        labels: vec![("team".into(), "sales".into())],
    }
}

fn hook(name: &str, severity: Severity) -> Arc<Webhook> {
    Arc::new(Webhook {
        name: name.into(),
        url: "https://pager.example/hook?key=hunter2".into(),
        url_is_secret: false,
        headers: vec![("authorization".into(), "Bearer hunter2".into())],
        timeout: Duration::from_secs(1),
        severity,
        send_resolved: true,
    })
}

fn config(webhooks: Vec<Arc<Webhook>>) -> Config {
    Config {
        rules: [].into(),
        webhooks,
        instance: None,
        group_wait: Duration::ZERO,
        group_interval: Duration::from_secs(1),
        repeat_interval: Duration::from_secs(3600),
    }
}

fn users(values: &[(&str, f64)]) -> Vec<Sample> {
    let sample = |(user, value): &(&str, f64)| Sample {
        label: Some(("user", (*user).into())),
        ..Sample::plain(*value)
    };
    values.iter().map(sample).collect()
}

/// Engine, webhooks and the time.
struct Scene {
    engine: Engine,
    webhooks: Webhooks,
    silences: Silences,
    now: Now,
}

impl Scene {
    fn of(rules: &[AlertRule], hooks: Vec<Arc<Webhook>>) -> Scene {
        let mut scene = Scene {
            engine: Engine::default(),
            webhooks: Webhooks::default(),
            silences: Silences::default(),
            now: Now { at: Instant::now(), unix: Duration::from_millis(1_795_000_000_500) },
        };
        scene.engine.follow(rules, "host:9003");
        scene.webhooks.follow(&config(hooks), "http://host:9003");
        scene
    }

    /// One second; what is sent to whom.
    fn second(&mut self, samples: &[Sample]) -> Vec<Json> {
        self.engine.step(|_| Some(samples.to_vec()), self.now);
        self.webhooks.step(&self.engine, &self.silences, self.now);
        let mut sent = Vec::new();
        loop {
            let flights = self.webhooks.take(self.now.at);
            if flights.is_empty() {
                break;
            }
            for Flight { hook, message, url } in flights {
                sent.push(message.to_json(&hook.name, &url));
                self.webhooks.settle(&hook.name, Outcome::Arrived, self.now.at, 0.0);
            }
        }
        self.now.at += Duration::from_secs(1);
        self.now.unix += Duration::from_secs(1);
        sent
    }
}

#[test]
fn a_message_is_as_alertmanager_writes_it() {
    let mut scene = Scene::of(&[rule("quota", Severity::Warning)], vec![hook("pager", Severity::Info)]);
    let sent = scene.second(&users(&[("alice", 95.0), ("bob", 91.25)]));
    let alert = |user: &str, value: &str, fingerprint: &Json| {
        json!({
            "status": "firing",
            "labels": {"alertname": "quota", "instance": "host:9003", "severity": "warning", "team": "sales", "user": user},
            "annotations": {
                "summary": "Sell them more.",
                "description": format!("quota_share of {user} is {value}, above 90%"),
            },
            "startsAt": "2026-11-18T11:06:40.500000Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://host:9003/api/v1/alerts",
            "fingerprint": fingerprint,
        })
    };
    let mut found = sent[0]["alerts"].as_array().unwrap().clone();
    found.sort_by_key(|alert| alert["labels"]["user"].to_string());
    let wanted = json!({
        "version": "4",
        "groupKey": "{}:{alertname=\"quota\"}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "pager",
        "groupLabels": {"alertname": "quota"},
        "commonLabels": {"alertname": "quota", "instance": "host:9003", "severity": "warning", "team": "sales"},
        "commonAnnotations": {"summary": "Sell them more."},
        "externalURL": "http://host:9003",
        "alerts": [
            alert("alice", "95%", &found[0]["fingerprint"]),
            alert("bob", "91.3%", &found[1]["fingerprint"]),
        ],
    });
    let mut first = sent[0].clone();
    first["alerts"] = Json::from(found);
    assert_eq!((sent.len(), &first), (1, &wanted));
    // One of them is over; the other one still fires.
    let sent = scene.second(&users(&[("alice", 95.0)]));
    let statuses = |message: &Json| -> Vec<String> {
        let alerts = message["alerts"].as_array().unwrap();
        alerts.iter().map(|alert| format!("{} {}", alert["labels"]["user"], alert["status"])).collect()
    };
    assert_eq!(sent[0]["status"], "firing");
    assert_eq!(statuses(&sent[0]), ["\"alice\" \"firing\"", "\"bob\" \"resolved\""]);
    assert_eq!(sent[0]["alerts"][1]["endsAt"], "2026-11-18T11:06:41.500000Z");
    let sent = scene.second(&users(&[]));
    assert_eq!((&sent[0]["status"], statuses(&sent[0]).len()), (&json!("resolved"), 1));
}

#[test]
fn each_webhook_hears_what_matters_enough_to_it() {
    let rules = [rule("mild", Severity::Info), rule("bad", Severity::Critical)];
    let hooks = vec![hook("all", Severity::Info), hook("worst", Severity::Critical)];
    let mut scene = Scene::of(&rules, hooks);
    let heard: Vec<String> = scene
        .second(&users(&[("alice", 95.0)]))
        .iter()
        .map(|message| format!("{} {}", message["receiver"], message["groupLabels"]["alertname"]))
        .collect();
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard.contains(&"\"worst\" \"bad\"".to_owned()), "{heard:?}");
}

#[test]
fn a_reload_keeps_what_a_webhook_was_told_by_its_name() {
    let mut scene = Scene::of(&[rule("quota", Severity::Warning)], vec![hook("pager", Severity::Info)]);
    assert_eq!(scene.second(&users(&[("alice", 95.0)])).len(), 1);
    scene
        .webhooks
        .follow(&config(vec![hook("pager", Severity::Info), hook("new", Severity::Info)]), "http://h");
    let sent = scene.second(&users(&[("alice", 95.0)]));
    assert_eq!((sent.len(), &sent[0]["receiver"]), (1, &json!("new")), "the other one knows");
    scene.webhooks.follow(&config(vec![hook("new", Severity::Info)]), "http://h");
    assert_eq!(scene.webhooks.tally()[0], 2, "what is gone is still counted");
    // A rule that is gone is told as over.
    scene.engine.follow(&[], "host:9003");
    let sent = scene.second(&users(&[("alice", 95.0)]));
    assert_eq!((sent.len(), &sent[0]["status"]), (1, &json!("resolved")));
}

#[test]
fn a_silenced_alert_is_sent_to_nobody() {
    let mut scene = Scene::of(&[rule("quota", Severity::Warning)], vec![hook("pager", Severity::Info)]);
    let matchers = [("user".into(), "alice".into())].into();
    scene.silences.add(matchers, Duration::from_secs(60), "ops", "", scene.now).unwrap();
    let sent = scene.second(&users(&[("alice", 95.0), ("bob", 95.0)]));
    assert_eq!((sent.len(), sent[0]["alerts"].as_array().unwrap().len()), (1, 1));
    assert_eq!(sent[0]["alerts"][0]["labels"]["user"], "bob");
}

#[test]
fn what_is_shown_holds_no_secret() {
    let scene = Scene::of(&[], vec![hook("pager", Severity::Info)]);
    let shown = format!("{:?}{:?}", scene.webhooks.to_json(), hook("pager", Severity::Info));
    assert!(shown.contains("https://pager.example/hook?<redacted>") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn answers_are_arrivals_refusals_or_wishes_to_try_again() {
    let after = Some(Duration::from_secs(7));
    for status in [200, 202, 204] {
        assert_eq!(judge(status, None), Outcome::Arrived);
    }
    for status in [301, 302, 400, 401, 404, 410, 413] {
        assert_eq!(judge(status, after), Outcome::Refused { why: format!("answered {status}") });
    }
    for status in [408, 425, 429, 500, 503, 599] {
        let why = || format!("answered {status}");
        assert_eq!(judge(status, after), Outcome::Failed { why: why(), after });
        assert_eq!(judge(status, None), Outcome::Failed { why: why(), after: None });
    }
}
