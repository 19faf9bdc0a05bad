//! Facts of the host and of our own threads, from /proc; and the one limit that is raised.

use procfs::{Current, CurrentSI, KernelStats, Meminfo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};

/// Raises the soft limit of descriptors to the hard one; returns what it is then.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { raised.current } else { limit.current };
    current.unwrap_or(u64::MAX)
}

/// What the host was doing.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostFacts {
    /// All CPUs together, 0 to 100, over the last whole second.
    pub cpu_percent: f64,
    pub memory_used_bytes: u64,
    /// Over all interfaces but loopback, since boot.
    pub network_received_bytes: u64,
    pub network_sent_bytes: u64,
}

/// Reads the host's facts at most once a second.
#[derive(Default)]
pub struct Host {
    latest: HostFacts,
    read_at: Option<Instant>,
    /// Jiffies busy and in all, at the last reading.
    jiffies: (u64, u64),
}

const READ_EVERY: Duration = Duration::from_secs(1);

impl Host {
    /// The host's facts, no older than a second. What cannot be read stays as it was.
    pub fn facts(&mut self, now: Instant) -> HostFacts {
        if self.read_at.is_none_or(|read| now.saturating_duration_since(read) >= READ_EVERY) {
            self.read_at = Some(now);
            self.read();
        }
        self.latest
    }

    fn read(&mut self) {
        if let Ok(stat) = KernelStats::current() {
            let cpu = stat.total;
            let idle = cpu.idle + cpu.iowait.unwrap_or(0);
            let rest = cpu.user + cpu.nice + cpu.system;
            let stolen = cpu.irq.unwrap_or(0) + cpu.softirq.unwrap_or(0) + cpu.steal.unwrap_or(0);
            let (busy, total) = (rest + stolen, rest + stolen + idle);
            let (busy_before, total_before) = std::mem::replace(&mut self.jiffies, (busy, total));
            let spent = total.saturating_sub(total_before).max(1);
            self.latest.cpu_percent = 100.0 * busy.saturating_sub(busy_before) as f64 / spent as f64;
        }
        if let Ok(memory) = Meminfo::current() {
            let free = memory.mem_available.unwrap_or(memory.mem_free);
            self.latest.memory_used_bytes = memory.mem_total.saturating_sub(free);
        }
        if let Ok(interfaces) = procfs::net::dev_status() {
            let others = || interfaces.values().filter(|interface| interface.name != "lo");
            self.latest.network_received_bytes = others().map(|interface| interface.recv_bytes).sum();
            self.latest.network_sent_bytes = others().map(|interface| interface.sent_bytes).sum();
        }
    }
}

/// What the scheduler has given a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTimes {
    /// On a CPU.
    pub busy: Duration,
    /// Ready to run, and waiting for a CPU.
    pub waited: Duration,
    /// How often it was given a CPU.
    pub slices: u64,
}

/// What the scheduler has given a thread of ours; nothing if there is none of that id.
#[must_use]
pub fn thread_times(thread_id: u64) -> ThreadTimes {
    // schedstat: nanoseconds on the CPU, nanoseconds waited, slices.
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread_id}/schedstat")).unwrap_or_default();
    let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0));
    let mut next = || fields.next().unwrap_or(0);
    ThreadTimes { busy: Duration::from_nanos(next()), waited: Duration::from_nanos(next()), slices: next() }
}

/// CPUs that this process may use.
#[must_use]
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// All memory of the host, in bytes.
#[must_use]
pub fn memory_bytes() -> u64 {
    Meminfo::current().map_or(0, |memory| memory.mem_total)
}

/// Threads of this process.
#[must_use]
pub fn threads() -> u64 {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.map_or(0, |status| status.threads)
}

/// Descriptors this process has open. Linux tells their number as the size of their folder, since 6.2; before it they are counted.
#[must_use]
pub fn open_descriptors() -> u64 {
    let folder = "/proc/self/fd";
    let told = std::fs::metadata(folder).map_or(0, |folder| folder.len());
    if told > 0 { told } else { std::fs::read_dir(folder).map_or(0, |entries| entries.count() as u64) }
}

/// Resident memory of this process, in bytes.
#[must_use]
pub fn resident_bytes() -> u64 {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.ok().and_then(|status| status.vmrss).unwrap_or(0) * 1024
}

/// CPU time that this process has used, its threads together; `None`: it cannot be read.
#[must_use]
pub fn cpu_time() -> Option<Duration> {
    let stat = procfs::process::Process::myself().and_then(|process| process.stat()).ok()?;
    let ticks = (stat.utime + stat.stime) as f64;
    Some(Duration::from_secs_f64(ticks / procfs::ticks_per_second() as f64))
}

/// The soft limit of descriptors.
#[must_use]
pub fn descriptors_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// As the kernel knows it.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
