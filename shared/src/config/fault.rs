//! What is wrong with a configuration: every fault at once, each with its place, its key and a remedy.

use super::keys;
use super::place::{Place, Source};
use std::fmt;

/// Faults kept and shown; the rest are counted.
pub const FAULTS_MAX: usize = 100;
/// Characters of a source line shown below a fault.
const EXCERPT_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub place: Place,
    /// The dotted key, e.g. `socks5.timeouts.idle` or `users[2].name`; empty where there is none.
    pub path: String,
    /// What is wrong and what to do about it. Never holds a secret.
    pub message: String,
    excerpt: Option<Excerpt>,
}

/// The line a fault stands in, cut to the part that is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: usize,
    text: String,
    /// Characters before the caret.
    indent: usize,
    carets: usize,
}

/// All faults of one load, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    found: Vec<Fault>,
    dropped: usize,
}

impl Faults {
    /// The faults kept, ordered by source, line and column.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.found.iter()
    }

    /// How many faults were found, those beyond [`FAULTS_MAX`] included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.found.len() + self.dropped
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// A fault found before anything could be loaded, e.g. that there is no such file.
    #[must_use]
    pub fn one(place: Place, path: &str, message: impl Into<String>) -> Faults {
        let mut faults = Faults::default();
        faults.push(place, path, message);
        faults
    }

    pub(super) fn push(&mut self, place: Place, path: impl Into<String>, message: impl Into<String>) {
        if self.found.len() == FAULTS_MAX {
            self.dropped += 1;
            return;
        }
        self.found.push(Fault { place, path: path.into(), message: message.into(), excerpt: None });
    }

    /// Whether `key` or something inside it is at fault already.
    pub(super) fn touch(&self, key: &str) -> bool {
        self.found.iter().any(|fault| match fault.path.strip_prefix(key) {
            Some(rest) => rest.is_empty() || rest.starts_with(['.', '[']),
            None => false,
        })
    }

    /// Puts the faults in order and shows each one of the configuration file its line.
    pub(super) fn arrange(&mut self, file_text: &str) {
        self.found.sort_by(|a, b| a.place.cmp(&b.place));
        for fault in &mut self.found {
            let key = fault.path.split('[').next().and_then(keys::find);
            let is_secret = key.is_some_and(|key| key.kind.is_secret());
            if matches!(fault.place.source, Source::File(_)) && !is_secret {
                fault.excerpt = Excerpt::of(&fault.place, file_text);
            }
        }
    }
}

impl Excerpt {
    /// The faulty part of the line and its key. What else stands there may be somebody's secret.
    fn of(place: &Place, text: &str) -> Option<Excerpt> {
        let span = place.span;
        let line = text.lines().nth(span.line.checked_sub(1)?)?;
        let before: String = line.chars().take(span.column - 1).collect();
        let after: Vec<char> = line.chars().skip(span.column - 1).collect();
        let shown = if span.width == 0 { after.len() } else { span.width.min(after.len()) }.min(EXCERPT_MAX);
        let prefix = if is_plain_key(&before) { before } else { "… ".to_owned() };
        let rest = if shown < after.len() { " …" } else { "" };
        let part: String = after[..shown].iter().collect();
        Some(Excerpt {
            line: span.line,
            indent: prefix.chars().count(),
            carets: shown.max(1),
            text: format!("{prefix}{part}{rest}").replace('\t', " "),
        })
    }
}

/// Whether a line's beginning is nothing but `key: ` or `- `.
fn is_plain_key(before: &str) -> bool {
    before.len() < EXCERPT_MAX
        && before.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '\t' | '_' | ':' | '-'))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        let named = matches!(&self.place.source, Source::Set(key) if **key == *self.path);
        if !named && !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(Excerpt { line, text, indent, carets }) = &self.excerpt {
            write!(f, "\n{line:>5} | {text}\n      | {:indent$}{:^<carets$}", "", "")?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.found.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{fault}")?;
        }
        if self.dropped > 0 {
            write!(f, "\n… and {} more", self.dropped)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
