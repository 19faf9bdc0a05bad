//! THE ROUTES, once: the router, 405 with Allow, and the index at `/` all read this table.

use super::answer::{Answer, TEXT};
use super::asked::Asked;
use super::push::{self, Form, Method};
use super::state::State;
use super::{drill, health, pages, stats};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Request, Response};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Bytes of a page request's body, which no page looks at; a longer one is answered 413.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// From a request's header to its answer, its body included.
pub const REQUEST_MAX: Duration = Duration::from_secs(10);

/// One thing the control port does.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    pub summary: &'static str,
    /// Served with `control.test_endpoints` only.
    pub test_only: bool,
    served_by: ServedBy,
}

enum ServedBy {
    /// Never waits: all it may do is look at what is there, or put a command into an inbox.
    Page(fn(&State, &Asked) -> Answer),
    /// Waits for workers, within limits of its own.
    Push(Form),
}

const fn get(path: &'static str, page: fn(&State, &Asked) -> Answer, summary: &'static str) -> Route {
    Route { method: "GET", path, summary, test_only: false, served_by: ServedBy::Page(page) }
}

const fn post_test(path: &'static str, page: fn(&State, &Asked) -> Answer, summary: &'static str) -> Route {
    Route { method: "POST", path, summary, test_only: true, served_by: ServedBy::Page(page) }
}

const fn push(path: &'static str, form: Form, summary: &'static str) -> Route {
    Route { method: "POST", path, summary, test_only: false, served_by: ServedBy::Push(form) }
}

/// Every route. HEAD is served wherever GET is.
pub const ROUTES: &[Route] = &[
    get("/", index, "This list."),
    get("/metrics", pages::metrics, "All metrics, for Prometheus; OpenMetrics if Accept prefers it."),
    get("/livez", health::livez, "Whether every worker lives; 503 names those that do not."),
    get("/readyz", health::readyz, "Whether new connections are welcome; 503 while draining."),
    get("/health", health::health, "Both of these, with version, uptime and configuration generation."),
    get("/stats", stats::stats, "Connections, traffic, quantiles and workers, as JSON."),
    get("/config", pages::config, "The configuration in force, secrets redacted, with who set each key."),
    push("/api/publish", Form::One(Method::Publish), "Publishes to a channel."),
    push("/api/broadcast", Form::One(Method::Broadcast), "Publishes the same to many channels."),
    push("/api/subscribe", Form::One(Method::Subscribe), "Subscribes a user's connections to a channel."),
    push("/api/unsubscribe", Form::One(Method::Unsubscribe), "Takes them off it."),
    push("/api/disconnect", Form::One(Method::Disconnect), "Closes a user's connections."),
    push("/api/presence", Form::One(Method::Presence), "Who is subscribed to a channel."),
    push("/api/presence_stats", Form::One(Method::PresenceStats), "How many they are."),
    push(
        "/api/history",
        Form::One(Method::History),
        "What was published to a channel, as far as it is kept.",
    ),
    push("/api/history_remove", Form::One(Method::HistoryRemove), "Forgets that."),
    push("/api/channels", Form::One(Method::Channels), "The channels with subscribers."),
    push("/api/info", Form::One(Method::Info), "This process and how much it holds."),
    push("/api/batch", Form::Batch, "Several of these in one request."),
    push("/api", Form::Commands, "The same in Centrifugo's older form."),
    post_test("/api/v1/drill", drill::drill, drill::SUMMARY),
];

/// `GET /`
fn index(state: &State, _: &Asked) -> Answer {
    let line = |route: &Route| format!("{:<5} {:<20} {}\n", route.method, route.path, route.summary);
    let lines: String = served(state).map(line).collect();
    Answer::text(200, TEXT, format!("ringway {}\n\n{lines}", state.facts.version))
}

/// Methods that metrics name; others count as `other`, so that clients cannot make labels.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
const OTHER: &str = "other";
/// What metrics say of a request whose client was gone before the answer (as nginx does).
const CLIENT_GONE: u16 = 499;

/// Answers one request, and counts it.
pub async fn answer(
    state: Rc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut count = Count::begin(&state, request.method().as_str(), request.uri().path());
    let slow = |_| Answer::error(408, "the request's body did not come in time", "send it within 10 s");
    let answer = timeout(REQUEST_MAX, respond(&state, request)).await.unwrap_or_else(slow);
    count.status = answer.status;
    Ok(answer.into())
}

async fn respond(state: &State, request: Request<Incoming>) -> Answer {
    let route = match find(state, request.method().as_str(), request.uri().path()) {
        Ok(route) => route,
        Err(refusal) => return refusal,
    };
    let (head, body) = request.into_parts();
    let page = match route.served_by {
        ServedBy::Push(form) => return push::answer(state, form, &head.headers, body).await,
        ServedBy::Page(page) => page,
    };
    if route.method != "GET" && head.headers.contains_key("origin") {
        let hint = "web pages may not steer ringway; use curl or a program";
        return Answer::error(403, "the request comes from a web page (it has an Origin header)", hint);
    }
    if let Err(refusal) = read(body, BODY_BYTES_MAX).await {
        return refusal;
    }
    let query = head.uri.query().unwrap_or_default().to_owned();
    page(state, &Asked { query, headers: head.headers })
}

/// The routes served under this configuration.
pub fn served(state: &State) -> impl Iterator<Item = &'static Route> {
    let test_endpoints = state.facts.test_endpoints;
    ROUTES.iter().filter(move |route| test_endpoints || !route.test_only)
}

fn find(state: &State, method: &str, path: &str) -> Result<&'static Route, Answer> {
    let here = || served(state).filter(|route| route.path == path);
    let wanted = if method == "HEAD" { "GET" } else { method };
    if let Some(route) = here().find(|route| route.method == wanted) {
        return Ok(route);
    }
    let allowed: Vec<_> = here().flat_map(|route| methods_of(route)).copied().collect();
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
    let too_long = || {
        Answer::error(413, &format!("the body is longer than {bytes_max} bytes"), "send less")
            .with("connection", "close")
    };
    // A length that was declared is judged before a byte of it is read.
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(too_long());
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_long()),
        Err(error) => Err(Answer::error(400, &format!("the body cannot be read: {error}"), "send it again")),
    }
}

/// A request under way; counted when dropped, answered or not.
struct Count<'a> {
    state: &'a State,
    method: &'static str,
    path: &'static str,
    status: u16,
    began: Instant,
}

impl<'a> Count<'a> {
    fn begin(state: &'a State, method: &str, path: &str) -> Self {
        (state.meter.begin)();
        let method = METHODS.iter().find(|known| **known == method).copied().unwrap_or(OTHER);
        let path = served(state).find(|route| route.path == path).map_or(OTHER, |route| route.path);
        Count { state, method, path, status: CLIENT_GONE, began: Instant::now() }
    }
}

impl Drop for Count<'_> {
    fn drop(&mut self) {
        (self.state.meter.end)(self.method, self.path, self.status, self.began.elapsed());
    }
}
