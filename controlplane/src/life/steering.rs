//! SIGHUP: another configuration.

use super::Life;
use crate::reload::{Refusal, Request};
use tokio::task::spawn_local;

impl Life {
    /// Reads the configuration anew. What comes of it stands in the log.
    pub(super) fn reload(&self) {
        let (reloader, state, manager) = (self.reloader.clone(), self.state.clone(), self.manager.clone());
        spawn_local(async move {
            manager.borrow().reloading();
            let result = reloader.run(&state, Request::of_signal()).await;
            // Put off, it has not failed.
            let is_well = matches!(result, Ok(_) | Err(Refusal::Restarting));
            manager.borrow().ready(if is_well { "serving" } else { "serving; a reload failed" });
        });
    }
}
