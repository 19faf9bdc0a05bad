//! What a check tells.

use std::borrow::Cow;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Ok,
    /// Slower than it could be, or only so in rare cases.
    Note,
    /// Something that the configuration asks for is not had in full: work will be refused, lost or late.
    Warning,
    /// ringway will not start so, or will serve nobody who needs this.
    Failure,
}

impl Level {
    #[must_use]
    pub fn label(self) -> &'static str {
        ["ok", "note", "warning", "failure"][self as usize]
    }

    /// The worst of all; `Ok` if there is none.
    #[must_use]
    pub fn worst(findings: &[Finding]) -> Level {
        findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name: one word.
    pub check: &'static str,
    pub level: Level,
    pub found: String,
    pub wanted: String,
    pub why: Cow<'static, str>,
    /// What to do about it; `None` where all is well.
    pub fix: Option<String>,
    /// The sysctl that would have to be set, and to what.
    pub sysctl: Option<(&'static str, String)>,
}

impl Finding {
    /// A finding that is well, until a fault is held against it.
    pub fn new(
        check: &'static str,
        found: impl Into<String>,
        wanted: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Finding {
        let (found, wanted, why) = (found.into(), wanted.into(), why.into());
        Finding { check, level: Level::Ok, found, wanted, why, fix: None, sysctl: None }
    }

    /// Is as bad as `level`, with this remedy.
    #[must_use]
    pub fn amiss(self, level: Level, fix: impl Into<String>) -> Finding {
        Finding { level, fix: Some(fix.into()), ..self }
    }

    /// Is well if `well`, else as bad as `level`.
    #[must_use]
    pub fn unless(self, well: bool, level: Level, fix: impl FnOnce() -> String) -> Finding {
        if well { self } else { self.amiss(level, fix()) }
    }
}
