//! A setting's value in the few shapes that YAML and JSON share, for showing it.

use serde_json::Value as Json;
use std::fmt;

/// A value as it would be written. Displays as YAML on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Bool(bool),
    Number(u64),
    /// Words, durations, sizes, addresses, networks, paths.
    Text(String),
    List(Vec<Value>),
    /// Fields in the order they are written.
    Map(Vec<(&'static str, Value)>),
    /// Fields whose names somebody has chosen.
    Pairs(Vec<(String, Value)>),
}

impl Value {
    /// A list of what displays as text.
    pub(super) fn texts(items: impl IntoIterator<Item = impl ToString>) -> Value {
        Value::List(items.into_iter().map(|item| Value::Text(item.to_string())).collect())
    }

    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Value::Bool(value) => Json::from(*value),
            Value::Number(value) => Json::from(*value),
            Value::Text(value) => Json::from(value.as_str()),
            Value::List(items) => items.iter().map(Value::to_json).collect(),
            Value::Map(fields) => Json::Object(
                fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_json())).collect(),
            ),
            Value::Pairs(fields) => {
                Json::Object(fields.iter().map(|(name, value)| (name.clone(), value.to_json())).collect())
            }
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(value) => write!(f, "{value}"),
            Value::Text(value) if reads_back_plain(value) => f.write_str(value),
            // A JSON string is a YAML one.
            Value::Text(value) => write!(f, "{}", Json::from(value.as_str())),
            Value::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Value::Map(fields) => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
            Value::Pairs(fields) => {
                f.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let name = Value::Text(name.clone());
                    write!(f, "{}{name}: {value}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Whether a text may stand unquoted without being taken for something else.
fn reads_back_plain(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/');
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(word)
        && !text.chars().all(|c| c.is_ascii_digit())
        && !matches!(text, "true" | "false" | "null")
}
