//! What is answered of a reload.

use crate::reload::{Outcome, Place, Refusal, summary};
use crate::server::answer::Answer;
use ringway_shared::config::{Change, Fault};
use serde_json::{Map, Value as Json, json};

/// What has changed.
pub fn done(outcome: &Outcome) -> Answer {
    let restart = |change: &Change| {
        json!({
            "key": change.key.path,
            "running": change.from.to_json(),
            "configured": change.to.to_json(),
        })
    };
    let place = |(key, address): &Place| json!({"key": key, "address": address});
    let body = json!({
        "generation": outcome.generation,
        "changed": outcome.changed,
        "dry_run": outcome.dry_run,
        "applied": outcome.applied().map(change).collect::<Vec<_>>(),
        "new_connections": outcome.for_new_connections().map(change).collect::<Vec<_>>(),
        "restart_required": outcome.restart_required.iter().map(restart).collect::<Vec<_>>(),
        "opened": outcome.opened.iter().map(place).collect::<Vec<_>>(),
        "closed": outcome.closed.iter().map(place).collect::<Vec<_>>(),
        "notices": outcome.notices,
    });
    Answer::json(200, &body).with("etag", outcome.tag.clone()).audited(summary(outcome))
}

/// `{"key", "from", "to"}`, and `note` where the values do not tell all.
pub fn change(change: &Change) -> Json {
    let mut entry = Map::new();
    entry.insert("key".to_owned(), json!(change.key.path));
    entry.insert("from".to_owned(), change.from.to_json());
    entry.insert("to".to_owned(), change.to.to_json());
    if let Some(note) = &change.note {
        entry.insert("note".to_owned(), json!(note));
    }
    Json::Object(entry)
}

/// Why nothing has.
pub fn refused(refusal: &Refusal) -> Answer {
    let error = |status: u16, hint: &str| {
        Answer::error(status, &format!("{}; nothing has changed", refusal.text()), hint)
    };
    match refusal {
        Refusal::Faults(found) => faults(
            found.iter().map(fault).collect(),
            found.len(),
            "`ringway check` tells all of them that this host need not be asked about",
        ),
        Refusal::Silent(workers) => Answer::problem(
            503,
            &json!({
                "detail": format!("{}; nothing has changed", refusal.text()),
                "workers": workers,
                "hint": "GET /livez says how the workers are; try again when all is well",
            }),
        )
        .with("retry-after", "2"),
        Refusal::Stale { tag } => error(412, "look at GET /config and decide anew").with("etag", tag.clone()),
        Refusal::Restarting => {
            error(409, "try again when it is over: the log says when").with("retry-after", "2")
        }
        Refusal::Busy => error(409, "try again in a moment").with("retry-after", "1"),
        Refusal::Draining => error(409, "the next process reads the configuration anew"),
        Refusal::NoSuchGeneration(_) => error(404, "GET /admin/config/generations lists what there is"),
        Refusal::NotOverridden(_) => error(404, "GET /admin/override lists what there is"),
        Refusal::TooManyOverrides => error(422, "write in the file what is to stay, and reload"),
    }
}

/// All of them, of which some may be counted alone.
pub fn faults(faults: Vec<Json>, count: usize, hint: &str) -> Answer {
    let found = if count == 1 { "one fault".to_owned() } else { format!("{count} faults") };
    let detail = format!("the configuration has {found}; nothing has changed");
    Answer::problem(422, &json!({"detail": detail, "faults": faults, "hint": hint}))
}

/// `{"source", "line", "column", "key", "message"}`; what is not known is null.
fn fault(fault: &Fault) -> Json {
    let place = &fault.place;
    let stands = place.source.has_lines() && place.span.line > 0;
    let number = |number: usize| stands.then_some(number);
    json!({
        "source": place.source.to_string(),
        "line": number(place.span.line),
        "column": number(place.span.column),
        "key": (!fault.path.is_empty()).then_some(&fault.path),
        "message": fault.message,
    })
}
