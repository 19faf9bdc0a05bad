//! A log file of our own: appended to, opened anew when it was rotated, and never waited for.
//!
//! What the kernel does not take (the disk is full) waits in a bounded buffer; what finds no room there is dropped and
//! counted. A line cut short by a full disk goes on where it ended, so no line is ever torn.

use crate::logs::Queue;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes waiting to be written; lines beyond them are dropped.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// Bytes gathered before they are handed to the kernel.
const WRITE_BYTES: usize = 64 << 10;
/// About what a line takes, to tell how many more there is room for.
const LINE_BYTES: usize = 512;
/// With room for fewer lines than this nobody is asked to wait any more.
const ROOM_LINES_MIN: usize = 64;
/// Who may see who went where: the owner and the group.
const MODE: u32 = 0o640;

/// The file, and what waits for it.
pub struct LogFile {
    /// Names it in the configuration.
    key: &'static str,
    path: PathBuf,
    file: File,
    waiting: Vec<u8>,
    /// Counts the lines dropped.
    queue: Queue,
    /// The last write failed, and it was said.
    failing: bool,
    /// Lines dropped since then.
    dropped: u64,
}

impl LogFile {
    /// Opens or creates it. The error is for the operator.
    pub fn open(key: &'static str, path: &Path, queue: Queue) -> Result<LogFile, String> {
        let file = append_to(path).map_err(|error| {
            format!("cannot open the log file {}: {error}; {key} names it", path.display())
        })?;
        let path = path.to_owned();
        Ok(LogFile { key, path, file, waiting: Vec::new(), queue, failing: false, dropped: 0 })
    }

    /// About how many lines find room now. A file that fails, or a pipe whose reader does not keep up, takes all, to drop
    /// and count them: what ended must be taken on, for failed logins are told elsewhere too.
    pub fn room(&self) -> usize {
        let lines = (WAITING_BYTES_MAX - self.waiting.len()) / LINE_BYTES;
        if self.failing || lines < ROOM_LINES_MIN { usize::MAX } else { lines }
    }

    /// Takes a whole line.
    pub fn put(&mut self, line: &str) {
        if self.waiting.len() + line.len() > WAITING_BYTES_MAX {
            self.queue.count_dropped(1);
            self.dropped += 1;
            // Only a pipe's lines become so many without a failure having been said.
            return self.failed(&ErrorKind::WouldBlock.into());
        }
        self.waiting.extend_from_slice(line.as_bytes());
        if self.waiting.len() >= WRITE_BYTES && !self.failing {
            self.flush();
        }
    }

    /// Hands everything that waits to the kernel, as far as it takes it.
    pub fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match self.file.write(&self.waiting) {
                Ok(0) => return,
                Ok(written) => {
                    self.waiting.drain(..written);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A pipe whose reader is slow: it will take more.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.failed(&error),
            }
        }
        self.recovered();
    }

    /// Opens the file anew by its path; if that fails the old one is kept.
    pub fn reopen(&mut self) {
        self.flush();
        let (key, path) = (self.key, self.path.display());
        match append_to(&self.path) {
            Ok(file) => {
                self.file = file;
                tracing::info!("reopened {key} {path}");
            }
            Err(error) => {
                tracing::error!("cannot reopen {key} {path}: {error}; writing on to the old one");
            }
        }
    }

    /// Says once that lines cannot be written.
    fn failed(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let (key, path) = (self.key, self.path.display());
            tracing::error!(
                "cannot write {key} {path}: {error}; its lines wait, and are dropped when there are too many"
            );
        }
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            let dropped = std::mem::take(&mut self.dropped);
            tracing::info!(
                "{} {} is written again; {dropped} lines were lost",
                self.key,
                self.path.display()
            );
        }
    }
}

/// A pipe without a reader must not hold us up: such an opening fails at once.
fn append_to(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags.bits() as i32).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Sink;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::Ordering::Relaxed;

    /// A folder of its own for each test.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ringway-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn lines_are_appended_and_the_file_is_nobody_elses() {
        let path = folder("append").join("access.log");
        std::fs::write(&path, "before\n").unwrap();
        let sink = Sink::new();
        let mut file = LogFile::open("log.access", &path, sink.queue()).unwrap();
        file.put("one\n");
        file.flush();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\none\n");
        let fresh = path.with_file_name("fresh.log");
        drop(LogFile::open("log.access", &fresh, sink.queue()).unwrap());
        assert_eq!(std::fs::metadata(&fresh).unwrap().permissions().mode() & 0o777 & !MODE, 0);
    }

    #[test]
    fn a_rotated_file_is_left_for_a_new_one() {
        let path = folder("rotate").join("access.log");
        let mut file = LogFile::open("log.access", &path, Sink::new().queue()).unwrap();
        file.put("one\n");
        std::fs::rename(&path, path.with_extension("1")).unwrap();
        file.reopen();
        file.put("two\n");
        file.flush();
        assert_eq!(std::fs::read_to_string(path.with_extension("1")).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two\n");
    }

    #[test]
    fn a_failed_reopen_keeps_the_old_file() {
        let folder = folder("keep");
        let path = folder.join("inner").join("access.log");
        std::fs::create_dir(folder.join("inner")).unwrap();
        let mut file = LogFile::open("log.access", &path, Sink::new().queue()).unwrap();
        std::fs::rename(folder.join("inner"), folder.join("moved")).unwrap();
        file.reopen();
        file.put("one\n");
        file.flush();
        assert_eq!(std::fs::read_to_string(folder.join("moved/access.log")).unwrap(), "one\n");
    }

    #[test]
    fn what_cannot_be_opened_is_told_with_its_path() {
        let path = folder("refused");
        let why = LogFile::open("log.access", &path, Sink::new().queue()).err().unwrap();
        assert!(why.contains(&path.display().to_string()) && why.contains("log.access"), "{why}");
    }

    #[test]
    fn a_pipe_that_nobody_empties_holds_up_nothing_but_its_own_lines() {
        let path = folder("pipe").join("access.fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        let mut reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let sink = Sink::new();
        let mut file = LogFile::open("log.access", &path, sink.queue()).unwrap();
        let line = "x".repeat(1023) + "\n";
        while sink.dropped().load(Relaxed) < 7 {
            assert!(file.room() > 0);
            file.put(&line);
        }
        assert!(file.failing, "it is said");
        assert_eq!(file.room(), usize::MAX);
        // A reader that comes at last gets all that waited, and only then is it over.
        file.flush();
        assert!(file.failing);
        while file.failing {
            assert!(reader.read(&mut [0; 4096]).unwrap() > 0);
            file.flush();
        }
        assert!(file.waiting.is_empty() && file.dropped == 0);
    }

    /// /dev/full answers every write with ENOSPC.
    #[test]
    fn a_full_disk_costs_lines_beyond_the_buffer_and_each_is_counted() {
        let sink = Sink::new();
        let mut file = LogFile::open("log.access", Path::new("/dev/full"), sink.queue()).unwrap();
        let line = "x".repeat(1023) + "\n";
        for _ in 0..WAITING_BYTES_MAX / 1024 + 7 {
            file.put(&line);
        }
        assert!(file.failing && file.waiting.len() == WAITING_BYTES_MAX);
        assert_eq!(sink.dropped().load(Relaxed), 7);
        // There is room again: what waited is written whole.
        let path = folder("full").join("access.log");
        file.file = append_to(&path).unwrap();
        file.flush();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), WAITING_BYTES_MAX as u64);
        assert!(!file.failing);
    }
}
