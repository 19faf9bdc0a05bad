//! Scrapes: GET at an offered rate over one kept connection, open loop, as many Prometheus servers would.

use crate::failure::{Failure, Failures};
use crate::latencies::{FULL, Latencies};
use crate::report::Report;
use crate::server;
use crate::ws::url::Url;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The server's own work is watched for so long before the first request, to be left out of the account.
const WATCH: Duration = Duration::from_secs(2);
/// Of one answer; more is no page of metrics.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What to fetch, and how often.
pub struct Options {
    pub url: Url,
    /// Requests per second.
    pub rate: u64,
    pub length: Duration,
    /// Whose first thread answers: what it spends on each is reported.
    pub server_pid: Option<u32>,
}

/// Fetches for as long as asked. Latencies count from when a request was due, not from when it could be sent.
pub fn run(options: &Options) -> Result<Report, Failure> {
    let mut connection = Connection::open(&options.url)?;
    let (mut latencies, mut failures, mut bytes) = (Latencies::default(), Failures::default(), 0u64);
    let before = options.server_pid.and_then(server::first_thread_cpu);
    if before.is_some() {
        std::thread::sleep(WATCH);
    }
    let alone = options.server_pid.and_then(server::first_thread_cpu);
    let (began, gap) = (Instant::now(), Duration::from_secs(1) / options.rate.max(1) as u32);
    let mut due = began;
    while due < began + options.length {
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::sleep(early);
        }
        match connection.get(&options.url) {
            Ok(length) => {
                latencies.record(due.elapsed());
                bytes = length as u64;
            }
            Err(failure) => {
                failures.count(&failure);
                connection = Connection::open(&options.url)?;
            }
        }
        due += gap;
    }
    let (took, after) = (began.elapsed(), options.server_pid.and_then(server::first_thread_cpu));
    let mut report = Report::new("scrape");
    report.text("route", &options.url.to_string());
    report.count("scrapes", latencies.count());
    report.count("bytes", bytes);
    latencies.describe("total", FULL, &mut report);
    if let (Some(before), Some(alone), Some(after)) = (before, alone, after) {
        let own = alone.saturating_sub(before).div_f64(WATCH.as_secs_f64()).mul_f64(took.as_secs_f64());
        let cpu_us = after.saturating_sub(alone).saturating_sub(own).as_secs_f64() * 1e6;
        report.measure("control_cpu_us_per_scrape", cpu_us / latencies.count().max(1) as f64);
    }
    report.failures(&failures);
    Ok(report)
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(url: &Url) -> Result<Connection, Failure> {
        let socket = TcpStream::connect_timeout(&url.address, PATIENCE)
            .map_err(|error| Failure::Unreachable { address: url.address, error })?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        Ok(Connection(BufReader::new(socket)))
    }

    /// One request; the length of the answer's body.
    fn get(&mut self, url: &Url) -> Result<usize, Failure> {
        write!(self.0.get_mut(), "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", url.path, url.host)?;
        let (mut line, mut length, mut is_ok) = (String::new(), None, false);
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            is_ok |= line.starts_with("HTTP/1.1 200");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok().filter(|length| *length <= BODY_BYTES_MAX);
            }
        }
        let (Some(length), true) = (length, is_ok) else {
            return Err(std::io::Error::other("the answer is not 200, or of no stated length").into());
        };
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(length)
    }
}
