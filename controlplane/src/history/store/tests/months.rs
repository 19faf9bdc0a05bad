//! Ninety days of a hundred users, as they would come: how large the file gets, and how many rows a month's question reads.

use super::*;
use crate::history::answer::{Sources, columns};
use crate::history::question::{Question, Written};

const USERS: u64 = 100;
const DAYS: u64 = 90;
/// Bytes the file may have.
const FILE_BYTES_MAX: u64 = 200 << 20;
/// Every minute of these last days is written, so that minutes are as many as there ever are; of the days before one minute in each hour
/// is, which leaves the same hours and days behind. `RINGWAY_HISTORY_EVERY_MINUTE=1` writes them all.
const LAST_DAYS: u64 = 2;

fn busy_minute(at: u64) -> Minute {
    let figures = |seed: u64| {
        // As large as they are in earnest: SQLite writes small ones in fewer bytes.
        let bytes = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30) + 1;
        let (connections, failed) = (bytes % 400, bytes % 7);
        Figures {
            sent_bytes: bytes,
            received_bytes: bytes / 9,
            connections,
            failed,
            active_max: connections / 3,
        }
    };
    let mut rows = vec![Row { by: By::Total, key: "".into(), figures: figures(at) }];
    for listener in ["socks5 127.0.0.1:1080", "websocket 127.0.0.1:8765"] {
        rows.push(Row { by: By::Listener, key: listener.into(), figures: figures(at + 7) });
    }
    for user in 0..USERS {
        rows.push(Row { by: By::User, key: format!("user-{user:03}").into(), figures: figures(at + user) });
    }
    Minute { at, rows }
}

#[test]
fn ninety_days_of_a_hundred_users_fit_and_a_month_is_answered() {
    let path = folder("months").join("history.sqlite3");
    let mut store = open(&path);
    // Of a disk's patience there is no more to learn here.
    store.db.pragma_update(None, "synchronous", "OFF").unwrap();
    let all = std::env::var_os("RINGWAY_HISTORY_EVERY_MINUTE").is_some();
    let kept = keep(48 * HOUR, 90 * DAY, 730 * DAY);
    let (begin, end) = (MIDNIGHT - DAYS * DAY, MIDNIGHT);
    let begun = Instant::now();
    let mut at = begin;
    while at < end {
        store.write(&busy_minute(at)).unwrap();
        store.expire(&kept, at).unwrap();
        at += if all || at >= end - LAST_DAYS * DAY { MINUTE } else { HOUR };
    }
    println!("written in {:?}, every minute: {all}", begun.elapsed());
    drop(store);
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!("the file has {:.1} MB", bytes as f64 / 1e6);
    assert!(bytes < FILE_BYTES_MAX, "{bytes}");

    let store = open(&path);
    // Two days of minutes, and the hour's first that is not forgotten before its last.
    let users = |step: Step| {
        let count = format!("SELECT count(*) FROM {} WHERE kind = {}", step.table(), By::User as i64);
        store.db.query_row(&count, [], |row| row.get::<_, i64>(0)).unwrap() as u64 / USERS
    };
    assert_eq!(users(Step::Minute), 48 * 60);
    assert_eq!(users(Step::Hour), DAYS * 24);
    assert_eq!(users(Step::Day), DAYS);
    for (by, step, points, series) in [
        ("total", "hour", 720, 1),
        ("total", "day", 30, 1),
        ("user", "day", 30, USERS as usize),
        ("user", "hour", 720, USERS as usize),
    ] {
        let written = Written { from: Some("-30d"), by: Some(by), step: Some(step), ..Written::default() };
        let question = Question::read(&written, end, &kept).unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        let sources = Sources { store: Some(&store), besides: Vec::new(), fault: None, until };
        let begun = Instant::now();
        let answered = crate::history::answer::answer(&sources, &question).unwrap();
        println!("30 days by {by}, step {step}: {:?}, {} bytes", begun.elapsed(), answered.body.len());
        let columns = columns(&sources, &question).unwrap();
        assert_eq!((columns.times.len(), columns.series.len(), columns.truncated), (points, series, false));
        assert!(columns.series.iter().all(|series| series.figures.iter().all(Option::is_some)));
    }
}
