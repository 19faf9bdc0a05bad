//! Somebody who asks: a resolver's thread, and the inbox of a worker.

use ringway_dataplane::io::Busy;
use ringway_dataplane::io::inbox::{Inbox, Mail, Outbox, ReturnAddress, inbox};
use ringway_dataplane::io::questions::{self, Ticket};
use ringway_dataplane::io::resolve::{self, Answer, Resolver};
use ringway_shared::config::Dns;
use rustix::event::{PollFd, PollFlags, poll};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a lookup that ends well takes a millisecond of it.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(20);
/// A resolver and the inbox of a worker that asks it.
pub struct Desk {
    resolver: Resolver,
    outbox: Outbox,
    inbox: Inbox,
}

impl Desk {
    pub fn open(dns: &Dns, lookup_timeout: Duration) -> Desk {
        let (resolver, _thread) = resolve::start(dns, lookup_timeout).unwrap();
        let (outbox, inbox) = inbox().unwrap();
        Desk { resolver, outbox, inbox }
    }

    pub fn ask(&self, name: &str, slot: u32) -> Result<(), Busy> {
        let ticket = Ticket { slot, generation: 7 };
        self.resolver.ask(name, ReturnAddress { outbox: self.outbox.clone(), ticket })
    }

    /// The next answer and whose it is.
    pub fn answer(&self) -> (u32, Answer) {
        loop {
            self.inbox.silence();
            match self.inbox.take() {
                Some(Mail::Answer(ticket, questions::Reply::Resolved(answer))) => {
                    assert_eq!(ticket.generation, 7);
                    return (ticket.slot, answer);
                }
                Some(_) => panic!("not an answer"),
                None => {
                    let bell = self.inbox.bell().unwrap();
                    let patience = (2 * LOOKUP_TIMEOUT).try_into().unwrap();
                    assert_eq!(
                        poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&patience)),
                        Ok(1),
                        "no answer"
                    );
                }
            }
        }
    }

    /// Asks and waits.
    pub fn lookup(&self, name: &str) -> Answer {
        self.ask(name, 1).unwrap();
        self.answer().1
    }

    /// Asks until both families come: AAAA is waited for only a moment, and on a busy machine comes to the cache later.
    pub fn lookup_both(&self, name: &str) -> Vec<IpAddr> {
        let started = Instant::now();
        loop {
            let found = self.lookup(name).unwrap();
            if found.iter().any(IpAddr::is_ipv6) || started.elapsed() > LOOKUP_TIMEOUT {
                return found;
            }
        }
    }
}

pub fn asking(servers: &[SocketAddr]) -> Dns {
    Dns {
        servers: servers.to_vec(),
        cache_entries: 1_000,
        ttl_max: Duration::from_secs(86_400),
        negative_ttl_max: Duration::from_secs(300),
    }
}
