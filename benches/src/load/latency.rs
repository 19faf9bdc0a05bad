//! Ping-pong at an offered rate, open loop: each message has the moment at which it should have been sent, and its latency
//! counts from there, so a server that stalls pays for all the messages it kept from being sent.

use super::Setting;
use crate::failure::{Failure, Failures};
use crate::latencies::{BRIEF, FULL, Latencies};
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::server::Meter;
use crate::socket::{self, Moved};
use crate::target::{Behaviour, Target};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(150);
/// How long answers are awaited after the last message.
const LINGER: Duration = Duration::from_secs(2);
/// The kernel may wake us this much late, instead of the usual 50 us.
const TIMER_SLACK_NS: u64 = 1_000;
pub const SIZE_MAX: usize = 64 * 1024;

pub struct Options {
    pub connections: usize,
    /// Messages per second over all connections.
    pub rate: u64,
    pub size: usize,
    pub duration: Duration,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let target = Target::start(setting.target_port, Behaviour::Echo, SIZE_MAX)?;
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NS));
    let mut game = Game::dial(setting, options, &target)?;
    game.play(WARM_UP)?;
    game.forget();
    let meter = Meter::start(setting.server_pid)?;
    game.play(options.duration)?;
    game.linger()?;
    let spent = meter.stop()?;

    let round_trips = game.from_intended.count();
    let mut report = setting.report("latency");
    report.count("connections", options.connections as u64);
    report.count("offered_per_second", options.rate);
    report.count("bytes_per_message", options.size as u64);
    report.count("round_trips", round_trips);
    report.measure("round_trips_per_second", round_trips as f64 / options.duration.as_secs_f64());
    game.from_intended.describe("latency", FULL, &mut report);
    game.from_sent.describe("service", BRIEF, &mut report);
    report.count("unanswered", game.unanswered());
    report.failures(&game.failures);
    spent.describe("us_per_round_trip", 1e6, round_trips as f64, &mut report);
    Ok(report)
}

struct Game {
    poller: Poller,
    ready: Ready,
    players: Vec<Player>,
    message: Vec<u8>,
    interval: Duration,
    next_at: Instant,
    next_player: usize,
    from_intended: Latencies,
    from_sent: Latencies,
    failures: Failures,
}

/// One connection: at most one message is under way, the others that are due wait.
struct Player {
    socket: Option<OwnedFd>,
    /// When the messages due should have been sent; the first one is under way.
    due: VecDeque<Instant>,
    sent_at: Instant,
    unsent: usize,
    unreceived: usize,
}

impl Game {
    fn dial(setting: &Setting, options: &Options, target: &Target) -> Result<Game, Failure> {
        let poller = Poller::new()?;
        let mut players = Vec::with_capacity(options.connections);
        for index in 0..options.connections {
            let socket = OwnedFd::from(setting.route.dial(target.address)?);
            poller.add(&socket, index, EventFlags::IN | EventFlags::OUT | EventFlags::ET)?;
            let sent_at = Instant::now();
            players.push(Player {
                socket: Some(socket),
                due: VecDeque::new(),
                sent_at,
                unsent: 0,
                unreceived: 0,
            });
        }
        Ok(Game {
            poller,
            ready: Ready::new(),
            players,
            message: vec![b'p'; options.size],
            interval: Duration::from_secs(1).div_f64(options.rate as f64),
            next_at: Instant::now(),
            next_player: 0,
            from_intended: Latencies::default(),
            from_sent: Latencies::default(),
            failures: Failures::default(),
        })
    }

    /// Drops what was recorded so far; what is under way counts when it comes back.
    fn forget(&mut self) {
        self.from_intended = Latencies::default();
        self.from_sent = Latencies::default();
    }

    fn play(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = Instant::now() + duration;
        self.next_at = self.next_at.max(end - duration);
        while self.next_at < end {
            let now = Instant::now();
            while self.next_at <= now && self.next_at < end {
                self.serve_next();
            }
            self.take_answers(self.next_at.saturating_duration_since(Instant::now()))?;
        }
        Ok(())
    }

    /// Waits for the answers still under way.
    fn linger(&mut self) -> Result<(), Failure> {
        let end = Instant::now() + LINGER;
        while self.unanswered() > 0 && Instant::now() < end {
            self.take_answers(Duration::from_millis(10))?;
        }
        Ok(())
    }

    fn unanswered(&self) -> u64 {
        self.players.iter().map(|player| player.due.len() as u64).sum()
    }

    /// The next message falls due, on the next connection that lives.
    fn serve_next(&mut self) {
        let index = self.next_player;
        self.next_player = (index + 1) % self.players.len();
        let player = &mut self.players[index];
        if player.socket.is_some() {
            player.due.push_back(self.next_at);
            if player.due.len() == 1 {
                self.attend(index, true);
            }
        }
        self.next_at += self.interval;
    }

    fn take_answers(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.poller.wait(timeout, &mut self.ready)?;
        for index in 0..self.ready.len() {
            self.attend(self.ready[index].0, false);
        }
        if self.players.iter().all(|player| player.socket.is_none()) {
            return Err(Failure::EarlyEof { received: 0, expected: self.message.len() as u64 });
        }
        Ok(())
    }

    fn attend(&mut self, index: usize, begin: bool) {
        if begin {
            self.players[index].begin(self.message.len());
        }
        loop {
            let player = &mut self.players[index];
            match player.advance(&mut self.message) {
                Ok(false) => return,
                Ok(true) => {
                    let now = Instant::now();
                    self.from_sent.record(now - player.sent_at);
                    if let Some(intended) = player.due.pop_front() {
                        self.from_intended.record(now - intended);
                    }
                    if player.due.is_empty() {
                        return;
                    }
                    player.begin(self.message.len());
                }
                Err(failure) => {
                    self.failures.count(&failure);
                    player.socket = None;
                    return player.due.clear();
                }
            }
        }
    }
}

impl Player {
    fn begin(&mut self, size: usize) {
        self.sent_at = Instant::now();
        self.unsent = size;
        self.unreceived = size;
    }

    /// Sends and receives what it can of the message under way. True: all of it is back. `message` is overwritten
    /// by what comes, which is the same.
    fn advance(&mut self, message: &mut [u8]) -> Result<bool, Failure> {
        let Some(socket) = &self.socket else { return Ok(false) };
        if self.unsent > 0 {
            match socket::write(socket, &message[..self.unsent])? {
                Moved::Bytes(sent) => self.unsent -= sent,
                Moved::NotNow | Moved::End => return Ok(false),
            }
            // The answer raises an event of its own.
            if self.unreceived == message.len() {
                return Ok(false);
            }
        }
        while self.unreceived > 0 {
            match socket::read(socket, &mut message[..self.unreceived])? {
                Moved::Bytes(received) => self.unreceived -= received,
                Moved::NotNow => return Ok(false),
                Moved::End => {
                    return Err(Failure::EarlyEof { received: 0, expected: self.unreceived as u64 });
                }
            }
        }
        Ok(!self.due.is_empty())
    }
}
