//! Upgrades per second: connect, upgrade, close.

use crate::failure::{Failure, Failures};
use crate::latencies::{BRIEF, Latencies};
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::server::Meter;
use crate::socket::{self, Moved, Origin};
use crate::ws::connection::INTEREST;
use crate::ws::{Setting, crowd, frame, upgrade};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A connection that has not been through by then has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often connections are looked through for those out of time.
const LOOK: Duration = Duration::from_millis(100);
/// RFC 6455 section 7.4.1: a normal closure.
const NORMAL: u16 = 1000;

pub struct Options {
    pub duration: Duration,
    /// Connections under way at once.
    pub parallel: usize,
    /// Take leave by the closing handshake and await the server's end of the stream; else just close.
    pub closing_handshake: bool,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    drop(crowd::open_one(setting, &setting.url)?);
    let meter = Meter::start(setting.server_pid)?;
    let mut storm = Storm::new(setting, options)?;
    storm.run()?;
    let spent = meter.stop()?;

    let upgrades = storm.total.count();
    let mut report = setting.report("storm");
    report.count("parallel", options.parallel as u64);
    report.text("closing_handshake", if options.closing_handshake { "yes" } else { "no" });
    report.count("upgrades", upgrades);
    report.measure("upgrades_per_second", upgrades as f64 / spent.wall.as_secs_f64());
    storm.connect.describe("connect", BRIEF, &mut report);
    storm.upgrade.describe("upgrade", BRIEF, &mut report);
    storm.total.describe("total", BRIEF, &mut report);
    report.failures(&storm.failures);
    spent.describe("us_per_upgrade", 1e6, upgrades as f64, &mut report);
    Ok(report)
}

struct Storm<'a> {
    setting: &'a Setting,
    options: &'a Options,
    poller: Poller,
    request: Vec<u8>,
    close: Vec<u8>,
    attempts: Vec<Option<Attempt>>,
    begun: usize,
    begin_until: Instant,
    connect: Latencies,
    upgrade: Latencies,
    total: Latencies,
    failures: Failures,
}

struct Attempt {
    socket: OwnedFd,
    step: Step,
    head: Vec<u8>,
    started: Instant,
    connected: Instant,
    upgraded: Instant,
}

#[derive(PartialEq, Eq)]
enum Step {
    Connecting,
    Upgrading,
    Closing,
}

impl<'a> Storm<'a> {
    fn new(setting: &'a Setting, options: &'a Options) -> Result<Storm<'a>, Failure> {
        let mut close = Vec::new();
        frame::push_masked(frame::CLOSE, &NORMAL.to_be_bytes(), &mut close);
        Ok(Storm {
            setting,
            options,
            poller: Poller::new()?,
            request: upgrade::request(setting, &setting.url),
            close,
            attempts: (0..options.parallel).map(|_| None).collect(),
            begun: 0,
            begin_until: Instant::now() + options.duration,
            connect: Latencies::default(),
            upgrade: Latencies::default(),
            total: Latencies::default(),
            failures: Failures::default(),
        })
    }

    fn run(&mut self) -> Result<(), Failure> {
        for index in 0..self.attempts.len() {
            self.begin(index)?;
        }
        let mut ready = Ready::new();
        let mut next_look = Instant::now() + LOOK;
        while self.attempts.iter().any(Option::is_some) {
            self.poller.wait(LOOK, &mut ready)?;
            for (index, events) in &ready {
                self.advance(*index, *events)?;
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK;
                self.give_up_on_the_late()?;
            }
        }
        Ok(())
    }

    /// Fills a slot with a new connection, unless it is time to end.
    fn begin(&mut self, index: usize) -> Result<(), Failure> {
        self.attempts[index] = None;
        let started = Instant::now();
        if started >= self.begin_until {
            return Ok(());
        }
        let origin = Origin { source: crowd::source(self.setting, self.begun), receive_buffer: None };
        self.begun += 1;
        let socket = socket::start_connect_from(origin, self.setting.url.address)?;
        self.poller.add(&socket, index, INTEREST)?;
        let (step, head) = (Step::Connecting, Vec::new());
        self.attempts[index] =
            Some(Attempt { socket, step, head, started, connected: started, upgraded: started });
        Ok(())
    }

    fn advance(&mut self, index: usize, events: EventFlags) -> Result<(), Failure> {
        let Some(attempt) = &mut self.attempts[index] else { return Ok(()) };
        match attempt.advance(events, &self.request, self.options.closing_handshake.then_some(&self.close)) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                self.connect.record(attempt.connected - attempt.started);
                self.upgrade.record(attempt.upgraded - attempt.connected);
                self.total.record(attempt.started.elapsed());
            }
            Err(failure) => self.failures.count(&failure),
        }
        self.begin(index)
    }

    fn give_up_on_the_late(&mut self) -> Result<(), Failure> {
        for index in 0..self.attempts.len() {
            if self.attempts[index].as_ref().is_some_and(|attempt| attempt.started.elapsed() > PATIENCE) {
                self.failures.count(&Failure::TimedOut);
                self.begin(index)?;
            }
        }
        Ok(())
    }
}

impl Attempt {
    /// Goes on as far as the socket allows. True: it is through.
    fn advance(
        &mut self,
        events: EventFlags,
        request: &[u8],
        close: Option<&Vec<u8>>,
    ) -> Result<bool, Failure> {
        if self.step == Step::Connecting {
            if !events.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
                return Ok(false);
            }
            self.connected = Instant::now();
            self.step = Step::Upgrading;
            return socket::write_small(&self.socket, request).map(|()| false);
        }
        let mut input = [0; upgrade::HEAD_BYTES_MAX];
        loop {
            let received = match socket::read(&self.socket, &mut input)? {
                Moved::Bytes(received) => received,
                Moved::NotNow => return Ok(false),
                Moved::End if self.step == Step::Closing => return Ok(true),
                Moved::End => return Err(Failure::EarlyEof { received: 0, expected: 1 }),
            };
            if self.step == Step::Closing {
                continue;
            }
            self.head.extend_from_slice(&input[..received]);
            if upgrade::receive(&self.head)?.is_some() {
                self.upgraded = Instant::now();
                let Some(close) = close else { return Ok(true) };
                self.step = Step::Closing;
                socket::write_small(&self.socket, close)?;
            }
        }
    }
}
