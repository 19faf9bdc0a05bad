//! The exporter from outside: facts in; exactly these texts out.

use super::*;
use crate::observe::{ListenerRow, Observer, Rates, Subject, UserRow};
use crate::system::ThreadTimes;
use ringway_dataplane::WorkerState;
use ringway_shared::connection::Connection;
use ringway_shared::listener::{Door, Entrance};
use ringway_shared::metrics::{Driver, Kind};
use std::io::Write;
use std::process::{self, Stdio};
use std::time::{Duration, Instant};

const BUILD: BuildFacts = BuildFacts { version: "0.1.0", commit: "abc1234" };
const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export");

/// What a scrape is told, owned.
struct Scene {
    snapshot: Snapshot,
    cells: Vec<Arc<Cells>>,
    users: Vec<UserRow>,
    upstreams: Vec<UpstreamState>,
    http: HttpFacts,
}

impl Scene {
    /// Idle workers and two users, one of a name that needs escaping.
    fn idle(workers: usize) -> Scene {
        let cells: Vec<_> = (0..workers).map(|_| Arc::new(Cells::default())).collect();
        let subject = Subject { cells: cells.clone(), epoch: Instant::now() };
        let mut snapshot = Observer::new(subject).look(|_| WorkerState::Running);
        // What the machine adds is taken out again: the texts below are exact.
        snapshot.host = crate::system::HostFacts::default();
        (snapshot.uptime, snapshot.unix) = (Duration::from_secs(10), Duration::from_secs(1_795_000_000));
        for row in &mut snapshot.workers {
            row.heartbeat_age = Duration::ZERO;
        }
        let listener = |door: Door, address: &str| {
            ListenerRow::of(&Entrance::for_workers(workers, door, address.parse().unwrap()))
        };
        snapshot.listeners =
            vec![listener(Door::Socks5, "127.0.0.1:1080"), listener(Door::WebSocketTls, "[::]:8766")];
        let user = |name: &str| UserRow {
            name: name.into(),
            active: 0,
            failed: 0,
            sent_bytes: 0,
            received_bytes: 0,
            quota_left: None,
        };
        let users = vec![user("alice"), user("o\"b\\r\nien")];
        Scene { snapshot, cells, users, upstreams: Vec::new(), http: HttpFacts::default() }
    }

    /// The same, with some traffic.
    fn busy() -> Scene {
        let mut scene = Scene::idle(2);
        let [first, second] = &scene.cells[..] else { unreachable!("two workers") };
        first.opened.add(3);
        first.closed.of(Reason::Finished).add(1);
        first.handshakes_succeeded.add(2);
        first.connect.record(300);
        first.connect_exemplars.offer(300, 1_000, Connection::socks5(2));
        second.connect_exemplars.offer(20_000_000, 3_000, Connection::socks5(1));
        second.connect_exemplars.offer(301, 2_000, Connection::socks5(7));
        first.session.record(2_000_000);
        second.handshakes_failed.of(Reason::AuthFailed).add(1);
        second.connect.record(20_000_000);
        second.sent_bytes.add(u64::MAX / 2);
        scene.snapshot.rates = Rates { sent_bytes: 1234.5, connections: 1.0, ..Rates::default() };
        scene.snapshot.workers[0].times =
            ThreadTimes { busy: Duration::from_millis(1500), waited: Duration::from_millis(250), slices: 11 };
        scene.snapshot.workers[0].busy_share = 0.75;
        scene.snapshot.workers[1].busy_share = 0.25;
        scene.snapshot.workers[0].connections = 2;
        first.clients_now.add(1);
        first.websocket.sockets_now.add(1);
        scene.snapshot.workers[1].driver = Driver::IoUringDeferred;
        let exit = UpstreamState { name: "exit1".into(), up: true, usage: Arc::default() };
        exit.usage.count(UpstreamResult::TargetFailed);
        scene.upstreams = vec![exit];
        scene.users[0].active = 2;
        scene.users[0].failed = 1;
        scene.snapshot.listeners[1].opened = 21;
        scene.snapshot.listeners[1].sent_bytes = 2;
        scene.users[1].sent_bytes = 77;
        scene.users[1].quota_left = Some(23);
        first.udp_sent.add(6);
        first.requests.of(Protocol::Socks4, Command::Bind).add(8);
        second.udp_dropped.of(Drop::Fragment).add(9);
        second.udp_opened.add(2);
        second.udp_closed.add(1);
        second.logins_failed.add(1);
        scene.snapshot.host.cpu_percent = 12.5;
        scene.http.begin();
        scene.http.begin();
        scene.http.end("GET", "/metrics", 200, Duration::from_micros(700));
        scene
    }

    fn facts(&self) -> Facts<'_> {
        let Scene { snapshot, cells, users, upstreams, http } = self;
        Facts {
            snapshot,
            cells,
            users: users.clone(),
            upstreams: upstreams.clone(),
            clients: ClientFacts { banned: 3, untracked: 1, online_users: 2 },
            http,
            log_lines_dropped: 4,
            quota_save_failures: 5,
            history: Some(HistoryFacts {
                write_failures: 2,
                last_write_successful: true,
                minutes_lost: 1,
                file_bytes: 4_096,
            }),
            key_fetches: [6, 7],
            certificates: CertificateFacts {
                expiries: [None, Some(Duration::from_secs(1_893_456_000)), None],
                failures: 6,
            },
            alerts: AlertFacts {
                counts: Counts { firing: [0, 2, 1], pending: [3, 0, 0] },
                silences: 4,
                deliveries: [5, 6, 7, 8],
            },
            config_generation: 1,
            reloads: ReloadFacts {
                last_successful: false,
                last_success: UNIX_EPOCH + Duration::from_millis(1_795_000_000_500),
                succeeded: 8,
                failed: 9,
                unchanged: 10,
            },
        }
    }

    fn render(&self, format: Format) -> String {
        Exporter::new(BUILD).render(&self.facts(), format)
    }
}

/// The lines of samples, without comments.
fn samples(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.starts_with('#'))
}

/// The sample's family, if it is `family`'s: `name`, `name_total` or a part of a histogram.
fn belongs(sample: &str, family: &Family) -> bool {
    let name = sample.split(['{', ' ']).next().unwrap_or_default();
    let suffix = name.strip_prefix(family.name);
    suffix.is_some_and(|suffix| match family.kind {
        Kind::Counter => suffix == "_total",
        Kind::Gauge => suffix.is_empty(),
        Kind::Histogram => ["_bucket", "_sum", "_count"].contains(&suffix),
    })
}

#[test]
fn a_busy_moment_gives_exactly_these_texts() {
    let scene = Scene::busy();
    for (format, file) in [(Format::Prometheus, "prometheus.txt"), (Format::OpenMetrics, "openmetrics.txt")] {
        let text = scene.render(format);
        let lines =
            text.lines().filter(|line| !line.split([' ', '{']).any(|word| word.starts_with("process_")));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let path = format!("{DIRECTORY}/{file}");
        if std::env::var_os("RINGWAY_BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let held = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, held, "{path} is stale: run with RINGWAY_BLESS=1");
    }
}

#[test]
fn every_family_has_its_head_from_the_first_scrape_on_and_in_both_formats() {
    let scene = Scene::idle(1);
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = scene.render(format);
        for family in FAMILIES {
            assert!(!family.help.contains(['\\', '"', '\n']), "{}: help is written as it is", family.name);
            let total = family.kind == Kind::Counter && format == Format::Prometheus;
            let name = format!("{}{}", family.name, if total { "_total" } else { "" });
            for keyword in ["HELP", "TYPE"] {
                let head = format!("# {keyword} {name} ");
                assert_eq!(text.lines().filter(|line| line.starts_with(&head)).count(), 1, "{head}");
            }
        }
        assert_eq!(text.ends_with("\n# EOF\n"), format == Format::OpenMetrics);
    }
}

/// A control family that [`Exporter::write_own`] does not know would have none.
#[test]
fn every_family_has_samples() {
    let text = Scene::busy().render(Format::Prometheus);
    for family in FAMILIES {
        assert!(samples(&text).any(|sample| belongs(sample, family)), "{} has no sample", family.name);
    }
    let strays: Vec<_> = samples(&text)
        .filter(|sample| !sample.starts_with("process_"))
        .filter(|sample| !FAMILIES.iter().any(|family| belongs(sample, family)))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
}

#[test]
fn zeros_are_told_for_each_reason_and_each_worker() {
    let text = Scene::idle(3).render(Format::Prometheus);
    for reason in Reason::ALL {
        let label = reason.label();
        assert!(
            text.contains(&format!("\nsocks5_connections_closed_total{{reason=\"{label}\"}} 0\n")),
            "{label}"
        );
        assert!(text.contains(&format!("\nsocks5_handshakes_total{{result=\"{label}\"}} 0\n")), "{label}");
    }
    for family in FAMILIES.iter().filter(|family| family.labels.first() == Some(&"worker")) {
        let of_family = samples(&text).filter(|sample| belongs(sample, family));
        assert_eq!(of_family.count(), 3, "{}", family.name);
    }
}

#[test]
fn active_is_never_negative() {
    let scene = Scene::idle(2);
    scene.cells[0].closed.of(Reason::Finished).add(5);
    scene.cells[1].opened.add(1);
    let text = scene.render(Format::Prometheus);
    assert!(text.contains("\nsocks5_proxy_connections_active 1\n"), "{text}");
    assert!(text.contains("\nworker_connections{worker=\"0\"} 0\n"), "{text}");
}

#[test]
fn no_series_is_told_twice() {
    let text = Scene::busy().render(Format::OpenMetrics);
    let mut series: Vec<_> = samples(&text).filter_map(|sample| Some(sample.rsplit_once(' ')?.0)).collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all);
}

#[test]
fn promtool_has_nothing_to_say() {
    let text = Scene::busy().render(Format::Prometheus);
    let spawned = process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else {
        eprintln!("not checked: promtool is not on PATH");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
}

/// Tells how long it takes, the bar being 2 ms: `cargo test --release -p ringway-controlplane a_thousand -- --nocapture`. That is no
/// matter of passing: machines that are busy take longer.
#[test]
fn a_thousand_series_are_rendered_with_every_bucket_full() {
    let mut scene = Scene::idle(4);
    let user = |number| UserRow {
        name: format!("user{number}").into(),
        active: 1,
        failed: 4,
        sent_bytes: 2,
        received_bytes: 3,
        quota_left: None,
    };
    scene.users = (0..300).map(user).collect();
    // As after days: every bucket has its share, and its exemplar.
    for (worker, cells) in scene.cells.iter().enumerate() {
        for value in (0..60_000).map(|step| step * step) {
            for of in [&cells.connect, &cells.dns, &cells.session, &cells.websocket.push_latency] {
                of.record(value);
            }
            cells.connect_exemplars.offer(value, worker as u64, Connection::socks5(value));
            cells.websocket.push_exemplars.offer(value, worker as u64, Connection::websocket(value));
        }
    }
    let mut exporter = Exporter::new(BUILD);
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let mut timed = || {
            let start = Instant::now();
            let text = exporter.render(&scene.facts(), format);
            (start.elapsed(), samples(&text).count())
        };
        let mut runs: Vec<_> = (0..9).map(|_| timed()).collect();
        runs.sort_unstable();
        let (median, series) = runs[4];
        println!("{series} series in {median:?}, as {format:?}");
        assert!(series > 1000, "{series} series");
    }
}
