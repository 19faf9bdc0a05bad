use super::*;
use crate::history::question::{Question, Written};
use crate::history::tracker::{By, Figures, Row};
use std::path::Path;

/// 2026-11-21T10:00:00Z
const TEN: u64 = 1_795_255_200;
const DAY: Duration = Duration::from_secs(86_400);
const KEEP: Keep = Keep { minutes: DAY, hours: DAY, days: DAY };

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ringway-clerk-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn minute(index: u64) -> Minute {
    let figures = Figures { sent_bytes: 1, ..Figures::default() };
    Minute { at: TEN + 60 * index, rows: vec![Row { by: By::Total, key: "".into(), figures }] }
}

fn clerk(path: &Path) -> Clerk {
    Clerk::new(Some(path.to_owned()), Arc::default())
}

/// Bytes of the total of the last hours.
fn sent(clerk: &mut Clerk) -> u64 {
    let (reply, mut answer) = oneshot::channel();
    let question = Question::read(&Written { step: Some("hour"), ..Written::default() }, TEN + 7_200, &KEEP);
    clerk.answer(Asked { question: question.unwrap(), running: None, reply });
    let answer: serde_json::Value = serde_json::from_str(&answer.try_recv().unwrap().unwrap().body).unwrap();
    let figures = answer["series"][0]["sent_bytes"].as_array().into_iter().flatten();
    figures.filter_map(serde_json::Value::as_u64).sum()
}

#[test]
fn what_cannot_be_written_waits_is_told_and_is_written_once_it_can_be() {
    let folder = folder("waits");
    let path = folder.join("later/history.sqlite3");
    let mut clerk = clerk(&path);
    for index in 0..3 {
        clerk.write(minute(index));
    }
    assert_eq!(clerk.health.write_failures.load(Relaxed), 3);
    assert!(clerk.health.failing.load(Relaxed));
    assert!(clerk.fault.as_ref().unwrap().contains("later/history.sqlite3"), "{:?}", clerk.fault);
    assert_eq!(sent(&mut clerk), 3, "it is told from memory");
    std::fs::create_dir(folder.join("later")).unwrap();
    clerk.write(minute(3));
    assert!(!clerk.health.failing.load(Relaxed) && clerk.fault.is_none());
    assert_eq!((clerk.unwritten.len(), sent(&mut clerk)), (0, 4));
    assert_eq!(clerk.health.minutes_lost.load(Relaxed), 0);
}

#[test]
fn no_more_than_an_hour_waits() {
    let mut clerk = clerk(&folder("hour").join("missing/history.sqlite3"));
    for index in 0..UNWRITTEN_MAX as u64 + 5 {
        clerk.write(minute(index));
    }
    assert_eq!(clerk.unwritten.len(), UNWRITTEN_MAX);
    assert_eq!(clerk.health.minutes_lost.load(Relaxed), 5);
    assert_eq!(clerk.unwritten.front().unwrap().at, TEN + 5 * 60, "the oldest ones go");
}

#[test]
fn a_file_that_is_taken_away_is_made_anew() {
    let folder = folder("gone");
    let path = folder.join("history.sqlite3");
    let mut clerk = clerk(&path);
    clerk.write(minute(0));
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    for index in 1..4 {
        clerk.write(minute(index));
        clerk.forget(&KEEP, TEN);
    }
    assert!(path.exists(), "{:?}", clerk.fault);
    assert!(!clerk.health.failing.load(Relaxed));
}

#[test]
fn a_clock_that_jumps_forwards_takes_nothing_away_until_it_has_gone_on_for_a_while() {
    const JUMP: u64 = 400 * 24 * 60;
    let path = folder("jump").join("history.sqlite3");
    let mut first = clerk(&path);
    let tell = |clerk: &mut Clerk, index: u64| {
        clerk.write(minute(index));
        clerk.forget(&KEEP, minute(index).at);
    };
    for index in (0..40).chain([JUMP]) {
        tell(&mut first, index);
    }
    assert_eq!(sent(&mut first), 40);
    drop(first);
    // A restart does not make the clock right.
    let mut second = clerk(&path);
    (1..20).for_each(|index| tell(&mut second, JUMP + index));
    assert_eq!(sent(&mut second), 40);
    // It was no jump: what is too old goes.
    (20..40).for_each(|index| tell(&mut second, JUMP + index));
    assert_eq!(sent(&mut second), 0);
}
