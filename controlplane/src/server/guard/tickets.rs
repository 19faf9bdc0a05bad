//! Tickets: what a browser shows with an upgrade, as it cannot send headers with one. Each is good for one connection, within seconds.
//!
//! It stands in an address, and addresses get into logs: by the time somebody reads it there, it is worth nothing.

use super::credentials::digest;
use crate::guard::Principal;
use rustix::rand::{GetRandomFlags, getrandom};
use std::cmp::Reverse;
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
    /// Makes one. If as many as may be wait already, whoever has the most loses their oldest. `None`: the kernel gives no random numbers.
    pub fn issue(&mut self, by: &Principal, now: Instant) -> Option<String> {
        self.0.retain(|ticket| ticket.due > now);
        let mut bytes = [0_u8; BYTES];
        if getrandom(&mut bytes[..], GetRandomFlags::empty()) != Ok(BYTES) {
            return None;
        }
        if self.0.len() >= OPEN_MAX {
            self.make_room();
        }
        let text = format!("{:032x}", u128::from_be_bytes(bytes));
        self.0.push(Ticket { digest: digest(text.as_bytes()), holder: by.clone(), due: now + LIFE });
        Some(text)
    }

    /// No holder keeps the others out by asking for many.
    fn make_room(&mut self) {
        let held = |name: &str| self.0.iter().filter(|ticket| &*ticket.holder.name == name).count();
        let places = self.0.iter().enumerate();
        // Tickets of several holders may tie; the one that is due first is the oldest.
        let most = places.max_by_key(|(_, ticket)| (held(&ticket.holder.name), Reverse(ticket.due)));
        if let Some(place) = most.map(|(place, _)| place) {
            self.0.swap_remove(place);
        }
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
    fn no_more_wait_than_may_and_who_has_most_loses_the_oldest() {
        let (mut tickets, now) = (Tickets::default(), Instant::now());
        let other = Principal::anybody(&Peer::Tcp { address: ([127, 0, 0, 1], 7).into(), near: true });
        let other = Principal { name: "other".into(), ..other };
        let others = tickets.issue(&other, now).unwrap();
        let ms = Duration::from_millis;
        let greedy: Vec<_> =
            (0..OPEN_MAX as u64).map(|at| tickets.issue(&somebody(), now + ms(at)).unwrap()).collect();
        let late = tickets.issue(&other, now + ms(100)).unwrap();
        assert_eq!(tickets.0.len(), OPEN_MAX);
        let at = now + ms(200);
        let lost: Vec<_> = greedy.iter().map(|ticket| tickets.redeem(ticket, at).is_none()).collect();
        assert!(lost[..2].iter().all(|lost| *lost) && lost[2..].iter().all(|lost| !lost), "{lost:?}");
        assert!(tickets.redeem(&others, at).is_some() && tickets.redeem(&late, at).is_some());
    }
}
