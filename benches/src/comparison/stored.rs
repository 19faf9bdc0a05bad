//! A comparison as JSON and back: what is committed is enough to print every table again.

use super::rounds::Rounds;
use super::{BARS, Comparison, METRICS, judge, median};
use serde_json::{Map, Value, json};

/// What is kept of a figure beside its metrics: how to read them.
pub const BESIDE: [&str; 4] =
    ["generator_cores_used", "server_cores_used", "server_peak_kib", "latency_p99_us"];

impl Comparison {
    /// Medians, all rounds' values and verdicts.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut peers = Map::new();
        for peer in &self.peers {
            let mut figures = Map::new();
            for (figure, key) in kept() {
                let Some(rounds) = self.rounds_of(peer, figure, key) else { continue };
                let mut stored = json!({"median": median(rounds.values()), "values": rounds.values()});
                if let Some(numbers) = rounds.odd_numbers() {
                    stored["rounds"] = numbers.into();
                }
                figures.insert(format!("{figure}.{key}"), stored);
            }
            figures.insert("failures".into(), self.failures(peer).into());
            peers.insert(peer.clone(), Value::Object(figures));
        }
        let verdicts: Vec<Value> =
            BARS.iter().filter_map(|bar| judge(self, bar)).map(|verdict| verdict.json()).collect();
        json!({
            "title": self.title, "notes": self.notes, "subject": self.subject, "peers": peers, "bars": verdicts,
        })
    }

    /// What [`Comparison::json`] wrote; None if it is something else. The verdicts are not read: they follow from the rest.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Comparison> {
        let stored: Value = serde_json::from_str(text).ok()?;
        let text_of = |key: &str| stored.get(key).and_then(Value::as_str).map(String::from);
        let mut comparison = Comparison::new(&text_of("subject")?);
        comparison.title = text_of("title").unwrap_or_default();
        let notes = stored.get("notes").and_then(Value::as_array).into_iter().flatten();
        comparison.notes = notes.filter_map(Value::as_str).map(String::from).collect();
        for (peer, figures) in stored.get("peers")?.as_object()? {
            comparison.peers.push(peer.clone());
            for (name, figure) in figures.as_object()? {
                let mut rounds = Rounds::default();
                if name == "failures" {
                    rounds.add(None, figure.as_f64()?);
                } else {
                    let numbers = figure.get("rounds").and_then(Value::as_array);
                    for (place, value) in figure.get("values")?.as_array()?.iter().enumerate() {
                        let number = numbers.and_then(|numbers| numbers.get(place)?.as_u64());
                        rounds.add(number, value.as_f64()?);
                    }
                }
                let (figure, key) = name.split_once('.').unwrap_or(("", name));
                comparison.values.insert((peer.clone(), figure.into(), key.into()), rounds);
            }
        }
        Some(comparison)
    }
}

/// Figure and key of all that is kept, figure by figure.
fn kept() -> impl Iterator<Item = (&'static str, &'static str)> {
    METRICS.iter().enumerate().flat_map(|(place, metric)| {
        let is_last = METRICS.get(place + 1).is_none_or(|next| next.figure != metric.figure);
        let beside = if is_last { &BESIDE[..] } else { &[] };
        [metric.key].into_iter().chain(beside.iter().copied()).map(|key| (metric.figure, key))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::{markdown, metric};

    #[test]
    fn what_is_stored_prints_the_same_page() {
        let line = |peer: &str, gb: f64| {
            format!(
                r#"{{"gb_per_second":{gb},"server_cpu_ms_per_gb":100,"generator_cores_used":0.99,"failures":2,"server_peak_kib":2048,"peer":"{peer}","figure":"bulk_1"}}"#
            )
        };
        let late = line("haproxy", 8.0).replace("\"peer\"", "\"round\":\"2\",\"peer\"");
        let lines = [late, line("ringway", 9.0), line("ringway", 7.0)].join("\n");
        let mut comparison = Comparison::read(&lines, "ringway").unwrap();
        comparison.title = "Relay".into();
        comparison.notes = vec!["reno".into()];
        let stored = Comparison::from_json(&comparison.json().to_string()).unwrap();
        assert_eq!(markdown(&stored), markdown(&comparison));
        assert_eq!(stored.values("ringway", metric("bulk_1", "gb_per_second")), [9.0, 7.0]);
        assert_eq!(stored.ratio("haproxy", metric("bulk_1", "gb_per_second")).unwrap().value, 7.0 / 8.0);
        assert_eq!((stored.failures("ringway"), stored.failures("haproxy")), (4.0, 2.0));
    }

    #[test]
    fn reports_are_not_taken_for_what_was_stored() {
        assert!(Comparison::from_json(r#"{"peer":"ringway","figure":"idle"}"#).is_none());
        assert!(Comparison::from_json("{}\n{}").is_none());
    }
}
