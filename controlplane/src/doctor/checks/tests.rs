//! Invented hosts and what is said of them.

use super::*;
use crate::doctor::host::{Address, Capability, Held, Writable};
use ringway_dataplane::{Attempt, Refusal, wanted_entries};
use ringway_shared::config::{HostFacts, Sources, load};
use ringway_shared::metrics::Driver;
use std::io::ErrorKind;
use std::path::PathBuf;

const TUNING: &str = include_str!("../../../../tuning/README.md");

fn config(sets: &[&str]) -> Config {
    let sources = Sources {
        file: None,
        env: Vec::new(),
        sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        overrides: Vec::new(),
        held: Vec::new(),
        host: HostFacts { cpus_allowed: vec![0, 1] },
        read_file: &|_| Err(ErrorKind::NotFound.into()),
    };
    load(&sources).unwrap_or_else(|faults| panic!("{faults}")).config
}

fn ring(driver: Driver, entries: u32, refusal: Option<(bool, &str)>) -> Attempt {
    let refusal = refusal.map(|(forbidden, text)| Refusal { forbidden, text: text.into() });
    Attempt { driver, entries, refusal }
}

/// What Linux has where nobody has touched it.
const UNTOUCHED: &[(&str, &str)] = &[
    ("fs.nr_open", "1048576"),
    ("fs.pipe-max-size", "1048576"),
    ("fs.pipe-user-pages-soft", "16384"),
    ("kernel.io_uring_disabled", "0"),
    ("kernel.io_uring_group", "-1"),
    ("net.core.rmem_max", "212992"),
    ("net.core.somaxconn", "4096"),
    ("net.core.wmem_max", "212992"),
    ("net.ipv4.ip_local_port_range", "32768 60999"),
    ("net.ipv4.ip_local_reserved_ports", ""),
    ("net.ipv4.tcp_fastopen", "1"),
    ("net.ipv4.tcp_syncookies", "1"),
    ("net.ipv4.tcp_tw_reuse", "2"),
];

/// A good machine that nobody has tuned.
fn untouched() -> Host {
    Host {
        release: "6.1.0-18-amd64".into(),
        sysctls: UNTOUCHED.iter().map(|(key, value)| (*key, (*value).to_owned())).collect(),
        rings: vec![ring(Driver::IoUringDeferred, wanted_entries(), None)],
        descriptors: Some(1 << 20),
        locked_memory: Some(64 << 10),
        cpus: super::super::host::Cpus { allowed: vec![0, 1], ..Default::default() },
        memory_bytes: Some(8 << 30),
        clocksource: Some("tsc".into()),
        huge_pages: Some("madvise".into()),
        time_zone: Some("/etc/localtime".into()),
        ..Host::default()
    }
}

/// The same after tuning/apply.sh, under tuning/ringway.service.
fn tuned() -> Host {
    let mut host = untouched();
    for (key, value) in &mut host.sysctls {
        if let Some(shipped) = shipped(key) {
            *value = shipped.to_owned();
        }
    }
    host.huge_pages = Some("off".into());
    host
}

fn examine(host: &Host, sets: &[&str]) -> Vec<Finding> {
    let config = config(sets);
    all(&Case { host, config: &config, needs: Needs::of(&config) })
}

/// The worst that a check says.
fn told(host: &Host, sets: &[&str], check: &str) -> Finding {
    let findings = examine(host, sets).into_iter().filter(|finding| finding.check == check);
    findings.max_by_key(|finding| finding.level).unwrap_or_else(|| panic!("{check} says nothing"))
}

#[test]
fn a_tuned_host_is_well_and_each_check_has_a_name_of_its_own() {
    let findings = examine(&tuned(), &[]);
    let amiss: Vec<_> = findings.iter().filter(|finding| finding.level != Level::Ok).collect();
    assert!(amiss.is_empty(), "{amiss:#?}");
    let mut names: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    names.dedup();
    let all: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(all.len(), names.len());
    assert!(findings.iter().all(|finding| finding.fix.is_none() && finding.sysctl.is_none()));
}

/// In what a host differs from a tuned one.
enum But {
    Nothing,
    Sysctl(&'static str, &'static str),
    So(fn(&mut Host)),
}
use But::{Nothing, So, Sysctl};
use Level::{Failure, Note, Ok, Warning};

/// A check, the configuration, the host; how bad it is, and words of the remedy.
type Row = (&'static str, &'static [&'static str], But, Level, &'static str);

const URING: &[&str] = &["workers.driver=io_uring"];
const EPOLL: &[&str] = &["workers.driver=epoll"];

const RINGS: &[Row] = &[
    ("kernel", &[], So(|host| host.release = "5.15.0".into()), Note, "newer kernel"),
    ("kernel", &[], So(|host| host.release = "5.4.0-1".into()), Warning, "newer kernel"),
    ("kernel", URING, So(|host| host.release = "4.19".into()), Failure, "newer kernel"),
    ("kernel", EPOLL, So(|host| host.release = "4.19".into()), Ok, ""),
    ("kernel", &[], So(|host| host.release = "7.0".into()), Ok, ""),
    ("io_uring", &[], So(|host| refuse(host, false)), Warning, "boot another kernel"),
    ("io_uring", URING, So(|host| refuse(host, false)), Failure, "boot another kernel"),
    ("io_uring", EPOLL, So(|host| refuse(host, false)), Ok, ""),
    ("io_uring", &[], So(|host| disable(host, "2", "-1")), Warning, "kernel.io_uring_disabled=0"),
    ("io_uring", &[], So(|host| disable(host, "1", "7")), Warning, "kernel.io_uring_group a group"),
    ("io_uring", &[], So(|host| disable(host, "1", "1000")), Warning, "SELinux"),
    ("io_uring", &[], So(filter), Warning, "seccomp=tuning/seccomp.json"),
    ("io_uring", &[], So(|host| host.rings[0].entries = 256), Warning, "LimitMEMLOCK"),
    ("io_uring", &[], So(|host| host.rings[0].driver = Driver::IoUringPlain), Note, "Linux 6.1"),
    ("locked_memory", &[], So(|host| host.release = "5.11.0".into()), Warning, "LimitMEMLOCK"),
    ("locked_memory", &[], So(lock_all), Ok, ""),
];

fn refuse(host: &mut Host, forbidden: bool) {
    let refusal = Some((forbidden, "no ring: boot another kernel"));
    host.rings = vec![ring(Driver::IoUringDeferred, wanted_entries(), refusal)];
}

fn disable(host: &mut Host, disabled: &str, group: &str) {
    refuse(host, true);
    host.sysctls.insert("kernel.io_uring_disabled", disabled.into());
    host.sysctls.insert("kernel.io_uring_group", group.into());
    host.rights.groups = vec![1000];
}

fn filter(host: &mut Host) {
    refuse(host, true);
    host.rights.filtered = true;
    host.container = Some("Docker");
}

fn lock_all(host: &mut Host) {
    host.release = "5.11.0".into();
    host.locked_memory = None;
}

const PIPE_PAGES: &str = "fs.pipe-user-pages-soft";
const TRACKED: But = Sysctl("net.netfilter.nf_conntrack_max", "65536");

const LIMITS: &[Row] = &[
    ("descriptors", &[], So(few_descriptors), Warning, "LimitNOFILE"),
    ("descriptors", &["socks5.limits.connections=1000"], So(few_descriptors), Ok, ""),
    ("descriptors", &["websocket.max_connections=5000"], So(few_descriptors), Warning, "LimitNOFILE"),
    ("descriptors", &["socks5.limits.connections=600000"], Nothing, Warning, "fs.nr_open=1280"),
    ("descriptors", &[], So(|host| host.descriptors = None), Ok, ""),
    ("relay_pipes", &[], Sysctl(PIPE_PAGES, "16384"), Note, "apply.sh, or"),
    ("relay_pipes", &[], So(privileged), Ok, ""),
    ("relay_pipes", &[], Sysctl("fs.pipe-max-size", "65536"), Note, "fs.pipe-max-size=1048576"),
    ("memory", &[], So(|host| host.memory_bytes = Some(256 << 20)), Note, "workers.count"),
    ("conntrack", &[], TRACKED, Note, "apply.sh --set"),
    ("conntrack", &["socks5.limits.connections=100000"], TRACKED, Warning, "nf_conntrack_max=200000"),
    ("conntrack", &["socks5.limits.connections=10000"], TRACKED, Ok, ""),
];

fn few_descriptors(host: &mut Host) {
    host.descriptors = Some(4096);
}

fn privileged(host: &mut Host) {
    host.sysctls.insert(PIPE_PAGES, "16384".into());
    host.rights.capabilities = 1 << Capability::SysResource as u64;
}

const PORTS: &str = "net.ipv4.ip_local_port_range";
const REUSE: &str = "net.ipv4.tcp_tw_reuse";
const CHAINED: &[&str] = &[
    "socks5.limits.connections=40000",
    "socks5.upstream.proxies=[{name: a, address: '192.0.2.1:1080', protocol: socks5}]",
];

const NETWORK: &[Row] = &[
    ("backlog", &[], Sysctl("net.core.somaxconn", "128"), Warning, "apply.sh, or"),
    ("backlog", &["websocket.backlog=65535"], Nothing, Warning, "--set 'net.core.somaxconn=65535'"),
    (
        "syn_cookies",
        &[],
        Sysctl("net.ipv4.tcp_syncookies", "0"),
        Warning,
        "--set 'net.ipv4.tcp_syncookies=1'",
    ),
    ("syn_cookies", &[], Sysctl("net.ipv4.tcp_syncookies", "2"), Ok, ""),
    ("port_range", &[], Sysctl(PORTS, "32768 60999"), Note, "10240 65535"),
    ("port_range", &["socks5.limits.connections=20000"], Sysctl(PORTS, "32768 60999"), Ok, ""),
    ("port_range", CHAINED, Sysctl(PORTS, "5000 33231"), Warning, "5000 65535"),
    ("port_reuse", &[], Sysctl(REUSE, "2"), Note, "apply.sh, or"),
    ("port_reuse", CHAINED, Sysctl(REUSE, "0"), Warning, "apply.sh, or"),
    ("udp_receive_buffer", &[], Sysctl("net.core.rmem_max", "212992"), Warning, "apply.sh, or"),
    ("udp_send_buffer", &[], Sysctl("net.core.wmem_max", "212992"), Warning, "apply.sh, or"),
    (
        "fast_open",
        &["socks5.egress.fast_open=true"],
        Sysctl("net.ipv4.tcp_fastopen", "2"),
        Warning,
        "fastopen=3",
    ),
    ("egress", &[], So(|host| host.egress_fault = Some("no such address".into())), Failure, "no such"),
];

const REST: &[Row] = &[
    ("workers", &["workers.count=8"], Nothing, Warning, "workers.count: 2"),
    ("cpu_quota", &[], So(|host| host.cpus.quota = Some(1.5)), Warning, "workers.count: 1"),
    ("cpu_quota", &[], So(|host| host.cpus.quota = Some(2.0)), Ok, ""),
    ("pinning", &["workers.cpus=[0, 1]"], So(one_core), Note, "threads of one core"),
    ("pinning", &["workers.cpus=[0]"], So(one_core), Ok, ""),
    ("pinning", &[], So(|host| host.cpus.isolated = vec![1]), Note, "workers.cpus: [1]"),
    ("clock", &[], So(|host| host.clocksource = Some("hpet".into())), Warning, "available_clocksource"),
    ("huge_pages", &[], So(|host| host.huge_pages = Some("always".into())), Note, "MIMALLOC_ALLOW_THP=0"),
    ("huge_pages", &[], So(|host| host.huge_pages = Some("madvise".into())), Note, "MIMALLOC_ALLOW_THP=0"),
    ("huge_pages", &[], So(|host| host.huge_pages = Some("never".into())), Ok, ""),
    ("time_zone", NIGHTS, So(|host| host.time_zone = None), Warning, "tzdata"),
    ("time_zone", NIGHTS, Nothing, Ok, ""),
    ("files", &[], So(no_folder), Failure, "set log.access"),
];

const NIGHTS: &[&str] = &["socks5.acl=[{action: deny, hours: '22:00-06:00'}]"];

fn one_core(host: &mut Host) {
    host.cpus.siblings = [(0, vec![0, 1]), (1, vec![0, 1])].into();
}

fn no_folder(host: &mut Host) {
    let fault = Some("/var/log: Permission denied".into());
    host.files = vec![Writable { key: "log.access", path: PathBuf::from("/var/log/a"), fault }];
}

#[test]
fn each_fault_is_told_with_its_remedy() {
    for (check, sets, but, level, fix) in [RINGS, LIMITS, NETWORK, REST].into_iter().flatten() {
        let mut host = tuned();
        match but {
            Nothing => {}
            Sysctl(key, value) => drop(host.sysctls.insert(key, (*value).into())),
            So(change) => change(&mut host),
        }
        let finding = told(&host, sets, check);
        assert_eq!(finding.level, *level, "{sets:?}: {finding:#?}");
        assert!(finding.fix.as_deref().unwrap_or("").contains(fix), "{fix:?}: {finding:#?}");
        assert_eq!(finding.fix.is_none(), *level == Ok, "{finding:#?}");
    }
}

#[test]
fn addresses_are_free_or_ours_or_somebody_elses() {
    let by = |name: Option<&str>| Held::By { name: name.map(Into::into), pid: 7 };
    let refused = |forbidden| Held::Refused { error: "no".into(), forbidden };
    for (held, level, fix) in [
        (Held::Free, Level::Ok, ""),
        (by(Some("ringway")), Level::Ok, ""),
        (by(Some("nginx")), Level::Failure, "stop process 7"),
        (by(None), Level::Failure, "ss -ltnp"),
        (refused(true), Level::Failure, "CAP_NET_BIND_SERVICE"),
        (refused(false), Level::Failure, "an interface"),
    ] {
        let address = ([127, 0, 0, 1], 1080).into();
        let host = Host { addresses: vec![Address { key: "socks5.listen", address, held }], ..tuned() };
        let finding = told(&host, &[], "listen");
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.fix.unwrap_or_default().contains(fix));
    }
}

#[test]
fn a_port_that_the_kernel_gives_away_is_to_be_kept() {
    let at = |port| Address { key: "socks5.listen", address: ([0, 0, 0, 0], port).into(), held: Held::Free };
    let mut host = Host { addresses: vec![at(1080), at(40_000), at(50_000), at(40_000)], ..tuned() };
    assert_eq!(
        told(&host, &[], "listen_ports").sysctl,
        Some(("net.ipv4.ip_local_reserved_ports", "40000,50000".into()))
    );
    host.sysctls.insert("net.ipv4.ip_local_reserved_ports", "39000-41000".into());
    assert_eq!(told(&host, &[], "listen_ports").sysctl.unwrap().1, "39000-41000,50000");
    host.sysctls.insert("net.ipv4.ip_local_reserved_ports", "39000-41000,50000".into());
    assert_eq!(told(&host, &[], "listen_ports").level, Level::Ok);
}

/// Values that hang on the configuration or the host; the shipped file cannot have them.
const COMPUTED: &[&str] = &[
    "fs.nr_open",
    "fs.pipe-max-size",
    "kernel.io_uring_disabled",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_syncookies",
    "net.netfilter.nf_conntrack_max",
];

/// doctor, the sysctl file and the page that explains it speak of the same knobs.
#[test]
fn what_is_asked_for_is_what_is_shipped_and_explained() {
    let mut asked = std::collections::BTreeMap::new();
    let mut host = untouched();
    for (key, value) in [
        ("net.core.somaxconn", "128"),
        ("net.ipv4.tcp_fastopen", "0"),
        ("net.ipv4.tcp_syncookies", "0"),
        ("net.netfilter.nf_conntrack_max", "1"),
        ("kernel.io_uring_disabled", "2"),
    ] {
        host.sysctls.insert(key, value.into());
    }
    host.rings = vec![ring(Driver::IoUringDeferred, 4096, Some((true, "no")))];
    let port = ([127, 0, 0, 1], 40_000).into();
    host.addresses = vec![Address { key: "control.listen", address: port, held: Held::Free }];
    for finding in examine(&host, &["socks5.egress.fast_open=true"]) {
        asked.extend(finding.sysctl);
    }
    host = tuned();
    host.sysctls.insert("fs.pipe-max-size", "4096".into());
    asked.extend(examine(&host, &[]).into_iter().filter_map(|finding| finding.sysctl));
    for (key, value) in &asked {
        let agreed = shipped(key).map_or(COMPUTED.contains(key), |shipped| shipped == value);
        assert!(agreed, "doctor asks for {key}={value}, the shipped file says {:?}", shipped(key));
        assert!(TUNING.contains(&format!("`{key}`")), "tuning/README.md does not explain {key}");
    }
    let settings = SHIPPED.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim());
    for key in settings.filter(|key| !key.starts_with('#')) {
        assert!(asked.contains_key(key), "nobody asks for {key}");
    }
}
