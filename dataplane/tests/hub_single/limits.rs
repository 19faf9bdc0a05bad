//! Limits of one hub, and what it forgets.

use super::*;

#[test]
fn a_full_table_of_topics_refuses_and_forgetting_makes_room() {
    let mut hub = hub_with(|limits| limits.home.topics_max = 1);
    hub.join(0, Format::default());
    subscribed(&mut hub, 0, "a");
    for name in ["b", "b.*"] {
        hub.subscribe(0, name, Ticket(2)).unwrap();
        let Some(Effect::SubscribeRefused { refusal: Refusal::TooManyTopics, ticket: Ticket(2), .. }) =
            hub.poll_effect()
        else {
            panic!()
        };
        assert!(!hub.is_subscribed(0, name));
    }
    hub.unsubscribe(0, "a");
    subscribed(&mut hub, 0, "b.*");
}

#[test]
fn the_workers_cap_of_bytes_holds_over_all_queues() {
    let mut hub = hub_with(|limits| limits.queue.worker_bytes_max = 40);
    for conn in 0..3 {
        hub.join(conn, Format::default());
        subscribed(&mut hub, conn, "newest.a");
    }
    publish(&mut hub, "newest.a", &"1".repeat(8)).unwrap();
    assert_eq!(hub.counts().dropped_in_all(), 0, "who has nothing queued reads");
    publish(&mut hub, "newest.a", &"1".repeat(8)).unwrap();
    assert_eq!(hub.counts().dropped[Dropped::WorkerCap as usize], 3);
    assert_eq!(hub.counts().queued, 3);
    balanced(&hub);
}

fn kept(hub: &mut Hub, topic: &str) -> usize {
    let (limit, reverse, since) = (10, false, None);
    let question = HistoryQuestion { topic: topic.into(), since, limit, reverse };
    let Reply::History { publications, .. } = ask(hub, Question::History(question), 0) else { panic!() };
    publications.len()
}

#[test]
fn over_the_workers_bytes_the_topic_published_to_the_longest_ago_loses_its_history() {
    let mut hub = hub_with(|limits| limits.home.history_bytes_max = 5 * 130);
    for (topic, data) in
        [("kept.a", "11"), ("kept.b", "11"), ("kept.b", "11"), ("kept.a", "11"), ("kept.c", "11")]
    {
        publish(&mut hub, topic, data).unwrap();
    }
    assert_eq!(hub.counts().history_evicted, 0);
    publish(&mut hub, "kept.c", "11").unwrap();
    assert_eq!([kept(&mut hub, "kept.a"), kept(&mut hub, "kept.b"), kept(&mut hub, "kept.c")], [2, 1, 2]);
    assert_eq!((hub.counts().history_evicted, hub.info().history_bytes), (1, 5 * 130));
}

#[test]
fn a_topic_with_nothing_but_history_makes_room_in_a_full_table() {
    let mut hub = hub_with(|limits| limits.home.topics_max = 2);
    hub.join(0, Format::default());
    subscribed(&mut hub, 0, "kept.a");
    publish(&mut hub, "kept.a", "1").unwrap();
    publish(&mut hub, "kept.b", "1").unwrap();
    subscribed(&mut hub, 0, "c");
    assert_eq!((kept(&mut hub, "kept.a"), kept(&mut hub, "kept.b")), (1, 0), "who has subscribers keeps it");
    assert_eq!(hub.counts().history_evicted, 1);
    publish(&mut hub, "kept.d", "1").unwrap();
    assert_eq!((kept(&mut hub, "kept.d"), hub.counts().accepted), (0, 2), "refused: there is no room for it");
}

#[test]
fn a_publication_that_is_not_to_be_kept_leaves_no_topic_behind() {
    let mut hub = hub();
    let (by, data) = (Publisher::Server, "1".into());
    let publish = Publish { topic: "kept.a", data, by, from: None, at_ns: 5, key: None, skip_history: true };
    hub.publish(publish, None, 0).unwrap();
    assert_eq!((hub.counts().accepted, hub.info().topics), (1, 0));
    assert!(hub.is_empty());
}
