//! The topics whose home this worker is: their order, which workers have subscribers, who is present, what was said.

mod history;
mod repeats;

use super::names::{self, Name};
use super::namespaces::Namespaces;
use super::values::{Client, Epoch, Position, Publication, Refusal, Reply};
pub use history::Keep;
pub use repeats::{IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_TTL_MS};

use history::Kept;
use repeats::Repeats;
use slab::Slab;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Limits of what a home keeps.
#[derive(Clone, Copy, Debug)]
pub struct HomeLimits {
    /// Topics and patterns that this worker knows of as their home. One with nothing but history makes room for another.
    pub topics_max: usize,
    /// Bytes of all their histories. Beyond it the topic that was published to the longest ago loses its own.
    pub history_bytes_max: usize,
    /// Publications remembered by their idempotency keys; the oldest goes first.
    pub keys_max: usize,
}

pub(super) struct Homes {
    names: HashMap<Arc<str>, u32>,
    topics: Slab<Topic>,
    /// Workers with subscribers of a pattern, by its prefix.
    patterns: HashMap<Box<str>, Vec<u32>>,
    pub limits: HomeLimits,
    /// What the next epoch is made of.
    seed: u64,
    /// Topics with history by when they were last published to.
    recent: BTreeMap<u64, u32>,
    uses: u64,
    /// Where [`Homes::tick`] goes on.
    cursor: u64,
    totals: HomeTotals,
    repeats: Repeats,
}

/// How much homes hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HomeTotals {
    pub topics: usize,
    pub present: usize,
    pub history_publications: usize,
    pub history_bytes: usize,
    /// Publications forgotten for want of room, since the start.
    pub history_evicted: u64,
}

/// Forgotten as soon as it has no interest, nobody present and no history.
struct Topic {
    name: Arc<str>,
    epoch: Epoch,
    /// The last publication's.
    offset: u64,
    /// Workers with subscribers by name.
    interest: Vec<u32>,
    present: HashMap<Box<str>, Present>,
    history: VecDeque<Kept>,
    /// Its key in [`Homes::recent`] while it has history.
    used: u64,
}

struct Present {
    client: Arc<Client>,
    worker: u32,
}

impl Homes {
    pub fn new(limits: HomeLimits, seed: u64) -> Homes {
        Homes {
            names: HashMap::new(),
            topics: Slab::new(),
            patterns: HashMap::new(),
            limits,
            seed,
            recent: BTreeMap::new(),
            uses: 0,
            cursor: 0,
            totals: HomeTotals::default(),
            repeats: Repeats::new(limits.keys_max),
        }
    }

    /// Records that a worker has subscribers, and says where the topic stands.
    pub fn want(&mut self, worker: u32, name: &Arc<str>) -> Result<Position, Refusal> {
        match names::parse(name)? {
            Name::Topic(_) => {
                let index = self.topic_or_new(name)?;
                let topic = &mut self.topics[index as usize];
                if !topic.interest.contains(&worker) {
                    topic.interest.push(worker);
                }
                Ok(topic.position())
            }
            Name::Pattern(prefix) => {
                let is_full = self.is_full();
                match self.patterns.get_mut(prefix) {
                    Some(workers) if workers.contains(&worker) => {}
                    Some(workers) => workers.push(worker),
                    None if is_full => return Err(Refusal::TooManyTopics),
                    None => drop(self.patterns.insert(prefix.into(), vec![worker])),
                }
                Ok(Position::default())
            }
        }
    }

    /// A worker has no subscribers any more: those present from it go as well.
    pub fn unwant(&mut self, worker: u32, name: &str) {
        match names::parse(name) {
            Ok(Name::Topic(_)) => {
                let Some(index) = self.names.get(name).copied() else { return };
                let topic = &mut self.topics[index as usize];
                topic.interest.retain(|interested| *interested != worker);
                let before = topic.present.len();
                topic.present.retain(|_, present| present.worker != worker);
                self.totals.present -= before - topic.present.len();
                self.forget_if_idle(index);
            }
            Ok(Name::Pattern(prefix)) => {
                let Some(workers) = self.patterns.get_mut(prefix) else { return };
                workers.retain(|interested| *interested != worker);
                if workers.is_empty() {
                    self.patterns.remove(prefix);
                }
            }
            Err(_) => {}
        }
    }

    /// Someone is there. Only a worker with subscribers can say so.
    pub fn present(&mut self, worker: u32, topic: &str, client: Arc<Client>) {
        let Some(index) = self.names.get(topic) else { return };
        let topic = &mut self.topics[*index as usize];
        if topic.interest.contains(&worker) {
            let known = topic.present.insert(client.id.clone(), Present { client, worker });
            self.totals.present += usize::from(known.is_none());
        }
    }

    pub fn absent(&mut self, topic: &str, client: &Client) {
        let Some(index) = self.names.get(topic).copied() else { return };
        if self.topics[index as usize].present.remove(&client.id).is_some() {
            self.totals.present -= 1;
        }
        self.forget_if_idle(index);
    }

    pub fn presence(&self, topic: &str) -> Vec<Arc<Client>> {
        let present = self.topic(topic).map(|topic| &topic.present);
        present.into_iter().flatten().map(|(_, present)| present.client.clone()).collect()
    }

    pub fn presence_stats(&self, topic: &str) -> Reply {
        let clients = self.presence(topic);
        let users: std::collections::HashSet<&str> = clients.iter().map(|client| &*client.user).collect();
        Reply::PresenceStats { clients: clients.len(), users: users.len() }
    }

    /// The workers with subscribers of a topic, by name or pattern, each once.
    pub fn interested(&self, topic: &str, reserved: bool, into: &mut Vec<u32>) {
        into.clear();
        if let Some(topic) = self.topic(topic) {
            into.extend_from_slice(&topic.interest);
        }
        if self.patterns.is_empty() {
            return;
        }
        for prefix in names::matching_prefixes(topic, reserved) {
            for worker in self.patterns.get(prefix).into_iter().flatten() {
                if !into.contains(worker) {
                    into.push(*worker);
                }
            }
        }
    }

    /// Gives a publication its place and keeps it if its namespace says so. Errors: the table of topics is full.
    pub fn place(
        &mut self,
        publication: &mut Arc<Publication>,
        keep: Keep,
        now_ms: u64,
    ) -> Result<Position, Refusal> {
        let index = match self.names.get(&publication.topic) {
            Some(index) => *index,
            // Only what is kept makes a topic known: nothing else would make it forgotten.
            None if keep.is_any() && !publication.skip_history => self.topic_or_new(&publication.topic)?,
            None => return Ok(Position::default()),
        };
        let topic = &mut self.topics[index as usize];
        topic.offset += 1;
        let position = topic.position();
        // Only its post held it.
        if let Some(publication) = Arc::get_mut(publication) {
            publication.position = position;
            publication.topic = topic.name.clone();
        }
        if keep.is_any() && !publication.skip_history {
            self.keep(index, publication, keep, now_ms);
        }
        Ok(position)
    }

    /// Forgets what is too old, some of it at each call.
    pub fn tick(&mut self, namespaces: &Namespaces, now_ms: u64) {
        self.repeats.tick(now_ms);
        self.tick_histories(namespaces, now_ms);
    }

    /// Places of topics, taken or not.
    pub fn topics_capacity(&self) -> usize {
        self.topics.capacity()
    }

    /// The topic in a place, and how much was published to it.
    pub fn topic_at(&self, index: usize) -> Option<(&str, u64)> {
        self.topics.get(index).map(|topic| (&*topic.name, topic.offset))
    }

    pub fn repeats(&mut self) -> &mut Repeats {
        &mut self.repeats
    }

    pub fn totals(&self) -> HomeTotals {
        HomeTotals { topics: self.topics.len(), ..self.totals }
    }

    /// Whether nothing at all is known here.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.topics.is_empty() && self.patterns.is_empty() && self.recent.is_empty()
    }

    fn topic(&self, topic: &str) -> Option<&Topic> {
        self.names.get(topic).map(|index| &self.topics[*index as usize])
    }

    fn is_full(&self) -> bool {
        self.topics.len() + self.patterns.len() >= self.limits.topics_max
    }

    fn topic_or_new(&mut self, name: &Arc<str>) -> Result<u32, Refusal> {
        if let Some(index) = self.names.get(name) {
            return Ok(*index);
        }
        if self.is_full() && !self.make_room() {
            return Err(Refusal::TooManyTopics);
        }
        let topic = Topic {
            name: name.clone(),
            epoch: self.next_epoch(),
            offset: 0,
            interest: Vec::new(),
            present: HashMap::new(),
            history: VecDeque::new(),
            used: 0,
        };
        let index = self.topics.insert(topic) as u32;
        self.names.insert(name.clone(), index);
        Ok(index)
    }

    fn forget_if_idle(&mut self, index: u32) {
        let topic = &self.topics[index as usize];
        if topic.interest.is_empty() && topic.present.is_empty() && topic.history.is_empty() {
            let topic = self.topics.remove(index as usize);
            self.names.remove(&topic.name);
        }
    }

    /// SplitMix64: no two of a worker's are likely to be equal, whatever the seed.
    fn next_epoch(&mut self) -> Epoch {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Epoch((mixed ^ (mixed >> 31)) as u32)
    }
}

impl Topic {
    fn position(&self) -> Position {
        Position { epoch: self.epoch, offset: self.offset }
    }
}
