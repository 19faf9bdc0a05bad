//! `POST /api/v1/drill`: faults on purpose, to see that ringway stands them.

use super::answer::Answer;
use super::asked::Asked;
use super::state::State;
use ringway_shared::command::{Command, Drill};
use serde_json::json;
use std::ops::RangeInclusive;
use std::time::Duration;

pub const SUMMARY: &str = "Injects a fault: ?worker=0 & kind=panic&tasks=N | kind=stall&ms=N | kind=die.";
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

/// `POST /api/v1/drill`
pub fn drill(state: &State, asked: &Asked) -> Answer {
    let (worker, drill) = match read(&asked.query, state.staff.count) {
        Ok(order) => order,
        Err(fault) => return Answer::error(400, &fault, SUMMARY),
    };
    if (state.staff.tell)(worker, Command::Drill(drill)) {
        return Answer::json(202, &json!({"told": true}));
    }
    let message = format!("worker {worker} takes no message: its inbox is full or its thread has ended");
    Answer::error(503, &message, "GET /livez says how the workers are").with("retry-after", "1")
}

/// The worker to tell and what, or what is wrong with the parameters.
fn read(query: &str, workers: usize) -> Result<(usize, Drill), String> {
    let pairs: Vec<_> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    let kind = value(&pairs, "kind")?;
    let fault = FAULTS.iter().find(|fault| fault.kind == kind).ok_or_else(|| {
        let kinds: Vec<_> = FAULTS.iter().map(|fault| fault.kind).collect();
        format!("kind: no such fault; one of {}", kinds.join(", "))
    })?;
    let known = |name: &str| {
        ["kind", "worker"].contains(&name) || fault.amount.as_ref().is_some_and(|(own, _)| *own == name)
    };
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !known(name)) {
        return Err(format!("{name}: kind={kind} has no such parameter"));
    }
    let worker = number(&pairs, "worker", &(0..=workers.saturating_sub(1) as u64))?;
    let amount = fault.amount.as_ref().map_or(Ok(0), |(name, range)| number(&pairs, name, range))?;
    Ok((worker as usize, (fault.drill)(amount)))
}

fn value<'a>(pairs: &[(&str, &'a str)], name: &str) -> Result<&'a str, String> {
    let mut values = pairs.iter().filter(|(key, _)| *key == name).map(|(_, value)| *value);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(format!("{name} is missing")),
        (Some(_), Some(_)) => Err(format!("{name} is given twice")),
    }
}

fn number(pairs: &[(&str, &str)], name: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let number = value(pairs, name)?.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("{name} must be a number from {} to {}", range.start(), range.end()))
}
