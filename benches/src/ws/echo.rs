//! Echo: each connection's messages come back to it. Closed loop: so many under way on each, a new one for each that
//! returns. Open loop: at a rate, each with the moment at which it was due, from which its latency counts.

use crate::failure::{Failure, Failures};
use crate::latencies::{BRIEF, FULL, Latencies};
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::server::Meter;
use crate::ws::arrivals::{Arrivals, Sequence};
use crate::ws::connection::{Connection, INTEREST, Scratch};
use crate::ws::crowd::{self, Wish};
use crate::ws::stamp::{Clock, Read, Reader, Stamp, Template, blank};
use crate::ws::{Setting, frame};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(150);
/// How long answers are awaited after the last message.
const LINGER: Duration = Duration::from_secs(2);
/// The kernel may wake us this much late, instead of the usual 50 us.
const TIMER_SLACK_NS: u64 = 1_000;
/// The longest wait in a closed loop, so that its end is not missed.
const A_MOMENT: Duration = Duration::from_millis(10);

pub struct Options {
    pub connections: usize,
    pub size: usize,
    pub binary: bool,
    pub duration: Duration,
    pub pace: Pace,
}

#[derive(Clone, Copy)]
pub enum Pace {
    /// So many messages under way on each connection.
    Pipelined(u32),
    /// So many messages per second over all connections.
    PerSecond(u64),
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NS));
    let mut game = Game::open(setting, options)?;
    game.play(WARM_UP)?;
    game.forget();
    let meter = Meter::start(setting.server_pid)?;
    game.play(options.duration)?;
    let spent = meter.stop()?;
    let round_trips = game.latency.count();
    game.linger()?;
    game.count_lost();

    let mut report = setting.report("echo");
    report.count("connections", options.connections as u64);
    report.count("bytes_per_message", options.size as u64);
    match options.pace {
        Pace::Pipelined(depth) => report.count("in_flight_per_connection", u64::from(depth)),
        Pace::PerSecond(rate) => report.count("offered_per_second", rate),
    }
    report.count("messages", round_trips);
    report.measure("messages_per_second", round_trips as f64 / spent.wall.as_secs_f64());
    game.latency.describe("latency", FULL, &mut report);
    if let Pace::PerSecond(_) = options.pace {
        game.generator_late.describe("generator_late", BRIEF, &mut report);
    }
    game.arrivals.describe(&mut report);
    report.failures(&game.failures);
    spent.describe("us_per_message", 1e6, round_trips as f64, &mut report);
    Ok(report)
}

struct Game {
    poller: Poller,
    ready: Ready,
    scratch: Scratch,
    players: Vec<Player>,
    template: Template,
    reader: Reader,
    clock: Clock,
    pace: Pace,
    /// In an open loop: when the next message is due, and on which connection.
    next_at: Instant,
    next_player: usize,
    /// Messages made for one write.
    batch: Vec<u8>,
    latency: Latencies,
    generator_late: Latencies,
    arrivals: Arrivals,
    failures: Failures,
}

struct Player {
    connection: Option<Connection>,
    sent: u32,
    returned: u32,
    sequence: Sequence,
}

impl Game {
    fn open(setting: &Setting, options: &Options) -> Result<Game, Failure> {
        let poller = Poller::new()?;
        let mut failures = Failures::default();
        let wish = Wish { connections: options.connections, ..Wish::default() };
        let mut players = Vec::with_capacity(options.connections);
        for (index, connection) in crowd::open(setting, wish, &mut failures)?.into_iter().enumerate() {
            poller.add(&connection, index, INTEREST)?;
            let sequence = Sequence::default();
            players.push(Player { connection: Some(connection), sent: 0, returned: 0, sequence });
        }
        let opcode = if options.binary { frame::BINARY } else { frame::TEXT };
        let mut bytes = Vec::new();
        let message_at = frame::push_masked(opcode, &blank(options.size), &mut bytes);
        Ok(Game {
            poller,
            ready: Ready::new(),
            scratch: Scratch::default(),
            players,
            template: Template::new(bytes, message_at, frame::MASK),
            reader: Reader::new(options.size, true),
            clock: Clock::default(),
            pace: options.pace,
            next_at: Instant::now(),
            next_player: 0,
            batch: Vec::new(),
            latency: Latencies::default(),
            generator_late: Latencies::default(),
            arrivals: Arrivals::default(),
            failures,
        })
    }

    /// Drops what was timed so far; what is under way counts when it comes back.
    fn forget(&mut self) {
        self.latency = Latencies::default();
        self.generator_late = Latencies::default();
    }

    fn play(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = Instant::now() + duration;
        match self.pace {
            Pace::Pipelined(depth) => {
                for index in 0..self.players.len() {
                    let missing = depth - (self.players[index].sent - self.players[index].returned);
                    self.send(index, missing, Instant::now());
                }
                while Instant::now() < end {
                    self.take_answers(A_MOMENT, true)?;
                }
            }
            Pace::PerSecond(rate) => {
                let interval = Duration::from_secs(1).div_f64(rate as f64);
                self.next_at = Instant::now();
                while self.next_at < end {
                    let now = Instant::now();
                    while self.next_at <= now && self.next_at < end {
                        self.send_due(now);
                        self.next_at += interval;
                    }
                    self.take_answers(self.next_at.saturating_duration_since(Instant::now()), false)?;
                }
            }
        }
        Ok(())
    }

    /// Sends the message that is due to the next connection that lives.
    fn send_due(&mut self, now: Instant) {
        self.generator_late.record(now - self.next_at);
        let index = self.next_player;
        self.next_player = (index + 1) % self.players.len();
        self.send(index, 1, self.next_at);
    }

    fn send(&mut self, index: usize, count: u32, due: Instant) {
        let player = &mut self.players[index];
        let Some(connection) = &mut player.connection else { return };
        let time = self.clock.at(due);
        self.batch.clear();
        for number in player.sent..player.sent + count {
            self.batch.extend_from_slice(self.template.stamp(Stamp { number, time }));
        }
        player.sent += count;
        if let Err(failure) = connection.send(&self.batch) {
            self.failures.count(&failure);
            player.connection = None;
        }
    }

    /// Takes what has come back. With `again`, as many new messages go out.
    fn take_answers(&mut self, timeout: Duration, again: bool) -> Result<(), Failure> {
        self.poller.wait(timeout, &mut self.ready)?;
        for position in 0..self.ready.len() {
            let (index, events) = self.ready[position];
            let returned = self.attend(index, events);
            if again && returned > 0 {
                self.send(index, returned, Instant::now());
            }
        }
        if self.players.iter().all(|player| player.connection.is_none()) {
            return Err(Failure::EarlyEof { received: 0, expected: 1 });
        }
        Ok(())
    }

    /// Gives how many messages came back that are no repetition.
    fn attend(&mut self, index: usize, events: EventFlags) -> u32 {
        let player = &mut self.players[index];
        let Some(connection) = &mut player.connection else { return 0 };
        let now = self.clock.now();
        let mut returned = 0;
        let (reader, arrivals, latency) = (&mut self.reader, &mut self.arrivals, &mut self.latency);
        let result = connection.attend(events, &mut self.scratch, |message| match reader.read(message) {
            Read::Stamped(stamp) if stamp.number < player.sent => {
                if arrivals.count(player.sequence.arrive(stamp.number)) {
                    latency.record(now.saturating_sub(stamp.time));
                    returned += 1;
                }
            }
            Read::Stamped(_) | Read::Other | Read::Corrupt => arrivals.corrupt += 1,
        });
        player.returned += returned;
        if let Err(failure) = result {
            self.failures.count(&failure);
            player.connection = None;
        }
        returned
    }

    /// Waits for the answers still under way.
    fn linger(&mut self) -> Result<(), Failure> {
        let end = Instant::now() + LINGER;
        let under_way = |player: &Player| player.connection.is_some() && player.returned < player.sent;
        while self.players.iter().any(under_way) && Instant::now() < end {
            self.take_answers(A_MOMENT, false)?;
        }
        Ok(())
    }

    fn count_lost(&mut self) {
        self.arrivals.lost = self.players.iter().map(|player| player.sequence.lost(player.sent)).sum();
    }
}
