//! The one format of all results: an ordered list of named figures, as a table for people and a JSON line for programs.
//!
//! A figure's name ends in its unit: `gb_per_second`, `total_p99_us`, `server_cpu_ms_per_gb`.

use crate::failure::Failures;
use serde_json::{Map, Value};
use std::fmt::Write;

/// What one run found, in the order it is to be read.
#[derive(Default)]
pub struct Report {
    figures: Map<String, Value>,
    /// Said under the table, not in the JSON line.
    remarks: Vec<String>,
}

impl Report {
    #[must_use]
    pub fn new(load: &str) -> Report {
        let mut report = Report::default();
        report.text("load", load);
        report
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.figures.insert(name.into(), value.into());
    }

    pub fn count(&mut self, name: &str, value: u64) {
        self.figures.insert(name.into(), value.into());
    }

    /// A measured quantity; kept to five significant digits, which is more than any run repeats.
    pub fn measure(&mut self, name: &str, value: f64) {
        self.figures.insert(name.into(), rounded(value).into());
    }

    pub fn remark(&mut self, text: String) {
        self.remarks.push(text);
    }

    /// `failures`, then `failures_<kind>` for each kind seen, with an example as a remark.
    pub fn failures(&mut self, failures: &Failures) {
        self.count("failures", failures.total());
        for (kind, count, example) in failures.iter() {
            self.count(&format!("failures_{kind}"), count);
            self.remark(format!("{count} x {kind}, e.g. {example}"));
        }
    }

    /// Whether [`Report::failures`] was told of any.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.figures.get("failures").and_then(Value::as_u64).is_some_and(|failures| failures > 0)
    }

    /// Whether anything failed, or any message did not arrive once, whole and in its turn.
    #[must_use]
    pub fn is_amiss(&self) -> bool {
        let some =
            |name: &&str| self.figures.get(*name).and_then(Value::as_u64).is_some_and(|count| count > 0);
        ["failures", "lost", "duplicates", "reordered", "corrupt"].iter().any(some)
    }

    #[must_use]
    pub fn json_line(&self) -> String {
        serde_json::to_string(&self.figures).unwrap_or_default()
    }

    #[must_use]
    pub fn table(&self) -> String {
        let width = self.figures.keys().map(String::len).max().unwrap_or(0);
        let mut table = String::new();
        for (name, value) in &self.figures {
            let value = value.as_str().map_or_else(|| value.to_string(), String::from);
            let _ = writeln!(table, "{name:<width$}  {value}");
        }
        for remark in &self.remarks {
            let _ = writeln!(table, "  {remark}");
        }
        table
    }
}

fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10f64.powi(4 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn both_forms_carry_every_figure_in_order() {
        let mut report = Report::new("rate");
        report.measure("connections_per_second", 12_345.678);
        let mut failures = Failures::default();
        failures.count(&Failure::Reset);
        report.failures(&failures);
        assert_eq!(
            report.json_line(),
            r#"{"load":"rate","connections_per_second":12346.0,"failures":1,"failures_reset":1}"#
        );
        let table = report.table();
        assert!(table.starts_with("load                    rate\n"), "{table}");
        assert!(table.ends_with("1 x reset, e.g. the connection was reset\n"), "{table}");
    }

    #[test]
    fn rounding_keeps_five_digits() {
        assert_eq!(rounded(0.001_234_567), 0.001_234_6);
        assert_eq!(rounded(-98_765_432.1), -98_765_000.0);
        assert_eq!(rounded(0.0), 0.0);
    }
}
