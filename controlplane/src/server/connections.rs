//! `/api/v1/connections`: the connections there are, of both services: listing, showing and ending them.

mod killing;
mod shown;

use super::answer::{Answer, PROBLEM};
use super::asked::Asked;
use super::inspecting::Inspector;
use super::route::{Content, Parameter, Route, Said, ServedBy, Waiting, json, ok, said};
use super::schemas;
use super::state::State;
use crate::guard::Scope;
use ringway_shared::connection::{ConnectionId, Service};
use ringway_shared::inspect::{self, Ask, FIELDS, Filter, Place, Row};
use serde_json::json;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// From its turn to its answer: what is not known by then is left out, and said to be.
const PATIENCE: Duration = Duration::from_secs(1);
const ROWS_DEFAULT: usize = 100;
const ROWS: RangeInclusive<usize> = 1..=1_000;

const ID: Parameter = Parameter {
    name: "id",
    schema: r#"{"type":"string"}"#,
    summary: "The connection, as the list names it.",
};

/// The filter's, then those of paging.
const LISTED_BY: &[Parameter] = &[
    condition(0),
    condition(1),
    condition(2),
    condition(3),
    condition(4),
    condition(5),
    condition(6),
    condition(7),
    condition(8),
    condition(9),
    Parameter {
        name: "limit",
        schema: r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
        summary: "Connections in one answer.",
    },
    Parameter {
        name: "cursor",
        schema: r#"{"type":"string"}"#,
        summary: "`next` of the page before, the filter being the same.",
    },
];
const _: () = assert!(FIELDS.len() == 10);

const fn condition(index: usize) -> Parameter {
    let inspect::Field { name, schema, summary, .. } = FIELDS[index];
    Parameter { name, schema, summary }
}

const FAULT: Content = Content { media_type: PROBLEM, schema: Some(schemas::PROBLEM) };
pub const MEANINGLESS: Said = said(422, "Well formed, but it means nothing; nothing has changed.", FAULT);
const GONE: Said = said(404, "It has ended.", FAULT);
pub const BUSY: Said = said(503, "The worker does not answer, or too many look already.", FAULT);

pub const ROUTES: &[Route] = &[
    Route::get(
        "/api/v1/connections",
        Scope::Read,
        nothing,
        "The connections there are, of both services.",
        &[
            ok("A page of them; `partial` names workers that did not answer.", json("Connections")),
            MEANINGLESS,
            BUSY,
        ],
    )
    .with(LISTED_BY)
    .served_by(ServedBy::Task(list)),
    Route::get(
        "/api/v1/connections/{id}",
        Scope::Read,
        nothing,
        "One connection, and the topics it is subscribed to.",
        &[ok("The connection.", json("Connection")), GONE, BUSY],
    )
    .with(&[ID])
    .served_by(ServedBy::Task(show)),
    Route::post(
        "/api/v1/connections/{id}",
        Scope::Operate,
        ServedBy::Task(killing::one),
        "Ends a connection.",
        &[ok("It is ended.", json("Killed")), GONE, MEANINGLESS, BUSY],
    )
    .with_method("DELETE")
    .with(&[ID, killing::REASON]),
    Route::post(
        "/api/v1/connections/kill",
        Scope::Operate,
        ServedBy::Task(killing::many),
        "Ends connections by a filter, or by their ids.",
        &[ok("How many there were, and how many are ended.", json("Killed")), MEANINGLESS, BUSY],
    )
    .taking(json("Kill")),
];

/// These routes are tasks.
fn nothing(_: &State, _: &Asked) -> Answer {
    Answer::error(500, "a task was asked for as a page", "report this")
}

/// `GET /api/v1/connections`
fn list(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move { listed(&state, &asked).await.unwrap_or_else(|refusal| refusal) })
}

async fn listed(state: &State, asked: &Asked) -> Result<Answer, Answer> {
    let filter = Arc::new(filter_of(state, |name| asked.value(name).map(str::to_owned))?);
    let limit = asked.number("limit", ROWS)?.unwrap_or(ROWS_DEFAULT);
    let mut at = match asked.value("cursor") {
        None => Some(begin(&filter)),
        Some(text) => Some(Cursor::read(text, state.staff.count)?),
    };
    let mut inspector = Inspector::begin(state, PATIENCE).await?;
    let mut rows: Vec<Row> = Vec::new();
    while let Some(Cursor { worker, place }) = at
        && rows.len() < limit
        && !inspector.is_over()
    {
        let ask = Ask::List { filter: filter.clone(), from: place, rows_max: limit - rows.len() };
        let next = match inspector.ask(worker, ask).await {
            Some(inspect::Answer::Rows { rows: more, next }) => {
                rows.extend(more);
                next
            }
            _ => None,
        };
        at = go_on(state, &filter, worker, next);
    }
    Ok(Answer::json(
        200,
        &json!({
            "connections": rows.iter().map(shown::row).collect::<Vec<_>>(),
            "next": at.map(Cursor::text),
            "partial": inspector.partial,
        }),
    ))
}

/// `GET /api/v1/connections/{id}`
fn show(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move { shown(&state, asked.place("id")).await.unwrap_or_else(|refusal| refusal) })
}

async fn shown(state: &State, text: &str) -> Result<Answer, Answer> {
    let id = id_of(state, text)?;
    let filter = Arc::new(Filter::only(id.worker, &[id.connection]));
    let mut inspector = Inspector::begin(state, PATIENCE).await?;
    let mut at = Some(Place::START);
    while let Some(from) = at {
        match inspector.ask(id.worker, Ask::Show { filter: filter.clone(), from }).await {
            Some(inspect::Answer::Details { details: Some(details), .. }) => {
                return Ok(Answer::json(200, &shown::details(&details)));
            }
            Some(inspect::Answer::Details { next, .. }) => at = next,
            _ => return Err(silent(id.worker)),
        }
    }
    Err(gone(text))
}

/// The conditions that `value` has by their names.
fn filter_of(state: &State, value: impl Fn(&'static str) -> Option<String>) -> Result<Filter, Answer> {
    let mut filter = Filter::default();
    for field in FIELDS {
        if let Some(text) = value(field.name) {
            filter.set(field, &text).map_err(|fault| refused(&fault))?;
        }
    }
    match filter.worker {
        Some(worker) if worker >= state.staff.count => {
            Err(refused(&format!("worker: there are {}, from 0 on", state.staff.count)))
        }
        _ => Ok(filter),
    }
}

fn refused(fault: &str) -> Answer {
    Answer::error(422, fault, "docs/operations.md, Connections, has the filters")
}

fn gone(id: &str) -> Answer {
    Answer::error(
        404,
        &format!("there is no connection {id}"),
        "it has ended; GET /api/v1/connections lists those there are",
    )
}

fn silent(worker: usize) -> Answer {
    let message = format!("worker {worker} does not answer");
    Answer::error(503, &message, "GET /livez says how the workers are").with("retry-after", "1")
}

fn id_of(state: &State, text: &str) -> Result<ConnectionId, Answer> {
    let id: Option<ConnectionId> = text.parse().ok();
    id.filter(|id| id.worker < state.staff.count).ok_or_else(|| gone(text))
}

/// How far the workers' tables have been looked through.
#[derive(Clone, Copy)]
struct Cursor {
    worker: usize,
    place: Place,
}

impl Cursor {
    fn text(self) -> String {
        format!("{}{}{}", self.worker, self.place.service.letter(), self.place.index)
    }

    fn read(text: &str, workers: usize) -> Result<Cursor, Answer> {
        let parts = Service::ALL.into_iter().find_map(|service| {
            let (worker, index) = text.split_once(service.letter())?;
            Some((service, worker.parse().ok()?, index.parse().ok()?))
        });
        let cursor = parts.map(|(service, worker, index)| Cursor { worker, place: Place { service, index } });
        cursor
            .filter(|cursor| cursor.worker < workers)
            .ok_or_else(|| refused(&format!("cursor: {text:?} is none that a page gave as its `next`")))
    }
}

fn begin(filter: &Filter) -> Cursor {
    Cursor { worker: filter.worker.unwrap_or(0), place: Place::START }
}

/// Where to go on: with the same worker, or the next one.
fn go_on(state: &State, filter: &Filter, worker: usize, next: Option<Place>) -> Option<Cursor> {
    let next_worker = worker + 1;
    let is_last = filter.worker.is_some() || next_worker >= state.staff.count;
    match next {
        Some(place) => Some(Cursor { worker, place }),
        None => (!is_last).then_some(Cursor { worker: next_worker, place: Place::START }),
    }
}
