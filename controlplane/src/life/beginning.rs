//! The last steps until this process serves.

use super::Life;
use super::succession::Succession;
use crate::quotas::Quotas;
use crate::systemd::borrowed;
use std::time::SystemTime;

impl Life {
    /// Serves, takes over from the process before, if there is one, and begins to answer at the control port.
    ///
    /// Nothing fails once the workers serve: who has come to them stays.
    pub async fn begin(&self, succession: &mut Succession) -> Result<(), String> {
        let sockets = self.listeners()?;
        self.quotas.borrow_mut().adopt(&self.workers.accounts(), SystemTime::now());
        self.workers.open().map_err(|error| error.0)?;
        succession.store(&sockets).await;
        if let Some(news) = succession.take_over().await {
            self.inherit(news);
            // The process before has saved it just now.
            match Quotas::open(&self.running.config()) {
                Ok(saved) => {
                    let mut quotas = self.quotas.borrow_mut();
                    quotas.reread(saved, &self.workers.accounts(), SystemTime::now());
                }
                // Nobody else serves any more: what was read a moment ago will do.
                Err(fault) => tracing::error!("{fault}"),
            }
        }
        self.manager.borrow().store(&borrowed(&sockets));
        self.unshare_listeners(succession.is_kept());
        self.keep_quotas();
        self.keep_certificates();
        self.ports.open();
        self.manager.borrow().ready("serving");
        Ok(())
    }
}
