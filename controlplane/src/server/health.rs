//! Is it alive, is it ready: what probes ask.

use super::answer::Answer;
use super::asked::Asked;
use super::route::{Route, json, ok, said};
use super::state::State;
use crate::guard::Scope;
use crate::observe::WorkerRow;
use ringway_dataplane::WorkerState;
use serde_json::{Value as Json, json};
use std::time::Duration;

pub const ROUTES: &[Route] = &[
    Route::get(
        "/livez",
        Scope::Open,
        livez,
        "Whether every worker lives; 503 names those that do not.",
        &[ok("They do.", json("Liveness")), said(503, "Some worker does not.", json("Liveness"))],
    ),
    Route::get(
        "/readyz",
        Scope::Open,
        readyz,
        "Whether new connections are welcome; 503 while draining.",
        &[ok("They are.", json("Readiness")), said(503, "They are not.", json("Readiness"))],
    ),
    Route::get(
        "/health",
        Scope::Read,
        health,
        "Both of these, with version, uptime and configuration generation.",
        &[ok("It is well.", json("Health")), said(503, "It is not.", json("Health"))],
    ),
];

/// `GET /livez`
pub fn livez(state: &State, _: &Asked) -> Answer {
    let sick = sick_workers(state);
    match verdict(&sick) {
        None => Answer::json(200, &json!({"status": "ok"})),
        Some(status) => Answer::json(503, &json!({"status": status, "workers": sick})),
    }
}

/// `GET /readyz`
pub fn readyz(state: &State, _: &Asked) -> Answer {
    // After a hot restart's turn this process may answer for a moment more: those whom a probe speaks for are served.
    if state.is_draining() && !state.succeeded.get() {
        return Answer::json(503, &json!({"status": "draining"}));
    }
    Answer::json(200, &json!({"status": "ready", "notices": state.facts.notices}))
}

/// `GET /health`
pub fn health(state: &State, _: &Asked) -> Answer {
    let sick = sick_workers(state);
    let lives = verdict(&sick);
    let well = if state.is_draining() { "draining" } else { "ok" };
    let body = json!({
        "status": lives.unwrap_or(well),
        "version": state.facts.version,
        "uptime_seconds": state.snapshot().uptime.as_secs(),
        "generation": state.running.generation(),
        "workers": state.staff.count,
        "sick_workers": sick,
        "notices": state.facts.notices,
    });
    Answer::json(if lives.is_none() { 200 } else { 503 }, &body)
}

/// One word for how a worker is doing: `running`, `stalled`, `ended` or `died`.
pub fn condition(row: &WorkerRow, stalled_after: Duration) -> &'static str {
    match row.state {
        WorkerState::Running if row.heartbeat_age > stalled_after => "stalled",
        WorkerState::Running => "running",
        WorkerState::Ended { .. } => "ended",
        WorkerState::Died { .. } => "died",
    }
}

/// Every worker that stalls or died. One that ended was told to: it is not sick.
pub fn sick_workers(state: &State) -> Vec<Json> {
    let snapshot = state.snapshot();
    let rows = snapshot.workers.iter().enumerate();
    rows.filter_map(|(index, row)| {
        let condition = condition(row, state.running.config().workers.stalled_after);
        let age = row.heartbeat_age.as_millis() as u64;
        let mut entry = json!({"worker": index, "state": condition, "heartbeat_age_ms": age});
        if let WorkerState::Died { cause } = &row.state {
            entry["cause"] = json!(cause);
        }
        ["stalled", "died"].contains(&condition).then_some(entry)
    })
    .collect()
}

/// What the sick make of the whole: `None` if nobody is, else its worst condition.
pub fn verdict(sick: &[Json]) -> Option<&'static str> {
    let any = |condition| sick.iter().any(|worker| worker["state"] == condition);
    ["died", "stalled"].into_iter().find(|condition| any(*condition))
}
