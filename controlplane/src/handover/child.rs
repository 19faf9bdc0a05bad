//! Starting the process that is to take over.

use super::link::Link;
use super::{BY_STDIN, Message, VARIABLE, VERSION};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a child may take to read what it is given first.
const GREETING_MAX: Duration = Duration::from_secs(5);
/// How long a child that has hung up, or was killed, may take to end.
const END_MAX: Duration = Duration::from_secs(2);
/// How often it is asked whether it has ended.
const END_ASKED_EVERY: Duration = Duration::from_millis(5);
/// What systemd tells one process alone: not what its child is told.
const OF_THIS_PROCESS_ALONE: &[&str] =
    &["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", "LISTEN_PIDFDID"];

/// How to start another ringway.
#[derive(Clone, Debug)]
pub struct Recipe {
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Variables that it does not get.
    pub without: Vec<&'static str>,
}

impl Recipe {
    /// This program, as it was started. To be called at the start, before the file can be replaced: what stands at
    /// its path then is what a hot restart starts.
    pub fn own(arguments: Vec<OsString>) -> io::Result<Recipe> {
        Ok(Recipe { program: own_path()?, arguments, without: Vec::new() })
    }
}

/// Where this program was started from. The kernel's answer has its symbolic links resolved; the path as it was
/// written is better, for a link may lead to the next version by then.
fn own_path() -> io::Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let resolved = std::env::current_exe()?;
    let Some(written) = std::env::args_os().next().map(PathBuf::from) else { return Ok(resolved) };
    let identity = |path: &Path| path.metadata().ok().map(|file| (file.dev(), file.ino()));
    let is_same = identity(&written).is_some_and(|found| Some(found) == identity(&resolved));
    // Without a slash it was found by PATH, and not necessarily here.
    if is_same && written.components().count() > 1 { std::path::absolute(written) } else { Ok(resolved) }
}

/// A child and the link to it. Dropped, the child is killed.
pub struct Heir {
    pub link: Rc<Link>,
    child: Child,
    /// It is not to be killed any more.
    released: bool,
}

impl Heir {
    /// Starts it and gives it the listeners.
    pub async fn start(recipe: &Recipe, keeps: bool, sockets: &[BorrowedFd<'_>]) -> io::Result<Heir> {
        let (link, theirs) = Link::pair()?;
        let mut command = Command::new(&recipe.program);
        command.args(&recipe.arguments).env(VARIABLE, BY_STDIN).stdin(Stdio::from(theirs));
        for name in recipe.without.iter().chain(OF_THIS_PROCESS_ALONE) {
            command.env_remove(name);
        }
        if keeps {
            // A terminal's interrupt is for the supervisor, which passes it on once.
            command.process_group(0);
        }
        let child = command.spawn()?;
        // It holds the other end of the link, which must end with the child.
        drop(command);
        let heir = Heir { link: Rc::new(link), child, released: false };
        let greeting = async {
            heir.link.say(&Message::Welcome { version: VERSION, keeps }).await?;
            heir.link.say_listeners(sockets).await
        };
        // A child that has ended already is found out by whoever waits for its words.
        let _ = timeout(GREETING_MAX, greeting).await;
        Ok(heir)
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has. Reaps it.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end, killing it if that takes longer than `patience`.
    pub async fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                self.kill();
                return self.ended();
            }
            sleep(END_ASKED_EVERY).await;
        }
    }

    /// What became of a child that has hung up: it has ended, or is killed.
    pub async fn hung_up(&mut self) -> String {
        match self.end(END_MAX).await {
            Some(status) => told(status),
            None => "hung up, and could not be killed".into(),
        }
    }

    /// Sends it a signal. It cannot have been reaped by anybody but this.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    pub fn kill(&mut self) {
        // It has ended already, then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// From now on it lives on its own.
    pub fn release(&mut self) {
        self.released = true;
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        if !self.released && self.ended().is_none() {
            self.kill();
        }
    }
}

/// An end, in words.
#[must_use]
pub fn told(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(2), _) => "ended with exit code 2: its configuration is wrong, as its log lines say".into(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".into(),
    }
}
