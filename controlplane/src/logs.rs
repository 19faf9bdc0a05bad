//! Log lines: formatted where they arise, queued, and written by the control plane alone.
//!
//! Nobody ever waits for the log. A line goes into a bounded queue; the control plane writes to standard
//! error only what it takes at once. A sink that stays blocked costs lines, which are counted, and nothing else.

mod levels;
mod recent;

pub use levels::{Levels, MODULES_MAX, Raised, is_module};
pub use recent::Recent;

use ringway_shared::config::{Log, LogFormat};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Lines waiting to be written; more are dropped and counted.
const QUEUE_LINES_MAX: usize = 8_192;
/// A pipe that polls writable takes this much without blocking (POSIX's PIPE_BUF on Linux).
const WRITE_BYTES_MAX: usize = 4_096;
/// How long a blocked sink is left alone before it is asked again.
const BLOCKED_PAUSE: Duration = Duration::from_millis(50);
/// Panics logged in one second; the rest are only counted.
const PANICS_PER_SECOND: u64 = 10;
/// The target of lines about logins, which other programs act upon: no level silences them.
pub const LOGIN: &str = "login";

/// The queue's writing end, held by the tracing subscriber and by those who write whole lines.
#[derive(Clone)]
pub struct Queue {
    lines: Sender<Line>,
    dropped: Arc<AtomicU64>,
}

/// A whole line on its way.
struct Line {
    bytes: Box<[u8]>,
    /// It is one of the application's own, not of the access log's.
    own: bool,
}

/// The queue's reading end: writes lines to standard error.
pub struct Sink {
    lines: Receiver<Line>,
    queue: Queue,
    recent: Recent,
    /// The line being written, and how much of it is out.
    current: Option<(Box<[u8]>, usize)>,
}

/// Begins logging: from here on `tracing`'s macros and panics go to the returned sink, as far as the levels let them.
#[must_use]
pub fn begin(log: &Log) -> (Sink, Levels) {
    let sink = Sink::new();
    let queue = sink.queue();
    let layer = tracing_subscriber::fmt::layer().with_writer(queue).with_ansi(false);
    let (filter, levels) = Levels::new(log.level);
    let registry = tracing_subscriber::registry().with(filter);
    // A second subscriber (in tests) is refused; the first one stays.
    let _ = match log.format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    std::panic::set_hook(Box::new(log_panic));
    (sink, levels)
}

impl Queue {
    /// How many lines it takes now, for those who can wait rather than lose some.
    #[must_use]
    pub fn room(&self) -> usize {
        self.lines.capacity()
    }

    /// Queues a whole line of the access log; a full queue drops and counts it.
    pub fn put(&self, line: &str) {
        self.send(Line { bytes: line.as_bytes().into(), own: false });
    }

    fn send(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.count_dropped(1);
        }
    }

    /// Counts lines that were never to be written.
    pub fn count_dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Relaxed);
    }
}

/// Logs a panic, unless there were many of them in this second.
fn log_panic(panic: &std::panic::PanicHookInfo) {
    static WINDOW: Mutex<Option<(Instant, u64)>> = Mutex::new(None);
    let seen = {
        let Ok(mut window) = WINDOW.lock() else { return };
        let now = Instant::now();
        let (since, count) = window.unwrap_or((now, 0));
        let fresh = now.duration_since(since) >= Duration::from_secs(1);
        let (since, count) = if fresh { (now, 1) } else { (since, count + 1) };
        *window = Some((since, count));
        count
    };
    if seen <= PANICS_PER_SECOND {
        let text = panic.payload_as_str().unwrap_or("without a text");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current();
        tracing::error!(thread = thread.name(), place, "a task or thread panicked: {text}");
    }
}

impl Sink {
    #[must_use]
    pub fn new() -> Sink {
        let (sender, lines) = channel(QUEUE_LINES_MAX);
        let queue = Queue { lines: sender, dropped: Arc::new(AtomicU64::new(0)) };
        Sink { lines, queue, recent: Recent::default(), current: None }
    }

    /// The writing end.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.queue.clone()
    }

    /// The last lines it was given to write.
    #[must_use]
    pub fn recent(&self) -> Recent {
        self.recent.clone()
    }

    fn begin(&mut self, line: Line) {
        if line.own {
            self.recent.keep(&line.bytes);
        }
        self.current = Some((line.bytes, 0));
    }

    /// Lines dropped since the start.
    #[must_use]
    pub fn dropped(&self) -> Arc<AtomicU64> {
        self.queue.dropped.clone()
    }

    /// Writes lines as they come and as standard error takes them. Never returns, never blocks.
    pub async fn run(&mut self) {
        loop {
            if self.current.is_none() {
                match self.lines.recv().await {
                    Some(line) => self.begin(line),
                    None => return,
                }
            }
            if !self.write_ready(Duration::ZERO) {
                tokio::time::sleep(BLOCKED_PAUSE).await;
            }
        }
    }

    /// Writes everything that is queued, for at most `patience`: before the loop runs and after it. False: there
    /// is a rest.
    pub fn flush(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        loop {
            if self.current.is_none() {
                match self.lines.try_recv() {
                    Ok(line) => self.begin(line),
                    Err(_) => return true,
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.write_ready(left) && left.is_zero() {
                return false;
            }
        }
    }

    /// Writes a piece of the current line if standard error becomes writable within `patience`.
    fn write_ready(&mut self, patience: Duration) -> bool {
        let Some((line, written)) = &mut self.current else { return true };
        if !stderr_takes_more(patience) {
            return false;
        }
        let end = line.len().min(*written + WRITE_BYTES_MAX);
        match rustix::io::write(rustix::stdio::stderr(), &line[*written..end]) {
            Ok(count) => *written += count,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return false,
            // Nobody reads any more (EPIPE): the line is lost, the process is not.
            Err(_) => {
                self.queue.count_dropped(1);
                *written = line.len();
            }
        }
        if *written >= line.len() {
            self.current = None;
        }
        true
    }
}

fn stderr_takes_more(patience: Duration) -> bool {
    let stderr = rustix::stdio::stderr();
    let mut waiting = [PollFd::new(&stderr, PollFlags::OUT)];
    let patience = Timespec::try_from(patience).unwrap_or_default();
    matches!(poll(&mut waiting, Some(&patience)), Ok(1..))
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Queue;

    fn make_writer(&'a self) -> Queue {
        self.clone()
    }
}

impl io::Write for Queue {
    /// The subscriber hands over one whole line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.send(Line { bytes: line.into(), own: true });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_and_counts() {
        let sink = Sink::new();
        for _ in 0..QUEUE_LINES_MAX + 3 {
            sink.queue().put("line\n");
        }
        assert_eq!(sink.dropped().load(Relaxed), 3);
    }
}
