//! Fingerprints of what a configuration is made of and does not show: the files its keys name, and its secrets.
//!
//! They tell a change from none and nothing else; nothing can be read from them.

use super::effective::Setting;
use super::value::Value;
use super::yaml::{Data, Node};
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// The files that were read, and the fingerprint of each.
#[derive(Default)]
pub struct Contents(RefCell<HashMap<PathBuf, u64>>);

impl Contents {
    /// Notes what was read of a file, and hands it on.
    pub fn note(&self, path: &Path, read: io::Result<String>) -> io::Result<String> {
        if let Ok(text) = &read {
            self.0.borrow_mut().insert(path.to_owned(), of(text));
        }
        read
    }

    /// Marks the keys that name these files. Paths start at `folder`, if they are relative.
    pub fn mark(&self, settings: &mut [Setting], folder: &Path) {
        let files = self.0.borrow();
        for setting in settings {
            let mut named: Vec<u64> = Vec::new();
            texts_in(&setting.value, &mut |text| named.extend(files.get(&folder.join(text))));
            if !named.is_empty() {
                setting.fingerprint = of(&(setting.fingerprint, named));
            }
        }
    }
}

/// Of a secret value, wherever it stands.
pub fn of_node(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    walk(node, &mut hasher);
    hasher.finish()
}

fn walk(node: &Node, hasher: &mut DefaultHasher) {
    match &node.data {
        Data::Scalar { text, .. } => (0_u8, text).hash(hasher),
        Data::List(items) => {
            (1_u8, items.len()).hash(hasher);
            items.iter().for_each(|item| walk(item, hasher));
        }
        Data::Map(entries) => {
            (2_u8, entries.len()).hash(hasher);
            for entry in entries {
                entry.key.hash(hasher);
                walk(&entry.value, hasher);
            }
        }
    }
}

fn of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn texts_in(value: &Value, each: &mut impl FnMut(&str)) {
    match value {
        Value::Bool(_) | Value::Number(_) => {}
        Value::Text(text) => each(text),
        Value::List(items) => items.iter().for_each(|item| texts_in(item, each)),
        Value::Map(fields) => fields.iter().for_each(|(_, value)| texts_in(value, each)),
        Value::Pairs(fields) => fields.iter().for_each(|(_, value)| texts_in(value, each)),
    }
}
