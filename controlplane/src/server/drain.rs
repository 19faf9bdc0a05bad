//! `/admin/drain`, `/admin/undrain`: no new clients for now, and how far that is.

use super::answer::{Answer, PROBLEM};
use super::asked::Asked;
use super::connections::MEANINGLESS;
use super::route::{Content, Route, Said, ServedBy, json, ok, said};
use super::schemas;
use super::state::State;
use crate::calendar;
use crate::guard::Scope;
use crate::rest::{Stage, Wish};
use ringway_shared::closing::Closing;
use ringway_shared::config::units;
use ringway_shared::gateway::Refused;
use ringway_shared::metrics::Cells;
use ringway_shared::reason::Reason;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

const GRACE_DEFAULT: Duration = Duration::from_secs(5);
/// Of a grace, and of a drain that takes itself back.
const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
const FIELDS: [&str; 3] = ["grace", "for", "stop"];

const FAULT: Content = Content { media_type: PROBLEM, schema: Some(schemas::PROBLEM) };
const ENDING: Said = said(409, "The process is ending.", FAULT);

pub const ROUTES: &[Route] = &[
    Route::post(
        "/admin/drain",
        Scope::Operate,
        ServedBy::Page(drain),
        "Takes no new clients; transfers go on, and WebSocket clients are sent elsewhere.",
        &[said(202, "It has begun.", json("DrainState")), ENDING, MEANINGLESS],
    )
    .taking(json("Drain")),
    Route::get(
        "/admin/drain",
        Scope::Read,
        show,
        "How far a drain is.",
        &[ok("The state, and who is left.", json("DrainState"))],
    ),
    Route::post(
        "/admin/undrain",
        Scope::Operate,
        ServedBy::Page(undrain),
        "Takes a drain back: new clients are served again.",
        &[ok("All are served.", json("DrainState")), ENDING],
    ),
];

/// `POST /admin/drain`
fn drain(state: &State, asked: &Asked) -> Answer {
    if state.draining.get() {
        return ending();
    }
    match wish(&asked.body) {
        Err(refusal) => refusal,
        Ok(wish) => {
            if state.rest.stage() == Stage::Serving {
                state.with_cells(|cells| state.turned_away.set(turned_away(cells)));
                tracing::info!("{} drains, with a grace of {} ms", asked.by.name, wish.grace.as_millis());
            }
            state.rest.begin(wish, Instant::now());
            let lasting = wish.lasting.map_or(String::new(), |lasting| format!(" for {lasting:?}"));
            let then = if wish.stop { ", then ends" } else { "" };
            Answer::json(202, &progress(state))
                .audited(format!("drains{lasting}, with a grace of {:?}{then}", wish.grace))
        }
    }
}

/// `GET /admin/drain`
fn show(state: &State, _: &Asked) -> Answer {
    Answer::json(200, &progress(state))
}

/// `POST /admin/undrain`
fn undrain(state: &State, asked: &Asked) -> Answer {
    if state.draining.get() {
        return ending();
    }
    let ended = state.rest.end(state.staff.count);
    if ended {
        tracing::info!("{} takes the drain back", asked.by.name);
    }
    Answer::json(200, &progress(state)).audited(if ended { "serves again" } else { "did not drain" })
}

fn ending() -> Answer {
    let hint = "it was told to stop, or has a successor, which is to be asked";
    Answer::error(409, "the process is ending: that cannot be taken back", hint)
}

/// Whom a drain has sent away so far: clients refused at SOCKS5, refused upgrades, WebSocket connections that were told and are gone.
fn turned_away(cells: &[Arc<Cells>]) -> [u64; 3] {
    let sum = |of: fn(&Cells) -> u64| cells.iter().map(|cells| of(cells)).sum();
    [
        sum(|cells| cells.closed.of(Reason::Draining).get()),
        sum(|cells| cells.websocket.refused[Refused::Draining as usize].get()),
        sum(|cells| cells.websocket.closed[Closing::Drained as usize].get()),
    ]
}

fn progress(state: &State) -> Json {
    let now = Instant::now();
    let drain = state.rest.drain();
    let stage = if state.draining.get() { "stopping" } else { state.rest.stage().label() };
    let left = |until: Option<Instant>| {
        until.map(|until| until.saturating_duration_since(now).as_millis() as f64 / 1000.0)
    };
    let window = state.running.config().websocket.timeouts.drain;
    let told_by = drain.and_then(|drain| drain.resting).map(|resting| resting + window);
    let workers = state.with_cells(|cells| {
        let rows = cells.iter().enumerate().map(|(worker, cells)| {
            let told = drain.is_some_and(|drain| drain.resting.is_some()) && !state.rest.is_untold(worker);
            // Who reads the feed by the control port looks on, and keeps nothing from being drained.
            let (socks5, websocket) = (cells.active(), cells.websocket.clients());
            json!({"worker": worker, "socks5": socks5, "websocket": websocket, "told": told})
        });
        rows.collect::<Vec<_>>()
    });
    let sum = |service: &str| workers.iter().filter_map(|row| row[service].as_u64()).sum::<u64>();
    let away = state.with_cells(turned_away);
    let before = if drain.is_some() { state.turned_away.get() } else { away };
    let [refused, upgrades_refused, told] = [0, 1, 2].map(|at| away[at].saturating_sub(before[at]));
    let since = drain.and_then(|drain| drain.since.duration_since(UNIX_EPOCH).ok());
    json!({
        "state": stage,
        "since": since.map(|since| calendar::stamp(since.as_millis() as u64)),
        "stop": drain.is_some_and(|drain| drain.wish.stop),
        "grace_left_seconds": left(drain.filter(|drain| drain.resting.is_none()).map(|drain| drain.began + drain.wish.grace)),
        "websocket_told_in_seconds": left(told_by),
        "undrain_in_seconds": left(drain.and_then(|drain| Some(drain.began + drain.wish.lasting?))),
        "connections": {"socks5": sum("socks5"), "websocket": sum("websocket")},
        "refused": {"socks5": refused, "websocket": upgrades_refused},
        "websocket_gone": told,
        "workers": workers,
    })
}

/// What the body asks for; an empty one for what is usual.
fn wish(body: &[u8]) -> Result<Wish, Answer> {
    let refused = |fault: &str| Answer::error(422, fault, r#"send for example {"grace":"5s"}"#);
    let body = match body {
        [] => Map::new(),
        body => match serde_json::from_slice(body) {
            Ok(Json::Object(body)) => body,
            _ => return Err(refused("the body must be a JSON object")),
        },
    };
    if let Some(stranger) = body.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        return Err(refused(&format!("{stranger:?} is no field: there are {}", FIELDS.join(", "))));
    }
    let duration = |name: &str| {
        let Some(value) = body.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| refused(&format!("{name} must be a text such as \"5s\"")))?;
        let duration = units::duration(text).map_err(|why| refused(&format!("{name}: {text:?} {why}")))?;
        if duration > DURATION_MAX {
            return Err(refused(&format!("{name} must be at most 7d")));
        }
        Ok(Some(duration))
    };
    let stop = body.get("stop").unwrap_or(&Json::Bool(false));
    let stop = stop.as_bool().ok_or_else(|| refused("stop must be true or false"))?;
    let (grace, lasting) = (duration("grace")?.unwrap_or(GRACE_DEFAULT), duration("for")?);
    if stop && lasting.is_some() {
        return Err(refused(
            "stop and for exclude each other: a process that has stopped does not come back",
        ));
    }
    if lasting.is_some_and(|lasting| lasting <= grace) {
        return Err(refused("for counts from the beginning: it must be longer than grace"));
    }
    Ok(Wish { grace, lasting, stop })
}
