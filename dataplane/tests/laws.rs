//! The house laws, held by the machine. Each is a row in a table; a breach names file, line and remedy.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod doors;

use doors::{DOORS, Door};
use std::fs;
use std::path::{Path, PathBuf};

/// What may lie at the top, besides hidden files and `target`.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "dataplane",
    "controlplane",
    "shared",
    "benches",
    "tuning",
    "scripts",
    "docs",
    "README.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "rustfmt.toml",
    "clippy.toml",
    "target",
];

/// Lines of a source file, its trailing `mod tests` left out.
const FILE_LINES_MAX: usize = 400;
/// Files that are one long table by their nature, and the lines they may have.
const TABLES: &[(&str, usize)] = &[];
const FUNCTION_LINES_MAX: usize = 70;

/// The files that may say `unsafe`, once a record in docs/decisions names them.
const UNSAFE_DOORS: &[&str] =
    &["dataplane/src/rt/ready.rs", "dataplane/src/rt/sends.rs", "controlplane/src/allocator.rs"];

/// Words that a folder must not contain, and where such code belongs instead.
struct Forbidden {
    folder: &'static str,
    words: &'static [&'static str],
    remedy: &'static str,
}

const FORBIDDEN: &[Forbidden] = &[
    Forbidden {
        folder: "shared/src/",
        words: &[
            "std::thread",
            "std::net::Tcp",
            "std::net::Udp",
            "std::os::unix::net",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "Instant::now",
            "SystemTime",
            "async fn",
            "tokio",
            "monoio",
            "rustix",
            "socket2",
        ],
        remedy: "shared/ holds plain values; threads, sockets and clocks belong in dataplane/src/io or controlplane/",
    },
    Forbidden {
        folder: "dataplane/src/proto/",
        words: EFFECTS,
        remedy: "proto/ is bytes in, events and bytes out; take `now` as an argument and leave acting to io/",
    },
    Forbidden {
        folder: "dataplane/src/policy/",
        words: EFFECTS,
        remedy: "policy/ judges facts it is given; gather them, and act, in io/",
    },
    Forbidden {
        folder: "dataplane/src/hub",
        words: EFFECTS,
        remedy: "the hub holds and orders values; take the time as an argument and leave acting to io/",
    },
    Forbidden {
        folder: "dataplane/src/proto/",
        words: &["crate::policy", "crate::io", "crate::rt", "crate::worker"],
        remedy: "proto/ knows nobody above it: return an event, let io/ ask policy/",
    },
    Forbidden {
        folder: "dataplane/src/policy/",
        words: &["crate::io", "crate::rt", "crate::worker"],
        remedy: "policy/ does not know who acts on its verdicts",
    },
    Forbidden {
        folder: "dataplane/src/hub",
        words: &["crate::io", "crate::rt", "crate::worker"],
        remedy: "the hub does not know who carries its posts and frames",
    },
    Forbidden {
        folder: "shared/",
        words: &["ringway_dataplane", "ringway-dataplane", "ringway_controlplane", "ringway-controlplane"],
        remedy: "the chain is controlplane -> dataplane -> shared; no arrow runs back up",
    },
    Forbidden {
        folder: "dataplane/",
        words: &["ringway_controlplane", "ringway-controlplane", "hyper::", "metrics_exporter_prometheus"],
        remedy: "the chain is controlplane -> dataplane -> shared; no arrow runs back up",
    },
    Forbidden {
        folder: "",
        words: &["todo!", "unimplemented!", "#[ignore"],
        remedy: "build it, or leave it out and say so in an issue",
    },
];

const EFFECTS: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::os::fd",
    "std::fs",
    "std::io",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "async fn",
    "tracing",
    "println!",
    "eprintln!",
    "monoio",
    "tokio",
    "rustix",
    "socket2",
    "io_uring",
];

#[test]
fn the_top_level_holds_what_was_agreed() {
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strangers: Vec<_> =
        names.filter(|name| !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str())).collect();
    assert!(strangers.is_empty(), "{strangers:?}: find them a room in one of {TOP_LEVEL:?}");
}

#[test]
fn no_folder_says_what_it_must_not() {
    hold(|source| FORBIDDEN.iter().flat_map(|law| forbidden_words(law, source)).collect());
}

#[test]
fn every_package_has_one_door() {
    hold(|source| DOORS.iter().flat_map(|door| trespasses(door, source)).collect());
}

#[test]
fn files_and_functions_are_of_a_size_to_be_read() {
    hold(|source| oversized_file(source).into_iter().chain(oversized_functions(source)).collect());
}

#[test]
fn unsafe_stands_in_few_files_that_decision_records_name() {
    let is_door = |source: &Source| UNSAFE_DOORS.contains(&source.path.as_str());
    hold(|source| if is_door(source) { Vec::new() } else { unsafe_lines(source) });
    let records = files_below(&root().join("docs/decisions"));
    let records: Vec<_> = records.iter().map(|record| fs::read_to_string(record).unwrap()).collect();
    for door in sources().iter().filter(|source| is_door(source) && !unsafe_lines(source).is_empty()) {
        let named = records.iter().any(|record| record.contains(&door.path));
        assert!(named, "{} says `unsafe`: write down why in docs/decisions/", door.path);
    }
}

/// Laws that cannot be broken hold nothing: each is tried on a source that breaks it.
#[test]
fn the_laws_bite() {
    let breach = |path: &str, text: &str| {
        let source = Source { path: path.into(), text: text.into() };
        let words = FORBIDDEN.iter().flat_map(|law| forbidden_words(law, &source));
        let doors = DOORS.iter().flat_map(|door| trespasses(door, &source));
        let sizes = oversized_file(&source).into_iter().chain(oversized_functions(&source));
        words.chain(doors).chain(sizes).chain(unsafe_lines(&source)).count()
    };
    let long_function = format!("fn long() {{\n{}}}\n", "    work();\n".repeat(FUNCTION_LINES_MAX));
    let long_file = "const A: u8 = 0;\n".repeat(FILE_LINES_MAX + 1);
    for (path, text) in [
        ("shared/src/a.rs", "let now = SystemTime::now();"),
        ("shared/Cargo.toml", "ringway-dataplane.workspace = true"),
        ("dataplane/src/proto/a.rs", "use std::net::TcpStream;"),
        ("dataplane/src/proto/a.rs", "use crate::policy::auth;"),
        ("dataplane/src/policy/a.rs", "fn at() -> Instant { Instant::now() }"),
        ("dataplane/src/hub/a.rs", "use crate::io::inbox;"),
        ("dataplane/src/hub.rs", "use std::io;"),
        ("dataplane/src/io/a.rs", "use monoio::net;"),
        ("dataplane/src/worker.rs", "crossbeam_channel::bounded(1)"),
        ("controlplane/src/a.rs", "metrics::counter!(\"x\");"),
        ("benches/src/a.rs", "todo!()"),
        ("dataplane/tests/a.rs", "#[ignore]"),
        ("dataplane/src/a.rs", "let x = unsafe { y() };"),
        ("dataplane/src/a.rs", &long_function),
        ("dataplane/src/a.rs", &long_file),
    ] {
        assert_eq!(breach(path, text), if text.contains("TcpStream") { 2 } else { 1 }, "{path}: {text:.60}");
    }
    for (path, text) in [
        ("dataplane/src/rt.rs", "use monoio::net;"),
        ("dataplane/src/rt/ready.rs", "use monoio::net;"),
        ("dataplane/src/a.rs", "use ringway_shared::metrics::Cells; // not tokio"),
        ("dataplane/src/a.rs", "let text = \"tokio::spawn and unsafe \\\" todo!\";"),
        ("dataplane/src/proto/a.rs", "use std::net::SocketAddr;"),
    ] {
        assert_eq!(breach(path, text), 0, "{path}: {text}");
    }
}

struct Source {
    /// From the repository's root.
    path: String,
    text: String,
}

/// Applies a law to every source and tells all its breaches at once.
fn hold(law: impl Fn(&Source) -> Vec<String>) {
    let sources = sources();
    assert!(sources.len() > 10, "the laws found no sources to judge");
    let breaches: Vec<_> = sources.iter().flat_map(law).collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

fn forbidden_words(law: &Forbidden, source: &Source) -> Vec<String> {
    // Tests may open sockets and read clocks to see what the code does: the words bind what is shipped.
    let bound =
        source.path.starts_with(law.folder) && (law.folder.is_empty() || !source.path.contains("/tests/"));
    let lines = code_lines(source).filter(|_| bound);
    lines
        .flat_map(|(number, code)| {
            let said = law.words.iter().filter(move |word| mentions(&code, word));
            said.map(move |word| format!("{}:{number}: `{word}`: {}", source.path, law.remedy))
        })
        .collect()
}

fn trespasses(door: &Door, source: &Source) -> Vec<String> {
    let open = |file: &&str| source.path == **file || source.path.starts_with(&file.replace(".rs", "/"));
    if !source.path.contains("/src/") || door.files.iter().any(open) {
        return Vec::new();
    }
    let uses = |code: &str| {
        let path = format!("{}::", door.package);
        let mut found = code.match_indices(&path).map(|(at, _)| &code[..at]);
        // `ringway_shared::metrics::` is a module of ours, not the package.
        found.any(|before| !before.ends_with(|c: char| c == ':' || c == '_' || c.is_alphanumeric()))
            || code.trim_start().starts_with(&format!("use {} as", door.package))
            || code.trim_start().starts_with(&format!("use {};", door.package))
    };
    let remedy = format!("only {} may name it; ask there for what you need", door.files.join(", "));
    code_lines(source)
        .filter(|(_, code)| uses(code))
        .map(|(number, _)| format!("{}:{number}: `{}`: {remedy}", source.path, door.package))
        .collect()
}

fn unsafe_lines(source: &Source) -> Vec<String> {
    let says =
        |code: &str| code.split(|c: char| c != '_' && !c.is_alphanumeric()).any(|word| word == "unsafe");
    code_lines(source)
        .filter(|(_, code)| source.path.ends_with(".rs") && says(code))
        .map(|(number, _)| format!("{}:{number}: `unsafe`: its doors are {UNSAFE_DOORS:?}", source.path))
        .collect()
}

fn oversized_file(source: &Source) -> Option<String> {
    let shipped = source.text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = shipped.lines().count();
    let table = TABLES.iter().find(|(path, _)| *path == source.path);
    let most = table.map_or(FILE_LINES_MAX, |(_, lines)| *lines);
    (source.path.ends_with(".rs") && lines > most)
        .then(|| format!("{}: {lines} lines without tests, {most} at most: split it by nouns", source.path))
}

/// Relies on rustfmt: a function ends at the first `}` of its own indentation.
fn oversized_functions(source: &Source) -> Vec<String> {
    let lines: Vec<_> = source.text.lines().collect();
    let starts =
        lines.iter().enumerate().filter(|(_, line)| starts_function(line) && !line.ends_with(['}', ';']));
    starts
        .filter_map(|(start, line)| {
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let length = 1 + lines[start..].iter().position(|line| **line == end)?;
            (length > FUNCTION_LINES_MAX).then(|| {
                let place = format!("{}:{}", source.path, start + 1);
                format!("{place}: a function of {length} lines, {FUNCTION_LINES_MAX} at most: name its parts")
            })
        })
        .collect()
}

fn starts_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.find(|word| {
        !["pub", "const", "async", "unsafe", "extern", "\"C\""].contains(word) && !word.starts_with("pub(")
    }) == Some("fn")
}

/// Whether `word` starts in `code` where an identifier may start.
fn mentions(code: &str, word: &str) -> bool {
    let inside = |c: char| c == '_' || c.is_alphanumeric();
    code.match_indices(word).any(|(at, _)| !word.starts_with(inside) || !code[..at].ends_with(inside))
}

/// The numbered lines of a source, without comments and without what stands in quotes.
fn code_lines(source: &Source) -> impl Iterator<Item = (usize, String)> {
    let comment = if source.path.ends_with(".rs") { "//" } else { "#" };
    source.text.lines().enumerate().map(move |(index, line)| {
        let unquoted = without_quotes(line);
        let code =
            if unquoted.trim_start().starts_with("#[") { &unquoted[..] } else { before(&unquoted, comment) };
        (index + 1, code.to_owned())
    })
}

fn before<'a>(line: &'a str, comment: &str) -> &'a str {
    line.split_once(comment).map_or(line, |(code, _)| code)
}

fn without_quotes(line: &str) -> String {
    let line = line.replace("\\\\", "").replace("\\\"", "").replace("'\"'", "");
    line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"")
}

/// The Rust sources and manifests of all crates, those of tests and benches among them.
fn sources() -> Vec<Source> {
    let crates = ["shared", "dataplane", "controlplane", "benches"];
    let files = crates.iter().flat_map(|folder| files_below(&root().join(folder)));
    let texts =
        files.filter(|file| file.extension().is_some_and(|end| end == "rs") || file.ends_with("Cargo.toml"));
    let source = |file: PathBuf| Source {
        path: file.strip_prefix(root()).unwrap().to_str().unwrap().into(),
        text: fs::read_to_string(&file).unwrap(),
    };
    texts.map(source).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let (folders, mut files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let inner =
        folders.iter().filter(|folder| !folder.ends_with("target") && !folder.ends_with("node_modules"));
    files.extend(inner.flat_map(|folder| files_below(folder)));
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
