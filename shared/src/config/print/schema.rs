//! `ringway config schema`: JSON Schema, draft 2020-12, for editors.

use crate::config::keys::{KEYS, Key, SECTIONS};
use crate::config::kind::Kind;
use crate::config::read::LIST_LEN_MAX;
use crate::config::{TargetClass, yaml};
use serde_json::{Map, Value as Json, json};
use std::ops::RangeInclusive;

const DURATION_PATTERN: &str = "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";
const BYTES_PATTERN: &str = "^(?=.)([0-9]+GiB)?([0-9]+MiB)?([0-9]+KiB)?([0-9]+B)?$";

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
        Kind::IntegerOrAuto(range, _) => json!({ "oneOf": [{ "const": "auto" }, integer(range)] }),
        Kind::Duration(..) => json!({ "type": "string", "pattern": DURATION_PATTERN }),
        Kind::Bytes(..) => json!({ "type": "string", "pattern": BYTES_PATTERN }),
        Kind::Word(words) => json!({ "enum": words.iter().map(|(word, _)| *word).collect::<Vec<_>>() }),
        Kind::Addresses { .. } => list(json!({ "type": "string" })),
        Kind::Cpus(range, _) => list(integer(range)),
        Kind::Classes(_) => list(json!({ "enum": TargetClass::ALL.map(TargetClass::label) })),
        Kind::Targets(_) => list(json!({ "type": "string" })),
        Kind::Path(_) => json!({ "type": "string", "minLength": 1 }),
    }
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
