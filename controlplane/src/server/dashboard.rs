//! The dashboard: files that a browser is given, and how.
//!
//! They lie in `controlplane/src/dashboard/` as they are written, and in the binary as they lie there. They hold no data, so whoever may
//! knock gets them; what they then ask for needs a token where tokens are asked for. Nothing of theirs comes from elsewhere, and the
//! policy that goes with the page forbids a browser to fetch, run or style by anything else.

use super::answer::{Answer, TEXT};
use super::asked::Asked;
use super::pages::joined;
use super::route::{Parameter, Route, Said, bare, ok, text};
use super::state::State;
use crate::guard::Scope;
use hyper::HeaderMap;
use hyper::body::Bytes;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::LazyLock;

pub const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// The page itself, as [`FILES`] calls it: no name below `/dashboard/` is one.
const INDEX: &str = "/";

/// Name below `/dashboard/`, and content.
const FILES: &[(&str, &[u8])] = &[
    (INDEX, include_bytes!("../dashboard/index.html")),
    ("api.js", include_bytes!("../dashboard/api.js")),
    ("charts.js", include_bytes!("../dashboard/charts.js")),
    ("dialog.js", include_bytes!("../dashboard/dialog.js")),
    ("dom.js", include_bytes!("../dashboard/dom.js")),
    ("format.js", include_bytes!("../dashboard/format.js")),
    ("icon.svg", include_bytes!("../dashboard/icon.svg")),
    ("lists.js", include_bytes!("../dashboard/lists.js")),
    ("login.js", include_bytes!("../dashboard/login.js")),
    ("main.js", include_bytes!("../dashboard/main.js")),
    ("polling.js", include_bytes!("../dashboard/polling.js")),
    ("reading.js", include_bytes!("../dashboard/reading.js")),
    ("store.js", include_bytes!("../dashboard/store.js")),
    ("style-ops.css", include_bytes!("../dashboard/style-ops.css")),
    ("style.css", include_bytes!("../dashboard/style.css")),
    ("theme.js", include_bytes!("../dashboard/theme.js")),
    ("uplot.LICENSE", include_bytes!("../dashboard/uplot.LICENSE")),
    ("uplot.css", include_bytes!("../dashboard/uplot.css")),
    ("uplot.js", include_bytes!("../dashboard/uplot.js")),
    ("websocket-client.js", include_bytes!("../dashboard/websocket-client.js")),
    ("panels/alert_list.js", include_bytes!("../dashboard/panels/alert_list.js")),
    ("panels/alert_words.js", include_bytes!("../dashboard/panels/alert_words.js")),
    ("panels/alerts.js", include_bytes!("../dashboard/panels/alerts.js")),
    ("panels/configuration.js", include_bytes!("../dashboard/panels/configuration.js")),
    ("panels/connection_filter.js", include_bytes!("../dashboard/panels/connection_filter.js")),
    ("panels/connection_rows.js", include_bytes!("../dashboard/panels/connection_rows.js")),
    ("panels/connections.js", include_bytes!("../dashboard/panels/connections.js")),
    ("panels/difference.js", include_bytes!("../dashboard/panels/difference.js")),
    ("panels/drain.js", include_bytes!("../dashboard/panels/drain.js")),
    ("panels/health.js", include_bytes!("../dashboard/panels/health.js")),
    ("panels/history.js", include_bytes!("../dashboard/panels/history.js")),
    ("panels/history_series.js", include_bytes!("../dashboard/panels/history_series.js")),
    ("panels/killing.js", include_bytes!("../dashboard/panels/killing.js")),
    ("panels/latency.js", include_bytes!("../dashboard/panels/latency.js")),
    ("panels/log.js", include_bytes!("../dashboard/panels/log.js")),
    ("panels/reloading.js", include_bytes!("../dashboard/panels/reloading.js")),
    ("panels/silencing.js", include_bytes!("../dashboard/panels/silencing.js")),
    ("panels/status.js", include_bytes!("../dashboard/panels/status.js")),
    ("panels/tiles.js", include_bytes!("../dashboard/panels/tiles.js")),
    ("panels/top.js", include_bytes!("../dashboard/panels/top.js")),
    ("panels/traffic.js", include_bytes!("../dashboard/panels/traffic.js")),
    ("panels/workers.js", include_bytes!("../dashboard/panels/workers.js")),
];

/// What a browser may do with the page. `data:` is for pictures within the style sheet alone.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

const SERVED: &[Said] = &[
    ok("The file.", text(SCRIPT)),
    ok("The file.", text(CSS)),
    ok("The file.", text(PICTURE)),
    ok("The file.", text(TEXT)),
    bare(304, "It is the one that If-None-Match names."),
];

const NAME: &[Parameter] =
    &[Parameter { name: "file", schema: r#"{"type":"string"}"#, summary: "Its name, e.g. main.js." }];

pub const ROUTES: &[Route] = &[
    Route::get(
        "/dashboard/{file}",
        Scope::Open,
        file,
        "A file of the dashboard, which is at / for browsers.",
        SERVED,
    )
    .with(NAME),
    Route::get(
        "/dashboard/panels/{file}",
        Scope::Open,
        panel,
        "A file of the dashboard: one of its panels.",
        SERVED,
    )
    .with(NAME),
];

/// Whether a person at a browser asks, who gets the page where programs get text.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = joined(headers, "accept");
    let mut ranges = accept.split(',').map(|range| range.split(';').map(str::trim));
    ranges.any(|mut range| range.next() == Some("text/html") && range.all(|parameter| parameter != "q=0"))
}

/// `GET /` for browsers.
pub fn page(asked: &Asked) -> Answer {
    answer(INDEX, asked)
}

fn file(_: &State, asked: &Asked) -> Answer {
    answer(asked.place("file"), asked)
}

fn panel(_: &State, asked: &Asked) -> Answer {
    answer(&format!("panels/{}", asked.place("file")), asked)
}

fn answer(name: &str, asked: &Asked) -> Answer {
    let Some(index) = FILES.iter().position(|(known, _)| *known == name) else {
        let detail = format!("the dashboard has no file {name:?}");
        return Answer::error(404, &detail, "open / in a browser");
    };
    let (name, bytes) = FILES[index];
    let tag = TAGS.get(index).map_or("", String::as_str);
    let known = joined(&asked.headers, "if-none-match");
    let same = |one: &str| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag;
    let (status, body) = if known.split(',').any(|one| same(one.trim())) {
        (304, Bytes::new())
    } else {
        (200, Bytes::from_static(bytes))
    };
    // Kept, but never shown without asking: another build may be running when it is opened again.
    let answer = Answer::of(status, content_type(name), body).with("cache-control", "no-cache");
    HEADERS.iter().fold(answer.with("etag", tag), |answer, (name, value)| answer.with(name, *value))
}

/// Each file's ETag: what it holds, hashed.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| FILES.iter().map(|(_, bytes)| tag(bytes)).collect());

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &sha256(bytes)[..32])
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "js")) => SCRIPT,
        Some((_, "css")) => CSS,
        Some((_, "svg")) => PICTURE,
        _ if name == INDEX => HTML,
        _ => TEXT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn folder() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard")
    }

    #[test]
    fn every_file_that_lies_there_is_served() {
        for (below, prefix) in [(folder(), ""), (folder().join("panels"), "panels/")] {
            for entry in fs::read_dir(below).unwrap().map(Result::unwrap) {
                let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
                let name = if name == "index.html" { INDEX.to_owned() } else { name };
                let is_served = FILES.iter().any(|(known, _)| *known == name);
                assert!(
                    is_served || entry.path().is_dir() || name.ends_with(".json"),
                    "{name} is not in FILES"
                );
            }
        }
    }

    #[test]
    fn what_others_wrote_is_as_they_published_it() {
        let vendored = fs::read_to_string(folder().join("vendored.json")).unwrap();
        let vendored: serde_json::Value = serde_json::from_str(&vendored).unwrap();
        let files: Vec<_> =
            vendored.as_array().unwrap().iter().flat_map(|one| one["files"].as_array().unwrap()).collect();
        assert_eq!(files.len(), 3);
        for file in files {
            let bytes = FILES.iter().find(|(name, _)| *name == file["name"]).unwrap().1;
            assert_eq!(file["sha256"], sha256(bytes), "{}", file["name"]);
        }
    }

    #[test]
    fn nothing_is_fetched_or_run_that_the_policy_forbids() {
        for (name, bytes) in FILES.iter().filter(|(name, _)| !name.starts_with("uplot")) {
            let text = std::str::from_utf8(bytes).unwrap();
            for forbidden in
                ["\"https://", "(https://", " style=\"", " onclick=", "eval(", "new Function", "javascript:"]
            {
                assert!(!text.contains(forbidden), "{name} holds {forbidden}");
            }
        }
    }

    #[test]
    fn a_browser_is_known_by_what_it_accepts() {
        let wanted = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept", accept.parse().unwrap());
            is_wanted(&headers)
        };
        assert!(wanted("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(wanted("text/plain, text/html;q=0.5"));
        for accept in ["*/*", "text/plain", "text/htmlx", "text/html;q=0", "application/json"] {
            assert!(!wanted(accept), "{accept}");
        }
        assert!(!is_wanted(&HeaderMap::new()));
    }
}
