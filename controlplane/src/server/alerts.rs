//! `/api/v1/alerts`: what fires, what is watched, and silences.

use super::answer::{Answer, PROBLEM};
use super::asked::Asked;
use super::route::{Content, Parameter, Route, ServedBy, bare, json, ok, said};
use super::schemas;
use super::state::State;
use crate::alerts::silences;
use crate::guard::Scope;
use ringway_shared::config::{read_duration, show_duration};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long a silence may be.
const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);
const EXAMPLE: &str =
    r#"send {"matchers": {"name": "upstream_down"}, "for": "2h", "comment": "the exit is rebuilt"}"#;

const FAULT: Content = Content { media_type: PROBLEM, schema: Some(schemas::PROBLEM) };

pub const ROUTES: &[Route] = &[
    Route::get(
        "/api/v1/alerts",
        Scope::Read,
        list,
        "Alerts, silences, the rules with their values of now, and the webhooks.",
        &[ok("They are.", json("Alerts"))],
    ),
    Route::post(
        "/api/v1/alerts/silences",
        Scope::Operate,
        ServedBy::Page(add),
        "Silences alerts: webhooks are not told of them for a time.",
        &[
            said(201, "It is kept, in memory, until its time is over or the process ends.", json("Silence")),
            said(409, "There are as many silences as there may be.", FAULT),
            said(422, "It has no matchers, too long texts, control characters or an impossible time.", FAULT),
        ],
    )
    .taking(json("SilenceRequest")),
    Route::post(
        "/api/v1/alerts/silences/{id}",
        Scope::Operate,
        ServedBy::Page(remove),
        "Ends a silence.",
        &[bare(204, "It is gone.")],
    )
    .with_method("DELETE")
    .with(&[Parameter {
        name: "id",
        schema: r#"{"type":"string"}"#,
        summary: "As the list of alerts has it.",
    }]),
];

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    matchers: BTreeMap<Box<str>, Box<str>>,
    #[serde(rename = "for")]
    time: String,
    #[serde(default)]
    comment: String,
}

/// `GET /api/v1/alerts`
fn list(state: &State, _: &Asked) -> Answer {
    let alerts = &state.alerts;
    let mut shown = alerts.view();
    shown["rules"] = alerts.rules().into();
    shown["webhooks"] = alerts.webhooks().into();
    Answer::json(200, &shown)
}

/// `POST /api/v1/alerts/silences`
fn add(state: &State, asked: &Asked) -> Answer {
    let (body, time) = match read(&asked.body) {
        Ok(read) => read,
        Err((status, message)) => return Answer::error(status, &message, EXAMPLE),
    };
    let told = json!(body.matchers).to_string();
    match state.alerts.silence(body.matchers, time, &asked.by.name, &body.comment) {
        Ok(made) => {
            let audited = format!("silenced {told} until {} as {}", made["until"], made["id"]);
            Answer::json(201, &made).audited(audited)
        }
        Err(why) => Answer::error(409, &why, "end one that is not needed any more"),
    }
}

/// What is to be silenced and for how long, or what is wrong with it.
fn read(body: &[u8]) -> Result<(Body, Duration), (u16, String)> {
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| (400, format!("the body cannot be understood: {error}")))?;
    let time = read_duration(&body.time).map_err(|why| (422, format!("for: {:?} {why}", body.time)))?;
    if !TIMES.contains(&time) {
        let (least, most) = (show_duration(*TIMES.start()), show_duration(*TIMES.end()));
        return Err((422, format!("for: {} is out of range: {least} to {most}", body.time)));
    }
    silences::check(&body.matchers, &body.comment).map_err(|why| (422, why))?;
    Ok((body, time))
}

/// `DELETE /api/v1/alerts/silences/{id}`
fn remove(state: &State, asked: &Asked) -> Answer {
    let id = asked.place("id");
    if state.alerts.unsilence(id) {
        return Answer::of(204, super::answer::JSON, Default::default())
            .audited(format!("ended silence {id}"));
    }
    Answer::error(
        404,
        &format!("there is no silence {id:?}"),
        "GET /api/v1/alerts lists them; they end with the process",
    )
}
