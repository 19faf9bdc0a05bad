//! `/admin/log`: how much is logged, for a time.

use super::{Answer, Asked, Parameter, Route, Scope, ServedBy, State, end_of, ok, unavailable};
use crate::logs::{MODULES_MAX, Raised, is_module};
use crate::server::route::json;
use ringway_shared::config::LogLevel;
use serde::Deserialize;
use serde_json::json;

pub const ROUTES: &[Route] = &[
    Route::get(
        "/admin/log",
        Scope::Read,
        list,
        "The log level, and the modules that have another one for a time.",
        &[ok("They are.", json("LogLevels"))],
    ),
    Route::post(
        "/admin/log",
        Scope::Admin,
        ServedBy::Page(set),
        "Sets the log level for a time, of one module with all below it, or of everything.",
        &[ok("What holds now.", json("LogLevels")), super::UNUSABLE],
    )
    .with_method("PUT")
    .taking(json("LogLevelRequest")),
    Route::post(
        "/admin/log",
        Scope::Admin,
        ServedBy::Page(end),
        "Lets log levels return now.",
        &[ok("What holds now.", json("LogLevels")), super::NO_SUCH],
    )
    .with_method("DELETE")
    .with(&[Parameter {
        name: "module",
        schema: r#"{"type":"string"}"#,
        summary: "Which one. Left out: all.",
    }]),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    level: String,
    module: Option<String>,
    #[serde(rename = "for")]
    time: Option<String>,
}

fn list(state: &State, _: &Asked) -> Answer {
    let raised = state.reloader().map_or_else(Vec::new, |reloader| reloader.levels.raised());
    shown(state, &raised)
}

fn shown(state: &State, raised: &[Raised]) -> Answer {
    let level = state.running.config().log.level;
    let set: Vec<_> = raised
        .iter()
        .map(
            |one| json!({"module": one.module, "level": one.level.label(), "until": one.until, "by": one.by}),
        )
        .collect();
    Answer::json(200, &json!({"level": level.label(), "set": set}))
}

fn set(state: &State, asked: &Asked) -> Answer {
    let Some(reloader) = state.reloader() else { return unavailable() };
    let one = match read(asked) {
        Ok(one) => one,
        Err(refusal) => return refusal,
    };
    let what =
        format!("{} for {} until {}", one.level.label(), one.module.as_deref().unwrap_or("all"), one.until);
    if !reloader.levels.set(one) {
        let message = format!("{MODULES_MAX} modules have levels of their own already");
        return Answer::error(422, &message, "let some return first: DELETE /admin/log");
    }
    reloader.levels_changed();
    shown(state, &reloader.levels.raised()).audited(what)
}

fn end(state: &State, asked: &Asked) -> Answer {
    let Some(reloader) = state.reloader() else { return unavailable() };
    let module = asked.value("module");
    let ended = reloader.levels.end(module);
    if let (0, Some(module)) = (ended, module) {
        let message = format!("{module:?} has no level of its own");
        return Answer::error(404, &message, "GET /admin/log lists those that have");
    }
    reloader.levels_changed();
    shown(state, &reloader.levels.raised()).audited(format!("{ended} log levels ended"))
}

fn read(asked: &Asked) -> Result<Raised, Answer> {
    const EXAMPLE: &str = r#"send {"level": "debug", "module": "ringway_dataplane::io", "for": "10m"}"#;
    let refused = |message: &str| Answer::error(422, message, EXAMPLE);
    let body: Body = serde_json::from_slice(&asked.body)
        .map_err(|error| Answer::error(400, &format!("the body cannot be understood: {error}"), EXAMPLE))?;
    let level = LogLevel::ALL.into_iter().find(|level| level.label() == body.level);
    let level = level.ok_or_else(|| refused("level: one of error, warn, info, debug, trace"))?;
    if body.module.as_deref().is_some_and(|module| !is_module(module)) {
        return Err(refused("module: letters, digits, _ and ::, at most 128 of them"));
    }
    let (due, until) = end_of(body.time.as_deref())?;
    Ok(Raised { module: body.module, level, due, until, by: asked.by.name.to_string() })
}
