//! Idle connections: what memory, CPU and descriptors each relayed connection costs the server while nothing passes.

use super::Setting;
use crate::failure::{Failure, Failures};
use crate::report::Report;
use crate::server::{Rest, rest};
use crate::socket;
use crate::target::{Behaviour, Target};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// Connections opened and closed before counting, so that what a server makes once is not charged to the first.
const WARM_UP: usize = 64;
/// Until the server has come to rest.
const SETTLE: Duration = Duration::from_millis(1500);
/// Descriptors of ours besides two per connection.
const SPARE_FDS: u64 = 64;

pub struct Options {
    pub connections: usize,
    /// How long to hold them before memory is read again, at least a second and a half. CPU is watched in what is more.
    pub hold: Duration,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    check_fds(options.connections as u64)?;
    let target = Target::start(setting.target_port, Behaviour::Echo, 4096)?;
    for _ in 0..WARM_UP.min(options.connections) {
        open(setting, target.address)?;
    }
    let watched = options.hold.saturating_sub(SETTLE);
    thread::sleep(SETTLE);
    let before = at_rest(setting, watched)?;

    let mut failures = Failures::default();
    let mut held = Vec::with_capacity(options.connections);
    for _ in 0..options.connections {
        match open(setting, target.address) {
            Ok(stream) => held.push(stream),
            Err(failure) => failures.count(&failure),
        }
    }
    thread::sleep(SETTLE);
    let after = at_rest(setting, watched)?;
    if setting.server_pid.is_none() {
        // They are there for something else.
        thread::sleep(watched);
    }
    let alive = held.iter_mut().map(echo).filter(Result::is_ok).count();

    let mut report = setting.report("idle");
    report.count("connections", held.len() as u64);
    report.count("alive_at_the_end", alive as u64);
    report.failures(&failures);
    if let (Some(before), Some(after)) = (before, after) {
        before.describe_growth(after, held.len().max(1) as f64, &mut report);
    }
    Ok(report)
}

/// A connection through to the target, seen to be relayed.
fn open(setting: &Setting, target: SocketAddr) -> Result<TcpStream, Failure> {
    let mut stream = setting.route.dial(target)?;
    echo(&mut stream)?;
    Ok(stream)
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"i")?;
    stream.read_exact(&mut [0])
}

/// We hold both ends of what the server relays.
fn check_fds(connections: u64) -> Result<(), Failure> {
    let limit = socket::raise_fd_limit();
    if connections.saturating_mul(2).saturating_add(SPARE_FDS) <= limit {
        return Ok(());
    }
    let text = format!("{connections} connections need twice as many open files; the hard limit is {limit}");
    Err(Failure::own("opening connections")(io::Error::other(text)))
}

fn at_rest(setting: &Setting, watched: Duration) -> Result<Option<Rest>, Failure> {
    setting.server_pid.map(|pid| rest(pid, watched)).transpose()
}
