//! The form that the layers fill in, lowest precedence first: each tree is walked against the table of keys,
//! and a later value takes an earlier one's place.

use super::contents;
use super::draft::Draft;
use super::effective::Setting;
use super::fault::{FAULTS_MAX, Faults};
use super::keys::{self, KEYS, Key};
use super::place::{Source, Span};
use super::suggest;
use super::value::Value;
use super::yaml::{self, Data, Entry, Node, Wrong};
use std::collections::HashMap;

/// What is filled in so far.
pub struct Form {
    pub draft: Draft,
    /// One for each key, in the table's order.
    pub settings: Vec<Setting>,
    pub faults: Faults,
}

impl Form {
    /// Every key at its default.
    pub fn with_defaults() -> Form {
        let blank = |key| Setting {
            key,
            value: Value::Text(String::new()),
            place: Source::BuiltIn.at(Span::default()),
            fingerprint: 0,
        };
        let settings = KEYS.iter().copied().map(blank).collect();
        let mut form = Form { draft: Draft::blank(), settings, faults: Faults::default() };
        for (index, key) in KEYS.iter().copied().enumerate() {
            match yaml::parse(key.default) {
                Ok(node) => form.assign(index, key, &Source::BuiltIn, &node),
                Err(wrong) => form.fault(&Source::BuiltIn, key.path, wrong),
            }
        }
        form
    }

    /// Fills in the whole tree of a file.
    pub fn fill(&mut self, source: &Source, root: &Node) {
        match &root.data {
            Data::Map(entries) => self.section(source, "", entries),
            _ => {
                self.fault(source, "", Wrong::at(root.span, "must be a mapping of sections such as socks5:"))
            }
        }
    }

    /// Fills in what stands at one dotted path: a key's value, or a section.
    pub fn entry(&mut self, source: &Source, path: &str, span: Span, node: &Node) {
        let found = KEYS.iter().copied().enumerate().find(|(_, key)| key.path == path);
        if let Some((index, key)) = found {
            return self.assign(index, key, source, node);
        }
        if !keys::is_section(path) {
            return self.fault(source, path, Wrong::at(span, unknown(path)));
        }
        match &node.data {
            Data::Map(entries) => self.section(source, path, entries),
            _ if node.is_null() => {}
            _ => self.fault(
                source,
                path,
                Wrong::at(node.span, "is a section: write keys with values below it"),
            ),
        }
    }

    pub fn fault(&mut self, source: &Source, path: &str, wrong: Wrong) {
        self.faults.push(source.at(wrong.span), format!("{path}{}", wrong.path), wrong.message);
    }

    /// Adds a fault of the key's value: at its own place if it has one, else where the value was written.
    pub fn fault_at_key(&mut self, path: &str, wrong: Wrong) {
        let setting = self.settings.iter().find(|setting| setting.key.path == path);
        let mut place = setting.map_or_else(|| Source::BuiltIn.at(Span::default()), |s| s.place.clone());
        if wrong.span != Span::default() {
            place.span = wrong.span;
        }
        self.faults.push(place, format!("{path}{}", wrong.path), wrong.message);
    }

    fn section(&mut self, source: &Source, section: &str, entries: &[Entry]) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for entry in entries {
            if self.faults.len() >= FAULTS_MAX {
                return;
            }
            let path = join(section, &entry.key);
            match seen.insert(&entry.key, entry.key_span.line) {
                Some(line) => self.fault(source, &path, Wrong::at(entry.key_span, repeated(line))),
                None => self.entry(source, &path, entry.key_span, &entry.value),
            }
        }
    }

    fn assign(&mut self, index: usize, key: &'static Key, source: &Source, node: &Node) {
        match key.kind.assign(node, &mut self.draft) {
            Ok(value) => {
                let fingerprint = if key.kind.is_secret() { contents::of_node(node) } else { 0 };
                self.settings[index] = Setting { key, value, place: source.at(node.span), fingerprint };
            }
            Err(wrongs) => wrongs.into_iter().for_each(|wrong| self.fault(source, key.path, wrong)),
        }
    }
}

fn join(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

fn repeated(line: usize) -> String {
    format!("set a second time; the first is in line {line}: keep one of them")
}

/// What to say of a path that is neither a key nor a section.
fn unknown(path: &str) -> String {
    if let Some(now) = keys::new_name(path) {
        return format!("unknown key: it is called {now} now; did you mean {now:?}?");
    }
    format!("unknown key{}", remedy(path))
}

fn remedy(path: &str) -> String {
    let (section, word) = path.rsplit_once('.').unwrap_or(("", path));
    if let Some(sibling) = suggest::nearest(word, siblings(section)) {
        return format!("; did you mean {sibling:?}?");
    }
    let namesake = KEYS.iter().map(|key| key.path).find(|path| path.rsplit('.').next() == Some(word));
    let paths = || KEYS.iter().map(|key| key.path);
    match namesake.or_else(|| suggest::nearest(path, paths())) {
        Some(path) => format!("; did you mean {path:?}?"),
        None => "; remove it, or see `ringway config default` for all keys".to_owned(),
    }
}

/// The words that may stand in a section.
fn siblings(section: &str) -> impl Iterator<Item = &'static str> {
    let inside = move |key: &'static Key| match section {
        "" => key.path.split('.').next(),
        _ => key.path.strip_prefix(section)?.strip_prefix('.')?.split('.').next(),
    };
    KEYS.iter().copied().filter_map(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_told_what_was_meant() {
        for (path, told) in [
            ("socks5.timeouts.idel", r#"unknown key; did you mean "idle"?"#),
            ("sock5", r#"unknown key; did you mean "socks5"?"#),
            ("socks5.idle", r#"unknown key; did you mean "socks5.timeouts.idle"?"#),
            ("colour", "unknown key; remove it, or see `ringway config default` for all keys"),
            (
                "control.open",
                r#"unknown key: it is called control.insecure now; did you mean "control.insecure"?"#,
            ),
        ] {
            assert_eq!(unknown(path), told, "{path}");
        }
    }
}
