//! Questions this core's tasks have put to other threads (a name, a password) and wait on.
//!
//! A question is a slot and a generation: an answer that comes after its asker has left finds nobody.
//! A question can also be expired, by the deadline scan; the asker then gets `None`.

use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// Which waiting task a reply belongs to: a slot and its generation, so that a late reply finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub slot: u32,
    pub generation: u32,
}

/// Why a name gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The name does not exist, or has no A or AAAA record, or is no name.
    NotFound,
    /// The name servers failed or answered nonsense, or there is none.
    Failed,
    /// No answer within `socks5.timeouts.name_lookup`.
    Timeout,
}

/// The addresses of a name, at least one and at most [`ADDRESSES_MAX`], none twice, the families
/// taking turns with IPv6 first (RFC 8305 section 4).
pub type Answer = Result<Vec<IpAddr>, LookupError>;

/// What another thread answers.
pub enum Reply {
    Resolved(Answer),
    Verified(bool),
}

/// The open questions of one core.
#[derive(Default)]
pub struct Questions {
    slots: RefCell<Slab<Slot>>,
    generation: Cell<u32>,
}

struct Slot {
    generation: u32,
    state: State,
}

enum State {
    Asked(Option<Waker>),
    Answered(Reply),
    Expired,
}

/// A question being waited on. Dropping it withdraws it.
pub struct Question<'a> {
    questions: &'a Questions,
    ticket: Ticket,
}

impl Questions {
    /// Opens a question. Its ticket goes along with what is asked.
    pub fn open(&self) -> Question<'_> {
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let slot = self.slots.borrow_mut().insert(Slot { generation, state: State::Asked(None) });
        Question { questions: self, ticket: Ticket { slot: slot as u32, generation } }
    }

    /// Delivers an answer; one that nobody waits for any more is dropped.
    pub fn answer(&self, ticket: Ticket, reply: Reply) {
        self.settle(ticket, State::Answered(reply));
    }

    /// Ends a question without an answer.
    pub fn expire(&self, ticket: Ticket) {
        self.settle(ticket, State::Expired);
    }

    fn settle(&self, ticket: Ticket, state: State) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(ticket.slot as usize).filter(|s| s.generation == ticket.generation)
        else {
            return;
        };
        if let State::Asked(waker) = std::mem::replace(&mut slot.state, state) {
            drop(slots);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl Question<'_> {
    #[must_use]
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }
}

impl Future for Question<'_> {
    type Output = Option<Reply>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Reply>> {
        let mut slots = self.questions.slots.borrow_mut();
        let Some(slot) = slots.get_mut(self.ticket.slot as usize) else { return Poll::Ready(None) };
        match std::mem::replace(&mut slot.state, State::Expired) {
            State::Asked(_) => {
                slot.state = State::Asked(Some(context.waker().clone()));
                Poll::Pending
            }
            State::Answered(reply) => Poll::Ready(Some(reply)),
            State::Expired => Poll::Ready(None),
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.questions.slots.borrow_mut().try_remove(self.ticket.slot as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn an_answer_reaches_its_asker() {
        let questions = Questions::default();
        let mut question = questions.open();
        assert!((&mut question).now_or_never().is_none());
        questions.answer(question.ticket(), Reply::Verified(true));
        assert!(matches!(question.now_or_never(), Some(Some(Reply::Verified(true)))));
    }

    #[test]
    fn a_late_answer_does_not_reach_the_slots_next_owner() {
        let questions = Questions::default();
        let late = questions.open().ticket();
        let mut next = questions.open();
        assert_eq!(late.slot, next.ticket().slot);
        questions.answer(late, Reply::Verified(true));
        assert!((&mut next).now_or_never().is_none());
    }

    #[test]
    fn an_expired_question_ends_without_an_answer() {
        let questions = Questions::default();
        let question = questions.open();
        questions.expire(question.ticket());
        assert!(matches!(question.now_or_never(), Some(None)));
    }
}
