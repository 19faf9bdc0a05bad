//! Rules between the keys of the WebSocket gateway's admission.

use super::{Check, Complaint, about};
use crate::config::admission::written::AuthWord;
use crate::config::draft::Draft;
use crate::config::place::Span;
use crate::config::yaml::Wrong;
use crate::config::{Algorithm, Algorithms, AllowedOrigin, HostFacts};
use crate::origin::Origin;

const AUTH: &str = "websocket.auth";
const ORIGINS: &str = "websocket.allowed_origins";
const RATE: &str = "websocket.connection_rate";
const BURST: &str = "websocket.connection_burst";
const RAMP_OVER: &str = "websocket.ramp_up.over";
const RAMP_FROM: &str = "websocket.ramp_up.from";
const SECRET_FILE: &str = "websocket.jwt.secret_file";
const SECRET_ENV: &str = "websocket.jwt.secret_env";
const URL: &str = "websocket.jwt.jwks_url";
const ALGORITHMS: &str = "websocket.jwt.algorithms";

pub const CHECKS: &[Check] = &[
    Check { keys: &[AUTH, "websocket.jwt"], run: there_are_keys },
    Check { keys: &[AUTH, SECRET_FILE, SECRET_ENV], run: one_secret },
    Check { keys: &[AUTH, ALGORITHMS, SECRET_FILE, SECRET_ENV], run: algorithms_have_a_use },
    Check { keys: &[URL], run: url_can_be_fetched },
    Check { keys: &[ORIGINS], run: anything_stands_alone },
    Check { keys: &[RATE, BURST], run: burst_needs_a_rate },
    Check { keys: &[RATE, RAMP_OVER, RAMP_FROM], run: ramp_leads_to_the_rate },
];

fn there_are_keys(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let jwt = &draft.admission.jwt;
    let one = jwt.secret_file.is_some()
        || jwt.secret_env.is_some()
        || !jwt.public_key_files.is_empty()
        || jwt.jwks_file.is_some()
        || jwt.jwks_url.is_some();
    if draft.admission.auth != AuthWord::Jwt || one {
        return Vec::new();
    }
    let message = "jwt needs a key: set secret_file, secret_env, public_key_files, jwks_file or jwks_url in websocket.jwt";
    vec![about(AUTH, message)]
}

fn one_secret(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let jwt = &draft.admission.jwt;
    if draft.admission.auth == AuthWord::Jwt && jwt.secret_file.is_some() && jwt.secret_env.is_some() {
        return vec![about(SECRET_ENV, "is one keeper too many: keep secret_file or secret_env")];
    }
    Vec::new()
}

fn algorithms_have_a_use(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let jwt = &draft.admission.jwt;
    if draft.admission.auth != AuthWord::Jwt {
        return Vec::new();
    }
    if jwt.algorithms == Algorithms::default() {
        return vec![about(ALGORITHMS, "is empty, so no token would be believed: name at least one")];
    }
    let secret = jwt.secret_file.is_some() || jwt.secret_env.is_some();
    if secret && !jwt.algorithms.contains(Algorithm::Hs256) {
        return vec![about(
            ALGORITHMS,
            "leaves out HS256, which the secret is for: add it, or remove the secret",
        )];
    }
    Vec::new()
}

fn url_can_be_fetched(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let Some(url) = &draft.admission.jwt.jwks_url else { return Vec::new() };
    let end = url.find("://").map_or(url.len(), |at| {
        let rest = &url[at + 3..];
        at + 3 + rest.find(['/', '?']).unwrap_or(rest.len())
    });
    if url[..end].contains('@') {
        let message = "holds a name or password, which are not sent: remove them";
        // Without a line, so that none is shown: it holds the password.
        return vec![(URL, Wrong::at(Span { width: 1, ..Span::default() }, message))];
    }
    let origin = Origin::parse(&url[..end]);
    let can_be = origin.is_some_and(|origin| matches!(&*origin.scheme, "https" | "http"));
    if can_be && !url.contains('#') {
        return Vec::new();
    }
    vec![about(URL, "is no URL to fetch: write https://issuer.example/jwks.json")]
}

fn anything_stands_alone(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let origins = &draft.admission.allowed_origins;
    if origins.len() < 2 || !origins.contains(&AllowedOrigin::Any) {
        return Vec::new();
    }
    vec![about(ORIGINS, "holds \"*\", which switches the check off, beside others: keep that or them")]
}

fn burst_needs_a_rate(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let admission = &draft.admission;
    if admission.connection_burst.is_none() || admission.connections_per_second.is_some() {
        return Vec::new();
    }
    vec![about(BURST, format!("is of no use without {RATE}: set that, or write auto"))]
}

fn ramp_leads_to_the_rate(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let admission = &draft.admission;
    if admission.ramp_up_over.is_zero() {
        return Vec::new();
    }
    match admission.connections_per_second {
        None => vec![about(RAMP_OVER, format!("leads nowhere without {RATE}: set that, or write 0s"))],
        Some(rate) if admission.ramp_up_from > rate => {
            vec![about(RAMP_FROM, format!("is more than {RATE}: write {rate} or less"))]
        }
        Some(_) => Vec::new(),
    }
}
