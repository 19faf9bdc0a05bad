//! The fields of a request's body, as its JSON Schema has them, and the values that people write for them.

use crate::server::{Route, schema};
use serde_json::Value as Json;
use std::io::Read;

/// Bytes read from standard input.
const STDIN_BYTES_MAX: u64 = 16 << 20;

/// One field, or one parameter.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub schema: Json,
    pub summary: String,
    pub required: bool,
}

/// The fields of what a route takes; `None`: it takes nothing, or no JSON object.
pub fn fields_of(route: &Route) -> Option<Vec<Field>> {
    let schema = schema(route.body?.schema?)?;
    let required = |name: &str| {
        schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name))
    };
    let fields = schema["properties"].as_object()?.iter().map(|(name, field)| {
        let field = resolved(field);
        let summary = field["description"].as_str().unwrap_or_default().to_owned();
        Field { name: name.clone(), schema: field, summary, required: required(name) }
    });
    Some(fields.collect())
}

/// What a reference refers to.
fn resolved(field: &Json) -> Json {
    let name = field["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(schema).unwrap_or_else(|| field.clone())
}

impl Field {
    fn is_of(&self, kind: &str) -> bool {
        // One that may be nothing as well is written `["string", "null"]`.
        let of = |kinds: &Json| {
            kinds == kind || kinds.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind))
        };
        of(&self.schema["type"])
    }

    pub fn is_flag(&self) -> bool {
        self.is_of("boolean")
    }

    pub fn is_number(&self) -> bool {
        self.is_of("integer") || self.is_of("number")
    }

    /// Whether what is meant may begin with `-`, as a moment that is so long ago does.
    pub fn may_begin_with_hyphen(&self) -> bool {
        let shown = self.schema["examples"].as_array().into_iter().flatten().chain([&self.schema["default"]]);
        self.is_number() || shown.filter_map(Json::as_str).any(|text| text.starts_with('-'))
    }

    /// Several texts.
    pub fn is_list(&self) -> bool {
        self.is_of("array") && resolved(&self.schema["items"])["type"] == "string"
    }

    /// Values by their names.
    pub fn is_map(&self) -> bool {
        self.is_of("object") && self.schema["properties"].is_null()
    }

    /// The words it is one of.
    pub fn words(&self) -> Option<Vec<String>> {
        let words = self.schema["enum"].as_array()?.iter();
        words.map(|word| word.as_str().map(str::to_owned)).collect()
    }

    /// The value that is meant: a text where the schema wants one, otherwise JSON, or text if it is none.
    pub fn value(&self, written: &[String]) -> Result<Json, String> {
        if self.is_list() {
            return Ok(Json::from(written.to_vec()));
        }
        if self.is_map() && written.iter().all(|text| is_pair(text)) {
            let pairs = written.iter().filter_map(|text| text.split_once('='));
            let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Json::from(text));
            return Ok(pairs.map(|(name, text)| (name.to_owned(), value(text))).collect());
        }
        let text = written.concat();
        if self.is_of("string") || self.words().is_some() {
            return Ok(Json::String(text));
        }
        let text = read_dash(&text)?;
        match serde_json::from_str(&text) {
            Ok(value) => Ok(value),
            Err(_) if self.schema["type"].is_null() => Ok(Json::String(text)),
            Err(error) => Err(format!("{}: {text:?} is not JSON: {error}\n", self.name)),
        }
    }
}

/// `NAME=VALUE`, and no JSON.
fn is_pair(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.starts_with(['{', '"']))
}

/// `-` is what standard input holds.
pub fn read_dash(text: &str) -> Result<String, String> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut whole = String::new();
    let read = std::io::stdin().lock().take(STDIN_BYTES_MAX).read_to_string(&mut whole);
    read.map(|_| whole).map_err(|error| format!("standard input cannot be read: {error}\n"))
}
