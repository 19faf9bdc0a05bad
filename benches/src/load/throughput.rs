//! Bulk transfer: how many bytes pass per second, and what CPU time a gigabyte costs the server.

use super::Setting;
use crate::failure::Failure;
use crate::poller::{Poller, Ready};
use crate::report::Report;
use crate::server::{Meter, Spent};
use crate::target::{Behaviour, Target, flow};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What passes before it counts.
const WARM_UP: Duration = Duration::from_millis(150);
/// How often the clock is looked at when nothing happens.
const LOOK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Target to client.
    Download,
    /// Client to target.
    Upload,
    Both,
}

pub struct Options {
    pub streams: usize,
    pub duration: Duration,
    pub direction: Direction,
    /// The most that one system call of ours moves.
    pub size: usize,
}

impl Direction {
    fn client(self) -> Behaviour {
        Behaviour::Flow { send: self != Direction::Download, receive: self != Direction::Upload }
    }

    fn target(self) -> Behaviour {
        Behaviour::Flow { send: self != Direction::Upload, receive: self != Direction::Download }
    }

    fn name(self) -> &'static str {
        match self {
            Direction::Download => "download",
            Direction::Upload => "upload",
            Direction::Both => "both",
        }
    }
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let target = Target::start(setting.target_port, options.direction.target(), options.size)?;
    let mut client = Client::dial(setting, options, &target)?;
    client.pump(WARM_UP)?;
    let (up_before, down_before) = (target.received.load(Relaxed), client.received);
    let meter = Meter::start(setting.server_pid)?;
    client.pump(options.duration)?;
    let spent = meter.stop()?;
    let (up, down) = (target.received.load(Relaxed) - up_before, client.received - down_before);

    let mut report = setting.report("throughput");
    report.count("streams", options.streams as u64);
    report.text("direction", options.direction.name());
    describe(up, down, &spent, &mut report);
    report.count("failures", client.ended);
    Ok(report)
}

fn describe(up: u64, down: u64, spent: &Spent, report: &mut Report) {
    let seconds = spent.wall.as_secs_f64();
    let gb = |bytes: u64| bytes as f64 / 1e9;
    report.measure("gb_per_second", gb(up + down) / seconds);
    report.measure("up_gb_per_second", gb(up) / seconds);
    report.measure("down_gb_per_second", gb(down) / seconds);
    spent.describe("ms_per_gb", 1e3, gb(up + down), report);
}

struct Client {
    poller: Poller,
    streams: Vec<Option<OwnedFd>>,
    buffer: Vec<u8>,
    received: u64,
    /// Streams that ended although nobody wanted it.
    ended: u64,
}

impl Client {
    fn dial(setting: &Setting, options: &Options, target: &Target) -> Result<Client, Failure> {
        let poller = Poller::new()?;
        let mut streams = Vec::with_capacity(options.streams);
        for index in 0..options.streams {
            let stream = OwnedFd::from(setting.route.dial(target.address)?);
            poller.add(&stream, index, options.direction.client().interest())?;
            streams.push(Some(stream));
        }
        Ok(Client { poller, streams, buffer: vec![0; options.size], received: 0, ended: 0 })
    }

    /// Keeps all streams flowing for so long. Errors: none is left.
    fn pump(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = Instant::now() + duration;
        let mut ready = Ready::new();
        while Instant::now() < end {
            self.poller.wait(LOOK, &mut ready)?;
            for (index, events) in &ready {
                let Some(stream) = &self.streams[*index] else { continue };
                match flow(stream, *events, &mut self.buffer) {
                    Ok(turn) if turn.open => self.received += turn.received,
                    _ => {
                        self.streams[*index] = None;
                        self.ended += 1;
                    }
                }
            }
            if self.ended == self.streams.len() as u64 {
                return Err(Failure::EarlyEof { received: self.received, expected: u64::MAX });
            }
        }
        Ok(())
    }
}
