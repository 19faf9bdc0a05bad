//! `/admin/override`: keys that are set for a time.

use super::{
    AT_FAULT, Answer, Asked, DONE, DRY_RUN, NO_SUCH, NOT_NOW, Parameter, Route, SILENT, STALE, Scope,
    ServedBy, State, Waiting, Wish, answers, end_of, ok, request, run,
};
use crate::reload::{Returning, may_be_set_for_a_time};
use crate::running::{Generation, Temporary};
use crate::server::route::json;
use ringway_shared::config::Override;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::rc::Rc;

pub const ROUTES: &[Route] = &[
    Route::get(
        "/admin/override",
        Scope::Read,
        list,
        "The keys that are set for a time, and until when.",
        &[ok("They are.", json("Overrides"))],
    ),
    Route::post(
        "/admin/override",
        Scope::Admin,
        ServedBy::Task(set),
        "Sets keys for a time, over file, environment and command line; then they return by themselves.",
        &[DONE, NOT_NOW, STALE, AT_FAULT, SILENT],
    )
    .with(&[DRY_RUN])
    .taking(json("OverrideRequest")),
    Route::post(
        "/admin/override",
        Scope::Admin,
        ServedBy::Task(end),
        "Lets keys return now.",
        &[DONE, NO_SUCH, NOT_NOW, STALE, AT_FAULT, SILENT],
    )
    .with_method("DELETE")
    .with(&[
        Parameter { name: "key", schema: r#"{"type":"string"}"#, summary: "Which one. Left out: all." },
        DRY_RUN,
    ]),
];

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    set: Map<String, Json>,
    #[serde(rename = "for")]
    time: Option<String>,
}

fn list(state: &State, _: &Asked) -> Answer {
    Answer::json(200, &json!({"overrides": of(&state.running.current())}))
}

/// Those of one configuration, as they are shown.
pub fn of(generation: &Generation) -> Vec<Json> {
    let entry = |one: &Temporary| {
        let value = generation.effective.get(&one.set.key).map(|setting| setting.value.to_json());
        json!({"key": one.set.key, "value": value, "until": one.set.until, "by": one.by})
    };
    generation.made_of.overrides.iter().map(entry).collect()
}

fn set(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        let wish = read(&asked).and_then(|all| Ok((Wish::Override(all), asked.flag(DRY_RUN.name)?)));
        match wish {
            Ok((wish, dry_run)) => run(state, request(&asked, wish, dry_run)).await,
            Err(refusal) => refusal,
        }
    })
}

fn end(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        let which = asked.value("key").map_or(Returning::All, |key| Returning::Key(key.to_owned()));
        match asked.flag(DRY_RUN.name) {
            Ok(dry_run) => run(state, request(&asked, Wish::Return(which), dry_run)).await,
            Err(refusal) => refusal,
        }
    })
}

/// What is to be set, or all that is wrong with it.
fn read(asked: &Asked) -> Result<Vec<Temporary>, Answer> {
    const EXAMPLE: &str = r#"send {"set": {"socks5.limits.connections": 100}, "for": "10m"}"#;
    let body: Body = serde_json::from_slice(&asked.body)
        .map_err(|error| Answer::error(400, &format!("the body cannot be understood: {error}"), EXAMPLE))?;
    let (due, until) = end_of(body.time.as_deref())?;
    let wrong: Vec<Json> = body
        .set
        .iter()
        .filter_map(|(key, value)| {
            let why = may_be_set_for_a_time(key).err().or_else(|| {
                value.is_null().then(|| "null is no value; DELETE lets a key return".to_owned())
            })?;
            Some(json!({"source": "request", "line": null, "column": null, "key": key, "message": why}))
        })
        .collect();
    if !wrong.is_empty() {
        let count = wrong.len();
        return Err(answers::faults(wrong, count, EXAMPLE));
    }
    if body.set.is_empty() {
        return Err(Answer::error(400, "set names no key", EXAMPLE));
    }
    let one = |(key, value): (String, Json)| Temporary {
        // JSON is YAML.
        set: Override { key, value: value.to_string(), until: until.clone() },
        due,
        by: asked.by.name.to_string(),
    };
    Ok(body.set.into_iter().map(one).collect())
}
