use super::*;
use crate::history::tracker::MINUTE;
use ringway_shared::config::Keep;

mod damage;
mod months;

/// 2026-11-21T00:00:00Z
pub const MIDNIGHT: u64 = 1_795_219_200;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

pub fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("ringway-history-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub fn open(path: &Path) -> Store {
    let opened = Store::open(Some(path)).unwrap();
    assert!(opened.moved_aside.is_none(), "{:?}", opened.moved_aside);
    opened.store
}

pub fn row(by: By, key: &str, bytes: u64) -> Row {
    let figures =
        Figures { sent_bytes: bytes, received_bytes: 1, connections: 2, failed: 1, active_max: bytes };
    Row { by, key: key.into(), figures }
}

/// A minute of these users and their sum.
pub fn minute(at: u64, users: &[(&str, u64)]) -> Minute {
    let total = row(By::Total, "", users.iter().map(|(_, bytes)| bytes).sum());
    let users = users.iter().map(|(name, bytes)| row(By::User, name, *bytes));
    Minute { at, rows: std::iter::once(total).chain(users).collect() }
}

pub fn keep(minutes: u64, hours: u64, days: u64) -> Keep {
    let of = Duration::from_secs;
    Keep { minutes: of(minutes), hours: of(hours), days: of(days) }
}

/// All rows of a step: when, who, sent bytes.
fn rows(store: &Store, by: By, step: Step) -> Vec<(u64, String, u64)> {
    let until = Instant::now() + Duration::from_secs(60);
    let mut read = Vec::new();
    let wanted = Wanted { by, step, from: 0, to: u64::MAX, key: None, until };
    store.read(&wanted, |row| read.push(row)).unwrap();
    let named = |row: Read| (row.at, store.name(row.key).unwrap().to_string(), row.figures.sent_bytes);
    read.into_iter().map(named).collect()
}

#[test]
fn a_minute_is_in_its_hour_and_its_day_at_once() {
    let mut store = Store::open(None).unwrap().store;
    store.write(&minute(MIDNIGHT, &[("alice", 5)])).unwrap();
    store.write(&minute(MIDNIGHT + 59 * MINUTE, &[("alice", 7), ("bob", 1)])).unwrap();
    store.write(&minute(MIDNIGHT + HOUR, &[("bob", 2)])).unwrap();
    let row = |at: u64, name: &str, bytes: u64| (at, name.to_owned(), bytes);
    assert_eq!(
        rows(&store, By::User, Step::Hour),
        [row(MIDNIGHT, "alice", 12), row(MIDNIGHT, "bob", 1), row(MIDNIGHT + HOUR, "bob", 2)]
    );
    assert_eq!(rows(&store, By::User, Step::Day), [row(MIDNIGHT, "alice", 12), row(MIDNIGHT, "bob", 3)]);
    assert_eq!(rows(&store, By::Total, Step::Day), [row(MIDNIGHT, "", 15)]);
    assert_eq!(rows(&store, By::User, Step::Minute).len(), 4);
}

#[test]
fn a_minute_that_comes_in_two_parts_is_whole_and_has_the_most_of_both() {
    let path = folder("parts").join("history.sqlite3");
    let (mut old, mut heir) = (open(&path), open(&path));
    old.write(&minute(MIDNIGHT, &[("alice", 5)])).unwrap();
    heir.write(&minute(MIDNIGHT, &[("bob", 1), ("alice", 7)])).unwrap();
    old.write(&minute(MIDNIGHT, &[("bob", 2)])).unwrap();
    drop(old);
    assert_eq!(rows(&heir, By::Total, Step::Minute), [(MIDNIGHT, String::new(), 15)]);
    let until = Instant::now() + Duration::from_secs(60);
    let wanted =
        Wanted { by: By::User, step: Step::Minute, from: 0, to: u64::MAX, key: Some("alice"), until };
    let mut read = Vec::new();
    heir.read(&wanted, |row| read.push(row.figures)).unwrap();
    let figures = Figures { sent_bytes: 12, received_bytes: 2, connections: 4, failed: 2, active_max: 7 };
    assert_eq!(read, [figures]);
}

#[test]
fn it_is_there_again_when_it_is_opened_again_and_others_cannot_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let path = folder("again").join("history.sqlite3");
    let mut store = open(&path);
    store.write(&minute(MIDNIGHT, &[("alice", 5)])).unwrap();
    for end in ["", "-wal", "-shm"] {
        let file = format!("{}{end}", path.display());
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{end}");
    }
    drop(store);
    let mut store = open(&path);
    assert_eq!(rows(&store, By::User, Step::Minute), [(MIDNIGHT, "alice".to_owned(), 5)]);
    store.write(&minute(MIDNIGHT, &[("alice", 5)])).unwrap();
    assert_eq!(rows(&store, By::User, Step::Minute), [(MIDNIGHT, "alice".to_owned(), 10)]);
}

#[test]
fn what_is_too_old_goes_in_bounded_steps_and_names_go_with_their_last_day() {
    let mut store = Store::open(Some(&folder("expiry").join("history.sqlite3"))).unwrap().store;
    for index in 0..150 {
        store.write(&minute(MIDNIGHT + index * MINUTE, &[("alice", 1)])).unwrap();
    }
    let kept = keep(HOUR, 2 * HOUR, DAY);
    let now = MIDNIGHT + 150 * MINUTE;
    let minutes = |store: &Store| rows(store, By::Total, Step::Minute).len();
    assert!(store.expire(&kept, now).unwrap(), "there is more to do");
    assert_eq!(minutes(&store), 90);
    assert!(!store.expire(&kept, now).unwrap());
    assert_eq!(minutes(&store), 60, "an hour of them is kept");
    assert_eq!(rows(&store, By::User, Step::Hour).len(), 3);
    // The first hour is too old as soon as all of it is.
    store.expire(&kept, MIDNIGHT + 3 * HOUR).unwrap();
    assert_eq!(rows(&store, By::User, Step::Hour).len(), 2);
    assert_eq!(store.names(By::User).unwrap(), 1);
    store.expire(&kept, MIDNIGHT + 2 * DAY).unwrap();
    assert_eq!(rows(&store, By::User, Step::Day).len(), 0);
    assert_eq!(store.names(By::User).unwrap(), 0);
    assert_eq!(store.oldest(Step::Day).unwrap(), None);
    // A name that is needed again has a number again.
    store.write(&minute(MIDNIGHT + 2 * DAY, &[("alice", 3)])).unwrap();
    assert_eq!(rows(&store, By::User, Step::Day), [(MIDNIGHT + 2 * DAY, "alice".to_owned(), 3)]);
}

#[test]
fn without_a_file_a_day_is_kept_whatever_is_wanted() {
    let mut store = Store::open(None).unwrap().store;
    store.write(&minute(MIDNIGHT, &[("alice", 1)])).unwrap();
    store.write(&minute(MIDNIGHT + 30 * HOUR, &[("alice", 1)])).unwrap();
    store.expire(&keep(2 * DAY, 90 * DAY, 730 * DAY), MIDNIGHT + 30 * HOUR).unwrap();
    assert_eq!(rows(&store, By::Total, Step::Minute).len(), 1);
    assert_eq!(rows(&store, By::Total, Step::Hour).len(), 1);
}

#[test]
fn a_question_that_takes_too_long_is_given_up() {
    let mut store = Store::open(None).unwrap().store;
    let users: Vec<String> = (0..500).map(|user| format!("user-{user}")).collect();
    let users: Vec<_> = users.iter().map(|user| (user.as_str(), 1)).collect();
    for index in 0..20 {
        store.write(&minute(MIDNIGHT + index * MINUTE, &users)).unwrap();
    }
    let wanted =
        Wanted { by: By::User, step: Step::Minute, from: 0, to: u64::MAX, key: None, until: Instant::now() };
    let fault = store.read(&wanted, |_| {}).unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooLong);
    assert_eq!(rows(&store, By::User, Step::Minute).len(), 10_000, "the next one is answered");
}

#[test]
fn figures_beyond_reason_do_not_break_a_sum() {
    let mut store = Store::open(None).unwrap().store;
    for _ in 0..1_000 {
        store.write(&minute(MIDNIGHT, &[("alice", u64::MAX / 2)])).unwrap();
    }
    assert_eq!(rows(&store, By::User, Step::Day), [(MIDNIGHT, "alice".to_owned(), 1_000 << 50)]);
}
