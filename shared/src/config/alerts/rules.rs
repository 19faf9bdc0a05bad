//! `alerts.rules`.

use super::measure::WORDS;
use super::{AlertRule, LABELS_MAX, MEASURES, Measure, RULES_MAX, Severity, Unit, When};
use crate::config::fields::{Field, Fields, Shape, words};
use crate::config::read::{self, Read, quote, wrong};
use crate::config::units;
use crate::config::value::Value;
use crate::config::yaml::{Data, Node, Wrong};
use std::time::Duration;

/// Bytes of a name, of a label's name and of its value.
const NAME_BYTES_MAX: usize = 64;
const VALUE_BYTES_MAX: usize = 256;
const SUMMARY_BYTES_MAX: usize = 300;
/// `for` and `keep_firing_for`.
const TIME_MAX: Duration = Duration::from_secs(24 * 3600);
/// A larger number is a slip of the pen.
const NUMBER_MAX: f64 = 1e15;
/// Labels that alerts get by themselves.
const LABELS_TAKEN: [&str; 5] = ["alertname", "severity", "instance", "user", "service"];

pub const SEVERITIES: [(&str, Severity); 3] =
    [("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];
pub const SEVERITY_WORDS: [&str; 3] = words(&SEVERITIES);

/// The rules there are if none are written.
pub const BUILT_IN: &str = "[\
    {name: worker_stalled, of: stalled_workers, above: 0, severity: critical}, \
    {name: descriptors_run_out, of: descriptors_share, above: 90%, for: 1m, severity: critical}, \
    {name: memory_runs_out, of: memory_share, above: 90%, for: 1m, severity: critical}, \
    {name: connections_run_out, of: connections_share, above: 90%, for: 1m}, \
    {name: many_connections_fail, of: failed_share, above: 50%, for: 2m}, \
    {name: worker_busy, of: worker_busy_share, above: 95%, for: 5m}, \
    {name: loop_lags, of: loop_lag_ms, above: 100ms, for: 1m}, \
    {name: upstream_down, of: upstreams_down, above: 0, for: 1m}, \
    {name: config_reload_failed, of: config_reload_failed, above: 0}, \
    {name: certificate_ends_soon, of: certificates_expire_days, below: 14d}, \
    {name: certificate_ends_at_once, of: certificates_expire_days, below: 2d, severity: critical}, \
    {name: quota_nearly_used, of: quota_share, above: 90%, severity: info}, \
    {name: websocket_drops, of: websocket_dropped_per_second, above: 10/s, for: 1m}]";

/// The fields of a rule.
pub static FIELDS: [Field; 9] = [
    field(
        "name",
        true,
        Shape::Text("many_connections"),
        "The label `alertname`, each name once: letters, digits, `-`, `_`, `.`.",
    ),
    field("of", true, Shape::Word(&words(&WORDS)), "What is watched; see below."),
    field(
        "above",
        false,
        Shape::Threshold,
        "Broken while the value is larger than this. One of `above` and `below` is needed.",
    ),
    field("below", false, Shape::Threshold, "Broken while the value is smaller than this."),
    field(
        "for",
        false,
        Shape::Duration,
        "How long it must be broken without a break until the alert fires; until then it is pending. Left out: `0s`. At most a day.",
    ),
    field(
        "keep_firing_for",
        false,
        Shape::Duration,
        "How long it must be whole without a break until the alert is resolved: a value that swings around its threshold is one \
         alert. Left out: `0s`. At most a day.",
    ),
    field("severity", false, Shape::Word(&SEVERITY_WORDS), "The label `severity`. Left out: `warning`."),
    field(
        "summary",
        false,
        Shape::Text("Call the people on duty."),
        "What people are told; left out, the measure, the value and the threshold.",
    ),
    field("labels", false, Shape::Pairs("team: net"), "Labels of its alerts, for those who sort them."),
];

const fn field(name: &'static str, required: bool, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required, doc }
}

pub fn rules(node: &Node) -> Read<Vec<AlertRule>> {
    let mut seen: Vec<Box<str>> = Vec::new();
    let rules = read::list(node, |node| {
        let rule = rule(node)?;
        if seen.contains(&Box::from(&*rule.name)) {
            let message = format!("stands before already as {}: keep one of them", quote(&rule.name));
            return Err(vec![Wrong::at(node.span, message).below(".name")]);
        }
        seen.push((&*rule.name).into());
        Ok(rule)
    })?;
    if rules.len() > RULES_MAX {
        return wrong(node.span, format!("holds {} rules: at most {RULES_MAX} are allowed", rules.len()));
    }
    Ok(rules)
}

fn rule(node: &Node) -> Read<AlertRule> {
    let mut fields = Fields::of(node, &FIELDS)?;
    let name = fields.required("name", name);
    let of = fields.required("of", |node| Ok(read::word(node, &WORDS)?.1));
    let threshold = threshold_of(&mut fields, of);
    let time = |node: &Node| read::duration(node, &(Duration::ZERO..=TIME_MAX));
    let hold = fields.optional("for", time);
    let keep_firing = fields.optional("keep_firing_for", time);
    let severity = fields.optional("severity", |node| Ok(read::word(node, &SEVERITIES)?.1));
    let summary = fields.optional("summary", summary);
    let labels = fields.optional("labels", labels);
    let rule = match (name, of, threshold) {
        (Some(name), Some(of), Some((when, (threshold, written)))) => Some(AlertRule {
            name: name.into(),
            of,
            when,
            threshold,
            written,
            hold: hold.unwrap_or_default(),
            keep_firing: keep_firing.unwrap_or_default(),
            severity: severity.unwrap_or(Severity::Warning),
            summary: summary.flatten().map(Into::into),
            labels: labels.unwrap_or_default(),
        }),
        _ => None,
    };
    fields.end(rule)
}

/// Exactly one of the two, in the unit of what is watched.
fn threshold_of(fields: &mut Fields<'_>, of: Option<Measure>) -> Option<(When, (f64, Box<str>))> {
    let when = match (fields.has("above"), fields.has("below")) {
        (true, false) => When::Above,
        (false, true) => When::Below,
        (true, true) => {
            fields.fault("below", "is one side too many: keep above or below");
            return None;
        }
        (false, false) => {
            fields.fault("above", "is missing: write above or below, with a threshold");
            return None;
        }
    };
    // Without knowing what is watched nothing can be said of its unit.
    let unit = of?.unit();
    let threshold = fields.optional(when.label(), |node| threshold(node, unit))?;
    Some((when, threshold))
}

/// A threshold, and how it is written.
fn threshold(node: &Node, unit: Unit) -> Read<(f64, Box<str>)> {
    let text = read::scalar(node, &format!("a threshold such as {}", unit.example()))?;
    let number = |suffix: &str, sign: bool| {
        let digits = text.strip_suffix(suffix)?.trim_end();
        let unsigned = digits.strip_prefix('-').filter(|_| sign).unwrap_or(digits);
        let plain = unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value: f64 = digits.parse().ok().filter(|_| plain && !unsigned.starts_with('.'))?;
        (value.abs() <= NUMBER_MAX).then(|| (value, format!("{value}{suffix}").into_boxed_str()))
    };
    let time = |unit: f64| {
        let time = units::duration(text).ok()?;
        Some((time.as_secs_f64() / unit, units::show_duration(time).into_boxed_str()))
    };
    let read = match unit {
        Unit::Count => number("", false),
        Unit::Percent => number("%", true),
        Unit::PerSecond => number("/s", false),
        Unit::Bytes => units::bytes(text).ok().map(|size| (size as f64, units::show_bytes(size).into())),
        Unit::Milliseconds => time(0.001),
        Unit::Days => time(24.0 * 3600.0),
    };
    read.ok_or_else(|| {
        let message = format!("{} is no threshold of it: write for example {}", quote(text), unit.example());
        vec![Wrong::at(node.span, message)]
    })
}

/// The name of a rule or of a webhook.
pub fn name(node: &Node) -> Read<&str> {
    let text = read::text(node)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if text.len() <= NAME_BYTES_MAX && text.bytes().all(fits) {
        return Ok(text);
    }
    let message = format!("{} may hold 1 to {NAME_BYTES_MAX} letters, digits and -_. alone", quote(text));
    wrong(node.span, message + ": choose another")
}

fn summary(node: &Node) -> Read<Option<&str>> {
    read::optional_text(node, SUMMARY_BYTES_MAX, (|c| !c.is_control(), "printable characters"))
}

/// In the order of their names.
fn labels(node: &Node) -> Read<Vec<(Box<str>, Box<str>)>> {
    let mut labels = texts(node, LABELS_MAX, "label", label_name, |node| {
        let printable: (fn(char) -> bool, &str) = (|c| !c.is_control(), "printable characters");
        Ok(read::optional_text(node, VALUE_BYTES_MAX, printable)?.unwrap_or_default().into())
    })?;
    labels.sort();
    Ok(labels)
}

/// As Prometheus has them.
fn label_name(name: &str) -> Result<Box<str>, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if LABELS_TAKEN.contains(&name) {
        return Err(format!("alerts get the label {name} by themselves: choose another name"));
    }
    if name.len() > NAME_BYTES_MAX
        || !name.bytes().all(fits)
        || name.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!(
            "a label's name may hold up to {NAME_BYTES_MAX} letters, digits and _ alone, and not begin with a digit: choose another"
        ));
    }
    Ok(name.into())
}

/// A mapping whose keys are free.
pub fn texts<T>(
    node: &Node,
    most: usize,
    what: &str,
    name: impl Fn(&str) -> Result<Box<str>, String>,
    value: impl Fn(&Node) -> Read<T>,
) -> Read<Vec<(Box<str>, T)>> {
    let Data::Map(entries) = &node.data else {
        return wrong(node.span, format!("must be a mapping of {what}s: write {{NAME: VALUE}}"));
    };
    if entries.len() > most {
        return wrong(node.span, format!("holds {} {what}s: at most {most} are allowed", entries.len()));
    }
    let (mut found, mut wrongs): (Vec<(Box<str>, T)>, _) = (Vec::new(), Vec::new());
    for entry in entries {
        let name = match name(&entry.key) {
            Ok(name) if found.iter().any(|(other, _)| *other == name) => {
                wrongs.push(Wrong::at(entry.key_span, format!("this {what} stands above too: keep one")));
                continue;
            }
            Ok(name) => name,
            Err(message) => {
                wrongs.push(Wrong::at(entry.key_span, message));
                continue;
            }
        };
        match value(&entry.value) {
            Ok(value) => found.push((name, value)),
            Err(inner) => wrongs.extend(inner.into_iter().map(|wrong| wrong.below(&format!(".{name}")))),
        }
    }
    if wrongs.is_empty() { Ok(found) } else { Err(wrongs) }
}

/// As it would be written.
pub fn show(rule: &AlertRule) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let count = rule.of.unit() == Unit::Count && rule.threshold.fract() == 0.0;
    let threshold = if count { Value::Number(rule.threshold as u64) } else { text(&rule.written) };
    let mut fields =
        vec![("name", text(&rule.name)), ("of", text(rule.of.label())), (rule.when.label(), threshold)];
    let times = [("for", rule.hold), ("keep_firing_for", rule.keep_firing)];
    fields.extend(times.map(|(name, time)| (name, Value::Text(units::show_duration(time)))));
    fields.push(("severity", text(rule.severity.label())));
    fields.extend(rule.summary.as_deref().map(|summary| ("summary", text(summary))));
    if !rule.labels.is_empty() {
        let pairs = rule.labels.iter().map(|(name, value)| (name.to_string(), text(value)));
        fields.push(("labels", Value::Pairs(pairs.collect())));
    }
    Value::Map(fields)
}

/// The table of what can be watched, for docs/configuration.md.
#[must_use]
pub fn measures_table() -> String {
    let rows =
        MEASURES.iter().map(|(_, name, unit, doc)| format!("| `{name}` | `{}` | {doc} |\n", unit.example()));
    "| `of` | threshold | what it is |\n| --- | --- | --- |\n".to_owned() + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn read(text: &str) -> Result<Vec<AlertRule>, String> {
        rules(&yaml::parse(text).unwrap())
            .map_err(|wrongs| wrongs.iter().map(|w| format!("{}: {}\n", w.path, w.message)).collect())
    }

    #[test]
    fn rules_read_back_as_they_are_shown() {
        let text = "[{name: a, of: connections, above: 5000, for: 1m30s, keep_firing_for: 10s, severity: critical, \
                    summary: \"Call them.\", labels: {a_1: \"x y\", team: net}}]";
        let read_rules = read(text).unwrap();
        assert_eq!(format!("[{}]", show(&read_rules[0])), text);
        let built_in = read(BUILT_IN).unwrap();
        assert!(built_in.len() > 10);
        let shown: Vec<String> = built_in.iter().map(|rule| show(rule).to_string()).collect();
        assert_eq!(read(&format!("[{}]", shown.join(", "))).unwrap(), built_in);
    }

    #[test]
    fn thresholds_have_the_unit_of_what_is_watched() {
        for (of, written, value, shown) in [
            ("connections", "7", 7.0, "7"),
            ("traffic_change", "-80%", -80.0, "-80%"),
            ("failed_share", "0.5%", 0.5, "0.5%"),
            ("failed_per_second", "2.50/s", 2.5, "2.5/s"),
            ("memory_bytes", "1GiB512MiB", 1_610_612_736.0, "1GiB512MiB"),
            ("certificates_expire_days", "36h", 1.5, "1d12h"),
            ("loop_lag_ms", "1s", 1000.0, "1s"),
        ] {
            let rule = read(&format!("[{{name: a, of: {of}, below: {written}}}]")).unwrap().remove(0);
            assert_eq!((rule.threshold, &*rule.written), (value, shown), "{of} {written}");
        }
        for (of, written) in [
            ("connections", "7%"),
            ("connections", "-7"),
            ("failed_share", "50"),
            ("failed_share", "inf%"),
            ("failed_share", "1e3%"),
            ("failed_share", "1.2.3%"),
            ("failed_per_second", "5"),
            ("memory_bytes", "5"),
            ("loop_lag_ms", "50"),
            ("connections", "1000000000000000000"),
        ] {
            let told = read(&format!("[{{name: a, of: {of}, above: {written}}}]")).unwrap_err();
            assert!(
                told.starts_with("[0].above: ") && told.contains("write for example"),
                "{written}: {told}"
            );
        }
    }

    #[test]
    fn every_fault_is_told_with_its_path() {
        let told = read(
            "[{of: connections, above: 1}, {name: 'a b', of: nothing, above: 1}, {name: a, of: connections},\n\
             {name: b, of: connections, above: 1, below: 1}, {name: c, of: connections, above: 1, for: 2d},\n\
             {name: d, of: connections, above: 1, severity: page, labels: {severity: x, 1a: y, ok: [1]}},\n\
             {name: e, of: connections, above: 1}, {name: e, of: connections, above: 1}]",
        )
        .unwrap_err();
        for line in [
            "[0].name: is missing",
            "[1].name: \"a b\" may hold 1 to 64 letters",
            "[1].of: \"nothing\" is not one of connections, ",
            "[2].above: is missing: write above or below",
            "[3].below: is one side too many",
            "[4].for: 2d is out of range: write 0s to 1d",
            "[5].severity: \"page\" is not one of info, warning, critical",
            "[5].labels: alerts get the label severity by themselves",
            "[5].labels: a label's name may hold",
            "[5].labels.ok: is a list",
            "[7].name: stands before already as \"e\"",
        ] {
            assert!(told.contains(line), "{line}\nis not in\n{told}");
        }
    }
}
