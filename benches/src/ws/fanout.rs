//! Fan-out: what one publishes reaches all who are subscribed. As fast as it is delivered (a burst goes out when the one
//! before has reached everybody) or at a rate, with latencies from the moment at which a publication was due.

use crate::failure::{Failure, Failures};
use crate::latencies::{FULL, Latencies};
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::server::{Meter, Spent};
use crate::ws::Setting;
use crate::ws::arrivals::{Arrivals, Sequence};
use crate::ws::connection::{Connection, INTEREST, Scratch};
use crate::ws::crowd::{self, Wish};
use crate::ws::dialect::Answer;
use crate::ws::publisher::Publisher;
use crate::ws::stamp::{Clock, Read, Reader};
use std::time::{Duration, Instant};

const WARM_UP: Duration = Duration::from_millis(150);
/// How long deliveries are awaited when none comes any more; what is missing then is written off.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest wait, so that the end is not missed.
const A_MOMENT: Duration = Duration::from_millis(10);
/// The publisher's index in the poller; subscribers have lower ones.
const PUBLISHER: usize = usize::MAX >> 1;

#[derive(Clone)]
pub struct Options {
    pub subscribers: usize,
    pub topic: String,
    pub size: usize,
    /// Publications that leave in one write.
    pub burst: u32,
    /// Publications per second; as fast as they are delivered if there is none.
    pub rate: Option<u64>,
    pub duration: Duration,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let mut fanout = Fanout::open(setting, options)?;
    let phase = fanout.measure(options.duration)?;
    fanout.finish();

    let mut report = setting.report("fanout");
    describe_options(options, &mut report);
    phase.describe("", &mut report);
    fanout.describe(&mut report);
    phase.spent.describe("us_per_delivery", 1e6, phase.deliveries as f64, &mut report);
    Ok(report)
}

pub fn describe_options(options: &Options, report: &mut Report) {
    report.count("subscribers", options.subscribers as u64);
    report.count("bytes_per_message", options.size as u64);
    report.count("burst", u64::from(options.burst));
    if let Some(rate) = options.rate {
        report.count("offered_publications_per_second", rate);
    }
}

/// What a while of publishing came to.
pub struct Phase {
    pub publications: u64,
    pub deliveries: u64,
    pub latency: Latencies,
    pub spent: Spent,
}

impl Phase {
    pub fn describe(&self, prefix: &str, report: &mut Report) {
        let per_second = |count: u64| count as f64 / self.spent.wall.as_secs_f64();
        report.count(&format!("{prefix}publications"), self.publications);
        report.count(&format!("{prefix}deliveries"), self.deliveries);
        report.measure(&format!("{prefix}deliveries_per_second"), per_second(self.deliveries));
        self.latency.describe(&format!("{prefix}latency"), FULL, report);
    }
}

pub struct Fanout<'a> {
    setting: &'a Setting,
    options: &'a Options,
    poller: Poller,
    ready: Ready,
    scratch: Scratch,
    publisher: Publisher,
    subscribers: Vec<Subscriber>,
    reader: Reader,
    clock: Clock,
    /// The next publication's number.
    pub next: u32,
    /// Deliveries still to come to subscribers that live.
    awaited: u64,
    latency: Latencies,
    pub arrivals: Arrivals,
    pub failures: Failures,
}

struct Subscriber {
    connection: Option<Connection>,
    sequence: Sequence,
}

impl<'a> Fanout<'a> {
    /// Connects everybody and lets some publications pass.
    pub fn open(setting: &'a Setting, options: &'a Options) -> Result<Fanout<'a>, Failure> {
        let poller = Poller::new()?;
        let mut failures = Failures::default();
        let wish = Wish { connections: options.subscribers, topic: Some(&options.topic), ..Wish::default() };
        let opened = crowd::open(setting, wish, &mut failures)?;
        // Last, so that it gets as many as the others where it is a subscriber itself.
        let publisher = Publisher::connect(setting, &options.topic, options.size, &poller, PUBLISHER)?;
        let mut subscribers = Vec::with_capacity(opened.len());
        for (index, connection) in opened.into_iter().enumerate() {
            poller.add(&connection, index, INTEREST)?;
            subscribers.push(Subscriber { connection: Some(connection), sequence: Sequence::default() });
        }
        let mut fanout = Fanout {
            setting,
            options,
            poller,
            ready: Ready::new(),
            scratch: Scratch::default(),
            publisher,
            subscribers,
            reader: Reader::new(options.size, setting.dialect.is_bare()),
            clock: Clock::default(),
            next: 0,
            awaited: 0,
            // One publication's, so that its last deliveries are in each stretch.
            latency: Latencies::in_stretches_of(options.subscribers * options.burst as usize),
            arrivals: Arrivals::default(),
            failures,
        };
        fanout.publish_for(WARM_UP)?;
        Ok(fanout)
    }

    /// Publishes for `duration` and waits until all of it has arrived, or nothing does any more.
    pub fn measure(&mut self, duration: Duration) -> Result<Phase, Failure> {
        self.latency.take();
        let (delivered, published) = (self.arrivals.delivered, self.next);
        let meter = Meter::start(self.setting.server_pid)?;
        self.publish_for(duration)?;
        Ok(Phase {
            spent: meter.stop()?,
            publications: u64::from(self.next - published),
            deliveries: self.arrivals.delivered - delivered,
            latency: self.latency.take(),
        })
    }

    fn publish_for(&mut self, duration: Duration) -> Result<(), Failure> {
        let end = Instant::now() + duration;
        match self.options.rate {
            Some(rate) => {
                let interval = Duration::from_secs(u64::from(self.options.burst)).div_f64(rate as f64);
                let mut next_at = Instant::now();
                while next_at < end {
                    while next_at <= Instant::now() && next_at < end {
                        self.publish(next_at)?;
                        next_at += interval;
                    }
                    self.take_deliveries(next_at.saturating_duration_since(Instant::now()))?;
                }
                self.await_deliveries()
            }
            None => {
                while Instant::now() < end {
                    self.publish(Instant::now())?;
                    self.await_deliveries()?;
                }
                Ok(())
            }
        }
    }

    fn publish(&mut self, due: Instant) -> Result<(), Failure> {
        let time = self.clock.at(due);
        self.publisher.publish(self.next, self.options.burst, time)?;
        self.next += self.options.burst;
        let alive = self.subscribers.iter().filter(|subscriber| subscriber.connection.is_some()).count();
        self.awaited += alive as u64 * u64::from(self.options.burst);
        Ok(())
    }

    fn await_deliveries(&mut self) -> Result<(), Failure> {
        let mut give_up = Instant::now() + PATIENCE;
        while self.awaited > 0 {
            let before = self.awaited;
            self.take_deliveries(A_MOMENT)?;
            if self.awaited < before {
                give_up = Instant::now() + PATIENCE;
            } else if Instant::now() > give_up {
                self.awaited = 0;
            }
        }
        Ok(())
    }

    fn take_deliveries(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.poller.wait(timeout, &mut self.ready)?;
        for position in 0..self.ready.len() {
            let (index, events) = self.ready[position];
            if index == PUBLISHER {
                self.publisher.attend(self.setting, events, &mut self.scratch, &mut self.failures)?;
            } else {
                self.attend(index, events);
            }
        }
        if self.subscribers.iter().all(|subscriber| subscriber.connection.is_none()) {
            return Err(Failure::EarlyEof { received: 0, expected: 1 });
        }
        Ok(())
    }

    fn attend(&mut self, index: usize, events: EventFlags) {
        let Subscriber { connection: slot, sequence } = &mut self.subscribers[index];
        let Some(connection) = slot else { return };
        let now = self.clock.now();
        let (reader, arrivals, latency) = (&mut self.reader, &mut self.arrivals, &mut self.latency);
        let (failures, awaited) = (&mut self.failures, &mut self.awaited);
        let (next, dialect) = (self.next, self.setting.dialect);
        let result = connection.attend(events, &mut self.scratch, |message| match reader.read(message) {
            Read::Stamped(stamp) if stamp.number < next => {
                if arrivals.count(sequence.arrive(stamp.number)) {
                    latency.record(now.saturating_sub(stamp.time));
                    *awaited = awaited.saturating_sub(1);
                }
            }
            Read::Other if !dialect.is_bare() => {
                if dialect.answer(message) == Answer::Error {
                    failures.count(&crowd::rejected(message));
                }
            }
            Read::Stamped(_) | Read::Other | Read::Corrupt => arrivals.corrupt += 1,
        });
        if let Err(failure) = result {
            self.awaited = self.awaited.saturating_sub(sequence.lost(next));
            self.failures.count(&failure);
            *slot = None;
        }
    }

    /// Waits for stragglers beyond what is awaited (repetitions), and counts what was lost.
    pub fn finish(&mut self) {
        let end = Instant::now() + A_MOMENT * 5;
        while Instant::now() < end && self.take_deliveries(A_MOMENT).is_ok() {}
        self.arrivals.lost = self.subscribers.iter().map(|of| of.sequence.lost(self.next)).sum();
    }

    pub fn describe(&self, report: &mut Report) {
        self.arrivals.describe(report);
        report.failures(&self.failures);
    }
}
