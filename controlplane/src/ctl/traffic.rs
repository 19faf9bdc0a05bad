//! The history's answer as people read it: a row for each time and key that anything moved in, and the sums last, where a terminal
//! shows them.

use super::tables::{clean, rows};
use crate::calendar;
use serde_json::{Map, Value as Json};
use std::fmt::Write;

const FIGURES: &[&str] = &["sent_bytes", "received_bytes", "connections", "failed", "active_max"];
/// What a key has most of; of the others there are sums.
const MOST: &str = "active_max";

/// `GET /api/v1/history` as a table. Times are those of UTC, and say when a step begins.
#[must_use]
pub fn table(history: &Json) -> String {
    let told = |name: &str| clean(history[name].as_str().unwrap_or("?"));
    let by = if told("by") == "total" { String::new() } else { format!(" by {}", told("by")) };
    let mut text = format!("traffic{by} of each {}, from {} to {}\n", told("step"), told("from"), told("to"));
    let moved = moved(history);
    if moved.is_empty() {
        text.push_str(if was_counted(history) {
            "nothing moved\n"
        } else {
            "nobody counted: ringway did not run, or it is no longer kept\n"
        });
    } else {
        text.push('\n');
        text.push_str(&rows(&moved));
        text.push('\n');
        text.push_str(&rows(&sums(history)));
    }
    if history["truncated"] == true {
        text.push_str("\nthere is more: ask for a shorter span, a longer step or one key\n");
    }
    if let Some(fault) = history["fault"].as_str() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\nit cannot be written now: {}", clean(fault));
    }
    text
}

fn series(history: &Json) -> impl Iterator<Item = &Json> {
    history["series"].as_array().into_iter().flatten()
}

/// A key's figure at a place in time; `None`: nobody counted.
fn figure(series: &Json, name: &str, place: usize) -> Option<u64> {
    series[name].get(place)?.as_u64()
}

fn was_counted(history: &Json) -> bool {
    let counted = |series: &Json| series[MOST].as_array().is_some_and(|list| list.iter().any(Json::is_u64));
    series(history).any(counted)
}

/// A row for each time and key, in the order of time, without those in which nothing was.
fn moved(history: &Json) -> Vec<Map<String, Json>> {
    let mut found = Vec::new();
    for (place, time) in history["times"].as_array().into_iter().flatten().enumerate() {
        for series in series(history) {
            let figures = FIGURES.iter().map(|name| (*name, figure(series, name, place).unwrap_or(0)));
            if figures.clone().any(|(_, figure)| figure != 0) {
                let time = calendar::seconds(time.as_u64().unwrap_or(0));
                let mut row = Map::from_iter([("time".to_owned(), Json::from(time))]);
                name(&mut row, history, series);
                row.extend(figures.map(|(name, figure)| (name.to_owned(), Json::from(figure))));
                found.push(row);
            }
        }
    }
    found
}

/// What each key moved in all that time, the ones that moved the most first.
fn sums(history: &Json) -> Vec<Map<String, Json>> {
    let row = |series: &Json| {
        let mut row = Map::from_iter([("time".to_owned(), Json::from("all of that time"))]);
        name(&mut row, history, series);
        for name in FIGURES {
            let figures = series[*name].as_array().into_iter().flatten().filter_map(Json::as_u64);
            let sum =
                if *name == MOST { figures.max().unwrap_or(0) } else { figures.fold(0, u64::saturating_add) };
            row.insert((*name).to_owned(), Json::from(sum));
        }
        row
    };
    series(history).map(row).collect()
}

/// The key's column, which the total has not.
fn name(row: &mut Map<String, Json>, history: &Json, series: &Json) {
    if history["by"] != "total" {
        row.insert("key".to_owned(), series["key"].clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn history(by: &str, series: &Json) -> Json {
        json!({"by": by, "step": "hour", "step_seconds": 3600, "from": "2026-11-21T08:00:00Z", "to": "2026-11-21T10:34:47Z",
            "times": [1_795_248_000_u64, 1_795_251_600_u64, 1_795_255_200_u64], "series": series, "truncated": false,
            "kept": {"minute": null, "hour": null, "day": null}, "file": true, "fault": null})
    }

    fn one(key: &str, figures: &Json) -> Json {
        json!({"key": key, "sent_bytes": figures, "received_bytes": figures, "connections": figures, "failed": [null, 0, 0],
            "active_max": figures})
    }

    #[test]
    fn a_row_is_for_each_time_and_key_that_moved_anything() {
        let both = json!([one("alice", &json!([null, 0, 70])), one("bob\u{1b}", &json!([null, 5, 6]))]);
        let wanted = "\
traffic by user of each hour, from 2026-11-21T08:00:00Z to 2026-11-21T10:34:47Z

TIME                  KEY        SENT_BYTES  RECEIVED_BYTES  CONNECTIONS  FAILED  ACTIVE_MAX
2026-11-21T09:00:00Z  bob\\u{1b}           5               5            5       0           5
2026-11-21T10:00:00Z  alice              70              70           70       0          70
2026-11-21T10:00:00Z  bob\\u{1b}           6               6            6       0           6

TIME              KEY        SENT_BYTES  RECEIVED_BYTES  CONNECTIONS  FAILED  ACTIVE_MAX
all of that time  alice              70              70           70       0          70
all of that time  bob\\u{1b}          11              11           11       0           6
";
        let shown = table(&history("user", &both));
        assert_eq!(shown, wanted, "{shown}");
    }

    #[test]
    fn the_total_has_no_key() {
        let shown = table(&history("total", &json!([one("", &json!([1, 2, 3]))])));
        assert!(!shown.contains("KEY") && shown.contains("of each hour"), "{shown}");
    }

    #[test]
    fn what_is_not_there_is_said() {
        let shown = |series: &Json| table(&history("total", series));
        assert!(shown(&json!([one("", &json!([null, 0, 0]))])).ends_with("\nnothing moved\n"));
        assert!(shown(&json!([])).contains("nobody counted"));
        let mut more = history("total", &json!([one("", &json!([1, 2, 3]))]));
        more["truncated"] = true.into();
        more["fault"] = "disk\u{7} full".into();
        let shown = table(&more);
        assert!(shown.contains("there is more") && shown.contains(r"now: disk\u{7} full"), "{shown}");
    }
}
