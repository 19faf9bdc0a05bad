//! Finding, showing and ending the sessions of one core at the operator's wish.

use super::{Session, Sessions, TICK};
use crate::core::Core;
use crate::io::inspect::Slice;
use crate::io::questions::Questions;
use ringway_shared::connection::{ConnectionId, Service};
use ringway_shared::inspect::{By, OfService, Row, Seen};
use ringway_shared::reason::Reason;
use std::rc::Rc;
use std::time::Duration;

impl Sessions {
    /// Looks through the table from `from` on; where to go on, if there is more.
    pub fn find(&self, from: u32, slice: &mut Slice<'_>) -> Option<u32> {
        let table = self.table.borrow();
        for index in from..table.capacity() as u32 {
            if !slice.goes_on() {
                return Some(index);
            }
            if let Some(session) = table.get(index as usize)
                && self.fits(session, slice)
            {
                slice.found(Service::Socks5, index);
            }
        }
        None
    }

    fn fits(&self, session: &Session, slice: &Slice<'_>) -> bool {
        let facts = session.facts.borrow();
        slice.filter.fits(&Seen {
            connection: session.connection(),
            user: facts.account.as_ref().map(|account| &*account.user.name),
            target: facts.target.as_ref(),
            address: facts.address,
            client: session.peer().ip(),
            phase: session.phase().label(),
            age: slice.now.saturating_duration_since(session.accepted),
            idle: self.idle(session),
            bytes: session.sent_bytes.get() + session.received_bytes.get(),
        })
    }

    fn idle(&self, session: &Session) -> Duration {
        TICK * self.tick.get().wrapping_sub(session.since_tick.get())
    }

    /// A session as it is listed.
    pub fn row(&self, core: &Core, index: u32) -> Option<Row> {
        let session = self.at(index)?;
        let facts = session.facts.borrow();
        Some(Row {
            id: ConnectionId { worker: core.wiring.index, connection: session.connection() },
            client: session.peer(),
            user: facts.account.as_ref().map(|account| account.user.name.clone()),
            tls: session.client.is_secured(),
            phase: session.phase().label(),
            age: session.accepted.elapsed(),
            idle: self.idle(&session),
            sent_bytes: session.sent_bytes.get(),
            received_bytes: session.received_bytes.get(),
            of: OfService::Socks5 {
                protocol: facts.protocol,
                command: facts.command,
                target: facts.target.clone(),
                address: facts.address,
                upstream: facts.upstream().cloned(),
            },
        })
    }

    /// Ends a session: both sides see a reset. False: it has been ended already.
    pub fn kill(&self, index: u32, reason: &str, questions: &Questions) -> bool {
        let Some(session) = self.at(index) else { return false };
        let cut = session.cut_reason();
        // What cuts one attempt of several would be forgiven; nothing else is to be withdrawn from.
        let of_one_attempt = matches!(cut, Some(Reason::ConnectTimeout | Reason::NameLookupTimeout));
        if cut.is_some() && !of_one_attempt {
            return false;
        }
        session.facts.borrow_mut().notes().hint = Some(format!("ended by the operator: {reason}").into());
        if of_one_attempt {
            session.cut.set(Some(Reason::Killed));
        } else {
            session.cut_with(Reason::Killed, questions);
        }
        true
    }

    /// What a session counts for, by the user or the target.
    pub fn weigh(&self, index: u32, by: By, add: impl FnOnce(&str, u64)) {
        let Some(session) = self.at(index) else { return };
        let facts = session.facts.borrow();
        let bytes = session.sent_bytes.get() + session.received_bytes.get();
        match (by, &facts.target) {
            (By::Target, Some(target)) => add(&target.to_string(), bytes),
            (By::User, _) => add(facts.account.as_ref().map_or("", |account| &account.user.name), bytes),
            _ => {}
        }
    }

    fn at(&self, index: u32) -> Option<Rc<Session>> {
        self.table.borrow().get(index as usize).cloned()
    }
}
