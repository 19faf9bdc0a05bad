//! Files that are not as they should be, and processes that end in the middle of a write.

use super::*;
use std::process::{Command, Stdio};

#[test]
fn a_damaged_file_is_moved_aside_and_another_one_begun() {
    for (name, damage) in [("header", 16), ("page", 2 * 4096)] {
        let path = folder(name).join("history.sqlite3");
        let mut store = open(&path);
        for index in 0..100 {
            store.write(&minute(MIDNIGHT + index * MINUTE, &[("alice", 1)])).unwrap();
        }
        drop(store);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[damage..damage + 3000].fill(0x5a);
        std::fs::write(&path, &bytes).unwrap();
        let opened = Store::open(Some(&path)).unwrap();
        let (aside, _) = opened.moved_aside.expect("it is damaged");
        let kept = std::fs::read(&aside).unwrap();
        assert!(kept[4096..] == bytes[4096..], "{name}: what was in it can still be saved");
        assert_eq!(rows(&opened.store, By::Total, Step::Minute), []);
        drop(opened.store);
        drop(open(&path));
    }
}

#[test]
fn a_file_of_somebody_elses_or_of_a_later_ringway_is_left_alone() {
    let path = folder("strange").join("history.sqlite3");
    let strange = Connection::open(&path).unwrap();
    strange.execute_batch("CREATE TABLE own (a); INSERT INTO own VALUES (1)").unwrap();
    drop(strange);
    let fault = Store::open(Some(&path)).err().unwrap();
    assert!(fault.0.contains("another program"), "{fault:?}");
    let strange = Connection::open(&path).unwrap();
    assert_eq!(strange.query_row("SELECT a FROM own", [], |row| row.get::<_, i64>(0)), Ok(1));
    drop(strange);

    let path = folder("later").join("history.sqlite3");
    drop(open(&path));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let fault = Store::open(Some(&path)).err().unwrap();
    assert!(fault.0.contains("later ringway (schema 99"), "{fault:?}");
}

#[test]
fn a_file_that_never_was_a_database_is_left_alone() {
    let folder = folder("slip");
    for (name, text) in [("users.yaml", "users:\n  - name: alice\n"), ("short", "x")] {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        let fault = Store::open(Some(&path)).err().unwrap();
        assert!(fault.0.contains("no SQLite file"), "{fault:?}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2, "nothing was moved");
    // Zeros are what a power cut leaves of a database.
    std::fs::write(folder.join("zeros"), [0; 5000]).unwrap();
    assert!(Store::open(Some(&folder.join("zeros"))).unwrap().moved_aside.is_some());
}

#[test]
fn a_file_that_cannot_be_had_is_a_fault_in_words() {
    let folder = folder("nowhere");
    for path in [folder.join("missing/history.sqlite3"), folder.clone()] {
        let fault = Store::open(Some(&path)).err().unwrap();
        assert!(fault.0.contains("os error"), "{fault:?}");
    }
}

#[test]
fn a_full_disk_takes_nothing_away_and_is_left_once_there_is_room() {
    let mut store = open(&folder("full").join("history.sqlite3"));
    store.write(&minute(MIDNIGHT, &[("alice", 5)])).unwrap();
    let pages: i64 = store.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let room = |store: &Store, pages: i64| {
        let said =
            store.db.pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0));
        assert_eq!(said, Ok(pages));
    };
    room(&store, pages);
    let users: Vec<String> = (0..500).map(|user| format!("user-{user}")).collect();
    let users: Vec<_> = users.iter().map(|user| (user.as_str(), 1)).collect();
    let fault = store.write(&minute(MIDNIGHT + MINUTE, &users)).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Passing, "{fault:?}");
    assert_eq!(rows(&store, By::User, Step::Hour), [(MIDNIGHT, "alice".to_owned(), 5)], "no part of it");
    room(&store, pages + 100);
    store.write(&minute(MIDNIGHT + MINUTE, &users)).unwrap();
    assert_eq!(rows(&store, By::Total, Step::Hour), [(MIDNIGHT, String::new(), 505)]);
}

const CHILD: &str = "RINGWAY_TEST_HISTORY_WRITER";
const KILLS: usize = 20;

/// The child of the test below: writes until it is killed.
#[test]
fn a_writer_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut store = open(Path::new(&path));
    let users: Vec<String> = (0..50).map(|user| format!("user-{user}")).collect();
    let users: Vec<_> = users.iter().map(|user| (user.as_str(), 1)).collect();
    let first = store.oldest(Step::Minute).unwrap().unwrap_or(MIDNIGHT);
    for index in 0.. {
        store.write(&minute(first + index * MINUTE, &users)).unwrap();
        store.expire(&keep(10 * MINUTE, HOUR, DAY), first + index * MINUTE).unwrap();
        println!("written {}", store.names(By::User).unwrap());
    }
}

/// The whole of what was said to be written is there, whatever moment the process ended at.
#[test]
fn killed_while_it_writes_the_file_is_whole() {
    use std::io::{BufRead, BufReader};
    let path = folder("killed").join("history.sqlite3");
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "history::store::tests::damage::a_writer_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        // Another number of minutes each time; the next one is being written when it is killed.
        let written = lines.filter(|line| line.contains("written")).take(1 + 7 * round).count();
        assert_eq!(written, 1 + 7 * round);
        child.kill().unwrap();
        child.wait().unwrap();
        let db = Connection::open(&path).unwrap();
        let said: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(said, "ok", "round {round}");
        drop(db);
        let store = open(&path);
        let total: u64 = rows(&store, By::Total, Step::Day).iter().map(|(_, _, bytes)| bytes).sum();
        let users: u64 = rows(&store, By::User, Step::Day).iter().map(|(_, _, bytes)| bytes).sum();
        assert_eq!(total, users, "no minute is there in part");
        assert!(total >= 50 * written as u64, "round {round}: {total}");
    }
}
