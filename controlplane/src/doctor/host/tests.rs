use super::*;
use std::fs;

/// A tree of files below a folder of its own.
fn tree(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = std::env::temp_dir().join(format!("ringway-doctor-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&root);
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

#[test]
fn a_host_is_read_as_the_kernel_writes_it() {
    let root = tree(
        "whole",
        &[
            ("proc/sys/kernel/osrelease", "6.1.0-18-amd64\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            ("proc/self/status", "Gid:\t1\t2\t3\t4\nGroups:\t7 8 \nCapEff:\t0000000001204000\nSeccomp:\t2\n"),
            ("proc/self/cgroup", "0::/system.slice/ringway.service\n"),
            ("sys/fs/cgroup/system.slice/ringway.service/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/system.slice/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "8388608\n"),
            ("sys/fs/cgroup/system.slice/ringway.service/memory.max", "max\n"),
            ("sys/devices/system/cpu/online", "0-1,3\n"),
            ("sys/devices/system/cpu/isolated", "3\n"),
            ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,3\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            (".dockerenv", ""),
        ],
    );
    let host = Host::read_files(&root);
    assert_eq!(host.release, "6.1.0-18-amd64");
    assert_eq!(host.sysctls["net.ipv4.ip_local_port_range"], "32768 60999");
    assert_eq!(host.sysctls.len(), 2);
    assert_eq!(host.rights.groups, [2, 7, 8]);
    assert!(host.rights.filtered && host.rights.may(Capability::SysAdmin));
    assert!(host.rights.may(Capability::IpcLock) && host.rights.may(Capability::SysResource));
    assert_eq!((host.cpus.quota, host.memory_bytes), (Some(1.5), Some(8 << 20)));
    assert_eq!(host.cpus.isolated, [3]);
    assert_eq!(host.cpus.siblings[&0], [0, 3]);
    assert_eq!(host.cpus.siblings.keys().copied().collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!((host.clocksource.as_deref(), host.huge_pages.as_deref()), (Some("hpet"), Some("madvise")));
    assert!(host.container.is_some());
    assert_eq!(huge_pages(&root, "THP_enabled:\t1\n").as_deref(), Some("madvise"));
    assert_eq!(huge_pages(&root, "THP_enabled:\t0\n").as_deref(), Some("off"));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn groups_of_the_first_version_are_read_too() {
    let root = tree(
        "first",
        &[
            ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/b/memory.limit_in_bytes", "1048576\n"),
        ],
    );
    let limits = cgroup::limits(&root, "4:memory:/b\n2:cpu,cpuacct:/a\n0::/\n");
    assert_eq!(limits, cgroup::Limits { cpus: Some(0.5), memory_bytes: Some(1 << 20) });
    // A path of the host's that this container does not see.
    let limits = cgroup::limits(&root, "4:memory:/docker/0123\n");
    assert_eq!(limits, cgroup::Limits::default());
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_host_that_tells_nothing_is_no_fault() {
    let root = tree("empty", &[("nothing", "")]);
    let host = Host::read_files(&root);
    assert_eq!((host.release.as_str(), host.sysctls.len(), host.memory_bytes), ("", 0, None));
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn lists_of_cpus_are_ranges_and_numbers() {
    assert_eq!(cpu_list("0-2,5,7-8"), [0, 1, 2, 5, 7, 8]);
    assert_eq!(cpu_list(""), [0; 0]);
    assert_eq!(cpu_list("x,1-"), [0; 0]);
}

#[test]
fn a_time_zone_needs_its_file_unless_it_is_a_rule() {
    let root = tree("zones", &[("usr/share/zoneinfo/Europe/Berlin", "TZif"), ("etc/localtime", "TZif")]);
    for (chosen, found) in [
        (None, Some("/etc/localtime")),
        (Some(""), Some("/etc/localtime")),
        (Some("Europe/Berlin"), Some("Europe/Berlin")),
        (Some(":Europe/Berlin"), Some("Europe/Berlin")),
        (Some("Europe/Nowhere"), None),
        (Some("CET-1CEST,M3.5.0,M10.5.0/3"), Some("CET-1CEST,M3.5.0,M10.5.0/3")),
        (Some("/usr/share/zoneinfo/Europe/Berlin"), Some("/usr/share/zoneinfo/Europe/Berlin")),
    ] {
        assert_eq!(time_zone(&root, chosen.map(Into::into)).as_deref(), found, "{chosen:?}");
    }
    fs::remove_file(root.join("etc/localtime")).unwrap();
    assert_eq!(time_zone(&root, None), None);
    fs::remove_dir_all(root).unwrap();
}
