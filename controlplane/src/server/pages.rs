//! The pages that only show: the index, the metrics, the configuration.

use super::answer::{Answer, JSON, TEXT};
use super::routes::{self, Asked};
use super::state::{Format, State};
use hyper::HeaderMap;

const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /`
pub fn index(state: &State, _: &Asked) -> Answer {
    let line = |route: &routes::Route| format!("{:<5} {:<15} {}\n", route.method, route.path, route.summary);
    let lines: String = routes::served(state).map(line).collect();
    Answer::text(200, TEXT, format!("ringway {}\n\n{lines}", state.facts.version))
}

/// `GET /metrics`
pub fn metrics(state: &State, asked: &Asked) -> Answer {
    let accept = joined(&asked.headers, "accept");
    let open = quality(&accept, "application/openmetrics-text");
    let (format, content_type) = if open > 0.0 && open >= quality(&accept, "text/plain") {
        (Format::OpenMetrics, OPENMETRICS)
    } else {
        (Format::Prometheus, PROMETHEUS)
    };
    let snapshot = state.snapshot();
    let text =
        state.with_cells(|cells| (state.meter.render)(&snapshot, cells, state.generation.get(), format));
    Answer::text(200, content_type, text).with("vary", "accept")
}

/// `GET /config`
pub fn config(state: &State, asked: &Asked) -> Answer {
    let config = &state.config;
    let known = joined(&asked.headers, "if-none-match");
    let same = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == config.tag;
    let (status, text) = if known.split(',').any(|tag| same(tag.trim())) {
        (304, String::new())
    } else {
        (200, config.text.clone())
    };
    Answer::text(status, JSON, text).with("etag", config.tag.clone())
}

/// All values of a header that is a list (RFC 9110, 5.3).
fn joined(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",")
}

/// How much `accept` wants exactly this media type (RFC 9110, 12.4.2); 0 where it is not named.
fn quality(accept: &str, media_type: &str) -> f32 {
    let weight = |entry: &str| {
        let mut parts = entry.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(media_type));
        let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        if named { q.map_or(1.0, |q| q.parse().unwrap_or(0.0)) } else { 0.0 }
    };
    accept.split(',').map(weight).fold(0.0, f32::max)
}
