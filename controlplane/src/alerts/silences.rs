//! Silences: alerts that webhooks are not told of for a time. They are kept in memory alone: a hot restart hands them on, otherwise
//! they end with the process.

use super::engine::Now;
use super::labels::{ALERTNAME, Labels};
use super::legacy::Row;
use crate::calendar;
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// Silences at once.
pub const SILENCES_MAX: usize = 100;
/// Labels that one asks for.
pub const MATCHERS_MAX: usize = 16;
/// Bytes of a comment, and of a matcher's value.
pub const TEXT_BYTES_MAX: usize = 300;
/// Bytes of all texts of one: matchers and comment. The next process is told of it in one message.
pub const TEXTS_BYTES_MAX: usize = 4 * 1024;

/// Whether a silence may say this. The error says what is wrong.
pub fn check(matchers: &BTreeMap<Box<str>, Box<str>>, comment: &str) -> Result<(), String> {
    if matchers.is_empty() {
        return Err("matchers names no label: it would silence everything".to_owned());
    }
    let texts = || matchers.iter().flat_map(|(name, value)| [&**name, &**value]).chain([comment]);
    if matchers.len() > MATCHERS_MAX || texts().any(|text| text.len() > TEXT_BYTES_MAX) {
        return Err(format!(
            "more than {MATCHERS_MAX} matchers, or a text of more than {TEXT_BYTES_MAX} bytes"
        ));
    }
    if texts().map(str::len).sum::<usize>() > TEXTS_BYTES_MAX {
        return Err(format!("matchers and comment have more than {TEXTS_BYTES_MAX} bytes together"));
    }
    if texts().any(|text| text.contains(char::is_control)) {
        return Err("a matcher or the comment has a control character, such as a line's end".to_owned());
    }
    Ok(())
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Silence {
    pub id: Box<str>,
    /// What an alert's labels must say, all of it.
    pub matchers: BTreeMap<Box<str>, Box<str>>,
    until: Now,
    /// The principal who made it.
    pub by: Box<str>,
    pub comment: Box<str>,
}

impl Silence {
    fn fits(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        let matchers: serde_json::Map<_, _> =
            self.matchers.iter().map(|(name, value)| (name.to_string(), Json::from(&**value))).collect();
        json!({
            "id": self.id,
            "matchers": matchers,
            "until": stamp(self.until.unix),
            "by": self.by,
            "comment": self.comment,
        })
    }
}

/// Those there are.
#[derive(Default)]
pub struct Silences(Vec<Silence>);

impl Silences {
    /// Makes one. The error says why it cannot be.
    pub fn add(
        &mut self,
        matchers: BTreeMap<Box<str>, Box<str>>,
        time: Duration,
        by: &str,
        comment: &str,
        now: Now,
    ) -> Result<&Silence, String> {
        self.end(now.at);
        if self.0.len() >= SILENCES_MAX {
            return Err(format!("there are {SILENCES_MAX} silences already"));
        }
        // As a rule's name is called elsewhere.
        let named = |name: Box<str>| if &*name == "name" { ALERTNAME.into() } else { name };
        let silence = Silence {
            id: new_id(),
            matchers: matchers.into_iter().map(|(name, value)| (named(name), value)).collect(),
            until: Now { at: now.at + time, unix: now.unix + time },
            by: by.into(),
            comment: comment.into(),
        };
        self.0.push(silence);
        self.0.last().ok_or_else(|| "it was not kept".to_owned())
    }

    /// Those there are, for the next process.
    #[must_use]
    pub fn bequeath(&self) -> Vec<Row> {
        let row = |silence: &Silence| Row::Silence {
            id: silence.id.clone(),
            matchers: silence.matchers.clone(),
            until: silence.until.unix,
            by: silence.by.clone(),
            comment: silence.comment.clone(),
        };
        self.0.iter().map(row).collect()
    }

    /// Takes over one of the process before.
    pub fn adopt(
        &mut self,
        id: Box<str>,
        matchers: BTreeMap<Box<str>, Box<str>>,
        until: Duration,
        by: Box<str>,
        comment: Box<str>,
        now: Now,
    ) {
        let until = Now { at: now.at + until.saturating_sub(now.unix), unix: until };
        if self.0.len() < SILENCES_MAX {
            self.0.push(Silence { id, matchers, until, by, comment });
        }
    }

    /// Ends one. False: there is none of that id.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|silence| *silence.id != *id);
        self.0.len() < before
    }

    /// Lets go those whose time is over. True: there were some.
    pub fn end(&mut self, now: Instant) -> bool {
        let before = self.0.len();
        self.0.retain(|silence| silence.until.at > now);
        self.0.len() < before
    }

    /// The first one that silences alerts with these labels.
    #[must_use]
    pub fn of(&self, labels: &Labels) -> Option<&Silence> {
        self.0.iter().find(|silence| silence.fits(labels))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn to_json(&self) -> Vec<Json> {
        self.0.iter().map(Silence::to_json).collect()
    }
}

/// Nobody removes another one by a slip of the pen.
fn new_id() -> Box<str> {
    let mut bytes = [0; 8];
    let number = match getrandom(&mut bytes[..], GetRandomFlags::NONBLOCK) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(_) => RandomState::new().hash_one(Instant::now()),
    };
    format!("{number:016x}").into()
}

/// A moment, for people and programs.
#[must_use]
pub fn stamp(unix: Duration) -> String {
    calendar::stamp(u64::try_from(unix.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<Box<str>, Box<str>> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn all_matchers_must_fit_until_its_time_is_over() {
        let now = Now { at: Instant::now(), unix: Duration::from_secs(1_795_000_000) };
        let mut silences = Silences::default();
        let wanted = labels(&[("name", "quota"), ("user", "alice")]);
        let made = silences.add(wanted, Duration::from_secs(60), "ops", "known", now).unwrap().to_json();
        assert_eq!(made["matchers"], json!({"alertname": "quota", "user": "alice"}));
        assert_eq!(made["by"], "ops");
        let id = made["id"].as_str().unwrap().to_owned();
        for (pairs, fits) in [
            (&[("alertname", "quota"), ("user", "alice"), ("severity", "info")][..], true),
            (&[("alertname", "quota"), ("user", "bob")], false),
            (&[("alertname", "quota")], false),
        ] {
            assert_eq!(silences.of(&Labels(labels(pairs))).is_some(), fits, "{pairs:?}");
        }
        assert!(!silences.end(now.at + Duration::from_secs(59)));
        assert!(silences.end(now.at + Duration::from_secs(60)));
        assert!(!silences.remove(&id));
    }

    #[test]
    fn texts_have_bounds_each_and_together() {
        let text = |bytes: usize| "x".repeat(bytes);
        let check = |pairs: &[(&str, &str)], comment: &str| check(&labels(pairs), comment);
        let long = text(TEXT_BYTES_MAX);
        assert_eq!(check(&[(&long, &long)], &long), Ok(()));
        assert!(check(&[], "all").unwrap_err().contains("everything"));
        for (name, value, comment) in
            [(301, 1, 1), (1, 301, 1), (1, 1, 301)].map(|(a, b, c)| (text(a), text(b), text(c)))
        {
            assert!(check(&[(&name, &value)], &comment).unwrap_err().contains("300 bytes"));
        }
        let names: Vec<_> = (0..=MATCHERS_MAX).map(|number| format!("{number:0>256}")).collect();
        let pairs: Vec<_> = names.iter().map(|name| (&**name, "")).collect();
        assert_eq!(check(&pairs[..MATCHERS_MAX], ""), Ok(()));
        assert!(check(&pairs[..MATCHERS_MAX], "1").unwrap_err().contains("4096 bytes together"));
        assert!(check(&pairs, "").unwrap_err().contains("16 matchers"));
    }

    #[test]
    fn nothing_that_is_not_printed_is_taken() {
        assert_eq!(check(&labels(&[("user", "zoë ☂")]), "café"), Ok(()));
        for text in ["a\nb", "\u{1}", "\t", "\u{7f}", "\u{9b}"] {
            for (name, value, comment) in [(text, "b", "c"), ("a", text, "c"), ("a", "b", text)] {
                let why = check(&labels(&[(name, value)]), comment).unwrap_err();
                assert!(why.contains("control character") && !why.contains(text), "{text:?}");
            }
        }
    }

    #[test]
    fn the_longest_one_is_far_from_the_bound_of_a_message() {
        let now = Now { at: Instant::now(), unix: Duration::from_secs(1_795_000_000) };
        let names: Vec<_> = (0..MATCHERS_MAX).map(|number| format!("{number:\"<256}")).collect();
        let pairs: Vec<_> = names.iter().map(|name| (&**name, "")).collect();
        assert_eq!(check(&labels(&pairs), ""), Ok(()));
        let mut silences = Silences::default();
        silences.add(labels(&pairs), Duration::from_secs(60), "ops", "", now).unwrap();
        let row = serde_json::to_string(&silences.bequeath()[0]).unwrap();
        assert!(serde_json::to_string(&row).unwrap().len() < 32 * 1024);
    }

    #[test]
    fn there_are_so_many_at_most() {
        let now = Now { at: Instant::now(), unix: Duration::ZERO };
        let mut silences = Silences::default();
        let add = |silences: &mut Silences, now| {
            silences
                .add(labels(&[("a", "b")]), Duration::from_secs(1), "x", "", now)
                .map(|made| made.id.clone())
        };
        let first = add(&mut silences, now).unwrap();
        (1..SILENCES_MAX).for_each(|_| drop(add(&mut silences, now).unwrap()));
        assert!(add(&mut silences, now).unwrap_err().contains("100 silences"));
        assert!(silences.remove(&first) && add(&mut silences, now).is_ok());
        // Those that are over make room.
        let later = Now { at: now.at + Duration::from_secs(1), ..now };
        assert!(add(&mut silences, later).is_ok());
        assert_eq!(silences.to_json().len(), 1);
    }
}
