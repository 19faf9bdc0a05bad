//! What one worker remembers of verified passwords, so that the next login costs a hash of
//! nanoseconds instead of milliseconds. Held by the worker itself: no lock, no other reader.

use rustix::rand::{GetRandomFlags, getrandom};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How long a success is believed, counted from the verification and not prolonged by logins.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// Successes one worker remembers; the oldest goes first. About 100 bytes each.
pub const REMEMBERED_MAX: usize = 4_096;

/// Passwords one worker has lately seen verified. Neither names nor passwords are in it, only
/// their BLAKE3 tags under a random key that dies with the worker.
pub struct Remembered {
    key: [u8; blake3::KEY_LEN],
    /// By the tag's first half. As tags look random, what the map's timing tells says nothing.
    successes: HashMap<u128, Success>,
    /// The keys of `successes`, oldest first: each in both or in neither.
    order: VecDeque<u128>,
}

struct Success {
    second_half: [u8; 16],
    until: Instant,
}

impl Remembered {
    /// An empty memory under a new key. Errors: the kernel gave no random bytes.
    pub fn new() -> io::Result<Self> {
        let mut key = [0; blake3::KEY_LEN];
        if getrandom(&mut key, GetRandomFlags::empty())? < key.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Remembered { key, successes: HashMap::new(), order: VecDeque::new() })
    }

    /// True if `keep` was told of exactly these, less than [`REMEMBERED_FOR`] ago. A changed hash
    /// is another user, so a reloaded users file needs no call here.
    #[must_use]
    pub fn holds(&self, user: &str, hash: &str, password: &[u8], now: Instant) -> bool {
        let (first_half, second_half) = self.tag(user, hash, password);
        self.successes
            .get(&first_half)
            .is_some_and(|found| found.second_half.ct_eq(&second_half).into() && now < found.until)
    }

    /// Remembers a success. Call it for a `Reply::Verified(true)` and for nothing else.
    pub fn keep(&mut self, user: &str, hash: &str, password: &[u8], now: Instant) {
        self.forget_expired(now);
        let (first_half, second_half) = self.tag(user, hash, password);
        if self.successes.contains_key(&first_half) {
            return;
        }
        if self.order.len() == REMEMBERED_MAX {
            self.forget_oldest();
        }
        self.successes.insert(first_half, Success { second_half, until: now + REMEMBERED_FOR });
        self.order.push_back(first_half);
    }

    fn forget_expired(&mut self, now: Instant) {
        while self.order.front().is_some_and(|oldest| self.successes[oldest].until <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.successes.remove(&oldest);
        }
    }

    /// Each part goes in behind its length, so that no two triples read alike.
    fn tag(&self, user: &str, hash: &str, password: &[u8]) -> (u128, [u8; 16]) {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in [user.as_bytes(), hash.as_bytes(), password] {
            hasher.update(&part.len().to_le_bytes());
            hasher.update(part);
        }
        let (mut first, mut second) = ([0; 16], [0; 16]);
        let tag = hasher.finalize();
        let (left, right) = tag.as_bytes().split_at(16);
        first.copy_from_slice(left);
        second.copy_from_slice(right);
        (u128::from_le_bytes(first), second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn remembers_exactly_what_it_was_told() {
        let (mut memory, now) = (Remembered::new().unwrap(), Instant::now());
        memory.keep("alice", "$hash", b"secret", now);
        assert!(memory.holds("alice", "$hash", b"secret", now));
        for (user, hash, password) in [
            ("alic", "e$hash", "secret"),
            ("alice", "$hashs", "ecret"),
            ("bob", "$hash", "secret"),
            ("alice", "$other", "secret"),
            ("alice", "$hash", "secret\0"),
            ("alice", "$hash", ""),
        ] {
            assert!(!memory.holds(user, hash, password.as_bytes(), now), "{user} {hash} {password}");
        }
    }

    #[test]
    fn forgets_after_its_time_and_a_login_does_not_prolong_it() {
        let (mut memory, now) = (Remembered::new().unwrap(), Instant::now());
        memory.keep("alice", "$hash", b"secret", now);
        memory.keep("alice", "$hash", b"secret", now + REMEMBERED_FOR - SECOND);
        assert!(memory.holds("alice", "$hash", b"secret", now + REMEMBERED_FOR - SECOND));
        assert!(!memory.holds("alice", "$hash", b"secret", now + REMEMBERED_FOR));
        memory.keep("alice", "$hash", b"secret", now + REMEMBERED_FOR);
        assert!(memory.holds("alice", "$hash", b"secret", now + REMEMBERED_FOR));
    }

    #[test]
    fn a_full_memory_forgets_the_oldest() {
        let (mut memory, now) = (Remembered::new().unwrap(), Instant::now());
        for user in 0..=REMEMBERED_MAX {
            memory.keep(&user.to_string(), "$hash", b"secret", now);
        }
        assert!(!memory.holds("0", "$hash", b"secret", now));
        assert!(memory.holds("1", "$hash", b"secret", now));
        assert_eq!((memory.order.len(), memory.successes.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
    }

    #[test]
    fn what_expired_makes_room_at_once() {
        let (mut memory, now) = (Remembered::new().unwrap(), Instant::now());
        for user in 0..100 {
            memory.keep(&user.to_string(), "$hash", b"secret", now);
        }
        memory.keep("late", "$hash", b"secret", now + REMEMBERED_FOR);
        assert_eq!((memory.order.len(), memory.successes.len()), (1, 1));
    }

    #[test]
    fn two_memories_have_two_keys() {
        let (one, other) = (Remembered::new().unwrap(), Remembered::new().unwrap());
        assert_ne!(one.tag("alice", "$hash", b"secret"), other.tag("alice", "$hash", b"secret"));
    }
}
