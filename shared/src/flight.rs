//! The flight recorder: what a worker did last, told even when it can tell nothing any more.
//!
//! Two rings for each worker, so that what happens seldom is not washed away by connections. One core writes, by a few
//! relaxed stores; any thread reads without its help. A place in a ring that may have been overwritten while it was read is left out.

use crate::closing::Closing;
use crate::connection::Connection;
use crate::reason::Reason;
use crate::session::{Command, Protocol};
use std::sync::atomic::{AtomicU64, Ordering::*, fence};

/// Events of connections that are kept, and events of the worker itself.
const CONNECTION_EVENTS: usize = 1_024;
const WORKER_EVENTS: usize = 256;

/// What was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the process's epoch.
    pub at_ns: u64,
    /// Whom it was about, if not the worker itself.
    pub connection: Option<Connection>,
    pub what: What,
}

/// What a worker notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A client's socket was taken in.
    Accepted {
        tls: bool,
    },
    /// Its request is whole.
    Requested {
        protocol: Protocol,
        command: Command,
    },
    DialBegun,
    DialEstablished,
    DialFailed(Reason),
    /// A connection of the SOCKS5 port has ended.
    Closed(Reason),
    /// A WebSocket connection stands.
    Upgraded,
    /// A connection of the gateway has ended; 0 if it had not been upgraded.
    WebSocketClosed {
        closing: Closing,
        code: u16,
    },
    /// A socket came from another worker.
    Adopted,
    /// A socket was given to this worker.
    HandedOver {
        to: u16,
    },

    /// The worker serves.
    Began,
    /// It was told to drain.
    Draining,
    /// It was told to reset what is left.
    Cutting,
    /// It was told to take no new clients for now, and to take them again.
    Resting,
    Resumed,
    /// It was told to do itself harm, for a test.
    Drilled,
    /// Connections are from now on served under this generation of the configuration.
    Generation(u32),
    /// A tick came so late: the loop was held by other work.
    LoopLag {
        ms: u32,
    },
    /// A listener rests: descriptors or memory ran out.
    AcceptBackoff,
    /// A task panicked and was ended alone.
    Panicked,
    /// So many messages were read from the inbox at one wake.
    MailBurst {
        messages: u32,
    },
}

impl What {
    /// The name used in answers.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            What::Accepted { .. } => "accepted",
            What::Requested { .. } => "handshake_done",
            What::DialBegun => "dial_begun",
            What::DialEstablished => "dial_established",
            What::DialFailed(_) => "dial_failed",
            What::Closed(_) => "closed",
            What::Upgraded => "upgraded",
            What::WebSocketClosed { .. } => "websocket_closed",
            What::Adopted => "adopted",
            What::HandedOver { .. } => "handed_over",
            What::Began => "began",
            What::Draining => "draining",
            What::Cutting => "cutting",
            What::Drilled => "drilled",
            What::Generation(_) => "generation",
            What::LoopLag { .. } => "loop_lag",
            What::AcceptBackoff => "accept_backoff",
            What::Panicked => "panicked",
            What::MailBurst { .. } => "mail_burst",
            What::Resting => "resting",
            What::Resumed => "resumed",
        }
    }

    /// Whether it belongs to a connection's life, of which there are many.
    fn is_of_connection(self) -> bool {
        kind_of(self) < FIRST_OF_WORKER
    }

    fn pack(self) -> u64 {
        let detail = match self {
            What::Accepted { tls } => u64::from(tls),
            What::Requested { protocol, command } => protocol as u64 | (command as u64) << 8,
            What::DialFailed(reason) | What::Closed(reason) => reason as u64,
            What::WebSocketClosed { closing, code } => closing as u64 | u64::from(code) << 8,
            What::HandedOver { to } => to.into(),
            What::Generation(number)
            | What::LoopLag { ms: number }
            | What::MailBurst { messages: number } => number.into(),
            _ => 0,
        };
        kind_of(self) | detail << 8
    }

    /// `None`: a word that no [`What::pack`] made.
    fn unpack(word: u64) -> Option<What> {
        let detail = word >> 8;
        let reason = || Reason::ALL.get(detail as usize).copied();
        let low = (detail & 0xFF) as usize;
        Some(match word & 0xFF {
            0 => What::Accepted { tls: detail != 0 },
            1 => What::Requested {
                protocol: *Protocol::ALL.get(low)?,
                command: *Command::ALL.get(((detail >> 8) as usize).checked_sub(1)?)?,
            },
            2 => What::DialBegun,
            3 => What::DialEstablished,
            4 => What::DialFailed(reason()?),
            5 => What::Closed(reason()?),
            6 => What::Upgraded,
            7 => What::WebSocketClosed { closing: *Closing::ALL.get(low)?, code: (detail >> 8) as u16 },
            8 => What::Adopted,
            9 => What::HandedOver { to: detail as u16 },
            10 => What::Began,
            11 => What::Draining,
            12 => What::Cutting,
            13 => What::Drilled,
            14 => What::Generation(detail as u32),
            15 => What::LoopLag { ms: detail as u32 },
            16 => What::AcceptBackoff,
            17 => What::Panicked,
            18 => What::MailBurst { messages: detail as u32 },
            19 => What::Resting,
            20 => What::Resumed,
            _ => return None,
        })
    }
}

/// Kinds from here on are the worker's own.
const FIRST_OF_WORKER: u64 = 10;

fn kind_of(what: What) -> u64 {
    match what {
        What::Accepted { .. } => 0,
        What::Requested { .. } => 1,
        What::DialBegun => 2,
        What::DialEstablished => 3,
        What::DialFailed(_) => 4,
        What::Closed(_) => 5,
        What::Upgraded => 6,
        What::WebSocketClosed { .. } => 7,
        What::Adopted => 8,
        What::HandedOver { .. } => 9,
        What::Began => 10,
        What::Draining => 11,
        What::Cutting => 12,
        What::Drilled => 13,
        What::Generation(_) => 14,
        What::LoopLag { .. } => 15,
        What::AcceptBackoff => 16,
        What::Panicked => 17,
        What::MailBurst { .. } => 18,
        What::Resting => 19,
        What::Resumed => 20,
    }
}

/// What one worker did last.
pub struct Flight {
    connections: Ring,
    worker: Ring,
}

impl Default for Flight {
    fn default() -> Self {
        Flight { connections: Ring::new(CONNECTION_EVENTS), worker: Ring::new(WORKER_EVENTS) }
    }
}

impl Flight {
    /// Notes an event. Only the owning core may call this.
    pub fn note(&self, at_ns: u64, connection: Option<Connection>, what: What) {
        let ring = if what.is_of_connection() { &self.connections } else { &self.worker };
        ring.put([at_ns, Connection::pack(connection), what.pack()]);
    }

    /// What is kept, the newest first.
    #[must_use]
    pub fn newest_first(&self) -> Vec<Event> {
        let words = self.connections.kept().into_iter().chain(self.worker.kept());
        let event = |[at_ns, connection, what]: Words| {
            let connection = Connection::unpack(connection);
            Some(Event { at_ns, connection, what: What::unpack(what)? })
        };
        let mut events: Vec<_> = words.filter_map(event).collect();
        events.sort_by_key(|event| std::cmp::Reverse(event.at_ns));
        events
    }

    /// How many events were noted since the start.
    #[must_use]
    pub fn noted(&self) -> u64 {
        self.connections.next.load(Relaxed) + self.worker.next.load(Relaxed)
    }
}

type Words = [u64; 3];

/// The last events, as words. A power of two of them.
struct Ring {
    places: Box<[[AtomicU64; 3]]>,
    /// How many were ever put; the next goes to this number, modulo the places.
    next: AtomicU64,
}

impl Ring {
    fn new(places: usize) -> Ring {
        Ring { places: (0..places).map(|_| Default::default()).collect(), next: AtomicU64::new(0) }
    }

    fn put(&self, words: Words) {
        let number = self.next.load(Relaxed);
        // Who sees one of the words below also sees the number up to which all was whole.
        fence(Release);
        for (place, word) in self.place(number).iter().zip(words) {
            place.store(word, Relaxed);
        }
        self.next.store(number.wrapping_add(1), Release);
    }

    /// What is there, the newest first, but for what may have been written over meanwhile.
    fn kept(&self) -> Vec<Words> {
        let places = self.places.len() as u64;
        let end = self.next.load(Acquire);
        let numbers = (end.saturating_sub(places)..end).rev();
        let read = |number| (number, self.place(number).each_ref().map(|word| word.load(Relaxed)));
        let mut words: Vec<_> = numbers.map(read).collect();
        fence(Acquire);
        // The event of this number is perhaps being written: into the place of the one a whole round before it.
        let now = self.next.load(Relaxed);
        words.retain(|(number, _)| number + places > now);
        words.into_iter().map(|(_, words)| words).collect()
    }

    fn place(&self, number: u64) -> &[AtomicU64; 3] {
        &self.places[number as usize & (self.places.len() - 1)]
    }
}

const _: () = assert!(CONNECTION_EVENTS.is_power_of_two() && WORKER_EVENTS.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_read_as_it_was_noted() {
        let mut all = vec![
            What::Accepted { tls: false },
            What::Accepted { tls: true },
            What::DialBegun,
            What::DialEstablished,
            What::Upgraded,
            What::Adopted,
            What::HandedOver { to: 300 },
            What::Began,
            What::Draining,
            What::Cutting,
            What::Drilled,
            What::Generation(u32::MAX),
            What::LoopLag { ms: 21 },
            What::AcceptBackoff,
            What::Panicked,
            What::MailBurst { messages: 256 },
            What::Resting,
            What::Resumed,
        ];
        all.extend(Reason::ALL.iter().flat_map(|reason| [What::DialFailed(*reason), What::Closed(*reason)]));
        all.extend(
            Closing::ALL.iter().map(|closing| What::WebSocketClosed { closing: *closing, code: 4999 }),
        );
        for protocol in Protocol::ALL {
            all.extend(Command::ALL.map(|command| What::Requested { protocol, command }));
        }
        for what in &all {
            assert_eq!(What::unpack(what.pack()), Some(*what));
        }
        let labels: std::collections::HashSet<_> = all.iter().map(|what| what.label()).collect();
        assert_eq!(labels.len() as u64, kind_of(What::Resumed) + 1);
    }

    #[test]
    fn the_newest_come_first_and_connections_do_not_wash_the_workers_own_away() {
        let flight = Flight::default();
        flight.note(1, None, What::Began);
        for serial in 0..5_000 {
            flight.note(10 + serial, Some(Connection::socks5(serial)), What::DialBegun);
        }
        let events = flight.newest_first();
        let newest =
            Event { at_ns: 5_009, connection: Some(Connection::socks5(4_999)), what: What::DialBegun };
        assert_eq!(events[0], newest);
        // All but the place that the next one takes, and the one of the worker.
        assert_eq!(events.len(), CONNECTION_EVENTS);
        assert!(events.is_sorted_by_key(|event| std::cmp::Reverse(event.at_ns)));
        assert_eq!(events.last().map(|event| event.what), Some(What::Began));
        assert_eq!(flight.noted(), 5_001);
    }
}
