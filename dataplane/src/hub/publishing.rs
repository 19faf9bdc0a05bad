//! A message's way: from whoever publishes it to its topic's home, and from there to the workers with subscribers.

use super::Hub;
use super::homes::{IDEMPOTENCY_KEY_BYTES_MAX, Keep};
use super::names;
use super::post::What;
use super::values::{Effect, Encode, Position, Publication, Publish, Publisher, Refusal, Reply, Ticket};
use ringway_shared::config::Publishers;
use std::sync::Arc;

impl Hub {
    /// Publishes a message. With a ticket an [`Effect::Answer`] tells where it stands in its topic's order, or why it was
    /// refused; then it went to nobody.
    ///
    /// Errors, with no effect to follow: a bad name or key, not permitted, too much on the way to the home.
    pub fn publish(
        &mut self,
        publish: Publish<'_>,
        ticket: Option<Ticket>,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        self.now_ms = now_ms;
        let Publish { topic, data, by, from, at_ns, key, skip_history } = publish;
        names::parse_topic(topic)?;
        if !self.may_publish(by, topic) {
            return Err(Refusal::MayNotPublish);
        }
        if key.as_ref().is_some_and(|key| key.len() > IDEMPOTENCY_KEY_BYTES_MAX) {
            return Err(Refusal::KeyTooLong);
        }
        let home = self.home(topic);
        self.may_send(home)?;
        self.surveys.opened(home != self.worker && ticket.is_some());
        let position = Position::default();
        let publication =
            Arc::new(Publication { topic: topic.into(), data, position, at_ns, from, skip_history });
        self.backlogs.post(home, What::Publish { publication, key, ticket });
        self.settle();
        Ok(())
    }

    /// Whether a topic's namespace lets someone publish.
    #[must_use]
    pub fn may_publish(&self, by: Publisher, topic: &str) -> bool {
        let Publisher::Connection(conn) = by else { return true };
        match self.namespaces.of(topic).publish {
            Publishers::Server => false,
            Publishers::Subscribers => self.local.gets(conn, topic, self.namespaces.is_reserved(topic)),
            Publishers::Anyone => true,
        }
    }

    /// Queues accepted publications for this worker's subscribers until about `recipients_max` were served. True: there are
    /// more, call again after some writing.
    pub fn fan_out(&mut self, now_ms: u64, recipients_max: usize, encode: &mut Encode<'_>) -> bool {
        self.now_ms = now_ms;
        let mut served = 0;
        while let Some(publication) = self.deliveries.pop_front() {
            self.delivery_bytes -= publication.data.len();
            let too_slow = &mut self.too_slow;
            served += self.local.fan_out(&publication, &self.namespaces, encode, now_ms, too_slow);
            self.effects.extend(self.too_slow.drain(..).map(|conn| Effect::TooSlow { conn }));
            if served >= recipients_max {
                break;
            }
        }
        !self.deliveries.is_empty()
    }

    /// Whether [`Hub::fan_out`] has something to do.
    #[must_use]
    pub fn has_deliveries(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// As the home of its topic: gives a publication its place and sends it on, or refuses it.
    pub(super) fn order(
        &mut self,
        from: u32,
        publication: Arc<Publication>,
        key: Option<Box<str>>,
        ticket: Option<Ticket>,
    ) {
        let outcome = self.accept(publication, key);
        if let Some(ticket) = ticket {
            let reply = outcome.map_or_else(Reply::Refused, Reply::Published);
            self.backlogs.post(from as usize, What::Answer { ticket, reply });
        }
    }

    fn accept(
        &mut self,
        mut publication: Arc<Publication>,
        key: Option<Box<str>>,
    ) -> Result<Position, Refusal> {
        let topic = publication.topic.clone();
        if let Some(key) = &key
            && let Some(position) = self.homes.repeats().find(&topic, key, self.now_ms)
        {
            self.counts.repeated += 1;
            return Ok(position);
        }
        let mut interested = std::mem::take(&mut self.interested);
        self.homes.interested(&topic, self.namespaces.is_reserved(&topic), &mut interested);
        let outcome = if interested.iter().any(|worker| self.is_full(*worker as usize)) {
            // Refused to all rather than lost to some.
            self.counts.refused_overloaded += 1;
            Err(Refusal::Overloaded)
        } else {
            let keep = Keep::of(self.namespaces.of(&topic));
            self.homes.place(&mut publication, keep, self.now_ms)
        };
        if let Ok(position) = outcome {
            self.counts.accepted += 1;
            if let Some(key) = key {
                self.homes.repeats().remember(&topic, &key, position, self.now_ms);
            }
            for worker in &interested {
                self.backlogs.post(*worker as usize, What::Deliver(publication.clone()));
            }
        }
        self.interested = interested;
        outcome
    }

    /// Whether a publication or question may set out for its home. Counts it if not.
    pub(super) fn may_send(&mut self, home: usize) -> Result<(), Refusal> {
        let is_remote = home != self.worker;
        if is_remote && (self.backlogs.is_full(home) || self.surveys.open() >= self.limits.questions_max) {
            self.counts.refused_overloaded += 1;
            return Err(Refusal::Overloaded);
        }
        Ok(())
    }

    /// Whether a worker is so far behind that it must not get more publications. This one is when its own subscribers' wait.
    fn is_full(&self, worker: usize) -> bool {
        if worker == self.worker {
            let limits = &self.limits.backlog;
            return self.deliveries.len() >= limits.posts_max || self.delivery_bytes >= limits.bytes_max;
        }
        self.backlogs.is_full(worker)
    }
}
