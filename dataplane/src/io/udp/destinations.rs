//! Where a client's datagrams go: each address on the wire is understood, looked up and judged once, and the verdict
//! remembered for a while. A name is looked up beside the datagrams: those for it wait, others do not.

use super::Relay;
use crate::io::dial::egress::local_address_towards;
use crate::io::questions::{Questions, Reply, Ticket};
use crate::io::route::{self, Refusal};
use crate::io::sessions::ticks;
use crate::policy::preference;
use crate::policy::recent::Recent;
use crate::policy::targets::Permit;
use crate::proto::udp;
use ringway_shared::config::Via;
use ringway_shared::datagram::Drop as Dropped;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Host, Target};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

/// Verdicts remembered, and for how many ticks: 10 s. Rules that begin or end are seen then.
const VERDICTS_MAX: usize = 512;
const VERDICT_TICKS: u32 = 100;
/// For how many ticks a name keeps the address it was found to have: 5 min. A conversation (QUIC's, say) is with one
/// peer, though its name has others and the name server takes turns among them.
const ADDRESS_TICKS: u32 = 3_000;
const _: () = assert!(ADDRESS_TICKS > VERDICT_TICKS);
/// Names an association may have looked up at once.
const LOOKUPS_MAX: usize = 16;
/// Bytes that may wait for them, and what a datagram counts for besides its payload.
const WAITING_BYTES_MAX: usize = 64 * 1024;
const WAITING_OVERHEAD_BYTES: usize = 32;

/// What is known of a client's targets. Addresses are kept as they stand on the wire.
pub(super) struct Destinations {
    verdicts: Recent<Box<[u8]>, Remembered>,
    lookups: Vec<Lookup>,
    waiting_bytes: usize,
}

#[derive(Clone, Copy)]
struct Remembered {
    verdict: Result<SocketAddr, Dropped>,
    /// When it was given.
    tick: u32,
    /// When the name was looked up, or the address first seen.
    found_tick: u32,
}

/// A name being looked up.
struct Lookup {
    address: Box<[u8]>,
    /// `None`: its task has not asked yet.
    ticket: Option<Ticket>,
    begun_tick: u32,
    /// Payloads that wait for it.
    waiting: Vec<Box<[u8]>>,
}

/// Where a datagram goes.
pub(super) enum Found {
    At(SocketAddr),
    /// It is kept until its name has been looked up.
    Later,
}

impl Default for Destinations {
    fn default() -> Self {
        Destinations { verdicts: Recent::new(VERDICTS_MAX), lookups: Vec::new(), waiting_bytes: 0 }
    }
}

impl Destinations {
    fn verdict(&self, address: &[u8], now_tick: u32) -> Option<Result<SocketAddr, Dropped>> {
        let remembered = self.verdicts.get(address)?;
        (now_tick.wrapping_sub(remembered.tick) < VERDICT_TICKS).then_some(remembered.verdict)
    }

    /// The address a name has been found to have, and when.
    fn address(&self, address: &[u8], now_tick: u32) -> Option<(IpAddr, u32)> {
        let Remembered { verdict, found_tick, .. } = self.verdicts.get(address)?;
        let known = (verdict.ok()?.ip(), *found_tick);
        (now_tick.wrapping_sub(*found_tick) < ADDRESS_TICKS).then_some(known)
    }

    /// Keeps a payload until its name has been looked up. True: nobody is looking it up yet.
    fn wait(&mut self, address: &[u8], payload: &[u8], now_tick: u32) -> Result<bool, Dropped> {
        let bytes = self.waiting_bytes + payload.len() + WAITING_OVERHEAD_BYTES;
        if bytes > WAITING_BYTES_MAX {
            return Err(Dropped::LookupsFull);
        }
        let under_way = self.lookups.len();
        let known = self.lookups.iter_mut().find(|lookup| *lookup.address == *address);
        let is_new = known.is_none();
        match known {
            Some(lookup) => lookup.waiting.push(payload.into()),
            None if under_way >= LOOKUPS_MAX => return Err(Dropped::LookupsFull),
            None => self.lookups.push(Lookup {
                address: address.into(),
                ticket: None,
                begun_tick: now_tick,
                waiting: vec![payload.into()],
            }),
        }
        self.waiting_bytes = bytes;
        Ok(is_new)
    }

    fn set_ticket(&mut self, address: &[u8], ticket: Ticket) {
        if let Some(lookup) = self.lookups.iter_mut().find(|lookup| *lookup.address == *address) {
            lookup.ticket = Some(ticket);
        }
    }

    /// Ends a lookup; what has waited for it.
    fn finish(&mut self, address: &[u8]) -> Vec<Box<[u8]>> {
        let Some(place) = self.lookups.iter().position(|lookup| *lookup.address == *address) else {
            return Vec::new();
        };
        let waiting = self.lookups.swap_remove(place).waiting;
        let bytes = waiting.iter().map(|payload| payload.len() + WAITING_OVERHEAD_BYTES).sum::<usize>();
        self.waiting_bytes -= bytes;
        waiting
    }

    /// Ends the lookups that have lasted `ticks` without an answer: one may be lost on its way to a busy worker.
    fn give_up(&mut self, questions: &Questions, now_tick: u32, ticks: u32) {
        let lost = self.lookups.iter().filter(|lookup| now_tick.wrapping_sub(lookup.begun_tick) >= ticks);
        lost.filter_map(|lookup| lookup.ticket).for_each(|ticket| questions.expire(ticket));
    }

    /// Ends all lookups without an answer.
    pub(super) fn forsake(&mut self, questions: &Questions) {
        self.give_up(questions, 0, 0);
    }
}

impl Relay {
    /// Where a payload for this address goes; one for a name that is not known yet is kept.
    pub(super) fn find(self: &Rc<Self>, address: &[u8], payload: &[u8]) -> Result<Found, Dropped> {
        let now_tick = self.core.sessions.now_tick();
        if let Some(verdict) = self.destinations.borrow().verdict(address, now_tick) {
            return verdict.map(Found::At);
        }
        let target = udp::target(address).ok_or(Dropped::Malformed)?;
        match &target.host {
            Host::Address(ip) => self.decide(address, &target, &[*ip], now_tick).map(Found::At),
            Host::Name(_) => {
                let known = self.destinations.borrow().address(address, now_tick);
                if let Some((ip, found_tick)) = known {
                    return self.decide(address, &target, &[ip], found_tick).map(Found::At);
                }
                let mut destinations = self.destinations.borrow_mut();
                let timeouts = &self.session.service.config.socks5.timeouts;
                destinations.give_up(&self.core.questions, now_tick, 2 * ticks(timeouts.name_lookup));
                if destinations.wait(address, payload, now_tick)? {
                    self.spawn(self.clone().look_up(address.into(), target));
                }
                Ok(Found::Later)
            }
        }
    }

    async fn look_up(self: Rc<Self>, address: Box<[u8]>, target: Target) {
        let verdict = self.ask(&address, &target).await;
        let waiting = self.destinations.borrow_mut().finish(&address);
        if self.over.get() {
            return;
        }
        match verdict {
            Ok(addresses) => {
                match self.decide(&address, &target, &addresses, self.core.sessions.now_tick()) {
                    Ok(destination) => self.forward_waiting(destination, &waiting),
                    Err(why) => self.count_dropped(why, waiting.len() as u64),
                }
            }
            Err(why) => self.count_dropped(why, waiting.len() as u64),
        }
    }

    async fn ask(&self, address: &[u8], target: &Target) -> Result<Vec<IpAddr>, Dropped> {
        let Host::Name(name) = &target.host else { return Err(Dropped::Malformed) };
        if self.over.get() {
            // Ended before this task had its first turn: nobody would withdraw the question.
            return Err(Dropped::NameLookup);
        }
        let begun = Instant::now();
        let core = &self.core;
        let question = core.questions.open();
        self.destinations.borrow_mut().set_ticket(address, question.ticket());
        core.wiring.resolver.ask(name, core.return_address(&question)).map_err(|_| Dropped::NameLookup)?;
        let answer = question.await;
        core.cells.dns.record(begun.elapsed().as_micros() as u64);
        match answer {
            Some(Reply::Resolved(Ok(addresses))) => Ok(addresses),
            _ => Err(Dropped::NameLookup),
        }
    }

    /// Judges a target's addresses, chooses among those permitted, and remembers the verdict.
    fn decide(
        &self,
        address: &[u8],
        target: &Target,
        addresses: &[IpAddr],
        found_tick: u32,
    ) -> Result<SocketAddr, Dropped> {
        let verdict = self.permitted(target, addresses).and_then(|permits| self.choose(&permits));
        let remembered = Remembered { verdict, tick: self.core.sessions.now_tick(), found_tick };
        self.destinations.borrow_mut().verdicts.put(address.into(), remembered);
        verdict
    }

    /// Every address that may be sent to; refused if none may. The first refusal is noted for the access log.
    fn permitted(&self, target: &Target, addresses: &[IpAddr]) -> Result<Vec<Permit>, Dropped> {
        let mut permits = Vec::with_capacity(addresses.len());
        for ip in addresses {
            let address = SocketAddr::new(ip.to_canonical(), target.port);
            match self.judge(&target.host, address) {
                Ok(permit) => permits.push(permit),
                Err(_) if self.noted.replace(true) => {}
                Err(refusal) => drop(route::note(&self.session, Some(address), refusal)),
            }
        }
        if permits.is_empty() { Err(Dropped::DeniedTarget) } else { Ok(permits) }
    }

    fn judge(&self, host: &Host, address: SocketAddr) -> Result<Permit, Refusal> {
        let judgement = route::judge(&self.core, &self.session, Command::UdpAssociate, host, address)?;
        match judgement.via {
            Via::Direct => Ok(judgement.permit),
            // What must go through an upstream proxy must not go round it.
            Via::Group(group) => Err(Refusal {
                reason: Reason::DeniedAcl,
                rule: judgement.rule,
                hint: format!(
                    "datagrams go direct only, not through {group}: give them a rule with via: direct"
                )
                .into(),
            }),
        }
    }

    /// The first address in the configured order that this host has a route to. Nothing on the way would tell that
    /// one does not answer, so there is no racing.
    fn choose(&self, permits: &[Permit]) -> Result<SocketAddr, Dropped> {
        let prefer = self.session.service.config.socks5.egress.prefer;
        let mut arranged = preference::arrange(permits, prefer, None).into_iter().map(Permit::address);
        let reachable = |address: &SocketAddr| {
            permits.len() == 1 || local_address_towards(*address, &self.session).is_ok()
        };
        arranged.find(reachable).ok_or(Dropped::NoRoute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x03\x06x.test\0\x50";

    #[test]
    fn a_verdict_is_given_anew_before_a_name_is_looked_up_anew() {
        let mut destinations = Destinations::default();
        let found: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let remembered = Remembered { verdict: Ok(found), tick: 7, found_tick: 7 };
        destinations.verdicts.put(NAME.into(), remembered);
        assert_eq!(destinations.verdict(NAME, 7 + VERDICT_TICKS - 1), Some(Ok(found)));
        assert_eq!(destinations.verdict(NAME, 7 + VERDICT_TICKS), None);
        assert_eq!(destinations.address(NAME, 7 + ADDRESS_TICKS - 1), Some((found.ip(), 7)));
        assert_eq!(destinations.address(NAME, 7 + ADDRESS_TICKS), None);
    }

    #[test]
    fn what_waits_is_bounded_and_given_back_whole() {
        let mut destinations = Destinations::default();
        assert_eq!(destinations.wait(NAME, b"one", 0), Ok(true));
        assert_eq!(destinations.wait(NAME, b"two", 0), Ok(false));
        assert_eq!(destinations.wait(NAME, &[0; WAITING_BYTES_MAX], 0), Err(Dropped::LookupsFull));
        for other in 1..LOOKUPS_MAX {
            assert_eq!(destinations.wait(&[other as u8], b"", 0), Ok(true));
        }
        assert_eq!(destinations.wait(b"one too many", b"", 0), Err(Dropped::LookupsFull));
        assert_eq!(destinations.finish(NAME), [Box::from(*b"one"), Box::from(*b"two")]);
        (1..LOOKUPS_MAX).for_each(|other| drop(destinations.finish(&[other as u8])));
        assert_eq!((destinations.lookups.len(), destinations.waiting_bytes), (0, 0));
    }

    #[test]
    fn a_lookup_whose_answer_is_lost_is_given_up() {
        let questions = Questions::default();
        let mut destinations = Destinations::default();
        destinations.wait(NAME, b"", 100).unwrap();
        let question = questions.open();
        destinations.set_ticket(NAME, question.ticket());
        destinations.give_up(&questions, 149, 50);
        destinations.give_up(&questions, 150, 50);
        assert!(matches!(futures_util::FutureExt::now_or_never(question), Some(None)));
    }
}
