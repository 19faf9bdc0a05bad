//! CPUs and clocks.

use super::Case;
use crate::doctor::finding::{Finding, Level};

/// Clock sources that are read without a system call.
const QUICK_CLOCKS: &[&str] =
    &["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource"];

pub fn workers(case: &Case) -> Vec<Finding> {
    let (workers, cpus) = (case.config.workers.count, case.host.cpus.allowed.len());
    if cpus == 0 {
        return Vec::new();
    }
    let why = "a worker has a CPU's worth of work; two on one CPU wait for each other";
    let finding = Finding::new("workers", format!("{workers} on {cpus} CPUs"), "no more than CPUs", why);
    let fix = || format!("workers.count: {cpus} or auto, or let the process use more CPUs (taskset, cpuset)");
    vec![finding.unless(workers <= cpus, Level::Warning, fix)]
}

pub fn quota(case: &Case) -> Vec<Finding> {
    let (workers, Some(quota)) = (case.config.workers.count, case.host.cpus.quota) else { return Vec::new() };
    let why = "a group that has used its share is stopped until the next period: all its connections wait \
        up to 100 ms";
    let finding = Finding::new(
        "cpu_quota",
        format!("{quota:.1} CPUs"),
        format!("{workers} or more: one for each worker"),
        why,
    );
    let fix = || {
        let fitting = (quota as usize).max(1);
        format!("raise the CPU limit (cpu.max, CPUQuota=, resources.limits.cpu), or workers.count: {fitting}")
    };
    vec![finding.unless(quota >= workers as f64, Level::Warning, fix)]
}

pub fn pinning(case: &Case) -> Vec<Finding> {
    let (pinned, cpus) = (&case.config.workers.cpus, &case.host.cpus);
    let why = "a worker pinned to a CPU of its own finds its caches warm; on CPUs taken from the scheduler \
        nothing else runs";
    if pinned.is_empty() {
        let finding =
            Finding::new("pinning", "not pinned", "workers.cpus may name a CPU for each worker", why);
        let left: Vec<_> = cpus.isolated.iter().map(usize::to_string).collect();
        let fix = || {
            format!(
                "CPUs {} are isolated and wait for somebody: workers.cpus: [{}]",
                left.join(", "),
                left.join(", ")
            )
        };
        return vec![finding.unless(left.is_empty(), Level::Note, fix)];
    }
    // That this process may use them is a rule of the configuration.
    let finding = Finding::new("pinning", format!("{pinned:?}"), "CPUs of a core each", why);
    let shared = pinned.iter().enumerate().find_map(|(index, cpu)| {
        let siblings = cpus.siblings.get(cpu)?;
        pinned[index + 1..].iter().find(|other| siblings.contains(other)).map(|other| (cpu, other))
    });
    vec![match shared {
        None => finding,
        Some((one, other)) => {
            let fix =
                format!("CPUs {one} and {other} are threads of one core: pin one worker there, or none");
            finding.amiss(Level::Note, fix)
        }
    }]
}

pub fn clock(case: &Case) -> Vec<Finding> {
    let Some(found) = &case.host.clocksource else { return Vec::new() };
    let why = "workers look at the clock at every turn; this one is read by a system call";
    let finding = Finding::new("clock", found, "tsc, or another that needs no system call", why);
    let fix = || {
        "see what /sys/devices/system/clocksource/clocksource0/available_clocksource offers, and why the \
            kernel gave tsc up (dmesg)"
            .into()
    };
    vec![finding.unless(QUICK_CLOCKS.contains(&found.as_str()), Level::Warning, fix)]
}

pub fn huge_pages(case: &Case) -> Vec<Finding> {
    let Some(found) = &case.host.huge_pages else { return Vec::new() };
    let why = "where the host says madvise the allocator asks for huge pages, as it gets them where that says always: \
        idle connections hold half as much memory again";
    let finding = Finding::new("huge_pages", found, "off, or never", why);
    let fix = || {
        "MIMALLOC_ALLOW_THP=0 in ringway's environment, as in tuning/ringway.service; or for the whole host: \
            echo never > /sys/kernel/mm/transparent_hugepage/enabled"
            .into()
    };
    vec![finding.unless(matches!(found.as_str(), "off" | "never"), Level::Note, fix)]
}
