//! What was: the history is told what is counted, and goes over to the next process.

use super::Life;
use crate::handover::upgrade::News;
use crate::history::{Bequest, History};
use ringway_dataplane::Workers;
use ringway_shared::config::Config;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Begins the history, unless it is off.
pub fn begin(config: &Config, workers: &Rc<Workers>) -> Result<Option<Rc<History>>, String> {
    if !config.history.enabled {
        return Ok(None);
    }
    let workers = workers.clone();
    let history = History::begin(&config.history, move || workers.accounts());
    let history = history.map_err(|error| format!("cannot start the history's thread: {error}"))?;
    Ok(Some(Rc::new(history)))
}

impl Life {
    /// Looks at all that is counted, and has it kept.
    pub(super) fn note_history(&self) {
        let now = self.state.snapshot();
        if let Some(history) = self.state.history() {
            history.note(&now, &self.running.config().history);
        }
    }

    /// Has the last of it kept, to the byte, and lets go of the file.
    pub(super) fn let_history_go(&self) -> impl Future<Output = ()> + use<> {
        let (state, running) = (self.state.clone(), self.running.clone());
        async move {
            if let Some(history) = state.history() {
                let config = &running.config().history;
                history.note(&state.look(), config);
                history.let_go(config).await;
            }
        }
    }

    /// What has been counted since the file was let go of.
    pub(super) fn bequests(&self) -> impl Fn() -> Vec<Bequest> + 'static {
        let (state, running) = (self.state.clone(), self.running.clone());
        move || {
            let Some(history) = state.history() else { return Vec::new() };
            history.note(&state.look(), &running.config().history);
            history.bequests()
        }
    }

    /// Adds what the process before has counted since it let go.
    pub(super) fn inherit_history(&self, news: &mut News) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Some(history) = self.state.history() {
            history.inherit(std::mem::take(&mut news.history), now.as_secs());
        }
    }
}
