//! Subscribers of topics that the server publishes to by itself: what so many open dashboards cost it, beside what it costs without them.

use crate::failure::{Failure, Failures};
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::server::{Meter, Spent};
use crate::ws::connection::{Connection, Scratch};
use crate::ws::crowd::{self, Wish};
use crate::ws::{Setting, frame};
use std::thread;
use std::time::{Duration, Instant};

/// Until everybody has what stood on the topics, and the server has come to rest.
const SETTLE: Duration = Duration::from_secs(2);
/// The longest wait for messages.
const A_MOMENT: Duration = Duration::from_millis(100);

pub struct Options {
    pub connections: usize,
    /// Each connection subscribes to all of them.
    pub topics: Vec<String>,
    /// Once without the connections and once with them.
    pub duration: Duration,
}

/// Messages and their bytes, frames' heads not counted.
#[derive(Default)]
struct Heard {
    messages: u64,
    bytes: u64,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let without = Meter::start(setting.server_pid)?;
    thread::sleep(options.duration);
    let without = without.stop()?;

    let mut failures = Failures::default();
    let wish = Wish { connections: options.connections, ..Wish::default() };
    let mut watchers = crowd::open(setting, wish, &mut failures)?;
    let requests: Vec<u8> = options.topics.iter().flat_map(|topic| subscribe(topic)).collect();
    let poller = Poller::new()?;
    for (index, watcher) in watchers.iter_mut().enumerate() {
        poller.add(&*watcher, index, EventFlags::IN | EventFlags::ET)?;
        watcher.send(&requests)?;
    }
    listen(&poller, &mut watchers, SETTLE)?;
    let with = Meter::start(setting.server_pid)?;
    let heard = listen(&poller, &mut watchers, options.duration)?;
    let with = with.stop()?;

    let mut report = setting.report("watch");
    report.count("connections", watchers.len() as u64);
    report.count("topics", options.topics.len() as u64);
    let seconds = with.wall.as_secs_f64();
    report
        .measure("messages_per_second_each", heard.messages as f64 / seconds / watchers.len().max(1) as f64);
    report.measure("bytes_per_message", heard.bytes as f64 / heard.messages.max(1) as f64);
    if let (Some(idle), Some(busy)) = (percent(&without), percent(&with)) {
        report.measure("server_cpu_percent_without", idle);
        report.measure("server_cpu_percent_with", busy);
        report.measure("server_cpu_percent_of_watchers", busy - idle);
    }
    with.describe("us_per_message", 1e6, heard.messages as f64, &mut report);
    report.failures(&failures);
    Ok(report)
}

/// In ringway's plain JSON protocol: others have no topics of their own.
fn subscribe(topic: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let request = format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#);
    frame::push_masked(frame::TEXT, request.as_bytes(), &mut bytes);
    bytes
}

/// Of one CPU.
fn percent(spent: &Spent) -> Option<f64> {
    spent.server_cpu.map(|cpu| 100.0 * cpu.as_secs_f64() / spent.wall.as_secs_f64())
}

/// Hears everybody for so long. Errors: one was ended.
fn listen(poller: &Poller, watchers: &mut [Connection], duration: Duration) -> Result<Heard, Failure> {
    let (mut scratch, mut ready) = (Scratch::default(), Ready::new());
    let (mut heard, end) = (Heard::default(), Instant::now() + duration);
    while Instant::now() < end {
        poller.wait(A_MOMENT, &mut ready)?;
        for (index, _) in &ready {
            watchers[*index].receive(&mut scratch, |message| {
                heard.messages += 1;
                heard.bytes += message.len() as u64;
            })?;
        }
    }
    Ok(heard)
}
