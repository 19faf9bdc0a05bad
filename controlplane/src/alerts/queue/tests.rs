//! Messages through outages.

use super::*;
use crate::alerts::labels::Labels;
use crate::alerts::message::Entry;

/// `"a+1 +2"`: of rule `a`, 1 and 2 fire. `-1`: it is over.
fn message(text: &str) -> Message {
    let (group, entries) = text.split_at(1);
    let entry = |word: &str| Entry {
        fingerprint: word[1..].parse().unwrap(),
        labels: Rc::new(Labels::default()),
        summary: String::new(),
        description: String::new(),
        started: Duration::ZERO,
        ended: word.starts_with('-').then_some(Duration::ZERO),
    };
    Message { group: group.into(), entries: entries.split(' ').map(entry).collect() }
}

fn text(message: &Message) -> String {
    let sign = |entry: &Entry| if entry.ended.is_some() { '-' } else { '+' };
    let entries = message.entries.iter().map(|entry| format!("{}{}", sign(entry), entry.fingerprint));
    format!("{}{}", message.group, entries.collect::<Vec<_>>().join(" "))
}

fn failed() -> Outcome {
    Outcome::Failed { why: "refused".into(), after: None }
}

/// The one under way is refused; what nobody will hear now.
fn refused(queue: &mut Queue, now: Instant) -> String {
    match queue.settle(Outcome::Refused { why: "answered 400".into() }, now, 0.0) {
        Some(Settled::GivenUp(message)) => text(&message),
        _ => "nothing was given up".to_owned(),
    }
}

/// Takes and delivers all there is.
fn drained(queue: &mut Queue, now: Instant) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(message) = queue.take(now) {
        all.push(text(&message));
        queue.settle(Outcome::Arrived, now, 0.0);
    }
    all
}

#[test]
fn an_outage_loses_and_repeats_nothing() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push(message("a+1"));
    assert_eq!(text(&queue.take(now).unwrap()), "a+1");
    assert!(queue.take(now).is_none(), "one at a time");
    queue.settle(failed(), now, 1.0);
    assert!(queue.take(now).is_none() && queue.is_failing());
    queue.push(message("a-1"));
    queue.push(message("b+7"));
    let later = now + RETRY_MIN;
    assert_eq!(drained(&mut queue, later), ["a+1", "a-1", "b+7"]);
    assert_eq!((queue.tally, queue.last_error.as_deref()), ([3, 1, 0, 0], None));
    assert_eq!(drained(&mut queue, later), [""; 0]);
}

#[test]
fn news_join_what_waits_but_never_what_is_under_way() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push(message("a+1"));
    queue.push(message("a+1 +2"));
    assert_eq!(queue.len(), 1);
    let under_way = queue.take(now).unwrap();
    queue.push(message("a+1 +2 +3"));
    assert_eq!((text(&under_way), queue.len()), ("a+1 +2".to_owned(), 2));
    queue.settle(failed(), now, 0.0);
    queue.push(message("a+3 -1"));
    queue.push(message("a+3 +4"));
    assert_eq!(drained(&mut queue, now + RETRY_MIN), ["a+1 +2", "a+1 +2 +3", "a+3 -1 +4"]);
}

#[test]
fn what_the_receiver_will_never_take_is_given_up() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push(message("a+1"));
    queue.push(message("b+1"));
    queue.take(now).unwrap();
    assert_eq!(refused(&mut queue, now), "a+1");
    assert_eq!(queue.last_error.as_deref(), Some("answered 400"));
    assert_eq!(drained(&mut queue, now), ["b+1"]);
    assert_eq!(queue.tally, [1, 0, 1, 0]);
}

#[test]
fn nothing_is_lost_that_a_later_message_tells() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push(message("a+1 +2 +3"));
    queue.take(now).unwrap();
    queue.push(message("a-1 +2"));
    queue.push(message("b+3"));
    assert_eq!(refused(&mut queue, now), "a+3");
}

#[test]
fn retries_come_ever_later_with_jitter_and_as_late_as_the_receiver_wishes() {
    let now = Instant::now();
    let waits = |chance: f64| -> Vec<u128> {
        let mut queue = Queue::default();
        queue.push(message("a+1"));
        let mut at = now;
        let mut wait = || {
            queue.take(at).unwrap();
            queue.settle(failed(), at, chance);
            let next = queue.next_try.unwrap();
            assert!(queue.take(next - Duration::from_millis(1)).is_none());
            let waited = next - at;
            at = next;
            waited.as_millis()
        };
        (0..8).map(|_| wait()).collect()
    };
    assert_eq!(waits(1.0), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    assert_eq!(waits(0.0), [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    for (asked, waited) in [(0, 1), (30, 30), (1_000_000, 3600)] {
        let mut queue = Queue::default();
        queue.push(message("a+1"));
        queue.take(now).unwrap();
        let after = Some(Duration::from_secs(asked));
        queue.settle(Outcome::Failed { why: String::new(), after }, now, 1.0);
        assert_eq!(queue.next_try, Some(now + Duration::from_secs(waited)));
    }
}

#[test]
fn a_full_queue_gives_up_what_a_newer_message_of_the_same_rule_follows() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push(message("a+1"));
    queue.push(message("b+1"));
    queue.push(message("b-1"));
    queue.take(now).unwrap();
    for number in 0..MESSAGES_MAX {
        let group = char::from_u32(0x4e00 + number as u32).unwrap();
        queue.push(Message { group: group.to_string().as_str().into(), ..message("a+1") });
    }
    assert_eq!(queue.len(), MESSAGES_MAX);
    assert_eq!(queue.tally[Delivery::QueueFull as usize], 3);
    // What is under way stays; of `b` went what was old, before anything else did.
    assert!(queue.has("a") && !queue.has("b"));
    queue.settle(Outcome::Arrived, now, 0.0);
    assert_eq!(drained(&mut queue, now).len(), MESSAGES_MAX - 1);
}

#[test]
fn long_errors_are_cut() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    queue.push(message("a+1"));
    queue.take(now).unwrap();
    queue.settle(Outcome::Failed { why: "é".repeat(1_000), after: None }, now, 0.0);
    assert!(queue.last_error.unwrap().len() <= ERROR_BYTES_MAX + "…".len());
}
