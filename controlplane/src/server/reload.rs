//! `/admin/reload-config`, `/admin/config/…`, `/admin/override` and `/admin/log`: what changes while ringway runs.
//!
//! This page has the configuration's generations; below it `answers` (what goes back), `overrides` and `levels` (what is set for a
//! time).

mod answers;
mod levels;
mod overrides;

use super::answer::{Answer, PROBLEM};
use super::asked::Asked;
use super::route::{Content, Parameter, Route, Said, ServedBy, Waiting, json, ok, said};
use super::state::State;
use crate::calendar;
use crate::guard::Scope;
use crate::reload::{Answered, Request, TIME_MAX, Wish};
use crate::running::Generation;
use ringway_shared::config::{read_duration, show_duration};
use serde_json::{Value as Json, json};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::spawn_local;

const DRY_RUN: Parameter = Parameter {
    name: "dry_run",
    schema: r#"{"type":"boolean"}"#,
    summary: "Only tell what would change; nothing is opened or tried.",
};

const FAULTS: Content = Content { media_type: PROBLEM, schema: Some("ReloadFaults") };
const FAULT: Content = Content { media_type: PROBLEM, schema: Some("Problem") };

const AT_FAULT: Said =
    said(422, "The configuration is at fault, or this host refuses it: every fault.", FAULTS);
const STALE: Said = said(412, "The configuration in force is not the one that If-Match names.", FAULT);
const NOT_NOW: Said = said(409, "Another reload or a hot restart is under way, or ringway drains.", FAULT);
const SILENT: Said = said(503, "Some worker did not answer in time; `workers` names it.", FAULT);
const UNUSABLE: Said = said(422, "Something in it cannot be used; nothing has changed.", FAULT);
const NO_SUCH: Said = said(404, "There is none.", FAULT);
const DONE: Said = ok("What has changed, key by key.", json("Reload"));

pub const ROUTES: &[Route] = &[
    Route::post(
        "/admin/reload-config",
        Scope::Admin,
        ServedBy::Task(reload),
        "Reads the configuration anew and puts it in force on all workers, or on none.",
        &[DONE, NOT_NOW, STALE, AT_FAULT, SILENT],
    )
    .with(&[DRY_RUN]),
    Route::get(
        "/admin/config/generations",
        Scope::Read,
        generations,
        "The configuration in force and those before it, the newest first, with what each changed.",
        &[ok("They are.", json("Generations"))],
    ),
    Route::post(
        "/admin/config/rollback",
        Scope::Admin,
        ServedBy::Task(rollback),
        "Puts an earlier configuration in force again, as a new generation, with its files' contents of then.",
        &[DONE, NO_SUCH, NOT_NOW, STALE, AT_FAULT, SILENT],
    )
    .with(&[
        Parameter {
            name: "generation",
            schema: r#"{"type":"integer","minimum":1,"maximum":9007199254740991}"#,
            summary: "Which one. Left out: the one before.",
        },
        DRY_RUN,
    ]),
];

pub const OVERRIDES: &[Route] = overrides::ROUTES;
pub const LEVELS: &[Route] = levels::ROUTES;

fn reload(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        match asked.flag(DRY_RUN.name) {
            Ok(dry_run) => run(state, request(&asked, Wish::Sources, dry_run)).await,
            Err(refusal) => refusal,
        }
    })
}

fn rollback(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        let wish = asked
            .number("generation", 1..=9_007_199_254_740_991_u64)
            .and_then(|number| Ok((Wish::Rollback(number), asked.flag(DRY_RUN.name)?)));
        match wish {
            Ok((wish, dry_run)) => run(state, request(&asked, wish, dry_run)).await,
            Err(refusal) => refusal,
        }
    })
}

/// Somebody's wish.
fn request(asked: &Asked, wish: Wish, dry_run: bool) -> Request {
    let if_match = asked.headers.get_all("if-match").iter();
    let if_match: Vec<_> = if_match.map(|value| value.to_str().unwrap_or_default()).collect();
    Request {
        by: asked.by.name.to_string(),
        answered: true,
        wish,
        dry_run,
        if_match: (!if_match.is_empty()).then(|| if_match.join(",")),
    }
}

/// Has it fulfilled. Whoever asked may go meanwhile: it is done all the same.
async fn run(state: Rc<State>, request: Request) -> Answer {
    let Some(reloader) = state.reloader() else { return unavailable() };
    let whole = async move {
        let (by, action, dry_run) = (request.by.clone(), request.wish.name(), request.dry_run);
        let result = reloader.run(&state, request).await;
        Answered { state, by, action, result: Some(result), dry_run }
    };
    match spawn_local(whole).await.ok().and_then(|mut answered| answered.result.take()) {
        Some(Ok(outcome)) => answers::done(&outcome),
        Some(Err(refusal)) => answers::refused(&refusal),
        None => Answer::error(500, "the reload broke off", "see the log, and report this"),
    }
}

fn unavailable() -> Answer {
    Answer::error(503, "ringway is still starting", "try again in a moment").with("retry-after", "1")
}

/// `GET /admin/config/generations`
fn generations(state: &State, _: &Asked) -> Answer {
    let current = state.running.current();
    let earlier = state.running.earlier();
    let entry = |generation: &Generation| {
        let changes = generation.changes.iter().map(|change| {
            let mut entry = answers::change(change);
            entry["reload"] = json!(change.key.reload.label());
            entry
        });
        json!({
            "generation": generation.number,
            "in_force": generation.number == current.number,
            "since": moment(generation.since),
            "by": generation.by,
            "etag": generation.tag,
            "changes": changes.collect::<Vec<_>>(),
            "overrides": overrides::of(generation),
        })
    };
    let all: Vec<Json> =
        std::iter::once(&current).chain(&earlier).map(|generation| entry(generation)).collect();
    Answer::json(200, &json!({ "generations": all }))
}

/// A moment, for people.
fn moment(moment: SystemTime) -> String {
    let since_epoch = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    calendar::stamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// How long something is set that says nothing of it.
const TIME: Duration = Duration::from_secs(600);

/// When something that is set now for this time returns: for the clock, and for people.
fn end_of(time: Option<&str>) -> Result<(Instant, String), Answer> {
    let refused = |why: &str| {
        let hint = format!("write a time such as 10m, of at most {}", show_duration(TIME_MAX));
        Err(Answer::error(422, &format!("for: {why}"), &hint))
    };
    let time = match time.map_or(Ok(TIME), read_duration) {
        Ok(time) => time,
        Err(why) => return refused(&why),
    };
    if time > TIME_MAX {
        return refused("is too long");
    }
    Ok((Instant::now() + time, moment(SystemTime::now() + time)))
}
