//! Where the control port asks for a hot restart, and hears what came of it.

use std::cell::RefCell;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait to be looked at.
const WAITING_MAX: usize = 16;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Another process serves from now on; `None`: the supervisor knows which.
    HandedOver(Option<u32>),
    /// It was not begun.
    Refused(String),
    /// The new process did not come to serve.
    Failed(String),
}

/// Who waits to be told.
pub type Asker = oneshot::Sender<Outcome>;

pub struct Upgrades {
    requests: mpsc::Sender<Asker>,
    taken: RefCell<Option<mpsc::Receiver<Asker>>>,
}

impl Default for Upgrades {
    fn default() -> Self {
        let (requests, taken) = mpsc::channel(WAITING_MAX);
        Upgrades { requests, taken: RefCell::new(Some(taken)) }
    }
}

impl Upgrades {
    /// Asks for one. Waits until its outcome is known, which is as long as a process may take.
    pub async fn ask(&self) -> Outcome {
        let (asker, outcome) = oneshot::channel();
        let refused = |why: &str| Outcome::Refused(why.into());
        if self.requests.try_send(asker).is_err() {
            return refused("too many ask for it");
        }
        outcome.await.unwrap_or_else(|_| refused("this process is ending"))
    }

    /// The requests, for the one who sees to them.
    #[must_use]
    pub fn requests(&self) -> Option<mpsc::Receiver<Asker>> {
        self.taken.take()
    }
}
