//! All listening sockets, of the workers and of the control port, for whoever keeps them.

use super::Life;
use super::succession::Succession;
use crate::systemd::borrowed;
use std::os::fd::OwnedFd;

impl Life {
    /// Copies of all listening sockets.
    pub fn listeners(&self) -> Result<Vec<OwnedFd>, String> {
        let listeners = self.workers.listeners()?;
        let mut listeners: Vec<_> = listeners.into_iter().map(|(_, _, socket)| socket).collect();
        let control = self.ports.listeners();
        listeners.extend(
            control.map_err(|error| format!("cannot copy a listening socket: {error}; raise `ulimit -n`"))?,
        );
        Ok(listeners)
    }

    /// Has the listeners there are now kept by whoever keeps them.
    pub async fn store_listeners(&self, succession: &Succession) {
        self.reloader.listeners_told();
        if !succession.is_kept() && !self.manager.borrow().is_there() {
            return;
        }
        match self.listeners() {
            Ok(listeners) => {
                succession.store(&listeners).await;
                self.manager.borrow().store(&borrowed(&listeners));
            }
            Err(fault) => tracing::warn!("after a crash some listeners would be bound anew: {fault}"),
        }
        self.unshare_listeners(succession.is_kept());
    }

    /// From now on an end of this process ends its listeners, unless somebody keeps them.
    pub fn unshare_listeners(&self, kept: bool) {
        self.workers.share_listeners(kept || self.manager.borrow().is_there());
    }
}
