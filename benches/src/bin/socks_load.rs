//! `socks_load`: loads for any SOCKS5 server, a TCP forwarder, or none. One command is one complete measurement.

use clap::{Args, Parser, Subcommand};
use ringway_benches::failure::Failure;
use ringway_benches::handshake::Credentials;
use ringway_benches::load::{
    Setting, idle, integrity, latency, rate, scrape, silent, smooth, throughput, udp, wwr,
};
use ringway_benches::report::Report;
use ringway_benches::route::Route;
use ringway_benches::socket::raise_fd_limit;
use ringway_benches::ws::url::Url;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(version, about = "Loads for any SOCKS5 server, a TCP forwarder, or none")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    load: Load,
}

#[derive(Args)]
struct Common {
    /// The SOCKS5 server
    #[arg(long, global = true, default_value = "127.0.0.1:1080")]
    proxy: SocketAddr,
    /// Log in as this user (RFC 1929)
    #[arg(long, global = true, value_parser = short_text)]
    user: Option<String>,
    #[arg(long, global = true, value_parser = short_text)]
    password: Option<String>,
    /// Use no proxy: the limit of this program and this machine
    #[arg(long, global = true, conflicts_with_all = ["forwarder"])]
    direct: bool,
    /// Use a plain TCP forwarder that leads to 127.0.0.1 and the port of --target-port
    #[arg(long, global = true, requires = "target_port")]
    forwarder: Option<SocketAddr>,
    /// The port of our own target [default: a free one]
    #[arg(long, global = true)]
    target_port: Option<u16>,
    /// The server's process: its CPU time and memory are reported, with its children's
    #[arg(long, global = true)]
    server_pid: Option<u32>,
    /// Print the JSON line alone
    #[arg(long, global = true)]
    json: bool,
    /// Carry this in the report; may be given several times
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    label: Vec<(String, String)>,
}

#[derive(Subcommand)]
enum Load {
    /// Bulk transfer: GB/s and CPU ms per GB
    Throughput {
        #[arg(long, default_value_t = 1, value_parser = positive)]
        streams: u64,
        #[arg(long, default_value = "5", value_parser = seconds)]
        seconds: Duration,
        /// From the clients to the target, instead of from the target to the clients
        #[arg(long, conflicts_with = "both_ways")]
        upload: bool,
        #[arg(long)]
        both_ways: bool,
        /// Bytes that one send or receive of ours moves at most
        #[arg(long, default_value_t = 256 * 1024, value_parser = positive)]
        size: u64,
    },
    /// A user's limited rate: bytes per second, shares, and the longest stall of any connection
    Smooth {
        #[arg(long, default_value_t = 64, value_parser = positive)]
        streams: u64,
        #[arg(long, default_value = "10", value_parser = seconds)]
        seconds: Duration,
        /// From the clients to the target, instead of from the target to the clients
        #[arg(long)]
        upload: bool,
    },
    /// Whole connections per second: connect, handshake, one byte there and back, close
    Rate {
        /// How many to make [default: as many as fit into --seconds]
        #[arg(long, value_parser = positive)]
        connections: Option<u64>,
        /// For how long [default: 5, or as long as --connections take]
        #[arg(long, value_parser = seconds)]
        seconds: Option<Duration>,
        /// Connections under way at once
        #[arg(long, default_value_t = 64, value_parser = positive)]
        parallel: u64,
    },
    /// Ping-pong at an offered rate, open loop: percentiles that count the waiting of messages not yet sent
    Latency {
        #[arg(long, default_value_t = 64, value_parser = positive)]
        connections: u64,
        /// Messages per second over all connections
        #[arg(long, default_value_t = 20_000, value_parser = positive)]
        rate: u64,
        /// Bytes of a message
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=latency::SIZE_MAX as u64))]
        size: u64,
        #[arg(long, default_value = "5", value_parser = seconds)]
        seconds: Duration,
    },
    /// GET at a rate over one kept connection, as scrapers do: how long the answers take. It needs no proxy
    Scrape {
        #[arg(long, default_value = "http://127.0.0.1:9003/metrics")]
        url: Url,
        /// Requests per second
        #[arg(long, default_value_t = 50, value_parser = positive)]
        rate: u64,
        #[arg(long, default_value = "5", value_parser = seconds)]
        seconds: Duration,
    },
    /// Write, write, read: shows a missing TCP_NODELAY
    Wwr {
        /// At most so many
        #[arg(long, default_value_t = 200, value_parser = positive)]
        rounds: u64,
        /// Begin none after so long
        #[arg(long, default_value = "60", value_parser = seconds)]
        seconds: Duration,
        /// Between the two writes, in microseconds
        #[arg(long, default_value_t = 100)]
        gap: u64,
    },
    /// Idle connections: memory and descriptors of the server for each (needs --server-pid)
    Idle {
        #[arg(long, default_value_t = 5_000, value_parser = positive)]
        connections: u64,
        /// How long to hold them before memory is read; beyond 1.5 s the server's CPU time at rest is watched
        #[arg(long, default_value = "1.5", value_parser = seconds)]
        hold: Duration,
    },
    /// Seeded bytes in both directions at once, compared at both ends; exit status 1 if anything is amiss
    Integrity {
        #[arg(long, default_value_t = 1, value_parser = positive)]
        connections: u64,
        /// Bytes each way on each connection
        #[arg(long, default_value_t = 4 << 20)]
        bytes: u64,
        /// Bytes from the client to the target, if not --bytes
        #[arg(long)]
        up_bytes: Option<u64>,
        /// Bytes from the target to the client, if not --bytes
        #[arg(long)]
        down_bytes: Option<u64>,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Each end shuts down its direction when it has sent all, and goes on reading
        #[arg(long)]
        half_close: bool,
    },
    /// Datagrams through a UDP association, open loop: loss, latency and the server's CPU time for each. With
    /// --forwarder: through a relay that takes them with their SOCKS5 headers and no request (see bare_udp_relay)
    Udp {
        #[arg(long, value_enum, default_value_t = udp::Way::Up)]
        way: udp::Way,
        /// Datagrams per second, each way
        #[arg(long, default_value_t = 50_000, value_parser = positive)]
        rate: u64,
        /// Bytes of a datagram, its header not counted
        #[arg(long, default_value_t = 1_200, value_parser = clap::value_parser!(u64).range(udp::SIZES))]
        size: u64,
        /// Datagrams sent at once, as a congestion controller that paces would
        #[arg(long, default_value_t = 10, value_parser = positive)]
        burst: u64,
        /// Datagrams of a burst that leave as one train (UDP_SEGMENT); 1: each on its own
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
        train: u64,
        /// Let the kernel line up what our ends receive (UDP_GRO)
        #[arg(long)]
        gro: bool,
        #[arg(long, default_value = "5", value_parser = seconds)]
        seconds: Duration,
    },
    /// Clients that say nothing, or a byte at a time, while others are served
    Silent {
        #[arg(long, default_value_t = 1_000, value_parser = positive)]
        connections: u64,
        /// Say a valid greeting, one byte at a time
        #[arg(long)]
        drip: bool,
        /// Between two such bytes, in milliseconds
        #[arg(long, default_value_t = 500, value_parser = positive)]
        drip_ms: u64,
        /// Ordinary connections made meanwhile
        #[arg(long, default_value_t = 2_000, value_parser = positive)]
        ordinary: u64,
        #[arg(long, default_value_t = 8, value_parser = positive)]
        parallel: u64,
        /// How long to wait for the server to end the silent ones
        #[arg(long, default_value = "20", value_parser = seconds)]
        seconds: Duration,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    raise_fd_limit();
    match measure(&cli) {
        Ok(mut report) => {
            for (key, value) in &cli.common.label {
                report.text(key, value);
            }
            if !cli.common.json {
                println!("{}", report.table());
            }
            println!("{}", report.json_line());
            let must_be_whole = matches!(cli.load, Load::Integrity { .. });
            ExitCode::from(u8::from(must_be_whole && report.has_failures()))
        }
        Err(failure) => {
            eprintln!("socks_load: {failure}");
            ExitCode::from(2)
        }
    }
}

fn measure(cli: &Cli) -> Result<Report, Failure> {
    let setting = cli.common.setting();
    match &cli.load {
        Load::Throughput { streams, seconds, upload, both_ways, size } => {
            let direction = match (upload, both_ways) {
                (true, _) => throughput::Direction::Upload,
                (_, true) => throughput::Direction::Both,
                _ => throughput::Direction::Download,
            };
            let (streams, size) = (*streams as usize, *size as usize);
            throughput::run(&setting, &throughput::Options { streams, duration: *seconds, direction, size })
        }
        Load::Smooth { streams, seconds, upload } => {
            let direction =
                if *upload { throughput::Direction::Upload } else { throughput::Direction::Download };
            let streams = *streams as usize;
            smooth::run(&setting, &smooth::Options { streams, duration: *seconds, direction })
        }
        Load::Rate { connections, seconds, parallel } => {
            let unlimited = connections.is_none() && seconds.is_none();
            let duration = if unlimited { Some(Duration::from_secs(5)) } else { *seconds };
            let options = rate::Options { connections: *connections, duration, parallel: *parallel as usize };
            rate::run(&setting, &options)
        }
        Load::Latency { connections, rate, size, seconds } => {
            let (connections, size) = (*connections as usize, *size as usize);
            latency::run(&setting, &latency::Options { connections, rate: *rate, size, duration: *seconds })
        }
        Load::Scrape { url, rate, seconds } => {
            let server_pid = cli.common.server_pid;
            scrape::run(&scrape::Options { url: url.clone(), rate: *rate, length: *seconds, server_pid })
        }
        Load::Wwr { rounds, seconds, gap } => {
            let gap = Duration::from_micros(*gap);
            wwr::run(&setting, &wwr::Options { rounds: *rounds, duration: *seconds, gap })
        }
        Load::Idle { connections, hold } => {
            idle::run(&setting, &idle::Options { connections: *connections as usize, hold: *hold })
        }
        Load::Integrity { connections, bytes, up_bytes, down_bytes, seed, half_close } => {
            let options = integrity::Options {
                connections: *connections,
                up_bytes: up_bytes.unwrap_or(*bytes),
                down_bytes: down_bytes.unwrap_or(*bytes),
                seed: *seed,
                half_close: *half_close,
            };
            integrity::run(&setting, &options)
        }
        Load::Udp { way, rate, size, burst, train, gro, seconds } => {
            let (size, burst, train) = (*size as usize, *burst as usize, *train as usize);
            let options =
                udp::Options { way: *way, rate: *rate, size, burst, train, gro: *gro, duration: *seconds };
            udp::run(&setting, &options)
        }
        Load::Silent { connections, drip, drip_ms, ordinary, parallel, seconds } => {
            let options = silent::Options {
                connections: *connections as usize,
                drip: drip.then_some(Duration::from_millis(*drip_ms)),
                ordinary: *ordinary,
                parallel: *parallel as usize,
                patience: *seconds,
            };
            silent::run(&setting, &options)
        }
    }
}

impl Common {
    fn setting(&self) -> Setting {
        let credentials = self.user.as_ref().map(|user| {
            let password = self.password.clone().unwrap_or_default();
            Credentials { user: user.clone(), password }
        });
        let route = match self.forwarder {
            _ if self.direct => Route::Direct,
            Some(forwarder) => Route::Forwarder(forwarder),
            None => Route::Socks5 { proxy: self.proxy, credentials },
        };
        Setting { route, target_port: self.target_port.unwrap_or(0), server_pid: self.server_pid }
    }
}

fn positive(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(0) => Err("it must be at least 1".into()),
        other => other.map_err(|error| error.to_string()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it must be a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// RFC 1929 gives names and passwords one byte for their length.
fn short_text(text: &str) -> Result<String, String> {
    if text.len() > 255 { Err("at most 255 bytes".into()) } else { Ok(text.into()) }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    Ok((key.into(), value.into()))
}
