//! What hubs say to each other, and what waits to be said.

use super::values::{Client, Position, Publication, Question, Refusal, Reply, Ticket};
use std::collections::VecDeque;
use std::sync::Arc;

/// A message from one hub to another. The caller carries it through the other worker's inbox, in order.
#[derive(Debug)]
pub struct Post {
    pub(super) from: u32,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// To a home: this worker has subscribers of a topic or pattern. `life` comes back.
    Want {
        name: Arc<str>,
        life: u32,
    },
    /// From a home: it has recorded that, or has not. What it delivers after this is complete.
    Wanted {
        name: Arc<str>,
        life: u32,
        outcome: Result<Position, Refusal>,
    },
    /// To a home: no more.
    Unwant {
        name: Arc<str>,
    },
    /// To a home: a client is subscribed to a topic, or no more.
    Present {
        topic: Arc<str>,
        client: Arc<Client>,
    },
    Absent {
        topic: Arc<str>,
        client: Arc<Client>,
    },
    /// To a home.
    Publish {
        publication: Arc<Publication>,
        key: Option<Box<str>>,
        ticket: Option<Ticket>,
    },
    /// From a home, once for each worker with subscribers.
    Deliver(Arc<Publication>),
    /// To a home.
    Ask {
        question: Box<Question>,
        ticket: Ticket,
    },
    /// To who asked or published.
    Answer {
        ticket: Ticket,
        reply: Reply,
    },
    /// To every worker, about itself; and its answer.
    Survey {
        question: Box<Question>,
        survey: u64,
    },
    Surveyed {
        survey: u64,
        part: Reply,
    },
}

// An inbox has thousands of places of this size.
const _: () = assert!(size_of::<Post>() <= 64);

impl What {
    /// Bytes that it keeps in memory while it waits.
    fn weight(&self) -> usize {
        match self {
            What::Publish { publication, .. } | What::Deliver(publication) => publication.data.len(),
            _ => 0,
        }
    }
}

/// Limits of what waits for one worker.
#[derive(Clone, Copy, Debug)]
pub struct BacklogLimits {
    /// Posts from which on publications and questions are refused; from four times as many on subscriptions too. What
    /// must follow from what was accepted always has room.
    pub posts_max: usize,
    /// Bytes of publications' data, in the same way. One is shared by all workers it waits for.
    pub bytes_max: usize,
}

/// What waits for each worker, this one among them.
pub(super) struct Backlogs {
    pub own: usize,
    backlogs: Vec<Backlog>,
    pub limits: BacklogLimits,
    /// Posts for other workers.
    waiting: usize,
    /// Where [`Backlogs::poll`] goes on.
    turn: usize,
}

#[derive(Default)]
struct Backlog {
    posts: VecDeque<What>,
    bytes: usize,
    /// Its inbox was full.
    stuck: bool,
}

/// Room kept by an empty backlog.
const POSTS_KEPT: usize = 1_024;

impl Backlogs {
    pub fn new(own: usize, workers: usize, limits: BacklogLimits) -> Backlogs {
        let backlogs = (0..workers).map(|_| Backlog::default()).collect();
        Backlogs { own, backlogs, limits, waiting: 0, turn: 0 }
    }

    pub fn workers(&self) -> usize {
        self.backlogs.len()
    }

    pub fn post(&mut self, to: usize, what: What) {
        self.waiting += usize::from(to != self.own);
        let backlog = &mut self.backlogs[to];
        backlog.bytes += what.weight();
        backlog.posts.push_back(what);
    }

    /// Whether publications and questions for this worker are to be refused.
    pub fn is_full(&self, to: usize) -> bool {
        let backlog = &self.backlogs[to];
        backlog.posts.len() >= self.limits.posts_max || backlog.bytes >= self.limits.bytes_max
    }

    /// Whether subscriptions that this worker must hear of are to be refused.
    pub fn is_overfull(&self, to: usize) -> bool {
        self.backlogs[to].posts.len() >= self.limits.posts_max.saturating_mul(4)
    }

    /// The next post to this worker itself.
    pub fn take_own(&mut self) -> Option<Post> {
        let own = self.own;
        self.take(own)
    }

    /// The next post to another worker, each in turn.
    pub fn poll(&mut self) -> Option<(usize, Post)> {
        if self.waiting == 0 {
            return None;
        }
        for _ in 0..self.backlogs.len() {
            let to = self.turn;
            self.turn = (to + 1) % self.backlogs.len();
            if to != self.own
                && !self.backlogs[to].stuck
                && let Some(post) = self.take(to)
            {
                self.waiting -= 1;
                return Some((to, post));
            }
        }
        None
    }

    pub fn unposted(&mut self, to: usize, post: Post) {
        let backlog = &mut self.backlogs[to];
        backlog.bytes += post.what.weight();
        backlog.posts.push_front(post.what);
        backlog.stuck = true;
        self.waiting += 1;
    }

    pub fn retry(&mut self) {
        self.backlogs.iter_mut().for_each(|backlog| backlog.stuck = false);
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    fn take(&mut self, to: usize) -> Option<Post> {
        let backlog = &mut self.backlogs[to];
        let what = backlog.posts.pop_front()?;
        backlog.bytes -= what.weight();
        if backlog.posts.is_empty() && backlog.posts.capacity() > POSTS_KEPT {
            backlog.posts = VecDeque::new();
        }
        Some(Post { from: self.own as u32, what })
    }
}
