//! `GET /api/v1/top`: the largest users, targets and topics.
//!
//! The connections there are, and the topics, are added up by the workers, slice by slice, in one sketch that goes from worker to worker; what has ended
//! comes from `crate::top`. Each sketch holds [`PLACES`] keys, so an answer takes some hundred KiB whatever the number of connections, and says
//! by how much its sums may be off.

use super::answer::Answer;
use super::asked::Asked;
use super::connections::{BUSY, MEANINGLESS};
use super::inspecting::Inspector;
use super::route::{Parameter, Route, ServedBy, Waiting, json, ok};
use super::state::State;
use crate::guard::Scope;
use crate::top::PLACES;
use ringway_shared::config::AccessLog;
use ringway_shared::inspect::{self, Ask, By, Of, Place, Sketch};
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// For one look through the tables.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between the two looks that make a rate.
const RATE_OVER: Duration = Duration::from_millis(500);
const LEADERS: RangeInclusive<usize> = 1..=100;
const LEADERS_DEFAULT: usize = 10;

/// Sums by their names, and what the workers add up for each.
type Kinds = &'static [(&'static str, Of)];

/// What may be asked: by what, of what, and what the workers add up for it.
const TOPS: &[(&str, By, Kinds)] = &[
    ("user", By::User, CONNECTIONS),
    ("target", By::Target, CONNECTIONS),
    (
        "topic",
        By::Topic,
        &[("subscribers", Of::Subscribers), ("publications", Of::Publications), (RATE, Of::Publications)],
    ),
];
const CONNECTIONS: Kinds = &[("bytes", Of::Bytes), ("connections", Of::Connections), (RATE, Of::Bytes)];
const RATE: &str = "rate";

pub const ROUTES: &[Route] = &[Route::get(
    "/api/v1/top",
    Scope::Read,
    nothing,
    "The largest users, targets or topics.",
    &[ok("The largest, with the figure that they may be off by.", json("Top")), MEANINGLESS, BUSY],
)
.with(&[
    Parameter {
        name: "by",
        schema: r#"{"type":"string","enum":["user","target","topic"],"default":"user"}"#,
        summary: "What is added up by.",
    },
    Parameter {
        name: "of",
        schema: r#"{"type":"string","enum":["bytes","connections","rate","subscribers","publications"]}"#,
        summary: "bytes, connections or rate; by=topic: subscribers, publications or rate. Default: the first.",
    },
    Parameter {
        name: "k",
        schema: r#"{"type":"integer","minimum":1,"maximum":100,"default":10}"#,
        summary: "How many.",
    },
])
.served_by(ServedBy::Task(top))];

fn nothing(_: &State, _: &Asked) -> Answer {
    Answer::error(500, "a task was asked for as a page", "report this")
}

/// `GET /api/v1/top`
fn top(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move { largest(&state, &asked).await.unwrap_or_else(|refusal| refusal) })
}

/// Sums, and what is to be said of them.
pub struct Sums {
    pub sketch: Sketch,
    /// The time that ended connections are of, if they are in it.
    ended_over: Option<Duration>,
    pub at: Instant,
    /// Workers that did not answer.
    pub partial: Vec<usize>,
}

async fn largest(state: &State, asked: &Asked) -> Result<Answer, Answer> {
    let (by_name, by, kinds) = one_of(TOPS, asked.value("by"), |top| top.0, "by")?;
    let (of_name, of) = one_of(kinds, asked.value("of"), |kind| kind.0, "of")?;
    let k = asked.number("k", LEADERS)?.unwrap_or(LEADERS_DEFAULT);
    let first = add_up(state, *by, *of).await?;
    let (leaders, off_by, sums) = if *of_name == RATE {
        sleep(RATE_OVER).await;
        let second = add_up(state, *by, *of).await?;
        let (leaders, off_by) = rates(&first, &second);
        (leaders, json!(off_by), second)
    } else {
        let leaders = first.sketch.leaders().map(|(key, sum)| (key.to_owned(), json!(sum))).collect();
        (leaders, json!(first.sketch.at_most_off_by()), first)
    };
    let leaders: Vec<Json> =
        leaders.iter().take(k).map(|(key, value)| json!({"key": key, "value": value})).collect();
    Ok(Answer::json(
        200,
        &json!({
            "by": by_name,
            "of": of_name,
            "top": leaders,
            "at_most_off_by": off_by,
            "keys_max": PLACES,
            "ended_seconds": sums.ended_over.map(|over| over.as_secs_f64()),
            "partial": sums.partial,
        }),
    ))
}

/// The entry that is named; the first one if none is.
fn one_of<'a, T>(
    table: &'a [T],
    wanted: Option<&str>,
    name: fn(&T) -> &'static str,
    parameter: &str,
) -> Result<&'a T, Answer> {
    let Some(wanted) = wanted else {
        return table.first().ok_or_else(|| Answer::error(500, "an empty table", "report this"));
    };
    table.iter().find(|entry| name(entry) == wanted).ok_or_else(|| {
        let names: Vec<_> = table.iter().map(name).collect();
        let message = format!("{parameter} must be one of {}", names.join(", "));
        Answer::error(422, &message, "by=topic has other sums than by=user and by=target")
    })
}

/// One look through the tables of all workers.
pub async fn add_up(state: &State, by: By, of: Of) -> Result<Sums, Answer> {
    let mut inspector = Inspector::begin(state, PATIENCE).await?;
    let mut sketch = Sketch::new(PLACES);
    for worker in 0..state.staff.count {
        // A worker that falls silent keeps the sketch it was given: its part is what is missing then.
        let mut added = Box::new(sketch.clone());
        let mut at = Some(Place::START);
        while let Some(from) = at {
            match inspector.ask(worker, Ask::Top { by, of, from, sketch: added }).await {
                Some(inspect::Answer::Tops { sketch: more, next }) => (added, at) = (more, next),
                _ => break,
            }
            if at.is_none() {
                sketch = *added;
                break;
            }
        }
    }
    let mut ended_over = None;
    let logged = state.running.config().log.access != AccessLog::Off;
    if of == Of::Bytes && by != By::Topic && logged {
        let (ended, over) = state.ends.borrow_mut().sums(by, Instant::now().into_std());
        sketch.merge(&ended);
        ended_over = Some(over);
    }
    Ok(Sums { sketch, ended_over, at: Instant::now(), partial: inspector.partial })
}

/// By how much sums have grown in a second, the most first, and by how much that may be off.
fn rates(first: &Sums, second: &Sums) -> (Vec<(String, Json)>, f64) {
    let seconds = (second.at - first.at).as_secs_f64();
    let grown = |(key, sum): (&str, u64)| {
        let grown = sum.saturating_sub(first.sketch.of(key).unwrap_or(0));
        (key.to_owned(), grown)
    };
    let mut grown: Vec<_> = second.sketch.leaders().map(grown).filter(|(_, grown)| *grown > 0).collect();
    grown.sort_by_key(|(_, grown)| std::cmp::Reverse(*grown));
    let off_by = first.sketch.at_most_off_by().saturating_add(second.sketch.at_most_off_by());
    let per_second = |amount: u64| (amount as f64 / seconds * 10.0).round() / 10.0;
    let rates = grown.into_iter().map(|(key, grown)| (key, json!(per_second(grown))));
    (rates.collect(), per_second(off_by))
}
