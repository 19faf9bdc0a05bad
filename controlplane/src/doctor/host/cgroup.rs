//! What control groups, of either version, let this process have.

use super::text_of;
use std::path::Path;

/// The least over a group and those above it; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    pub cpus: Option<f64>,
    pub memory_bytes: Option<u64>,
}

/// Where each hierarchy is mounted, by the controller's name in /proc/self/cgroup; version 2 has none.
const MOUNTS: &[(&str, &str)] = &[
    ("", "sys/fs/cgroup"),
    ("", "sys/fs/cgroup/unified"),
    ("cpu", "sys/fs/cgroup/cpu"),
    ("memory", "sys/fs/cgroup/memory"),
];
/// Version 1 says "no limit" by a number of about this size.
const NO_LIMIT: u64 = 1 << 60;

/// Reads the limits of the groups that /proc/self/cgroup names.
#[must_use]
pub fn limits(root: &Path, groups: &str) -> Limits {
    let mut limits = Limits::default();
    for (controllers, group) in groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')) {
        let mounts = MOUNTS.iter().filter(|(controller, _)| {
            controllers == *controller || controllers.split(',').any(|one| one == *controller)
        });
        for (_, mount) in mounts {
            // In a container without a name space of its own the path is the host's: what is not there says nothing.
            for above in Path::new(group.trim_start_matches('/')).ancestors() {
                let folder = root.join(mount).join(above);
                limits.cpus = [limits.cpus, cpus(&folder)].into_iter().flatten().reduce(f64::min);
                limits.memory_bytes = [limits.memory_bytes, memory(&folder)].into_iter().flatten().min();
            }
        }
    }
    limits
}

fn cpus(folder: &Path) -> Option<f64> {
    let number = |name: &str| text_of(&folder.join(name))?.parse::<f64>().ok();
    let (quota, period) = match text_of(&folder.join("cpu.max")) {
        Some(text) => {
            let (quota, period) = text.split_once(' ')?;
            (quota.parse().ok()?, period.parse().ok()?)
        }
        None => (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?),
    };
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn memory(folder: &Path) -> Option<u64> {
    let text =
        text_of(&folder.join("memory.max")).or_else(|| text_of(&folder.join("memory.limit_in_bytes")))?;
    text.parse().ok().filter(|bytes| *bytes < NO_LIMIT)
}
