//! Datagrams at an offered rate, open loop: what is lost, how long each takes, and what the server spends on it.
//!
//! Each datagram carries the moment at which it was due, so that a late sender's delay is in its latency.

use super::Setting;
use crate::datagrams::{self, Receiver, Sender};
use crate::failure::Failure;
use crate::latencies::{FULL, Latencies};
use crate::report::Report;
use crate::route::Association;
use crate::server::Meter;
use clap::ValueEnum;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// From a stamp to what still is one packet on Ethernet with a header before it.
pub const SIZES: RangeInclusive<u64> = STAMP_BYTES as u64..=1_440;
/// When it was due, in nanoseconds since the run began.
const STAMP_BYTES: usize = 8;
/// RSV, FRAG, ATYP, an IPv4 address, the port.
const HEADER_BYTES: usize = 10;
/// How long what is under way may still take once all has been sent.
const AFTERMATH: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_millis(20);
/// Attempts to get the first datagram through, each for a [`LOOK`].
const GREETINGS_MAX: usize = 100;

/// Which way the datagrams go.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// From the client to the target.
    Up,
    Down,
    /// The offered rate in each direction.
    Both,
    /// To the target, which sends them back: latencies are of the round trip.
    Echo,
}

pub struct Options {
    pub way: Way,
    pub rate: u64,
    pub size: usize,
    pub burst: usize,
    pub train: usize,
    pub gro: bool,
    pub duration: Duration,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let target = datagrams::open((Ipv4Addr::LOCALHOST, setting.target_port).into())?;
    let client = datagrams::open((Ipv4Addr::LOCALHOST, 0).into())?;
    let association = setting.route.associate(target.local_addr()?)?;
    let outside = greet(&client, &target, &association)?;
    let header = header_to(target.local_addr()?);
    let header = if association.headed { &header[..] } else { &[] };
    let up = Flow { from: &client, to: association.relay, header, sink: &target, stripped: 0 };
    let down = Flow { from: &target, to: outside, header: &[], sink: &client, stripped: header.len() };
    let back = Flow { sink: &client, stripped: header.len(), ..up };
    let flows: &[&Flow] = match options.way {
        Way::Up => &[&up],
        Way::Down => &[&down],
        Way::Both => &[&up, &down],
        Way::Echo => &[&back],
    };

    let meter = Meter::start(setting.server_pid)?;
    let over = AtomicBool::new(false);
    let tallies = thread::scope(|scope| {
        let echo = (options.way == Way::Echo).then(|| scope.spawn(|| echo(&target, &over, options)));
        let running: Vec<_> = flows.iter().map(|flow| scope.spawn(|| flow.run(options))).collect();
        let tallies = running.into_iter().map(|flow| flow.join().unwrap_or_else(|_| Err(panicked())));
        let tallies: Result<Vec<_>, _> = tallies.collect();
        over.store(true, Relaxed);
        echo.map_or(Ok(()), |echo| echo.join().unwrap_or_else(|_| Err(panicked())))?;
        tallies
    })?;
    let spent = meter.stop()?;

    let mut report = setting.report("udp");
    report.text("way", options.way.word());
    report.count("size", options.size as u64);
    report.count("train", options.train as u64);
    let (sent, received) =
        tallies.iter().fold((0, 0), |sum, tally| (sum.0 + tally.sent, sum.1 + tally.received));
    report.measure("offered_per_second", (options.rate * flows.len() as u64) as f64);
    report.count("sent", sent);
    report.count("received", received);
    report.measure("loss_percent", 100.0 * (1.0 - received as f64 / sent.max(1) as f64));
    let mut latencies = Latencies::default();
    tallies.iter().for_each(|tally| latencies.add(&tally.latencies));
    latencies.describe("latency", FULL, &mut report);
    // What is lost before the server costs it nothing.
    let relayed = if options.way == Way::Echo { 2 * received } else { received };
    spent.describe("us_per_datagram", 1e6, relayed as f64, &mut report);
    Ok(report)
}

impl Way {
    fn word(self) -> &'static str {
        ["up", "down", "both", "echo"][self as usize]
    }
}

fn panicked() -> Failure {
    Failure::own("running a thread")(io::Error::other("a panic"))
}

/// Gets a first datagram through, and finds where the target must send to.
fn greet(client: &UdpSocket, target: &UdpSocket, association: &Association) -> Result<SocketAddr, Failure> {
    let header = header_to(target.local_addr()?);
    let header = if association.headed { &header[..] } else { &[] };
    // Not empty: some servers relay no empty datagram. Too short for a stamp, so nobody counts it.
    let greeting = [header, b"x"].concat();
    for _ in 0..GREETINGS_MAX {
        client.send_to(&greeting, association.relay)?;
        datagrams::wait([target], LOOK)?;
        if let Ok((_, outside)) = target.recv_from(&mut [0; 16]) {
            return Ok(outside);
        }
    }
    Err(Failure::TimedOut)
}

fn header_to(target: SocketAddr) -> [u8; HEADER_BYTES] {
    let SocketAddr::V4(target) = target else { return [0; HEADER_BYTES] };
    let [a, b, c, d] = target.ip().octets();
    let [high, low] = target.port().to_be_bytes();
    [0, 0, 0, 1, a, b, c, d, high, low]
}

/// Datagrams from one socket to another.
#[derive(Clone, Copy)]
struct Flow<'a> {
    from: &'a UdpSocket,
    /// The next hop.
    to: SocketAddr,
    /// What stands before each payload when it is sent.
    header: &'a [u8],
    sink: &'a UdpSocket,
    /// Bytes before each payload when it is received.
    stripped: usize,
}

struct Tally {
    sent: u64,
    received: u64,
    latencies: Latencies,
}

impl Flow<'_> {
    fn run(&self, options: &Options) -> Result<Tally, Failure> {
        let begun = Instant::now();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let receiving = scope.spawn(|| self.receive(begun, &over, options));
            let sent = self.send(begun, options);
            thread::sleep(AFTERMATH);
            over.store(true, Relaxed);
            let (received, latencies) = receiving.join().unwrap_or_else(|_| Err(panicked()))?;
            Ok(Tally { sent: sent?, received, latencies })
        })
    }

    /// Sends a burst whenever one is due. What the kernel does not take is as good as lost on the way.
    fn send(&self, begun: Instant, options: &Options) -> Result<u64, Failure> {
        let sender = Sender::new(options.train)?;
        let bytes = self.header.len() + options.size;
        let mut burst = vec![0; bytes * options.burst];
        burst
            .chunks_exact_mut(bytes)
            .for_each(|datagram| datagram[..self.header.len()].copy_from_slice(self.header));
        let pause = Duration::from_secs_f64(options.burst as f64 / options.rate as f64);
        let mut due = Duration::ZERO;
        let mut sent = 0;
        while due < options.duration {
            thread::sleep(due.saturating_sub(begun.elapsed()));
            for datagram in burst.chunks_exact_mut(bytes) {
                let stamp = (due.as_nanos() as u64).to_be_bytes();
                datagram[self.header.len()..][..STAMP_BYTES].copy_from_slice(&stamp);
            }
            sender.send(self.from, self.to, &burst, bytes);
            sent += options.burst as u64;
            due += pause;
        }
        Ok(sent)
    }

    fn receive(
        &self,
        begun: Instant,
        over: &AtomicBool,
        options: &Options,
    ) -> Result<(u64, Latencies), Failure> {
        let mut receiver = receiver(self.sink, options)?;
        let mut latencies = Latencies::default();
        let mut received = 0;
        while !over.load(Relaxed) {
            datagrams::wait([self.sink], LOOK)?;
            let now = begun.elapsed();
            for (_, datagram) in receiver.receive(self.sink) {
                let stamp = datagram.get(self.stripped..).and_then(|payload| payload.first_chunk());
                if let Some(stamp) = stamp {
                    let due = Duration::from_nanos(u64::from_be_bytes(*stamp));
                    latencies.record(now.saturating_sub(due));
                    received += 1;
                }
            }
        }
        Ok((received, latencies))
    }
}

fn receiver(socket: &UdpSocket, options: &Options) -> Result<Receiver, Failure> {
    if options.gro { Receiver::lined_up(socket) } else { Receiver::new() }
}

/// Sends back what comes.
fn echo(target: &UdpSocket, over: &AtomicBool, options: &Options) -> Result<(), Failure> {
    let mut receiver = receiver(target, options)?;
    while !over.load(Relaxed) {
        datagrams::wait([target], LOOK)?;
        let received: Vec<_> = receiver.receive(target).collect();
        let batch: Vec<_> = received.iter().map(|(from, datagram)| (*from, [&**datagram, &[]])).collect();
        datagrams::send_each(target, &batch);
    }
    Ok(())
}
