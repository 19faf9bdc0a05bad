//! Who changed what: one line for each.

use crate::logs::AUDIT;

/// Notes that somebody did something, and what came of it.
pub fn note(by: &str, what: &str, result: &str) {
    tracing::info!(target: AUDIT, by, action = what, result = result.replace('\n', "; "), "changed");
}
