//! Micro benchmarks of what the workers do most: `cargo bench -p ringway-benches`.

use divan::{Bencher, black_box, counter::ItemsCount};
use ringway_benches::subjects;
use ringway_dataplane::io::inbox::{Mail, inbox};
use ringway_dataplane::policy::acl::{Acl, Case, LocalTime};
use ringway_dataplane::policy::clients::Clients;
use ringway_shared::command::Command;
use ringway_shared::config::{Action, Days, Destination, Limits, Rule};
use ringway_shared::connection::Connection;
use ringway_shared::exemplar::Exemplars;
use ringway_shared::flight::{Flight, What};
use ringway_shared::histogram::Histogram;
use ringway_shared::metrics::Cells;
use ringway_shared::reason::Reason;
use ringway_shared::session::{self, Host};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// Done per sample, so that reading the clock is lost in it.
const OPERATIONS: u64 = 1_000;

fn main() {
    divan::main();
}

/// A load and a store; bar: 1 ns.
#[divan::bench]
fn cell_add(bencher: Bencher) {
    let cells = Cells::default();
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for bytes in 0..OPERATIONS {
            cells.sent_bytes.add(black_box(bytes));
        }
    });
}

/// Bar: 5 ns.
#[divan::bench]
fn histogram_record(bencher: Bencher) {
    let histogram = Histogram::default();
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for value in 0..OPERATIONS {
            histogram.record(black_box(value * 37));
        }
    });
}

/// Values over all buckets, as a busy second has them: nearly each is looked at and left. Bar: 5 ns.
#[divan::bench]
fn exemplar_offer(bencher: Bencher) {
    let exemplars = Exemplars::default();
    let mut value = 1u64;
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for serial in 0..OPERATIONS {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            exemplars.offer(black_box(value >> 40), serial / 1_000, Connection::websocket(serial));
        }
    });
}

/// An event for the flight recorder, its time known. Bar: 3 ns.
#[divan::bench]
fn flight_note(bencher: Bencher) {
    let flight = Flight::default();
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for serial in 0..OPERATIONS {
            flight.note(black_box(serial), Some(Connection::socks5(serial)), What::Closed(Reason::Finished));
        }
    });
}

/// What the control plane pays for one histogram at each snapshot.
#[divan::bench]
fn histogram_fold(bencher: Bencher) {
    let histogram = Histogram::default();
    (0..100_000).for_each(|value| histogram.record(value));
    bencher
        .with_inputs(|| hdrhistogram::Histogram::<u64>::new_with_max(1 << 38, 3).ok())
        .bench_local_values(|mut into| into.as_mut().map(|into| histogram.fold_into(into)));
}

/// A burst of messages posted, then the bell silenced and all taken. Bar: 50 ns a message.
#[divan::bench(args = [1, 16, 256, 4096])]
fn inbox_burst(bencher: Bencher, messages: u64) {
    let Ok((outbox, inbox)) = inbox() else { return };
    bencher.counter(ItemsCount::new(messages)).bench_local(|| {
        for _ in 0..messages {
            black_box(outbox.post(Mail::Command(Command::Drain)).is_ok());
        }
        inbox.silence();
        while let Some(mail) = inbox.take() {
            black_box(mail);
        }
    });
}

/// A whole handshake, as most clients send it: greeting, then request, then the reply (RFC 1928).
#[divan::bench(args = ["ipv4", "name"])]
fn handshake(bencher: Bencher, target: &str) {
    let request: &[u8] = match target {
        "ipv4" => &[5, 1, 0, 1, 192, 0, 2, 1, 0, 80],
        _ => b"\x05\x01\x00\x03\x0bexample.com\x00\x50",
    };
    bencher.bench_local(|| subjects::handshake(black_box([&[5, 1, 0], request])));
}

/// Judging a connection that no rule matches. Each asks about two domains and a network. Bar: 20 us for 300 rules.
#[divan::bench(args = [0, 10, 300])]
fn acl_judge(bencher: Bencher, rules: usize) {
    let rules = (0..rules).map(|number| Rule {
        label: format!("socks5.acl[{number}]").into(),
        action: Action::Deny,
        from: Vec::new(),
        users: Vec::new(),
        to: vec![
            Destination::Domain(format!("ads{number}.example").into()),
            Destination::Domain(format!("tracker{number}.example.org").into()),
            Destination::Network(ipnet::Ipv4Net::new_assert([10, number as u8, 0, 0].into(), 16).into()),
        ],
        ports: Vec::new(),
        commands: None,
        days: Days::ALL,
        hours: None,
    });
    let acl = Acl::new(rules.collect(), None);
    let host = Host::Name("www.example.com".into());
    let case = Case {
        client: IpAddr::from([192, 0, 2, 1]),
        user: Some("alice"),
        command: session::Command::Connect,
        host: Some(&host),
        port: 443,
        address: Some(IpAddr::from([198, 51, 100, 7])),
        at: LocalTime::default(),
    };
    bencher.bench_local(|| acl.judge(&[], black_box(&case)));
}

/// A connection counted for its client and uncounted: without a limit per client, and with one. Bars: 10 ns, 200 ns.
#[divan::bench(args = [false, true])]
fn client_comes_and_goes(bencher: Bencher, limited: bool) {
    let clients = Clients::default();
    let limits = Limits {
        connections: None,
        backlog: 4_096,
        connections_per_client: limited.then_some(100),
        connections_per_user: None,
        new_connections_per_second: None,
        new_connections_per_second_per_client: None,
        udp_associations: None,
    };
    let client = IpAddr::from([192, 0, 2, 1]);
    bencher.bench_local(|| {
        if let Ok(admission) = clients.admit(black_box(client), &limits, 0) {
            clients.leave(client, admission, 0);
        }
    });
}

/// So many frames, each of so many bytes.
const CLIENT_FRAMES: [(usize, usize); 3] = [(1, 125), (64, 125), (1, 16 * 1024)];

/// How many frames one sample of a benchmark reads.
fn frames_read((count, _): (usize, usize)) -> ItemsCount {
    ItemsCount::new(OPERATIONS * count as u64)
}

/// Parsed, unmasked and checked, in a buffer that is filled as recv(2) would. Bar: 25 ns for 125 bytes, the copy of
/// `websocket_frames_copied` left out.
#[divan::bench(args = CLIENT_FRAMES)]
fn websocket_frames_in(bencher: Bencher, (count, length): (usize, usize)) {
    let mut read = subjects::frames_in(count, length);
    bencher.counter(frames_read((count, length))).bench_local(|| (0..OPERATIONS).for_each(|_| read()));
}

/// The same bytes through tungstenite's `WebSocketContext`, which clears its read buffer before each read: one no
/// larger than needed.
#[divan::bench(args = CLIENT_FRAMES)]
fn websocket_frames_in_tungstenite(bencher: Bencher, frames: (usize, usize)) {
    let bytes = subjects::client_frames(frames.0, frames.1);
    let config = WebSocketConfig::default().read_buffer_size(bytes.len());
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    bencher.counter(frames_read(frames)).bench_local(|| {
        for _ in 0..OPERATIONS {
            let mut client = Client(black_box(&bytes));
            while let Ok(message) = context.read(&mut client) {
                black_box(message);
            }
        }
    });
}

/// The copy that both contain.
#[divan::bench(args = CLIENT_FRAMES)]
fn websocket_frames_copied(bencher: Bencher, frames: (usize, usize)) {
    let bytes = subjects::client_frames(frames.0, frames.1);
    let mut buffer = bytes.clone();
    bencher.counter(frames_read(frames)).bench_local(|| {
        for _ in 0..OPERATIONS {
            buffer.copy_from_slice(black_box(&bytes));
            black_box(&mut buffer);
        }
    });
}

/// A server's frame written behind others.
#[divan::bench(args = [125, 16 * 1024])]
fn websocket_frame_out(bencher: Bencher, length: usize) {
    let mut write = subjects::frame_out(length);
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| (0..OPERATIONS).for_each(|_| write()));
}

/// Has sent what it will; more does not come now.
struct Client<'a>(&'a [u8]);

impl Read for Client<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
    }
}

impl Write for Client<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
