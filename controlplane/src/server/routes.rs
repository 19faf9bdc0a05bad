//! THE ROUTES, once: the router, 405 with Allow, and the index at `/` all read this table.

use super::answer::{Answer, TEXT};
use super::asked::Asked;
use super::feed::{Entry, Exit, Leaving};
use super::guard::{Asking, Refused};
use super::record::{Record, parameters};
use super::route::{BODY_BYTES_MAX, Route, ServedBy, bare, ok, text};
use super::state::State;
use super::{
    alerts, bundle, connections, dashboard, debug, drain, drill, feed, health, history, memory, openapi,
    pages, push, reload, smoke, stats, top, upgrade,
};
use crate::guard::{Peer, Scope};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::timeout;

/// From a request's header to its answer, its body included.
pub const REQUEST_MAX: Duration = Duration::from_secs(10);

/// The pages that have routes, in the order of the index.
const PAGES: &[&[Route]] = &[
    ROUTES,
    dashboard::ROUTES,
    openapi::ROUTES,
    pages::ROUTES,
    health::ROUTES,
    stats::ROUTES,
    connections::ROUTES,
    top::ROUTES,
    history::ROUTES,
    feed::ROUTES,
    alerts::ROUTES,
    drain::ROUTES,
    upgrade::ROUTES,
    reload::ROUTES,
    reload::OVERRIDES,
    reload::LEVELS,
    memory::ROUTES,
    push::ROUTES,
    debug::ROUTES,
    bundle::ROUTES,
    smoke::ROUTES,
    drill::ROUTES,
];

/// For programs. The dashboard, which browsers get here, holds no data: `guard` lets everybody have it.
const ROUTES: &[Route] = &[Route::get(
    "/",
    Scope::Read,
    index,
    "This list; the dashboard, if Accept names text/html.",
    &[
        ok("One route a line.", text(TEXT)),
        ok("The dashboard.", text(dashboard::HTML)),
        bare(304, "It is the page that If-None-Match names."),
    ],
)];

/// Every route. HEAD is served wherever GET is.
pub fn all() -> impl Iterator<Item = &'static Route> {
    PAGES.iter().copied().flatten()
}

/// `GET /`
fn index(state: &State, asked: &Asked) -> Answer {
    if dashboard::is_wanted(&asked.headers) {
        return dashboard::page(asked).with("vary", "accept");
    }
    let line = |route: &Route| format!("{:<6} {:<28} {}\n", route.method, route.path, route.summary);
    let lines: String = served(state).map(line).collect();
    Answer::text(200, TEXT, format!("ringway {}\n\n{lines}", state.facts.version)).with("vary", "accept")
}

/// Answers one request, and tells of it. One that is for a worker goes to `exit` unanswered, and this never ends: its connection does.
pub async fn answer(
    state: Rc<State>,
    peer: Peer,
    request: Request<Incoming>,
    exit: Rc<Exit>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut record = Record::begin(&state, peer, &request);
    let mut entry = None;
    let slow = |_| Answer::error(408, "the request took too long", "send its body within 10 s, or try again");
    let answer = timeout(REQUEST_MAX, respond(&state, &mut record, &mut entry, request)).await;
    let mut answer = answer.unwrap_or_else(slow);
    if let Some(entry) = entry {
        exit.leave(Leaving { entry, record });
        return std::future::pending().await;
    }
    record.answered(&mut answer);
    Ok(answer.into())
}

async fn respond(
    state: &Rc<State>,
    record: &mut Record,
    entry: &mut Option<Entry>,
    request: Request<Incoming>,
) -> Answer {
    let (route, places) = match find(state, request.method().as_str(), request.uri().path()) {
        Ok(found) => found,
        Err(refusal) => return refusal,
    };
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    record.route = Some(route);
    record.parameters = parameters(route, &places, query);
    let asking = Asking { route, peer: &record.peer, head: &head };
    let by = match state.guard.admit(&state.running.config().control, &asking) {
        Ok(by) => by,
        Err(Refused { failure, answer, by }) => {
            record.refused(failure, by);
            return *answer;
        }
    };
    record.admitted(&by);
    if let ServedBy::Push(form) = route.served_by {
        return push::answer(state, form, body).await;
    }
    if let ServedBy::Upgrade = route.served_by {
        return match feed::admit(state, &by, &record.peer, &head) {
            Ok(admitted) => {
                *entry = Some(admitted);
                Answer::switching()
            }
            Err(refusal) => refusal,
        };
    }
    let mut asked = match Asked::new(route, places, query, head.headers, by) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    match read(body, BODY_BYTES_MAX).await {
        Ok(body) => asked.body = body,
        Err(refusal) => return refusal,
    }
    match route.served_by {
        ServedBy::Page(page) => page(state, &asked),
        ServedBy::Task(task) => task(state.clone(), asked).await,
        ServedBy::Push(_) | ServedBy::Upgrade => {
            Answer::error(500, "a route of another kind came here", "report this")
        }
    }
}

/// The routes served under this configuration.
pub fn served(state: &State) -> impl Iterator<Item = &'static Route> + use<> {
    let test_endpoints = state.running.config().control.test_endpoints;
    all().filter(move |route| test_endpoints || !route.test_only)
}

/// What the segments of a route's path stand for.
pub type Places = Vec<(&'static str, String)>;

/// The routes of a path: a path of its own goes before one where it would stand in a place.
pub fn at(state: &State, path: &str) -> Vec<(&'static Route, Places)> {
    let mut here: Vec<_> =
        served(state).filter_map(|route| route.places_in(path).map(|places| (route, places))).collect();
    if here.iter().any(|(_, places)| places.is_empty()) {
        here.retain(|(_, places)| places.is_empty());
    }
    here
}

fn find(state: &State, method: &str, path: &str) -> Result<(&'static Route, Places), Answer> {
    let here = at(state, path);
    let wanted = if method == "HEAD" { "GET" } else { method };
    let allowed: Vec<_> = here.iter().flat_map(|(route, _)| methods_of(route)).copied().collect();
    if let Some(found) = here.into_iter().find(|(route, _)| route.method == wanted) {
        return Ok(found);
    }
    if allowed.is_empty() {
        return Err(Answer::error(404, &format!("no such path: {path}"), "GET / lists the paths"));
    }
    let allowed = allowed.join(", ");
    let message = format!("{path} does not answer {method}");
    Err(Answer::error(405, &message, &format!("use {allowed}")).with("allow", allowed))
}

fn methods_of(route: &'static Route) -> &'static [&'static str] {
    if route.method == "GET" { &["GET", "HEAD"] } else { std::slice::from_ref(&route.method) }
}

/// Reads a body to its end.
pub async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, Answer> {
    // A length that was declared is judged before a byte of it is read.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_long(bytes_max));
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_long(bytes_max)),
        Err(error) => Err(unreadable(&*error)),
    }
}

/// The body is longer than may be.
pub fn too_long(bytes_max: usize) -> Answer {
    Answer::error(413, &format!("the body is longer than {bytes_max} bytes"), "send less")
        .with("connection", "close")
}

/// The body broke off.
pub fn unreadable(error: &dyn std::error::Error) -> Answer {
    Answer::error(400, &format!("the body cannot be read: {error}"), "send it again")
}
