//! Password hashes, checked away from the workers: argon2id costs 40 ms, a worker has none to spare.

use crate::io::Busy;
use crate::io::inbox::ReturnAddress;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// One password to check.
pub struct Job {
    /// An argon2 PHC string or a bcrypt string.
    pub hash: Arc<str>,
    pub password: Box<[u8]>,
    /// An unknown user: costs what a known one costs, and the answer is always no.
    pub decoy: bool,
    /// After this nobody waits: a job still queued then is dropped, unanswered.
    pub deadline: Instant,
    pub back: ReturnAddress,
}

/// The asking end. Clones may live on any thread; the verifier threads end with the last of them.
#[derive(Clone)]
pub struct Verifier {}

/// Starts the threads `ringway-pw0` and `ringway-pw1`.
pub fn start() -> io::Result<(Verifier, Vec<JoinHandle<()>>)> {
    Err(io::Error::other("being built"))
}

impl Verifier {
    /// Queues a job; the answer comes to its `back` as `Mail::Verified`. Never blocks.
    pub fn ask(&self, _job: Job) -> Result<(), Busy> {
        Err(Busy)
    }
}

/// Passwords one worker has lately seen verified, so that the next login costs a hash of microseconds.
pub struct Remembered {}

impl Remembered {
    /// An empty memory under a random key of its own. Errors: the kernel gave no random bytes.
    pub fn new() -> io::Result<Self> {
        Ok(Remembered {})
    }

    /// True if `keep` was told of exactly these, not longer ago than the lifetime.
    #[must_use]
    pub fn holds(&self, _user: &str, _hash: &str, _password: &[u8], _now: Instant) -> bool {
        false
    }

    /// Remembers a success. Call it only for a `Mail::Verified(_, true)`.
    pub fn keep(&mut self, _user: &str, _hash: &str, _password: &[u8], _now: Instant) {}
}
