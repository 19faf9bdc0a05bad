//! What every key is set to, and who set it.
//!
//! No secret is kept here: those live in files, in the environment and in keys that are shown redacted. Of them a
//! fingerprint tells whether they have changed.

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
    /// Changes with what the value does not show: secrets, and the contents of the files it names.
    pub fingerprint: u64,
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

    /// Until when it is set to this; `None`: until somebody changes it.
    #[must_use]
    pub fn until(&self) -> Option<&str> {
        match &self.place.source {
            Source::Override(until) => Some(until),
            _ => None,
        }
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
    /// `{"socks5.auth": {"value": "none", "origin": "default", "reload": "new_connections"}, …}`. A key that is set for a
    /// time has `until` as well.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let entry = |setting: &Setting| {
            let mut facts = json!({
                "value": setting.value.to_json(),
                "origin": setting.origin(),
                "reload": setting.key.reload.label(),
            });
            if let Some(until) = setting.until() {
                facts["until"] = json!(until);
            }
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
