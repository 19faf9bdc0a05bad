//! What a user's limits leave to one of its connections: how much it may read now, and when it may read again.
//!
//! For each read: [`Allowance::pause_ns`], and when that is over [`Allowance::grant`], then the read, then
//! [`Allowance::settle`]. Bytes that have come already are [`charged`](Allowance::charge).

use super::{quota, rate};
use ringway_shared::account::{Account, Usage};
use std::cell::Cell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Two ways, as traffic goes: up from the client to the target, and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
}

/// The limits of a user that has some, for one connection.
pub struct Allowance {
    account: Account,
    /// Up and down: before that nothing more may be read.
    not_before_ns: [Cell<u64>; 2],
}

impl Allowance {
    /// `None`: the user has no limit on its traffic.
    #[must_use]
    pub fn of(account: &Account) -> Option<Allowance> {
        let user = &account.user;
        let limited = user.rate_up.is_some() || user.rate_down.is_some() || user.quota.is_some();
        limited.then(|| Allowance { account: account.clone(), not_before_ns: Default::default() })
    }

    /// How long to wait before anything is read this way; 0: not at all.
    #[must_use]
    pub fn pause_ns(&self, way: Way, now_ns: u64) -> u64 {
        self.not_before_ns[way as usize].get().saturating_sub(now_ns)
    }

    /// How much may be read at once, `most` at most. 0: the quota is used up.
    #[must_use]
    pub fn grant(&self, way: Way, most: usize, now_ns: u64) -> usize {
        let Account { user, usage } = &self.account;
        let open = || usage.connections.load(Relaxed);
        let portion = self
            .rate(way)
            .map(|(rate, due_ns)| rate::portion(due_ns, rate, rate::STREAM_BURST_NS, open(), now_ns));
        let most = portion.map_or(most, |portion| portion.min(most));
        user.quota.map_or(most, |quota| quota::reserve(&usage.quota_used, quota.bytes, most))
    }

    /// Notes what came of a grant.
    pub fn settle(&self, way: Way, granted: usize, read: usize, now_ns: u64) {
        if self.account.user.quota.is_some() {
            quota::give_back(&self.account.usage.quota_used, granted - read);
        }
        self.schedule(way, read, now_ns);
    }

    /// Notes bytes that were read before anybody could ask. False: the quota does not carry them.
    #[must_use]
    pub fn charge(&self, way: Way, bytes: usize, now_ns: u64) -> bool {
        let Account { user, usage } = &self.account;
        let carried = user.quota.is_none_or(|quota| quota::try_take(&usage.quota_used, quota.bytes, bytes));
        if carried {
            self.schedule(way, bytes, now_ns);
        }
        carried
    }

    fn schedule(&self, way: Way, bytes: usize, now_ns: u64) {
        if let (Some((rate, due_ns)), 1..) = (self.rate(way), bytes) {
            let wait_ns = rate::reserve(due_ns, rate, rate::STREAM_BURST_NS, bytes, now_ns);
            self.not_before_ns[way as usize].set(now_ns.saturating_add(wait_ns));
        }
    }

    fn rate(&self, way: Way) -> Option<(u64, &AtomicU64)> {
        let Account { user, usage } = &self.account;
        let Usage { up_due_ns, down_due_ns, .. } = &**usage;
        match way {
            Way::Up => user.rate_up.map(|rate| (rate, up_due_ns)),
            Way::Down => user.rate_down.map(|rate| (rate, down_due_ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::config::{Password, Quota, QuotaPeriod, User};
    use std::sync::Arc;

    fn account(limits: impl FnOnce(&mut User)) -> Account {
        let mut user = User::unlimited("alice".into(), Password::Plain(b"x"[..].into()));
        limits(&mut user);
        let usage = Arc::new(Usage::for_workers(1));
        assert!(usage.enter(u64::MAX));
        Account { user: Arc::new(user), usage }
    }

    fn quota(bytes: u64) -> Option<Quota> {
        Some(Quota { bytes, period: QuotaPeriod::Total })
    }

    #[test]
    fn a_user_without_limits_has_no_allowance() {
        assert!(Allowance::of(&account(|_| ())).is_none());
        assert!(Allowance::of(&account(|user| user.rate_down = Some(1))).is_some());
    }

    #[test]
    fn a_limited_way_reads_portions_and_then_waits_and_the_other_way_does_not() {
        let account = account(|user| user.rate_up = Some(1_000_000));
        let allowance = Allowance::of(&account).unwrap();
        assert_eq!(allowance.grant(Way::Up, 65_536, 0), 20_000);
        assert_eq!(allowance.grant(Way::Down, 65_536, 0), 65_536);
        allowance.settle(Way::Up, 20_000, 20_000, 0);
        assert_eq!(allowance.pause_ns(Way::Up, 0), 0, "that was the burst");
        allowance.settle(Way::Up, 20_000, 15_000, 0);
        assert_eq!(allowance.pause_ns(Way::Up, 1_000_000), 14_000_000);
        allowance.settle(Way::Down, 65_536, 65_536, 0);
        assert_eq!(allowance.pause_ns(Way::Down, 0), 0);
    }

    #[test]
    fn a_quota_is_one_number_for_both_ways_and_all_connections() {
        let account = account(|user| user.quota = quota(100));
        let (one, other) = (Allowance::of(&account).unwrap(), Allowance::of(&account).unwrap());
        assert_eq!(one.grant(Way::Up, 30, 0), 30);
        assert_eq!(other.grant(Way::Down, 60, 0), 35);
        assert_eq!(one.grant(Way::Up, 30, 0), 18);
        one.settle(Way::Up, 48, 15, 0);
        other.settle(Way::Down, 35, 35, 0);
        assert!(!other.charge(Way::Up, 51, 0) && other.charge(Way::Up, 50, 0));
        assert_eq!(account.usage.quota_used.load(Relaxed), 100);
    }
}
