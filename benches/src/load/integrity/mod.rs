//! Integrity: seeded bytes through the server in both directions at once, in chunks of all sizes, compared at both ends.
//!
//! `bytes` makes the stream and its chunks, `exchange` moves it over one socket; here both ends are run and compared.

mod bytes;
mod exchange;

use super::Setting;
use crate::failure::{Failure, Failures};
use crate::report::Report;
use crate::server::Meter;
use crate::socket;
use bytes::Lane;
use exchange::{End, Seen};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// A thread's stack; there are two at each end of each connection.
const STACK: usize = 128 * 1024;
/// A read or write that waits longer has stalled.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Options {
    pub connections: u64,
    pub up_bytes: u64,
    pub down_bytes: u64,
    pub seed: u64,
    /// Each end shuts its direction down as soon as it has sent all, and expects the other's end exactly where it belongs.
    /// Without it both ends stay open until everything has arrived.
    pub half_close: bool,
}

/// What became of one connection, as its client's end tells it.
type Verdict = Result<(), (u64, Failure)>;

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let meter = Meter::start(setting.server_pid)?;
    let verdicts = compare_all(setting, options)?;
    let spent = meter.stop()?;

    let mut failures = Failures::default();
    for (connection, failure) in verdicts.iter().filter_map(|verdict| verdict.as_ref().err()) {
        failures.count(failure);
        eprintln!("connection {connection}: {failure}");
    }
    let gigabytes = (options.connections * (options.up_bytes + options.down_bytes)) as f64 / 1e9;
    let mut report = setting.report("integrity");
    report.count("connections", options.connections);
    report.count("up_bytes", options.up_bytes);
    report.count("down_bytes", options.down_bytes);
    report.count("seed", options.seed);
    report.text("half_close", if options.half_close { "yes" } else { "no" });
    report.count("intact", options.connections - failures.total());
    report.failures(&failures);
    report.measure("gb_per_second", gigabytes / spent.wall.as_secs_f64());
    spent.describe("ms_per_gb", 1e3, gigabytes, &mut report);
    Ok(report)
}

fn compare_all(setting: &Setting, options: &Options) -> Result<Vec<Verdict>, Failure> {
    let starting = Failure::own("starting its target");
    let listener = socket::listen_on(setting.target_port)?;
    let address = listener.local_addr().map_err(&starting)?;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..options.connections).map(|_| mpsc::channel()).unzip();
    thread::scope(|scope| {
        let accept = || accept_all(&listener, options, &senders);
        thread::Builder::new().spawn_scoped(scope, accept).map_err(&starting)?;
        let mut clients = Vec::new();
        for (connection, target_end) in (0..).zip(receivers) {
            let client = move || {
                client(setting, options, address, connection, &target_end)
                    .map_err(|failure| (connection, failure))
            };
            let builder = thread::Builder::new().stack_size(STACK);
            clients.push(builder.spawn_scoped(scope, client).map_err(Failure::own("starting a client"))?);
        }
        let verdicts = clients.into_iter().enumerate().map(|(connection, client)| {
            let panicked =
                |_| Err((connection as u64, Failure::own("comparing")(io::Error::other("a panic"))));
            client.join().unwrap_or_else(panicked)
        });
        let verdicts = verdicts.collect();
        hang_up(address);
        Ok(verdicts)
    })
}

/// Both directions of connection number `connection`, as its client's end sees them.
fn client_end(options: &Options, connection: u64) -> End {
    let seed = |lane: u64| bytes::mix(options.seed ^ bytes::mix(2 * connection + lane));
    End {
        outgoing: Lane { direction: "up", seed: seed(0), bytes: options.up_bytes },
        incoming: Lane { direction: "down", seed: seed(1), bytes: options.down_bytes },
        half_close: options.half_close,
    }
}

fn client(
    setting: &Setting,
    options: &Options,
    target: SocketAddr,
    connection: u64,
    target_end: &Receiver<Result<Seen, Failure>>,
) -> Result<(), Failure> {
    let mut stream = setting.route.dial(target)?;
    stream.write_all(&connection.to_be_bytes())?;
    let ours = exchange(&stream, &client_end(options, connection));
    // Only now may the connection be closed: the other end may still be reading.
    let theirs = target_end.recv_timeout(PATIENCE).map_err(|_| Failure::TimedOut)?;
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) if ours.sent == theirs.received && ours.received == theirs.sent => Ok(()),
        (Ok(_), Ok(_)) => Err(Failure::Malformed("the hashes of what was sent and what was received differ")),
        (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
        (Err(ours), Err(theirs)) => Err(ours.graver(theirs)),
    }
}

fn exchange(stream: &TcpStream, end: &End) -> Result<Seen, Failure> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    exchange::run(stream, end)
}

/// The target: an end for each connection that comes, until one comes that is none of ours.
fn accept_all(listener: &TcpListener, options: &Options, verdicts: &[Sender<Result<Seen, Failure>>]) {
    thread::scope(|scope| {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut number = [0; 8];
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let connection = stream.read_exact(&mut number).map_or(u64::MAX, |()| u64::from_be_bytes(number));
            if connection == HANG_UP {
                return;
            }
            let Some(verdict) = verdicts.get(connection as usize) else { continue };
            let end = client_end(options, connection).mirrored();
            let serve = move || {
                let _ = verdict.send(exchange(&stream, &end));
                // The client closes first: it may still be reading.
                let _ = stream.read(&mut [0]);
            };
            if thread::Builder::new().stack_size(STACK).spawn_scoped(scope, serve).is_err() {
                return;
            }
        }
    });
}

/// A connection's number that tells the target that no other will come.
const HANG_UP: u64 = u64::MAX - 1;

fn hang_up(target: SocketAddr) {
    if let Ok(mut stream) = TcpStream::connect(target) {
        let _ = stream.write_all(&HANG_UP.to_be_bytes());
    }
}
