//! What every key is set to, and who set it.
//!
//! No key holds a secret: those live in the users file, the tokens file and where the passwords of upstream
//! proxies and the secrets of tokens are kept, of which
//! nothing is kept here.

use super::keys::Key;
use super::place::{Place, Source};
use super::value::Value;
use serde_json::{Value as Json, json};

/// One key's value.
#[derive(Clone)]
pub struct Setting {
    pub key: &'static Key,
    pub value: Value,
    /// Where it was written; [`Source::BuiltIn`] is the default.
    pub place: Place,
}

/// Every key's value, in the table's order.
#[derive(Clone)]
pub struct Effective {
    pub settings: Vec<Setting>,
}

impl Setting {
    /// Whether nobody set it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.place.source == Source::BuiltIn
    }

    /// Who set it, e.g. `ringway.yaml:12:5`, `environment RINGWAY_LOG__LEVEL`, `default`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.place.to_string()
    }
}

impl Effective {
    /// The setting of one key.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key.path == path)
    }

    /// For `GET /config`, by key:
    /// `{"socks5.auth": {"value": "none", "origin": "default", "reload": "new_connections"}, …}`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let entry = |setting: &Setting| {
            let facts = json!({
                "value": setting.value.to_json(),
                "origin": setting.origin(),
                "reload": setting.key.reload.label(),
            });
            (setting.key.path.to_owned(), facts)
        };
        Json::Object(self.settings.iter().map(entry).collect())
    }
}

impl std::fmt::Debug for Effective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.settings.iter().map(|s| (s.key.path, s.value.to_string()))).finish()
    }
}
