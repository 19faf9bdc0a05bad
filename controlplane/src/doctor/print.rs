//! How findings are shown: to people as a table, to programs as JSON.

use super::finding::{Finding, Level};
use serde_json::{Value as Json, json};
use std::fmt::Write;

/// One line for each check; under what is amiss, why it matters and what to do.
#[must_use]
pub fn text(findings: &[Finding]) -> String {
    let width = |of: fn(&Finding) -> &str| {
        findings.iter().map(|finding| of(finding).chars().count()).max().unwrap_or(0)
    };
    let (check, found) = (width(|finding| finding.check), width(|finding| &finding.found).min(48));
    let mut text = format!("{:<7}  {:<check$}  {:<found$}  wanted\n", "", "check", "found");
    for finding in findings {
        let level = finding.level.label();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{level:<7}  {:<check$}  {:<found$}  {}",
            finding.check, finding.found, finding.wanted
        );
        if let Some(fix) = &finding.fix {
            let _ = writeln!(text, "         why: {}\n         fix: {fix}", finding.why);
        }
    }
    let counts = [Level::Failure, Level::Warning, Level::Note, Level::Ok].map(|level| {
        let count = findings.iter().filter(|finding| finding.level == level).count();
        let plural = if count == 1 || level == Level::Ok { "" } else { "s" };
        format!("{count} {}{plural}", level.label())
    });
    text + "\n" + &counts.join(", ")
}

/// `{"level":…,"checks":[{"check","level","found","wanted","why","fix","sysctl"}]}`
#[must_use]
pub fn json(findings: &[Finding]) -> Json {
    let row = |finding: &Finding| {
        let mut row = json!({
            "check": finding.check,
            "level": finding.level.label(),
            "found": finding.found,
            "wanted": finding.wanted,
            "why": finding.why,
        });
        if let Some(fix) = &finding.fix {
            row["fix"] = json!(fix);
        }
        if let Some((key, value)) = &finding.sysctl {
            row["sysctl"] = json!(format!("{key}={value}"));
        }
        row
    };
    let checks: Vec<_> = findings.iter().map(row).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "level": Level::worst(findings).label(),
        "checks": checks,
    })
}
