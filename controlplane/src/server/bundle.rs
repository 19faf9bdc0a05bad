//! `GET /debug/bundle`: all that helps somebody far away to understand this process, in one archive, without secrets.
//!
//! It holds what pages show (the configuration redacted), what doctor says, the log's last lines, and /proc. Left out on purpose:
//! the command line and the environment, which may hold secrets; the users file; the access log and the table of connections, which say who went where.

use super::answer::Answer;
use super::asked::Asked;
use super::route::{Route, ServedBy, Waiting, ok, text};
use super::routes;
use super::state::State;
use crate::calendar::stamp;
use crate::doctor;
use crate::export::Format;
use crate::guard::{Principal, Scope};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::HeaderMap;
use ringway_shared::config::Config;
use serde_json::json;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes of one file of /proc; a longer one is cut.
const PROC_BYTES_MAX: u64 = 256 << 10;
/// Threads whose files are read.
const THREADS_MAX: usize = 64;

pub const ROUTES: &[Route] = &[Route::get(
    "/debug/bundle",
    Scope::Admin,
    nothing,
    "All that helps to understand this process, in one archive, without secrets.",
    &[ok("A tar archive, compressed with gzip.", text(GZIP))],
)
.served_by(ServedBy::Task(bundle))];

const GZIP: &str = "application/gzip";

/// Pages that are in it: the file's name, the path and the query.
const PAGES: &[(&str, &str, &str)] = &[
    ("livez.json", "/livez", ""),
    ("readyz.json", "/readyz", ""),
    ("health.json", "/health", ""),
    ("stats.json", "/stats", ""),
    ("memory.json", "/admin/memory", ""),
    ("config.json", "/config", ""),
    ("generations.json", "/admin/config/generations", ""),
    ("flight.json", "/debug/flight", "limit=10000"),
    ("histograms.json", "/debug/hist", ""),
];

/// Files of the kernel's that are in it, below `proc/`.
const PROC: &[&str] = &[
    "cpuinfo",
    "interrupts",
    "loadavg",
    "meminfo",
    "net/netstat",
    "net/snmp",
    "net/sockstat",
    "net/sockstat6",
    "net/softnet_stat",
    "pressure/cpu",
    "pressure/io",
    "pressure/memory",
    "self/cgroup",
    "self/io",
    "self/limits",
    "self/sched",
    "self/smaps_rollup",
    "self/stat",
    "self/status",
    "softirqs",
    "stat",
    "uptime",
    "version",
];

const ABOUT: &str = "A support bundle of ringway, from GET /debug/bundle.

The configuration's secrets are redacted. Not in here: the command line and the environment, the users file, keys, the
access log and the table of connections. Still in here: addresses, names of users and targets where metrics, log lines and the
last events of workers (flight.json) have them. Look through it before it leaves the house.

";

/// One file of the archive.
struct File {
    name: String,
    text: Vec<u8>,
}

impl File {
    fn new(name: impl Into<String>, text: impl Into<Vec<u8>>) -> File {
        File { name: name.into(), text: text.into() }
    }
}

/// What the route is declared with before it is told to wait.
fn nothing(_: &State, _: &Asked) -> Answer {
    Answer::error(500, "a bundle is made by a task", "report this")
}

/// `GET /debug/bundle`
fn bundle(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        let Ok(turn) = state.bundling.clone().try_acquire_owned() else {
            let hint = "ask again when it is there";
            return Answer::error(503, "another bundle is being packed", hint).with("retry-after", "1");
        };
        let files = files_of(&state, &asked.by);
        let config = state.running.config();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Small files, rings that are made and dropped, and compressing: some ten milliseconds that others need not wait.
        let packed = tokio::task::spawn_blocking(move || {
            // Whoever asked may go meanwhile; the work is done all the same.
            let _turn = turn;
            pack(files, &config, now)
        });
        let packed = packed.await;
        let fault = match packed {
            Ok(Ok(archive)) => {
                let name = format!("attachment; filename=\"{}.tar.gz\"", folder(now));
                return Answer::of(200, GZIP, archive.into()).with("content-disposition", name);
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Answer::error(500, &format!("the bundle cannot be packed: {fault}"), "ask for its pages one by one")
    })
}

/// What this thread alone can tell.
fn files_of(state: &State, by: &Principal) -> Vec<File> {
    let pages = PAGES.iter().filter_map(|(name, path, query)| {
        let route = routes::all().find(|route| route.method == "GET" && route.path == *path)?;
        let ServedBy::Page(page) = route.served_by else { return None };
        let asked = Asked::new(route, Vec::new(), query, HeaderMap::new(), by.clone()).ok()?;
        Some(File::new(*name, page(state, &asked).body))
    });
    let build = json!({
        "version": state.facts.version,
        "commit": env!("RINGWAY_COMMIT"),
        "process": std::process::id(),
        "uptime_seconds": state.snapshot().uptime.as_secs(),
        "generation": state.running.generation(),
        "workers": state.staff.count,
        "notices": state.facts.notices,
    });
    let own = [
        File::new("version.json", format!("{build:#}\n")),
        File::new("log.txt", state.facts.recent.text()),
        File::new("metrics.txt", state.metrics(Format::Prometheus, None).to_string()),
    ];
    own.into_iter().chain(pages).collect()
}

/// `ringway-bundle-2026-11-21T10-34-47Z`
fn folder(now: Duration) -> String {
    let moment = stamp(now.as_millis() as u64);
    let seconds = moment.split('.').next().unwrap_or_default();
    format!("ringway-bundle-{}Z", seconds.replace(':', "-"))
}

/// Adds what needs no state, and packs it all.
fn pack(mut files: Vec<File>, config: &Config, now: Duration) -> io::Result<Vec<u8>> {
    files.push(File::new("doctor.json", format!("{:#}\n", doctor::report(config))));
    files.extend(proc_files());
    let names: String = files.iter().map(|file| format!("{}\n", file.name)).collect();
    files.insert(
        0,
        File::new("README.txt", format!("{ABOUT}Written {}.\n\n{names}", stamp(now.as_millis() as u64))),
    );
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for File { name, text } in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now.as_secs());
        archive.append_data(&mut header, format!("{}/{name}", folder(now)), text.as_slice())?;
    }
    archive.into_inner()?.finish()
}

/// What can be read of /proc; the rest is left out.
fn proc_files() -> Vec<File> {
    let read = |path: &str| {
        let mut text = Vec::new();
        let file = std::fs::File::open(Path::new("/proc").join(path)).ok()?;
        file.take(PROC_BYTES_MAX).read_to_end(&mut text).ok()?;
        Some(File::new(format!("proc/{path}"), text))
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let tasks = tasks.take(THREADS_MAX).filter_map(|task| task.file_name().into_string().ok());
    let of_threads =
        tasks.flat_map(|task| ["comm", "schedstat", "status"].map(|name| format!("self/task/{task}/{name}")));
    PROC.iter().map(|path| (*path).to_owned()).chain(of_threads).filter_map(|path| read(&path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::config::{HostFacts, Sources, load};

    #[test]
    fn every_page_it_wants_is_a_route_that_answers_at_once() {
        for (name, path, _) in PAGES {
            let route = routes::all().find(|route| route.method == "GET" && route.path == *path);
            let route = route.unwrap_or_else(|| panic!("{name}: no GET {path}"));
            assert!(matches!(route.served_by, ServedBy::Page(_)), "{path}");
            assert!(route.scope <= Scope::Admin);
        }
    }

    #[test]
    fn the_folder_is_named_after_the_moment() {
        assert_eq!(folder(Duration::from_millis(1_795_257_287_234)), "ringway-bundle-2026-11-21T10-34-47Z");
    }

    #[test]
    fn what_is_packed_is_what_was_given() {
        let sources = Sources {
            file: None,
            env: Vec::new(),
            sets: Vec::new(),
            overrides: Vec::new(),
            held: Vec::new(),
            host: HostFacts { cpus_allowed: vec![0] },
            read_file: &|_| Err(io::ErrorKind::NotFound.into()),
        };
        let config = load(&sources).unwrap().config;
        let packed = pack(vec![File::new("a.txt", "hello")], &config, Duration::from_secs(1)).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let names: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        for name in ["README.txt", "a.txt", "doctor.json", "proc/self/limits", "proc/self/status"] {
            let wanted = format!("{}/{name}", folder(Duration::from_secs(1)));
            assert!(names.contains(&wanted), "{wanted} in {names:?}");
        }
        for name in ["cmdline", "environ"] {
            assert!(!names.iter().any(|held| held.ends_with(name)), "{name} may hold secrets");
        }
    }
}
