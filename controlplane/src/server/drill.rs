//! `POST /api/v1/drill`: faults on purpose, to see that ringway stands them.

use super::answer::Answer;
use super::asked::Asked;
use super::route::{Parameter, Route, ServedBy, json, said};
use super::state::State;
use crate::guard::Scope;
use ringway_shared::command::{Command, Drill};
use serde_json::json;
use std::ops::RangeInclusive;
use std::time::Duration;

const SUMMARY: &str = "Injects a fault: ?worker=0 & kind=panic&tasks=N | kind=stall&ms=N | kind=die.";
const TASKS: RangeInclusive<u64> = 1..=1_000_000;
const STALL_MS: RangeInclusive<u64> = 1..=60_000;

/// A kind of fault, the parameter it needs besides `worker`, and what becomes of it.
struct Fault {
    kind: &'static str,
    amount: Option<(&'static str, RangeInclusive<u64>)>,
    drill: fn(u64) -> Drill,
}

const FAULTS: &[Fault] = &[
    Fault { kind: "panic", amount: Some(("tasks", TASKS)), drill: |n| Drill::Panic { tasks: n as u32 } },
    Fault {
        kind: "stall",
        amount: Some(("ms", STALL_MS)),
        drill: |n| Drill::Stall(Duration::from_millis(n)),
    },
    Fault { kind: "die", amount: None, drill: |_| Drill::Die },
];

pub const ROUTES: &[Route] = &[Route::post(
    "/api/v1/drill",
    Scope::Admin,
    ServedBy::Page(drill),
    SUMMARY,
    &[said(202, "The worker has been told.", json("Told"))],
)
.with(&[
    Parameter {
        name: "kind",
        schema: r#"{"type":"string","enum":["panic","stall","die"]}"#,
        summary: "The fault.",
    },
    Parameter {
        name: "worker",
        schema: r#"{"type":"integer","minimum":0,"maximum":1023}"#,
        summary: "The worker that has it.",
    },
    Parameter {
        name: "tasks",
        schema: r#"{"type":"integer","minimum":1,"maximum":1000000}"#,
        summary: "kind=panic: how many tasks panic.",
    },
    Parameter {
        name: "ms",
        schema: r#"{"type":"integer","minimum":1,"maximum":60000}"#,
        summary: "kind=stall: for how long.",
    },
])
.for_tests()];

/// `POST /api/v1/drill`
pub fn drill(state: &State, asked: &Asked) -> Answer {
    let (worker, drill) = match read(asked, state.staff.count) {
        Ok(order) => order,
        Err(refusal) => return refusal,
    };
    if (state.staff.tell)(worker, Command::Drill(drill)) {
        return Answer::json(202, &json!({"told": true}));
    }
    let message = format!("worker {worker} takes no message: its inbox is full or its thread has ended");
    Answer::error(503, &message, "GET /livez says how the workers are").with("retry-after", "1")
}

/// The worker to tell and what, or what is wrong with the parameters.
fn read(asked: &Asked, workers: usize) -> Result<(usize, Drill), Answer> {
    let refused = |message: &str| Answer::error(400, message, SUMMARY);
    let kind = asked.value("kind").ok_or_else(|| refused("kind is missing"))?;
    let fault = FAULTS.iter().find(|fault| fault.kind == kind).ok_or_else(|| {
        let kinds: Vec<_> = FAULTS.iter().map(|fault| fault.kind).collect();
        refused(&format!("kind: no such fault; one of {}", kinds.join(", ")))
    })?;
    let own = fault.amount.as_ref().map(|(name, _)| *name);
    if let Some(name) =
        ["tasks", "ms"].into_iter().find(|name| Some(*name) != own && asked.value(name).is_some())
    {
        return Err(refused(&format!("{name}: kind={kind} has no such parameter")));
    }
    let needed = |name: &str, range: &RangeInclusive<u64>| {
        let number = asked.number(name, range.clone())?;
        number.ok_or_else(|| refused(&format!("{name} is missing")))
    };
    let worker = needed("worker", &(0..=workers.saturating_sub(1) as u64))?;
    let amount = fault.amount.as_ref().map_or(Ok(0), |(name, range)| needed(name, range))?;
    Ok((worker as usize, (fault.drill)(amount)))
}
