//! A small system file that is read again when it changes, as the C library does.

use std::path::Path;
use std::time::SystemTime;

/// A file and what it looked like when it was last read.
pub(super) struct Watched {
    path: &'static Path,
    seen: Option<Stamp>,
}

/// Editors replace files (a new inode) or rewrite them (a new time, often a new length).
type Stamp = (SystemTime, u64, u64);

impl Watched {
    /// A file not read yet: `changed` says so, unless it does not exist.
    pub(super) fn new(path: &'static str) -> Self {
        Watched { path: Path::new(path), seen: None }
    }

    pub(super) fn path(&self) -> &'static Path {
        self.path
    }

    /// True if the file changed, appeared or vanished since the last call. One stat(2), about a microsecond.
    pub(super) fn changed(&mut self) -> bool {
        let now = stamp(self.path);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}
