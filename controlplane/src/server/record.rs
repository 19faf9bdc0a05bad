//! A request under way, and what is told of it at its end, answered or not: metrics, the journals.

use super::answer::Answer;
use super::route::{Route, ServedBy};
use super::routes::at;
use super::state::State;
use crate::audit::{Change, Outcome, Request};
use crate::guard::{Failure, Peer, Principal};
use hyper::header::{HeaderValue, USER_AGENT};
use std::rc::Rc;
use std::time::Instant;

/// Methods that metrics name; others count as `other`, so that clients cannot make labels.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
const OTHER: &str = "other";
/// What is said of a request whose client was gone before the answer (as nginx does).
const CLIENT_GONE: u16 = 499;

/// Told when dropped.
pub struct Record {
    state: Rc<State>,
    pub peer: Peer,
    /// As they were sent.
    method: String,
    path: String,
    agent: Option<String>,
    /// The one that is asked, once it is found.
    pub route: Option<&'static Route>,
    /// Those of the route, as they were given.
    pub parameters: String,
    by: Option<Rc<str>>,
    principal: Option<Principal>,
    failure: Option<Failure>,
    /// What the answer says, once there is one.
    answer: Option<Told>,
    began: Instant,
}

/// What is told of an answer.
struct Told {
    status: u16,
    bytes: usize,
    detail: Option<Box<str>>,
    difference: Option<Box<str>>,
}

impl Record {
    pub fn begin<B>(state: &Rc<State>, peer: Peer, request: &hyper::Request<B>) -> Self {
        (state.meter.begin)();
        let agent = request.headers().get(USER_AGENT).filter(|_| state.journal.wants_requests());
        Record {
            state: state.clone(),
            peer,
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            agent: agent.map(HeaderValue::as_bytes).map(|agent| String::from_utf8_lossy(agent).into_owned()),
            route: None,
            parameters: String::new(),
            by: None,
            principal: None,
            failure: None,
            answer: None,
            began: Instant::now(),
        }
    }

    /// Who asks.
    pub fn admitted(&mut self, by: &Principal) {
        self.by = Some(by.name.clone());
        self.principal = Some(by.clone());
    }

    /// Why they may not, and who it is if that is known.
    pub fn refused(&mut self, failure: Failure, by: Option<Rc<str>>) {
        (self.state.meter.refuse)(failure);
        self.failure = Some(failure);
        self.by = by;
    }

    pub fn answered(&mut self, answer: &mut Answer) {
        self.answer = Some(Told {
            status: answer.status,
            bytes: answer.length(),
            detail: answer.detail.take(),
            difference: answer.difference.take(),
        });
    }

    fn status(&self) -> u16 {
        self.answer.as_ref().map_or(CLIENT_GONE, |told| told.status)
    }

    /// Counts it, under names that clients cannot invent.
    fn count(&self) {
        let method = METHODS.iter().find(|known| **known == self.method).copied().unwrap_or(OTHER);
        let neighbour = || at(&self.state, &self.path).first().map(|(route, _)| *route);
        let path = self.route.or_else(neighbour).map_or(OTHER, |route| route.path);
        (self.state.meter.end)(method, path, self.status(), self.began.elapsed());
    }

    fn write_change(&self, route: &Route) {
        let told = self.answer.as_ref();
        let outcome = match (self.failure, told) {
            (Some(_), _) => Outcome::Refused,
            (None, None) => Outcome::Unknown,
            (None, Some(told)) if told.status < 400 => Outcome::Done,
            (None, Some(_)) => Outcome::Failed,
        };
        let detail = told.and_then(|told| told.detail.as_deref());
        self.state.journal.change(&Change {
            by: self.by.as_deref(),
            scope: self.principal.as_ref().map(|by| by.scope),
            from: Some(&self.peer),
            method: Some(route.method),
            path: Some(route.path),
            action: None,
            parameters: &self.parameters,
            status: Some(self.status()),
            outcome,
            why: self.failure.map(Failure::label).or(detail),
            difference: told.and_then(|told| told.difference.as_deref()),
        });
    }

    fn write_request(&self) {
        self.state.journal.request(&Request {
            from: &self.peer,
            by: self.by.as_deref(),
            method: &self.method,
            path: &self.path,
            agent: self.agent.as_deref(),
            status: self.status(),
            bytes: self.answer.as_ref().map_or(0, |told| told.bytes),
            took: self.began.elapsed(),
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.count();
        if let Some(route) = self.route.filter(|route| is_audited(route)) {
            self.write_change(route);
        }
        if self.state.journal.wants_requests() {
            self.write_request();
        }
    }
}

/// The publish API is traffic.
fn is_audited(route: &Route) -> bool {
    route.method != "GET" && !matches!(route.served_by, ServedBy::Push(_))
}

/// Names of parameters whose values nobody should read in a log.
const SECRETS: &[&str] = &["token", "password", "secret", "key", "ticket"];

/// The parameters of a request that its route knows: what it does not know may be anything.
pub fn parameters(route: &Route, places: &[(&'static str, String)], query: &str) -> String {
    let known = |name: &str| route.parameters.iter().any(|known| known.name == name);
    let hides = |name: &str| SECRETS.iter().any(|secret| name.contains(secret));
    let of_query = form_urlencoded::parse(query.as_bytes()).into_owned().filter(|(name, _)| known(name));
    let of_path = places.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let shown = |(name, value): (String, String)| {
        if hides(&name) { format!("{name}=<redacted>") } else { format!("{name}={value}") }
    };
    of_path.chain(of_query).map(shown).collect::<Vec<_>>().join(" ")
}
