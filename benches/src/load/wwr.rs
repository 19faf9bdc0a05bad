//! Write, write, read: a request in two small writes, answered in two small writes. Where a relay leaves Nagle's
//! algorithm on, the second write waits for the other side's delayed acknowledgement, some 40 ms.

use super::Setting;
use crate::failure::Failure;
use crate::latencies::{FULL, Latencies};
use crate::report::Report;
use crate::socket;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// So many are made however long they take.
const ROUNDS_MIN: u64 = 3;
/// Bytes of each small write.
const PART: usize = 32;

pub struct Options {
    /// At most so many.
    pub rounds: u64,
    /// No round is begun after so long, but for the first few.
    pub duration: Duration,
    /// Between the two writes, so that a relay forwards the first alone instead of reading both at once.
    pub gap: Duration,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let listener = socket::listen_on(setting.target_port)?;
    let address = listener.local_addr().map_err(Failure::own("starting its target"))?;
    let gap = options.gap;
    thread::spawn(move || answer(&listener, gap));
    let mut stream = setting.route.dial(address)?;
    let mut latencies = Latencies::default();
    let (begun, mut rounds) = (Instant::now(), 0);
    while rounds < options.rounds && (rounds < ROUNDS_MIN || begun.elapsed() < options.duration) {
        latencies.record(round(&mut stream, gap)?);
        rounds += 1;
    }

    let mut report = setting.report("wwr");
    report.count("rounds", rounds);
    report.measure("gap_us", gap.as_secs_f64() * 1e6);
    latencies.describe("wwr", FULL, &mut report);
    Ok(report)
}

/// One request and its answer. Both gaps, ours and the target's, are taken off.
fn round(stream: &mut TcpStream, gap: Duration) -> Result<Duration, Failure> {
    let mut answer = [0; 2 * PART];
    let start = Instant::now();
    write_twice(stream, gap)?;
    stream.read_exact(&mut answer)?;
    Ok(start.elapsed().saturating_sub(2 * gap))
}

fn write_twice(stream: &mut TcpStream, gap: Duration) -> std::io::Result<()> {
    stream.write_all(&[b'w'; PART])?;
    if !gap.is_zero() {
        let until = Instant::now() + gap;
        // Sleeping would take longer than the gap is.
        while Instant::now() < until {
            std::hint::spin_loop();
        }
    }
    stream.write_all(&[b'w'; PART])
}

/// The target: answers each whole request, on one connection after the other.
fn answer(listener: &TcpListener, gap: Duration) {
    while let Ok((mut stream, _)) = listener.accept() {
        let mut request = [0; 2 * PART];
        while stream.read_exact(&mut request).is_ok() && write_twice(&mut stream, gap).is_ok() {}
    }
}
