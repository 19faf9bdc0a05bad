//! The configuration in force, and those that were before it.

use crate::export::ReloadFacts;
use crate::settings::Texts;
use ringway_shared::config::{Change, Config, Effective, Loaded, Override};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Generations kept to roll back to, besides the one in force.
pub const EARLIER_MAX: usize = 10;

/// One configuration that is, or was, in force.
pub struct Generation {
    /// 1 for the one ringway started with.
    pub number: u64,
    pub config: Arc<Config>,
    pub effective: Effective,
    pub since: SystemTime,
    /// Who applied it: `start`, `SIGHUP`, the name of a token.
    pub by: String,
    /// What `GET /config` shows, secrets redacted.
    pub shown: String,
    /// The ETag that changes with it.
    pub tag: String,
    pub made_of: MadeOf,
    /// What made it differ from the one before.
    pub changes: Vec<Change>,
}

/// What a configuration was made of, so that another one can be made of it.
#[derive(Clone, Default)]
pub struct MadeOf {
    pub texts: Rc<Texts>,
    pub overrides: Vec<Temporary>,
}

/// A key that somebody has set for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Temporary {
    /// Its key, its value and when it returns, for people.
    pub set: Override,
    pub due: Instant,
    pub by: String,
}

impl Generation {
    #[must_use]
    pub fn new(
        number: u64,
        loaded: Loaded,
        by: &str,
        since: SystemTime,
        made_of: MadeOf,
        changes: Vec<Change>,
    ) -> Generation {
        let shown = format!("{:#}\n", loaded.effective.to_json());
        let mut hasher = DefaultHasher::new();
        (number, &shown).hash(&mut hasher);
        Generation {
            number,
            config: Arc::new(loaded.config),
            effective: loaded.effective,
            since,
            by: by.to_owned(),
            tag: format!("\"{number}-{:016x}\"", hasher.finish()),
            shown,
            made_of,
            changes,
        }
    }
}

/// The generations there are.
pub struct Running {
    current: RefCell<Rc<Generation>>,
    /// The newest first.
    earlier: RefCell<VecDeque<Rc<Generation>>>,
    /// What became of the reloads, those that changed nothing and those that failed among them.
    pub reloads: Cell<ReloadFacts>,
    /// The last of them; none before the first.
    pub last_reload: RefCell<Option<LastReload>>,
}

/// What came of a reload.
pub struct LastReload {
    pub ok: bool,
    pub at: SystemTime,
    /// For people: what is different, or what was wrong.
    pub message: String,
}

impl Running {
    /// The configuration of the start.
    #[must_use]
    pub fn new(loaded: Loaded, texts: Texts) -> Running {
        texts.settle();
        let made_of = MadeOf { texts: Rc::new(texts), overrides: Vec::new() };
        let first = Generation::new(1, loaded, "start", SystemTime::now(), made_of, Vec::new());
        let reloads = Cell::new(ReloadFacts::at_start());
        Running {
            current: RefCell::new(Rc::new(first)),
            earlier: RefCell::default(),
            reloads,
            last_reload: RefCell::default(),
        }
    }

    #[must_use]
    pub fn current(&self) -> Rc<Generation> {
        self.current.borrow().clone()
    }

    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.current.borrow().config.clone()
    }

    /// How often a configuration has been applied.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current.borrow().number
    }

    /// Puts `next` in force.
    pub fn replace(&self, next: Generation) {
        let before = self.current.replace(Rc::new(next));
        let mut earlier = self.earlier.borrow_mut();
        earlier.push_front(before);
        earlier.truncate(EARLIER_MAX);
    }

    /// Those before the one in force, the newest first.
    #[must_use]
    pub fn earlier(&self) -> Vec<Rc<Generation>> {
        self.earlier.borrow().iter().cloned().collect()
    }
}
