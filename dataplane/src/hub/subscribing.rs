//! Subscriptions, and the interest of this worker that the homes record.

use super::Hub;
use super::local::{Settled, Subscribed, Unsubscribed};
use super::names::{self, Name};
use super::post::What;
use super::values::{Client, Effect, Position, Refusal, Ticket};
use std::ops::Range;
use std::sync::Arc;

impl Hub {
    /// Subscribes a connection to a topic or pattern. What comes of it is told by [`Effect::Subscribed`], or
    /// [`Effect::SubscribeRefused`].
    ///
    /// Errors, with no effect to follow: a bad name, subscribed already, too much on the way to the home.
    pub fn subscribe(&mut self, conn: u32, name: &str, ticket: Ticket) -> Result<(), Refusal> {
        let parsed = names::parse(name)?;
        let homes = self.homes_of(parsed);
        if homes.clone().any(|home| self.backlogs.is_overfull(home)) {
            self.counts.refused_overloaded += 1;
            return Err(Refusal::Overloaded);
        }
        match self.local.subscribe(conn, parsed, name, ticket, homes.len() as u32)? {
            Subscribed::Waiting => {}
            Subscribed::Held { name, position, client } => {
                self.appear(&name, client);
                self.effects.push_back(Effect::Subscribed { conn, name, ticket, position });
            }
            Subscribed::Ask { name, life } => {
                for home in homes {
                    self.backlogs.post(home, What::Want { name: name.clone(), life });
                }
            }
        }
        self.settle();
        Ok(())
    }

    /// Ends a subscription, acknowledged or not. False: there was none.
    pub fn unsubscribe(&mut self, conn: u32, name: &str) -> bool {
        let Ok(parsed) = names::parse(name) else { return false };
        let Some(ended) = self.local.unsubscribe(conn, parsed) else { return false };
        if !self.effects.is_empty() {
            self.effects.retain(|effect| !effect.promises(conn, name));
        }
        self.unsubscribed(ended);
        self.settle();
        true
    }

    pub fn unsubscribe_all(&mut self, conn: u32) {
        while let Some(ended) = self.local.unsubscribe_last(conn) {
            self.unsubscribed(ended);
        }
        self.settle();
    }

    /// Whether a connection is subscribed to this very name.
    #[must_use]
    pub fn is_subscribed(&self, conn: u32, name: &str) -> bool {
        names::parse(name).is_ok_and(|name| self.local.is_subscribed(conn, name))
    }

    /// The names a connection is subscribed to, in no order.
    pub fn subscriptions(&self, conn: u32) -> impl Iterator<Item = &Arc<str>> {
        self.local.subscriptions(conn)
    }

    /// A home has recorded this worker's interest, or has refused to.
    pub(super) fn wanted(&mut self, name: &str, life: u32, outcome: Result<Position, Refusal>) {
        match outcome {
            Ok(position) => {
                let Some(Settled { name, position, waiting }) = self.local.recorded(name, life, position)
                else {
                    return;
                };
                for (conn, ticket) in waiting {
                    if !name.ends_with('*') {
                        self.appear(&name, self.local.client(conn).cloned());
                    }
                    self.effects.push_back(Effect::Subscribed { conn, name: name.clone(), ticket, position });
                }
            }
            Err(refusal) => {
                let Some(Settled { name, waiting, .. }) = self.local.refused(name, life) else { return };
                // Other homes may have recorded it.
                self.withdraw(&name);
                for (conn, ticket) in waiting {
                    let name = name.clone();
                    self.effects.push_back(Effect::SubscribeRefused { conn, name, ticket, refusal });
                }
            }
        }
    }

    fn unsubscribed(&mut self, ended: Unsubscribed) {
        let Unsubscribed { name, last, client } = ended;
        if let Some(client) = client {
            let home = self.home(&name);
            self.backlogs.post(home, What::Absent { topic: name.clone(), client });
        }
        if last {
            self.withdraw(&name);
        }
    }

    fn withdraw(&mut self, name: &Arc<str>) {
        let Ok(parsed) = names::parse(name) else { return };
        for home in self.homes_of(parsed) {
            self.backlogs.post(home, What::Unwant { name: name.clone() });
        }
    }

    fn appear(&mut self, topic: &Arc<str>, client: Option<Arc<Client>>) {
        if let Some(client) = client
            && self.namespaces.of(topic).presence
        {
            self.backlogs.post(self.home(topic), What::Present { topic: topic.clone(), client });
        }
    }

    pub(super) fn home(&self, topic: &str) -> usize {
        names::home(topic, self.backlogs.workers())
    }

    /// The workers that record the interest in a name: the home of a topic, all for a pattern.
    fn homes_of(&self, name: Name<'_>) -> Range<usize> {
        match name {
            Name::Topic(topic) => {
                let home = self.home(topic);
                home..home + 1
            }
            Name::Pattern(_) => 0..self.backlogs.workers(),
        }
    }
}

impl Effect {
    fn promises(&self, to: u32, what: &str) -> bool {
        match self {
            Effect::Subscribed { conn, name, .. } | Effect::SubscribeRefused { conn, name, .. } => {
                *conn == to && **name == *what
            }
            Effect::Answer { .. } | Effect::TooSlow { .. } => false,
        }
    }
}
