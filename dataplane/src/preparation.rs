//! A configuration that all workers take over, or none: what the control plane's thread and the workers share of one.
//!
//! Each worker is sent an [`Order`], makes ready what could fail, and answers. Then one store decides for all of them;
//! no inbox can refuse it. A worker that sleeps meanwhile finds the decision when it wakes.

use crate::io::own::Own;
use crate::service::Service;
use ringway_shared::listener::Entrance;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering, fence};

/// What has been decided of a preparation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Decision {
    Open,
    Commit,
    Abort,
}

/// What a worker says of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Answer {
    Silent,
    Ready,
    /// It cannot watch a new listener.
    Unable,
}

/// Whether all workers wait for the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// These have not answered yet.
    Waiting {
        workers: Vec<usize>,
    },
    Ready,
    /// It cannot be committed. The text says what to do.
    Failed(String),
}

/// The place where workers answer and find the decision.
pub struct Preparation {
    decision: AtomicU8,
    answers: Box<[AtomicU8]>,
}

impl Preparation {
    #[must_use]
    pub fn new(workers: usize) -> Preparation {
        let silent = |_| AtomicU8::new(Answer::Silent as u8);
        Preparation {
            decision: AtomicU8::new(Decision::Open as u8),
            answers: (0..workers).map(silent).collect(),
        }
    }

    #[must_use]
    pub fn decision(&self) -> Decision {
        let decided = self.decision.load(Ordering::Acquire);
        let all = [Decision::Open, Decision::Commit, Decision::Abort];
        all.into_iter().find(|decision| *decision as u8 == decided).unwrap_or(Decision::Abort)
    }

    /// Decides once; what came first stands. Ring every worker's bell after it.
    pub fn decide(&self, decision: Decision) {
        let open = Decision::Open as u8;
        let _ = self.decision.compare_exchange(open, decision as u8, Ordering::AcqRel, Ordering::Relaxed);
        // The counterpart of the one in `Inbox::silence`: a worker whose bell is found ringing sees the decision.
        fence(Ordering::SeqCst);
    }

    pub fn answer(&self, worker: usize, answer: Answer) {
        self.answers[worker].store(answer as u8, Ordering::Release);
    }

    /// The workers that have said this.
    #[must_use]
    pub fn said(&self, answer: Answer) -> Vec<usize> {
        let said = |(_, said): &(usize, &AtomicU8)| said.load(Ordering::Acquire) == answer as u8;
        self.answers.iter().enumerate().filter(said).map(|(worker, _)| worker).collect()
    }

    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let (silent, unable) = (self.said(Answer::Silent), self.said(Answer::Unable));
        if self.decision() != Decision::Open {
            return Readiness::Failed("it has been decided already, or another one came after it".into());
        }
        if !unable.is_empty() {
            let text = format!("workers {unable:?} cannot watch a new listener: raise `ulimit -n`");
            return Readiness::Failed(text);
        }
        if silent.is_empty() { Readiness::Ready } else { Readiness::Waiting { workers: silent } }
    }
}

/// What one worker is to do should it be decided so.
pub struct Order {
    pub preparation: Arc<Preparation>,
    pub generation: u64,
    pub service: Service,
    pub own: Arc<Own>,
    /// Listeners by number that stay, and what they lead to from then on. All others go.
    pub kept: Vec<(u64, Arc<Entrance>)>,
    /// Those that come: bound, and listening by the time it is decided.
    pub added: Vec<(u64, Arc<Entrance>, OwnedFd)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_when_all_have_answered_and_decided_once() {
        let preparation = Preparation::new(2);
        assert_eq!(preparation.readiness(), Readiness::Waiting { workers: vec![0, 1] });
        preparation.answer(1, Answer::Ready);
        assert_eq!(preparation.readiness(), Readiness::Waiting { workers: vec![0] });
        preparation.answer(0, Answer::Ready);
        assert_eq!(preparation.readiness(), Readiness::Ready);
        preparation.decide(Decision::Abort);
        preparation.decide(Decision::Commit);
        assert_eq!(preparation.decision(), Decision::Abort);
        assert!(matches!(preparation.readiness(), Readiness::Failed(_)));
    }

    #[test]
    fn one_that_is_unable_fails_it_for_all() {
        let preparation = Preparation::new(2);
        preparation.answer(1, Answer::Unable);
        assert!(matches!(preparation.readiness(), Readiness::Failed(text) if text.contains("[1]")));
    }
}
