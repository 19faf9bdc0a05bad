//! Where a value was written: in a file at a line and column, in the environment, in a `--set`.

use std::fmt;
use std::sync::Arc;

/// A stretch of text. Lines and columns count from 1, columns and widths in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub line: usize,
    pub column: usize,
    /// Characters on the first line; 0 where the text goes on below.
    pub width: usize,
}

impl Span {
    /// From the start of this one to the end of another.
    pub(super) fn until(self, end: Span) -> Span {
        let width =
            if end.line == self.line { (end.column + end.width).saturating_sub(self.column) } else { 0 };
        Span { width, ..self }
    }
}

/// Who said it. The order is that of precedence, lowest first, and of listing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The table of keys.
    BuiltIn,
    /// The configuration file, by the name the caller gave it.
    File(Arc<str>),
    /// The users file or the tokens file. Its lines hold secrets and are never quoted.
    UsersFile(Arc<str>),
    /// An environment variable.
    Environment(Arc<str>),
    /// A `--set`, by its key; the value is not repeated.
    Set(Arc<str>),
    /// Somebody who has set it for a time, until then.
    Override(Arc<str>),
    /// The configuration in force: what was written needs a restart.
    InForce,
}

/// A source and, within a file, the stretch of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub source: Source,
    /// Meaningful for files alone.
    pub span: Span,
}

impl Source {
    /// The place of `span` in this source.
    #[must_use]
    pub fn at(&self, span: Span) -> Place {
        Place { source: self.clone(), span }
    }

    /// Whether lines and columns mean something here.
    #[must_use]
    pub fn has_lines(&self) -> bool {
        matches!(self, Source::File(_) | Source::UsersFile(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::BuiltIn => f.write_str("default"),
            Source::File(name) | Source::UsersFile(name) => f.write_str(name),
            Source::Environment(name) => write!(f, "environment {name}"),
            Source::Set(key) => write!(f, "--set {key}=…"),
            Source::Override(until) => write!(f, "override until {until}"),
            Source::InForce => f.write_str("in force until a restart"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if self.source.has_lines() && self.span.line > 0 {
            write!(f, ":{}:{}", self.span.line, self.span.column)?;
        }
        Ok(())
    }
}
