//! `GET /ws`: reading the live feed by the control port (docs/feed.md).
//!
//! The guard judges who asks as with any request, then the connection goes, unanswered, to a worker, which makes the upgrade and serves it
//! like its other WebSocket connections: there is one implementation of that protocol. In reading order: `leaving` (from hyper to the worker), `bridge` (what a
//! worker cannot speak is carried on here), `readers` (who has come in so, and whether they still may).

mod bridge;
mod leaving;
mod readers;

pub use bridge::Bridge;
pub use leaving::{Exit, Leaving, Wire};
pub use readers::{Came, Readers};

use super::answer::{Answer, JSON, PROBLEM};
use super::asked::Asked;
use super::guard::TICKET_LIFE;
use super::health::condition;
use super::route::{Content, Parameter, Route, ServedBy, bare, json, ok, said};
use super::schemas;
use super::state::State;
use crate::guard::{Peer, Principal, Scope};
use hyper::Method;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use ringway_dataplane::proto::upgrade::{Refusal, Upgrade};
use ringway_shared::feed::{Feed, Grant};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// What who comes too many, or too late, is asked to wait, in seconds.
const RETRY_AFTER: &str = "5";
/// What the worker judges of a request: a body among them, since hyper would take a part of it and the worker read the rest as frames.
const FIELDS: [HeaderName; 6] = [HOST, CONNECTION, UPGRADE, ORIGIN, CONTENT_LENGTH, TRANSFER_ENCODING];
/// What begins the names of the handshake's own fields.
const OWN_FIELDS: &str = "sec-websocket-";

const PATH: &str = "/ws";

const A_PROBLEM: Content = Content { media_type: PROBLEM, schema: Some(schemas::PROBLEM) };

pub const ROUTES: &[Route] = &[
    Route::post(
        PATH,
        Scope::Read,
        ServedBy::Upgrade,
        "The live feed, by WebSocket.",
        &[
            bare(101, "WebSocket from here on: the plain JSON protocol, docs/feed.md."),
            said(426, "It was no upgrade to WebSocket.", A_PROBLEM),
        ],
    )
    .with_method("GET")
    .with(&[Parameter {
        name: "ticket",
        schema: r#"{"type":"string"}"#,
        summary: "Of POST /api/v1/feed/ticket, for those who cannot send headers: browsers.",
    }]),
    Route::get(
        "/api/v1/feed/{topic}",
        Scope::Read,
        latest,
        "What was told last on a topic of the live feed.",
        &[
            ok("The snapshot.", json("FeedSnapshot")),
            said(404, "There is no such topic, or nobody reads it and nothing is told.", A_PROBLEM),
        ],
    )
    .with(&[Parameter {
        name: "topic",
        schema: r#"{"type":"string","enum":["traffic_data","proxy_health","system_performance","user_activity","alerts"]}"#,
        summary: "The topic.",
    }]),
    Route::post(
        "/api/v1/feed/ticket",
        Scope::Read,
        ServedBy::Page(ticket),
        "A ticket that lets one connection in at /ws.",
        &[ok("The ticket.", json("FeedTicket"))],
    ),
];

/// `GET /api/v1/feed/{topic}`
fn latest(state: &State, asked: &Asked) -> Answer {
    let Some(feed) = Feed::of(asked.place("topic")) else {
        let topics: Vec<_> = Feed::ALL.iter().map(|feed| feed.topic()).collect();
        let message = format!("{:?} is no topic of the feed", asked.place("topic"));
        return Answer::error(404, &message, &format!("there are {}", topics.join(", ")));
    };
    match (state.staff.latest)(feed) {
        Some(told) => Answer::text(200, JSON, format!("{told}\n")),
        None => {
            let hint = "it is told while somebody is subscribed to it: see docs/feed.md";
            Answer::error(404, &format!("nothing stands on {} now", feed.topic()), hint)
        }
    }
}

/// `POST /api/v1/feed/ticket`
fn ticket(state: &State, asked: &Asked) -> Answer {
    match state.guard.ticket(&asked.by) {
        Some(ticket) => {
            let body = json!({"ticket": ticket, "expires_in_seconds": TICKET_LIFE.as_secs()});
            Answer::json(200, &body).audited("a ticket for /ws")
        }
        None => {
            let hint = "use those there are, or wait until they are over";
            Answer::error(503, "too many tickets wait to be used", hint)
                .with("retry-after", TICKET_LIFE.as_secs().to_string())
        }
    }
}

/// A connection that may go to a worker.
pub struct Entry {
    /// The request, as far as it concerns the worker.
    head: Vec<u8>,
    peer: SocketAddr,
    by: Principal,
    came: Came,
    grant: Arc<Grant>,
}

/// Whether a request whose sender may read becomes a WebSocket connection.
pub fn admit(state: &State, by: &Principal, peer: &Peer, head: &Parts) -> Result<Entry, Answer> {
    let request = rebuilt(head);
    match Upgrade::default().receive(&request) {
        Some(Ok(_)) if head.method == Method::GET => {}
        Some(Err(refusal)) => return Err(of_worker(&refusal)),
        _ => return Err(no_upgrade("/ws speaks WebSocket")),
    }
    // While it only rests who looks on is welcome.
    if state.draining.get() {
        let hint = "this server is going down: connect to another";
        return Err(Answer::error(503, "ringway is draining", hint).with("retry-after", RETRY_AFTER));
    }
    if state.readers.count() >= state.running.config().control.feed.clients_max {
        let hint = "close some, or raise control.feed.clients_max";
        return Err(
            Answer::error(503, "too many clients read the feed here", hint).with("retry-after", RETRY_AFTER)
        );
    }
    let came = Came::of(peer, head);
    let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let peer = match peer {
        Peer::Tcp { address, .. } | Peer::Tls { address, .. } => *address,
        Peer::Unix { .. } => SocketAddr::new(nobody, 0),
    };
    let grant = Arc::new(Grant::new((&*by.name).into()));
    Ok(Entry { head: request, peer, by: by.clone(), came, grant })
}

/// The request as bytes again, with what the worker judges alone: what the guard has judged is nothing to the worker, and no secret
/// goes any further.
fn rebuilt(head: &Parts) -> Vec<u8> {
    let mut bytes = format!("GET /ws {:?}\r\n", head.version).into_bytes();
    let concerns = |name: &HeaderName| FIELDS.contains(name) || name.as_str().starts_with(OWN_FIELDS);
    for (name, value) in head.headers.iter().filter(|(name, _)| concerns(name)) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// What the worker would answer.
fn of_worker(refusal: &Refusal) -> Answer {
    match refusal.status {
        426 => no_upgrade("the request is no upgrade to WebSocket"),
        status => {
            Answer::error(status, refusal.hint, "use a WebSocket client, e.g. `wscat -c ws://HOST:PORT/ws`")
        }
    }
}

fn no_upgrade(detail: &str) -> Answer {
    let hint =
        "open ws://…/ws with a WebSocket client of version 13 (RFC 6455), e.g. `wscat -c ws://HOST:PORT/ws`";
    Answer::error(426, detail, hint)
        .with("upgrade", "websocket")
        .with("connection", "upgrade")
        .with("sec-websocket-version", "13")
}

/// The workers that can take a connection, the least loaded one first. Whoever was sent to one counts there at once.
fn workers_by_load(state: &State) -> Vec<usize> {
    let stalled_after = state.running.config().workers.stalled_after;
    let snapshot = state.snapshot();
    let rows = snapshot.workers.iter().enumerate();
    let well = rows.filter(|(_, row)| condition(row, stalled_after) == "running").map(|(worker, _)| worker);
    let mut workers: Vec<usize> = well.collect();
    let load = |worker: usize| {
        let sockets = state.with_cells(|cells| cells.get(worker).map_or(0, |cells| cells.client_sockets()));
        sockets + state.readers.of_worker(worker) as u64
    };
    workers.sort_by_cached_key(|worker| load(*worker));
    workers
}
