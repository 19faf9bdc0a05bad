//! ringway's data plane alone, with one worker and a counting allocator, for `tests/costs`. The whole binary would not do:
//! its control plane works by the clock.
//!
//! It prints its addresses as one line of JSON. Each line on standard input is
//! answered with what was allocated so far; at the end of the input it ends.

use ringway_dataplane::{Plan, StartError, Workers, start};
use ringway_shared::config::{self, Config, HostFacts, SourceFile, Sources};
use ringway_shared::metrics::Cells;
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CONFIG: &str = "
workers: {count: 1}
socks5: {listen: ['127.0.0.1:0'], allow_targets: [loopback]}
websocket: {listen: ['127.0.0.1:0'], echo: true, namespaces: [{prefix: '', publish: anyone}]}
";
const DESCRIPTORS_MAX: u64 = 4_096;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("data_plane: {fault}");
            ExitCode::from(1)
        }
    }
}

fn serve() -> Result<(), String> {
    let config = configuration()?;
    let workers = open(config).map_err(|fault| fault.0)?;
    let addresses = json!({
        "pid": std::process::id(),
        "socks5": workers.socks5_addresses(),
        "websocket": workers.websocket_addresses(),
    });
    println!("{addresses}");
    answer_questions().map_err(|error| format!("cannot be asked any more: {error}"))
}

fn configuration() -> Result<Config, String> {
    let sources = Sources {
        file: Some(SourceFile { name: "data_plane".into(), text: CONFIG.into() }),
        env: Vec::new(),
        sets: Vec::new(),
        overrides: Vec::new(),
        held: Vec::new(),
        host: HostFacts { cpus_allowed: vec![0] },
        read_file: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    config::load(&sources).map(|loaded| loaded.config).map_err(|faults| format!("{faults:?}"))
}

fn open(config: Config) -> Result<Workers, StartError> {
    let workers = start(Plan {
        config: Arc::new(config),
        cells: vec![Arc::<Cells>::default()],
        epoch: Instant::now(),
        control_addresses: Vec::new(),
        descriptors_max: DESCRIPTORS_MAX,
        inherited: Vec::new(),
        listeners_are_shared: false,
    })?;
    workers.open()?;
    Ok(workers)
}

/// Allocates nothing itself once it has answered for the first time.
fn answer_questions() -> io::Result<()> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut question = String::with_capacity(64);
    while input.read_line(&mut question)? > 0 {
        question.clear();
        let (allocations, bytes) = part_of_costs_ends();
        writeln!(output, "{allocations} {bytes}")?;
        output.flush()?;
    }
    Ok(())
}

/// callgrind writes down what it has counted, and begins anew, whenever this is entered (`--dump-before`).
#[inline(never)]
fn part_of_costs_ends() -> (usize, usize) {
    let stats = ALLOCATOR.stats();
    // Memory that grows in place or moves has been asked for again.
    (stats.allocations + stats.reallocations, stats.bytes_allocated)
}
