//! Several hubs under random use, against a model that knows everything: nothing lost, doubled or out of order after an
//! acknowledgement, every drop accounted for, nothing left when all have gone. `PROPTEST_CASES` asks for more than 256 cases.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "hub_model/world.rs"]
mod world;

use proptest::prelude::*;
use world::{CONNS, NAMES, Rough, TOPICS, World};

/// One step; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Join {
        worker: usize,
        conn: u32,
        deflate: bool,
    },
    Leave {
        worker: usize,
        conn: u32,
    },
    Subscribe {
        worker: usize,
        conn: u32,
        name: usize,
    },
    Unsubscribe {
        worker: usize,
        conn: u32,
        name: usize,
    },
    Publish {
        worker: usize,
        topic: usize,
        bytes: usize,
        by: Option<u32>,
    },
    /// Posts go into inboxes, as far as there is room.
    Post {
        worker: usize,
    },
    /// One worker takes some posts that another has sent.
    Carry {
        from: usize,
        to: usize,
        posts: usize,
    },
    Poll {
        worker: usize,
    },
    FanOut {
        worker: usize,
        recipients: usize,
    },
    /// The socket takes so many bytes and is blocked when that is not all.
    Write {
        worker: usize,
        conn: u32,
        bytes: usize,
    },
    Writable {
        worker: usize,
        conn: u32,
    },
    Own {
        worker: usize,
        conn: u32,
    },
    Wait {
        ms: u64,
    },
    Ask {
        worker: usize,
        topic: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 0..4usize;
    let conn = 0..CONNS;
    let name = 0..NAMES.len();
    let topic = 0..TOPICS.len();
    prop_oneof![
        3 => (worker.clone(), conn.clone(), any::<bool>())
            .prop_map(|(worker, conn, deflate)| Step::Join { worker, conn, deflate }),
        1 => (worker.clone(), conn.clone()).prop_map(|(worker, conn)| Step::Leave { worker, conn }),
        6 => (worker.clone(), conn.clone(), name.clone())
            .prop_map(|(worker, conn, name)| Step::Subscribe { worker, conn, name }),
        3 => (worker.clone(), conn.clone(), name)
            .prop_map(|(worker, conn, name)| Step::Unsubscribe { worker, conn, name }),
        10 => (worker.clone(), topic.clone(), 0..40usize, prop::option::of(conn.clone()))
            .prop_map(|(worker, topic, bytes, by)| Step::Publish { worker, topic, bytes, by }),
        6 => worker.clone().prop_map(|worker| Step::Post { worker }),
        10 => (worker.clone(), worker.clone(), 1..8usize)
            .prop_map(|(from, to, posts)| Step::Carry { from, to, posts }),
        4 => worker.clone().prop_map(|worker| Step::Poll { worker }),
        6 => (worker.clone(), 1..20usize)
            .prop_map(|(worker, recipients)| Step::FanOut { worker, recipients }),
        8 => (worker.clone(), conn.clone(), prop_oneof![0..40usize, Just(usize::MAX)])
            .prop_map(|(worker, conn, bytes)| Step::Write { worker, conn, bytes }),
        3 => (worker.clone(), conn.clone()).prop_map(|(worker, conn)| Step::Writable { worker, conn }),
        2 => (worker.clone(), conn).prop_map(|(worker, conn)| Step::Own { worker, conn }),
        1 => (0..400u64).prop_map(|ms| Step::Wait { ms }),
        1 => (worker, topic).prop_map(|(worker, topic)| Step::Ask { worker, topic }),
    ]
}

/// `variety` is how many of the names are used.
fn play(workers: usize, variety: usize, rough: Rough, steps: &[Step]) {
    let mut world = World::new(workers, rough);
    for step in steps {
        match *step {
            Step::Join { worker, conn, deflate } => world.join(worker % workers, conn, deflate),
            Step::Leave { worker, conn } => world.leave(worker % workers, conn),
            Step::Subscribe { worker, conn, name } => {
                world.subscribe(worker % workers, conn, NAMES[name % variety])
            }
            Step::Unsubscribe { worker, conn, name } => {
                world.unsubscribe(worker % workers, conn, NAMES[name % variety]);
            }
            Step::Publish { worker, topic, bytes, by } => {
                world.publish(worker % workers, TOPICS[topic % variety.min(TOPICS.len())], bytes, by);
            }
            Step::Post { worker } => world.post(worker % workers),
            Step::Carry { from, to, posts } => world.carry(from % workers, to % workers, posts),
            Step::Poll { worker } => world.poll(worker % workers),
            Step::FanOut { worker, recipients } => world.fan_out(worker % workers, recipients),
            Step::Write { worker, conn, bytes } => world.write(worker % workers, conn, bytes),
            Step::Writable { worker, conn } => world.writable(worker % workers, conn),
            Step::Own { worker, conn } => world.own(worker % workers, conn),
            Step::Wait { ms } => world.wait(ms),
            Step::Ask { worker, topic } => {
                world.ask(worker % workers, TOPICS[topic % variety.min(TOPICS.len())])
            }
        }
        world.check_accounts();
    }
    world.settle();
    world.check_all_delivered();
    world.check_topics();
    world.all_leave();
    world.check_empty();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Queues are long enough: whatever was accepted after an acknowledgement arrives, each in its topic's order, once.
    #[test]
    fn nothing_is_lost_while_there_is_room(
        workers in 1..=4usize,
        variety in 1..=NAMES.len(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        play(workers, variety, Rough { full_inboxes: false, short_queues: false }, &steps);
    }

    /// Inboxes are tiny: publications are refused, but none that was accepted is lost.
    #[test]
    fn nothing_accepted_is_lost_when_workers_do_not_keep_up(
        workers in 2..=4usize,
        variety in 1..=NAMES.len(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        play(workers, variety, Rough { full_inboxes: true, short_queues: false }, &steps);
    }

    /// Queues are short and sockets slow: what arrives is in order, what does not is counted.
    #[test]
    fn every_drop_is_counted_when_readers_are_slow(
        workers in 1..=4usize,
        variety in 1..=NAMES.len(),
        full_inboxes in any::<bool>(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        play(workers, variety, Rough { full_inboxes, short_queues: true }, &steps);
    }
}
