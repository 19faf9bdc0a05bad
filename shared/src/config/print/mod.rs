//! The table of keys for people and programs: YAML, JSON Schema, Markdown.

mod markdown;
mod schema;
mod yaml;

pub use markdown::markdown;
pub use schema::schema_json;
pub use yaml::{default_yaml, effective_yaml};
