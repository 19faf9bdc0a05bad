//! Why nothing has changed.

use ringway_shared::config::{Effective, Faults, Source, Span};

pub enum Refusal {
    /// The configuration is at fault, or cannot be served on this host: everything that is wrong with it.
    Faults(Faults),
    /// These workers did not say in time that they are ready.
    Silent(Vec<usize>),
    /// The configuration in force is another one by now.
    Stale {
        tag: String,
    },
    /// Others are still at it.
    Busy,
    Draining,
    /// The next process is being started, and reads the configuration for itself.
    Restarting,
    /// `None`: there is none before the one in force.
    NoSuchGeneration(Option<u64>),
    NotOverridden(String),
    TooManyOverrides,
}

impl Refusal {
    /// This host refuses it, and why. The text names the key it is about first.
    pub fn unfit(why: &str, effective: &Effective) -> Refusal {
        let (first, rest) = why.split_once([' ', ':']).unwrap_or((why, ""));
        if effective.get(first).is_some() {
            return Refusal::of_key(first, rest.trim_start_matches([':', ' ']), effective);
        }
        Refusal::of_key("", why, effective)
    }

    /// This host refuses what a key says, and why.
    pub fn of_key(key: &str, why: &str, effective: &Effective) -> Refusal {
        let place = effective.get(key).map(|setting| setting.place.clone());
        let place = place.unwrap_or_else(|| Source::BuiltIn.at(Span::default()));
        Refusal::Faults(Faults::one(place, key, why))
    }

    /// Whether the configuration, or a worker, is at fault, and not the moment or the question.
    pub fn is_failure(&self) -> bool {
        matches!(self, Refusal::Faults(_) | Refusal::Silent(_))
    }

    /// For logs, every fault on a line of its own.
    pub fn text(&self) -> String {
        match self {
            Refusal::Faults(faults) => faults.to_string(),
            Refusal::Silent(workers) => {
                format!("the workers {workers:?} did not answer within 2 s: GET /livez says how they are")
            }
            Refusal::Stale { tag } => format!("the configuration in force is {tag}"),
            Refusal::Busy => "another reload is under way".to_owned(),
            Refusal::Draining => "ringway is draining".to_owned(),
            Refusal::Restarting => "a hot restart is under way".to_owned(),
            Refusal::NoSuchGeneration(Some(number)) => format!("generation {number} is not kept"),
            Refusal::NoSuchGeneration(None) => "there is no generation before the one in force".to_owned(),
            Refusal::NotOverridden(key) => format!("{key} is not set for a time"),
            Refusal::TooManyOverrides => {
                format!("more than {} keys would be set for a time", super::OVERRIDES_MAX)
            }
        }
    }
}
