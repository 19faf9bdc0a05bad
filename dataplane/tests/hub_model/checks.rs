//! What must be true: after every step, at rest, and when all have left.

use super::{Conn, HISTORY_SIZE, HISTORY_TTL_MS, TOPICS, World};
use ringway_dataplane::hub::{Effect, HistoryQuestion, Question, Reply, Ticket};
use std::sync::Arc;

impl World {
    pub fn check_accounts(&self) {
        for worker in &self.workers {
            let counts = worker.hub.counts();
            let accounted = counts.sent + counts.dropped_in_all() + counts.queued;
            assert_eq!(counts.recipients, accounted, "{counts:?}");
            assert_eq!(counts.connections, worker.conns.len() as u64);
            // Four publications and what follows from subscriptions and questions asked.
            assert!(worker.hub.posts_waiting() < 500);
            let subscriptions = worker.conns.values().map(|conn| conn.held.len() + conn.asked.len());
            assert!(counts.subscriptions >= subscriptions.sum::<usize>() as u64);
        }
    }

    /// At rest: everything accepted since its acknowledgement has arrived.
    pub fn check_all_delivered(&self) {
        assert!(self.asked.is_empty(), "every question is answered");
        let accepted: u64 = self.workers.iter().map(|worker| worker.hub.counts().accepted).sum();
        assert_eq!((accepted, self.published), (self.serials(), self.serials()));
        for conn in self.workers.iter().flat_map(|worker| worker.conns.values()) {
            assert!(conn.asked.is_empty() && conn.partial.is_empty());
            for ((_, topic), from) in &conn.due {
                let arrived = conn.arrived.get(*topic).map_or(&[][..], |arrived| arrived);
                let expected: Vec<usize> = (*from..self.accepted[topic].len()).collect();
                let since: Vec<usize> = arrived.iter().copied().filter(|place| place >= from).collect();
                let lossy = self.rough.short_queues;
                assert!(since == expected || lossy, "{topic}: {since:?} of {expected:?}");
            }
        }
    }

    /// At rest: presence, channels and history are what the model says.
    pub fn check_topics(&mut self) {
        for topic in TOPICS {
            let subscribed = |conn: &&Conn| conn.held.contains(topic);
            let there = self.workers.iter().flat_map(|worker| worker.conns.values()).filter(subscribed);
            let mut there: Vec<String> = there.map(|conn| conn.id.clone()).collect();
            there.sort();
            let name: Arc<str> = topic.into();
            match self.question(Question::Channels { pattern: Some(topic.into()) }) {
                Reply::Channels(channels) => {
                    let count = channels.first().map_or(0, |(_, count)| *count as usize);
                    assert_eq!((channels.len(), count), (usize::from(!there.is_empty()), there.len()));
                }
                reply => panic!("{reply:?}"),
            }
            match self.question(Question::Presence { topic: name.clone() }) {
                Reply::Presence(present) => {
                    let mut present: Vec<String> =
                        present.iter().map(|client| client.id.to_string()).collect();
                    present.sort();
                    assert_eq!(present, there, "{topic}");
                }
                reply => assert!(!topic.starts_with("a."), "{topic} {reply:?}"),
            }
            let (limit, reverse, since) = (usize::MAX, false, None);
            let question = HistoryQuestion { topic: name, since, limit, reverse };
            if let Reply::History { publications, .. } = self.question(Question::History(question)) {
                let accepted = &self.accepted[topic];
                let last = &accepted[accepted.len().saturating_sub(HISTORY_SIZE)..];
                let young = last.iter().filter(|(_, at_ms)| at_ms + HISTORY_TTL_MS > self.now_ms);
                let expected: Vec<u64> = young.map(|(serial, _)| *serial).collect();
                let kept: Vec<u64> = publications.iter().map(|publication| publication.at_ns).collect();
                assert_eq!(kept, expected, "{topic}");
            } else {
                assert!(!topic.starts_with("kept."));
            }
        }
    }

    pub fn check_empty(&self) {
        for worker in &self.workers {
            assert!(worker.hub.is_empty(), "{:?} {:?}", worker.hub.info(), worker.hub.counts());
        }
        self.check_accounts();
    }

    /// Asks the first hub and waits for the answer.
    fn question(&mut self, question: Question) -> Reply {
        self.workers[0].hub.ask(question, Ticket(0), self.now_ms).unwrap();
        let workers = self.workers.len();
        for _ in 0..100 {
            if let Some(Effect::Answer { ticket: Ticket(0), reply }) = self.workers[0].hub.poll_effect() {
                return reply;
            }
            for at in 0..workers {
                self.post(at);
                (0..workers).for_each(|from| self.carry(from, at, 1));
            }
        }
        panic!("no answer");
    }

    fn serials(&self) -> u64 {
        self.accepted.values().map(|accepted| accepted.len() as u64).sum()
    }
}
