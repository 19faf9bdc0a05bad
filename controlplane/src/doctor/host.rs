//! The host as it is: everything the checks look at, read once.

mod addresses;
mod cgroup;
#[cfg(test)]
mod tests;

pub use addresses::{Address, Held};

use ringway_dataplane::{Attempt, egress_fault, probe};
use ringway_shared::config::{AccessLog, Config};
use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The sysctls that checks look at.
const SYSCTLS: &[&str] = &[
    "fs.nr_open",
    "fs.pipe-max-size",
    "fs.pipe-user-pages-soft",
    "kernel.io_uring_disabled",
    "kernel.io_uring_group",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
    "net.netfilter.nf_conntrack_max",
];

/// All there is to know. What cannot be read is absent, and not judged.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// As `uname -r` tells it.
    pub release: String,
    /// By their names; those that this kernel has.
    pub sysctls: BTreeMap<&'static str, String>,
    /// Rings that were tried, best first.
    pub rings: Vec<Attempt>,
    pub rights: Rights,
    /// What contains this process, if anything says so.
    pub container: Option<&'static str>,
    /// RLIMIT_NOFILE and RLIMIT_MEMLOCK, hard; `None`: no limit.
    pub descriptors: Option<u64>,
    pub locked_memory: Option<u64>,
    pub cpus: Cpus,
    /// The least of the host's memory and its cgroups' limits.
    pub memory_bytes: Option<u64>,
    pub clocksource: Option<String>,
    /// `always`, `madvise` or `never`; `off` where this process has none of them (prctl).
    pub huge_pages: Option<String>,
    /// What local time goes by; `None`: nothing, so UTC.
    pub time_zone: Option<String>,
    /// The configuration's listeners.
    pub addresses: Vec<Address>,
    /// Files it has ringway write.
    pub files: Vec<Writable>,
    /// Why sockets cannot leave as it says.
    pub egress_fault: Option<String>,
    /// Since 1970.
    pub now: Duration,
}

/// What this process may do.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Effective ones, a bit each.
    pub capabilities: u64,
    pub groups: Vec<u32>,
    /// A seccomp filter judges its system calls.
    pub filtered: bool,
}

/// Numbers of capabilities (capability.h).
#[derive(Clone, Copy)]
pub enum Capability {
    IpcLock = 14,
    SysAdmin = 21,
    SysResource = 24,
}

impl Rights {
    #[must_use]
    pub fn may(&self, capability: Capability) -> bool {
        self.capabilities & (1 << capability as u64) != 0
    }
}

#[derive(Clone, Debug, Default)]
pub struct Cpus {
    /// Those that this process may use.
    pub allowed: Vec<usize>,
    pub isolated: Vec<usize>,
    /// Of each CPU that is online: the threads of its core, itself among them.
    pub siblings: BTreeMap<usize, Vec<usize>>,
    /// CPUs' worth of time that cgroups grant.
    pub quota: Option<f64>,
}

/// A file that ringway is to write.
#[derive(Clone, Debug)]
pub struct Writable {
    /// The key that names it.
    pub key: &'static str,
    pub path: PathBuf,
    /// Why it cannot be written.
    pub fault: Option<String>,
}

impl Host {
    /// Reads everything that matters for this configuration.
    #[must_use]
    pub fn read(config: &Config) -> Host {
        let limit = |resource| getrlimit(resource).maximum;
        Host {
            rings: probe(),
            descriptors: limit(Resource::Nofile),
            locked_memory: limit(Resource::Memlock),
            addresses: addresses::try_all(config),
            files: files(config),
            egress_fault: egress_fault(config).err(),
            now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            ..Host::read_files(Path::new("/"))
        }
    }

    /// What stands in /proc, /sys and /etc below `root`.
    fn read_files(root: &Path) -> Host {
        let text = |path: &str| text_of(&root.join(path));
        let sysctl = |key: &'static str| {
            let value = text(&format!("proc/sys/{}", key.replace('.', "/")))?;
            Some((key, value.split_whitespace().collect::<Vec<_>>().join(" ")))
        };
        let groups = text("proc/self/cgroup").unwrap_or_default();
        let limits = cgroup::limits(root, &groups);
        let status = text("proc/self/status").unwrap_or_default();
        Host {
            release: text("proc/sys/kernel/osrelease").unwrap_or_default(),
            sysctls: SYSCTLS.iter().filter_map(|key| sysctl(key)).collect(),
            rights: rights(&status),
            container: container(root),
            cpus: Cpus { quota: limits.cpus, ..cpus(root) },
            memory_bytes: memory_bytes(root, limits.memory_bytes),
            clocksource: text("sys/devices/system/clocksource/clocksource0/current_clocksource"),
            huge_pages: huge_pages(root, &status),
            time_zone: time_zone(root, std::env::var("TZ").ok()),
            ..Host::default()
        }
    }
}

/// The memory that this process may have: the least of the host's and its control groups' limits.
#[must_use]
pub fn memory_max_bytes() -> Option<u64> {
    let root = Path::new("/");
    let groups = text_of(&root.join("proc/self/cgroup")).unwrap_or_default();
    memory_bytes(root, cgroup::limits(root, &groups).memory_bytes)
}

fn memory_bytes(root: &Path, limit: Option<u64>) -> Option<u64> {
    let info = text_of(&root.join("proc/meminfo"));
    let total = info.and_then(|info| field(&info, "MemTotal").and_then(kibibytes));
    total.into_iter().chain(limit).min()
}

/// A small file's text without the newline at its end; `None` if it cannot be read.
fn text_of(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned())
}

/// A line `name: value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

/// `16384 kB`
fn kibibytes(value: &str) -> Option<u64> {
    Some(value.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

fn rights(status: &str) -> Rights {
    let capabilities = field(status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let ids = |name| field(status, name).unwrap_or_default().split_whitespace();
    // Of the four, real, effective, saved and for files, the kernel asks the effective one.
    let groups = ids("Gid").nth(1).into_iter().chain(ids("Groups"));
    Rights {
        capabilities: capabilities.unwrap_or(0),
        groups: groups.filter_map(|id| id.parse().ok()).collect(),
        filtered: field(status, "Seccomp") == Some("2"),
    }
}

/// What the host says of huge pages, unless this process has given them up (MIMALLOC_ALLOW_THP=0).
fn huge_pages(root: &Path, status: &str) -> Option<String> {
    if field(status, "THP_enabled") == Some("0") {
        return Some("off".into());
    }
    let modes = text_of(&root.join("sys/kernel/mm/transparent_hugepage/enabled"))?;
    modes.split_whitespace().find_map(|mode| Some(mode.strip_prefix('[')?.strip_suffix(']')?.into()))
}

fn container(root: &Path) -> Option<&'static str> {
    let there = |path: &str| root.join(path).exists();
    let named = |name: &str| std::env::var_os(name).is_some();
    [
        (named("KUBERNETES_SERVICE_HOST"), "Kubernetes"),
        (there(".dockerenv"), "Docker"),
        (there("run/.containerenv"), "Podman"),
    ]
    .into_iter()
    .find_map(|(is, name)| is.then_some(name))
}

fn cpus(root: &Path) -> Cpus {
    let folder = root.join("sys/devices/system/cpu");
    let listed = |path: &str| text_of(&folder.join(path)).map_or(Vec::new(), |list| cpu_list(&list));
    let siblings = |cpu: &usize| (*cpu, listed(&format!("cpu{cpu}/topology/thread_siblings_list")));
    Cpus {
        allowed: crate::settings::cpus_allowed(),
        isolated: listed("isolated"),
        siblings: listed("online").iter().map(siblings).collect(),
        quota: None,
    }
}

/// `0-3,8`
fn cpu_list(text: &str) -> Vec<usize> {
    let ranges = text.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse().ok()?)
    });
    ranges.flatten().collect()
}

/// The zone that local time goes by, if its file is there.
fn time_zone(root: &Path, chosen: Option<String>) -> Option<String> {
    let there = |path: String| root.join(path.trim_start_matches('/')).exists();
    match chosen.as_deref().map(|name| name.trim_start_matches(':')) {
        None | Some("") => there("etc/localtime".into()).then(|| "/etc/localtime".into()),
        Some(name) if name.starts_with('/') => there(name.into()).then(|| name.into()),
        Some(name) if there(format!("usr/share/zoneinfo/{name}")) => Some(name.into()),
        // A rule in POSIX's form, e.g. CET-1CEST,M3.5.0,M10.5.0/3, needs no file.
        Some(rule) => rule.contains(|c: char| c.is_ascii_digit()).then(|| rule.into()),
    }
}

/// Whether what is to be written can be.
fn files(config: &Config) -> Vec<Writable> {
    let mut files = Vec::new();
    let mut users = config.socks5.users.iter().flat_map(|users| &users.entries);
    if users.any(|user| user.quota.is_some()) {
        // It is replaced by a file written beside it.
        let path = config.socks5.quota_file.clone();
        files.push(Writable { key: "socks5.quota_file", fault: folder_fault(&path), path });
    }
    if let Some(path) = config.history.file.clone().filter(|_| config.history.enabled) {
        // Its log is written beside it.
        let unwritable = path.exists().then(|| access_fault(&path)).flatten();
        files.push(Writable { key: "history.file", fault: unwritable.or_else(|| folder_fault(&path)), path });
    }
    if let AccessLog::File(path) = &config.log.access {
        let fault = if path.exists() { access_fault(path) } else { folder_fault(path) };
        files.push(Writable { key: "log.access", path: path.clone(), fault });
    }
    files
}

fn folder_fault(path: &Path) -> Option<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    access_fault(folder)
}

fn access_fault(path: &Path) -> Option<String> {
    access(path, Access::WRITE_OK).err().map(|error| format!("{}: {error}", path.display()))
}
