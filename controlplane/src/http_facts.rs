//! What the control port counts of itself. Single thread: the server writes, the exporter reads.

use crate::guard::Failure;
use ringway_shared::histogram::Histogram;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

/// Requests answered on the control port, and those being answered now.
#[derive(Default)]
pub struct HttpFacts {
    in_flight: Cell<u64>,
    /// Microseconds from a request's head to its answer.
    durations: Histogram,
    answered: RefCell<BTreeMap<Answer, u64>>,
    /// By [`Failure`].
    refused: [Cell<u64>; Failure::ALL.len()],
}

/// What requests are told apart by. `path` is a route's pattern, never what a client wrote: the labels stay bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    pub path: &'static str,
    pub method: &'static str,
    pub status: u16,
}

impl HttpFacts {
    /// A request has come. Each `begin` needs its [`HttpFacts::end`].
    pub fn begin(&self) {
        self.in_flight.set(self.in_flight.get() + 1);
    }

    /// A request was answered with `status`, `took` after its `begin`.
    pub fn end(&self, method: &'static str, path: &'static str, status: u16, took: Duration) {
        self.in_flight.set(self.in_flight.get().saturating_sub(1));
        self.durations.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        *self.answered.borrow_mut().entry(Answer { path, method, status }).or_default() += 1;
    }

    /// A request was refused before it was looked at, or a connection before it had one.
    pub fn refuse(&self, failure: Failure) {
        let count = &self.refused[failure as usize];
        count.set(count.get() + 1);
    }

    #[must_use]
    pub fn refused(&self, failure: Failure) -> u64 {
        self.refused[failure as usize].get()
    }

    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.get()
    }

    #[must_use]
    pub fn durations(&self) -> &Histogram {
        &self.durations
    }

    /// How often each answer was given, by path, method and status.
    #[must_use]
    pub fn answered(&self) -> Vec<(Answer, u64)> {
        self.answered.borrow().iter().map(|(answer, count)| (*answer, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_in_flight_until_it_ends() {
        let http = HttpFacts::default();
        http.begin();
        http.begin();
        http.end("GET", "/livez", 200, Duration::from_micros(40));
        assert_eq!(http.in_flight(), 1);
        assert_eq!(http.durations().sum(), 40);
        http.end("GET", "/livez", 200, Duration::from_micros(2));
        let answer = Answer { path: "/livez", method: "GET", status: 200 };
        assert_eq!(http.answered(), [(answer, 2)]);
    }
}
