//! Another configuration for all workers, in two steps: prepare whatever may fail, then commit what cannot.

use super::Workers;
use super::listening::{self, Change, Listening, no_descriptor, own};
use crate::io::inbox::{Mail, Outbox};
use crate::io::listener::binding::{self, Wanted};
use crate::policy::admission;
use crate::preparation::{Decision, Order, Preparation, Readiness};
use crate::service::Service;
use crate::workers::WorkerState;
use ringway_shared::config::Config;
use ringway_shared::listener::Entrance;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

/// A configuration that waits to be committed. Dropping it aborts it: no worker changes anything.
pub struct Prepared {
    preparation: Arc<Preparation>,
    generation: u64,
    service: Service,
    outboxes: Arc<[Outbox]>,
    kept: Vec<Kept>,
    added: Vec<Listening>,
    /// Orders that an inbox had no room for yet, and whose.
    unsent: RefCell<Vec<(usize, Mail)>>,
}

/// A listener that stays, by number: how it is wanted from then on, and where its clients are counted.
struct Kept {
    id: u64,
    wanted: Wanted,
    entrance: Arc<Entrance>,
}

/// What a commit has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Each worker shows it when it serves under it, see [`Workers::generation_of`].
    pub generation: u64,
    /// Where ringway listens now and did not before: the key, and the address.
    pub opened: Vec<(&'static str, SocketAddr)>,
    pub closed: Vec<(&'static str, SocketAddr)>,
    /// What the operator should know.
    pub notices: Vec<String>,
}

impl Prepared {
    /// Whether it can be committed. Ask again while it waits. Never blocks.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let orders = self.unsent.take();
        let post = |(worker, mail): (usize, Mail)| {
            self.outboxes[worker].post(mail).err().map(|refused| (worker, refused))
        };
        self.unsent.replace(orders.into_iter().filter_map(post).collect());
        self.preparation.readiness()
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Of no effect on what has been committed.
        self.preparation.decide(Decision::Abort);
        self.outboxes.iter().for_each(Outbox::ring);
    }
}

impl Workers {
    /// Prepares all workers for another configuration: its generation is shown by those that serve under it, and
    /// `control_addresses` is where the control port will listen. Keys that are read at the start alone are left aside.
    /// Nothing changes yet. A later preparation aborts this one. Never blocks.
    ///
    /// # Errors
    /// It cannot be served, and why: it has been undone.
    pub fn prepare(
        &self,
        config: &Arc<Config>,
        control_addresses: &[SocketAddr],
        generation: u64,
    ) -> Result<Prepared, String> {
        if let Some(before) = self.latest.borrow().upgrade() {
            before.decide(Decision::Abort);
        }
        self.can_change()?;
        let before = self.service.borrow();
        let service = self.stock.borrow().prepare(config, Some(&before))?;
        drop(before);
        let listening = self.listening.borrow();
        let change = Change::between(&listening, binding::wanted(config));
        let added = self.bind(change.added, &self.in_the_way(&listening))?;
        let kept = self.kept(change.kept, &listening);
        let staying = kept.iter().map(|one| one.entrance.address);
        let addresses = staying.chain(added.iter().map(|one| one.address));
        let addresses = addresses.chain(control_addresses.iter().copied());
        let own = own(addresses);
        let preparation = Arc::new(Preparation::new(self.outboxes.len()));
        let mut orders = Vec::new();
        for worker in 0..self.outboxes.len() {
            let sockets: Result<Vec<_>, _> = added.iter().map(|one| one.of_worker(worker)).collect();
            let sockets = sockets.map_err(|error| no_descriptor(&error))?;
            let order = Order {
                preparation: preparation.clone(),
                generation,
                service: service.clone(),
                own: own.clone(),
                kept: kept.iter().map(|one| (one.id, one.entrance.clone())).collect(),
                added: sockets.into_iter().flatten().collect(),
            };
            orders.push((worker, Mail::Prepare(Box::new(order))));
        }
        self.latest.replace(Arc::downgrade(&preparation));
        let prepared = Prepared {
            preparation,
            generation,
            service,
            outboxes: self.outboxes.clone(),
            kept,
            added,
            unsent: RefCell::new(orders),
        };
        // Sends the orders.
        let _ = prepared.readiness();
        Ok(prepared)
    }

    /// Lets all workers serve under a configuration they are ready for. Each does so at its next turn; one that
    /// stalls, as soon as it wakes. Never blocks.
    ///
    /// # Errors
    /// It is not ready, or was overtaken by a later one or by the end, or a new listener cannot listen. It has been aborted then.
    pub fn commit(&self, mut prepared: Prepared) -> Result<Committed, String> {
        match prepared.readiness() {
            Readiness::Ready => self.can_change()?,
            Readiness::Waiting { workers } => return Err(format!("workers {workers:?} are not ready")),
            Readiness::Failed(why) => return Err(why),
        }
        // The last thing that can fail. Bound sockets accept nobody, so that an aborted preparation has reset nobody; and that
        // somebody else began to listen there since is seen here. Who comes before the workers' next turn waits in the queue.
        prepared.added.iter().try_for_each(Listening::listen)?;
        prepared.preparation.decide(Decision::Commit);
        self.outboxes.iter().for_each(Outbox::ring);

        let service = prepared.service.clone();
        let before = self.service.replace(service.clone());
        self.stock.borrow_mut().commit(&service, Some(&before));
        let (now, then) = (&service.config.socks5, &before.config.socks5);
        if (&now.dns, now.timeouts.name_lookup) != (&then.dns, then.timeouts.name_lookup) {
            self.resolver.reconfigure(&now.dns, now.timeouts.name_lookup);
        }
        let (opened, closed) = self.relist(&prepared.kept, std::mem::take(&mut prepared.added));
        let mut closing = self.closing.borrow_mut();
        closing.0 = prepared.generation;
        closing.1.extend(closed.iter().map(|(_, address)| *address));
        let notices = admission::notices(&service.config.websocket);
        Ok(Committed { generation: prepared.generation, opened, closed, notices })
    }

    /// Why there can be no other configuration now.
    fn can_change(&self) -> Result<(), String> {
        if self.ending.get() {
            return Err("ringway is draining: start it anew instead".into());
        }
        let ended = (0..self.count()).find(|worker| self.state(*worker) != WorkerState::Running);
        ended.map_or(Ok(()), |worker| Err(format!("worker {worker} has ended: start ringway anew")))
    }

    /// Where this process listens still: a worker may not have closed yet what the last commit has no use for.
    fn in_the_way(&self, listening: &[Listening]) -> Vec<SocketAddr> {
        let (generation, mut closing) = self.closing.take();
        if (0..self.count()).all(|worker| self.generation_of(worker) == generation) {
            closing.clear();
        }
        self.closing.replace((generation, closing.clone()));
        closing.into_iter().chain(listening.iter().map(|one| one.address)).collect()
    }

    fn bind(&self, wanted: Vec<Wanted>, ours: &[SocketAddr]) -> Result<Vec<Listening>, String> {
        let bind = |wanted| {
            let id = self.next_listener.replace(self.next_listener.get() + 1);
            Listening::bind(id, wanted, &self.entrances.borrow(), ours, &mut Vec::new())
        };
        wanted.into_iter().map(bind).collect()
    }

    fn kept(&self, kept: Vec<(u64, Wanted)>, listening: &[Listening]) -> Vec<Kept> {
        let entrances = self.entrances.borrow();
        let of = |(id, wanted): (u64, Wanted)| {
            let one = listening.iter().find(|one| one.id == id)?;
            Some(Kept { id, wanted, entrance: entrances.find(wanted.door, one.address) })
        };
        kept.into_iter().filter_map(of).collect()
    }

    /// Notes where the process listens from now on; what is new, and what is gone.
    fn relist(&self, kept: &[Kept], added: Vec<Listening>) -> (Vec<Place>, Vec<Place>) {
        let place = |one: &Listening| (one.wanted.door.key(), one.address);
        let mut listening = self.listening.borrow_mut();
        let before: Vec<Place> = listening.iter().map(place).collect();
        let mut all = added;
        for mut one in listening.drain(..) {
            if let Some(Kept { wanted, entrance, .. }) = kept.iter().find(|kept| kept.id == one.id) {
                if one.wanted != *wanted {
                    one.rededicate(*wanted, entrance.clone());
                }
                all.push(one);
            }
        }
        // In the order of the configuration, as at the start.
        let wanted = binding::wanted(&self.service.borrow().config);
        all.sort_by_key(|one| wanted.iter().position(|wanted| *wanted == one.wanted));
        *listening = all;
        self.entrances.borrow_mut().note(listening::entrances(&listening));
        let after: Vec<Place> = listening.iter().map(place).collect();
        let only = |one: &[Place], other: &[Place]| {
            one.iter().filter(|place| !other.contains(place)).copied().collect()
        };
        (only(&after, &before), only(&before, &after))
    }
}

/// A key of the configuration, and an address it has.
type Place = (&'static str, SocketAddr);
