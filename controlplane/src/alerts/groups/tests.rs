//! What a webhook is told, second by second.

use super::*;
use crate::alerts::labels::Labels;

fn entry(fingerprint: u64) -> Entry {
    Entry {
        fingerprint,
        labels: Rc::new(Labels::default()),
        summary: String::new(),
        description: String::new(),
        started: Duration::ZERO,
        ended: None,
    }
}

/// A message that 1 fires.
fn fires() -> Message {
    Message { group: "rule".into(), entries: vec![entry(1)] }
}

/// One rule's alerts, a webhook, and the time.
struct Stage {
    groups: Groups,
    pace: Pace,
    now: Instant,
    send_resolved: bool,
    waits: bool,
}

impl Stage {
    fn new(wait: u64, interval: u64, repeat: u64) -> Stage {
        let [wait, interval, repeat] = [wait, interval, repeat].map(Duration::from_secs);
        let pace = Pace { wait, interval, repeat };
        Stage { groups: Groups::default(), pace, now: Instant::now(), send_resolved: true, waits: false }
    }

    /// A second in which these fire (a silenced one is negative); what is told: `+1` fires, `-1` is over.
    fn second(&mut self, firing: &[i64]) -> String {
        let standing = |one: &i64| Standing {
            group: "rule".into(),
            entry: entry(one.unsigned_abs()),
            audible: *one > 0,
        };
        let firing: Vec<_> = firing.iter().map(standing).collect();
        let messages = self.groups.due(&Scene {
            firing: &firing,
            ended: &|entry| Entry { ended: Some(Duration::from_secs(1)), ..entry.clone() },
            waits: &|_| self.waits,
            send_resolved: self.send_resolved,
            pace: self.pace,
            now: self.now,
        });
        self.now += Duration::from_secs(1);
        let sign = |entry: &Entry| if entry.ended.is_some() { '-' } else { '+' };
        let told = messages.iter().flat_map(|message| &message.entries);
        told.map(|entry| format!("{}{}", sign(entry), entry.fingerprint)).collect::<Vec<_>>().join(" ")
    }

    fn arrive(&mut self) {
        self.groups.arrived(&fires(), self.now);
    }

    fn give_up(&mut self) {
        self.groups.given_up(&fires(), self.now);
    }

    fn hold(&mut self, seconds: &[(&[i64], &str)]) {
        for (index, (firing, told)) in seconds.iter().enumerate() {
            assert_eq!(self.second(firing), *told, "second {index}: {firing:?}");
        }
    }
}

#[test]
fn firing_and_resolved_are_told_once_each() {
    Stage::new(0, 1, 3600).hold(&[(&[], ""), (&[1], "+1"), (&[1], ""), (&[], "-1"), (&[], ""), (&[1], "+1")]);
}

#[test]
fn the_first_waits_for_others_and_later_news_for_the_interval() {
    Stage::new(2, 3, 3600).hold(&[
        (&[1], ""),
        (&[1, 2], ""),
        (&[1, 2], "+1 +2"),
        (&[1, 2, 3], ""),
        (&[1, 3], ""),
        (&[1, 3], "+1 +3 -2"),
        (&[1, 3], ""),
        (&[], ""),
        (&[], "-1 -3"),
        (&[], ""),
    ]);
}

#[test]
fn what_is_over_before_its_message_is_told_to_nobody() {
    Stage::new(2, 3, 3600).hold(&[
        (&[1], ""),
        (&[], ""),
        (&[], ""),
        (&[], ""),
        (&[1], ""),
        (&[1], ""),
        (&[1], "+1"),
    ]);
    // Nor that it was over in between, if it fires again by then.
    Stage::new(0, 3, 3600).hold(&[(&[1], "+1"), (&[], ""), (&[1], ""), (&[1], ""), (&[1], "")]);
}

#[test]
fn a_silenced_one_is_not_told_but_that_it_is_over_is_if_it_was() {
    Stage::new(0, 1, 3600).hold(&[(&[-1], ""), (&[-1], ""), (&[], ""), (&[], "")]);
    Stage::new(0, 1, 3600).hold(&[(&[1], "+1"), (&[-1], ""), (&[-1], ""), (&[], "-1")]);
    Stage::new(0, 1, 3600).hold(&[(&[-1], ""), (&[1], "+1"), (&[-1], ""), (&[1], ""), (&[], "-1")]);
}

#[test]
fn after_long_it_is_said_again_if_it_has_arrived() {
    let mut stage = Stage::new(0, 1, 5);
    stage.hold(&[(&[1], "+1"), (&[1], ""), (&[1], ""), (&[1], ""), (&[1], ""), (&[1], ""), (&[1], "")]);
    stage.arrive();
    stage.hold(&[(&[1], ""), (&[1], ""), (&[1], ""), (&[1], ""), (&[1], "")]);
    stage.waits = true;
    stage.hold(&[(&[1], "")]);
    stage.waits = false;
    stage.hold(&[(&[-1], ""), (&[1], "+1"), (&[1], ""), (&[], "-1")]);
    // What is over is not said again, however long ago.
    stage.arrive();
    (0..20).for_each(|_| assert_eq!(stage.second(&[]), ""));
}

#[test]
fn some_want_to_hear_of_firing_ones_alone() {
    let mut stage = Stage::new(0, 1, 3600);
    stage.send_resolved = false;
    stage.hold(&[(&[1], "+1"), (&[1, 2], "+1 +2"), (&[2], ""), (&[], ""), (&[], ""), (&[1], "+1")]);
}

#[test]
fn nothing_is_kept_of_what_is_over() {
    let mut stage = Stage::new(0, 2, 3600);
    stage.hold(&[(&[1], "+1"), (&[], ""), (&[], "-1"), (&[], ""), (&[], "")]);
    assert!(stage.groups.0.is_empty());
}

#[test]
fn what_was_given_up_is_told_again_after_the_interval_until_it_is_taken() {
    let mut stage = Stage::new(0, 2, 3600);
    stage.hold(&[(&[1], "+1")]);
    for _ in 0..3 {
        stage.give_up();
        stage.hold(&[(&[1], ""), (&[1], ""), (&[1], "+1")]);
    }
    stage.arrive();
    stage.hold(&[(&[1], ""), (&[1], ""), (&[1], ""), (&[1], ""), (&[], "-1")]);
    // It is the interval after it was given up, however long it has waited before.
    let mut stage = Stage::new(0, 2, 3600);
    stage.hold(&[(&[1], "+1"), (&[1], ""), (&[1], ""), (&[1], "")]);
    stage.give_up();
    stage.hold(&[(&[-1], ""), (&[1], ""), (&[1], "+1")]);
}

#[test]
fn who_took_no_word_of_an_alert_is_not_told_that_it_is_over() {
    let mut stage = Stage::new(0, 1, 3600);
    stage.hold(&[(&[1], "+1")]);
    stage.give_up();
    stage.hold(&[(&[], ""), (&[], ""), (&[], "")]);
    assert!(stage.groups.0.is_empty());
}

#[test]
fn a_repeat_that_was_given_up_is_told_again_and_its_end_too() {
    let mut stage = Stage::new(0, 1, 2);
    stage.hold(&[(&[1], "+1")]);
    stage.arrive();
    stage.hold(&[(&[1], ""), (&[1], ""), (&[1], "+1")]);
    stage.give_up();
    stage.hold(&[(&[1], ""), (&[1], "+1")]);
    stage.give_up();
    stage.hold(&[(&[], ""), (&[], "-1"), (&[], "")]);
}

#[test]
fn what_is_over_by_the_time_it_is_given_up_is_not_told_again() {
    let mut stage = Stage::new(0, 1, 3600);
    stage.hold(&[(&[1], "+1"), (&[], "-1")]);
    stage.give_up();
    stage.hold(&[(&[], ""), (&[], "")]);
}

#[test]
fn what_ends_as_the_receiver_knows_it_has_begun_when_it_knows_it_has() {
    let (mut groups, now) = (Groups::default(), Instant::now());
    let pace = Pace { repeat: Duration::from_secs(2), ..Pace::default() };
    let mut second = |at: u64, started: Option<u64>| -> Vec<(Duration, bool)> {
        let begun = |started| Entry { started: Duration::from_secs(started), ..entry(1) };
        let standing = |started| Standing { group: "rule".into(), entry: begun(started), audible: true };
        let now = now + Duration::from_secs(at);
        let messages = groups.due(&Scene {
            firing: &started.map(standing).into_iter().collect::<Vec<_>>(),
            // The engine knows the latest one alone.
            ended: &|_| Entry { ended: Some(Duration::from_secs(9)), ..begun(7) },
            waits: &|_| false,
            send_resolved: true,
            pace,
            now,
        });
        messages.iter().for_each(|message| groups.arrived(message, now));
        let told = messages.iter().flat_map(|message| &message.entries);
        told.map(|entry| (entry.started, entry.ended.is_some())).collect()
    };
    let first = Duration::from_secs(3);
    assert_eq!(second(0, Some(3)), [(first, false)]);
    // It was over and fires again, before anybody was told.
    assert_eq!(second(1, Some(7)), []);
    assert_eq!(second(2, Some(7)), [(first, false)], "repeated");
    assert_eq!(second(3, None), [(first, true)]);
    assert_eq!(second(4, Some(11)), [(Duration::from_secs(11), false)], "another one");
}
