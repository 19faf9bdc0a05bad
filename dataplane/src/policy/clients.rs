//! Whether a client's address may come at all: its connections, their rate, its failed logins and the ban they bring.
//!
//! A client is an IPv4 address or an IPv6 /64: that is what one customer of a provider holds. All cores share one
//! table, asked at accept, close and login only; why a lock is good enough there stands in docs/decisions/0006.
//! `now_ns` counts from the process's epoch.

use super::rate;
use ringway_shared::config::{Limits, Logins};
use ringway_shared::reason::Reason;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Clients known at once. Beyond it those of no importance are forgotten, and then new ones are not tracked.
pub const CLIENTS_MAX: usize = if cfg!(test) { 4_096 } else { 65_536 };
const SHARDS: usize = 64;
const SHARD_CLIENTS_MAX: usize = CLIENTS_MAX / SHARDS;

const SECOND_NS: u64 = 1_000_000_000;

/// All clients that there is something to know about.
pub struct Clients {
    shards: [Mutex<HashMap<Client, Entry>>; SHARDS],
    /// Keyed at random: nobody can aim at one shard.
    hasher: RandomState,
    /// Clients with failed logins. While there are none, and no limit is per client, nobody takes a lock.
    failing: AtomicU64,
    /// Clients that found the table full of others.
    untracked: AtomicU64,
    /// When the next new connection is due, of all clients together.
    new_due_ns: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    /// The network's half.
    V6(u64),
}

#[derive(Clone, Copy, Default)]
struct Entry {
    connections: u32,
    /// When its next new connection is due.
    new_due_ns: u64,
    failures: u32,
    last_failure_ns: u64,
    banned_until_ns: u64,
}

/// Leave to come in, to be given back by [`Clients::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Admission {
    /// It was counted in its client's entry.
    counted: bool,
}

/// What a failed login brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How long the answer waits.
    pub delay: Duration,
    /// Failures of this client not forgotten yet, this one included.
    pub failures: u32,
    /// This failure began a ban.
    pub banned: bool,
}

impl Default for Clients {
    fn default() -> Self {
        Clients {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            failing: AtomicU64::new(0),
            untracked: AtomicU64::new(0),
            new_due_ns: AtomicU64::new(0),
        }
    }
}

impl Clients {
    /// Whether a connection from `ip` may come in now. If so it is counted until it [leaves](Clients::leave).
    pub fn admit(&self, ip: IpAddr, limits: &Limits, now_ns: u64) -> Result<Admission, Reason> {
        let per_client =
            limits.connections_per_client.is_some() || limits.new_connections_per_second_per_client.is_some();
        if !per_client && self.failing.load(Relaxed) == 0 {
            return self.admit_among_all(limits, now_ns).map(|()| Admission { counted: false });
        }
        let client = Client::of(ip);
        let mut shard = self.shard(client);
        let mut entry = shard.get(&client).copied().unwrap_or_default();
        entry.admit(limits, now_ns)?;
        self.admit_among_all(limits, now_ns)?;
        let counted = per_client && self.keep(&mut shard, client, entry, now_ns);
        Ok(Admission { counted })
    }

    /// Uncounts a connection that was admitted.
    pub fn leave(&self, ip: IpAddr, admission: Admission, now_ns: u64) {
        if !admission.counted {
            return;
        }
        let client = Client::of(ip);
        let mut shard = self.shard(client);
        let Some(entry) = shard.get_mut(&client) else { return };
        entry.connections = entry.connections.saturating_sub(1);
        if entry.is_idle() && entry.failures == 0 && entry.new_due_ns <= now_ns {
            shard.remove(&client);
        }
    }

    /// Whether `ip` is banned: asked before a password is looked at, as connections may be older than the ban.
    #[must_use]
    pub fn is_banned(&self, ip: IpAddr, now_ns: u64) -> bool {
        let client = Client::of(ip);
        self.failing.load(Relaxed) > 0
            && self.shard(client).get(&client).is_some_and(|entry| entry.banned_until_ns > now_ns)
    }

    /// Notes a failed login from `ip`. Nothing but time makes it forgotten: would a right login do, whoever has an
    /// account could guess at the others without end.
    pub fn login_failed(&self, ip: IpAddr, logins: &Logins, now_ns: u64) -> Failure {
        let client = Client::of(ip);
        let mut shard = self.shard(client);
        let mut entry = shard.get(&client).copied().unwrap_or_default();
        let first = entry.failures == 0;
        let failure = entry.fail(logins, now_ns);
        // A table full of others' bans leaves the delay of a first failure, and argon2's own.
        if self.keep(&mut shard, client, entry, now_ns) && first {
            self.failing.fetch_add(1, Relaxed);
        }
        failure
    }

    /// Forgets what is over, and tells how many are banned. Walks the whole table: once a scrape, say.
    #[must_use]
    pub fn tidy(&self, logins: &Logins, now_ns: u64) -> usize {
        let mut banned = 0;
        for shard in &self.shards {
            lock(shard).retain(|_, entry| {
                let is_banned = entry.banned_until_ns > now_ns;
                banned += usize::from(is_banned);
                if !is_banned && entry.failures > 0 && entry.has_forgotten(logins, now_ns) {
                    entry.failures = 0;
                    self.failing.fetch_sub(1, Relaxed);
                }
                !entry.is_idle() || entry.failures > 0 || entry.new_due_ns > now_ns
            });
        }
        banned
    }

    /// How often a client could not be tracked because the table was full of others.
    #[must_use]
    pub fn untracked(&self) -> u64 {
        self.untracked.load(Relaxed)
    }

    fn admit_among_all(&self, limits: &Limits, now_ns: u64) -> Result<(), Reason> {
        let Some(per_second) = limits.new_connections_per_second else { return Ok(()) };
        let per_second = u64::from(per_second);
        let admitted = rate::try_take(&self.new_due_ns, per_second, at_once_ns(per_second), 1, now_ns);
        if admitted { Ok(()) } else { Err(Reason::LimitNewConnections) }
    }

    /// Stores an entry. False: there is no room for it, which is counted.
    fn keep(&self, shard: &mut HashMap<Client, Entry>, client: Client, entry: Entry, now_ns: u64) -> bool {
        let full = shard.len() >= SHARD_CLIENTS_MAX && !shard.contains_key(&client);
        if full && !self.forget_one(shard, now_ns) {
            self.untracked.fetch_add(1, Relaxed);
            return false;
        }
        shard.insert(client, entry);
        true
    }

    /// Makes room: of the clients without connection or ban the one whose failure is the longest ago goes.
    fn forget_one(&self, shard: &mut HashMap<Client, Entry>, now_ns: u64) -> bool {
        let idle = shard.iter().filter(|(_, entry)| entry.is_idle() && entry.banned_until_ns <= now_ns);
        let oldest = idle.min_by_key(|(_, entry)| (entry.last_failure_ns, entry.new_due_ns));
        let Some(client) = oldest.map(|(client, _)| *client) else { return false };
        if shard.remove(&client).is_some_and(|entry| entry.failures > 0) {
            self.failing.fetch_sub(1, Relaxed);
        }
        true
    }

    fn shard(&self, client: Client) -> MutexGuard<'_, HashMap<Client, Entry>> {
        lock(&self.shards[self.hasher.hash_one(client) as usize % SHARDS])
    }
}

impl Client {
    fn of(ip: IpAddr) -> Client {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Client::V4(ip.to_bits()),
            IpAddr::V6(ip) => Client::V6((ip.to_bits() >> 64) as u64),
        }
    }
}

impl Entry {
    fn admit(&mut self, limits: &Limits, now_ns: u64) -> Result<(), Reason> {
        if self.banned_until_ns > now_ns {
            return Err(Reason::ClientBanned);
        }
        if limits.connections_per_client.is_some_and(|max| self.connections >= max) {
            return Err(Reason::LimitClientConnections);
        }
        if let Some(per_second) = limits.new_connections_per_second_per_client {
            let per_second = u64::from(per_second.max(1));
            let price_ns = SECOND_NS / per_second;
            self.new_due_ns = rate::taken(self.new_due_ns, price_ns, at_once_ns(per_second), now_ns)
                .ok_or(Reason::LimitClientNewConnections)?;
        }
        self.connections += 1;
        Ok(())
    }

    fn fail(&mut self, logins: &Logins, now_ns: u64) -> Failure {
        if self.has_forgotten(logins, now_ns) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.last_failure_ns = now_ns;
        let banned = logins.failures_max.is_some_and(|max| self.failures >= max);
        if banned {
            self.banned_until_ns = now_ns.saturating_add(nanoseconds(logins.ban));
        }
        let doublings = (self.failures - 1).min(31);
        let delay = logins.delay.saturating_mul(1 << doublings).min(logins.delay_max);
        Failure { delay, failures: self.failures, banned }
    }

    fn has_forgotten(&self, logins: &Logins, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.last_failure_ns) > nanoseconds(logins.forget_after)
    }

    fn is_idle(&self) -> bool {
        self.connections == 0
    }
}

/// A second's worth may come at once.
fn at_once_ns(per_second: u64) -> u64 {
    SECOND_NS - SECOND_NS / per_second.max(1)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A panic cannot happen between two halves of a change in here: what it left is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn unlimited() -> Limits {
        Limits {
            connections: None,
            backlog: 1,
            connections_per_client: None,
            connections_per_user: None,
            new_connections_per_second: None,
            new_connections_per_second_per_client: None,
            udp_associations: None,
        }
    }

    fn logins() -> Logins {
        Logins {
            delay: Duration::from_millis(200),
            delay_max: Duration::from_secs(5),
            failures_max: Some(10),
            ban: Duration::from_secs(300),
            forget_after: Duration::from_secs(900),
        }
    }

    fn tracked(clients: &Clients) -> usize {
        clients.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    #[test]
    fn a_client_has_so_many_connections_and_another_when_one_has_left() {
        let clients = Clients::default();
        let limits = Limits { connections_per_client: Some(2), ..unlimited() };
        let first = clients.admit(ip("192.0.2.1"), &limits, 0).unwrap();
        let second = clients.admit(ip("::ffff:192.0.2.1"), &limits, 0).unwrap();
        assert_eq!(clients.admit(ip("192.0.2.1"), &limits, 0), Err(Reason::LimitClientConnections));
        assert!(clients.admit(ip("192.0.2.2"), &limits, 0).is_ok());
        clients.leave(ip("192.0.2.1"), first, 0);
        let third = clients.admit(ip("192.0.2.1"), &limits, 0).unwrap();
        for admission in [second, third] {
            clients.leave(ip("192.0.2.1"), admission, 0);
        }
        assert_eq!(tracked(&clients), 1, "who has left is forgotten; 192.0.2.2 is still here");
    }

    #[test]
    fn an_ipv6_client_is_its_64_bit_network() {
        let clients = Clients::default();
        let limits = Limits { connections_per_client: Some(1), ..unlimited() };
        let _seat = clients.admit(ip("2001:db8:0:1::1"), &limits, 0).unwrap();
        assert_eq!(
            clients.admit(ip("2001:db8:0:1:ffff::9"), &limits, 0),
            Err(Reason::LimitClientConnections)
        );
        assert!(clients.admit(ip("2001:db8:0:2::1"), &limits, 0).is_ok());
    }

    #[test]
    fn what_came_before_a_limit_was_set_is_not_uncounted_after_it() {
        let clients = Clients::default();
        let before = clients.admit(ip("192.0.2.1"), &unlimited(), 0).unwrap();
        let limits = Limits { connections_per_client: Some(1), ..unlimited() };
        let _seat = clients.admit(ip("192.0.2.1"), &limits, 0).unwrap();
        clients.leave(ip("192.0.2.1"), before, 0);
        assert_eq!(clients.admit(ip("192.0.2.1"), &limits, 0), Err(Reason::LimitClientConnections));
    }

    #[test]
    fn new_connections_are_limited_for_each_client_and_for_all() {
        let clients = Clients::default();
        let limits = Limits {
            new_connections_per_second_per_client: Some(3),
            new_connections_per_second: Some(5),
            ..unlimited()
        };
        let mut seen = Vec::new();
        for client in ["192.0.2.1", "192.0.2.2"] {
            seen.extend((0..4).map(|_| clients.admit(ip(client), &limits, 0).err()));
        }
        let (own, all) = (Some(Reason::LimitClientNewConnections), Some(Reason::LimitNewConnections));
        assert_eq!(seen, [None, None, None, own, None, None, all, all]);
        // A refused one has cost its client nothing: after a second it has its three again.
        let later = (0..4).map(|_| clients.admit(ip("192.0.2.2"), &limits, SECOND_NS).err());
        assert_eq!(later.collect::<Vec<_>>(), [None, None, None, own]);
    }

    #[test]
    fn over_ten_seconds_the_rate_of_new_connections_is_exact() {
        let clients = Clients::default();
        let limits = Limits { new_connections_per_second: Some(7), ..unlimited() };
        let admitted = (0..10_000).filter(|ms| clients.admit(ip("192.0.2.1"), &limits, ms * MS).is_ok());
        assert_eq!(admitted.count(), 7 + 70 - 1);
    }

    #[test]
    fn failed_logins_delay_their_answers_more_and_more_and_then_ban_for_a_while() {
        let clients = Clients::default();
        let (logins, client) = (logins(), ip("192.0.2.1"));
        let failures: Vec<_> = (0..10).map(|_| clients.login_failed(client, &logins, MS)).collect();
        let delays_ms: Vec<_> = failures.iter().map(|failure| failure.delay.as_millis()).collect();
        assert_eq!(delays_ms, [200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000]);
        assert!(failures[9].banned && !failures[8].banned);
        assert_eq!(clients.admit(client, &unlimited(), MS), Err(Reason::ClientBanned));
        assert!(clients.is_banned(client, 300 * SECOND_NS) && !clients.is_banned(ip("192.0.2.2"), MS));
        let after = MS + 300 * SECOND_NS;
        assert!(clients.admit(client, &unlimited(), after).is_ok());
        assert!(clients.login_failed(client, &logins, after).banned, "the count outlives the ban");
        assert_eq!(clients.tidy(&logins, after), 1);
    }

    #[test]
    fn failures_are_forgotten_with_time_alone() {
        let clients = Clients::default();
        let (logins, client) = (logins(), ip("192.0.2.1"));
        assert_eq!(clients.login_failed(client, &logins, 0).failures, 1);
        assert_eq!(clients.login_failed(client, &logins, SECOND_NS).failures, 2);
        assert_eq!(clients.login_failed(client, &logins, 902 * SECOND_NS).failures, 1);
        assert_eq!(clients.tidy(&logins, 2_000 * SECOND_NS), 0);
        assert_eq!((tracked(&clients), clients.failing.load(Relaxed)), (0, 0));
    }

    #[test]
    fn without_a_limit_or_a_failure_nothing_is_kept_and_no_lock_is_taken() {
        let clients = Clients::default();
        let _held: Vec<_> = clients.shards.iter().map(lock).collect();
        let admission = clients.admit(ip("192.0.2.1"), &unlimited(), 0).unwrap();
        clients.leave(ip("192.0.2.1"), admission, 0);
        assert!(!clients.is_banned(ip("192.0.2.1"), 0));
    }

    #[test]
    fn who_came_and_went_is_forgotten_when_a_new_connection_is_due_again() {
        let clients = Clients::default();
        let limits = Limits { new_connections_per_second_per_client: Some(1), ..unlimited() };
        let admission = clients.admit(ip("192.0.2.1"), &limits, 0).unwrap();
        clients.leave(ip("192.0.2.1"), admission, 0);
        assert_eq!((clients.tidy(&logins(), SECOND_NS - 1), tracked(&clients)), (0, 1));
        assert_eq!((clients.tidy(&logins(), SECOND_NS), tracked(&clients)), (0, 0));
    }

    #[test]
    fn a_full_table_forgets_the_idle_first_and_never_a_ban() {
        let clients = Clients::default();
        let logins = Logins { failures_max: Some(2), ..logins() };
        let address = |number: u32| IpAddr::from((0x0a00_0000 + number).to_be_bytes());
        let banned = ip("192.0.2.1");
        assert!([0, 1].map(|_| clients.login_failed(banned, &logins, 0))[1].banned);
        for number in 0..4 * CLIENTS_MAX as u32 {
            let _ = clients.login_failed(address(number), &logins, 1);
        }
        assert_eq!((tracked(&clients), clients.untracked()), (CLIENTS_MAX, 0));
        assert_eq!(clients.failing.load(Relaxed), CLIENTS_MAX as u64);
        assert!(clients.is_banned(banned, 2));
        // Now everybody who is known has a connection open: the next ones are served and not tracked.
        let limits = Limits { connections_per_client: Some(1), ..unlimited() };
        for number in 0..4 * CLIENTS_MAX as u32 {
            let _ = clients.admit(address(number), &limits, 2);
        }
        assert_eq!(tracked(&clients), CLIENTS_MAX);
        assert!(clients.untracked() > 0);
        assert!(!clients.admit(ip("198.51.100.1"), &limits, 2).unwrap().counted);
    }
}
