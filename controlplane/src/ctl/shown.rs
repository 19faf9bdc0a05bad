//! An answer as people read it.

use super::client::Answered;
use super::tables::{cell, clean, named, tables};
use super::traffic;
use super::verbs::Show;
use super::words::Call;
use serde_json::{Map, Value as Json};
use std::fmt::Write;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

fn json(answer: &Answered) -> Option<Json> {
    serde_json::from_slice(&answer.body).ok()
}

/// Whether what was asked for is done: a fault of the publish API is answered 200.
pub fn is_well(answer: &Answered) -> bool {
    (200..300).contains(&answer.status) && fault(answer).is_none()
}

/// Neither JSON nor text.
pub fn is_binary(answer: &Answered) -> bool {
    let kind = &answer.media_type;
    !(kind.is_empty() || kind.starts_with("text/") || kind.contains("json") || kind.contains("text"))
}

/// What is wrong, and what to do about it, if the answer is a fault. One that says how ringway is, such as 503 of a
/// probe, is none.
pub fn fault(answer: &Answered) -> Option<String> {
    let body = json(answer);
    let problem = body.as_ref().filter(|_| answer.media_type == PROBLEM);
    if let Some(problem) = problem {
        return Some(problem_text(problem));
    }
    // The publish API's.
    if let Some(error) = body.as_ref().and_then(|body| body.get("error")).filter(|error| error.is_object()) {
        let mut text = format!("{} (code {})", cell(&error["message"]), cell(&error["code"]));
        hint(&mut text, error);
        return Some(text);
    }
    if answer.status < 400 || body.is_some() {
        return None;
    }
    Some(format!("answered {}: {}", answer.status, clean(String::from_utf8_lossy(&answer.body).trim())))
}

/// `404 Not Found: detail`, whatever else it says, and the hint.
fn problem_text(problem: &Json) -> String {
    let mut text =
        format!("{} {}: {}", cell(&problem["status"]), cell(&problem["title"]), cell(&problem["detail"]));
    let common = ["type", "title", "status", "detail", "hint"];
    let own: Map<String, Json> = problem.as_object().map_or_else(Map::new, |members| {
        let own = members.iter().filter(|(name, _)| !common.contains(&name.as_str()));
        own.map(|(name, value)| (name.clone(), value.clone())).collect()
    });
    if !own.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}", tables(&Json::Object(own)).trim_end());
    }
    hint(&mut text, problem);
    text
}

fn hint(text: &mut String, fault: &Json) {
    if fault["hint"].is_string() {
        let _ = write!(text, "\nhint: {}", cell(&fault["hint"]));
    }
}

/// The answer of a call.
pub fn text(call: &Call, answer: &Answered, stats: Option<Json>) -> String {
    let whole = || String::from_utf8_lossy(&answer.body).into_owned();
    let filter = call.filter.as_deref().unwrap_or_default();
    match (call.show, json(answer).filter(|_| answer.media_type == JSON)) {
        (Show::Samples, _) => samples(&whole(), filter),
        (Show::Document, Some(body)) => format!("{body:#}"),
        (Show::Status, Some(health)) => status(&health, &stats.unwrap_or_default()),
        (Show::Named, Some(body)) => named(&filtered(&body, filter)),
        (Show::Traffic, Some(body)) => traffic::table(&body),
        (_, Some(body)) => tables(inner(&body)),
        (_, None) => whole().lines().map(|line| clean(line) + "\n").collect(),
    }
}

/// What the publish API wraps in `result`.
fn inner(body: &Json) -> &Json {
    match body.as_object() {
        Some(members) if members.len() == 1 => members.get("result").unwrap_or(body),
        _ => body,
    }
}

fn filtered(body: &Json, filter: &str) -> Json {
    match body.as_object().filter(|_| !filter.is_empty()) {
        Some(members) => {
            let named = members.iter().filter(|(name, _)| name.contains(filter));
            Json::Object(named.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        None => body.clone(),
    }
}

/// The lines of families and samples whose names hold the filter.
fn samples(text: &str, filter: &str) -> String {
    let name = |line: &str| {
        let line = line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE ")).unwrap_or(line);
        line.split([' ', '{']).next().is_some_and(|name| name.contains(filter))
    };
    let comment = |line: &str| line.starts_with('#') && !filter.is_empty();
    let lines = text.lines().filter(|line| name(line) && !comment(line));
    lines.map(|line| clean(line) + "\n").collect()
}

/// One line for each question that is asked first.
fn status(health: &Json, stats: &Json) -> String {
    let of = |pointer: &str| cell(stats.pointer(pointer).unwrap_or(&Json::Null));
    let lines = [
        ("status", cell(&health["status"])),
        ("version", cell(&health["version"])),
        ("uptime", format!("{} s", cell(&health["uptime_seconds"]))),
        ("generation", cell(&health["generation"])),
        ("workers", cell(&health["workers"])),
        (
            "socks5",
            format!(
                "{} open, {} in all, {}/s",
                of("/connections/active_connections"),
                of("/connections/total"),
                of("/connections/per_second")
            ),
        ),
        (
            "traffic",
            format!(
                "{} B sent ({} B/s), {} B received ({} B/s)",
                of("/traffic/sent_bytes"),
                of("/traffic/sent_bytes_per_second"),
                of("/traffic/received_bytes"),
                of("/traffic/received_bytes_per_second")
            ),
        ),
        (
            "websocket",
            format!(
                "{} open, {} subscriptions, {} topics",
                of("/websocket/active_connections"),
                of("/websocket/subscriptions"),
                of("/websocket/topics")
            ),
        ),
        ("memory", format!("{} B", of("/memory/resident_bytes"))),
        ("connect p99", format!("{} ms", of("/quantiles/connect/p99_ms"))),
    ];
    let mut text: String = lines.iter().map(|(name, said)| format!("{name:<12} {said}\n")).collect();
    for (name, list) in [("sick", &health["sick_workers"]), ("notice", &health["notices"])] {
        for entry in list.as_array().into_iter().flatten() {
            let _ = writeln!(text, "{name:<12} {}", cell(entry));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answered(status: u16, media_type: &str, body: &str) -> Answered {
        Answered { status, media_type: media_type.to_owned(), body: body.to_owned().into() }
    }

    #[test]
    fn a_problem_is_told_with_all_it_says_and_its_hint_last() {
        let body = json!({"type": "about:blank", "title": "Unprocessable Content", "status": 422, "detail": "two faults",
            "hint": "mend them", "faults": ["a:1:2: no", "b: no"]});
        let answer = answered(422, PROBLEM, &body.to_string());
        assert_eq!(
            fault(&answer).unwrap(),
            "422 Unprocessable Content: two faults\nfaults:\n  a:1:2: no\n  b: no\nhint: mend them"
        );
        assert!(!is_well(&answer));
    }

    #[test]
    fn a_fault_of_the_publish_api_is_one_though_it_is_answered_200() {
        let answer = answered(200, JSON, r#"{"error":{"code":107,"message":"bad request","hint":"look"}}"#);
        assert_eq!(fault(&answer).unwrap(), "bad request (code 107)\nhint: look");
        assert!(!is_well(&answer));
        assert!(is_well(&answered(200, JSON, r#"{"result":{}}"#)));
    }

    #[test]
    fn a_probe_that_is_not_well_is_shown_and_not_well() {
        let answer = answered(503, JSON, r#"{"status":"draining"}"#);
        assert!(fault(&answer).is_none() && !is_well(&answer));
    }

    #[test]
    fn samples_are_those_whose_names_hold_the_filter() {
        let text = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\"} 1\nb 2\n";
        assert_eq!(samples(text, "a_t"), "a_total{b=\"c\"} 1\n");
        assert_eq!(samples(text, ""), text);
    }
}
