//! What the publish API asks of this worker.

use super::State;
use super::effects::Asker;
use super::slot::Stage;
use crate::core::Core;
use crate::hub::{self, HistoryQuestion, Publish, Publisher, Question};
use crate::io::inbox::Mail;
use crate::policy::{feed, online};
use ringway_shared::closing::Closing;
use ringway_shared::push::{Answer, Ask, Info, Kept, Place, Present, Refusal, Reply, Who};
use std::rc::Rc;
use std::sync::Arc;

/// What the server's side publishes.
struct Letter<'a> {
    topic: &'a str,
    data: Arc<str>,
    skip_history: bool,
    idempotency_key: Option<Box<str>>,
}

impl State {
    /// Carries out an order; the reply is called now or when the hub has answered.
    pub(super) fn order(&mut self, core: &Rc<Core>, ask: Ask, reply: Reply) {
        match ask {
            Ask::Publish { topic, .. } | Ask::Subscribe { topic, .. } if feed::is_reserved(&topic) => {
                reply(Answer::Refused(Refusal::Reserved));
            }
            Ask::Publish { topic, data, skip_history, idempotency_key } => {
                self.publish_for(core, Letter { topic: &topic, data, skip_history, idempotency_key }, reply);
            }
            Ask::Feed(told) => {
                let mut reply = Some(reply);
                let last = told.len().saturating_sub(1);
                for (index, (feed, data)) in told.into_iter().enumerate() {
                    let (skip_history, idempotency_key) = (true, None);
                    let letter = Letter { topic: feed.topic(), data, skip_history, idempotency_key };
                    let reply = reply.take_if(|_| index == last).unwrap_or_else(|| Box::new(drop));
                    self.publish_for(core, letter, reply);
                }
            }
            Ask::Presence { topic } => self.question(core, Question::Presence { topic }, reply),
            Ask::PresenceStats { topic } => self.question(core, Question::PresenceStats { topic }, reply),
            Ask::History { topic, since, limit, reverse } => {
                let since = match since.map(position).transpose() {
                    Ok(since) => since,
                    Err(refusal) => return reply(Answer::Refused(refusal)),
                };
                let limit = limit.map_or(usize::MAX, |limit| limit as usize);
                self.question(
                    core,
                    Question::History(HistoryQuestion { topic, since, limit, reverse }),
                    reply,
                );
            }
            Ask::HistoryRemove { topic } => self.question(core, Question::HistoryRemove { topic }, reply),
            Ask::Channels { pattern } => {
                let pattern = pattern.map(|pattern| (*pattern).into());
                reply(answer(self.hub.describe(&Question::Channels { pattern })));
            }
            Ask::Info => {
                let info = self.hub.info();
                reply(Answer::Info(Info {
                    clients: info.connections as u32,
                    topics: info.topics as u32,
                    subscriptions: info.subscriptions as u32,
                }));
            }
            Ask::Subscribe { who, topic } => {
                let mut limited = false;
                let connections = self.each_of(core, &who, |state, conn| {
                    limited |= !state.subscribe_to(core, conn, &topic, None);
                });
                reply(if limited {
                    Answer::Refused(Refusal::SubscriptionLimit)
                } else {
                    Answer::Done { connections }
                });
            }
            Ask::Unsubscribe { who, topic } => {
                let connections =
                    self.each_of(core, &who, |state, conn| state.send_away(core, conn, topic.as_deref()));
                reply(Answer::Done { connections });
            }
            Ask::Disconnect { who, spared, code, reason } => {
                let spared: Vec<u128> = spared.iter().filter_map(|client| client_of(client)).collect();
                let connections = self.each_of_but(core, &who, &spared, |state, conn| {
                    state.close_with(core, conn, Closing::Kicked, code, &reason);
                });
                reply(Answer::Done { connections });
            }
        }
    }

    fn publish_for(&mut self, core: &Core, letter: Letter<'_>, reply: Reply) {
        let ticket = self.ticket(Asker::Order(reply));
        let publish = Publish {
            topic: letter.topic,
            data: (*letter.data).into(),
            by: Publisher::Server,
            from: None,
            at_ns: core.now_ns(),
            key: letter.idempotency_key,
            skip_history: letter.skip_history,
        };
        let outcome = self.hub.publish(publish, Some(ticket), core.now_ms());
        self.told_at_once(ticket, outcome);
    }

    fn question(&mut self, core: &Core, question: Question, reply: Reply) {
        let ticket = self.ticket(Asker::Order(reply));
        let outcome = self.hub.ask(question, ticket, core.now_ms());
        self.told_at_once(ticket, outcome);
    }

    /// Tells the publish API of a refusal that came at once.
    fn told_at_once(&mut self, ticket: hub::Ticket, outcome: Result<(), hub::Refusal>) {
        if let Err(refusal) = outcome
            && let Some(Asker::Order(reply)) = self.withdraw(ticket)
        {
            reply(Answer::Refused(refused(refusal)));
        }
    }

    /// Does something to each connection of a user on this worker; how many they were.
    fn each_of(&mut self, core: &Rc<Core>, who: &Who, act: impl FnMut(&mut State, u32)) -> u32 {
        self.each_of_but(core, who, &[], act)
    }

    fn each_of_but(
        &mut self,
        core: &Rc<Core>,
        who: &Who,
        spared: &[u128],
        mut act: impl FnMut(&mut State, u32),
    ) -> u32 {
        let client = who.client.as_deref().map(client_of);
        let mut count = 0;
        for (conn, name) in self.connections_of(core, &who.user) {
            if client.is_none_or(|client| client == Some(name)) && !spared.contains(&name) {
                act(self, conn);
                count += 1;
            }
        }
        count
    }

    /// A user's connections on this worker, and the names clients know them by. Those without a user are in no table: they are
    /// looked for.
    fn connections_of(&self, core: &Core, user: &str) -> Vec<(u32, u128)> {
        if user.is_empty() {
            let open = self.slots.iter().filter(|(_, slot)| slot.stage == Stage::Open);
            let nameless = open.filter(|(_, slot)| slot.about.user().is_empty() && !slot.about.is_guest());
            return nameless.map(|(conn, slot)| (conn as u32, slot.about.client())).collect();
        }
        let sessions = core.wiring.gate.online.sessions(user);
        sessions.iter().filter_map(|session| Some((self.here(core, session)?, session.client))).collect()
    }

    /// The connection of a session, if it is one of this worker's and still there.
    fn here(&self, core: &Core, session: &online::Session) -> Option<u32> {
        let conn = session.connection as u32;
        let ours = session.worker as usize == core.wiring.index;
        let slot = self.slots.get(conn as usize).filter(|_| ours)?;
        (slot.key(conn) == session.connection).then_some(conn)
    }

    /// A newer session takes the place of this one: it is closed, on whichever worker it is.
    pub(super) fn replace(&mut self, core: &Rc<Core>, session: online::Session) {
        if let Some(conn) = self.here(core, &session) {
            // It may have been heard just before the one that takes its place.
            self.send_left(core);
            return self.close(core, conn, Closing::Replaced, Closing::Replaced.text());
        }
        // One of this worker's that is not there has ended already.
        let worker = session.worker as usize;
        if worker != core.wiring.index
            && let Some(outbox) = core.wiring.outboxes.get(worker)
            && outbox.post(Mail::Replaced(session)).is_err()
        {
            self.unreplaced.push(session);
        }
    }

    /// Tries again those whose worker's inbox was full: as many as users have come anew in the meantime, no more.
    pub(super) fn replace_again(&mut self, core: &Rc<Core>) {
        for session in std::mem::take(&mut self.unreplaced) {
            self.replace(core, session);
        }
    }
}

/// The number behind a client id as clients and the publish API write it.
pub(super) fn client_of(text: &str) -> Option<u128> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    (digits.len() == 32).then(|| u128::from_str_radix(&digits, 16).ok()).flatten()
}

/// A client id as it is written: a UUID.
pub(super) fn client_text(client: u128) -> String {
    let hex = format!("{client:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// The hub's answer in the publish API's words.
pub(super) fn answer(reply: hub::Reply) -> Answer {
    match reply {
        hub::Reply::Published(position) => Answer::Published(place(position)),
        hub::Reply::Presence(clients) => Answer::Presence(clients.iter().map(present).collect()),
        hub::Reply::PresenceStats { clients, users } => {
            Answer::PresenceStats { clients: clients as u32, users: users as u32 }
        }
        hub::Reply::History { publications, position } => Answer::History {
            publications: publications
                .iter()
                .map(|it| Kept { offset: it.position.offset, data: (*it.data).into() })
                .collect(),
            place: place(position),
        },
        hub::Reply::HistoryRemoved => Answer::HistoryRemoved,
        hub::Reply::Channels(channels) => {
            Answer::Channels(channels.into_iter().map(|(topic, count)| (topic, count as u32)).collect())
        }
        hub::Reply::Info(_) => Answer::Info(Info::default()),
        hub::Reply::Refused(refusal) => Answer::Refused(refused(refusal)),
    }
}

/// A place as the hub knows it. An empty epoch is the blank one, which fits any.
fn position(place: Place) -> Result<hub::Position, Refusal> {
    let epoch = match &*place.epoch {
        "" => Ok(hub::Epoch::default()),
        text => text.parse().map_err(|_| Refusal::OtherEpoch),
    };
    epoch.map(|epoch| hub::Position { epoch, offset: place.offset })
}

fn place(position: hub::Position) -> Place {
    Place { offset: position.offset, epoch: position.epoch.to_string().into() }
}

fn present(client: &Arc<hub::Client>) -> Present {
    Present {
        client: (*client.id).into(),
        user: (*client.user).into(),
        info: client.info.as_deref().map(Into::into),
    }
}

fn refused(refusal: hub::Refusal) -> Refusal {
    match refusal {
        hub::Refusal::TooManyTopics => Refusal::TooManyTopics,
        hub::Refusal::NotKept => Refusal::NotAvailable,
        hub::Refusal::OtherEpoch => Refusal::OtherEpoch,
        hub::Refusal::BadName => Refusal::BadTopic,
        _ => Refusal::Overloaded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_read_back() {
        for client in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            assert_eq!(client_of(&client_text(client)), Some(client));
        }
        assert_eq!(client_of("me"), None);
    }
}
