//! From one configuration to the next: which keys differ, and in what.

use super::effective::{Effective, Setting};
use super::keys::Key;
use super::read::quote;
use super::value::Value;
use super::{Config, Users};
use std::collections::HashMap;

/// Names of users told of one change; the rest are counted.
const NAMES_MAX: usize = 20;
/// What is said of a key whose value reads the same.
const CONTENTS: &str = "its contents have changed";

/// A key that differs. Secrets stand redacted on both sides.
#[derive(Clone)]
pub struct Change {
    pub key: &'static Key,
    pub from: Value,
    pub to: Value,
    /// What the values do not show, e.g. which users there are now.
    pub note: Option<String>,
}

/// What makes `after` differ from `before`, in the table's order. Who set a key is no difference.
#[must_use]
pub fn difference(before: (&Config, &Effective), after: (&Config, &Effective)) -> Vec<Change> {
    let pairs = before.1.settings.iter().zip(&after.1.settings);
    let differ = pairs.filter(|(from, to)| (&from.value, from.fingerprint) != (&to.value, to.fingerprint));
    differ.map(|(from, to)| change(from, to, before.0, after.0)).collect()
}

fn change(from: &Setting, to: &Setting, before: &Config, after: &Config) -> Change {
    let contents = from.fingerprint != to.fingerprint && from.value == to.value;
    let users = (to.key.path == "socks5.users_file")
        .then(|| roll_call(before.socks5.users.as_deref()?, after.socks5.users.as_deref()?))
        .flatten();
    let note = users.or_else(|| contents.then(|| CONTENTS.to_owned()));
    Change { key: to.key, from: from.value.clone(), to: to.value.clone(), note }
}

/// Which users came, went and changed; `None`: nobody did.
fn roll_call(before: &Users, after: &Users) -> Option<String> {
    let by_name = |users: &Users| -> HashMap<_, _> {
        users.entries.iter().map(|user| (user.name.clone(), user.clone())).collect()
    };
    let (old, new) = (by_name(before), by_name(after));
    let (mut added, mut changed) = (Vec::new(), Vec::new());
    for user in &after.entries {
        match old.get(&user.name) {
            None => added.push(&*user.name),
            Some(former) if former != user => changed.push(&*user.name),
            Some(_) => {}
        }
    }
    let removed: Vec<&str> =
        before.entries.iter().map(|user| &*user.name).filter(|name| !new.contains_key(*name)).collect();
    let told: Vec<String> = [("added", added), ("removed", removed), ("changed", changed)]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what} {}", listed(&names)))
        .collect();
    (!told.is_empty()).then(|| format!("users: {}", told.join("; ")))
}

fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_MAX).map(|name| quote(name)).collect();
    let rest = names.len().saturating_sub(NAMES_MAX);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
}
