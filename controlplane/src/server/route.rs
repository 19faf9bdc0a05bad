//! What a route is. The pages declare theirs; `routes` lists the pages. From a route come its dispatch, who may use it, the 405 of its
//! path, its line in the index, its part of the OpenAPI document and what `ringway ctl` knows of it.

use super::answer::Answer;
use super::asked::Asked;
use super::push::Form;
use super::state::State;
use crate::guard::Scope;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// Bytes of a request's body, where the route does not say otherwise; a longer one is answered 413.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// One thing the control port does.
pub struct Route {
    /// GET serves HEAD as well.
    pub method: &'static str,
    /// May hold segments such as `{id}`: each stands for one segment that is not empty.
    pub path: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What a token must allow at least.
    pub scope: Scope,
    /// Of the path and of the query. Those of the query that are not named here are refused with 400.
    pub parameters: &'static [Parameter],
    /// What the body must be; `None`: it is not looked at.
    pub body: Option<Content>,
    /// What it answers when all is well; the faults are the same everywhere (`application/problem+json`).
    pub answers: &'static [Said],
    /// Served with `control.test_endpoints` only.
    pub test_only: bool,
    pub(super) served_by: ServedBy,
}

/// One parameter. All are optional, but those of the path.
pub struct Parameter {
    pub name: &'static str,
    /// A JSON Schema, as JSON text, e.g. `{"type":"integer","minimum":1}`.
    pub schema: &'static str,
    pub summary: &'static str,
}

/// A body.
#[derive(Clone, Copy)]
pub struct Content {
    pub media_type: &'static str,
    /// The name of its schema (`schemas`); `None`: text, or bytes.
    pub schema: Option<&'static str>,
}

/// One answer that a client can meet when all is well, or that means something particular to this route.
pub struct Said {
    pub status: u16,
    pub summary: &'static str,
    /// `None`: it has no body.
    pub content: Option<Content>,
}

pub type Waiting = Pin<Box<dyn Future<Output = Answer>>>;

pub enum ServedBy {
    /// Never waits: all it may do is look at what is there, or put a command into an inbox.
    Page(fn(&State, &Asked) -> Answer),
    /// May wait, for workers or files, until [`super::routes::REQUEST_MAX`].
    Task(fn(Rc<State>, Asked) -> Waiting),
    /// The publish API: waits for workers, within limits of its own.
    Push(Form),
    /// Not answered here: the connection goes to a worker, which makes a WebSocket connection of it.
    Upgrade,
}

/// Text, or bytes.
#[must_use]
pub const fn text(media_type: &'static str) -> Content {
    Content { media_type, schema: None }
}

/// JSON of the schema with this name.
#[must_use]
pub const fn json(schema: &'static str) -> Content {
    Content { media_type: super::answer::JSON, schema: Some(schema) }
}

/// The one answer of most routes.
#[must_use]
pub const fn ok(summary: &'static str, content: Content) -> Said {
    said(200, summary, content)
}

#[must_use]
pub const fn said(status: u16, summary: &'static str, content: Content) -> Said {
    Said { status, summary, content: Some(content) }
}

/// An answer without a body.
#[must_use]
pub const fn bare(status: u16, summary: &'static str) -> Said {
    Said { status, summary, content: None }
}

impl Route {
    /// A page that only shows.
    #[must_use]
    pub const fn get(
        path: &'static str,
        scope: Scope,
        page: fn(&State, &Asked) -> Answer,
        summary: &'static str,
        answers: &'static [Said],
    ) -> Route {
        Self::post(path, scope, ServedBy::Page(page), summary, answers).with_method("GET")
    }

    /// One that changes something.
    #[must_use]
    pub const fn post(
        path: &'static str,
        scope: Scope,
        served_by: ServedBy,
        summary: &'static str,
        answers: &'static [Said],
    ) -> Route {
        Route {
            method: "POST",
            path,
            summary,
            scope,
            parameters: &[],
            body: None,
            answers,
            test_only: false,
            served_by,
        }
    }

    #[must_use]
    pub const fn with_method(mut self, method: &'static str) -> Route {
        self.method = method;
        self
    }

    #[must_use]
    pub const fn served_by(mut self, served_by: ServedBy) -> Route {
        self.served_by = served_by;
        self
    }

    #[must_use]
    pub const fn with(mut self, parameters: &'static [Parameter]) -> Route {
        self.parameters = parameters;
        self
    }

    #[must_use]
    pub const fn taking(mut self, body: Content) -> Route {
        self.body = Some(body);
        self
    }

    #[must_use]
    pub const fn for_tests(mut self) -> Route {
        self.test_only = true;
        self
    }

    /// What the segments of the route's path stand for in `path`; `None`: it is another path.
    #[must_use]
    pub fn places_in(&self, path: &str) -> Option<Vec<(&'static str, String)>> {
        let mut places = Vec::new();
        let (mut own, mut given) = (self.path.split('/'), path.split('/'));
        loop {
            match (own.next(), given.next()) {
                (None, None) => return Some(places),
                (Some(own), Some(given)) => match name_of(own) {
                    Some(name) if !given.is_empty() => places.push((name, given.to_owned())),
                    Some(_) => return None,
                    None if own == given => {}
                    None => return None,
                },
                _ => return None,
            }
        }
    }

    /// Whether a parameter of this name stands in the path.
    #[must_use]
    pub fn is_in_path(&self, name: &str) -> bool {
        self.path.split('/').filter_map(name_of).any(|own| own == name)
    }
}

fn name_of(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}
