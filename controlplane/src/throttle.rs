//! What failed attempts to say who one is cost the client they come from: pure, time is an argument.
//!
//! Five different wrong ones are free; then each next one locks the client out for longer. The same wrong one again is no
//! new guess and costs nothing, so that a scraper with an old token locks nobody out who shares its address.

use crate::guard::Peer;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Failures that cost nothing.
const FREE: u32 = 5;
/// What the first one after them costs; each next one twice as much, up to [`PENALTY_MAX`].
const PENALTY: Duration = Duration::from_secs(1);
const PENALTY_MAX: Duration = Duration::from_secs(60);
/// A client without a failure for so long has none.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Clients that are remembered. For one more, who failed least is forgotten, and of those who failed longest ago.
const CLIENTS_MAX: usize = 1_024;
/// Wrong ones that are remembered of each client: as many programs with old tokens may share an address (a proxy, NAT)
/// before they push each other out and count as guesses.
const KNOWN_MAX: usize = 64;

/// Who is throttled together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    /// The /64: whoever has one address of it has all.
    V6(u64),
    Uid(u32),
}

impl Client {
    fn of(peer: &Peer) -> Client {
        match peer {
            Peer::Unix { uid, .. } => Client::Uid(*uid),
            Peer::Tcp { address, .. } | Peer::Tls { address, .. } => match address.ip().to_canonical() {
                IpAddr::V4(ip) => Client::V4(ip.into()),
                IpAddr::V6(ip) => Client::V6((u128::from(ip) >> 64) as u64),
            },
        }
    }
}

/// The clients that failed.
#[derive(Default)]
pub struct Throttle(HashMap<Client, Record>);

struct Record {
    failures: u32,
    last: Instant,
    locked_until: Option<Instant>,
    /// The beginnings of the digests of what was wrong, the newest first.
    known: [u64; KNOWN_MAX],
}

impl Throttle {
    /// How long this client must wait before `shown` (a digest) is looked at; `None`: it need not.
    #[must_use]
    pub fn locked(&self, peer: &Peer, shown: &[u8; 32], now: Instant) -> Option<Duration> {
        let record = self.0.get(&Client::of(peer)).filter(|record| !record.known.contains(&start(shown)))?;
        let left = record.locked_until?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// `shown` was wrong.
    pub fn failed(&mut self, peer: &Peer, shown: &[u8; 32], now: Instant) {
        let client = Client::of(peer);
        // No guess, so it does not keep the guesses of old in mind either.
        if self.0.get(&client).is_some_and(|record| record.known.contains(&start(shown))) {
            return;
        }
        if !self.0.contains_key(&client) && self.0.len() >= CLIENTS_MAX {
            self.forget_one(now);
        }
        let fresh = Record { failures: 0, last: now, locked_until: None, known: [0; KNOWN_MAX] };
        let record = self.0.entry(client).or_insert(fresh);
        if now.saturating_duration_since(record.last) >= FORGET_AFTER {
            record.failures = 0;
        }
        record.last = now;
        record.known.rotate_right(1);
        record.known[0] = start(shown);
        record.failures = record.failures.saturating_add(1);
        if let Some(doublings) = record.failures.checked_sub(FREE) {
            let penalty = PENALTY.saturating_mul(1 << doublings.min(16)).min(PENALTY_MAX);
            record.locked_until = Some(now + penalty);
        }
    }

    fn forget_one(&mut self, now: Instant) {
        self.0.retain(|_, record| now.saturating_duration_since(record.last) < FORGET_AFTER);
        if self.0.len() >= CLIENTS_MAX {
            let least = self.0.iter().min_by_key(|(_, record)| (record.failures, record.last));
            if let Some(client) = least.map(|(client, _)| *client) {
                self.0.remove(&client);
            }
        }
    }
}

fn start(digest: &[u8; 32]) -> u64 {
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Tcp { address: format!("{text}:1").parse().unwrap(), near: false }
    }

    fn guess(number: u32) -> [u8; 32] {
        let mut digest = [1; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        digest
    }

    const OTHER: [u8; 32] = [9; 32];

    #[test]
    fn five_are_free_then_each_costs_twice_as_much_up_to_a_minute() {
        let (mut throttle, mut now, alice) = (Throttle::default(), Instant::now(), peer("192.0.2.1"));
        let mut costs = Vec::new();
        for number in 0..14 {
            throttle.failed(&alice, &guess(number), now);
            let cost = throttle.locked(&alice, &OTHER, now).unwrap_or_default();
            costs.push(cost.as_secs());
            now += cost;
            assert_eq!(throttle.locked(&alice, &OTHER, now), None, "it ends");
        }
        assert_eq!(costs, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(throttle.locked(&peer("192.0.2.2"), &OTHER, now), None);
        now += FORGET_AFTER;
        throttle.failed(&alice, &guess(99), now);
        assert_eq!(throttle.locked(&alice, &OTHER, now), None, "the past is forgotten");
    }

    #[test]
    fn the_same_wrong_one_again_is_no_guess() {
        let (mut throttle, now, alice) = (Throttle::default(), Instant::now(), peer("192.0.2.1"));
        for _ in 0..1_000 {
            throttle.failed(&alice, &guess(1), now);
            throttle.failed(&alice, &guess(2), now);
        }
        assert_eq!(throttle.locked(&alice, &OTHER, now), None);
        (3..9).for_each(|number| throttle.failed(&alice, &guess(number), now));
        assert!(throttle.locked(&alice, &OTHER, now).is_some());
        assert_eq!(throttle.locked(&alice, &guess(8), now), None, "it is looked at, and known to be wrong");
    }

    #[test]
    fn many_programs_with_old_tokens_lock_nobody_out_who_shares_their_address() {
        let (mut throttle, mut now, alice) = (Throttle::default(), Instant::now(), peer("192.0.2.1"));
        let old = |number| guess(number as u32);
        (0..KNOWN_MAX).for_each(|number| throttle.failed(&alice, &old(number), now));
        now += PENALTY_MAX;
        for _ in 0..100 {
            (0..KNOWN_MAX).for_each(|number| throttle.failed(&alice, &old(number), now));
            assert_eq!(throttle.locked(&alice, &OTHER, now), None);
            now += FORGET_AFTER / 60;
        }
        throttle.failed(&alice, &guess(999), now);
        assert_eq!(
            throttle.locked(&alice, &OTHER, now),
            None,
            "old ones that come again keep no guess alive"
        );
    }

    #[test]
    fn clients_are_told_apart_by_what_cannot_be_changed_at_will() {
        let now = Instant::now();
        let uid = |uid| Peer::Unix { uid, pid: None };
        for (one, other, same) in [
            (peer("192.0.2.1"), peer("192.0.2.2"), false),
            (peer("192.0.2.1"), peer("[::ffff:192.0.2.1]"), true),
            (peer("[2001:db8::1]"), peer("[2001:db8::ffff:2]"), true),
            (peer("[2001:db8::1]"), peer("[2001:db8:0:1::1]"), false),
            (uid(1), uid(2), false),
            (uid(1), Peer::Unix { uid: 1, pid: Some(7) }, true),
        ] {
            let mut throttle = Throttle::default();
            (0..9).for_each(|number| throttle.failed(&one, &guess(number), now));
            assert_eq!(throttle.locked(&other, &OTHER, now).is_some(), same, "{one} {other}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_who_failed_most_stays() {
        let (mut throttle, now, alice) = (Throttle::default(), Instant::now(), peer("192.0.2.1"));
        (0..9).for_each(|number| throttle.failed(&alice, &guess(number), now));
        for number in 0..5_000_u32 {
            let stranger = peer(&std::net::Ipv4Addr::from(0x0A00_0000 + number).to_string());
            throttle.failed(&stranger, &guess(number), now);
        }
        assert_eq!(throttle.0.len(), CLIENTS_MAX);
        assert!(throttle.locked(&alice, &OTHER, now).is_some());
    }
}
