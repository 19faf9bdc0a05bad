//! This worker's connections and what they are subscribed to.
//!
//! A subscription is 8 bytes at its connection, in its record if it is the only one, and 8 at its name, each saying
//! where the other is: both ends are found without hashing and go by `swap_remove`.

mod fan_out;
mod places;

use super::names::{self, Name};
use super::outbox::{Outbox, QueueLimits, Queues};
use super::values::{Client, Format, Position, Refusal, Ticket};
use places::Places;
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;

pub struct Local {
    members: Vec<Option<Member>>,
    topics: HashMap<Arc<str>, u32>,
    /// By their prefix.
    patterns: HashMap<Box<str>, u32>,
    interests: Slab<Interest>,
    pub queues: Queues,
    /// Tells one life of a name from the next.
    lives: u32,
    /// The publication that is being fanned out, to give it once to who matches twice.
    stamp: u32,
}

/// One connection.
struct Member {
    subscriptions: Places,
    client: Option<Arc<Client>>,
    outbox: Outbox,
    /// [`Local::stamp`] of the last publication that more than one name matched.
    stamp: u32,
    format: u8,
}

const _: () = assert!(size_of::<Option<Member>>() <= 64);

/// A name that connections of this worker are subscribed to.
struct Interest {
    name: Arc<str>,
    life: u32,
    /// Homes that have not recorded it yet. Until then nobody gets anything: a publication that comes now is from
    /// before, and the next might be missing.
    missing: u32,
    /// Who is to be told when they have.
    waiting: Vec<(u32, Ticket)>,
    /// Where its topic stands, as far as it was fanned out here.
    position: Position,
    seats: Vec<Seat>,
}

#[derive(Clone, Copy)]
struct Seat {
    conn: u32,
    /// In the connection's subscriptions.
    place: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    interest: u32,
    /// In the name's seats.
    seat: u32,
}

/// What a connection with one subscription takes of this worker's memory.
pub const CONNECTION_BYTES: usize = size_of::<Option<Member>>() + size_of::<Seat>();

/// What a new subscription needs.
pub enum Subscribed {
    /// Nothing: the worker's interest is recorded. Who it is, for presence.
    Held { name: Arc<str>, position: Position, client: Option<Arc<Client>> },
    /// To wait with others.
    Waiting,
    /// That the homes are asked.
    Ask { name: Arc<str>, life: u32 },
}

/// What the end of a subscription needs.
pub struct Unsubscribed {
    pub name: Arc<str>,
    /// It was the worker's last one: the homes are to be told.
    pub last: bool,
    /// Whoever it was is to be absent now.
    pub client: Option<Arc<Client>>,
}

/// A name that all homes have recorded, or that one has refused: who had waited for that.
pub struct Settled {
    pub name: Arc<str>,
    pub position: Position,
    pub waiting: Vec<(u32, Ticket)>,
}

impl Local {
    pub fn new(limits: QueueLimits) -> Local {
        Local {
            members: Vec::new(),
            topics: HashMap::new(),
            patterns: HashMap::new(),
            interests: Slab::new(),
            queues: Queues::new(limits),
            lives: 0,
            stamp: 0,
        }
    }

    pub fn join(&mut self, conn: u32, format: Format) {
        let index = conn as usize;
        if index >= self.members.len() {
            self.members.resize_with(index + 1, || None);
        }
        let member = Member {
            subscriptions: Places::default(),
            client: None,
            outbox: Outbox::default(),
            stamp: 0,
            format: format.index(),
        };
        if self.members[index].replace(member).is_none() {
            self.queues.counts.connections += 1;
        }
    }

    pub fn identify(&mut self, conn: u32, client: Arc<Client>) {
        if let Some(member) = self.member_mut(conn) {
            member.client = Some(client);
        }
    }

    pub fn client(&self, conn: u32) -> Option<&Arc<Client>> {
        self.member(conn)?.client.as_ref()
    }

    /// Forgets a connection that has no subscription any more, and what it has queued.
    pub fn leave(&mut self, conn: u32) {
        let Some(mut member) = self.members.get_mut(conn as usize).and_then(Option::take) else { return };
        self.queues.clear(&mut member.outbox);
        self.queues.counts.connections -= 1;
        if self.queues.counts.connections == 0 {
            self.members = Vec::new();
        }
    }

    /// Notes a subscription. `homes` is how many must record the worker's interest if it is the first.
    pub fn subscribe(
        &mut self,
        conn: u32,
        name: Name<'_>,
        text: &str,
        ticket: Ticket,
        homes: u32,
    ) -> Result<Subscribed, Refusal> {
        let known = self.find(name);
        let Some(member) = self.members.get_mut(conn as usize).and_then(Option::as_mut) else {
            return Err(Refusal::NotConnected);
        };
        let has = |index| member.subscriptions.iter().any(|place| place.interest == index);
        if known.is_some_and(has) {
            return Err(Refusal::AlreadySubscribed);
        }
        let index = match known {
            Some(index) => index,
            None => self.lives_of(name, text, homes),
        };
        self.sit(conn, index);
        let interest = &mut self.interests[index as usize];
        if interest.missing == 0 {
            let client = self.members[conn as usize].as_ref().and_then(|member| member.client.clone());
            return Ok(Subscribed::Held {
                name: interest.name.clone(),
                position: interest.position,
                client: client.filter(|_| matches!(name, Name::Topic(_))),
            });
        }
        interest.waiting.push((conn, ticket));
        Ok(match known {
            Some(_) => Subscribed::Waiting,
            None => Subscribed::Ask { name: interest.name.clone(), life: interest.life },
        })
    }

    pub fn unsubscribe(&mut self, conn: u32, name: Name<'_>) -> Option<Unsubscribed> {
        let index = self.find(name)?;
        let mut places = self.member(conn)?.subscriptions.iter();
        let place = places.position(|place| place.interest == index)?;
        self.stand_up(conn, place)
    }

    /// Ends the connection's last subscription: call until `None`.
    pub fn unsubscribe_last(&mut self, conn: u32) -> Option<Unsubscribed> {
        let last = self.member(conn)?.subscriptions.len().checked_sub(1)?;
        self.stand_up(conn, last)
    }

    pub fn is_subscribed(&self, conn: u32, name: Name<'_>) -> bool {
        let Some(member) = self.member(conn) else { return false };
        self.find(name).is_some_and(|index| member.subscriptions.iter().any(|place| place.interest == index))
    }

    /// Whether one of a connection's subscriptions, by name or pattern, brings it this topic.
    pub fn gets(&self, conn: u32, topic: &str, reserved: bool) -> bool {
        let by_pattern = |prefix| self.is_subscribed(conn, Name::Pattern(prefix));
        self.is_subscribed(conn, Name::Topic(topic))
            || (!self.patterns.is_empty() && names::matching_prefixes(topic, reserved).any(by_pattern))
    }

    /// The names a connection is subscribed to.
    pub fn subscriptions(&self, conn: u32) -> impl Iterator<Item = &Arc<str>> {
        let places = self.member(conn).map_or(&[][..], |member| &member.subscriptions);
        places.iter().map(|place| &self.interests[place.interest as usize].name)
    }

    /// A home has recorded the worker's interest. Some: it was the last one missing.
    pub fn recorded(&mut self, name: &str, life: u32, position: Position) -> Option<Settled> {
        let interest = self.asking(name, life)?;
        interest.missing -= 1;
        if interest.missing > 0 {
            return None;
        }
        interest.position = position;
        let waiting = std::mem::take(&mut interest.waiting);
        Some(Settled { name: interest.name.clone(), position, waiting })
    }

    /// A home has refused it: whoever waited is not subscribed.
    pub fn refused(&mut self, name: &str, life: u32) -> Option<Settled> {
        let interest = self.asking(name, life)?;
        let waiting = std::mem::take(&mut interest.waiting);
        let settled = Settled { name: interest.name.clone(), position: Position::default(), waiting };
        for (conn, _) in &settled.waiting {
            names::parse(name).ok().and_then(|name| self.unsubscribe(*conn, name));
        }
        Some(settled)
    }

    /// Topics with subscribers here and how many, among those that begin with `prefix`.
    pub fn channels(&self, prefix: &str) -> impl Iterator<Item = (&Arc<str>, u64)> {
        let held = move |(name, index): (&Arc<str>, &u32)| {
            let covered = name.starts_with(prefix) && self.interests[*index as usize].missing == 0;
            covered.then(|| self.interests[*index as usize].seats.len() as u64)
        };
        self.topics.iter().filter_map(move |entry| held(entry).map(|count| (entry.0, count)))
    }

    /// One of them.
    pub fn channel(&self, topic: &str) -> Option<(Arc<str>, u64)> {
        let interest = &self.interests[*self.topics.get(topic)? as usize];
        (interest.missing == 0).then(|| (interest.name.clone(), interest.seats.len() as u64))
    }

    /// How many are subscribed to a topic by its name, or are about to be.
    pub fn subscribers(&self, topic: &str) -> u64 {
        self.topics.get(topic).map_or(0, |index| self.interests[*index as usize].seats.len() as u64)
    }

    /// Names with subscribers here.
    pub fn names(&self) -> usize {
        self.interests.len()
    }

    /// Places of names, taken or not.
    pub fn names_capacity(&self) -> usize {
        self.interests.capacity()
    }

    /// The name in a place, and how many are subscribed.
    pub fn name_at(&self, index: usize) -> Option<(&str, u64)> {
        self.interests.get(index).map(|interest| (&*interest.name, interest.seats.len() as u64))
    }

    /// A connection's queue, and all.
    pub fn outbox(&mut self, conn: u32) -> Option<(&mut Outbox, &mut Queues)> {
        let member = self.members.get_mut(conn as usize)?.as_mut()?;
        Some((&mut member.outbox, &mut self.queues))
    }

    pub fn frames(&self, conn: u32) -> impl Iterator<Item = &[u8]> {
        let member = self.member(conn);
        member.into_iter().flat_map(|member| self.queues.frames(&member.outbox))
    }

    pub fn queued(&self, conn: u32) -> (u32, u32) {
        self.member(conn).map_or((0, 0), |member| (member.outbox.frames(), member.outbox.bytes()))
    }

    fn asking(&mut self, name: &str, life: u32) -> Option<&mut Interest> {
        let index = self.find(names::parse(name).ok()?)?;
        let interest = &mut self.interests[index as usize];
        (interest.life == life && interest.missing > 0).then_some(interest)
    }

    fn find(&self, name: Name<'_>) -> Option<u32> {
        match name {
            Name::Topic(topic) => self.topics.get(topic),
            Name::Pattern(prefix) => self.patterns.get(prefix),
        }
        .copied()
    }

    fn lives_of(&mut self, name: Name<'_>, text: &str, homes: u32) -> u32 {
        let text: Arc<str> = text.into();
        self.lives = self.lives.wrapping_add(1);
        let interest = Interest {
            name: text.clone(),
            life: self.lives,
            missing: homes,
            waiting: Vec::new(),
            position: Position::default(),
            seats: Vec::new(),
        };
        let index = self.interests.insert(interest) as u32;
        match name {
            Name::Topic(_) => self.topics.insert(text, index),
            Name::Pattern(prefix) => self.patterns.insert(prefix.into(), index),
        };
        index
    }

    fn sit(&mut self, conn: u32, index: u32) {
        let Some(member) = self.members[conn as usize].as_mut() else { return };
        let seats = &mut self.interests[index as usize].seats;
        let place = Place { interest: index, seat: seats.len() as u32 };
        seats.push(Seat { conn, place: member.subscriptions.len() as u32 });
        member.subscriptions.push(place);
        self.queues.counts.subscriptions += 1;
    }

    fn stand_up(&mut self, conn: u32, place: usize) -> Option<Unsubscribed> {
        let member = self.members.get_mut(conn as usize)?.as_mut()?;
        let client = member.client.clone();
        let Place { interest: index, seat } = member.subscriptions.swap_remove(place);
        if let Some(moved) = member.subscriptions.get(place) {
            self.interests[moved.interest as usize].seats[moved.seat as usize].place = place as u32;
        }
        let interest = &mut self.interests[index as usize];
        interest.seats.swap_remove(seat as usize);
        if let Some(moved) = interest.seats.get(seat as usize)
            && let Some(mover) = self.members[moved.conn as usize].as_mut()
        {
            mover.subscriptions[moved.place as usize].seat = seat;
        }
        interest.waiting.retain(|(waiting, _)| *waiting != conn);
        self.queues.counts.subscriptions -= 1;
        let name = interest.name.clone();
        let last = interest.seats.is_empty();
        let was_present = interest.missing == 0 && !name.ends_with('*');
        if last {
            self.forget(index);
        }
        Some(Unsubscribed { name, last, client: client.filter(|_| was_present) })
    }

    fn forget(&mut self, index: u32) {
        let interest = self.interests.remove(index as usize);
        match names::parse(&interest.name) {
            Ok(Name::Pattern(prefix)) => self.patterns.remove(prefix),
            _ => self.topics.remove(&interest.name),
        };
    }

    fn member(&self, conn: u32) -> Option<&Member> {
        self.members.get(conn as usize)?.as_ref()
    }

    fn member_mut(&mut self, conn: u32) -> Option<&mut Member> {
        self.members.get_mut(conn as usize)?.as_mut()
    }
}
