//! `GET /debug/…`: what the workers did last, and their histograms whole. Read from their cells without their help: all
//! of it answers while a worker is wedged.

use super::answer::{Answer, PROBLEM, TEXT};
use super::asked::Asked;
use super::route::{Content, Parameter, Route, json, ok, said, text};
use super::schemas;
use super::state::State;
use crate::calendar::stamp;
use crate::guard::Scope;
use crate::observe::Snapshot;
use crate::observe::interval_log::{About, interval_log};
use crate::observe::merge;
use ringway_shared::connection::{Connection, ConnectionId};
use ringway_shared::flight::{Event, What};
use ringway_shared::histogram::Histogram;
use ringway_shared::metrics::Cells;
use serde_json::{Value as Json, json};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const WORKER: Parameter = Parameter {
    name: "worker",
    schema: r#"{"type":"integer","minimum":0,"maximum":1023}"#,
    summary: "Of this worker alone.",
};
const WORKER_MAX: usize = 1023;
/// Events told if `limit` does not say, and the most it may say.
const EVENTS_USUAL: usize = 256;
const EVENTS_MAX: usize = 10_000;

pub const ROUTES: &[Route] = &[
    Route::get(
        "/debug/flight",
        Scope::Read,
        flight,
        "What the workers did last, the newest first, even while they are stuck.",
        &[
            ok("Events of connections (a worker keeps 1,023) and of workers (255).", json("Flight")),
            said(404, "There is no such worker.", Content { media_type: PROBLEM, schema: Some(schemas::PROBLEM) }),
        ],
    )
    .with(&[
        WORKER,
        Parameter {
            name: "connection",
            schema: r#"{"type":"string","pattern":"^(0|[1-9][0-9]{0,3})-[sw]-[1-9][0-9]{0,17}$"}"#,
            summary: "Of this connection alone, e.g. `0-s-17`.",
        },
        Parameter {
            name: "limit",
            schema: r#"{"type":"integer","minimum":1,"maximum":10000,"default":256}"#,
            summary: "So many at most.",
        },
    ]),
    Route::get(
        "/debug/hist",
        Scope::Read,
        list,
        "The histograms that /debug/hist/{name} has.",
        &[ok("Their names, units and counts.", json("Histograms"))],
    ),
    Route::get(
        "/debug/hist/{name}",
        Scope::Read,
        histogram,
        "One histogram since the start, whole, as HdrHistogram's tools read it.",
        &[
            ok("An HDR interval log of one interval (V2, compressed, base64).", text(TEXT)),
        ],
    )
    .with(&[
        Parameter {
            name: "name",
            schema: r#"{"type":"string","enum":["connect","dns","session","loop_lag","websocket_push","websocket_message_size","websocket_session"]}"#,
            summary: "The histogram.",
        },
        WORKER,
    ]),
];

/// A histogram, as it is asked for.
struct Named {
    name: &'static str,
    /// The family it is published as.
    family: &'static str,
    of: fn(&Cells) -> &Histogram,
}

const HISTOGRAMS: &[Named] = &[
    Named { name: "connect", family: "socks5_connect_duration_seconds", of: |c| &c.connect },
    Named { name: "dns", family: "socks5_dns_duration_seconds", of: |c| &c.dns },
    Named { name: "session", family: "socks5_session_duration_seconds", of: |c| &c.session },
    Named { name: "loop_lag", family: "worker_loop_lag_seconds", of: |c| &c.loop_lag },
    Named {
        name: "websocket_push",
        family: "websocket_push_latency_seconds",
        of: |c| &c.websocket.push_latency,
    },
    Named {
        name: "websocket_message_size",
        family: "websocket_message_size_bytes",
        of: |c| &c.websocket.message_size,
    },
    Named {
        name: "websocket_session",
        family: "websocket_connection_duration_seconds",
        of: |c| &c.websocket.duration,
    },
];

impl Named {
    /// What the values are in, and how many of them make one of what the maximum is told in.
    fn unit(&self) -> (&'static str, f64) {
        if self.family.ends_with("_bytes") { ("bytes", 1.0) } else { ("microseconds", 1_000.0) }
    }
}

/// `GET /debug/flight`
pub fn flight(state: &State, asked: &Asked) -> Answer {
    match told(state, asked) {
        Ok(answer) | Err(answer) => answer,
    }
}

fn told(state: &State, asked: &Asked) -> Result<Answer, Answer> {
    let only = worker(state, asked)?;
    let limit = asked.number("limit", 1..=EVENTS_MAX)?.unwrap_or(EVENTS_USUAL);
    let wrong = |_| Answer::error(400, "connection: not a connection's name", "it looks like 0-s-17");
    let wanted = asked.value("connection").map(str::parse::<ConnectionId>).transpose().map_err(wrong)?;
    let now = state.snapshot();
    let (mut events, mut noted) = (Vec::new(), 0);
    state.with_cells(|cells| {
        for (worker, cells) in
            cells.iter().enumerate().filter(|(worker, _)| only.is_none_or(|it| it == *worker))
        {
            noted += cells.flight.noted();
            events.extend(cells.flight.newest_first().into_iter().map(|event| (worker, event)));
        }
    });
    events.retain(|(worker, event)| {
        wanted.is_none_or(|wanted| event.connection.is_some_and(|it| wanted == name_of(*worker, it)))
    });
    events.sort_by_key(|(_, event)| Reverse(event.at_ns));
    events.truncate(limit);
    let events: Vec<_> = events.iter().map(|(worker, event)| written(*worker, event, &now)).collect();
    Ok(Answer::json(200, &json!({"noted": noted, "events": events})))
}

fn name_of(worker: usize, connection: Connection) -> ConnectionId {
    ConnectionId { worker, connection }
}

/// The worker that is asked for alone, if one is.
fn worker(state: &State, asked: &Asked) -> Result<Option<usize>, Answer> {
    let only = asked.number("worker", 0..=WORKER_MAX)?;
    match only.filter(|worker| *worker >= state.staff.count) {
        Some(worker) => {
            Err(Answer::error(404, &format!("there is no worker {worker}"), "GET /stats lists them"))
        }
        None => Ok(only),
    }
}

fn written(worker: usize, event: &Event, now: &Snapshot) -> Json {
    let since_start = Duration::from_nanos(event.at_ns);
    let mut json = json!({
        "worker": worker,
        "at": stamp(now.unix_of(since_start).as_millis() as u64),
        "since_start_us": since_start.as_micros() as u64,
        "event": event.what.label(),
    });
    if let Some(connection) = event.connection {
        json["connection"] = name_of(worker, connection).to_string().into();
    }
    match event.what {
        What::Accepted { tls } => json["tls"] = tls.into(),
        What::Requested { protocol, command } => {
            json["protocol"] = protocol.label().into();
            json["command"] = command.label().into();
        }
        What::DialFailed(reason) | What::Closed(reason) => json["reason"] = reason.label().into(),
        What::WebSocketClosed { closing, code } => {
            json["reason"] = closing.label().into();
            json["code"] = code.into();
        }
        What::HandedOver { to } => json["to"] = to.into(),
        What::Generation(number) => json["generation"] = number.into(),
        What::LoopLag { ms } => json["ms"] = ms.into(),
        What::MailBurst { messages } => json["messages"] = messages.into(),
        _ => {}
    }
    json
}

/// `GET /debug/hist`
pub fn list(state: &State, _: &Asked) -> Answer {
    let count = |cells: &[Arc<Cells>], named: &Named| -> u64 {
        cells.iter().flat_map(|cells| (named.of)(cells).recorded()).map(|(_, count)| count).sum()
    };
    let entry = |named: &Named| {
        json!({
            "name": named.name,
            "metric": named.family,
            "unit": named.unit().0,
            "count": state.with_cells(|cells| count(cells, named)),
            "path": format!("/debug/hist/{}", named.name),
        })
    };
    Answer::json(200, &json!({"histograms": HISTOGRAMS.iter().map(entry).collect::<Vec<_>>()}))
}

/// `GET /debug/hist/{name}`
pub fn histogram(state: &State, asked: &Asked) -> Answer {
    let name = asked.place("name");
    let Some(named) = HISTOGRAMS.iter().find(|named| named.name == name) else {
        return Answer::error(404, &format!("no such histogram: {name}"), "GET /debug/hist lists them");
    };
    let only = match worker(state, asked) {
        Ok(only) => only,
        Err(refusal) => return refusal,
    };
    let now = state.snapshot();
    let merged = state.with_cells(|cells| match only {
        Some(worker) => merge(cells.get(worker..=worker).unwrap_or_default(), named.of),
        None => merge(cells, named.of),
    });
    let (unit, maximum_in) = named.unit();
    let of = only.map_or_else(|| "all workers".to_owned(), |worker| format!("worker {worker}"));
    let about = About {
        comment: &format!("ringway {name} ({}), {of}, values in {unit}", named.family),
        from: UNIX_EPOCH + now.unix.saturating_sub(now.uptime),
        length: now.uptime,
        maximum_in,
    };
    Answer::text(200, TEXT, interval_log(&merged, &about))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::metrics::{FAMILIES, Source};

    #[test]
    fn every_histogram_of_the_workers_can_be_asked_for() {
        let published = FAMILIES.iter().filter(|family| matches!(family.source, Source::Merged(_)));
        let published: Vec<_> = published.map(|family| family.name).collect();
        let mut listed: Vec<_> = HISTOGRAMS.iter().map(|named| named.family).collect();
        listed.sort_by_key(|name| published.iter().position(|published| published == name));
        assert_eq!(listed, published);
        let schema: Json = serde_json::from_str(ROUTES[2].parameters[0].schema).unwrap();
        let names: Vec<_> = HISTOGRAMS.iter().map(|named| named.name).collect();
        assert_eq!(schema["enum"], json!(names));
    }
}
