//! Hubs, the inboxes between them, their connections' sockets, and what must be true of all that.

#[path = "checks.rs"]
mod checks;
#[path = "topics.rs"]
mod topics;

use ringway_dataplane::hub::{
    Client, Effect, Format, Hub, Limits, Position, Post, Publication, Publish, Publisher, Question, Refusal,
    Reply, Settings, Ticket, names,
};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use topics::{HISTORY_SIZE, HISTORY_TTL_MS, covers, namespaces};
pub use topics::{NAMES, TOPICS};

const INBOX: usize = 3;
/// Of each worker.
pub const CONNS: u32 = 4;

/// What goes badly.
#[derive(Clone, Copy)]
pub struct Rough {
    pub full_inboxes: bool,
    pub short_queues: bool,
}

pub struct World {
    rough: Rough,
    workers: Vec<Worker>,
    /// Posts from one worker to another.
    wires: Vec<Vec<VecDeque<Post>>>,
    /// Publications on those wires or before them, in order, as the model knows them.
    underway: Vec<Vec<VecDeque<Underway>>>,
    /// What each topic's home has accepted, in order, and when.
    accepted: HashMap<&'static str, Vec<(u64, u64)>>,
    offsets: Offsets,
    serial: u64,
    tickets: u64,
    /// Answers awaited.
    asked: BTreeSet<u64>,
    published: u64,
    now_ms: u64,
}

/// What hubs said of publications' places.
#[derive(Default)]
struct Offsets {
    /// Of each topic, epoch and offset the serial number.
    serials: BTreeMap<(String, u32, u64), u64>,
    /// Of each serial number.
    positions: BTreeMap<u64, Position>,
}

struct Underway {
    topic: &'static str,
    serial: u64,
}

struct Worker {
    hub: Hub,
    conns: BTreeMap<u32, Conn>,
}

#[derive(Default)]
struct Conn {
    id: String,
    /// Names acknowledged.
    held: BTreeSet<&'static str>,
    asked: BTreeMap<u64, &'static str>,
    /// Of each name held and topic it covers, from where in that topic's accepted publications all must arrive.
    due: HashMap<(&'static str, &'static str), usize>,
    /// Places in its accepted publications of what has arrived.
    arrived: HashMap<String, Vec<usize>>,
    /// Where topics stood when they were first subscribed to, by name, until the first publication after that.
    stood: HashMap<&'static str, Position>,
    /// Topics that some name has ever covered.
    ever: BTreeSet<&'static str>,
    /// Bytes of frames begun.
    partial: Vec<u8>,
}

impl World {
    pub fn new(workers: usize, rough: Rough) -> World {
        let mut limits = Limits::default();
        if rough.short_queues {
            limits.queue.messages_max = 4;
            limits.queue.bytes_max = 200;
            limits.queue.worker_bytes_max = 600;
        }
        if rough.full_inboxes {
            limits.backlog.posts_max = 4;
        }
        let namespaces = Arc::new(namespaces(rough));
        let hub = |worker| {
            let namespaces = namespaces.clone();
            Hub::new(Settings { worker, workers, seed: 1, limits, namespaces })
        };
        World {
            rough,
            workers: (0..workers).map(|worker| Worker { hub: hub(worker), conns: BTreeMap::new() }).collect(),
            wires: (0..workers).map(|_| (0..workers).map(|_| VecDeque::new()).collect()).collect(),
            underway: (0..workers).map(|_| (0..workers).map(|_| VecDeque::new()).collect()).collect(),
            accepted: TOPICS.iter().map(|topic| (*topic, Vec::new())).collect(),
            offsets: Offsets::default(),
            serial: 0,
            tickets: 0,
            asked: BTreeSet::new(),
            published: 0,
            now_ms: 0,
        }
    }

    pub fn join(&mut self, at: usize, conn: u32, deflate: bool) {
        if self.workers[at].conns.contains_key(&conn) {
            return;
        }
        self.tickets += 1;
        let id = format!("{at}-{conn}-{}", self.tickets);
        let Worker { hub, conns } = &mut self.workers[at];
        hub.join(conn, Format { deflate: deflate.then_some(15), ..Format::default() });
        conns.insert(conn, Conn { id, ..Conn::default() });
    }

    pub fn leave(&mut self, at: usize, conn: u32) {
        let Worker { hub, conns } = &mut self.workers[at];
        hub.leave(conn);
        conns.remove(&conn);
    }

    pub fn subscribe(&mut self, at: usize, conn: u32, name: &'static str) {
        self.tickets += 1;
        let ticket = self.tickets;
        let Worker { hub, conns } = &mut self.workers[at];
        let Some(model) = conns.get_mut(&conn) else {
            return assert!(hub.subscribe(conn, name, Ticket(ticket)).is_err());
        };
        if hub.wants_identity(conn, name) {
            let client = Client { id: model.id.as_str().into(), user: "user".into(), info: None };
            hub.identify(conn, Arc::new(client));
        }
        let known = model.held.contains(name) || model.asked.values().any(|asked| *asked == name);
        match hub.subscribe(conn, name, Ticket(ticket)) {
            Ok(()) => {
                assert!(!known);
                model.asked.insert(ticket, name);
            }
            Err(Refusal::AlreadySubscribed) => assert!(known),
            Err(Refusal::Overloaded) => assert!(self.rough.full_inboxes),
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    pub fn unsubscribe(&mut self, at: usize, conn: u32, name: &'static str) {
        let Worker { hub, conns } = &mut self.workers[at];
        let was = hub.unsubscribe(conn, name);
        let Some(model) = conns.get_mut(&conn) else { return assert!(!was) };
        let asked = model.asked.values().any(|asked| *asked == name);
        assert_eq!(was, asked || model.held.contains(name));
        model.asked.retain(|_, asked| *asked != name);
        model.held.remove(name);
        model.stood.remove(name);
        model.due.retain(|(held, _), _| *held != name);
    }

    pub fn publish(&mut self, at: usize, topic: &'static str, bytes: usize, by: Option<u32>) {
        self.serial += 1;
        self.tickets += 1;
        let (serial, ticket) = (self.serial, self.tickets);
        let home = names::home(topic, self.workers.len());
        let data = format!("{serial}{}", " ".repeat(bytes)).into();
        let by = by.map_or(Publisher::Server, Publisher::Connection);
        let publish = Publish { topic, data, by, from: None, at_ns: serial, key: None, skip_history: false };
        let before = self.judged(home);
        match self.workers[at].hub.publish(publish, Some(Ticket(ticket)), self.now_ms) {
            Ok(()) => {
                self.asked.insert(ticket);
                self.underway[at][home].push_back(Underway { topic, serial });
                if at == home {
                    self.judge(at, home, before);
                }
            }
            Err(Refusal::Overloaded) => assert!(self.rough.full_inboxes),
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    pub fn ask(&mut self, at: usize, topic: &str) {
        self.tickets += 1;
        let topic = topic.into();
        let hub = &mut self.workers[at].hub;
        if hub.ask(Question::PresenceStats { topic }, Ticket(self.tickets), self.now_ms).is_ok() {
            self.asked.insert(self.tickets);
        }
    }

    pub fn post(&mut self, at: usize) {
        let hub = &mut self.workers[at].hub;
        hub.retry_posts();
        while let Some((to, post)) = hub.poll_post() {
            assert_ne!(to, at);
            let inbox: usize = self.wires.iter().map(|wires| wires[to].len()).sum();
            if self.rough.full_inboxes && inbox >= INBOX {
                hub.unposted(to, post);
            } else {
                self.wires[at][to].push_back(post);
            }
        }
    }

    pub fn carry(&mut self, from: usize, to: usize, posts: usize) {
        for _ in 0..posts {
            let Some(post) = self.wires[from][to].pop_front() else { return };
            let before = self.judged(to);
            self.workers[to].hub.receive(post, self.now_ms);
            self.judge(from, to, before);
        }
    }

    /// Acknowledgements and answers.
    pub fn poll(&mut self, at: usize) {
        let Worker { hub, conns } = &mut self.workers[at];
        while let Some(effect) = hub.poll_effect() {
            match effect {
                Effect::Subscribed { conn, name, ticket, position } => {
                    let model = conns.get_mut(&conn).expect("an acknowledgement to nobody");
                    let asked = model.asked.remove(&ticket.0).expect("one that was not asked for");
                    assert_eq!(asked, &*name);
                    model.held.insert(asked);
                    for topic in TOPICS.iter().filter(|topic| covers(asked, topic)) {
                        model.due.insert((asked, *topic), self.accepted[topic].len());
                        // What was queued under an earlier subscription may still come.
                        match model.ever.insert(topic) && asked == *topic {
                            true => drop(model.stood.insert(topic, position)),
                            false => drop(model.stood.remove(topic)),
                        }
                    }
                }
                Effect::SubscribeRefused { refusal, .. } => panic!("{refusal:?}"),
                Effect::Answer { ticket, reply } => {
                    assert!(self.asked.remove(&ticket.0), "answered twice");
                    match reply {
                        Reply::Published(_) => self.published += 1,
                        Reply::Refused(Refusal::Overloaded) => assert!(self.rough.full_inboxes),
                        Reply::PresenceStats { .. } | Reply::Refused(Refusal::NotKept) => {}
                        reply => panic!("{reply:?}"),
                    }
                }
                Effect::TooSlow { conn } => {
                    assert!(self.rough.short_queues);
                    hub.leave(conn);
                    conns.remove(&conn).expect("nobody was too slow");
                }
            }
        }
    }

    pub fn fan_out(&mut self, at: usize, recipients: usize) {
        self.poll(at);
        let offsets = &mut self.offsets;
        let mut encode = |publication: &Publication, format: Format| encode(publication, format, offsets);
        self.workers[at].hub.fan_out(self.now_ms, recipients, &mut encode);
    }

    pub fn write(&mut self, at: usize, conn: u32, bytes: usize) {
        let Worker { hub, conns } = &mut self.workers[at];
        let Some(model) = conns.get_mut(&conn) else { return assert!(hub.frames(conn).next().is_none()) };
        let mut text: Vec<u8> = hub.frames(conn).flatten().copied().collect();
        let blocked = bytes < text.len();
        text.truncate(bytes);
        let mut arrivals = Vec::new();
        let sent = hub.sent(conn, text.len(), |at_ns| arrivals.push(at_ns));
        assert_eq!((sent.rest, sent.publications as usize), (blocked, arrivals.len()));
        if blocked {
            hub.blocked(conn);
        }
        model.partial.extend(text);
        let mut told = arrivals.into_iter();
        while let Some(end) = model.partial.iter().position(|byte| *byte == b';') {
            let frame: Vec<u8> = model.partial.drain(..=end).collect();
            let frame = String::from_utf8(frame).unwrap();
            let Some((topic, rest)) = frame.split_once('=') else { continue };
            let serial: u64 = rest.split([' ', ';', '/']).next().unwrap().parse().unwrap();
            assert_eq!(told.next(), Some(serial), "latency is told of what was sent");
            let accepted = &self.accepted[topic];
            let place = accepted.iter().position(|(known, _)| *known == serial).expect("never accepted");
            let arrived = model.arrived.entry(topic.into()).or_default();
            assert!(arrived.last().is_none_or(|last| *last < place), "{topic}: doubled or out of order");
            arrived.push(place);
            if let Some(stood) = model.stood.remove(topic) {
                let position = self.offsets.positions[&serial];
                assert_eq!(position.epoch, stood.epoch);
                let next = position.offset == stood.offset + 1;
                assert!(
                    next || self.rough.short_queues && position.offset > stood.offset,
                    "{stood:?} {position:?}"
                );
            }
        }
    }

    pub fn writable(&mut self, at: usize, conn: u32) {
        self.workers[at].hub.writable(conn);
    }

    pub fn own(&mut self, at: usize, conn: u32) {
        self.workers[at].hub.push_own(conn, Rc::from(&b"own;"[..]));
    }

    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        self.workers.iter_mut().for_each(|worker| worker.hub.tick(self.now_ms));
    }

    /// Lets everything come to rest: all posts taken, all queues written.
    pub fn settle(&mut self) {
        let workers = self.workers.len();
        for _ in 0..10_000 {
            for at in 0..workers {
                self.post(at);
                self.poll(at);
                self.fan_out(at, usize::MAX);
                self.poll(at);
                for conn in 0..CONNS {
                    self.writable(at, conn);
                    self.write(at, conn, usize::MAX);
                }
                (0..workers).for_each(|from| self.carry(from, at, 2));
            }
            let posts: usize = self.wires.iter().flatten().map(VecDeque::len).sum();
            let busy = |worker: &Worker| worker.hub.posts_waiting() > 0 || worker.hub.has_deliveries();
            if posts == 0 && !self.workers.iter().any(busy) {
                (0..workers).for_each(|at| self.poll(at));
                self.workers.iter_mut().for_each(|worker| while worker.hub.poll_dirty().is_some() {});
                return;
            }
        }
        panic!("it never comes to rest");
    }

    pub fn all_leave(&mut self) {
        for at in 0..self.workers.len() {
            (0..CONNS).for_each(|conn| self.leave(at, conn));
        }
        self.settle();
        self.wait(10 * HISTORY_TTL_MS);
        self.settle();
    }

    /// Publications that a home has accepted or refused.
    fn judged(&self, home: usize) -> (u64, u64) {
        let counts = self.workers[home].hub.counts();
        (counts.accepted, counts.refused_overloaded)
    }

    /// Notes what a home has made of the next publication on its way from `from`, if it came by.
    fn judge(&mut self, from: usize, home: usize, before: (u64, u64)) {
        let (accepted, refused) = self.judged(home);
        if (accepted, refused) == before {
            return;
        }
        let Underway { topic, serial } = self.underway[from][home].pop_front().expect("one was on its way");
        if accepted > before.0 {
            self.accepted.get_mut(topic).unwrap().push((serial, self.now_ms));
        }
    }
}

/// "topic=serial and padding;". Notes the offset, which names one place in one order.
fn encode(publication: &Publication, format: Format, offsets: &mut Offsets) -> Rc<[u8]> {
    let Publication { topic, data, position, at_ns: serial, .. } = publication;
    if position.offset > 0 {
        let place = (topic.to_string(), position.epoch.0, position.offset);
        assert_eq!(offsets.serials.entry(place).or_insert(*serial), serial, "one offset, one publication");
    }
    offsets.positions.insert(*serial, *position);
    let deflate = if format.deflate.is_some() { "/" } else { "" };
    format!("{topic}={data}{deflate};").into_bytes().into()
}
