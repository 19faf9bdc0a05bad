//! What one core writes and another thread reads without its help is never seen torn.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use ringway_shared::connection::Connection;
use ringway_shared::exemplar::Exemplars;
use ringway_shared::flight::{Flight, What};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const WRITES: u64 = 300_000;

/// Writes for as long as `look` has not looked often enough, one number after the other.
fn while_written(write: impl Fn(u64) + Send + Sync, mut look: impl FnMut() -> u64) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 1;
            while !stop.load(Ordering::Relaxed) || number < WRITES {
                write(number);
                number += 1;
            }
        });
        let mut seen = 0;
        while seen < WRITES {
            seen += look();
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn events_are_whole_and_in_order_while_more_are_noted() {
    let flight = Flight::default();
    // All parts of an event say the same number: a torn one would say two.
    let write = |number: u64| {
        let what = if number.is_multiple_of(7) {
            What::Generation(number as u32)
        } else {
            What::HandedOver { to: number as u16 }
        };
        flight.note(number, Some(Connection::websocket(number)), what);
    };
    while_written(write, || {
        let events = flight.newest_first();
        for event in &events {
            assert_eq!(event.connection, Some(Connection::websocket(event.at_ns)));
            match event.what {
                What::Generation(number) => assert_eq!(u64::from(number), event.at_ns),
                What::HandedOver { to } => assert_eq!(to, event.at_ns as u16),
                other => panic!("{other:?} was never noted"),
            }
        }
        assert!(events.windows(2).all(|pair| pair[0].at_ns > pair[1].at_ns));
        events.len() as u64
    });
}

#[test]
fn exemplars_are_whole_while_they_are_replaced() {
    let exemplars = Exemplars::default();
    let write = |number: u64| exemplars.offer(number % 100, number * 1_000, Connection::socks5(number));
    while_written(write, || {
        let Some(exemplar) = exemplars.of_bucket(0) else { return 0 };
        let number = exemplar.connection.serial;
        assert_eq!((exemplar.value_us, exemplar.at_ms), (number % 100, number * 1_000));
        1
    });
}
