//! Idle WebSockets: what memory and CPU each costs the server while nothing passes, plain or subscribed.

use crate::failure::{Failure, Failures};
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::server::{Rest, holdings, rest};
use crate::ws::connection::Scratch;
use crate::ws::crowd::{self, Wish};
use crate::ws::{Setting, frame};
use std::thread;
use std::time::{Duration, Instant};

/// Connections opened and closed before counting, so that what a server makes once is not charged to the first.
const WARM_UP: usize = 64;
/// Until the server has come to rest.
const SETTLE: Duration = Duration::from_millis(1500);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(300);
const LOOKS_MAX: u32 = 30;
/// A smaller change between two looks is none.
const UNREST_KIB: u64 = 16;
/// For the pongs of those still alive.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Options {
    pub connections: usize,
    /// What each subscribes to, if to anything.
    pub topic: Option<String>,
    /// How long to hold them before memory is read, at least a second and a half. CPU is watched in what is more.
    pub hold: Duration,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let mut failures = Failures::default();
    let topic = options.topic.as_deref();
    let wish = |connections| Wish { connections, topic, ..Wish::default() };
    drop(crowd::open(setting, wish(WARM_UP), &mut failures)?);
    let watched = options.hold.saturating_sub(SETTLE);
    let before = setting.server_pid.map(|pid| at_rest(pid, watched)).transpose()?;
    let mut held = crowd::open(setting, wish(options.connections), &mut failures)?;
    let after = setting.server_pid.map(|pid| at_rest(pid, watched)).transpose()?;
    if setting.server_pid.is_none() {
        thread::sleep(options.hold);
    }

    let mut report = setting.report("idle");
    report.count("connections", held.len() as u64);
    report.text("subscribed", if topic.is_some() { "yes" } else { "no" });
    if let (Some(before), Some(after)) = (before, after) {
        before.describe_growth(after, held.len().max(1) as f64, &mut report);
    }
    report.count("alive_at_the_end", alive(&mut held)?);
    report.failures(&failures);
    Ok(report)
}

/// What the server holds when that has stopped changing, and what it spends for as long as it is `watched` then.
fn at_rest(pid: u32, watched: Duration) -> Result<Rest, Failure> {
    thread::sleep(SETTLE);
    let mut last = holdings(pid)?;
    for _ in 0..LOOKS_MAX {
        thread::sleep(LOOK);
        let now = holdings(pid)?;
        if now.pss_kib.abs_diff(last.pss_kib) <= UNREST_KIB {
            break;
        }
        last = now;
    }
    rest(pid, watched)
}

/// How many answer a ping.
fn alive(held: &mut [crate::ws::connection::Connection]) -> Result<u64, Failure> {
    let poller = Poller::new()?;
    let mut ping = Vec::new();
    frame::push_masked(frame::PING, b"idle", &mut ping);
    for (index, connection) in held.iter_mut().enumerate() {
        poller.add(&*connection, index, EventFlags::IN | EventFlags::ET)?;
        // One that has ended says so below.
        let _ = connection.send(&ping);
    }
    let (mut scratch, mut ready) = (Scratch::default(), Ready::new());
    let mut answered = vec![false; held.len()];
    let end = Instant::now() + PATIENCE;
    while answered.contains(&false) && Instant::now() < end {
        poller.wait(Duration::from_millis(100), &mut ready)?;
        for (index, _) in &ready {
            answered[*index] |= held[*index].receive(&mut scratch, |_| ()).is_ok();
        }
    }
    Ok(answered.iter().filter(|answered| **answered).count() as u64)
}
