//! Who reads the feed by the control port. Workers hold the connections; what is here are the leaves that were given for them.

use crate::guard::{Principal, Scope};
use crate::server::guard::scope_now;
use ringway_shared::config::Control;
use ringway_shared::feed::Grant;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

/// All of them.
#[derive(Default)]
pub struct Readers(RefCell<Vec<Reader>>);

struct Reader {
    worker: usize,
    by: Principal,
    /// Gone as soon as the connection is.
    grant: Weak<Grant>,
}

impl Readers {
    /// How many there are now.
    #[must_use]
    pub fn count(&self) -> usize {
        let mut all = self.0.borrow_mut();
        all.retain(|reader| reader.grant.strong_count() > 0);
        all.len()
    }

    /// How many of them were given to one worker.
    #[must_use]
    pub fn of_worker(&self, worker: usize) -> usize {
        let all = self.0.borrow();
        all.iter().filter(|reader| reader.worker == worker && reader.grant.strong_count() > 0).count()
    }

    pub fn note(&self, worker: usize, by: Principal, grant: &Arc<Grant>) {
        self.0.borrow_mut().push(Reader { worker, by, grant: Arc::downgrade(grant) });
    }

    /// Takes the leave from those who may not read any more under this configuration; how many that were.
    pub fn judge_anew(&self, control: &Control) -> usize {
        let all = self.0.borrow();
        let out = all.iter().filter(|reader| scope_now(control, &reader.by) < Scope::Read);
        let revoked = out.filter_map(|reader| reader.grant.upgrade()).filter(|grant| !grant.is_revoked());
        revoked.map(|grant| grant.revoke()).count()
    }
}
