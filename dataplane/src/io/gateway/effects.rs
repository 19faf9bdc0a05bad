//! What the hub says is carried out: acknowledgements, answers, posts to other workers, frames.

use super::{State, talking};
use crate::core::Core;
use crate::hub::{Effect, Format, Publication, Ticket};
use crate::io::inbox::Mail;
use crate::proto::deflate::Deflater;
use crate::proto::pubsub_json;
use crate::proto::websocket::{self, Data};
use ringway_shared::closing::Closing;
use ringway_shared::feed::Feed;
use ringway_shared::gateway::Dropped;
use ringway_shared::push::Reply;
use serde_json::value::RawValue;
use std::rc::Rc;

/// Deliveries queued by one fan-out, at some 20 ns each; then those that are ready are written to. Whoever gets only a part of a burst is
/// written to once more for the rest of it, and a write is dearer than a hundred deliveries.
const RECIPIENTS_PER_ROUND: u64 = 16_384;
/// Of a queue's limits so large a part is filled before it is offered to the socket: a quarter.
const AHEAD_SHARE: u32 = 4;

/// What has been queued since a pass over those who can be written to began.
#[derive(Default)]
pub(super) struct Ahead {
    messages: u32,
    bytes: usize,
    /// Those in line at its begin that have not had their turn.
    in_line: usize,
}

impl Ahead {
    /// One connection was offered what it has.
    pub(super) fn one_was_offered(&mut self) {
        self.in_line = self.in_line.saturating_sub(1);
    }

    /// Begins to count anew if the pass is over; so many are in line.
    pub(super) fn begin_anew(&mut self, in_line: usize) {
        if self.in_line == 0 || in_line == 0 {
            *self = Ahead { in_line, ..Ahead::default() };
        }
    }
}

/// Answers to one connection, gathered into one frame of its queue.
#[derive(Default)]
pub(super) struct Letter {
    pub conn: u32,
    pub frames: Vec<u8>,
}

/// Who waits for an answer of the hub.
pub(super) enum Asker {
    /// A connection and its request's id.
    Client { conn: u32, generation: u32, topic: Box<str>, id: Option<Box<RawValue>> },
    /// The publish API.
    Order(Reply),
}

/// Makes frames of publications.
#[derive(Default)]
pub(super) struct Encoder {
    text: Vec<u8>,
    squeezed: Vec<u8>,
    /// By window bits, made when first needed: each is some 300 KiB.
    deflaters: [Option<Box<Deflater>>; 7],
}

impl Encoder {
    /// One publication's frame in one format.
    fn encode(
        &mut self,
        publication: &Publication,
        format: Format,
        level: u32,
        has_history: bool,
    ) -> Rc<[u8]> {
        let Publication { topic, data, position, .. } = publication;
        let offset = Some(position.offset).filter(|offset| has_history && *offset > 0);
        self.text.clear();
        pubsub_json::message(topic, data, offset, &mut self.text);
        let mut frame = Vec::with_capacity(self.text.len() + 10);
        let text = std::mem::take(&mut self.text);
        self.frame(Data::Text, &text, format.deflate, level, &mut frame);
        self.text = text;
        frame.into()
    }

    /// One message's frame, compressed for a window of `bits` where that makes it smaller.
    pub(super) fn frame(
        &mut self,
        data: Data,
        payload: &[u8],
        bits: Option<u8>,
        level: u32,
        out: &mut Vec<u8>,
    ) {
        if let Some(bits) = bits {
            let deflater = self.deflaters[usize::from(bits.clamp(9, 15) - 9)]
                .get_or_insert_with(|| Box::new(Deflater::new(bits, level)));
            self.squeezed.clear();
            deflater.deflate(payload, &mut self.squeezed);
            if self.squeezed.len() < payload.len() {
                return websocket::frame(data, true, &self.squeezed, out);
            }
        }
        websocket::frame(data, false, payload, out);
    }
}

impl State {
    /// A number for something that the hub will answer.
    pub(super) fn ticket(&mut self, asker: Asker) -> Ticket {
        self.next_ticket += 1;
        self.tickets.insert(self.next_ticket, asker);
        Ticket(self.next_ticket)
    }

    /// Takes back the number of a question that the hub has refused at once.
    pub(super) fn withdraw(&mut self, ticket: Ticket) -> Option<Asker> {
        self.tickets.remove(&ticket.0)
    }

    /// Acknowledgements first: they are queued before what they promise.
    pub(super) fn carry_out(&mut self, core: &Rc<Core>) {
        self.effects(core);
        self.fan_out(core);
        self.effects(core);
        if self.hub.posts_waiting() > 0 {
            self.hub.retry_posts();
        }
        while let Some((worker, post)) = self.hub.poll_post() {
            match core.wiring.outboxes[worker].post(Mail::Hub(post)) {
                Ok(()) => {}
                Err(Mail::Hub(post)) => self.hub.unposted(worker, post),
                Err(_) => {}
            }
        }
    }

    /// Queues publications for this worker's subscribers: not more than a part of what a queue holds before those who can be
    /// written to have been. Nobody is to be called slow for what has not been offered.
    fn fan_out(&mut self, core: &Core) {
        let service = core.service();
        let websocket = &service.config.websocket;
        let level = websocket.compression.level;
        let messages_max = (websocket.limits.queued_messages / AHEAD_SHARE).max(1);
        let bytes_max = websocket.limits.queued_bytes / AHEAD_SHARE as usize;
        let now_ms = core.now_ms();
        let State { hub, encoder, namespaces, ahead, .. } = self;
        let before = hub.counts().recipients;
        while hub.has_deliveries()
            && ahead.messages < messages_max
            && ahead.bytes < bytes_max
            && hub.counts().recipients - before < RECIPIENTS_PER_ROUND
        {
            hub.fan_out(now_ms, 1, &mut |publication, format| {
                let has_history = namespaces.of(&publication.topic).history_size > 0;
                let frame = encoder.encode(publication, format, level, has_history);
                ahead.messages += 1;
                ahead.bytes += frame.len();
                frame
            });
        }
    }

    fn effects(&mut self, core: &Rc<Core>) {
        while let Some(effect) = self.hub.poll_effect() {
            match effect {
                Effect::Subscribed { conn, name, ticket, .. } => {
                    self.asked.remove(&(conn, ticket.0));
                    if let Some(Asker::Client { id, .. }) = self.withdraw(ticket) {
                        talking::subscribed(self, core, conn, &name, id.as_deref());
                        self.show_board(core, conn, &name);
                    }
                }
                Effect::SubscribeRefused { conn, ticket, refusal, .. } => {
                    self.asked.remove(&(conn, ticket.0));
                    if let Some(Asker::Client { id, .. }) = self.withdraw(ticket) {
                        if let Some(slot) = self.slots.get_mut(conn as usize) {
                            slot.about.subscriptions = slot.about.subscriptions.saturating_sub(1);
                        }
                        talking::refused(self, core, conn, refusal, id.as_deref());
                    }
                }
                Effect::Answer { ticket, reply } => match self.withdraw(ticket) {
                    Some(Asker::Client { conn, generation, topic, id }) => {
                        talking::answered(self, core, (conn, generation), &topic, reply, id.as_deref());
                    }
                    Some(Asker::Order(to)) => to(super::orders::answer(reply)),
                    None => {}
                },
                Effect::TooSlow { conn } => self.too_slow(core, conn),
            }
        }
        self.post_letter();
    }

    /// Its queue is full: it is told, should it ever read so far, and cut when it does not.
    fn too_slow(&mut self, core: &Rc<Core>, conn: u32) {
        self.close(core, conn, Closing::SlowReader, Closing::SlowReader.text());
    }

    /// Copies the hub's counts to the cells.
    pub(super) fn count(&self, core: &Core) {
        let counts = self.hub.counts();
        let info = self.hub.info();
        let cells = &core.cells.websocket;
        cells.subscriptions.set(counts.subscriptions);
        for feed in Feed::ALL {
            cells.feed_subscriptions[feed as usize].set(self.hub.subscribers(feed.topic()));
        }
        cells.topics.set(info.topics as u64);
        cells.publications.set(counts.accepted);
        cells.publications_refused.set(counts.refused_overloaded);
        cells.due.set(counts.recipients);
        cells.delivered.set(counts.sent);
        for (reason, count) in Dropped::ALL.iter().zip(counts.dropped) {
            cells.dropped[*reason as usize].set(count);
        }
        cells.queued_messages.set(counts.queued);
        cells.queued_bytes.set(counts.queued_bytes);
        cells.history_bytes.set(info.history_bytes as u64);
    }
}
