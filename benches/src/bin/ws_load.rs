//! `ws_load`: loads for any WebSocket server. One command is one complete measurement.

use clap::{Args, Parser, Subcommand};
use ringway_benches::failure::Failure;
use ringway_benches::report::Report;
use ringway_benches::socket::raise_fd_limit;
use ringway_benches::ws::dialect::Dialect;
use ringway_benches::ws::echo::Pace;
use ringway_benches::ws::url::{Scheme, Url};
use ringway_benches::ws::{Setting, connection, echo, fanout, idle, slow, stamp, storm, watch};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(version, about = "Loads for any WebSocket server")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    load: Load,
}

#[derive(Args)]
struct Common {
    /// The server, ws://HOST:PORT/PATH
    #[arg(long, global = true, default_value = "ws://127.0.0.1:8765/ws", value_parser = web_socket)]
    url: Url,
    /// How to subscribe and to publish
    #[arg(long, global = true, value_enum, default_value_t = Dialect::Raw)]
    dialect: Dialect,
    /// Where publications go [default: --url]; http:// posts each
    #[arg(long, global = true)]
    publish_url: Option<Url>,
    /// A further header line of upgrades and posts, e.g. 'Authorization: Bearer x'; may be given several times
    #[arg(long, global = true, value_name = "LINE")]
    header: Vec<String>,
    /// Come from so many addresses, 127.0.0.1 and on: each has ports of its own
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=200))]
    sources: u8,
    /// The server's process: its CPU time and memory are reported, with its children's
    #[arg(long, global = true)]
    server_pid: Option<u32>,
    /// Let subscribers acknowledge when the kernel thinks fit, not as they read: over loopback some of that work is then the
    /// server's, and whose depends on how a subscription is asked for
    #[arg(long, global = true)]
    kernel_acks: bool,
    /// Print the JSON line alone
    #[arg(long, global = true)]
    json: bool,
    /// Carry this in the report; may be given several times
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    label: Vec<(String, String)>,
}

#[derive(Subcommand)]
enum Load {
    /// Messages there and back: closed loop, or open with --rate
    Echo {
        #[arg(long, default_value_t = 64, value_parser = positive)]
        connections: u64,
        /// Bytes of a message
        #[arg(long, default_value_t = 125, value_parser = size)]
        size: usize,
        /// Messages under way on each connection
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        pipeline: u32,
        /// Messages per second over all connections, whatever comes back
        #[arg(long, value_parser = positive, conflicts_with = "pipeline")]
        rate: Option<u64>,
        /// Binary messages instead of text
        #[arg(long)]
        binary: bool,
        #[arg(long, default_value = "5", value_parser = seconds)]
        seconds: Duration,
    },
    /// One publishes, all receive: deliveries per second and their latency, loss, repetition, order
    Fanout(FanoutArgs),
    /// Fan-out beside subscribers that never read: the others' latency with and without them
    Slow {
        #[command(flatten)]
        fanout: FanoutArgs,
        /// How many never read
        #[arg(long, default_value_t = 200, value_parser = positive)]
        readers: u64,
        /// Bytes asked for the kernel's buffers of those that never read
        #[arg(long, default_value_t = 4096, value_parser = positive)]
        receive_buffer: u64,
        /// ringway's http://HOST:PORT/metrics, for its own account of deliveries
        #[arg(long)]
        metrics: Option<Url>,
    },
    /// Upgrades per second: connect, upgrade, close
    Storm {
        /// Connections under way at once
        #[arg(long, default_value_t = 64, value_parser = positive)]
        parallel: u64,
        /// Take leave by close frames, and await the server's
        #[arg(long)]
        closing_handshake: bool,
        #[arg(long, default_value = "5", value_parser = seconds)]
        seconds: Duration,
    },
    /// Idle connections: memory and descriptors of the server for each (needs --server-pid)
    Idle {
        #[arg(long, default_value_t = 5_000, value_parser = positive)]
        connections: u64,
        /// Subscribe each to this, in the dialect
        #[arg(long)]
        topic: Option<String>,
        /// How long to hold them before memory is read; beyond 1.5 s the server's CPU time at rest is watched
        #[arg(long, default_value = "1.5", value_parser = seconds)]
        hold: Duration,
    },
    /// Open dashboards: what reading the server's own topics costs it, beside what it costs without (needs --server-pid)
    Watch {
        #[arg(long, default_value_t = 100, value_parser = positive)]
        connections: u64,
        /// What each subscribes to
        #[arg(
            long,
            value_delimiter = ',',
            default_value = "traffic_data,proxy_health,system_performance,user_activity,alerts"
        )]
        topics: Vec<String>,
        /// How long it is measured, without them and with them
        #[arg(long, default_value = "20", value_parser = seconds)]
        seconds: Duration,
    },
}

#[derive(Args)]
struct FanoutArgs {
    #[arg(long, default_value_t = 1_000, value_parser = positive)]
    subscribers: u64,
    #[arg(long, default_value = "bench")]
    topic: String,
    /// Bytes of a message
    #[arg(long, default_value_t = 200, value_parser = size)]
    size: usize,
    /// Publications that leave in one write
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    burst: u32,
    /// Publications per second [default: a burst as soon as all have the one before]
    #[arg(long, value_parser = positive)]
    rate: Option<u64>,
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    raise_fd_limit();
    match run(&cli) {
        Ok(mut report) => {
            for (key, value) in &cli.common.label {
                report.text(key, value);
            }
            let text = if cli.common.json { String::new() } else { report.table() };
            println!("{text}{}", report.json_line());
            ExitCode::from(u8::from(report.is_amiss()))
        }
        Err(failure) => {
            eprintln!("ws_load: {failure}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<Report, Failure> {
    let setting = cli.common.setting();
    match &cli.load {
        Load::Echo { connections, size, pipeline, rate, binary, seconds } => {
            let pace = rate.map_or(Pace::Pipelined(*pipeline), Pace::PerSecond);
            let (connections, size, binary) = (*connections as usize, *size, *binary);
            echo::run(&setting, &echo::Options { connections, size, binary, duration: *seconds, pace })
        }
        Load::Fanout(arguments) => fanout::run(&setting, &arguments.options()),
        Load::Slow { fanout, readers, receive_buffer, metrics } => {
            let options = slow::Options {
                fanout: fanout.options(),
                readers: *readers as usize,
                receive_buffer: *receive_buffer as usize,
                metrics: metrics.clone(),
            };
            slow::run(&setting, &options)
        }
        Load::Storm { parallel, closing_handshake, seconds } => {
            let (parallel, closing_handshake) = (*parallel as usize, *closing_handshake);
            storm::run(&setting, &storm::Options { duration: *seconds, parallel, closing_handshake })
        }
        Load::Idle { connections, topic, hold } => {
            let connections = *connections as usize;
            idle::run(&setting, &idle::Options { connections, topic: topic.clone(), hold: *hold })
        }
        Load::Watch { connections, topics, seconds } => {
            let (connections, topics) = (*connections as usize, topics.clone());
            watch::run(&setting, &watch::Options { connections, topics, duration: *seconds })
        }
    }
}

impl Common {
    fn setting(&self) -> Setting {
        Setting {
            url: self.url.clone(),
            dialect: self.dialect,
            publish_url: self.publish_url.clone(),
            headers: self.header.clone(),
            sources: self.sources,
            server_pid: self.server_pid,
            kernel_acks: self.kernel_acks,
        }
    }
}

impl FanoutArgs {
    fn options(&self) -> fanout::Options {
        fanout::Options {
            subscribers: self.subscribers as usize,
            topic: self.topic.clone(),
            size: self.size,
            burst: self.burst,
            rate: self.rate,
            duration: self.seconds,
        }
    }
}

fn web_socket(text: &str) -> Result<Url, String> {
    let url: Url = text.parse()?;
    if url.scheme == Scheme::Ws { Ok(url) } else { Err("it must begin with ws://".into()) }
}

fn positive(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(0) => Err("it must be at least 1".into()),
        other => other.map_err(|error| error.to_string()),
    }
}

/// Every message carries a number and a time.
fn size(text: &str) -> Result<usize, String> {
    let size: usize = text.parse().map_err(|_| "it must be a number of bytes")?;
    let sizes = stamp::SIZE_MIN..=connection::MESSAGE_BYTES_MAX / 2;
    if sizes.contains(&size) {
        Ok(size)
    } else {
        Err(format!("it must be {} to {}", sizes.start(), sizes.end()))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it must be a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it must be KEY=VALUE")?;
    Ok((key.into(), value.into()))
}
