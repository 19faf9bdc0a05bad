//! Ending connections: one, several, or all that a filter fits.

use super::{Cursor, begin, filter_of, go_on, gone, id_of, refused, silent};
use crate::server::answer::Answer;
use crate::server::asked::Asked;
use crate::server::inspecting::Inspector;
use crate::server::route::{Parameter, Waiting};
use crate::server::state::State;
use ringway_shared::closing::Closing;
use ringway_shared::connection::ConnectionId;
use ringway_shared::inspect::{self, Ask, FIELDS, Filter, KillOrder, REASON_BYTES_MAX};
use serde_json::{Map, Value as Json, json};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// From its turn to its answer. What is not done by then is not done later either.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_DEFAULT: u64 = 1_000;
const MOST: RangeInclusive<u64> = 1..=1_000_000;
const IDS_MAX: usize = 1_000;
const FIELDS_KNOWN: [&str; 6] = ["filter", "ids", "all", "reason", "dry_run", "most"];

pub const REASON: Parameter = Parameter {
    name: "reason",
    schema: r#"{"type":"string","maxLength":123}"#,
    summary: "What the access log says, and a WebSocket client is told; 123 bytes.",
};

/// What is asked for.
struct Wish {
    reason: Arc<str>,
    dry_run: bool,
    most: u64,
}

/// What came of it.
#[derive(Default)]
struct Tally {
    matched: u64,
    killed: u64,
    /// Not all has been looked through.
    unfinished: bool,
}

/// `DELETE /api/v1/connections/{id}`
pub fn one(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        let text = asked.place("id");
        let killed = async {
            let id = id_of(&state, text)?;
            let reason = reason(asked.value("reason"))?;
            let wish = Wish { reason, dry_run: false, most: 1 };
            let mut inspector = Inspector::begin(&state, PATIENCE).await?;
            let tally = kill_ids(&state, &mut inspector, &[id], &wish).await;
            match (inspector.partial.first(), tally.matched) {
                (Some(worker), _) => Err(silent(*worker)),
                (None, 0) => Err(gone(text)),
                _ => Ok(told(&tally, &inspector, false).audited(format!("killed {}", tally.killed))),
            }
        };
        killed.await.unwrap_or_else(|refusal| refusal)
    })
}

/// `POST /api/v1/connections/kill`
pub fn many(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move { kill(&state, &asked).await.unwrap_or_else(|refusal| refusal) })
}

async fn kill(state: &State, asked: &Asked) -> Result<Answer, Answer> {
    let body = body(&asked.body)?;
    let reason = reason(match body.get("reason") {
        None => None,
        Some(reason) => Some(reason.as_str().ok_or_else(|| refused("reason must be a text"))?),
    })?;
    let dry_run = flag(&body, "dry_run")?;
    let most = match body.get("most") {
        None => MOST_DEFAULT,
        Some(most) => most.as_u64().filter(|most| MOST.contains(most)).ok_or_else(|| {
            refused(&format!("most must be a number from {} to {}", MOST.start(), MOST.end()))
        })?,
    };
    let wish = Wish { reason, dry_run, most };
    let mut tally = Tally::default();
    let ids = match body.get("ids") {
        Some(_) if body.contains_key("filter") || body.contains_key("all") => {
            return Err(refused("ids stand alone: leave out filter and all"));
        }
        Some(ids) => Some(ids_of(state, ids)?),
        None => None,
    };
    let filter = if ids.is_some() { Filter::default() } else { filter(state, &body)? };
    let mut inspector = Inspector::begin(state, PATIENCE).await?;
    match ids {
        Some(ids) => tally = kill_ids(state, &mut inspector, &ids, &wish).await,
        None => tally.kill(state, &mut inspector, filter, &wish).await,
    }
    let asked_for = Json::Object(body);
    Ok(told(&tally, &inspector, dry_run)
        .audited(format!("killed {} of {} that fit: {asked_for}", tally.killed, tally.matched)))
}

async fn kill_ids(state: &State, inspector: &mut Inspector<'_>, ids: &[ConnectionId], wish: &Wish) -> Tally {
    let mut tally = Tally::default();
    for worker in 0..state.staff.count {
        let here = ids.iter().filter(|id| id.worker == worker).map(|id| id.connection);
        let here: Vec<_> = here.collect();
        if !here.is_empty() {
            tally.kill(state, inspector, Filter::only(worker, &here), wish).await;
        }
    }
    tally
}

impl Tally {
    /// Ends, or counts, those that the filter fits.
    async fn kill(&mut self, state: &State, inspector: &mut Inspector<'_>, filter: Filter, wish: &Wish) {
        let filter = Arc::new(filter);
        // Who is named is found once: what is left of the tables need not be looked through.
        let all = filter.named().map_or(u64::MAX, |named| self.matched + named as u64);
        let mut at = Some(begin(&filter));
        while let Some(Cursor { worker, place }) = at
            && self.matched < all
        {
            if self.matched >= wish.most || inspector.is_over() {
                self.unfinished = true;
                return;
            }
            let order = KillOrder { reason: wish.reason.clone(), until: inspector.silent_at().into_std() };
            let most = wish.most.min(all) - self.matched;
            let (filter_now, dry_run) = (filter.clone(), wish.dry_run);
            let ask = Ask::Kill { filter: filter_now, from: place, most, dry_run, order };
            let next = match inspector.ask(worker, ask).await {
                Some(inspect::Answer::Killed { matched, killed, next }) => {
                    self.matched += matched;
                    self.killed += killed;
                    next
                }
                _ => None,
            };
            at = go_on(state, &filter, worker, next);
        }
    }
}

fn told(tally: &Tally, inspector: &Inspector<'_>, dry_run: bool) -> Answer {
    Answer::json(
        200,
        &json!({
            "matched": tally.matched,
            "killed": tally.killed,
            "dry_run": dry_run,
            "complete": !tally.unfinished && inspector.partial.is_empty(),
            "partial": inspector.partial,
        }),
    )
}

/// The body, an object of known fields: a misspelt `dry_run` must not act.
fn body(bytes: &[u8]) -> Result<Map<String, Json>, Answer> {
    let Ok(Json::Object(body)) = serde_json::from_slice(bytes) else {
        return Err(refused("the body must be a JSON object such as {\"filter\":{\"user\":\"alice\"}}"));
    };
    match body.keys().find(|name| !FIELDS_KNOWN.contains(&name.as_str())) {
        Some(stranger) => {
            Err(refused(&format!("{stranger:?} is no field: there are {}", FIELDS_KNOWN.join(", "))))
        }
        None => Ok(body),
    }
}

fn flag(body: &Map<String, Json>, name: &str) -> Result<bool, Answer> {
    let value = body.get(name).unwrap_or(&Json::Bool(false));
    value.as_bool().ok_or_else(|| refused(&format!("{name} must be true or false")))
}

fn reason(given: Option<&str>) -> Result<Arc<str>, Answer> {
    let reason = given.unwrap_or(Closing::Killed.text());
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        let fault = format!("reason must be at most {REASON_BYTES_MAX} bytes, without control characters");
        return Err(refused(&fault));
    }
    Ok(reason.into())
}

/// What the body's filter means. One that fits all must be meant.
fn filter(state: &State, body: &Map<String, Json>) -> Result<Filter, Answer> {
    let nothing = Map::new();
    let conditions = match body.get("filter") {
        None => &nothing,
        Some(Json::Object(conditions)) => conditions,
        Some(_) => return Err(refused("filter must be an object")),
    };
    for (name, value) in conditions {
        if !FIELDS.iter().any(|field| field.name == name) {
            return Err(refused(&format!("filter: {name:?} is no condition")));
        }
        if !value.is_string() && !value.is_u64() {
            return Err(refused(&format!("filter: {name} must be a text or a number")));
        }
    }
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let filter = filter_of(state, |name| conditions.get(name).map(text))?;
    if filter.is_empty() && !flag(body, "all")? {
        return Err(refused("the filter fits every connection: say \"all\": true if that is meant"));
    }
    Ok(filter)
}

fn ids_of(state: &State, ids: &Json) -> Result<Vec<ConnectionId>, Answer> {
    let fault = || refused(&format!("ids must be a list of at most {IDS_MAX} connections' ids"));
    let ids = ids.as_array().filter(|ids| ids.len() <= IDS_MAX).ok_or_else(fault)?;
    let read = |id: &Json| id.as_str().ok_or_else(fault).map(|text| id_of(state, text).ok());
    // What is no id names no connection, as an ended one's does.
    Ok(ids.iter().map(read).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
