//! The kernel and its rings.

use super::Case;
use crate::doctor::finding::{Finding, Level};
use crate::doctor::host::Capability;
use ringway_dataplane::{Attempt, wanted_entries};
use ringway_shared::config::DriverChoice;
use ringway_shared::metrics::Driver;

/// The oldest kernel whose io_uring is used, that with COOP_TASKRUN, and that with DEFER_TASKRUN.
const OLDEST: (u32, u32) = (5, 11);
const BEST: (u32, u32) = (6, 1);
/// From here on rings are counted as memory of the process's group, not as locked memory.
const RINGS_UNCOUNTED: (u32, u32) = (5, 12);

/// How bad it is when io_uring cannot be had.
fn without_rings(case: &Case) -> Level {
    match case.config.workers.driver {
        DriverChoice::IoUring => Level::Failure,
        DriverChoice::Auto => Level::Warning,
        DriverChoice::Epoll => Level::Ok,
    }
}

/// `6.1.0-18-amd64`
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

pub fn kernel(case: &Case) -> Vec<Finding> {
    let Some(found) = version(&case.host.release) else { return Vec::new() };
    let why = "DEFER_TASKRUN (6.1) lets a worker take completions when it is ready for them, COOP_TASKRUN \
        (5.19) spares it interrupts; before 5.11 epoll is used instead of io_uring";
    let finding = Finding::new("kernel", &case.host.release, "6.1 or later", why);
    let level = match found {
        _ if case.config.workers.driver == DriverChoice::Epoll => Level::Ok,
        found if found < OLDEST => without_rings(case),
        _ => Level::Note,
    };
    let well = found >= BEST || level == Level::Ok;
    vec![finding.unless(well, level, || "boot a newer kernel".into())]
}

pub fn io_uring(case: &Case) -> Vec<Finding> {
    let wanted = format!("{}, {} entries", Driver::IoUringDeferred.label(), wanted_entries());
    let why = "workers wait for sockets, timers and messages on a ring of their own; epoll serves the same, \
        with more system calls";
    if case.config.workers.driver == DriverChoice::Epoll {
        return vec![Finding::new("io_uring", "not asked", "nothing: workers.driver is epoll", why)];
    }
    let Some(best) = case.host.rings.iter().find(|ring| ring.refusal.is_none()) else {
        return case.host.rings.first().map(|ring| refused(case, ring, wanted, why)).into_iter().collect();
    };
    let found = format!("{}, {} entries", best.driver.label(), best.entries);
    let finding = Finding::new("io_uring", found, wanted, why);
    if best.entries < wanted_entries() {
        let fix = "raise the limit of locked memory: LimitMEMLOCK=infinity in tuning/ringway.service, \
            `ulimit -l` elsewhere";
        return vec![finding.amiss(Level::Warning, fix)];
    }
    vec![
        finding
            .unless(best.driver == Driver::IoUringDeferred, Level::Note, || "boot Linux 6.1 or later".into()),
    ]
}

/// No ring at all: who refuses it, and what to do about that.
fn refused(case: &Case, ring: &Attempt, wanted: String, why: &'static str) -> Finding {
    let level = without_rings(case);
    let Some(refusal) = &ring.refusal else { return Finding::new("io_uring", "", wanted, why) };
    if !refusal.forbidden {
        return Finding::new("io_uring", "refused", wanted, why).amiss(level, &refusal.text);
    }
    let key = "kernel.io_uring_disabled";
    let disabled = case.sysctl(key).unwrap_or("0");
    if by_sysctl(case, disabled) {
        let finding = Finding::new("io_uring", format!("{key} {disabled}"), wanted, why);
        let finding = case.asks_for(finding, level, key, "0".into());
        let group = "; or keep it at 1 and make kernel.io_uring_group a group of ringway's user";
        return Finding { fix: finding.fix.map(|fix| fix + group), ..finding };
    }
    let container = case.host.container.unwrap_or("a container or service manager");
    if case.host.rights.filtered {
        let found = format!("a seccomp filter forbids it ({container})");
        let fix = "Docker 25 and containerd 2 forbid io_uring in their default profile: start with \
                   --security-opt seccomp=tuning/seccomp.json, in Kubernetes securityContext.seccompProfile of type \
                   Localhost; under systemd look for SystemCallFilter=";
        return Finding::new("io_uring", found, wanted, why).amiss(level, fix);
    }
    let fix = "neither a sysctl nor a seccomp filter says so: look for a denial of SELinux or AppArmor in \
        the audit log";
    Finding::new("io_uring", "a security module forbids it", wanted, why).amiss(level, fix)
}

/// Whether `kernel.io_uring_disabled` says no to this process.
fn by_sysctl(case: &Case, disabled: &str) -> bool {
    let rights = &case.host.rights;
    let group = case.sysctl("kernel.io_uring_group").and_then(|group| group.parse::<u32>().ok());
    let member = group.is_some_and(|group| rights.groups.contains(&group));
    match disabled {
        "0" => false,
        "1" => !(member || rights.may(Capability::SysAdmin)),
        _ => true,
    }
}

pub fn locked_memory(case: &Case) -> Vec<Finding> {
    let Some(version) = version(&case.host.release) else { return Vec::new() };
    let (limit, needed) = (case.host.locked_memory, case.needs.ring_bytes);
    let counted = version < RINGS_UNCOUNTED && !case.host.rights.may(Capability::IpcLock);
    if case.config.workers.driver == DriverChoice::Epoll || !counted {
        return Vec::new();
    }
    let found = limit.map_or("no limit".into(), |bytes| format!("{} KiB", bytes >> 10));
    let why = "before Linux 5.12 the rings of all workers count against it: without room they get fewer \
        entries, then epoll";
    let wanted = format!("{} KiB for {} workers", needed >> 10, case.config.workers.count);
    let finding = Finding::new("locked_memory", found, wanted, why);
    let fix = || "LimitMEMLOCK=infinity in tuning/ringway.service, `ulimit -l` elsewhere".into();
    vec![finding.unless(limit.is_none_or(|limit| limit >= needed), Level::Warning, fix)]
}
