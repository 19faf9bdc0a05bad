//! What log, audit and metrics are told of a reload.

use super::{Outcome, Refusal, Request, Wish};
use crate::audit::{Change, Journal, Outcome as Became};
use crate::running::{LastReload, Running};
use crate::server::State;
use std::rc::Rc;
use std::time::SystemTime;

/// Keys named in one line; the rest are counted.
const KEYS_MAX: usize = 20;
/// Of the last one's message, which is told every second.
const MESSAGE_CHARS_MAX: usize = 1_000;

pub fn tell(running: &Running, journal: &Journal, request: &Request, result: &Result<Outcome, Refusal>) {
    if request.dry_run {
        return;
    }
    let (what, by) = (request.wish.name(), &request.by);
    if matches!(result, Err(Refusal::Restarting)) && request.can_be_put_off() {
        tracing::info!("{what} by {by}: put off until the hot restart is over");
        return;
    }
    match result {
        Ok(outcome) if outcome.changed => {
            tracing::info!("{what} by {by}: {}", summary(outcome));
            for notice in &outcome.notices {
                tracing::warn!("{what} by {by}: {notice}");
            }
        }
        Ok(outcome) => tracing::info!(
            "{what} by {by}: nothing has changed, generation {} stays{}",
            outcome.generation,
            restarts(outcome)
        ),
        Err(refusal) => {
            tracing::error!("{what} by {by} refused, nothing has changed:\n{}", refusal.text());
        }
    }
    if !request.answered {
        write_down(journal, &request.by, request.wish.name(), result);
    }
    count(running, request, result);
}

/// What somebody's request came to, on its way to them. If they are gone when it is dropped, their request's own line of
/// the audit log could not say it: it gets a line here.
pub struct Answered {
    pub state: Rc<State>,
    pub by: String,
    pub action: &'static str,
    pub dry_run: bool,
    pub result: Option<Result<Outcome, Refusal>>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        if let Some(result) = self.result.as_ref().filter(|_| !self.dry_run) {
            write_down(&self.state.journal, &self.by, self.action, result);
        }
    }
}

/// In the audit log, where no request has its line there.
fn write_down(journal: &Journal, by: &str, action: &str, result: &Result<Outcome, Refusal>) {
    let (difference, why) = match result {
        Ok(outcome) => (Some(summary(outcome)), None),
        Err(refusal) => (None, Some(refusal.text())),
    };
    let outcome = if result.is_ok() { Became::Done } else { Became::Failed };
    journal.change(&Change {
        action: Some(action),
        why: why.as_deref(),
        difference: difference.as_deref(),
        ..Change::inside(by, outcome)
    });
}

/// What metrics know. A wish that could not be fulfilled for its own fault is no failed reload.
fn count(running: &Running, request: &Request, result: &Result<Outcome, Refusal>) {
    let mut facts = running.reloads.get();
    match result {
        Ok(outcome) => {
            facts.succeeded += u64::from(outcome.changed);
            facts.unchanged += u64::from(!outcome.changed);
            facts.last_successful = true;
            facts.last_success = SystemTime::now();
        }
        Err(refusal) if refusal.is_failure() && !matches!(request.wish, Wish::Override(_)) => {
            facts.failed += 1;
            facts.last_successful = false;
        }
        Err(_) => return,
    }
    running.reloads.set(facts);
    let message = match result {
        Ok(outcome) => summary(outcome),
        Err(refusal) => refusal.text().chars().take(MESSAGE_CHARS_MAX).collect(),
    };
    let last = LastReload { ok: result.is_ok(), at: SystemTime::now(), message };
    running.last_reload.replace(Some(last));
}

/// In one line: what is different now.
#[must_use]
pub fn summary(outcome: &Outcome) -> String {
    if !outcome.changed {
        return format!("nothing has changed{}", restarts(outcome));
    }
    let keys: Vec<_> = outcome.changes.iter().map(|change| change.key.path).collect();
    format!(
        "generation {}, {} keys applied, {} for new connections{}{}",
        outcome.generation,
        outcome.applied().count(),
        outcome.for_new_connections().count(),
        named(&keys),
        restarts(outcome)
    )
}

fn restarts(outcome: &Outcome) -> String {
    let keys: Vec<_> = outcome.restart_required.iter().map(|change| change.key.path).collect();
    if keys.is_empty() { String::new() } else { format!("; a restart is needed for{}", named(&keys)) }
}

/// ` (a, b)`
fn named(keys: &[&str]) -> String {
    if keys.is_empty() {
        return String::new();
    }
    let more = keys.len().saturating_sub(KEYS_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown: Vec<_> = keys.iter().take(KEYS_MAX).copied().collect();
    format!(" ({}{more})", shown.join(", "))
}
