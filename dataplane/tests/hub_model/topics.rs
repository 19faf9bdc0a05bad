//! The names in use, and what holds for them.

use super::Rough;
use ringway_dataplane::hub::{Namespaces, names};
use ringway_shared::config::{Namespace, Overflow, Publishers};
use std::time::Duration;

pub const TOPICS: [&str; 8] = ["a.b", "a.b.c", "kept.a", "old.a", "new.a", "latest.a", "a.x", "kept.b"];
/// The first few make for the most crossing of ways.
pub const NAMES: [&str; 14] = [
    "a.b", "a.*", "a.b.c", "*", "kept.a", "kept.*", "old.a", "old.*", "new.a", "a.b.*", "latest.a",
    "latest.*", "a.x", "kept.b",
];

pub const HISTORY_SIZE: usize = 4;
pub const HISTORY_TTL_MS: u64 = 1_000;
pub fn namespaces(rough: Rough) -> Namespaces {
    let policy = |overflow| if rough.short_queues { overflow } else { Overflow::Disconnect };
    let base = Namespace { publish: Publishers::Anyone, ..Namespace::default() };
    let with = |prefix: &str, overflow| Namespace {
        prefix: prefix.into(),
        overflow: policy(overflow),
        ..base.clone()
    };
    let kept = Namespace {
        history_size: HISTORY_SIZE as u32,
        history_ttl: Duration::from_millis(HISTORY_TTL_MS),
        presence: true,
        ..with("kept.", Overflow::DropOldest)
    };
    let all = [
        base.clone(),
        Namespace { presence: true, ..with("a.", Overflow::Disconnect) },
        kept,
        with("old.", Overflow::DropOldest),
        with("new.", Overflow::DropNewest),
        with("latest.", Overflow::ConflateLatest),
    ];
    Namespaces::new(&all, Vec::new(), 20)
}

pub fn covers(name: &str, topic: &str) -> bool {
    match names::parse(name).unwrap() {
        names::Name::Topic(name) => name == topic,
        names::Name::Pattern(prefix) => names::matches(prefix, topic, false),
    }
}
