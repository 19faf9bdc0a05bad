//! The plain JSON protocol of `/ws`: requests go to the hub, its answers go back.

use super::State;
use super::effects::Asker;
use crate::core::Core;
use crate::hub::{Client, Publish, Publisher, Refusal, Reply};
use crate::proto::pubsub_json::{self, Ask, BARE_PONG, ErrorCode};
use crate::proto::websocket::{self, Data};
use ringway_shared::closing::Closing;
use ringway_shared::gateway::Frame;
use serde_json::value::RawValue;
use std::rc::Rc;
use std::sync::Arc;

/// Messages in a row that are no requests before the connection ends.
const BAD_REQUESTS_MAX: u8 = 100;
/// Answers to one connection are queued in pieces of about so many bytes.
const LETTER_BYTES: usize = 16 * 1024;

impl State {
    /// One request.
    pub(super) fn talk(&mut self, core: &Rc<Core>, conn: u32, text: &str) {
        let request = match pubsub_json::parse(text) {
            Ok(request) => request,
            Err(fault) => {
                self.complain(core, fault.code, &fault.message, fault.id);
                return self.bad_request(core, conn);
            }
        };
        if let Some(slot) = self.slots.get_mut(conn as usize) {
            slot.about.bad_requests = 0;
        }
        match request.ask {
            Ask::BarePing => self.say(core, |out| out.extend_from_slice(BARE_PONG.as_bytes())),
            Ask::Ping => self.say(core, |out| pubsub_json::pong(request.id, out)),
            Ask::Subscribe { topic } => {
                self.subscribe_to(core, conn, &topic, Some(request.id));
            }
            Ask::Unsubscribe { topic } => {
                if self.hub.is_subscribed(conn, &topic) {
                    self.unsubscribe_from(core, conn, Some(&topic));
                }
                self.say(core, |out| pubsub_json::unsubscribed(&topic, request.id, out));
            }
            Ask::Publish { topic, data } => self.publish(core, conn, &topic, data, request.id),
        }
    }

    /// Counts a message that was no request. Who sends nothing else speaks another protocol.
    fn bad_request(&mut self, core: &Rc<Core>, conn: u32) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        slot.about.bad_requests = slot.about.bad_requests.saturating_add(1);
        if slot.about.bad_requests >= BAD_REQUESTS_MAX {
            self.close(core, conn, Closing::BadRequest, Closing::BadRequest.text());
        }
    }

    /// Subscribes a connection. `request`: the id of the client's request, if it was the client's wish. False: it has as many
    /// subscriptions as it may.
    pub(super) fn subscribe_to(
        &mut self,
        core: &Rc<Core>,
        conn: u32,
        topic: &str,
        request: Option<Option<&RawValue>>,
    ) -> bool {
        let id = request.flatten();
        if let Err(refused) = self.may_subscribe(core, conn, topic, request.is_some()) {
            let code = ErrorCode::PermissionDenied;
            self.complain_if(core, conn, request.is_some(), code, refused.text(), id);
            return true;
        }
        let Some(slot) = self.slots.get_mut(conn as usize) else { return true };
        let is_limited = !slot.about.is_guest();
        if is_limited
            && slot.about.subscriptions >= core.service().config.websocket.limits.subscriptions_per_client
        {
            self.complain_if(
                core,
                conn,
                request.is_some(),
                ErrorCode::LimitExceeded,
                "too many subscriptions",
                id,
            );
            return false;
        }
        if self.hub.wants_identity(conn, topic) {
            let about = &slot.about;
            let client = Client {
                id: super::orders::client_text(about.client()).into(),
                user: about.user().into(),
                info: about.known().and_then(|known| known.info.as_deref()).map(Into::into),
            };
            self.hub.identify(conn, Arc::new(client));
        }
        slot.about.subscriptions += 1;
        let generation = slot.generation;
        // Whatever is to be said before it is queued before it.
        self.queue_answers(conn);
        let asker = Asker::Client { conn, generation, topic: topic.into(), id: id.map(ToOwned::to_owned) };
        let ticket = self.ticket(asker);
        let outcome = self.hub.subscribe(conn, topic, ticket);
        if outcome.is_ok() {
            self.asked.insert((conn, ticket.0));
        }
        if let Err(refusal) = outcome {
            self.withdraw(ticket);
            if let Some(slot) = self.slots.get_mut(conn as usize) {
                slot.about.subscriptions -= 1;
            }
            self.complain_if(core, conn, request.is_some(), code_of(refusal), refusal.text(), id);
        }
        true
    }

    /// Ends one subscription of a connection, or all.
    pub(super) fn unsubscribe_from(&mut self, core: &Rc<Core>, conn: u32, topic: Option<&str>) {
        self.forget_asked(core, conn, topic);
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        match topic {
            Some(topic) if self.hub.unsubscribe(conn, topic) => {
                slot.about.subscriptions = slot.about.subscriptions.saturating_sub(1);
            }
            Some(_) => {}
            None => {
                self.hub.unsubscribe_all(conn);
                slot.about.subscriptions = 0;
            }
        }
    }

    /// Ends one subscription of a connection, or all, without its asking: it is told of each.
    pub(super) fn send_away(&mut self, core: &Rc<Core>, conn: u32, topic: Option<&str>) {
        let ended: Vec<Arc<str>> = match topic {
            Some(topic) if self.hub.is_subscribed(conn, topic) => vec![topic.into()],
            Some(_) => Vec::new(),
            None => self.hub.subscriptions(conn).cloned().collect(),
        };
        self.unsubscribe_from(core, conn, topic);
        for topic in ended {
            self.say_to(core, conn, |out| pubsub_json::unsubscribed(&topic, None, out));
        }
    }

    /// What was asked for and is not recorded yet is not wanted any more: whoever waits for the answer is told.
    fn forget_asked(&mut self, core: &Core, conn: u32, topic: Option<&str>) {
        for number in self.take_asked(conn) {
            let meant = |asker: &Asker| match asker {
                Asker::Client { topic: asked, .. } => topic.is_none_or(|topic| **asked == *topic),
                Asker::Order(_) => false,
            };
            if !self.tickets.get(&number).is_some_and(meant) {
                self.asked.insert((conn, number));
            } else if let Some(Asker::Client { id, .. }) = self.tickets.remove(&number) {
                let message = "unsubscribed before it was recorded";
                self.say_to(core, conn, |out| {
                    pubsub_json::error(ErrorCode::NotAvailable, message, id.as_deref(), out)
                });
            }
        }
    }

    /// Tickets of a connection's subscriptions that the hub has not recorded yet; they are forgotten.
    pub(super) fn take_asked(&mut self, conn: u32) -> Vec<u64> {
        let of_conn = (conn, 0)..=(conn, u64::MAX);
        let tickets: Vec<u64> = self.asked.range(of_conn).map(|(_, ticket)| *ticket).collect();
        for ticket in &tickets {
            self.asked.remove(&(conn, *ticket));
        }
        tickets
    }

    fn publish(&mut self, core: &Rc<Core>, conn: u32, topic: &str, data: &RawValue, id: Option<&RawValue>) {
        let Some(slot) = self.slots.get(conn as usize) else { return };
        let generation = slot.generation;
        if slot.about.is_guest() {
            return self.complain(core, ErrorCode::PermissionDenied, "nothing is published here", id);
        }
        self.queue_answers(conn);
        let asker = Asker::Client { conn, generation, topic: topic.into(), id: id.map(ToOwned::to_owned) };
        let ticket = self.ticket(asker);
        let publish = Publish {
            topic,
            data: data.get().into(),
            by: Publisher::Connection(conn),
            from: None,
            at_ns: core.now_ns(),
            key: None,
            skip_history: false,
        };
        if let Err(refusal) = self.hub.publish(publish, Some(ticket), core.now_ms()) {
            self.withdraw(ticket);
            self.complain(core, code_of(refusal), refusal.text(), id);
        }
    }

    /// Writes one text message for the connection that is being read.
    fn say(&mut self, core: &Core, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = std::mem::take(&mut self.said);
        text.clear();
        write(&mut text);
        websocket::frame(Data::Text, false, &text, self.answers.out());
        self.said = text;
        if let Some(slot) = self.serving.and_then(|conn| self.slots.get_mut(conn as usize)) {
            slot.about.sent_messages += 1;
        }
        core.cells.websocket.sent[Frame::Text as usize].add(1);
    }

    /// Queues one text message for a connection that is not being read: together with what else is said to it now, or a client
    /// that asks for much at once would be called slow for the number of answers.
    fn say_to(&mut self, core: &Core, conn: u32, write: impl FnOnce(&mut Vec<u8>)) {
        let mut text = std::mem::take(&mut self.said);
        text.clear();
        write(&mut text);
        websocket::frame(Data::Text, false, &text, self.letter_to(conn));
        self.said = text;
        self.count_text_to(core, conn);
        self.post_long_letter();
    }

    pub(super) fn count_text_to(&mut self, core: &Core, conn: u32) {
        if let Some(slot) = self.slots.get_mut(conn as usize) {
            slot.about.sent_messages += 1;
        }
        core.cells.websocket.sent[Frame::Text as usize].add(1);
    }

    /// The letter to a connection; the one before is posted.
    pub(super) fn letter_to(&mut self, conn: u32) -> &mut Vec<u8> {
        if self.letter.conn != conn {
            self.post_letter();
            self.letter.conn = conn;
        }
        &mut self.letter.frames
    }

    /// Queues them if they are many already.
    pub(super) fn post_long_letter(&mut self) {
        if self.letter.frames.len() >= LETTER_BYTES {
            self.post_letter();
        }
    }

    /// Queues the answers gathered for one connection.
    pub(super) fn post_letter(&mut self) {
        if !self.letter.frames.is_empty() {
            self.hub.push_own(self.letter.conn, self.letter.frames[..].into());
            self.letter.frames.clear();
        }
    }

    fn complain(&mut self, core: &Core, code: ErrorCode, message: &str, id: Option<&RawValue>) {
        core.cells.websocket.requests_refused.add(1);
        self.say(core, |out| pubsub_json::error(code, message, id, out));
    }

    /// The same, if there is someone who asked.
    fn complain_if(
        &mut self,
        core: &Core,
        conn: u32,
        asked: bool,
        code: ErrorCode,
        message: &str,
        id: Option<&RawValue>,
    ) {
        if asked && self.serving == Some(conn) {
            self.complain(core, code, message, id);
        }
    }
}

/// `/ws` speaks JSON texts alone.
pub(super) fn refuse_binary(state: &mut State, core: &Rc<Core>, conn: u32) {
    state.complain(
        core,
        ErrorCode::BadRequest,
        "binary messages are not understood here: send JSON as text",
        None,
    );
    state.bad_request(core, conn);
}

/// The hub has recorded a subscription.
pub(super) fn subscribed(state: &mut State, core: &Core, conn: u32, topic: &str, id: Option<&RawValue>) {
    state.say_to(core, conn, |out| pubsub_json::subscribed(topic, id, out));
}

/// The hub has refused something after all.
pub(super) fn refused(state: &mut State, core: &Core, conn: u32, refusal: Refusal, id: Option<&RawValue>) {
    core.cells.websocket.requests_refused.add(1);
    state.say_to(core, conn, |out| pubsub_json::error(code_of(refusal), refusal.text(), id, out));
}

/// The hub has answered a connection's question: what it published has its place.
pub(super) fn answered(
    state: &mut State,
    core: &Core,
    (conn, generation): (u32, u32),
    topic: &str,
    reply: Reply,
    id: Option<&RawValue>,
) {
    let there = state.slots.get(conn as usize).is_some_and(|slot| slot.generation == generation);
    match reply {
        _ if !there => {}
        Reply::Refused(refusal) => refused(state, core, conn, refusal, id),
        _ => state.say_to(core, conn, |out| pubsub_json::published(topic, id, out)),
    }
}

fn code_of(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::AlreadySubscribed => ErrorCode::AlreadySubscribed,
        Refusal::MayNotPublish => ErrorCode::PermissionDenied,
        Refusal::TooManyTopics => ErrorCode::LimitExceeded,
        Refusal::BadName | Refusal::KeyTooLong => ErrorCode::BadRequest,
        Refusal::Overloaded => ErrorCode::TooManyRequests,
        Refusal::NotConnected | Refusal::NotKept | Refusal::OtherEpoch => ErrorCode::NotAvailable,
    }
}
