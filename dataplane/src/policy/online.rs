//! Which users are there, and with which sessions: over all workers, one table.
//!
//! Touched when a connection begins and when it ends, and when the push API asks for a user's sessions; so a lock
//! for each of a few shards is good enough (as in `clients`). Whoever has no name is not in here.

use super::admission::Refusal;
use ringway_shared::config::OneSession;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

/// Where one session of a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub worker: u32,
    /// What the worker knows the connection by; no two at once.
    pub connection: u64,
    /// What clients and the push API know it by (a UUID).
    pub client: u128,
}

/// How many sessions a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserLimits {
    /// At once; `None`: no limit.
    pub connections_max: Option<u32>,
    pub one_session: OneSession,
}

/// All users with sessions.
pub struct Online {
    shards: [Mutex<HashMap<Arc<str>, Sessions>>; SHARDS],
    /// Keyed at random: nobody can aim at one shard.
    hasher: RandomState,
    users: AtomicU64,
}

/// A user's sessions, the oldest first. Most have one: that takes no memory beside the table's.
struct Sessions {
    first: Session,
    more: Vec<Session>,
}

/// Leave to be there. Dropped, the session is no longer in the table.
#[must_use]
pub struct Presence {
    /// `None`: without a name, and so not in the table.
    online: Option<Arc<Online>>,
    user: Arc<str>,
    worker: u32,
    connection: u64,
}

/// A session that has begun.
pub struct Entered {
    pub presence: Presence,
    /// The user's sessions that are to be closed for it. They are in the table no longer.
    pub replaced: Vec<Session>,
}

impl Default for Online {
    fn default() -> Self {
        Online {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            users: AtomicU64::new(0),
        }
    }
}

impl Online {
    /// Begins a session of `user`, if it may have one more.
    pub fn enter(
        self: &Arc<Self>,
        user: Arc<str>,
        session: Session,
        limits: UserLimits,
    ) -> Result<Entered, Refusal> {
        let Session { worker, connection, .. } = session;
        if user.is_empty() {
            let presence = Presence { online: None, user, worker, connection };
            return Ok(Entered { presence, replaced: Vec::new() });
        }
        let mut replaced = Vec::new();
        match self.shard(&user).entry(user.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Sessions { first: session, more: Vec::new() });
                self.users.fetch_add(1, Relaxed);
            }
            Entry::Occupied(mut occupied) => {
                let sessions = occupied.get_mut();
                match limits.one_session {
                    OneSession::Refuse => return Err(Refusal::SessionExists),
                    OneSession::Replace => {
                        replaced = sessions.all().collect();
                        *sessions = Sessions { first: session, more: Vec::new() };
                    }
                    OneSession::Off => {
                        if limits.connections_max.is_some_and(|max| sessions.len() >= max as usize) {
                            return Err(Refusal::UserConnections);
                        }
                        sessions.more.push(session);
                    }
                }
            }
        }
        let presence = Presence { online: Some(self.clone()), user, worker, connection };
        Ok(Entered { presence, replaced })
    }

    /// Users with at least one session.
    #[must_use]
    pub fn users(&self) -> u64 {
        self.users.load(Relaxed)
    }

    /// The sessions of a user, the oldest first.
    #[must_use]
    pub fn sessions(&self, user: &str) -> Vec<Session> {
        self.shard(user).get(user).map_or_else(Vec::new, |sessions| sessions.all().collect())
    }

    fn leave(&self, user: &str, worker: u32, connection: u64) {
        let mut shard = self.shard(user);
        let Some(sessions) = shard.get_mut(user) else { return };
        let left = |session: &Session| (session.worker, session.connection) == (worker, connection);
        if !left(&sessions.first) {
            sessions.more.retain(|session| !left(session));
        } else if sessions.more.is_empty() {
            shard.remove(user);
            self.users.fetch_sub(1, Relaxed);
        } else {
            sessions.first = sessions.more.remove(0);
        }
    }

    fn shard(&self, user: &str) -> MutexGuard<'_, HashMap<Arc<str>, Sessions>> {
        let shard = &self.shards[self.hasher.hash_one(user) as usize % SHARDS];
        // A panic cannot happen between two halves of a change in here: what it left is whole.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn len(&self) -> usize {
        1 + self.more.len()
    }

    fn all(&self) -> impl Iterator<Item = Session> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }
}

impl Presence {
    /// Whose session it is; empty: nobody in particular.
    #[must_use]
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(online) = &self.online {
            online.leave(&self.user, self.worker, self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FREE: UserLimits = UserLimits { connections_max: None, one_session: OneSession::Off };

    fn session(connection: u64) -> Session {
        Session { worker: connection as u32 % 3, connection, client: u128::from(connection) << 64 }
    }

    fn enter(
        online: &Arc<Online>,
        user: &str,
        connection: u64,
        limits: UserLimits,
    ) -> Result<Entered, Refusal> {
        online.enter(user.into(), session(connection), limits)
    }

    fn connections(online: &Online, user: &str) -> Vec<u64> {
        online.sessions(user).iter().map(|session| session.connection).collect()
    }

    #[test]
    fn a_user_is_there_from_its_first_session_to_the_end_of_its_last() {
        let online = Arc::<Online>::default();
        let first = enter(&online, "alice", 1, FREE).ok().unwrap();
        let second = enter(&online, "alice", 2, FREE).ok().unwrap();
        let other = enter(&online, "bob", 3, FREE).ok().unwrap();
        assert_eq!((online.users(), connections(&online, "alice")), (2, vec![1, 2]));
        assert_eq!(online.sessions("alice")[1], session(2));
        drop(first);
        assert_eq!((online.users(), connections(&online, "alice")), (2, vec![2]));
        drop((second, other));
        assert_eq!((online.users(), connections(&online, "alice")), (0, vec![]));
    }

    #[test]
    fn the_limit_counts_what_is_open() {
        let online = Arc::<Online>::default();
        let limits = UserLimits { connections_max: Some(2), ..FREE };
        let held = [1, 2].map(|connection| enter(&online, "alice", connection, limits).ok().unwrap());
        assert_eq!(enter(&online, "alice", 3, limits).err(), Some(Refusal::UserConnections));
        assert!(enter(&online, "bob", 4, limits).is_ok());
        drop(held);
        assert!(enter(&online, "alice", 5, limits).is_ok());
        assert_eq!(online.users(), 0);
    }

    #[test]
    fn a_new_session_replaces_the_old_one_whose_end_changes_nothing() {
        let online = Arc::<Online>::default();
        let limits = UserLimits { connections_max: Some(1), one_session: OneSession::Replace };
        let old = enter(&online, "alice", 1, limits).ok().unwrap();
        let new = enter(&online, "alice", 2, limits).ok().unwrap();
        assert_eq!(new.replaced, [session(1)]);
        drop(old);
        assert_eq!((online.users(), connections(&online, "alice")), (1, vec![2]));
        drop(new);
        assert_eq!(online.users(), 0);
    }

    #[test]
    fn a_session_that_is_there_keeps_others_out() {
        let online = Arc::<Online>::default();
        let limits = UserLimits { connections_max: None, one_session: OneSession::Refuse };
        let held = enter(&online, "alice", 1, limits).ok().unwrap();
        assert_eq!(enter(&online, "alice", 2, limits).err(), Some(Refusal::SessionExists));
        drop(held);
        assert!(enter(&online, "alice", 3, limits).is_ok());
    }

    #[test]
    fn whoever_has_no_name_is_not_limited_and_not_there() {
        let online = Arc::<Online>::default();
        let limits = UserLimits { connections_max: Some(1), one_session: OneSession::Refuse };
        let held = [1, 2].map(|connection| enter(&online, "", connection, limits).ok().unwrap());
        assert_eq!((online.users(), online.sessions("")), (0, vec![]));
        assert_eq!(&**held[0].presence.user(), "");
    }

    proptest! {
        /// Beside a model that is a plain list.
        #[test]
        fn it_is_as_a_plain_list(steps in proptest::collection::vec((0..4usize, 0..3u8, 0..4u32), 1..60)) {
            let online = Arc::<Online>::default();
            let mut model: Vec<(usize, u64)> = Vec::new();
            let mut held: Vec<(u64, Presence)> = Vec::new();
            for (number, (user, what, max)) in steps.into_iter().enumerate() {
                let name = ["", "a", "b", "c"][user];
                let connection = number as u64;
                if what == 2 && !held.is_empty() {
                    let (ended, _) = held.remove(max as usize % held.len());
                    model.retain(|(_, connection)| *connection != ended);
                    continue;
                }
                let one_session = [OneSession::Off, OneSession::Replace, OneSession::Refuse][what as usize % 3];
                let limits = UserLimits { connections_max: (max > 0).then_some(max), one_session };
                let count = model.iter().filter(|(owner, _)| *owner == user).count();
                match enter(&online, name, connection, limits) {
                    Ok(entered) => {
                        prop_assert_eq!(entered.replaced.len(), if what == 1 { count } else { 0 });
                        if what == 1 {
                            model.retain(|(owner, _)| *owner != user);
                        }
                        if user > 0 {
                            model.push((user, connection));
                        }
                        held.push((connection, entered.presence));
                    }
                    Err(refusal) => {
                        let full = refusal == Refusal::UserConnections && what == 0 && max > 0 && count >= max as usize;
                        let exists = refusal == Refusal::SessionExists && what == 2 && count > 0;
                        prop_assert!(full || exists, "{:?}", refusal);
                    }
                }
                for (user, name) in ["", "a", "b", "c"].into_iter().enumerate() {
                    let expected: Vec<_> = model.iter().filter(|(owner, _)| *owner == user).map(|(_, c)| *c).collect();
                    prop_assert_eq!(connections(&online, name), expected);
                }
            }
            drop(held);
            prop_assert_eq!(online.users(), 0);
        }
    }
}
