//! Password hashes, checked away from the workers: argon2id costs 40 ms, a worker has none to spare.
//!
//! Here: two threads, their queue, and what a hash may cost. [`Remembered`] is each worker's own
//! memory of successes. Who may log in, and how often, is decided in `policy`.

mod remembered;

pub use remembered::{REMEMBERED_FOR, REMEMBERED_MAX, Remembered};

use crate::io::Busy;
use crate::io::inbox::{Mail, ReturnAddress};
use crate::io::questions::Reply;
use argon2::{Argon2, Params, PasswordHash, PasswordVerifier};
use crossbeam_channel::{Receiver, Sender};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads that verify: logins at once, and the most memory they take is this times `ARGON2_KIB_MAX`.
pub const THREADS: usize = 2;

/// Jobs waiting for a thread. Beyond it `ask` says [`Busy`].
pub const JOBS_MAX: usize = 1_024;

/// The dearest hashes that are computed. A users file could ask for 4 GiB or for a day: such a
/// hash matches nothing. At these limits one check takes some seconds.
pub const ARGON2_KIB_MAX: u32 = 256 * 1024;
pub const ARGON2_PASSES_MAX: u32 = 16;
pub const ARGON2_LANES_MAX: u32 = 8;
pub const BCRYPT_COST_MAX: u32 = 16;

/// bcrypt reads no further: what a longer password says there would not matter, so it is refused.
const BCRYPT_BYTES_MAX: usize = 72;

/// How often a verdict is offered to a full inbox, and the pause between. After that it is dropped:
/// the deadline of the task that waits for it ends the wait.
const POSTS_MAX: u32 = 5;
const POST_PAUSE: Duration = Duration::from_millis(2);

/// One password to check.
pub struct Job {
    /// An argon2 PHC string or a bcrypt string; any other matches nothing.
    pub hash: Arc<str>,
    pub password: Box<[u8]>,
    /// An unknown user: costs what `hash` costs, and the verdict is always no.
    pub decoy: bool,
    /// A job still queued then is dropped, unanswered. So early that a job begun just before is still waited for.
    pub deadline: Instant,
    pub back: ReturnAddress,
}

/// The asking end. Clones may live on any thread; the verifiers' threads end with the last of them.
#[derive(Clone)]
pub struct Verifier {
    jobs: Sender<Job>,
}

/// Starts the threads `ringway-pw0` and `ringway-pw1`.
pub fn start() -> io::Result<(Verifier, Vec<JoinHandle<()>>)> {
    let (sender, jobs) = crossbeam_channel::bounded(JOBS_MAX);
    let threads = (0..THREADS)
        .map(|index| {
            let jobs = jobs.clone();
            std::thread::Builder::new().name(format!("ringway-pw{index}")).spawn(move || serve(&jobs))
        })
        .collect::<io::Result<_>>()?;
    Ok((Verifier { jobs: sender }, threads))
}

impl Verifier {
    /// Queues a job; the verdict comes to its `back` as [`Reply::Verified`]. Never blocks.
    pub fn ask(&self, job: Job) -> Result<(), Busy> {
        self.jobs.try_send(job).map_err(|_| Busy)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.password.fill(0);
        // Else the compiler may see that nobody reads these zeros, and leave the password lying.
        std::hint::black_box(&self.password);
    }
}

/// A thread's life: ends when the last [`Verifier`] is gone and the queue is empty.
fn serve(jobs: &Receiver<Job>) {
    for job in jobs {
        // Under a flood of logins the queue is longer than anybody's patience: work for the living.
        if job.deadline > Instant::now() {
            // A panic in a hash function costs its login, not the thread.
            let matches = catch_unwind(AssertUnwindSafe(|| matches(&job.hash, &job.password)));
            post(&job.back, matches.unwrap_or(false) && !job.decoy);
        }
    }
}

fn post(back: &ReturnAddress, verdict: bool) {
    for _ in 0..POSTS_MAX {
        if back.outbox.post(Mail::Answer(back.ticket, Reply::Verified(verdict))).is_ok() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "a verifier's thread, which no connection waits on")]
        std::thread::sleep(POST_PAUSE);
    }
    tracing::debug!("a worker's inbox stayed full, a verdict dropped");
}

/// Does `password` give `hash`? Both crates compare in constant time.
fn matches(hash: &str, password: &[u8]) -> bool {
    if hash.starts_with("$argon2") { argon2_matches(hash, password) } else { bcrypt_matches(hash, password) }
}

fn argon2_matches(hash: &str, password: &[u8]) -> bool {
    let Ok(parsed) = PasswordHash::new(hash) else {
        return false;
    };
    let Ok(cost) = Params::try_from(&parsed) else {
        return false;
    };
    let bearable = cost.m_cost() <= ARGON2_KIB_MAX
        && cost.t_cost() <= ARGON2_PASSES_MAX
        && cost.p_cost() <= ARGON2_LANES_MAX;
    if !bearable {
        warn_of_cost();
        return false;
    }
    Argon2::default().verify_password(password, &parsed).is_ok()
}

fn bcrypt_matches(hash: &str, password: &[u8]) -> bool {
    let Ok(parts) = hash.parse::<bcrypt::HashParts>() else {
        return false;
    };
    if parts.get_cost() > BCRYPT_COST_MAX {
        warn_of_cost();
        return false;
    }
    // bcrypt repeats password and NUL to 72 bytes: "a" and "a\0a" would be one password. Such a password is
    // refused, but not sooner than any other: beside costlier hashes that would tell which names are known.
    let is_whole = password.len() <= BCRYPT_BYTES_MAX && !password.contains(&0);
    let shown = if is_whole { password } else { &[] };
    bcrypt::verify(shown, hash).unwrap_or(false) && is_whole
}

fn warn_of_cost() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            "a password hash in the users file is too dear to compute, its user cannot log in: argon2 up to \
             m={ARGON2_KIB_MAX},t={ARGON2_PASSES_MAX},p={ARGON2_LANES_MAX}, bcrypt up to cost {BCRYPT_COST_MAX}"
        );
    });
}
