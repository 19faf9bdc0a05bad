//! The labels of alerts, and the number that they are known by.

use ringway_shared::config::AlertRule;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the label that has the rule's name.
pub const ALERTNAME: &str = "alertname";

/// By name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels(pub BTreeMap<Box<str>, Box<str>>);

impl Labels {
    /// Those of an alert of this rule.
    #[must_use]
    pub fn of(rule: &AlertRule, instance: &str, own: Option<&(&'static str, Arc<str>)>) -> Labels {
        let mut labels: BTreeMap<_, _> = rule.labels.iter().cloned().collect();
        labels.insert(ALERTNAME.into(), (*rule.name).into());
        labels.insert("severity".into(), rule.severity.label().into());
        labels.insert("instance".into(), instance.into());
        labels.extend(own.map(|(name, value)| ((*name).into(), (**value).into())));
        Labels(labels)
    }

    /// Whether an alert of this rule, as it is now, may have them.
    #[must_use]
    pub fn are_of(&self, rule: &AlertRule, instance: &str) -> bool {
        let (mut own, mut wanted) = (self.clone(), Labels::of(rule, instance, None));
        if let Some(subject) = rule.of.subject() {
            [&mut own, &mut wanted].into_iter().for_each(|labels| drop(labels.0.remove(subject)));
        }
        own == wanted
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| &**value)
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        self.0.iter().map(|(name, value)| (name.to_string(), Json::from(&**value))).collect()
    }

    /// Keeps those that another one has too, with the same values.
    pub fn keep_common(&mut self, other: &Labels) {
        self.0.retain(|name, value| other.get(name) == Some(&**value));
    }
}

/// FNV-1a over names and values in order, as Alertmanager does it: the same in every process.
#[must_use]
pub fn fingerprint(labels: &Labels) -> u64 {
    const OFFSET: u64 = 14_695_981_039_346_656_037;
    const PRIME: u64 = 1_099_511_628_211;
    // No UTF-8 text holds this byte.
    const BETWEEN: u8 = 255;
    let bytes = labels.0.iter().flat_map(|(name, value)| {
        let part = |text: &str| text.as_bytes().to_vec().into_iter().chain([BETWEEN]);
        part(name).chain(part(value))
    });
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// As it is written.
#[must_use]
pub fn shown(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_of_names_and_values_and_stays_the_same() {
        let labels = |pairs: &[(&str, &str)]| {
            Labels(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
        };
        assert_eq!(shown(fingerprint(&labels(&[]))), "cbf29ce484222325");
        let one = fingerprint(&labels(&[("a", "b"), ("c", "d")]));
        assert_eq!(one, fingerprint(&labels(&[("c", "d"), ("a", "b")])));
        for other in [&[("a", "bc"), ("", "d")][..], &[("a", "b")], &[("a", "bc"), ("c", "d")]] {
            assert_ne!(one, fingerprint(&labels(other)));
        }
    }
}
