//! Tickets: what a browser shows with an upgrade, as it cannot send headers with one. Each is good for one connection, within seconds.
//!
//! It stands in an address, and addresses get into logs: by the time somebody reads it there, it is worth nothing.

use super::credentials::digest;
use crate::guard::Principal;
use rustix::rand::{GetRandomFlags, getrandom};
use std::time::{Duration, Instant};

/// The parameter that holds it.
pub const PARAMETER: &str = "ticket";
/// From its making to its use.
pub const LIFE: Duration = Duration::from_secs(10);
/// Tickets that wait to be used.
const OPEN_MAX: usize = 64;
/// Random bytes in one: nobody finds it by trying.
const BYTES: usize = 16;

/// Those that wait to be used.
#[derive(Default)]
pub struct Tickets(Vec<Ticket>);

struct Ticket {
    /// Of its text. To look it up tells nothing of the text.
    digest: [u8; 32],
    holder: Principal,
    due: Instant,
}

impl Tickets {
    /// Makes one. `None`: as many as may be wait already, or the kernel gives no random numbers.
    pub fn issue(&mut self, by: &Principal, now: Instant) -> Option<String> {
        self.0.retain(|ticket| ticket.due > now);
        let mut bytes = [0_u8; BYTES];
        if self.0.len() >= OPEN_MAX || getrandom(&mut bytes[..], GetRandomFlags::empty()) != Ok(BYTES) {
            return None;
        }
        let text = format!("{:032x}", u128::from_be_bytes(bytes));
        self.0.push(Ticket { digest: digest(text.as_bytes()), holder: by.clone(), due: now + LIFE });
        Some(text)
    }

    /// Uses one up: whose it was.
    pub fn redeem(&mut self, text: &str, now: Instant) -> Option<Principal> {
        let digest = digest(text.as_bytes());
        let index = self.0.iter().position(|ticket| ticket.digest == digest)?;
        let ticket = self.0.swap_remove(index);
        (ticket.due > now).then_some(ticket.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Peer;

    fn somebody() -> Principal {
        Principal::anybody(&Peer::Unix { uid: 7, pid: None })
    }

    #[test]
    fn a_ticket_is_good_once_and_not_for_long() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let mut issue = |at| tickets.issue(&somebody(), at).unwrap();
        let (first, second, third) = (issue(now), issue(now), issue(now));
        assert_ne!(first, second);
        assert_eq!((first.len(), first.bytes().all(|byte| byte.is_ascii_hexdigit())), (32, true));
        assert_eq!(&*tickets.redeem(&first, now).unwrap().name, "anybody");
        assert!(tickets.redeem(&first, now).is_none(), "used up");
        assert!(tickets.redeem("0123", now).is_none());
        assert!(tickets.redeem(&second, now + LIFE).is_none(), "too late");
        assert!(tickets.redeem(&third, now + LIFE / 2).is_some());
    }

    #[test]
    fn no_more_wait_than_may() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let mut issue = |at| tickets.issue(&somebody(), at).is_some();
        assert!((0..OPEN_MAX).all(|_| issue(now)));
        assert!(!issue(now));
        assert!(issue(now + LIFE), "those of before are over");
    }
}
