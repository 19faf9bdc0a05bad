use super::*;
use crate::history::question::Written;
use crate::history::tracker::Row;
use ringway_shared::config::Keep;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// 2026-11-21T10:00:00Z
const TEN: u64 = 1_795_255_200;

fn minute(at: u64, rows: &[(By, &str, u64)]) -> Minute {
    let row = |(by, key, sent_bytes): &(By, &str, u64)| {
        let figures = Figures { sent_bytes: *sent_bytes, ..Figures::default() };
        Row { by: *by, key: (*key).into(), figures }
    };
    Minute { at, rows: rows.iter().map(row).collect() }
}

fn asked(store: Option<&Store>, besides: &[Minute], written: Written<'_>) -> String {
    let day = Duration::from_secs(86_400);
    let keep = Keep { minutes: day, hours: day, days: day };
    let question = Question::read(&written, TEN + 5 * 60, &keep).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let sources = Sources { store, besides: besides.iter().collect(), fault: Some("no room"), until };
    answer(&sources, &question).unwrap().body
}

fn stored(minutes: &[Minute]) -> Store {
    let mut store = Store::open(None).unwrap().store;
    minutes.iter().for_each(|minute| store.write(minute).unwrap());
    store
}

const SINCE: Written<'_> = Written {
    from: Some("-5m"),
    to: None,
    by: Some("user"),
    step: Some("minute"),
    key: None,
    format: None,
    prefers_csv: false,
};

#[test]
fn gaps_are_null_and_who_moved_nothing_has_zeros() {
    let store = stored(&[
        minute(TEN, &[(By::Total, "", 3), (By::User, "alice", 3)]),
        minute(TEN + 60, &[(By::Total, "", 9), (By::User, "bob", 9)]),
    ]);
    let running = minute(TEN + 240, &[(By::Total, "", 1), (By::User, "alice", 1)]);
    let answer: Json = serde_json::from_str(&asked(Some(&store), &[running], SINCE)).unwrap();
    assert_eq!(answer["times"], json!([TEN, TEN + 60, TEN + 120, TEN + 180, TEN + 240]));
    let sent = |index: usize| (&answer["series"][index]["key"], &answer["series"][index]["sent_bytes"]);
    assert_eq!(sent(0), (&json!("bob"), &json!([0, 9, null, null, 0])));
    assert_eq!(sent(1), (&json!("alice"), &json!([3, 0, null, null, 1])));
    assert_eq!(answer["series"].as_array().unwrap().len(), 2);
    assert_eq!(answer["from"], "2026-11-21T10:00:00Z");
    assert_eq!(answer["to"], "2026-11-21T10:05:00Z");
    assert_eq!(
        answer["kept"],
        json!({"minute": "2026-11-21T10:00:00Z", "hour": "2026-11-21T10:00:00Z", "day": "2026-11-21T00:00:00Z"})
    );
    assert_eq!(
        (&answer["file"], &answer["fault"], &answer["truncated"]),
        (&json!(false), &json!("no room"), &json!(false))
    );
}

#[test]
fn a_key_alone_is_told_alone_and_one_that_is_unknown_is_none() {
    let store = stored(&[minute(TEN, &[(By::Total, "", 3), (By::User, "alice", 2), (By::User, "bob", 1)])]);
    let running = minute(TEN + 60, &[(By::Total, "", 5), (By::User, "alice", 5), (By::User, "eve", 1)]);
    let of = |key: &'static str| {
        let text = asked(Some(&store), std::slice::from_ref(&running), Written { key: Some(key), ..SINCE });
        serde_json::from_str::<Json>(&text).unwrap()["series"].clone()
    };
    assert_eq!(of("alice")[0]["sent_bytes"], json!([2, 5, null, null, null]));
    assert_eq!(of("alice").as_array().unwrap().len(), 1);
    assert_eq!(of("nobody"), json!([]));
}

#[test]
fn without_a_store_what_is_in_memory_is_told() {
    let running = minute(TEN + 60, &[(By::Total, "", 5)]);
    let text = asked(None, &[running], Written { by: None, ..SINCE });
    let answer: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["series"][0]["sent_bytes"], json!([null, 5, null, null, null]));
    assert_eq!(answer["kept"]["day"], "2026-11-21T00:00:00Z");
}

#[test]
fn a_part_that_is_stored_and_one_that_runs_are_one_hour() {
    let store = stored(&[minute(TEN, &[(By::Total, "", 3)])]);
    let running = minute(TEN + 60, &[(By::Total, "", 5)]);
    let text = asked(Some(&store), &[running], Written { by: None, step: Some("hour"), ..SINCE });
    assert_eq!(serde_json::from_str::<Json>(&text).unwrap()["series"][0]["sent_bytes"], json!([8]));
}

#[test]
fn csv_has_a_row_for_each_time_and_key_and_quotes_what_needs_it() {
    let store = stored(&[minute(TEN, &[(By::Total, "", 3), (By::User, "a,\"b\"", 3)])]);
    let text = asked(Some(&store), &[], Written { format: Some("csv"), ..SINCE });
    assert_eq!(
        text,
        "time,key,sent_bytes,received_bytes,connections,failed,active_max\r\n\
         2026-11-21T10:00:00Z,\"a,\"\"b\"\"\",3,0,0,0,0\r\n"
    );
}

#[test]
fn of_too_many_points_those_are_told_that_moved_the_most() {
    let users: Vec<String> = (0..200).map(|user| format!("user-{user:03}")).collect();
    let mut rows = vec![(By::Total, "", 1)];
    rows.extend(users.iter().enumerate().map(|(index, user)| (By::User, user.as_str(), index as u64)));
    let store = stored(&[minute(TEN, &rows)]);
    let text = asked(Some(&store), &[], Written { from: Some("-24h"), ..SINCE });
    let answer: Json = serde_json::from_str(&text).unwrap();
    let series = answer["series"].as_array().unwrap();
    assert_eq!(series.len(), POINTS_MAX / 1440);
    assert_eq!((&series[0]["key"], &answer["truncated"]), (&json!("user-199"), &json!(true)));
    let keys: Vec<_> = series.iter().map(|series| series["key"].as_str().unwrap()).collect();
    assert!(!keys.contains(&"user-000"));
}
