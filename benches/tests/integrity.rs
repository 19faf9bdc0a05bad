//! The integrity load must notice what a bad relay does: here is a relay that is bad in each way.

use ringway_benches::failure::Failure;
use ringway_benches::load::{Setting, integrity};
use ringway_benches::report::Report;
use ringway_benches::route::Route;
use ringway_benches::socket::listen_on;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;

/// What the relay does to the bytes from the client to the target.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// One bit of the byte at this offset is turned.
    Flip(u64),
    /// The byte at this offset is left out.
    Lose(u64),
    /// The stream ends here, cleanly, as if it were whole.
    Cut(u64),
    /// The end of one direction ends the other too, as several SOCKS5 servers do.
    NoHalfClose,
}

const BYTES: u64 = 700_000;

#[test]
fn an_honest_relay_passes() {
    let report = through(Fault::None, 4, true).unwrap();
    assert!(!report.has_failures(), "{}", report.table());
    let report = through(Fault::None, 4, false).unwrap();
    assert!(!report.has_failures(), "{}", report.table());
}

#[test]
fn a_turned_bit_is_found_at_its_offset() {
    let table = through(Fault::Flip(8 + 123_456), 1, false).unwrap().table();
    assert!(table.contains("up, the byte at offset 123456 is not the one that was sent"), "{table}");
}

#[test]
fn a_lost_byte_is_found() {
    assert!(through(Fault::Lose(8 + 65_536), 1, true).unwrap().has_failures());
}

#[test]
fn a_stream_cut_short_is_found() {
    assert!(through(Fault::Cut(BYTES / 2), 1, true).unwrap().has_failures());
    assert!(through(Fault::Cut(8 + BYTES - 1), 1, false).unwrap().has_failures());
}

#[test]
fn a_relay_without_half_close_fails_only_when_half_close_is_asked_for() {
    let report = through(Fault::NoHalfClose, 1, true).unwrap();
    assert!(report.has_failures(), "{}", report.table());
    let report = through(Fault::NoHalfClose, 1, false).unwrap();
    assert!(!report.has_failures(), "{}", report.table());
}

/// The load through a relay with this fault. The target sends three times as much as the client.
fn through(fault: Fault, connections: u64, half_close: bool) -> Result<Report, Failure> {
    let target_port = free_port();
    let relay = start_relay(fault, SocketAddr::from(([127, 0, 0, 1], target_port)));
    let setting = Setting { route: Route::Forwarder(relay), target_port, server_pid: None };
    let (up_bytes, down_bytes) = (BYTES, 3 * BYTES);
    integrity::run(&setting, &integrity::Options { connections, up_bytes, down_bytes, seed: 42, half_close })
}

fn free_port() -> u16 {
    listen_on(0).unwrap().local_addr().unwrap().port()
}

fn start_relay(fault: Fault, target: SocketAddr) -> SocketAddr {
    let listener = listen_on(0).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let Ok(target) = TcpStream::connect(target) else { return };
            let (from_target, to_client) = (target.try_clone().unwrap(), client.try_clone().unwrap());
            let back = if matches!(fault, Fault::NoHalfClose) { fault } else { Fault::None };
            thread::spawn(move || pass(from_target, to_client, back));
            thread::spawn(move || pass(client, target, fault));
        }
    });
    address
}

fn pass(mut from: TcpStream, mut to: TcpStream, fault: Fault) {
    let mut buffer = vec![0; 10_000];
    let mut offset = 0;
    while let Ok(received @ 1..) = from.read(&mut buffer) {
        let mut bytes = buffer[..received].to_vec();
        let at = |place: u64| {
            (offset..offset + received as u64).contains(&place).then(|| (place - offset) as usize)
        };
        match fault {
            Fault::Flip(place) => at(place).into_iter().for_each(|index| bytes[index] ^= 0x10),
            Fault::Lose(place) => at(place).into_iter().for_each(|index| _ = bytes.remove(index)),
            Fault::Cut(place) => at(place).into_iter().for_each(|index| bytes.truncate(index)),
            Fault::None | Fault::NoHalfClose => {}
        }
        if to.write_all(&bytes).is_err() {
            break;
        }
        offset += received as u64;
        if matches!(fault, Fault::Cut(place) if place < offset) {
            break;
        }
    }
    match fault {
        Fault::NoHalfClose => {
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        }
        _ => drop(to.shutdown(Shutdown::Write)),
    }
}
