//! Slow readers: a fan-out without them, then with so many subscribers more that never read. What that does to the others'
//! latency, to the server's memory, and what became of the messages nobody read.

use crate::failure::{Failure, Failures};
use crate::poller::{Poller, Ready};
use crate::report::Report;
use crate::server::holdings;
use crate::ws::Setting;
use crate::ws::arrivals::{Arrivals, Sequence};
use crate::ws::connection::{Connection, INTEREST, Scratch};
use crate::ws::crowd::{self, Wish};
use crate::ws::fanout::{self, Fanout, describe_options};
use crate::ws::stamp::{Read, Reader};
use crate::ws::url::Url;
use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// How long nothing must come, and nothing have come at first, for a slow reader's rest to be all of it.
const QUIET: Duration = Duration::from_millis(500);
/// Until ringway's figures are those of now.
const METRICS_PERIOD: Duration = Duration::from_millis(1_500);
/// For one request to /metrics.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Options {
    pub fanout: fanout::Options,
    /// How many never read.
    pub readers: usize,
    /// Asked for the slow readers' kernel buffers, so that the server's own are reached soon.
    pub receive_buffer: usize,
    /// ringway's /metrics, for its own account.
    pub metrics: Option<Url>,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let memory = || setting.server_pid.map(holdings).transpose();
    let mut fanout = Fanout::open(setting, &options.fanout)?;
    let without = fanout.measure(options.fanout.duration)?;
    let memory_before = memory()?;

    let wish = Wish {
        connections: options.readers,
        topic: Some(&options.fanout.topic),
        receive_buffer: Some(options.receive_buffer),
    };
    let readers = crowd::open(setting, wish, &mut fanout.failures)?;
    let first = fanout.next;
    let with = fanout.measure(options.fanout.duration)?;
    let memory_after = memory()?;
    fanout.finish();

    let mut report = setting.report("slow");
    describe_options(&options.fanout, &mut report);
    report.count("slow_readers", readers.len() as u64);
    without.describe("without_", &mut report);
    with.describe("with_", &mut report);
    report.measure("latency_p99_ratio", with.latency.quantile_us(0.99) / without.latency.quantile_us(0.99));
    report.measure("latency_usual_p99_ratio", with.latency.usual_p99_us() / without.latency.usual_p99_us());
    if let (Some(before), Some(after)) = (memory_before, memory_after) {
        report.count("server_pss_kib_without", before.pss_kib);
        report.count("server_pss_kib_with", after.pss_kib);
    }
    let leftover = drain(setting, options, readers, first..fanout.next)?;
    leftover.describe(&mut report);
    if let Some(url) = &options.metrics {
        thread::sleep(METRICS_PERIOD);
        describe_accounts(&scrape(url)?, &mut report);
    }
    fanout.describe(&mut report);
    with.spent.describe("us_per_delivery", 1e6, with.deliveries as f64, &mut report);
    Ok(report)
}

/// What the slow readers had of the publications meant for them, when at last they read.
struct Leftover {
    arrivals: Arrivals,
    /// How they ended, those that the server did not keep.
    ends: Failures,
}

impl Leftover {
    fn describe(&self, report: &mut Report) {
        report.count("slow_delivered", self.arrivals.delivered);
        report.count("slow_undelivered", self.arrivals.lost);
        report.count("slow_duplicates", self.arrivals.duplicates);
        report.count("slow_reordered", self.arrivals.reordered);
        report.count("slow_ended_by_server", self.ends.total());
        for (kind, count, _) in self.ends.iter() {
            report.count(&format!("slow_ended_{kind}"), count);
        }
    }
}

fn drain(
    setting: &Setting,
    options: &Options,
    readers: Vec<Connection>,
    numbers: std::ops::Range<u32>,
) -> Result<Leftover, Failure> {
    let poller = Poller::new()?;
    let mut leftover = Leftover { arrivals: Arrivals::default(), ends: Failures::default() };
    let mut reader = Reader::new(options.fanout.size, setting.dialect.is_bare());
    let mut slots = Vec::with_capacity(readers.len());
    for (index, connection) in readers.into_iter().enumerate() {
        poller.add(&connection, index, INTEREST)?;
        slots.push((Some(connection), Sequence::starting_at(numbers.start)));
    }
    let (mut scratch, mut ready) = (Scratch::default(), Ready::new());
    let mut quiet_until = Instant::now() + QUIET;
    while Instant::now() < quiet_until {
        poller.wait(QUIET, &mut ready)?;
        for (index, events) in &ready {
            let (slot, sequence) = &mut slots[*index];
            let Some(connection) = slot else { continue };
            let mut some = false;
            let result = connection.attend(*events, &mut scratch, |message| {
                some = true;
                match reader.read(message) {
                    Read::Stamped(stamp) => _ = leftover.arrivals.count(sequence.arrive(stamp.number)),
                    Read::Other => {}
                    Read::Corrupt => leftover.arrivals.corrupt += 1,
                }
            });
            if let Err(failure) = result {
                leftover.ends.count(&failure);
                *slot = None;
            }
            if some {
                quiet_until = Instant::now() + QUIET;
            }
        }
    }
    leftover.arrivals.lost = slots.iter().map(|(_, sequence)| sequence.lost(numbers.end)).sum();
    Ok(leftover)
}

fn scrape(url: &Url) -> Result<String, Failure> {
    let mut socket = TcpStream::connect_timeout(&url.address, PATIENCE)
        .map_err(|error| Failure::Unreachable { address: url.address, error })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", url.path, url.host)?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    Ok(text)
}

/// The server's own account since it began: what was due is delivered, dropped or queued, to the last message.
fn describe_accounts(metrics: &str, report: &mut Report) {
    let due = sum_of("websocket_deliveries_due_total", metrics);
    let mut accounted = 0;
    report.count("server_due", due);
    for (name, family) in [
        ("server_delivered", "websocket_deliveries_total"),
        ("server_dropped", "websocket_dropped_total"),
        ("server_queued", "websocket_queued_messages"),
    ] {
        let count = sum_of(family, metrics);
        accounted += count;
        report.count(name, count);
    }
    report.count("server_unaccounted", due.abs_diff(accounted));
}

/// A family's samples, over all its labels.
fn sum_of(family: &str, metrics: &str) -> u64 {
    let of_family = |line: &&str| {
        line.strip_prefix(family).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{'))
    };
    let values =
        metrics.lines().filter(of_family).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_cannot_account_for_a_message_is_told_of() {
        let metrics = "websocket_deliveries_due_total 100\nwebsocket_deliveries_total 60\n\
            websocket_dropped_total{reason=\"a\"} 20\nwebsocket_dropped_total{reason=\"b\"} 19\nwebsocket_queued_messages 0\n";
        let mut report = Report::new("slow");
        describe_accounts(metrics, &mut report);
        let line = report.json_line();
        assert!(
            line.contains(r#""server_dropped":39"#) && line.contains(r#""server_unaccounted":1"#),
            "{line}"
        );
    }
}
