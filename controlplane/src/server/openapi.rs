//! `GET /openapi.json`: what the table of routes says, as an OpenAPI 3.1 document.

use super::answer::{Answer, JSON, PROBLEM};
use super::asked::Asked;
use super::route::{Content, Parameter, Route, Said, ServedBy, json, ok};
use super::state::State;
use super::{routes, schemas};
use crate::guard::Scope;
use ringway_shared::config::Control;
use serde_json::{Map, Value as Json, json};

pub const ROUTES: &[Route] = &[Route::get(
    "/openapi.json",
    Scope::Read,
    openapi,
    "This port, as an OpenAPI 3.1 document.",
    &[ok("The document.", json("OpenApi"))],
)];

/// `GET /openapi.json`
fn openapi(state: &State, _: &Asked) -> Answer {
    let generation = state.running.generation();
    let mut made = state.openapi.borrow_mut();
    let kept = made.take().filter(|(of, _)| *of == generation);
    let (_, text) = made.insert(kept.unwrap_or_else(|| {
        let document =
            document(routes::served(state), state.facts.version, asks(&state.running.config().control));
        (generation, format!("{document:#}\n"))
    }));
    Answer::text(200, JSON, text.clone())
}

const DESCRIPTION: &str = "Watches and steers one ringway process. HEAD is answered wherever GET is; other methods than \
those named here are answered 405 with `Allow`. A request that would change something is refused (400) if its query holds \
a parameter that is not named here. Faults are `application/problem+json` (RFC 9457), with a `hint`. `x-ringway-scope` is what \
a token must allow at least: open < read < operate < admin.";

/// Tags by how paths begin; the first that fits counts. Routes for tests have one of their own.
const TAGS: &[(&str, &str, &str)] = &[
    ("/ws", "Feed", "What happens, live: docs/feed.md."),
    ("/api/v1/feed/", "Feed", ""),
    ("/api/v1/", "Connections", "Who is connected, and who shall not be."),
    ("/api", "Publish", "Messages to WebSocket clients, as with Centrifugo's HTTP API: docs/push-api.md."),
    ("/admin/", "Administration", "What changes ringway itself."),
    ("/debug/", "Debugging", "What is going on within."),
    ("", "Status", "Is it well, what does it do, how is it configured."),
];
const TESTS: (&str, &str) = ("Tests", "Served with `control.test_endpoints` only.");

/// A fault that routes have in common.
struct Fault {
    status: u16,
    /// As `components.responses` calls it.
    name: &'static str,
    summary: &'static str,
    header: Option<(&'static str, &'static str)>,
    /// Which routes may answer it.
    of: fn(&Route) -> bool,
}

const RETRY_AFTER: Option<(&str, &str)> = Some(("Retry-After", "Seconds to wait."));

const FAULTS: &[Fault] = &[
    Fault {
        status: 400,
        name: "BadRequest",
        summary: "Something is wrong with the request.",
        header: None,
        of: |_| true,
    },
    Fault {
        status: 401,
        name: "Unauthorized",
        summary: "Nobody that ringway knows.",
        header: Some(("WWW-Authenticate", "How to say who you are.")),
        of: is_guarded,
    },
    Fault {
        status: 403,
        name: "Forbidden",
        summary: "Not allowed to this token, to web pages, or by this name of the host.",
        header: None,
        of: is_guarded,
    },
    Fault {
        status: 404,
        name: "NotFound",
        summary: "There is none of that name.",
        header: None,
        of: |route| route.path.contains('{'),
    },
    Fault {
        status: 408,
        name: "RequestTimeout",
        summary: "The body, or the answer, took too long.",
        header: None,
        of: |_| true,
    },
    Fault {
        status: 413,
        name: "ContentTooLarge",
        summary: "The body is too long.",
        header: None,
        of: |_| true,
    },
    Fault {
        status: 415,
        name: "UnsupportedMediaType",
        summary: "The body is not said to be JSON.",
        header: None,
        of: |route| route.method != "GET",
    },
    Fault {
        status: 429,
        name: "TooManyRequests",
        summary: "Too many attempts failed before this one.",
        header: RETRY_AFTER,
        of: is_guarded,
    },
    Fault {
        status: 503,
        name: "ServiceUnavailable",
        summary: "A worker takes no message, or too many control connections are open.",
        header: RETRY_AFTER,
        of: |_| true,
    },
];

fn is_guarded(route: &Route) -> bool {
    route.scope > Scope::Open
}

fn is_push(route: &Route) -> bool {
    matches!(route.served_by, ServedBy::Push(_))
}

/// Whether it matters who asks.
fn asks(control: &Control) -> bool {
    !control.tokens.is_empty() || control.tls.clients.as_ref().is_some_and(|clients| clients.required)
}

/// The document of these routes. The same routes make the same text.
pub fn document(routes: impl Iterator<Item = &'static Route>, version: &str, asks: bool) -> Json {
    let routes: Vec<&Route> = routes.collect();
    let mut paths = Map::new();
    for route in &routes {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method.to_ascii_lowercase()] = operation(route, asks);
    }
    let used = |name: &str| routes.iter().any(|route| tag_of(route) == name);
    // A tag of several kinds of paths is told of once.
    let told = TAGS.iter().filter(|(.., summary)| !summary.is_empty());
    let tags = told.map(|(_, name, summary)| (*name, *summary)).chain([TESTS]);
    let tags: Vec<Json> = tags
        .filter(|(name, _)| used(name))
        .map(|(name, summary)| json!({"name": name, "description": summary}))
        .collect();
    let faults = FAULTS.iter().filter(|fault| routes.iter().any(|route| (fault.of)(route)));
    let mut responses: Map<String, Json> =
        faults.map(|fault| (fault.name.to_owned(), response(fault))).collect();
    responses.insert(
        "Fault".to_owned(),
        json!({"description": "Another fault.", "content": {PROBLEM: {"schema": schemas::reference(schemas::PROBLEM)}}}),
    );
    let paths = Json::Object(paths);
    let needed = schemas::needed_by(&json!([paths, responses]));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ringway control port",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This process."}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": needed,
            "responses": responses,
            "securitySchemes": security_schemes(),
        },
    })
}

fn operation(route: &Route, asks: bool) -> Json {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [tag_of(route)],
        "x-ringway-scope": route.scope.label(),
        "security": security(route, asks),
    });
    let own = route.parameters.iter().map(|known| parameter(route, known));
    let parameters: Vec<Json> = own.chain(conditions(route)).collect();
    if !parameters.is_empty() {
        operation["parameters"] = Json::Array(parameters);
    }
    if let Some(body) = route.body {
        operation["requestBody"] = json!({"required": true, "content": media(body)});
    }
    operation["responses"] = responses(route);
    operation
}

/// `GET /api/v1/connections/{id}` -> `get_api_v1_connections_id`
fn operation_id(route: &Route) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric();
    let words = route.path.split(|c| !plain(c)).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("_");
    let words = if words.is_empty() { "index" } else { &words };
    format!("{}_{words}", route.method.to_ascii_lowercase())
}

fn tag_of(route: &Route) -> &'static str {
    if route.test_only {
        return TESTS.0;
    }
    TAGS.iter().find(|(start, ..)| route.path.starts_with(start)).map_or("Status", |(_, name, _)| name)
}

fn parameter(route: &Route, known: &Parameter) -> Json {
    let in_path = route.is_in_path(known.name);
    json!({
        "name": known.name,
        "in": if in_path { "path" } else { "query" },
        "required": in_path,
        "description": known.summary,
        "schema": serde_json::from_str::<Json>(known.schema).unwrap_or_else(|_| json!({})),
    })
}

/// The request's headers that answers of 304 and 412 come from.
fn conditions(route: &Route) -> impl Iterator<Item = Json> {
    let answers = |status| route.answers.iter().any(|said| said.status == status);
    let header = |name: &str, summary: &str| json!({"name": name, "in": "header", "required": false, "description": summary, "schema": {"type": "string"}});
    let unchanged = answers(304).then(|| header("If-None-Match", "An ETag that is known already."));
    let only_if = answers(412).then(|| header("If-Match", "The ETag that must be the one in force."));
    unchanged.into_iter().chain(only_if)
}

fn media(content: Content) -> Json {
    let essence = content.media_type.split(';').next().unwrap_or_default();
    let schema = content.schema.map_or(json!({}), |name| json!({"schema": schemas::reference(name)}));
    json!({essence: schema})
}

/// What it says, then the faults that it may meet, then any other.
fn responses(route: &Route) -> Json {
    let mut responses = Map::new();
    for said in route.answers {
        let response =
            responses.entry(said.status.to_string()).or_insert_with(|| json!({"description": said.summary}));
        add_content(response, said);
        if said.status == 200 && route.answers.iter().any(|other| other.status == 304) {
            response["headers"] =
                json!({"ETag": {"description": "Changes with it.", "schema": {"type": "string"}}});
        }
    }
    for fault in FAULTS.iter().filter(|fault| (fault.of)(route)) {
        let problem = json!({PROBLEM: {"schema": schemas::reference(schemas::PROBLEM)}});
        match responses.get_mut(&fault.status.to_string()) {
            // It means something of its own there, and may be the common fault as well.
            Some(own) => merge(&mut own["content"], problem),
            None if fault.status == 400 && is_push(route) => {
                let mut content = media(json(schemas::PUSH_FAULT));
                merge(&mut content, problem);
                responses.insert("400".to_owned(), json!({"description": fault.summary, "content": content}));
            }
            None => {
                let reference = json!({"$ref": format!("#/components/responses/{}", fault.name)});
                responses.insert(fault.status.to_string(), reference);
            }
        }
    }
    responses.insert("default".to_owned(), json!({"$ref": "#/components/responses/Fault"}));
    responses.sort_keys();
    Json::Object(responses)
}

fn add_content(response: &mut Json, said: &Said) {
    if let Some(content) = said.content {
        merge(&mut response["content"], media(content));
    }
}

/// Adds the members of `more` to an object, or to nothing.
fn merge(object: &mut Json, more: Json) {
    match (object, more) {
        (Json::Object(object), Json::Object(more)) => object.extend(more),
        (object, more) => *object = more,
    }
}

fn response(fault: &Fault) -> Json {
    let mut response = json!({
        "description": fault.summary,
        "content": {PROBLEM: {"schema": schemas::reference(schemas::PROBLEM)}},
    });
    if let Some((name, summary)) = fault.header {
        response["headers"] = json!({name: {"description": summary, "schema": {"type": "string"}}});
    }
    response
}

const BEARER: &str = "bearer";
const BASIC: &str = "basic";
const API_KEY: &str = "api_key";
const MUTUAL_TLS: &str = "mutual_tls";

/// Ways to say who asks; the empty one is for a port that asks nobody.
fn security(route: &Route, asks: bool) -> Json {
    if !is_guarded(route) {
        return json!([]);
    }
    let keys = is_push(route).then_some(API_KEY);
    let ways = keys.into_iter().chain([BEARER, BASIC, MUTUAL_TLS]);
    let nobody = (!asks).then(|| json!({}));
    Json::Array(ways.map(|way| json!({way: []})).chain(nobody).collect())
}

fn security_schemes() -> Json {
    json!({
        BEARER: {"type": "http", "scheme": "bearer", "description": "A token of control.tokens."},
        BASIC: {"type": "http", "scheme": "basic", "description": "The token's name, and the token as password."},
        API_KEY: {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "One of control.api_keys, for the publish API."},
        MUTUAL_TLS: {"type": "mutualTLS", "description": "A client certificate."},
    })
}

#[cfg(test)]
mod tests;
