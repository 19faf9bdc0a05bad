//! The two journals of the control port: who changed what (`log.audit`), and every request (`log.control`).
//!
//! Each attempt to change something is one line, refused or not, whatever became of it. The publish API is left out, for
//! its requests are traffic: `http_requests_total` counts them, `control_auth_failures_total` those that were refused. No line holds a
//! secret: neither a query's unknown parts nor a header or body goes into one.

use crate::calendar;
use crate::guard::{Peer, Scope};
use crate::lines::{self, Field, Lines, Stream, Value, shown, word};
use crate::logs::Queue;
use ringway_shared::config::{Log, LogFormat};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Lines about refused attempts in one second, of strangers and of those who are known each: whoever knocks without end,
/// with a token that may not either, fills no disk.
const REFUSED_PER_SECOND: u32 = 10;
/// Bytes of parameters, a reason or a difference, escapes counted as they are written; the rest is cut off.
const TEXT_MAX: usize = 2_000;
/// Bytes of what a client wrote, counted so too.
const SENT_MAX: usize = 256;

/// Both of them.
pub struct Journal {
    audit: RefCell<Lines>,
    requests: RefCell<Lines>,
    format: Cell<LogFormat>,
    refusals: Cell<Refusals>,
}

/// What was written about refused attempts in this second, and left out since the last line.
#[derive(Clone, Copy, Default)]
struct Refusals {
    since: Option<Instant>,
    /// Of strangers; of those who are known, lest strangers hide what these try.
    written: [u32; 2],
    left_out: u64,
}

/// An attempt to change something.
pub struct Change<'a> {
    /// A principal's name, a signal's; `None`: nobody knows.
    pub by: Option<&'a str>,
    pub scope: Option<Scope>,
    /// `None`: it came from no client.
    pub from: Option<&'a Peer>,
    /// Of a request, and its route's pattern.
    pub method: Option<&'a str>,
    pub path: Option<&'a str>,
    /// What it was, where there was no request.
    pub action: Option<&'a str>,
    pub parameters: &'a str,
    /// Of the answer; `None`: there was nobody to answer.
    pub status: Option<u16>,
    pub outcome: Outcome,
    /// Why it came to nothing.
    pub why: Option<&'a str>,
    /// What is different now.
    pub difference: Option<&'a str>,
}

impl<'a> Change<'a> {
    /// One without a request.
    #[must_use]
    pub fn inside(by: &'a str, outcome: Outcome) -> Self {
        Change {
            by: Some(by),
            scope: None,
            from: None,
            method: None,
            path: None,
            action: None,
            parameters: "",
            status: None,
            outcome,
            why: None,
            difference: None,
        }
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Who asked might not.
    Refused,
    /// It was wrong, or could not be done.
    Failed,
    /// Who asked went away; it may be done or not.
    Unknown,
}

impl Outcome {
    fn label(self) -> &'static str {
        ["done", "refused", "failed", "unknown"][self as usize]
    }
}

/// A request that was answered.
pub struct Request<'a> {
    pub from: &'a Peer,
    pub by: Option<&'a str>,
    /// As they were sent, the query left out.
    pub method: &'a str,
    pub path: &'a str,
    pub agent: Option<&'a str>,
    pub status: u16,
    pub bytes: usize,
    pub took: Duration,
}

impl Journal {
    /// Opens what is to be opened. The error is for the operator.
    pub fn open(log: &Log, queue: &Queue) -> Result<Journal, String> {
        Ok(Journal {
            audit: RefCell::new(Lines::open("log.audit", &log.audit, queue.clone())?),
            requests: RefCell::new(Lines::open("log.control", &log.control, queue.clone())?),
            format: Cell::new(log.access_format),
            refusals: Cell::default(),
        })
    }

    /// Goes on as another one, which was opened for a new configuration. What waits in this one is written first.
    pub fn replace(&self, other: Journal) {
        self.flush();
        self.audit.swap(&other.audit);
        self.requests.swap(&other.requests);
        self.format.set(other.format.get());
    }

    /// Writes down an attempt to change something, at once.
    pub fn change(&self, change: &Change<'_>) {
        let mut audit = self.audit.borrow_mut();
        if !audit.are_wanted() {
            return;
        }
        let Some(left_out) = self.room_for(change) else { return };
        audit.put(&lines::line(Stream::Audit, &now(), of_change(change, left_out), self.format.get()));
        audit.flush();
    }

    /// Whether requests are written down.
    #[must_use]
    pub fn wants_requests(&self) -> bool {
        self.requests.borrow().are_wanted()
    }

    pub fn request(&self, request: &Request<'_>) {
        let line = lines::line(Stream::Control, &now(), of_request(request), self.format.get());
        self.requests.borrow_mut().put(&line);
    }

    /// Hands what has gathered to the kernel, as far as it takes it.
    pub fn flush(&self) {
        self.audit.borrow_mut().flush();
        self.requests.borrow_mut().flush();
    }

    /// Opens the files anew, so that rotated ones can go. False: there is none.
    pub fn reopen(&self) -> bool {
        let (audit, requests) = (self.audit.borrow_mut().reopen(), self.requests.borrow_mut().reopen());
        audit || requests
    }

    /// `None`: enough was written about refusals in this second. Else how many lines were left out before this one.
    fn room_for(&self, change: &Change<'_>) -> Option<u64> {
        let mut refusals = self.refusals.get();
        let is_refusal = change.outcome == Outcome::Refused;
        let now = Instant::now();
        if refusals.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            refusals = Refusals { since: Some(now), written: [0; 2], ..refusals };
        }
        let written = &mut refusals.written[usize::from(change.by.is_some())];
        let room = !is_refusal || *written < REFUSED_PER_SECOND;
        *written += u32::from(is_refusal && room);
        refusals.left_out += u64::from(!room);
        let left_out = if room { std::mem::take(&mut refusals.left_out) } else { 0 };
        self.refusals.set(refusals);
        room.then_some(left_out)
    }
}

fn of_change<'a>(change: &Change<'a>, left_out: u64) -> Vec<Field<'a>> {
    vec![
        ("by", change.by.map(word)),
        ("scope", change.scope.map(|scope| word(scope.label()))),
        ("from", change.from.map(|from| shown(from))),
        ("method", change.method.map(word)),
        ("path", change.path.map(word)),
        ("action", change.action.map(word)),
        ("parameters", (!change.parameters.is_empty()).then(|| cut(change.parameters, TEXT_MAX))),
        ("status", change.status.map(|status| Value::Number(status.into()))),
        ("result", Some(word(change.outcome.label()))),
        ("why", change.why.map(|why| cut(why, TEXT_MAX))),
        ("difference", change.difference.map(|difference| cut(difference, TEXT_MAX))),
        ("left_out", (left_out > 0).then_some(Value::Number(left_out))),
    ]
}

fn of_request<'a>(request: &Request<'a>) -> Vec<Field<'a>> {
    vec![
        ("from", Some(shown(request.from))),
        ("by", request.by.map(word)),
        ("method", Some(cut(request.method, SENT_MAX))),
        ("path", Some(cut(request.path, SENT_MAX))),
        ("status", Some(Value::Number(request.status.into()))),
        ("bytes", Some(Value::Number(request.bytes as u64))),
        ("duration_ms", Some(Value::Time(request.took))),
        ("agent", request.agent.map(|agent| cut(agent, SENT_MAX))),
    ]
}

fn cut(text: &str, most: usize) -> Value<'_> {
    let mut width = 0;
    let beyond = text.char_indices().find(|(_, c)| {
        width += written_width(*c);
        width > most
    });
    match beyond {
        Some((end, _)) => Value::Text(format!("{}…", &text[..end]).into()),
        None => word(text),
    }
}

/// Bytes that a character takes in a line of either format, at most.
fn written_width(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        _ if c.is_ascii_graphic() || c == ' ' => 1,
        _ if !c.is_ascii() && c.escape_debug().len() == 1 => c.len_utf8(),
        // `\u001b` for each unit of UTF-16; `\u{1b}` is no longer.
        _ => 6 * c.len_utf16(),
    }
}

fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    calendar::stamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Sink;
    use ringway_shared::config::{AccessLog, LogLevel};

    fn journal(path: &std::path::Path, format: LogFormat) -> Journal {
        let file = || AccessLog::File(path.to_owned());
        let log = Log {
            level: LogLevel::Info,
            format,
            access: AccessLog::Off,
            access_format: format,
            audit: file(),
            control: file(),
        };
        Journal::open(&log, &Sink::new().queue()).unwrap()
    }

    fn path(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("ringway-audit-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    fn killed<'a>(by: Option<&'a str>, outcome: Outcome) -> Change<'a> {
        Change {
            by,
            scope: by.map(|_| Scope::Admin),
            from: None,
            method: Some("POST"),
            path: Some("/api/v1/drill"),
            action: None,
            parameters: "kind=die worker=\n0",
            status: Some(202),
            outcome,
            why: None,
            difference: None,
        }
    }

    /// Without their times.
    fn lines_of(path: &std::path::Path) -> Vec<String> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()).collect()
    }

    #[test]
    fn a_change_is_one_line_at_once() {
        let path = path("change");
        let journal = journal(&path, LogFormat::Text);
        let from = Peer::Unix { uid: 0, pid: Some(7) };
        let long = "x".repeat(TEXT_MAX + 1);
        journal.change(&Change {
            from: Some(&from),
            why: Some("no such \"worker\""),
            difference: Some(&long),
            ..killed(Some("alice"), Outcome::Failed)
        });
        let told = lines_of(&path);
        let start = r#" INFO audit: asked by=alice scope=admin from=unix:0:7 method=POST path=/api/v1/drill parameters="kind=die worker=\n0" status=202 result=failed why="no such \"worker\"" difference="xxx"#;
        assert!(told.len() == 1 && told[0].starts_with(start) && told[0].ends_with("x…\""), "{told:?}");
    }

    #[test]
    fn strangers_fill_no_disk_and_what_is_left_out_is_counted() {
        let path = path("strangers");
        let journal = journal(&path, LogFormat::Json);
        (0..100).for_each(|_| journal.change(&killed(None, Outcome::Refused)));
        journal.change(&killed(Some("alice"), Outcome::Done));
        let told = lines_of(&path);
        assert!(told.len() >= 11 && told.len() < 60, "{}", told.len());
        assert!(told.last().unwrap().contains("\"left_out\":"), "{told:?}");
    }

    #[test]
    fn whoever_is_known_and_may_not_fills_no_disk_either() {
        let path = path("known");
        let journal = journal(&path, LogFormat::Json);
        let escaped = "\x1b".repeat(TEXT_MAX - 10);
        (0..100).for_each(|_| journal.change(&killed(None, Outcome::Refused)));
        for _ in 0..1_000 {
            journal.change(&Change { parameters: &escaped, ..killed(Some("looker"), Outcome::Refused) });
        }
        journal.change(&killed(Some("alice"), Outcome::Done));
        let told = lines_of(&path);
        let of_looker: Vec<_> = told.iter().filter(|line| line.contains("looker")).collect();
        assert!((10..60).contains(&of_looker.len()), "{}", of_looker.len());
        assert!(of_looker.iter().all(|line| line.len() < TEXT_MAX + 500), "{of_looker:?}");
        assert!(told.last().unwrap().contains("\"left_out\":"), "{told:?}");
    }

    #[test]
    fn what_is_cut_is_measured_as_it_is_written() {
        let text = |text: &str| match cut(text, 12) {
            Value::Text(text) => text.into_owned(),
            _ => unreachable!(),
        };
        assert_eq!(text("twelve bytes"), "twelve bytes");
        assert_eq!(text("twelve bytes."), "twelve bytes…");
        assert_eq!(text("\x1b\x1b"), "\x1b\x1b");
        assert_eq!(text("\x1b\x1b."), "\x1b\x1b…");
        assert_eq!(text("\"\"\"\"\"\"\""), "\"\"\"\"\"\"…");
        assert_eq!(text("ééééééé"), "éééééé…");
    }

    #[test]
    fn a_request_is_one_line_that_ends_no_field_early() {
        let path = path("request");
        let journal = journal(&path, LogFormat::Text);
        assert!(journal.wants_requests());
        journal.request(&Request {
            from: &Peer::Tcp { address: "192.0.2.1:40000".parse().unwrap(), near: false },
            by: None,
            method: "GET",
            path: "/stats",
            agent: Some("curl/8 status=200\n"),
            status: 401,
            bytes: 12,
            took: Duration::from_micros(1_500),
        });
        journal.flush();
        let wanted = r#" INFO control: answered from=192.0.2.1:40000 method=GET path=/stats status=401 bytes=12 duration_ms=1.5 agent="curl/8 status=200\n""#;
        assert_eq!(lines_of(&path), [wanted]);
    }
}
