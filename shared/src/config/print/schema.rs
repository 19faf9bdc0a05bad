//! `ringway config schema`: JSON Schema, draft 2020-12, for editors.

use crate::config::fields::{Field, Shape};
use crate::config::keys::{KEYS, Key, SECTIONS};
use crate::config::kind::Kind;
use crate::config::read::LIST_LEN_MAX;
use crate::config::{TargetClass, alerts, control, namespaces, proxies, rules, tls, yaml};
use serde_json::{Map, Value as Json, json};
use std::ops::RangeInclusive;

const DURATION_PATTERN: &str = "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
const BYTES_PATTERN: &str = "^(?=.)([0-9]+TiB)?([0-9]+GiB)?([0-9]+MiB)?([0-9]+KiB)?([0-9]+B)?$";
const MODE_PATTERN: &str = "^(0o)?0?[0-7]{3}$";
const PORTS_PATTERN: &str = "^[0-9]+(-[0-9]+)?$";

/// The schema of a configuration file, as JSON text.
#[must_use]
pub fn schema_json() -> String {
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ringway configuration",
    });
    merge(&mut root, section(""));
    format!("{root:#}\n")
}

/// The object of one section: its own keys, then the sections inside it.
fn section(path: &str) -> Json {
    let mut properties = Map::new();
    for key in KEYS.iter().filter(|key| key.section() == path) {
        properties.insert(key.name().to_owned(), property(key));
    }
    for (inner, doc) in SECTIONS {
        let (parent, name) = inner.rsplit_once('.').unwrap_or(("", inner));
        if parent == path {
            let mut schema = json!({ "description": doc });
            merge(&mut schema, section(inner));
            properties.insert(name.to_owned(), schema);
        }
    }
    json!({ "type": ["object", "null"], "additionalProperties": false, "properties": properties })
}

fn property(key: &Key) -> Json {
    let mut schema = json!({ "description": key.doc });
    merge(&mut schema, shape(&key.kind));
    if let (Json::Object(fields), Some(default)) = (&mut schema, default_of(key)) {
        fields.insert("default".to_owned(), default);
    }
    schema
}

fn shape(kind: &Kind) -> Json {
    match kind {
        Kind::Bool(_) => json!({ "type": "boolean" }),
        Kind::Integer(range, _) => integer(range),
        Kind::IntegerOr(word, range, _) => json!({ "oneOf": [{ "const": word }, integer(range)] }),
        Kind::Duration(..) => json!({ "type": "string", "pattern": DURATION_PATTERN }),
        Kind::Bytes(..) => json!({ "type": "string", "pattern": BYTES_PATTERN }),
        Kind::Word(table) => json!({ "enum": names(table) }),
        Kind::Words { words: table, .. } => list(json!({ "enum": names(table) })),
        Kind::OptionalText { bytes_max, .. } => json!({ "type": "string", "maxLength": bytes_max }),
        Kind::AccessLog(_) => json!({ "type": ["string", "boolean"], "minLength": 1 }),
        Kind::Ports(_) => json!({ "oneOf": [{ "const": "auto" }, ports()] }),
        Kind::Cpus(range, _) => list(integer(range)),
        Kind::Classes(_) => list(json!({ "enum": TargetClass::ALL.map(TargetClass::label) })),
        Kind::Addresses { .. }
        | Kind::Ips(_)
        | Kind::Networks(_)
        | Kind::Destinations(_)
        | Kind::Origins(_)
        | Kind::Paths(_)
        | Kind::Targets(_)
        | Kind::Hosts(_)
        | Kind::ApiKeys(_) => list(json!({ "type": "string" })),
        Kind::Rules(_) => list(mapping(&rules::FIELDS)),
        Kind::Proxies(_) => list(mapping(&proxies::FIELDS)),
        Kind::Namespaces(_) => list(mapping(&namespaces::FIELDS)),
        Kind::Certificates(_) => list(mapping(&tls::FIELDS)),
        Kind::ControlTokens(_) => list(mapping(&control::tokens::FIELDS)),
        Kind::AlertRules(_) => list(mapping(&alerts::rules::FIELDS)),
        Kind::Webhooks(_) => list(mapping(&alerts::webhooks::FIELDS)),
        Kind::Mode(_) => json!({ "type": ["string", "integer"], "pattern": MODE_PATTERN }),
        Kind::Path(_) => json!({ "type": "string", "minLength": 1 }),
    }
}

fn names<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(word, _)| *word).collect()
}

/// The object of one mapping in a list.
fn mapping(fields: &[Field]) -> Json {
    let properties = fields.iter().map(|field| {
        let mut schema = json!({ "description": field.doc });
        merge(&mut schema, shape_of_field(field));
        (field.name.to_owned(), schema)
    });
    let required: Vec<_> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": Json::Object(properties.collect()),
    })
}

fn shape_of_field(field: &Field) -> Json {
    match &field.shape {
        Shape::Text(example) => json!({ "type": "string", "minLength": 1, "examples": [example] }),
        Shape::AnyText(example) => json!({ "type": "string", "examples": [example] }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Texts(example) => list(json!({ "type": "string", "examples": [example] })),
        Shape::Ports => list(ports()),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Words(words) => list(json!({ "enum": words })),
        Shape::Number(low, high) => integer(&(*low..=*high)),
        Shape::Size(_) => json!({ "type": "string", "pattern": BYTES_PATTERN }),
        Shape::Duration => json!({ "type": "string", "pattern": DURATION_PATTERN }),
        Shape::Mapping(fields) => mapping(fields),
        Shape::Pairs(example) => json!({
            "type": "object",
            "additionalProperties": { "type": ["string", "number", "boolean"] },
            "description": format!("e.g. {example}"),
        }),
        Shape::Threshold => json!({ "type": ["string", "integer"] }),
        Shape::Rules => list(mapping(&rules::FIELDS)),
    }
}

/// One port or a range of them.
fn ports() -> Json {
    json!({ "oneOf": [integer(&(0..=u64::from(u16::MAX))), { "type": "string", "pattern": PORTS_PATTERN }] })
}

fn integer(range: &RangeInclusive<u64>) -> Json {
    json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
}

fn list(items: Json) -> Json {
    json!({ "type": "array", "maxItems": LIST_LEN_MAX, "items": items })
}

fn default_of(key: &Key) -> Option<Json> {
    let mut draft = crate::config::draft::Draft::blank();
    let node = yaml::parse(key.default).ok()?;
    Some(key.kind.assign(&node, &mut draft).ok()?.to_json())
}

fn merge(into: &mut Json, from: Json) {
    if let (Json::Object(into), Json::Object(from)) = (into, from) {
        into.extend(from);
    }
}
