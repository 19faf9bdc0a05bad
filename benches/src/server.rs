//! What the measured server spends: CPU time by its clock, memory and descriptors from /proc, of a process and all its descendants.

use crate::failure::Failure;
use crate::report::Report;
use nix::time::ClockId;
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Memory and descriptors of a process tree at one moment.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Holdings {
    pub rss_kib: u64,
    /// Shared pages divided among their owners: the fair sum over a tree of forks.
    pub pss_kib: u64,
    pub private_dirty_kib: u64,
    pub fds: u64,
    pub processes: u64,
}

impl Holdings {
    /// Adds what each of so many connections has cost from this moment to `after`.
    pub fn describe_growth(self, after: Holdings, connections: f64, report: &mut Report) {
        let growth = |after: u64, before: u64| (after as f64 - before as f64) / connections;
        report.measure("pss_kib_per_connection", growth(after.pss_kib, self.pss_kib));
        let private_dirty = growth(after.private_dirty_kib, self.private_dirty_kib);
        report.measure("private_dirty_kib_per_connection", private_dirty);
        report.measure("rss_kib_per_connection", growth(after.rss_kib, self.rss_kib));
        report.measure("fds_per_connection", growth(after.fds, self.fds));
        report.count("server_processes", after.processes);
        report.count("server_pss_kib_before", self.pss_kib);
        report.count("server_pss_kib_after", after.pss_kib);
    }
}

/// Reads what the tree under `pid` holds now.
pub fn holdings(pid: u32) -> Result<Holdings, Failure> {
    let mut sum = Holdings::default();
    for pid in tree(pid).map_err(Failure::own("finding --server-pid"))? {
        // A child that ended meanwhile holds nothing.
        let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
        sum.rss_kib += kib_of(&rollup, "Rss:");
        sum.pss_kib += kib_of(&rollup, "Pss:");
        sum.private_dirty_kib += kib_of(&rollup, "Private_Dirty:");
        sum.fds += fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
        sum.processes += 1;
    }
    Ok(sum)
}

/// What a server holds and spends while nothing happens.
#[derive(Clone, Copy)]
pub struct Rest {
    pub holdings: Holdings,
    /// Watched for a while; `None`: not at all, or this kernel does not say.
    pub cpu_us_per_second: Option<f64>,
}

/// Watches the tree under `pid` for `window` and then reads what it holds.
pub fn rest(pid: u32, window: Duration) -> Result<Rest, Failure> {
    let (started, before) = (Instant::now(), precise_cpu(pid));
    thread::sleep(window);
    let spent = before.zip(precise_cpu(pid)).map(|(before, after)| after.saturating_sub(before));
    let us_per_second = spent.map(|spent| spent.as_secs_f64() * 1e6 / started.elapsed().as_secs_f64());
    Ok(Rest { holdings: holdings(pid)?, cpu_us_per_second: us_per_second.filter(|_| !window.is_zero()) })
}

impl Rest {
    /// Adds what each of so many connections costs, in memory and in time, from this moment to `after`.
    pub fn describe_growth(self, after: Rest, connections: f64, report: &mut Report) {
        self.holdings.describe_growth(after.holdings, connections, report);
        if let (Some(before), Some(after)) = (self.cpu_us_per_second, after.cpu_us_per_second) {
            report.measure("idle_cpu_us_per_second_before", before);
            report.measure("idle_cpu_us_per_second_after", after);
            report.measure("idle_cpu_us_per_connection_second", (after - before) / connections);
        }
    }
}

/// CPU time of all living threads of the tree under `pid` so far, to the nanosecond: at rest a tick is too coarse.
fn precise_cpu(pid: u32) -> Option<Duration> {
    let mut sum = None;
    for pid in tree(pid).ok()? {
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for nanoseconds in threads.flatten().filter_map(|thread| nanoseconds_of(&thread.path())) {
            sum = Some(sum.unwrap_or(0) + nanoseconds);
        }
    }
    sum.map(Duration::from_nanos)
}

/// CPU time of the thread that `pid` began with; ringway's is the control plane.
#[must_use]
pub fn first_thread_cpu(pid: u32) -> Option<Duration> {
    nanoseconds_of(Path::new(&format!("/proc/{pid}/task/{pid}"))).map(Duration::from_nanos)
}

/// The first field of a thread's `schedstat` (proc_pid_schedstat in the kernel's sched-stats.rst).
fn nanoseconds_of(thread: &Path) -> Option<u64> {
    fs::read_to_string(thread.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
}

/// Measures time passed and CPU spent, by the server's tree and by this program, from its making on.
pub struct Meter {
    server: Option<u32>,
    started: Instant,
    server_cpu: Cpu,
    own_cpu: Cpu,
}

/// CPU time so far.
#[derive(Clone, Copy, Default)]
struct Cpu {
    total: Duration,
    /// The same in ticks, and what of that was user mode.
    ticks: u64,
    user_ticks: u64,
}

/// What a [`Meter`] found.
pub struct Spent {
    pub wall: Duration,
    pub server_cpu: Option<Duration>,
    /// The part of it that was not the kernel's, by ticks. None: not one has passed.
    pub server_user_share: Option<f64>,
    pub own_cpu: Duration,
    /// The most memory that the server's processes have held.
    pub server_peak_kib: Option<u64>,
}

impl Meter {
    pub fn start(server: Option<u32>) -> Result<Meter, Failure> {
        let server_cpu = server.map_or(Ok(Cpu::default()), cpu)?;
        Ok(Meter { server, own_cpu: cpu(std::process::id())?, server_cpu, started: Instant::now() })
    }

    pub fn stop(&self) -> Result<Spent, Failure> {
        let wall = self.started.elapsed();
        let own_cpu = cpu(std::process::id())?.total.saturating_sub(self.own_cpu.total);
        let server = self.server.map(cpu).transpose()?;
        Ok(Spent {
            wall,
            server_cpu: server.map(|server| server.total.saturating_sub(self.server_cpu.total)),
            server_user_share: server.and_then(|server| {
                let ticks = server.ticks.saturating_sub(self.server_cpu.ticks);
                let user = server.user_ticks.saturating_sub(self.server_cpu.user_ticks);
                (ticks > 0).then(|| user as f64 / ticks as f64)
            }),
            own_cpu,
            server_peak_kib: self.server.map(peak_kib).transpose()?,
        })
    }
}

impl Spent {
    /// Adds the CPU figures, and the server's share per unit of work: `server_cpu_<name>`, e.g. `us_per_connection`
    /// with a scale of 1e6 and the connections as `work`.
    pub fn describe(&self, name: &str, scale: f64, work: f64, report: &mut Report) {
        report.measure("seconds", self.wall.as_secs_f64());
        report.measure("generator_cores_used", self.own_cpu.as_secs_f64() / self.wall.as_secs_f64());
        if let Some(cpu) = self.server_cpu {
            report.measure("server_cpu_ms", cpu.as_secs_f64() * 1e3);
            report.measure("server_cores_used", cpu.as_secs_f64() / self.wall.as_secs_f64());
            if work > 0.0 {
                report.measure(&format!("server_cpu_{name}"), cpu.as_secs_f64() * scale / work);
            }
            if let Some(share) = self.server_user_share {
                report.measure("server_cpu_user_share", share);
            }
        }
        if let Some(peak) = self.server_peak_kib {
            report.count("server_peak_kib", peak);
        }
    }
}

/// The sum of the peaks of the tree under `pid`, each less what it shares with others now: the fair sum over a tree of forks.
fn peak_kib(pid: u32) -> Result<u64, Failure> {
    let mut sum = 0;
    for pid in tree(pid).map_err(Failure::own("finding --server-pid"))? {
        let of = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}"));
        let (Ok(status), Ok(rollup)) = (of("status"), of("smaps_rollup")) else { continue };
        let shared = kib_of(&rollup, "Rss:").saturating_sub(kib_of(&rollup, "Pss:"));
        sum += kib_of(&status, "VmHWM:").saturating_sub(shared);
    }
    Ok(sum)
}

/// CPU time of `pid` and its descendants so far: user and system, ended threads and reaped children included. The total is to the
/// nanosecond but for reaped children.
fn cpu(pid: u32) -> Result<Cpu, Failure> {
    let root = pid;
    let mut sum = Cpu::default();
    for pid in tree(root).map_err(Failure::own("finding --server-pid"))? {
        let own = match clock_of(pid) {
            Ok(own) => own,
            Err(error) if pid == root => {
                return Err(Failure::own("reading the clock of --server-pid")(error));
            }
            // A child that ended meanwhile is counted with its parent's.
            Err(_) => continue,
        };
        let Ok(stat) = stat(pid) else { continue };
        let reaped = stat.reaped_user + stat.reaped_kernel;
        sum.total +=
            own + Duration::from_secs_f64(reaped as f64 / rustix::param::clock_ticks_per_second() as f64);
        sum.ticks += stat.user + stat.kernel + reaped;
        sum.user_ticks += stat.user + stat.reaped_user;
    }
    Ok(sum)
}

/// What clock_getcpuclockid(3) tells of: all threads of a process, those that have ended too.
fn clock_of(pid: u32) -> io::Result<Duration> {
    let pid = Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
    Ok(ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now)?.into())
}

/// `root` and all its descendants. Errors: `root` is not there.
fn tree(root: u32) -> io::Result<BTreeSet<u32>> {
    stat(root)?;
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            && let Ok(stat) = stat(pid)
        {
            parents.push((pid, stat.parent));
        }
    }
    let mut tree = BTreeSet::from([root]);
    loop {
        let before = tree.len();
        let children = parents.iter().filter(|(_, parent)| tree.contains(parent)).map(|(pid, _)| *pid);
        tree.extend(children.collect::<Vec<_>>());
        if tree.len() == before {
            return Ok(tree);
        }
    }
}

struct Stat {
    parent: u32,
    /// In ticks, as all times are here.
    user: u64,
    kernel: u64,
    reaped_user: u64,
    reaped_kernel: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::other("/proc/PID/stat has an unknown shape"))
}

/// proc_pid_stat(5): the name is in brackets and may hold anything; after it, field 4 is the parent, 14 and 15 are the times in user and kernel mode,
/// 16 and 17 those of reaped children.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(field(4)?).ok()?,
        user: field(14)?,
        kernel: field(15)?,
        reaped_user: field(16)?,
        reaped_kernel: field(17)?,
    })
}

fn kib_of(rollup: &str, key: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_no_obstacle() {
        let stat = parse_stat("7 (a) b (c) S 3 7 7 0 -1 4 1 2 3 4 10 20 30 40 20 0 1").unwrap();
        assert_eq!(
            (stat.parent, stat.user, stat.kernel, stat.reaped_user, stat.reaped_kernel),
            (3, 10, 20, 30, 40)
        );
        assert!(parse_stat("7 (cut) S 3").is_none());
    }

    #[test]
    fn a_rollup_is_read_by_key() {
        let rollup =
            "5600-7ffd ---p 00000000 00:00 0 [rollup]\nRss:      896 kB\nPss:      120 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(kib_of(rollup, "Rss:"), 896);
        assert_eq!(kib_of(rollup, "Pss:"), 120);
        assert_eq!(kib_of(rollup, "Swap:"), 0);
    }

    #[test]
    fn this_process_holds_something_and_a_missing_one_is_an_error() {
        let own = holdings(std::process::id()).unwrap();
        assert!(own.pss_kib > 0 && own.fds > 2 && own.processes >= 1);
        assert!(peak_kib(std::process::id()).unwrap() > 0);
        assert!(holdings(u32::MAX).is_err());
    }

    #[test]
    fn a_process_s_time_is_seen_with_its_ended_threads_to_less_than_a_tick() {
        let spin = |until: Duration| {
            let begun = Instant::now();
            while begun.elapsed() < until {
                std::hint::spin_loop();
            }
        };
        let before = cpu(std::process::id()).unwrap().total;
        let spun = Duration::from_millis(3);
        thread::spawn(move || spin(spun)).join().unwrap();
        let after = cpu(std::process::id()).unwrap().total;
        // Other threads of this process add theirs; a busy host takes some of the three milliseconds, but not all.
        assert!(after - before > Duration::from_micros(100), "{before:?} {after:?}");
        let reaped = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"])
            .status();
        assert!(reaped.unwrap().success());
        assert!(cpu(std::process::id()).unwrap().total - after >= Duration::from_millis(10));
    }

    #[test]
    fn work_at_rest_is_seen() {
        let mut busy = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let seen = rest(busy.id(), Duration::from_millis(200)).unwrap();
        let unwatched = rest(busy.id(), Duration::ZERO).unwrap();
        let first = first_thread_cpu(busy.id());
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(seen.cpu_us_per_second.is_none_or(|us| us > 1_000.0), "{:?}", seen.cpu_us_per_second);
        assert!(unwatched.cpu_us_per_second.is_none());
        assert_eq!(seen.cpu_us_per_second.is_some(), first.is_some());
        assert!(rest(u32::MAX, Duration::ZERO).is_err());
    }
}
