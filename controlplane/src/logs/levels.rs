//! How important a line must be to be written: as `log.level` says, but for modules that somebody has set apart for a time.

use super::LOGIN;
use ringway_shared::config::LogLevel;
use std::cell::{Cell, RefCell};
use std::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::reload::{Handle, Layer};

/// Modules set apart at once.
pub const MODULES_MAX: usize = 32;
const MODULE_BYTES_MAX: usize = 128;

/// The levels in force.
pub struct Levels {
    filter: Handle<Targets, Registry>,
    configured: Cell<LogLevel>,
    raised: RefCell<Vec<Raised>>,
}

/// A level for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised {
    /// As `tracing` names it, with all modules below it; `None`: everything.
    pub module: Option<String>,
    pub level: LogLevel,
    pub due: Instant,
    /// The same, for people.
    pub until: String,
    pub by: String,
}

impl Levels {
    pub(super) fn new(configured: LogLevel) -> (Layer<Targets, Registry>, Levels) {
        let (layer, filter) = Layer::new(targets(configured, &[]));
        let levels = Levels { filter, configured: Cell::new(configured), raised: RefCell::default() };
        (layer, levels)
    }

    /// Levels that govern nothing, for tests.
    #[cfg(test)]
    #[must_use]
    pub fn unused() -> Levels {
        Levels::new(LogLevel::Info).1
    }

    /// Those for a time, in the order they were set.
    #[must_use]
    pub fn raised(&self) -> Vec<Raised> {
        self.raised.borrow().clone()
    }

    /// `log.level` is this from now on.
    pub fn configure(&self, level: LogLevel) {
        if self.configured.replace(level) != level {
            self.put_in_force();
        }
    }

    /// Sets a module apart, in the place of what was said of it before. False: too many are.
    #[must_use]
    pub fn set(&self, one: Raised) -> bool {
        let mut raised = self.raised.borrow_mut();
        let others = raised.iter().filter(|other| other.module != one.module).count();
        if others >= MODULES_MAX {
            return false;
        }
        raised.retain(|other| other.module != one.module);
        raised.push(one);
        drop(raised);
        self.put_in_force();
        true
    }

    /// Ends those of `which` module, or all; how many they were.
    pub fn end(&self, which: Option<&str>) -> usize {
        self.end_where(|one| which.is_none_or(|module| one.module.as_deref() == Some(module)))
    }

    /// When the first of them ends.
    #[must_use]
    pub fn next_due(&self) -> Option<Instant> {
        self.raised.borrow().iter().map(|one| one.due).min()
    }

    /// Ends those whose time has come; how many they were.
    pub fn end_due(&self, now: Instant) -> usize {
        self.end_where(|one| one.due <= now)
    }

    fn end_where(&self, ends: impl Fn(&Raised) -> bool) -> usize {
        let mut raised = self.raised.borrow_mut();
        let before = raised.len();
        raised.retain(|one| !ends(one));
        let ended = before - raised.len();
        drop(raised);
        if ended > 0 {
            self.put_in_force();
        }
        ended
    }

    fn put_in_force(&self) {
        let targets = targets(self.configured.get(), &self.raised.borrow());
        // The subscriber lives as long as the process; where there is none, in tests, nothing is written anyway.
        let _ = self.filter.reload(targets);
    }
}

/// Whether this could be a module's name.
#[must_use]
pub fn is_module(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    (1..=MODULE_BYTES_MAX).contains(&name.len()) && name.chars().all(allowed)
}

/// What is written at all.
fn targets(configured: LogLevel, raised: &[Raised]) -> Targets {
    let everything = raised.iter().find(|one| one.module.is_none()).map_or(configured, |one| one.level);
    let targets = Targets::new()
        .with_default(filter(everything))
        // Odd packets of strangers are no news of ours.
        .with_target("hickory_resolver", LevelFilter::ERROR)
        .with_target("hickory_net", LevelFilter::ERROR)
        .with_target("hickory_proto", LevelFilter::ERROR);
    let modules = raised.iter().filter_map(|one| Some((one.module.clone()?, filter(one.level))));
    // Last, so that nobody takes them away.
    let targets = targets.with_targets(modules);
    targets.with_target(LOGIN, LevelFilter::WARN)
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn raised(module: Option<&str>, level: LogLevel) -> Raised {
        Raised {
            module: module.map(str::to_owned),
            level,
            due: Instant::now(),
            until: String::new(),
            by: "test".to_owned(),
        }
    }

    #[test]
    fn no_level_silences_failed_logins() {
        let off = [raised(Some(LOGIN), LogLevel::Error)];
        for targets in [targets(LogLevel::Error, &[]), targets(LogLevel::Error, &off)] {
            assert!(targets.would_enable(LOGIN, &Level::WARN));
            assert!(!targets.would_enable("ringway", &Level::WARN));
        }
    }

    #[test]
    fn a_module_has_its_own_level_and_the_others_theirs() {
        let io = "ringway_dataplane::io";
        let set = [raised(Some(io), LogLevel::Debug), raised(None, LogLevel::Warn)];
        let targets = targets(LogLevel::Info, &set);
        assert!(targets.would_enable("ringway_dataplane::io::dial", &Level::DEBUG));
        assert!(!targets.would_enable("ringway_dataplane::io", &Level::TRACE));
        assert!(!targets.would_enable("ringway_dataplane::hub", &Level::INFO));
        assert!(targets.would_enable("ringway", &Level::WARN));
    }

    #[test]
    fn modules_are_bounded_and_end_by_name_or_all_together() {
        let levels = Levels::unused();
        for n in 0..MODULES_MAX {
            assert!(levels.set(raised(Some(&format!("m{n}")), LogLevel::Debug)));
        }
        assert!(!levels.set(raised(Some("one_more"), LogLevel::Debug)));
        assert!(levels.set(raised(Some("m0"), LogLevel::Trace)), "it is there already");
        assert_eq!(levels.end(Some("m0")), 1);
        assert_eq!(levels.end(Some("m0")), 0);
        assert!(levels.set(raised(None, LogLevel::Debug)));
        assert_eq!(levels.end(None), MODULES_MAX);
        assert_eq!(levels.raised(), []);
    }

    #[test]
    fn names_of_modules_hold_nothing_strange() {
        assert!(is_module("ringway_dataplane::io") && is_module("audit"));
        for name in ["", "a b", "a=debug", "a,b", "é", &"x".repeat(129)] {
            assert!(!is_module(name), "{name}");
        }
    }
}
