//! Whole connections per second: connect, handshake, one byte there and back, close.

use super::Setting;
use crate::failure::{Failure, Failures};
use crate::handshake::{Handshake, WANTS_MAX};
use crate::latencies::{BRIEF, Latencies};
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::route::Route;
use crate::server::Meter;
use crate::socket::{self, Moved};
use crate::target::{Behaviour, Target};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A connection that has not been through by then has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often connections are looked through for those out of time.
const LOOK: Duration = Duration::from_millis(100);
const PAYLOAD: &[u8] = b"r";

pub struct Options {
    /// How many connections to make; no limit if there is none.
    pub connections: Option<u64>,
    /// For how long to begin connections; no limit if there is none.
    pub duration: Option<Duration>,
    /// Connections under way at once.
    pub parallel: usize,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let target = Target::start(setting.target_port, Behaviour::Echo, 4096)?;
    setting.route.dial(target.address)?;
    let meter = Meter::start(setting.server_pid)?;
    let tally = storm(&setting.route, target.address, options)?;
    let spent = meter.stop()?;

    let mut report = setting.report("rate");
    report.count("parallel", options.parallel as u64);
    report.count("connections", tally.total.count());
    report.measure("connections_per_second", tally.total.count() as f64 / spent.wall.as_secs_f64());
    tally.describe(&mut report);
    spent.describe("us_per_connection", 1e6, tally.total.count() as f64, &mut report);
    Ok(report)
}

/// How long the parts of all connections took, and what became of those that failed.
#[derive(Default)]
pub struct Tally {
    connect: Latencies,
    handshake: Latencies,
    echo: Latencies,
    pub total: Latencies,
    pub failures: Failures,
}

impl Tally {
    fn record(&mut self, attempt: &Attempt, done: Instant) {
        self.connect.record(attempt.connected - attempt.started);
        self.handshake.record(attempt.established - attempt.connected);
        self.echo.record(done - attempt.established);
        self.total.record(done - attempt.started);
    }

    pub fn describe(&self, report: &mut Report) {
        self.connect.describe("connect", BRIEF, report);
        self.handshake.describe("handshake", BRIEF, report);
        self.echo.describe("echo", BRIEF, report);
        self.total.describe("total", BRIEF, report);
        report.failures(&self.failures);
    }
}

/// Makes connections as `options` say, a new one as soon as one is through.
pub fn storm(route: &Route, target: SocketAddr, options: &Options) -> Result<Tally, Failure> {
    let mut storm = Storm {
        route,
        target,
        poller: Poller::new()?,
        attempts: (0..options.parallel).map(|_| None).collect(),
        tally: Tally::default(),
        to_begin: options.connections.unwrap_or(u64::MAX),
        begin_until: options.duration.map(|duration| Instant::now() + duration),
    };
    storm.run()?;
    Ok(storm.tally)
}

struct Storm<'a> {
    route: &'a Route,
    target: SocketAddr,
    poller: Poller,
    attempts: Vec<Option<Attempt>>,
    tally: Tally,
    to_begin: u64,
    begin_until: Option<Instant>,
}

impl Storm<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        for index in 0..self.attempts.len() {
            self.begin(index)?;
        }
        let mut ready = Ready::new();
        let mut next_look = Instant::now() + LOOK;
        while self.attempts.iter().any(Option::is_some) {
            self.poller.wait(LOOK, &mut ready)?;
            for (index, _) in &ready {
                self.advance(*index)?;
            }
            if Instant::now() >= next_look {
                next_look = Instant::now() + LOOK;
                self.give_up_on_the_late()?;
            }
        }
        Ok(())
    }

    /// Fills a slot with a new connection, unless enough have begun.
    fn begin(&mut self, index: usize) -> Result<(), Failure> {
        self.attempts[index] = None;
        while self.to_begin > 0 && self.begin_until.is_none_or(|until| Instant::now() < until) {
            self.to_begin -= 1;
            match Attempt::start(self.route, self.target) {
                Ok(attempt) => {
                    let all = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    self.poller.add(&attempt.socket, index, all)?;
                    self.attempts[index] = Some(attempt);
                    return Ok(());
                }
                Err(failure) => self.tally.failures.count(&failure),
            }
        }
        Ok(())
    }

    fn advance(&mut self, index: usize) -> Result<(), Failure> {
        let Some(attempt) = &mut self.attempts[index] else { return Ok(()) };
        match attempt.advance() {
            Ok(false) => return Ok(()),
            Ok(true) => self.tally.record(attempt, Instant::now()),
            Err(failure) => self.tally.failures.count(&failure),
        }
        self.begin(index)
    }

    fn give_up_on_the_late(&mut self) -> Result<(), Failure> {
        for index in 0..self.attempts.len() {
            if self.attempts[index].as_ref().is_some_and(|attempt| attempt.started.elapsed() > PATIENCE) {
                self.tally.failures.count(&Failure::TimedOut);
                self.begin(index)?;
            }
        }
        Ok(())
    }
}

struct Attempt {
    socket: OwnedFd,
    step: Step,
    hop: SocketAddr,
    /// Spoken once the first hop has answered.
    handshake: Option<Handshake>,
    started: Instant,
    connected: Instant,
    established: Instant,
}

#[derive(PartialEq, Eq)]
enum Step {
    Connecting,
    Handshaking,
    Echoing,
}

impl Attempt {
    fn start(route: &Route, target: SocketAddr) -> Result<Attempt, Failure> {
        let started = Instant::now();
        let hop = route.first_hop(target);
        Ok(Attempt {
            socket: socket::start_connect(hop)?,
            step: Step::Connecting,
            hop,
            handshake: route.handshake(target),
            started,
            connected: started,
            established: started,
        })
    }

    /// Goes on as far as the socket allows. True: the byte is back.
    fn advance(&mut self) -> Result<bool, Failure> {
        match self.step {
            Step::Connecting => self.connected().map(|()| false),
            Step::Handshaking => self.handshaking(),
            Step::Echoing => match socket::read(&self.socket, &mut [0; 8])? {
                Moved::Bytes(1) => Ok(true),
                Moved::Bytes(_) => Err(Failure::Surplus),
                Moved::NotNow => Ok(false),
                Moved::End => Err(Failure::EarlyEof { received: 0, expected: 1 }),
            },
        }
    }

    fn connected(&mut self) -> Result<(), Failure> {
        self.connected = Instant::now();
        let greeting = self.handshake.as_mut().map(Handshake::take_output);
        let Some(greeting) = greeting else { return self.established() };
        self.step = Step::Handshaking;
        socket::write_small(&self.socket, &greeting).map_err(|failure| self.unless_refused(failure))
    }

    fn established(&mut self) -> Result<(), Failure> {
        self.established = Instant::now();
        self.step = Step::Echoing;
        socket::write_small(&self.socket, PAYLOAD).map_err(|failure| self.unless_refused(failure))
    }

    /// The first send reports why connect(2) came to nothing.
    fn unless_refused(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Io(error) => Failure::Unreachable { address: self.hop, error },
            other => other,
        }
    }

    /// Reads the server's messages and answers them. The next message raises a new event, so an answer ends the turn.
    fn handshaking(&mut self) -> Result<bool, Failure> {
        let Some(handshake) = &mut self.handshake else { return Ok(false) };
        let mut input = [0; WANTS_MAX];
        loop {
            let wants = handshake.wants();
            let received = match socket::read(&self.socket, &mut input[..wants])? {
                Moved::Bytes(received) => received,
                Moved::NotNow => return Ok(false),
                Moved::End => return Err(Failure::EarlyEof { received: 0, expected: wants as u64 }),
            };
            if handshake.receive(&input[..received])? {
                return self.established().map(|()| false);
            }
            let answer = handshake.take_output();
            if !answer.is_empty() {
                return socket::write_small(&self.socket, &answer).map(|()| false);
            }
        }
    }
}
