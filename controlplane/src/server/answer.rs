//! What goes back to the client: one plain value, turned into hyper's at the very end.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};
use serde_json::{Value as Json, json};

pub const JSON: &str = "application/json";
/// RFC 9457.
pub const PROBLEM: &str = "application/problem+json";
pub const TEXT: &str = "text/plain; charset=utf-8";

/// An answer before hyper sees it.
pub struct Answer {
    pub status: u16,
    content_type: &'static str,
    pub(super) body: Bytes,
    headers: Vec<(&'static str, String)>,
    /// What went wrong, in words.
    pub detail: Option<Box<str>>,
    /// What is different now, for the audit log.
    pub difference: Option<Box<str>>,
}

/// On every answer that does not say otherwise.
const HEADERS: &[(&str, &str)] = &[("cache-control", "no-store"), ("x-content-type-options", "nosniff")];

impl Answer {
    #[must_use]
    pub fn text(status: u16, content_type: &'static str, body: String) -> Self {
        Self::of(status, content_type, body.into())
    }

    #[must_use]
    pub fn of(status: u16, content_type: &'static str, body: Bytes) -> Self {
        Answer { status, content_type, body, headers: Vec::new(), detail: None, difference: None }
    }

    #[must_use]
    pub fn json(status: u16, body: &Json) -> Self {
        Self::text(status, JSON, format!("{body}\n"))
    }

    /// What is told of a connection that a worker goes on with: the worker answers.
    #[must_use]
    pub fn switching() -> Self {
        Self::of(101, TEXT, Bytes::new())
    }

    /// A fault, as RFC 9457 has it, with what to do about it:
    /// `{"type":"about:blank","title":"Not Found","status":404,"detail":…,"hint":…}`
    #[must_use]
    pub fn error(status: u16, detail: &str, hint: &str) -> Self {
        Self::problem(status, &json!({"detail": detail, "hint": hint}))
    }

    /// A fault with members of its own, which stand beside those that all faults have.
    #[must_use]
    pub fn problem(status: u16, members: &Json) -> Self {
        let title = StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
        let mut problem = json!({"type": "about:blank", "title": title.unwrap_or("Error"), "status": status});
        if let (Some(problem), Some(members)) = (problem.as_object_mut(), members.as_object()) {
            problem.extend(members.clone());
        }
        let detail = problem["detail"].as_str().map(Into::into);
        Answer { detail, ..Self::text(status, PROBLEM, format!("{problem}\n")) }
    }

    /// With what is different now: one line for the audit log, without secrets.
    #[must_use]
    pub fn audited(mut self, difference: impl Into<Box<str>>) -> Self {
        self.difference = Some(difference.into());
        self
    }

    /// Of its body.
    #[must_use]
    pub fn length(&self) -> usize {
        self.body.len()
    }

    #[must_use]
    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }
}

impl From<Answer> for Response<Full<Bytes>> {
    fn from(answer: Answer) -> Self {
        let Answer { status, content_type, body, headers, .. } = answer;
        let mut response = Response::builder().status(status).header("content-type", content_type);
        let own = |name: &str| headers.iter().any(|(known, _)| *known == name);
        for (name, value) in HEADERS.iter().filter(|(name, _)| !own(name)) {
            response = response.header(*name, *value);
        }
        for (name, value) in headers {
            response = response.header(name, value);
        }
        // Fails on a status or header that HTTP cannot carry, which no page makes.
        response.body(Full::from(body)).unwrap_or_default()
    }
}

/// The answer to a connection beyond `control.connections_max`.
#[must_use]
pub fn too_many_connections() -> Answer {
    let hint = "close idle ones, or raise control.connections_max";
    Answer::error(503, "too many control connections are open", hint).with("retry-after", "1")
}

impl Answer {
    /// All of it as bytes for the wire, for a connection that ends with it.
    #[must_use]
    pub fn last(&self) -> String {
        let Answer { status, content_type, body, headers, .. } = self;
        let title = StatusCode::from_u16(*status).ok().and_then(|code| code.canonical_reason());
        let own = headers.iter().map(|(name, value)| (*name, &**value));
        let lines: String =
            own.chain(HEADERS.iter().copied()).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (title, length, body) = (title.unwrap_or("Error"), body.len(), String::from_utf8_lossy(body));
        format!(
            "HTTP/1.1 {status} {title}\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
             connection: close\r\n{lines}\r\n{body}"
        )
    }
}
