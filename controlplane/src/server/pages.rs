//! The pages that only show: the metrics, the configuration.

use super::answer::TEXT;
use super::answer::{Answer, JSON};
use super::asked::Asked;
use super::route::{Route, ServedBy, Waiting, bare, json, ok, text};
use super::state::State;
use crate::export::Format;
use crate::guard::Scope;
use hyper::HeaderMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::sleep_until;

/// The least time between two pages of metrics that were wanted fresh.
const FRESH_EVERY: Duration = Duration::from_millis(20);

pub const ROUTES: &[Route] = &[
    Route::get(
        "/metrics",
        Scope::Read,
        kept_metrics,
        "All metrics, for Prometheus; OpenMetrics, with exemplars, if Accept prefers it.",
        &[
            ok("The metrics.", text(TEXT)),
            ok("The metrics.", text("application/openmetrics-text; version=1.0.0; charset=utf-8")),
        ],
    )
    .served_by(ServedBy::Task(metrics)),
    Route::get(
        "/config",
        Scope::Read,
        config,
        "The configuration in force, secrets redacted, with who set each key.",
        &[
            ok("Each key's value, who set it, and what a change of it needs.", json("Config")),
            bare(304, "It is the one that If-None-Match names."),
        ],
    ),
];

/// `GET /metrics`
fn metrics(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        // RFC 9111, section 5.2.1.4. No scraper says it; whoever must see what has just happened does.
        if !joined(&asked.headers, "cache-control").contains("no-cache") {
            return kept_metrics(&state, &asked);
        }
        let (format, since) = (accepted(&asked), Instant::now());
        // All who ask meanwhile get the page that is written then: a storm of them costs no more than that.
        if let Some(written) = state.metrics_written(format) {
            sleep_until((written + FRESH_EVERY).into()).await;
        }
        shown(format, &state.metrics(format, Some(since)))
    })
}

/// As young as scrapes want them.
pub fn kept_metrics(state: &State, asked: &Asked) -> Answer {
    let format = accepted(asked);
    shown(format, &state.metrics(format, None))
}

fn accepted(asked: &Asked) -> Format {
    Format::accepted(&joined(&asked.headers, "accept"))
}

fn shown(format: Format, text: &str) -> Answer {
    Answer::text(200, format.content_type(), text.to_owned()).with("vary", "accept")
}

/// `GET /config`
pub fn config(state: &State, asked: &Asked) -> Answer {
    let config = state.running.current();
    let known = joined(&asked.headers, "if-none-match");
    let same = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == config.tag;
    let (status, text) = if known.split(',').any(|tag| same(tag.trim())) {
        (304, String::new())
    } else {
        (200, config.shown.clone())
    };
    Answer::text(status, JSON, text).with("etag", config.tag.clone())
}

/// All values of a header that is a list (RFC 9110, 5.3).
pub fn joined(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}
