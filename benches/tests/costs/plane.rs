//! A data plane in a process of its own, under strace.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Long enough for a loaded machine and a program that runs fifty times as slowly.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether the worker sleeps.
const A_MOMENT: Duration = Duration::from_micros(50);
/// io_uring_enter, epoll_wait, epoll_pwait, epoll_pwait2 on x86-64 and, from epoll_pwait on, on arm64.
const WAITS: [&str; 5] = ["426", "232", "281", "441", "22"];

pub struct Plane {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub pid: u32,
    pub socks5: SocketAddr,
    pub websocket: SocketAddr,
    /// The worker's folder in /proc.
    worker: PathBuf,
}

/// What the process had asked its allocator for.
#[derive(Clone, Copy)]
pub struct Allocated {
    pub calls: u64,
    pub bytes: u64,
}

/// With what was counted written down at each `part_of_costs_ends`.
pub fn callgrind(folder: &Path) -> Command {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--quiet", "--tool=callgrind", "--dump-before=*part_of_costs_ends*"])
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()));
    valgrind
}

impl Plane {
    /// Under strace, whose trace goes to `folder`. Errors: it cannot work here, in words.
    pub fn start(binary: &Path, folder: &Path) -> Result<Plane, String> {
        let complaints = folder.join("complaints");
        let mut child = Command::new("strace")
            .args(["-f", "-q", "-s", "8", "-e", "signal=none", "-o"])
            .arg(folder.join("trace"))
            .arg(binary)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&complaints).unwrap())
            .spawn()
            .map_err(|error| format!("the tool cannot be started: {error}"))?;
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut output = BufReader::new(output);
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let Ok(told) = serde_json::from_str::<serde_json::Value>(&line) else {
            let status = child.wait().unwrap();
            let why = fs::read_to_string(&complaints).unwrap();
            return Err(format!("the data plane did not start under it ({status}): {why}"));
        };
        let address = |key: &str| told[key][0].as_str().unwrap().parse().unwrap();
        let pid = told["pid"].as_u64().unwrap() as u32;
        let (socks5, websocket, worker) = (address("socks5"), address("websocket"), worker_of(pid));
        // Yama and hardened kernels keep it from who is neither root nor its parent. Without its input it ends by itself.
        fs::read_to_string(worker.join("syscall"))
            .map_err(|error| format!("what its worker waits in cannot be read: {error}"))?;
        Ok(Plane { child, input, output, pid, socks5, websocket, worker })
    }

    /// The worker's thread.
    pub fn worker(&self) -> &str {
        self.worker.file_name().unwrap().to_str().unwrap()
    }

    /// Waits until the worker has nothing to do: only then does the next step cost the same each time.
    pub fn settle(&self) {
        let begun = Instant::now();
        let asleep = || {
            let state = fs::read_to_string(self.worker.join("stat")).unwrap();
            let call = fs::read_to_string(self.worker.join("syscall")).unwrap();
            let sleeps = state.rsplit(')').next().unwrap().trim_start().starts_with('S');
            sleeps && WAITS.contains(&call.split_whitespace().next().unwrap())
        };
        while !asleep() {
            assert!(begun.elapsed() < PATIENCE, "the worker does not come to rest");
            thread::sleep(A_MOMENT);
        }
    }

    /// Ends a part of what is counted.
    pub fn mark(&mut self) -> Allocated {
        self.input.write_all(b"\n").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let (calls, bytes) = line.trim().split_once(' ').unwrap_or_else(|| panic!("it ended: {line}"));
        Allocated { calls: calls.parse().unwrap(), bytes: bytes.parse().unwrap() }
    }

    /// Ends it, so that the tool writes down what it has.
    pub fn end(self) {
        let Plane { mut child, input, .. } = self;
        drop(input);
        assert!(child.wait().unwrap().success());
    }
}

fn worker_of(pid: u32) -> PathBuf {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut tasks = tasks.map(|task| task.unwrap().path());
    tasks.find(|task| fs::read_to_string(task.join("comm")).unwrap().trim() == "ringway-w0").unwrap()
}
