//! Names to addresses, on a thread of its own: a slow name server never stalls a worker.
//!
//! Here: the queue, the merging of equal questions, the posting of answers. `hosts` answers without
//! asking anybody, `dns` asks the name servers. What is done with the addresses is decided elsewhere.

mod dns;
mod hosts;
mod watched;

use crate::io::Busy;
use crate::io::inbox::{Mail, ReturnAddress};
use crate::io::questions::Reply;
use dns::Servers;
use hosts::HostsFile;
use ringway_shared::config;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Questions asked and not yet answered, of all workers together. Beyond it `ask` says [`Busy`].
pub const QUESTIONS_MAX: usize = 16_384;

/// Addresses in one answer; a name with more loses the rest. Nobody dials seventeen in a row.
pub const ADDRESSES_MAX: usize = 16;

/// How often an answer is offered to a full inbox, and the pause between. After that it is dropped:
/// the deadline of the task that waits for it ends the wait.
const POSTS_MAX: u32 = 5;
const POST_PAUSE: Duration = Duration::from_millis(2);

pub use crate::io::questions::{Answer, LookupError};

/// The asking end. Clones may live on any thread; the resolver's thread ends with the last of them.
#[derive(Clone)]
pub struct Resolver {
    orders: UnboundedSender<Order>,
    /// Bounds the questions among `orders` and all that comes after them.
    places: Arc<Semaphore>,
}

/// Starts the thread `ringway-dns`. Errors say what to do.
pub fn start(dns: &config::Dns, lookup_timeout: Duration) -> Result<(Resolver, JoinHandle<()>), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| format!("the resolver cannot start ({error}): raise the descriptor limit"))?;
    let (sender, orders) = unbounded_channel();
    let servers = Servers::new(dns.clone(), lookup_timeout);
    let thread = std::thread::Builder::new()
        .name("ringway-dns".into())
        .spawn(move || runtime.block_on(serve(orders, servers, lookup_timeout)))
        .map_err(|error| format!("the resolver's thread cannot start ({error}): raise the thread limit"))?;
    Ok((Resolver { orders: sender, places: Arc::new(Semaphore::new(QUESTIONS_MAX)) }, thread))
}

impl Resolver {
    /// Asks for the addresses of `name`; the answer comes to `back` as [`Reply::Resolved`]. Never blocks.
    ///
    /// Every question accepted here is answered within the lookup timeout, however long the queue.
    /// `name` is 1 to 255 bytes without a NUL; an address written as a name gives that address.
    pub fn ask(&self, name: &str, back: ReturnAddress) -> Result<(), Busy> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| Busy)?;
        let name = name.to_ascii_lowercase().into();
        let question = Question { name, asked: Instant::now(), back, _place: place };
        self.orders.send(Order::Answer(question)).map_err(|_| Busy)
    }

    /// From the next question on these settings hold; lookups under way keep theirs. What was cached is forgotten.
    pub fn reconfigure(&self, dns: &config::Dns, lookup_timeout: Duration) {
        // Fails only when nobody asks any more.
        let _ = self.orders.send(Order::Reconfigure(Box::new(dns.clone()), lookup_timeout));
    }
}

/// What the thread is told.
enum Order {
    Answer(Question),
    Reconfigure(Box<config::Dns>, Duration),
}

struct Question {
    /// In lower case: names that differ in case only are one name.
    name: Arc<str>,
    asked: Instant,
    back: ReturnAddress,
    _place: OwnedSemaphorePermit,
}

impl Question {
    /// False: the worker's inbox is full.
    fn post(&self, answer: Answer) -> bool {
        self.back.outbox.post(Mail::Answer(self.back.ticket, Reply::Resolved(answer))).is_ok()
    }
}

/// The thread's life: ends when the last [`Resolver`] is gone.
async fn serve(mut orders: UnboundedReceiver<Order>, mut servers: Servers, mut lookup_timeout: Duration) {
    let mut hosts = HostsFile::system();
    let flights = Flights::default();
    while let Some(order) = orders.recv().await {
        let question = match order {
            Order::Answer(question) => question,
            Order::Reconfigure(dns, timeout) => {
                servers = Servers::new(*dns, timeout);
                lookup_timeout = timeout;
                continue;
            }
        };
        if let Some(addresses) = hosts.addresses(&question.name) {
            tokio::spawn(deliver(vec![question], Ok(in_turn(addresses))));
        } else if let Some(flight) = flights.board(question) {
            let dns = servers.current();
            tokio::spawn(async move {
                let answer = dns.addresses(&flight.name, flight.departed + lookup_timeout).await;
                flight.land(answer.map(in_turn)).await;
            });
        }
    }
}

/// Offers `answer` to all `questions`, a few times to those whose inbox is full.
async fn deliver(mut questions: Vec<Question>, answer: Answer) {
    for _ in 0..POSTS_MAX {
        questions.retain(|question| !question.post(answer.clone()));
        if questions.is_empty() {
            return;
        }
        tokio::time::sleep(POST_PAUSE).await;
    }
    tracing::debug!(lost = questions.len(), "a worker's inbox stayed full, answers dropped");
}

/// The order in which addresses are worth dialling: see [`Answer`].
fn in_turn(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let mut ordered = Vec::with_capacity(ADDRESSES_MAX);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        let turn = [v6.next(), v4.next()];
        if turn == [None, None] {
            return ordered;
        }
        for address in turn.into_iter().flatten() {
            if ordered.len() < ADDRESSES_MAX && !ordered.contains(&address) {
                ordered.push(address);
            }
        }
    }
}

/// The lookups under way, each with all who wait for it: a thousand equal questions make one query.
#[derive(Clone, Default)]
struct Flights(Arc<Mutex<HashMap<Arc<str>, Vec<Question>>>>);

impl Flights {
    /// Joins the lookup of this name, or begins one and returns it.
    fn board(&self, question: Question) -> Option<Flight> {
        let (name, departed) = (question.name.clone(), question.asked);
        match self.lock().entry(name.clone()) {
            Entry::Occupied(mut under_way) => {
                under_way.get_mut().push(question);
                None
            }
            Entry::Vacant(free) => {
                free.insert(vec![question]);
                Some(Flight { name, departed, flights: self.clone() })
            }
        }
    }

    /// Never contended: one thread only ever locks it.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Vec<Question>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lookup under way. Dropped before it lands (it panicked, or the thread ends) it answers `Failed`.
struct Flight {
    name: Arc<str>,
    /// When the first of its questions was asked: the lookup timeout counts from here.
    departed: Instant,
    flights: Flights,
}

impl Flight {
    async fn land(self, answer: Answer) {
        let questions = self.disembark();
        // Before any wait: the name may fly again, and that flight's questions are not ours to fail.
        drop(self);
        deliver(questions, answer).await;
    }

    fn disembark(&self) -> Vec<Question> {
        self.flights.lock().remove(&self.name).unwrap_or_default()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        for question in self.disembark() {
            question.post(Err(LookupError::Failed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::inbox::{Inbox, Outbox, inbox};
    use crate::io::questions::Ticket;

    fn question(outbox: &Outbox, slot: u32) -> Question {
        let places = Arc::new(Semaphore::new(1));
        Question {
            name: "a.test".into(),
            asked: Instant::now(),
            back: ReturnAddress { outbox: outbox.clone(), ticket: Ticket { slot, generation: 0 } },
            _place: places.try_acquire_owned().unwrap(),
        }
    }

    fn answers(inbox: &Inbox) -> Vec<(u32, Answer)> {
        let resolved = |mail| match mail {
            Mail::Answer(ticket, Reply::Resolved(answer)) => (ticket.slot, answer),
            _ => panic!("not an answer"),
        };
        std::iter::from_fn(|| inbox.take()).map(resolved).collect()
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
    }

    #[test]
    fn a_lookup_that_panics_answers_and_the_name_can_be_asked_again() {
        let (outbox, inbox) = inbox().unwrap();
        let flights = Flights::default();
        let flight = flights.board(question(&outbox, 1)).unwrap();
        assert!(flights.board(question(&outbox, 2)).is_none());
        let panicked = run(async {
            tokio::spawn(async move {
                let _under_way = flight;
                panic!("on purpose");
            })
            .await
        });
        assert!(panicked.is_err());
        assert_eq!(answers(&inbox), [(1, Err(LookupError::Failed)), (2, Err(LookupError::Failed))]);
        assert!(flights.board(question(&outbox, 3)).is_some());
    }

    #[test]
    fn an_answer_waits_a_little_for_a_full_inbox() {
        let (outbox, inbox) = inbox().unwrap();
        let fill = || {
            while outbox.post(Mail::Answer(Ticket { slot: 0, generation: 0 }, Reply::Verified(true))).is_ok()
            {
            }
        };
        fill();
        run(async {
            let delivery = tokio::spawn(deliver(vec![question(&outbox, 1)], Ok(vec![[127, 0, 0, 1].into()])));
            tokio::task::yield_now().await; // refused once
            inbox.take().unwrap();
            delivery.await.unwrap();
        });
        let last = std::iter::from_fn(|| inbox.take()).last();
        assert!(matches!(last, Some(Mail::Answer(_, Reply::Resolved(_)))));

        fill();
        run(deliver(vec![question(&outbox, 1)], Err(LookupError::Failed)));
        assert!(
            std::iter::from_fn(|| inbox.take())
                .all(|mail| matches!(mail, Mail::Answer(_, Reply::Verified(_)))),
            "dropped"
        );
    }
}
