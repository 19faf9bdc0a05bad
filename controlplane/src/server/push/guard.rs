//! Who may use the publish API.
//!
//! With keys configured, whoever shows one. Without, every program that reaches the control port; but not a web page in
//! somebody's browser, which reaches it as well. A page can send no JSON content type to another origin without asking
//! first (Fetch, "CORS-safelisted request-header"), which nobody here answers; it cannot leave out its `Origin`; and one
//! whose name was pointed at this host (DNS rebinding) says that name as `Host`.

use super::keys::Keys;
use crate::server::answer::Answer;
use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use ringway_shared::origin::is_fixed_host;

const KEY: &str = "x-api-key";
const SCHEME: &str = "apikey ";

/// Refuses who may not.
pub fn admit(keys: &Keys, headers: &HeaderMap) -> Result<(), Answer> {
    not_another_page(headers)?;
    if keys.are_wanted() { shows_a_key(keys, headers) } else { is_a_program_of_this_host(headers) }
}

/// A page of the control port's own would be one of ours.
fn not_another_page(headers: &HeaderMap) -> Result<(), Answer> {
    let hosts: Vec<_> = headers.get_all(HOST).iter().map(text).collect();
    let own = |origin: &str| {
        let authority = origin.strip_prefix("http://").unwrap_or_default();
        hosts.iter().any(|host| !host.is_empty() && host.eq_ignore_ascii_case(authority))
    };
    match headers.get_all(ORIGIN).iter().map(text).find(|origin| !own(origin)) {
        None => Ok(()),
        Some(_) => {
            let hint = "web pages may not publish; let the page's server call this API";
            Err(Answer::error(403, "the request comes from a web page (it has an Origin header)", hint))
        }
    }
}

fn shows_a_key(keys: &Keys, headers: &HeaderMap) -> Result<(), Answer> {
    let refuse = |message: &str| {
        let hint = "send one of control.api_keys as X-API-Key, or as Authorization: apikey KEY";
        Err(Answer::error(401, message, hint).with("www-authenticate", "apikey realm=\"ringway\""))
    };
    let named = headers.get_all(KEY).iter().map(HeaderValue::as_bytes);
    let mut shown = named.chain(headers.get_all(AUTHORIZATION).iter().filter_map(of_authorization));
    match (shown.next(), shown.next()) {
        (Some(key), None) if keys.hold(key) => Ok(()),
        (Some(_), None) => refuse("the API key is not valid"),
        (None, _) => refuse("an API key is needed"),
        (Some(_), Some(_)) => refuse("more than one API key was sent"),
    }
}

fn of_authorization(value: &HeaderValue) -> Option<&[u8]> {
    let bytes = value.as_bytes();
    let scheme = bytes.get(..SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes()).then(|| bytes[SCHEME.len()..].trim_ascii())
}

fn is_a_program_of_this_host(headers: &HeaderMap) -> Result<(), Answer> {
    if let Some(host) = headers.get_all(HOST).iter().map(text).find(|host| !is_fixed_host(host)) {
        let message = format!("the request is meant for {host:?}, which any name server could point here");
        let hint = "call the control port by its address or as localhost, or configure control.api_keys";
        return Err(Answer::error(403, &message, hint));
    }
    let kinds: Vec<_> = headers.get_all(CONTENT_TYPE).iter().map(text).collect();
    match kinds[..] {
        [kind] if is_json(kind) => Ok(()),
        _ => {
            let hint = "send Content-Type: application/json (curl: -H 'Content-Type: application/json'), or configure control.api_keys";
            Err(Answer::error(415, "the request's content type is not JSON", hint))
        }
    }
}

fn is_json(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// What is not ASCII is none of the values that are compared with it.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::config::ApiKey;

    fn status(keys: &Keys, headers: &[(&'static str, &'static str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        admit(keys, &map).map_or_else(|refusal| refusal.status, |()| 200)
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn without_keys_programs_are_let_in_and_pages_are_not() {
        let open = Keys::default();
        for host in [
            "127.0.0.1:9003",
            "localhost",
            "LOCALHOST:9003",
            "a.localhost:1",
            "[::1]:9003",
            "192.0.2.1",
            "localhost.:1",
        ] {
            assert_eq!(status(&open, &[("host", host), JSON]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9003",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "[evil]:1",
            "[::1",
            "",
        ] {
            assert_eq!(status(&open, &[("host", host), JSON]), 403, "{host}");
        }
        let host = ("host", "127.0.0.1:9003");
        assert_eq!(status(&open, &[host, JSON, ("origin", "http://evil.example")]), 403);
        assert_eq!(status(&open, &[host, JSON, ("origin", "null")]), 403);
        assert_eq!(status(&open, &[host, JSON, ("origin", "http://127.0.0.1:9003")]), 200);
        assert_eq!(status(&open, &[host, JSON, ("origin", "http://127.0.0.1:80")]), 403);
        // The three that a form or a simple request may send.
        for kind in [
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "text/plain",
            "text/plain;application/json",
            "",
        ] {
            assert_eq!(status(&open, &[host, ("content-type", kind)]), 415, "{kind}");
        }
        assert_eq!(status(&open, &[host]), 415);
        assert_eq!(status(&open, &[host, JSON, ("content-type", "text/plain")]), 415);
        for kind in ["application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"] {
            assert_eq!(status(&open, &[host, ("content-type", kind)]), 200, "{kind}");
        }
    }

    #[test]
    fn with_keys_a_key_is_all_that_is_asked_for() {
        let keys = Keys::new(&[ApiKey::Plain("a-long-key".into())]);
        for (name, value, wanted) in [
            ("x-api-key", "a-long-key", 200),
            ("x-api-key", "another-key", 401),
            ("x-api-key", "", 401),
            ("authorization", "apikey a-long-key", 200),
            ("authorization", "ApiKey  a-long-key", 200),
            ("authorization", "Bearer a-long-key", 401),
            ("authorization", "apikey", 401),
            ("accept", "a-long-key", 401),
        ] {
            assert_eq!(
                status(&keys, &[("host", "ringway.internal"), (name, value)]),
                wanted,
                "{name}: {value}"
            );
        }
        let twice = [("x-api-key", "a-long-key"), ("x-api-key", "a-long-key")];
        assert_eq!(status(&keys, &twice), 401);
        assert_eq!(status(&keys, &[("x-api-key", "a-long-key"), ("origin", "http://evil.example")]), 403);
    }
}
