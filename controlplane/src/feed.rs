//! The live feed: five topics that tell how ringway does (docs/feed.md), published through its own hub.
//!
//! What is told stands in a page of its own: `traffic_data`, `proxy_health`, `system_performance`, `user_activity`. This one says when. What one moment
//! tells is handed over at once, so that each reader gets it in one write. Nothing here waits: a worker that does not keep up goes without.

mod proxy_health;
mod system_performance;
mod traffic_data;
mod user_activity;

use crate::calendar;
use crate::certificates::CertificateFacts;
use crate::server::{Ports, State, figures};
use proxy_health::LastMinute;
use ringway_dataplane::Workers;
use ringway_shared::feed::Feed;
use ringway_shared::push::Ask;
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::{Value as Json, json};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use system_performance::Process;
use tokio::time::{Instant, sleep_until};
use user_activity::Activity;

/// How often what changes slowly is told, and what nobody reads is put on the board.
const SLOWLY: Duration = Duration::from_secs(1);
/// Moments whose snapshots their worker has not come to yet; what further ones tell is left out: what it will come to is old enough.
const UNANSWERED_MAX: usize = 16;

/// Publishes until the process ends.
pub struct Publisher {
    state: Rc<State>,
    workers: Rc<Workers>,
    ports: Rc<Ports>,
    certificates: Rc<Cell<CertificateFacts>>,
    /// New for each process: by it a client knows that `seq` begins anew.
    boot: String,
    /// The number of each topic's latest.
    seqs: [Cell<u64>; Feed::COUNT],
    unanswered: Arc<AtomicUsize>,
    process: RefCell<Process>,
    last_minute: RefCell<LastMinute>,
    activity: Activity,
    /// What [`crate::alerts::Alerts::changed`] said when they were told.
    alerts_told: Cell<u64>,
}

impl Publisher {
    #[must_use]
    pub fn new(
        state: Rc<State>,
        workers: Rc<Workers>,
        ports: Rc<Ports>,
        certificates: Rc<Cell<CertificateFacts>>,
    ) -> Publisher {
        Publisher {
            state,
            workers,
            ports,
            certificates,
            boot: boot(),
            seqs: Default::default(),
            unanswered: Arc::default(),
            process: RefCell::default(),
            last_minute: RefCell::default(),
            activity: Activity::default(),
            alerts_told: Cell::default(),
        }
    }

    /// Never ends.
    pub async fn run(&self) {
        tokio::join!(self.tell(), self.activity.look_on(&self.state, &self.workers));
    }

    async fn tell(&self) {
        let mut beat = Instant::now();
        let mut slow = beat;
        // None yet: the first one is looked at as well.
        let mut judged = 0;
        loop {
            sleep_until(beat).await;
            let config = self.state.running.config();
            if self.state.running.generation() != judged {
                judged = self.state.running.generation();
                self.tell_revoked(self.state.readers.judge_anew(&config.control));
            }
            let interval = config.control.feed.interval;
            // The next one would come too late.
            let slowly = beat + interval > slow;
            self.round(interval, slowly);
            if slowly {
                slow = beat + SLOWLY;
            }
            // What was missed while the process did not run stays so.
            beat = (beat + interval).max(Instant::now());
        }
    }

    fn tell_revoked(&self, revoked: usize) {
        if revoked > 0 {
            tracing::info!("{revoked} clients may not read the feed any more: their connections are closed");
        }
    }

    /// Tells what is due.
    fn round(&self, interval: Duration, slowly: bool) {
        let readers = self.readers();
        let read = |feed: Feed| readers[feed as usize] > 0;
        let mut told: Vec<(Feed, Json)> = Vec::new();
        if slowly || read(Feed::TrafficData) {
            let figures = figures(&self.state);
            told.push((Feed::TrafficData, traffic_data::told(&figures)));
            if slowly {
                told.push((Feed::SystemPerformance, self.system_performance(&figures)));
                told.push((Feed::ProxyHealth, self.proxy_health()));
            }
        }
        let changed = self.state.alerts.changed();
        if slowly || changed != self.alerts_told.replace(changed) {
            told.push((Feed::Alerts, self.state.alerts.view()));
        }
        self.activity.want(read(Feed::UserActivity));
        match self.activity.take() {
            Some(activity) => told.push((Feed::UserActivity, activity)),
            // What stood there is too old for whoever comes next.
            None if !read(Feed::UserActivity) => self.workers.board().clear(Feed::UserActivity),
            None => {}
        }
        let moment = now();
        let mut publications = Vec::new();
        for (feed, mut told) in told {
            let interval = if feed == Feed::TrafficData { interval } else { SLOWLY };
            told["time"] = json!(moment);
            told["interval_ms"] = json!(interval.as_millis() as u64);
            let data = self.note(feed, told);
            if read(feed) {
                publications.push((feed, data));
            }
        }
        if !publications.is_empty() && self.unanswered.load(Relaxed) < UNANSWERED_MAX {
            self.publish(publications);
        }
    }

    /// How many subscriptions each topic has.
    fn readers(&self) -> [u64; Feed::COUNT] {
        let of = |feed: usize| {
            self.state.with_cells(|cells| {
                cells.iter().map(|cells| cells.websocket.feed_subscriptions[feed].get()).sum()
            })
        };
        std::array::from_fn(of)
    }

    /// Numbers it, and puts it on the board.
    fn note(&self, feed: Feed, mut told: Json) -> Arc<str> {
        let seq = &self.seqs[feed as usize];
        seq.set(seq.get() + 1);
        told["seq"] = json!(seq.get());
        told["boot"] = json!(self.boot);
        let data: Arc<str> = told.to_string().into();
        self.workers.board().put(feed, data.clone());
        data
    }

    /// Hands what one moment tells to the topics' home. If its inbox is full, this is left out.
    fn publish(&self, told: Vec<(Feed, Arc<str>)>) {
        let answered = Unanswered::one_of(&self.unanswered);
        let home = self.workers.home_of(Feed::TrafficData.topic());
        let _ = self.workers.push(home, Ask::Feed(told), Box::new(move |_| drop(answered)));
    }
}

/// What one moment told, on its way; dropped when it is answered, or lost.
struct Unanswered(Arc<AtomicUsize>);

impl Unanswered {
    fn one_of(all: &Arc<AtomicUsize>) -> Unanswered {
        all.fetch_add(1, Relaxed);
        Unanswered(all.clone())
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The moment, to the millisecond.
fn now() -> String {
    calendar::moment(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn boot() -> String {
    let mut bytes = [0; 4];
    // Cannot fail once the kernel has its randomness, which the process has asked for at its start.
    let _ = getrandom(&mut bytes[..], GetRandomFlags::empty());
    format!("{:08x}", u32::from_be_bytes(bytes))
}
