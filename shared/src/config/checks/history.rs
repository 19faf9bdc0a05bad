//! Rules between the keys of the history.

use super::{Check, Complaint, about};
use crate::config::HostFacts;
use crate::config::draft::Draft;

pub const CHECKS: &[Check] = &[
    Check { keys: &["history.keep_minutes", "history.keep_hours"], run: hours_outlive_minutes },
    Check { keys: &["history.keep_hours", "history.keep_days"], run: days_outlive_hours },
];

fn hours_outlive_minutes(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let keep = draft.config.history.keep;
    let message = "is shorter than history.keep_minutes: what is finer is never kept longer";
    if keep.hours < keep.minutes { vec![about("history.keep_hours", message)] } else { Vec::new() }
}

fn days_outlive_hours(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let keep = draft.config.history.keep;
    let message = "is shorter than history.keep_hours: what is finer is never kept longer";
    if keep.days < keep.hours { vec![about("history.keep_days", message)] } else { Vec::new() }
}
