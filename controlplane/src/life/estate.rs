//! What goes from one process to the next: sockets, counts, used quotas.

use super::ending::Ending;
use super::succession::Succession;
use super::{ANSWER_PATIENCE, Life};
use crate::exit::Exit;
use crate::export::Format;
use crate::export::carried::Told;
use crate::handover::upgrade::{self, News, Successor};
use crate::signals::{Asked, Signals};
use crate::systemd::borrowed;
use ringway_shared::command::Command;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use tokio::time::timeout;

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

    /// The new process could serve: hands over to it, and drains.
    pub fn retire(&self, succession: &mut Succession, successor: Successor) -> Ending {
        if let Successor::Child(heir) = &successor {
            tracing::info!("handing over to process {}", heir.pid());
            self.manager.borrow().handed_to(heir.pid());
        }
        let ending = self.drain_by(Command::Retire, Exit::Done);
        self.bequeath(succession, successor);
        ending
    }

    /// Leaves everything but the connections to the successor.
    pub fn bequeath(&self, succession: &mut Succession, successor: Successor) {
        self.manager.borrow_mut().leave();
        // The file is the successor's from now on.
        self.keep_quotas();
        self.handed_over.set(true);
        self.ports.leave_files(true);
        let ports = self.ports.clone();
        let closed = async move {
            let _ = timeout(ANSWER_PATIENCE, ports.stop()).await;
        };
        let handing = upgrade::hand_over(successor, closed, self.news(), succession.last());
        succession.hand_over(handing);
    }

    /// Stays until the process before has ended, for what it counts goes by this one.
    pub async fn pass_on(&self, succession: &mut Succession, signals: &mut Signals) {
        while succession.passes_on() {
            tokio::select! {
                event = succession.next() => drop(self.succeed(succession, event, None)),
                asked = signals.next() => if asked == Asked::Stop {
                    return;
                }
            }
        }
    }

    /// What this process counts from now on; the first time, all that it has published.
    fn news(&self) -> impl FnMut() -> News + 'static {
        let (state, workers) = (self.state.clone(), self.workers.clone());
        let mut told = Told::default();
        let quotas = self.quotas.borrow();
        let mut used: HashMap<String, u64> =
            quotas.saved().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
        move || {
            let counters = told.news(&state.metrics(Format::Prometheus, true));
            let mut quotas = Vec::new();
            for account in workers.accounts().iter().filter(|account| account.user.quota.is_some()) {
                let now = account.usage.quota_used.load(Relaxed);
                let before = used.insert(account.user.name.to_string(), now).unwrap_or(0);
                if now > before {
                    quotas.push((account.user.name.to_string(), now - before));
                }
            }
            News { counters, quotas }
        }
    }

    /// Adds what the process before has counted.
    pub fn inherit(&self, news: News) {
        self.carried.borrow_mut().add(news.counters);
        let accounts = self.workers.accounts();
        for (name, bytes) in news.quotas {
            if let Some(account) = accounts.iter().find(|account| *account.user.name == *name) {
                account.usage.quota_used.fetch_add(bytes, Relaxed);
            }
        }
    }
}
