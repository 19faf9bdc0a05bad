//! A limited rate, seen from where the bytes arrive: what passes per second, how evenly it is shared, and for how long
//! any one connection stood still.

use super::Setting;
use super::throughput::Direction;
use crate::failure::Failure;
use crate::latencies::{BRIEF, Latencies};
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::server::Meter;
use crate::socket::{self, Moved};
use rustix::net::{SocketFlags, accept_with};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Gaps are told from arrivals, which are looked for this often at least.
const LOOK: Duration = Duration::from_millis(1);
/// Bytes read or written at once.
const SIZE: usize = 64 * 1024;

pub struct Options {
    pub streams: usize,
    pub duration: Duration,
    /// One way or the other; [`Direction::Both`] is taken for download.
    pub direction: Direction,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let mut bench = Bench::dial(setting, options)?;
    let meter = Meter::start(setting.server_pid)?;
    bench.pump(options.duration)?;
    let spent = meter.stop()?;

    let seconds = spent.wall.as_secs_f64();
    let shares: Vec<f64> = bench.receivers.iter().map(|receiver| receiver.bytes as f64).collect();
    let bytes: f64 = shares.iter().sum();
    let fair = bytes / shares.len() as f64;
    let mut report = setting.report("smooth");
    report.count("streams", options.streams as u64);
    report.text("direction", if options.direction == Direction::Upload { "upload" } else { "download" });
    report.measure("bytes_per_second", bytes / seconds);
    report.measure("smallest_share", shares.iter().fold(f64::MAX, |least, share| least.min(*share)) / fair);
    report.measure("largest_share", shares.iter().fold(0.0, |most: f64, share| most.max(*share)) / fair);
    bench.gaps.describe("gap", BRIEF, &mut report);
    report.measure("generator_stall_max_us", bench.own_stall.as_secs_f64() * 1e6);
    spent.describe("ms_per_gb", 1e3, bytes / 1e9, &mut report);
    report.count("failures", bench.ended);
    Ok(report)
}

/// Both ends of all connections, on this one thread: arrivals are timed as they come.
struct Bench {
    poller: Poller,
    /// The sockets that send: they have the indices behind the receivers'.
    senders: Vec<OwnedFd>,
    receivers: Vec<Receiver>,
    /// Times between two arrivals on one connection.
    gaps: Latencies,
    /// The longest time this program did not look: a gap may be as much too long.
    own_stall: Duration,
    ended: u64,
}

struct Receiver {
    socket: OwnedFd,
    bytes: u64,
    latest: Instant,
}

impl Bench {
    fn dial(setting: &Setting, options: &Options) -> Result<Bench, Failure> {
        let listener = socket::listen_on(setting.target_port)?;
        let poller = Poller::new()?;
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for index in 0..options.streams {
            let (client, target) = connection(setting, &listener)?;
            let upload = options.direction == Direction::Upload;
            let (sender, receiver) = if upload { (client, target) } else { (target, client) };
            poller.add(&receiver, index, EventFlags::IN)?;
            poller.add(&sender, options.streams + index, EventFlags::OUT)?;
            senders.push(sender);
            receivers.push(Receiver { socket: receiver, bytes: 0, latest: Instant::now() });
        }
        Ok(Bench {
            poller,
            senders,
            receivers,
            gaps: Latencies::default(),
            own_stall: Duration::ZERO,
            ended: 0,
        })
    }

    fn pump(&mut self, duration: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        let mut ready = Ready::new();
        let mut buffer = vec![0; SIZE];
        self.receivers.iter_mut().for_each(|receiver| receiver.latest = begun);
        let mut looked = begun;
        while begun.elapsed() < duration {
            self.poller.wait(LOOK, &mut ready)?;
            self.own_stall = self.own_stall.max(looked.elapsed());
            looked = Instant::now();
            for (index, _) in &ready {
                match index.checked_sub(self.receivers.len()) {
                    Some(sender) => drop(socket::write(&self.senders[sender], &buffer)),
                    None => self.receive(*index, &mut buffer)?,
                }
            }
        }
        // Who stands still at the end has done so until now.
        let open = self.receivers.iter().map(|receiver| receiver.latest.elapsed());
        open.for_each(|gap| self.gaps.record(gap));
        Ok(())
    }

    fn receive(&mut self, index: usize, buffer: &mut [u8]) -> Result<(), Failure> {
        let receiver = &mut self.receivers[index];
        match socket::discard(&receiver.socket, buffer)? {
            Moved::Bytes(bytes) => {
                let now = Instant::now();
                receiver.bytes += bytes as u64;
                self.gaps.record(now - receiver.latest);
                receiver.latest = now;
            }
            Moved::NotNow => {}
            Moved::End => {
                self.ended += 1;
                return Err(Failure::EarlyEof { received: receiver.bytes, expected: u64::MAX });
            }
        }
        Ok(())
    }
}

/// A connection by the route, and its other end.
fn connection(setting: &Setting, listener: &TcpListener) -> Result<(OwnedFd, OwnedFd), Failure> {
    let starting = || Failure::own("accepting from the route");
    let address = listener.local_addr().map_err(starting())?;
    let client = OwnedFd::from(setting.route.dial(address)?);
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let target = accept_with(listener, flags).map_err(|errno| starting()(errno.into()))?;
    Ok((client, target))
}
