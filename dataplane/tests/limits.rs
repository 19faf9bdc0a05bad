//! Users' limits, seen through a whole data plane.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod proxy;

use proxy::{PATIENCE, Proxy, answer, request};
use ringway_shared::command::Command;
use ringway_shared::config::{Password, Quota, QuotaPeriod, User, Users};
use ringway_shared::reason::Reason;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A proxy for alice, with limits.
fn proxy_for(limits: impl FnOnce(&mut User)) -> Proxy {
    let mut alice = User::unlimited("alice".into(), Password::Plain(b"secret"[..].into()));
    limits(&mut alice);
    let users = Users { entries: vec![Arc::new(alice)] };
    Proxy::start(|config| config.socks5.users = Some(Arc::new(users)))
}

/// A relayed connection of alice's: the client's end, saying `payload` with its request, and the target's.
fn relayed(proxy: &Proxy, payload: &[u8]) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = proxy.client(Some(("alice", "secret")));
    client.write_all(&[&request(1, "127.0.0.1", port)[..], payload].concat()).unwrap();
    let answer = answer(client);
    assert_eq!(answer.reply, 0);
    let (target, _) = listener.accept().unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    (answer.stream, target)
}

fn quota(bytes: u64) -> Option<Quota> {
    Some(Quota { bytes, period: QuotaPeriod::Total })
}

/// Sends until the other side has had enough.
fn flood(mut to: TcpStream) {
    while to.write_all(&[b'x'; 64 * 1024]).is_ok() {}
}

fn swallow(mut from: TcpStream) {
    while from.read(&mut [0; 64 * 1024]).is_ok_and(|count| count > 0) {}
}

#[test]
fn a_quota_cuts_at_its_last_byte_and_with_a_reset() {
    for bytes in [1, 1_000_003, 20_000_000] {
        let proxy = proxy_for(|user| user.quota = quota(bytes));
        let (mut client, target) = relayed(&proxy, b"");
        let flood = std::thread::spawn(move || flood(target));
        let error = std::io::copy(&mut client, &mut std::io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let end = proxy.end();
        assert_eq!((end.reason, end.received_bytes), (Reason::QuotaExhausted, bytes));
        flood.join().unwrap();
    }
}

#[test]
fn both_ways_and_all_connections_draw_on_one_quota() {
    let proxy = proxy_for(|user| user.quota = quota(3_000_000));
    let pairs: Vec<_> = (0..4).map(|_| relayed(&proxy, b"hello")).collect();
    let floods = pairs.into_iter().flat_map(|(client, target)| {
        let (from_target, from_client) = (client.try_clone().unwrap(), target.try_clone().unwrap());
        [client, target]
            .map(|end| std::thread::spawn(move || flood(end)))
            .into_iter()
            .chain([from_target, from_client].map(|end| std::thread::spawn(move || swallow(end))))
    });
    let floods: Vec<_> = floods.collect();
    let ends: Vec<_> = (0..4).map(|_| proxy.end()).collect();
    assert!(ends.iter().all(|end| end.reason == Reason::QuotaExhausted), "{ends:?}");
    let moved: u64 = ends.iter().map(|end| end.sent_bytes + end.received_bytes).sum();
    assert_eq!(moved, 3_000_000);
    floods.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn a_transfer_that_ends_with_the_quota_is_whole() {
    let proxy = proxy_for(|user| user.quota = quota(100_005));
    let (mut client, mut target) = relayed(&proxy, b"hello");
    client.shutdown(Shutdown::Write).unwrap();
    target.write_all(&[b'x'; 100_000]).unwrap();
    let mut said = Vec::new();
    target.read_to_end(&mut said).unwrap();
    drop(target);
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!((said.len(), received.len()), (5, 100_000));
    drop(client);
    assert_eq!(proxy.end().reason, Reason::Finished);
}

#[test]
fn first_bytes_beyond_the_quota_are_not_passed_on() {
    let proxy = proxy_for(|user| user.quota = quota(4));
    let (_client, mut target) = relayed(&proxy, b"hello");
    assert_eq!(target.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let end = proxy.end();
    assert_eq!((end.reason, end.sent_bytes), (Reason::QuotaExhausted, 0));
}

/// Only what must not be faster is asserted here: how much slower it is hangs on the machine. The figures are in
/// policy/rate.rs, by virtual time, and in what `socks_load smooth` measures.
#[test]
fn a_limited_way_is_not_faster_than_its_rate_and_loses_nothing() {
    const BYTES: usize = 600_000;
    let proxy = proxy_for(|user| user.rate_down = Some(1_000_000));
    let begun = Instant::now();
    let (mut client, mut target) = relayed(&proxy, b"");
    target.write_all(&[b'x'; BYTES]).unwrap();
    drop(target);
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), BYTES);
    // The burst and a slice come at once, 40 ms together.
    assert!(begun.elapsed() >= Duration::from_millis(550), "{:?}", begun.elapsed());
    drop(client);
    assert_eq!(proxy.end().reason, Reason::Finished);
}

#[test]
fn a_limited_way_leaves_the_other_alone() {
    let proxy = proxy_for(|user| user.rate_down = Some(1));
    let (mut client, mut target) = relayed(&proxy, b"");
    let bytes = vec![b'x'; 8 << 20];
    let sender = std::thread::spawn(move || client.write_all(&bytes).map(|()| client));
    let mut received = vec![0; 8 << 20];
    target.read_exact(&mut received).unwrap();
    sender.join().unwrap().unwrap();
}

#[test]
fn a_pause_of_minutes_ends_with_a_cut() {
    let proxy = proxy_for(|user| user.rate_up = Some(10));
    let (client, mut target) = relayed(&proxy, &[b'x'; 1_000]);
    target.read_exact(&mut [0; 1_000]).unwrap();
    let mut client = client;
    client.write_all(b"more").unwrap();
    assert!(proxy.workers.tell(0, Command::Cut));
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.end().reason, Reason::Drained);
}
