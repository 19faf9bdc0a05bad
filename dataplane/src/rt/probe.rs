//! Which rings the kernel grants here: for `ringway doctor`, without a runtime.

use super::{RING_ENTRIES, refusal, ring_flavours};
use ringway_shared::metrics::Driver;
use rustix::io::Errno;
use std::io;

/// One kind of ring, tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub driver: Driver,
    /// Submission entries: of the ring that was made, or the fewest that were refused.
    pub entries: u32,
    /// `None`: it was made, and entered.
    pub refusal: Option<Refusal>,
}

/// Why a ring was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// EPERM or EACCES: a sysctl, a security module or a seccomp filter says no.
    pub forbidden: bool,
    /// For the operator, with the remedy.
    pub text: String,
}

/// The entries that a worker asks for first.
#[must_use]
pub fn wanted_entries() -> u32 {
    RING_ENTRIES[0]
}

/// Tries every kind of ring, best first, as a worker would. All are gone when it returns.
#[must_use]
pub fn probe() -> Vec<Attempt> {
    ring_flavours().into_iter().map(|(driver, ring)| attempt(driver, &ring)).collect()
}

fn attempt(driver: Driver, ring: &io_uring::Builder) -> Attempt {
    let mut entries = wanted_entries();
    let mut outcome = make(ring, entries);
    for fewer in &RING_ENTRIES[1..] {
        let Err(error) = &outcome else { break };
        if Errno::from_io_error(error) != Some(Errno::NOMEM) {
            break;
        }
        entries = *fewer;
        outcome = make(ring, entries);
    }
    let refusal = outcome.err().map(|error| Refusal {
        forbidden: matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::ACCESS)),
        text: refusal(&error),
    });
    Attempt { driver, entries, refusal }
}

/// Makes a ring and enters it: a filter may let one of the two calls pass and not the other.
fn make(ring: &io_uring::Builder, entries: u32) -> io::Result<()> {
    ring.build(entries)?.submit().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::Runtime;
    use ringway_shared::config::DriverChoice;

    #[test]
    fn the_probe_finds_what_a_worker_gets() {
        let attempts = probe();
        let best = attempts.iter().find(|attempt| attempt.refusal.is_none());
        let driver = best.map_or(Driver::Epoll, |attempt| attempt.driver);
        assert_eq!(Runtime::build(DriverChoice::Auto).unwrap().driver, driver, "{attempts:?}");
    }
}
