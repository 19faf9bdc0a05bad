//! `GET /api/v1/history`: traffic over time. The thread of the history writes the answer; this page reads the question and waits.

use super::answer::Answer;
use super::asked::Asked;
use super::connections::BUSY;
use super::route::{Content, Parameter, Route, Said, ServedBy, Waiting, json, ok, said, text};
use super::state::State;
use crate::guard::Scope;
use crate::history::question::{Format, Misasked, Question, Written};
use crate::history::{Answered, Refusal};
use std::rc::Rc;

const CSV: &str = "text/csv; charset=utf-8";
const FAULT: Content = Content { media_type: super::answer::PROBLEM, schema: Some("Problem") };
const OFF: Said = said(404, "No history is kept: `history.enabled` is off.", FAULT);
const SENSELESS: Said = said(422, "The question makes no sense.", FAULT);

pub const ROUTES: &[Route] = &[Route::get(
    "/api/v1/history",
    Scope::Read,
    nothing,
    "Traffic, connections and failures over time: in total, by user or by listener.",
    &[
        ok("One series for each key, the largest first; what nobody counted is null.", json("History")),
        ok("With format=csv or `Accept: text/csv`: a row for each time and key.", text(CSV)),
        OFF,
        SENSELESS,
        BUSY,
    ],
)
.with(&[
    Parameter {
        name: "from",
        schema: r#"{"type":"string","default":"-24h"}"#,
        summary: "Since when: RFC 3339, seconds since 1970, `now`, or `-24h` for a day ago.",
    },
    Parameter {
        name: "to",
        schema: r#"{"type":"string","default":"now","examples":["-1h"]}"#,
        summary: "Until when, as `from`.",
    },
    Parameter {
        name: "by",
        schema: r#"{"type":"string","enum":["total","user","listener"],"default":"total"}"#,
        summary: "What has a series of its own.",
    },
    Parameter {
        name: "step",
        schema: r#"{"type":"string","enum":["auto","minute","hour","day"],"default":"auto"}"#,
        summary: "How long a point is; days are those of UTC. auto: the finest that is kept and fits a chart.",
    },
    Parameter {
        name: "key",
        schema: r#"{"type":"string"}"#,
        summary: "Only this user or listener.",
    },
    Parameter {
        name: "format",
        schema: r#"{"type":"string","enum":["json","csv"],"default":"json"}"#,
        summary: "How it is written.",
    },
])
.served_by(ServedBy::Task(history))];

fn nothing(_: &State, _: &Asked) -> Answer {
    Answer::error(500, "a task was asked for as a page", "report this")
}

/// `GET /api/v1/history`
fn history(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move { told(&state, &asked).await.unwrap_or_else(|refusal| refusal) })
}

async fn told(state: &State, asked: &Asked) -> Result<Answer, Answer> {
    let Some(history) = state.history() else {
        return Err(Answer::error(404, "no history is kept", "history.enabled switches it on, at a restart"));
    };
    let config = &state.running.config().history;
    let now = state.snapshot();
    let keep = if config.file.is_some() { config.keep } else { config.keep.in_memory() };
    // The second that is under way is part of it: in a minute's first one that minute would be missing otherwise.
    let question = Question::read(&written(asked), now.unix.as_secs() + 1, &keep).map_err(senseless)?;
    // What was counted until a moment ago is part of it.
    history.note(&now, config);
    let answered = history.ask(question, config).await.map_err(refused)?;
    let Answered { body, format } = answered;
    Ok(match format {
        Format::Json => Answer::text(200, super::answer::JSON, body),
        Format::Csv => Answer::text(200, CSV, body),
    })
}

fn written(asked: &Asked) -> Written<'_> {
    let accepts = asked.headers.get("accept").and_then(|accept| accept.to_str().ok());
    Written {
        from: asked.value("from"),
        to: asked.value("to"),
        by: asked.value("by"),
        step: asked.value("step"),
        key: asked.value("key"),
        format: asked.value("format"),
        prefers_csv: accepts.is_some_and(|accept| accept.trim_start().starts_with("text/csv")),
    }
}

fn senseless(misasked: Misasked) -> Answer {
    Answer::error(422, &misasked.detail, misasked.hint)
}

fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Busy => Answer::error(503, "too many ask for the history", "ask again in a second")
            .with("retry-after", "1"),
        Refusal::TooLong => Answer::error(
            503,
            "the answer took too long",
            "ask for a shorter span, a longer step or one key; is the disk well?",
        ),
        Refusal::Gone => {
            Answer::error(503, "another process keeps the history now", "ask again: it answers here")
                .with("retry-after", "1")
        }
        Refusal::Unreadable(why) => Answer::error(
            503,
            &format!("the history cannot be read: {why}"),
            "the log says more; history.file names the file",
        ),
    }
}
