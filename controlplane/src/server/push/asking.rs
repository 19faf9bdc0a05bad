//! Questions to workers, and the wait for their answers. The control thread never blocks: an answer comes back by a
//! queue from the worker's own thread.

use super::fault::{Fault, INTERNAL, TOO_MANY_REQUESTS};
use crate::server::state::Staff;
use ringway_dataplane::WorkerState;
use ringway_shared::push::{Answer, Ask};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout_at};

/// How long a worker may be silent while an answer of it is waited for.
pub const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Questions of one request that one worker has at a time; the rest wait here. It bounds the queue of answers as well.
const ASKED_AT_ONCE: usize = 256;

/// The questions of one request.
pub struct Asking<'a> {
    staff: &'a Staff,
    /// All answers are waited for until then.
    deadline: Instant,
    /// Workers that did not answer: they are not waited for a second time.
    silent: Vec<bool>,
}

impl<'a> Asking<'a> {
    pub fn new(staff: &'a Staff, deadline: Instant) -> Asking<'a> {
        Asking { staff, deadline, silent: vec![false; staff.count] }
    }

    /// Asks a topic's home.
    pub async fn home(&mut self, topic: &str, ask: Ask) -> Result<Answer, Fault> {
        let home = (self.staff.home_of)(topic);
        self.all(vec![(home, ask)]).await.pop().unwrap_or_else(|| Err(unexpected()))
    }

    /// Asks every worker. One that does not answer makes the whole a fault, which names it.
    pub async fn everybody(&mut self, ask: &Ask) -> Result<Vec<Answer>, Fault> {
        let asks = (0..self.staff.count).map(|worker| (worker, ask.clone())).collect();
        self.all(asks).await.into_iter().collect()
    }

    /// Asks each topic's home.
    pub async fn homes(&mut self, asks: impl IntoIterator<Item = (&str, Ask)>) -> Vec<Result<Answer, Fault>> {
        let asks = asks.into_iter().map(|(topic, ask)| ((self.staff.home_of)(topic), ask)).collect();
        self.all(asks).await
    }

    /// Asks workers; the answers stand in the order of the questions, which each worker is asked in as well.
    async fn all(&mut self, asks: Vec<(usize, Ask)>) -> Vec<Result<Answer, Fault>> {
        let (to, mut answers) = unbounded_channel();
        let mut round = Round::new(asks, self.staff.count);
        for worker in 0..self.staff.count {
            if self.silent[worker] {
                round.give_up(worker, &self.silence(worker));
            }
            round.ask_on(worker, self.staff, &to);
        }
        while let Some(due) = round.due() {
            match timeout_at(due.min(self.deadline), answers.recv()).await {
                Ok(Some((number, answer))) => {
                    let worker = round.take(number, answer.ok_or(number), self);
                    round.ask_on(worker, self.staff, &to);
                }
                // Nobody else holds `to`, so an end cannot come before the answers have.
                Ok(None) => break,
                Err(_) => self.give_up_overdue(&mut round),
            }
        }
        round.answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(unexpected()))).collect()
    }

    fn give_up_overdue(&mut self, round: &mut Round) {
        let now = Instant::now();
        for worker in 0..self.staff.count {
            let lane = &round.lanes[worker];
            if lane.asked > 0 && (now >= self.deadline || now >= lane.heard_at + SILENCE_MAX) {
                self.silent[worker] = true;
                round.give_up(worker, &self.silence(worker));
            }
        }
    }

    /// What is said of a worker without an answer.
    fn silence(&self, worker: usize) -> Fault {
        let what = match (self.staff.state)(worker) {
            WorkerState::Running => format!("gave no answer within {} s", SILENCE_MAX.as_secs()),
            WorkerState::Ended { .. } => "has ended".to_owned(),
            WorkerState::Died { .. } => "died".to_owned(),
        };
        let hint = "what it was asked may be done or not; a publication with an idempotency_key may be sent again; GET /livez says how the workers are";
        Fault::new(INTERNAL, format!("internal server error: worker {worker} {what}"), hint)
    }
}

fn unexpected() -> Fault {
    Fault::new(INTERNAL, "internal server error: a worker answered something else", "please report it")
}

/// What the answers are sent by: the question's number, and nothing if the question was dropped without one.
type Back = UnboundedSender<(usize, Option<Answer>)>;

/// One question's way back. Its drop sends, so that a question that is lost with its worker is heard of at once.
struct Return {
    to: Back,
    number: usize,
    answer: Option<Answer>,
}

impl Drop for Return {
    fn drop(&mut self) {
        // Nobody listens any more: the request has been given up.
        let _ = self.to.send((self.number, self.answer.take()));
    }
}

/// Questions under way.
struct Round {
    lanes: Vec<Lane>,
    /// Who each question is for.
    workers: Vec<usize>,
    answers: Vec<Option<Result<Answer, Fault>>>,
}

/// One worker's questions.
struct Lane {
    waiting: VecDeque<(usize, Ask)>,
    asked: usize,
    /// When it was last heard, or first asked.
    heard_at: Instant,
}

impl Round {
    fn new(asks: Vec<(usize, Ask)>, count: usize) -> Round {
        let now = Instant::now();
        let lane = || Lane { waiting: VecDeque::new(), asked: 0, heard_at: now };
        let mut lanes: Vec<Lane> = std::iter::repeat_with(lane).take(count).collect();
        let workers: Vec<usize> = asks.iter().map(|(worker, _)| *worker).collect();
        let answers = workers.iter().map(|_| None).collect();
        for (number, (worker, ask)) in asks.into_iter().enumerate() {
            lanes[worker].waiting.push_back((number, ask));
        }
        Round { lanes, workers, answers }
    }

    /// Asks a worker as much as it may be asked at once.
    fn ask_on(&mut self, worker: usize, staff: &Staff, to: &Back) {
        let lane = &mut self.lanes[worker];
        while lane.asked < ASKED_AT_ONCE
            && let Some((number, ask)) = lane.waiting.pop_front()
        {
            let back = Return { to: to.clone(), number, answer: None };
            let reply = Box::new(move |answer| {
                let mut back = back;
                back.answer = Some(answer);
            });
            if (staff.push)(worker, ask, reply) {
                lane.asked += 1;
            } else {
                self.answers[number] = Some(Err(busy(worker)));
            }
        }
    }

    /// Takes an answer (or the number of a question lost); whose it is.
    fn take(&mut self, number: usize, answer: Result<Answer, usize>, asking: &Asking<'_>) -> usize {
        let worker = self.workers[number];
        if self.answers[number].is_none() {
            self.answers[number] = Some(match answer {
                Ok(Answer::Refused(refusal)) => Err(refusal.into()),
                Ok(answer) => Ok(answer),
                Err(_) => Err(asking.silence(worker)),
            });
            let lane = &mut self.lanes[worker];
            lane.asked -= 1;
            lane.heard_at = Instant::now();
        }
        worker
    }

    /// When the first worker will have been silent for too long; `None`: nothing is waited for.
    fn due(&self) -> Option<Instant> {
        let waited_for = self.lanes.iter().filter(|lane| lane.asked > 0);
        waited_for.map(|lane| lane.heard_at + SILENCE_MAX).min()
    }

    /// No longer waits for a worker.
    fn give_up(&mut self, worker: usize, fault: &Fault) {
        let lane = &mut self.lanes[worker];
        lane.asked = 0;
        lane.waiting.clear();
        let own = self.workers.iter().zip(&mut self.answers).filter(|(held, _)| **held == worker);
        own.for_each(|(_, answer)| {
            answer.get_or_insert_with(|| Err(fault.clone()));
        });
    }
}

fn busy(worker: usize) -> Fault {
    let message = format!("worker {worker} takes no question: its inbox is full or its thread has ended");
    Fault::new(
        TOO_MANY_REQUESTS,
        message,
        "send it again a little later; GET /livez says how the workers are",
    )
}
