//! One hub alone: what its verbs do, step by step.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use ringway_dataplane::hub::{
    Client, Dropped, Effect, Format, HistoryQuestion, Hub, Limits, Namespaces, Position, Publication,
    Publish, Publisher, Question, Refusal, Reply, Settings, Ticket,
};
use ringway_shared::config::{Namespace, Overflow, Publishers};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

mod limits;

fn namespaces() -> Namespaces {
    let base = Namespace { publish: Publishers::Anyone, ..Namespace::default() };
    let with = |prefix: &str, namespace: Namespace| Namespace { prefix: prefix.into(), ..namespace };
    Namespaces::new(
        &[
            base.clone(),
            with("kept.", Namespace { history_size: 3, history_ttl: Duration::from_secs(1), ..base.clone() }),
            with("seen.", Namespace { presence: true, ..base.clone() }),
            with("oldest.", Namespace { overflow: Overflow::DropOldest, ..base.clone() }),
            with("newest.", Namespace { overflow: Overflow::DropNewest, ..base.clone() }),
            with("latest.", Namespace { overflow: Overflow::ConflateLatest, ..base.clone() }),
            with("server.", Namespace { publish: Publishers::Server, ..base.clone() }),
            with("members.", Namespace { publish: Publishers::Subscribers, ..base.clone() }),
        ],
        vec!["traffic_data".into()],
        100,
    )
}

fn hub_with(change: impl FnOnce(&mut Limits)) -> Hub {
    let mut limits = Limits::default();
    change(&mut limits);
    Hub::new(Settings { worker: 0, workers: 1, seed: 7, limits, namespaces: Arc::new(namespaces()) })
}

fn hub() -> Hub {
    hub_with(|_| {})
}

/// A "frame": the data, and which format it is in.
fn encode(publication: &Publication, format: Format) -> Rc<[u8]> {
    let deflate = format.deflate.map_or(String::new(), |bits| format!("/{bits}"));
    format!("{}={}{deflate};", publication.topic, publication.data).into_bytes().into()
}

fn publish(hub: &mut Hub, topic: &str, data: &str) -> Result<(), Refusal> {
    let by = Publisher::Server;
    let publish =
        Publish { topic, data: data.into(), by, from: None, at_ns: 5, key: None, skip_history: false };
    hub.publish(publish, None, 0)?;
    hub.fan_out(0, usize::MAX, &mut encode);
    Ok(())
}

fn subscribed(hub: &mut Hub, conn: u32, name: &str) {
    hub.subscribe(conn, name, Ticket(9)).unwrap();
    let Some(Effect::Subscribed { conn: told, ticket: Ticket(9), .. }) = hub.poll_effect() else { panic!() };
    assert_eq!(told, conn);
}

fn queued(hub: &Hub, conn: u32) -> String {
    hub.frames(conn).map(|frame| String::from_utf8_lossy(frame)).collect()
}

/// Writes all that a connection has.
fn write(hub: &mut Hub, conn: u32) -> String {
    let text = queued(hub, conn);
    hub.sent(conn, text.len(), |at_ns| assert_eq!(at_ns, 5));
    text
}

fn answer(hub: &mut Hub) -> Reply {
    let Some(Effect::Answer { ticket: Ticket(1), reply }) = hub.poll_effect() else { panic!() };
    reply
}

fn ask(hub: &mut Hub, question: Question, now_ms: u64) -> Reply {
    hub.ask(question, Ticket(1), now_ms).unwrap();
    answer(hub)
}

fn balanced(hub: &Hub) {
    let counts = hub.counts();
    assert_eq!(counts.recipients, counts.sent + counts.dropped_in_all() + counts.queued, "{counts:?}");
}

#[test]
fn a_subscriber_gets_what_is_published_and_nothing_after_it_unsubscribed() {
    let mut hub = hub();
    hub.join(3, Format::default());
    subscribed(&mut hub, 3, "a");
    assert_eq!(hub.subscribe(3, "a", Ticket(9)), Err(Refusal::AlreadySubscribed));
    publish(&mut hub, "a", "1").unwrap();
    publish(&mut hub, "b", "2").unwrap();
    assert_eq!(hub.poll_dirty(), Some(3));
    assert_eq!((hub.poll_dirty(), write(&mut hub, 3)), (None, "a=1;".into()));
    assert!(hub.unsubscribe(3, "a") && !hub.unsubscribe(3, "a"));
    publish(&mut hub, "a", "3").unwrap();
    assert_eq!(queued(&hub, 3), "");
    hub.leave(3);
    balanced(&hub);
    assert!(hub.is_empty());
}

#[test]
fn who_matches_by_several_names_gets_it_once_and_reserved_topics_hide_from_the_star() {
    let mut hub = hub();
    hub.join(0, Format::default());
    for name in ["news.*", "news.sport", "*", "news.sport.*"] {
        subscribed(&mut hub, 0, name);
    }
    for topic in ["news.sport", "news.sport.x", "other", "traffic_data", "$feed"] {
        publish(&mut hub, topic, "1").unwrap();
    }
    assert_eq!(write(&mut hub, 0), "news.sport=1;news.sport.x=1;other=1;");
    subscribed(&mut hub, 0, "traffic_data");
    publish(&mut hub, "traffic_data", "2").unwrap();
    assert_eq!(write(&mut hub, 0), "traffic_data=2;");
}

#[test]
fn a_frame_is_encoded_once_for_each_format_and_compressed_from_the_threshold_on() {
    let mut hub = hub();
    for conn in 0..30 {
        let deflate = [None, Some(15), Some(9)][conn as usize % 3];
        hub.join(conn, Format { deflate, ..Format::default() });
        subscribed(&mut hub, conn, "a");
    }
    publish(&mut hub, "a", &"1".repeat(99)).unwrap();
    assert_eq!(hub.counts().encoded, 1);
    publish(&mut hub, "a", &"1".repeat(100)).unwrap();
    assert_eq!(hub.counts().encoded, 4);
    assert_eq!(hub.frames(1).nth(1).unwrap().last_chunk(), Some(b"1/15;"));
    assert_eq!(hub.frames(2).nth(1).unwrap().last_chunk(), Some(b"11/9;"));
    assert_eq!(hub.counts().recipients, 60);
}

#[test]
fn a_partly_written_frame_goes_on_where_it_stopped_and_is_never_dropped() {
    let mut hub = hub_with(|limits| limits.queue.messages_max = 2);
    hub.join(0, Format::default());
    subscribed(&mut hub, 0, "oldest.a");
    publish(&mut hub, "oldest.a", "1").unwrap();
    assert!(hub.sent(0, 4, |_| panic!("not whole")).rest);
    hub.blocked(0);
    for data in ["2", "3", "4"] {
        publish(&mut hub, "oldest.a", data).unwrap();
    }
    assert_eq!(hub.poll_dirty(), None, "a blocked socket is not tried");
    assert_eq!(queued(&hub, 0), "st.a=1;oldest.a=4;");
    hub.writable(0);
    assert_eq!(hub.poll_dirty(), Some(0));
    write(&mut hub, 0);
    assert_eq!(hub.counts().dropped[Dropped::DropOldest as usize], 2);
    balanced(&hub);
}

#[test]
fn each_policy_drops_what_its_name_says() {
    for (topic, left, reason) in [
        ("oldest.a", "oldest.a=3;oldest.a=4;", Dropped::DropOldest),
        ("newest.a", "newest.a=1;newest.a=2;", Dropped::DropNewest),
        ("latest.a", "latest.a=4;", Dropped::Conflated),
        ("a", "", Dropped::SlowDisconnected),
    ] {
        let mut hub = hub_with(|limits| limits.queue.messages_max = 2);
        hub.join(0, Format::default());
        subscribed(&mut hub, 0, topic);
        hub.blocked(0);
        for data in ["1", "2", "3", "4"] {
            publish(&mut hub, topic, data).unwrap();
        }
        assert_eq!(queued(&hub, 0), left);
        let dropped = 4 - left.matches(';').count() as u64 - u64::from(topic == "a");
        assert_eq!(hub.counts().dropped[reason as usize], dropped, "{topic}: once too slow it gets no more");
        assert_eq!(matches!(hub.poll_effect(), Some(Effect::TooSlow { conn: 0 })), topic == "a");
        balanced(&hub);
    }
}

#[test]
fn conflation_keeps_the_latest_of_each_topic_and_waits_for_a_blocked_socket() {
    let mut hub = hub();
    hub.join(0, Format::default());
    subscribed(&mut hub, 0, "latest.*");
    for (topic, data) in [("latest.a", "1"), ("latest.a", "2"), ("latest.b", "3")] {
        publish(&mut hub, topic, data).unwrap();
    }
    assert_eq!(queued(&hub, 0), "latest.a=1;latest.a=2;latest.b=3;", "who keeps up gets all");
    hub.blocked(0);
    publish(&mut hub, "latest.a", "4").unwrap();
    publish(&mut hub, "latest.a", "5555").unwrap();
    assert_eq!(queued(&hub, 0), "latest.a=5555;latest.b=3;");
    assert_eq!(hub.counts().queued_bytes, queued(&hub, 0).len() as u64);
    balanced(&hub);
}

#[test]
fn answers_keep_their_place_and_overflowing_with_them_ends_the_connection() {
    let mut hub = hub_with(|limits| limits.queue.messages_max = 3);
    hub.join(0, Format::default());
    subscribed(&mut hub, 0, "oldest.a");
    let own = |hub: &mut Hub| hub.push_own(0, Rc::from(&b"own;"[..]));
    own(&mut hub);
    publish(&mut hub, "oldest.a", "1").unwrap();
    own(&mut hub);
    publish(&mut hub, "oldest.a", "2").unwrap();
    assert_eq!(queued(&hub, 0), "own;own;oldest.a=2;");
    assert!(hub.poll_effect().is_none());
    own(&mut hub);
    assert!(matches!(hub.poll_effect(), Some(Effect::TooSlow { conn: 0 })));
    hub.push_last(0, Rc::from(&b"close;"[..]));
    own(&mut hub);
    publish(&mut hub, "oldest.a", "3").unwrap();
    assert_eq!(write(&mut hub, 0), "own;own;close;");
    balanced(&hub);
}

#[test]
fn batched_publications_wait_for_company_or_their_time() {
    let mut hub = hub_with(|limits| limits.queue.batch_messages = 3);
    hub.join(0, Format::default());
    subscribed(&mut hub, 0, "a");
    publish(&mut hub, "a", "1").unwrap();
    assert_eq!((hub.poll_dirty(), hub.next_tick_ms()), (None, Some(100)));
    hub.tick(99);
    assert_eq!(hub.poll_dirty(), None);
    hub.tick(100);
    assert_eq!(hub.poll_dirty(), Some(0));
    write(&mut hub, 0);
    for data in ["2", "3", "4"] {
        assert_eq!(hub.poll_dirty(), None);
        publish(&mut hub, "a", data).unwrap();
    }
    assert_eq!(hub.poll_dirty(), Some(0), "enough of them go at once");
}

#[test]
fn history_keeps_so_many_so_long_and_answers_from_a_position() {
    let mut hub = hub();
    let topic: Arc<str> = "kept.a".into();
    for data in ["1", "2", "3", "4"] {
        publish(&mut hub, &topic, data).unwrap();
    }
    let mut history = |since, limit, reverse, now_ms| {
        let question = HistoryQuestion { topic: topic.clone(), since, limit, reverse };
        match ask(&mut hub, Question::History(question), now_ms) {
            Reply::History { publications, position } => {
                (publications.iter().map(|kept| &*kept.data).collect::<Vec<_>>().join(""), position)
            }
            reply => (format!("{reply:?}"), Position::default()),
        }
    };
    let (all, top) = history(None, 10, false, 0);
    assert_eq!((&*all, top.offset), ("234", 4));
    assert_eq!(history(None, 2, true, 0).0, "43");
    assert_eq!(history(Some(Position { offset: 3, ..top }), 9, false, 0).0, "4");
    assert_eq!(history(Some(Position { offset: 3, ..top }), 9, true, 0).0, "2");
    let elsewhere = Position { epoch: "12345678".parse().unwrap(), ..top };
    assert_eq!(history(Some(elsewhere), 9, false, 0).0, "Refused(OtherEpoch)");
    assert_eq!(history(Some(Position { offset: 5, ..top }), 9, false, 0).0, "Refused(OtherEpoch)");
    assert_eq!(history(Some(Position { offset: 3, ..Position::default() }), 9, false, 0).0, "4");
    assert_eq!(history(None, 10, false, 1_000).0, "");
    hub.tick(2_000);
    assert!(hub.is_empty(), "a topic without anything is forgotten");
}

#[test]
fn presence_is_known_where_the_namespace_says_so() {
    let mut hub = hub();
    for conn in 0..3 {
        hub.join(conn, Format::default());
        assert!(hub.wants_identity(conn, "seen.a") && !hub.wants_identity(conn, "a"));
        let client = Client { id: format!("c{conn}").into(), user: "u".into(), info: None };
        hub.identify(conn, Arc::new(client));
        subscribed(&mut hub, conn, "seen.a");
    }
    hub.unsubscribe(0, "seen.a");
    let topic: Arc<str> = "seen.a".into();
    let Reply::Presence(mut present) = ask(&mut hub, Question::Presence { topic: topic.clone() }, 0) else {
        panic!()
    };
    present.sort_by_key(|client| client.id.clone());
    assert_eq!(present.iter().map(|client| &*client.id).collect::<Vec<_>>(), ["c1", "c2"]);
    let stats = ask(&mut hub, Question::PresenceStats { topic }, 0);
    assert!(matches!(stats, Reply::PresenceStats { clients: 2, users: 1 }));
    let refused = ask(&mut hub, Question::Presence { topic: "a".into() }, 0);
    assert!(matches!(refused, Reply::Refused(Refusal::NotKept)));
    (0..3).for_each(|conn| hub.leave(conn));
    assert!(hub.is_empty());
}

#[test]
fn channels_and_info_tell_what_there_is() {
    let mut hub = hub();
    for (conn, topics) in [(0, &["a.x", "b"][..]), (1, &["a.x", "a.*"])] {
        hub.join(conn, Format::default());
        topics.iter().for_each(|topic| subscribed(&mut hub, conn, topic));
    }
    let mut channels = |pattern: Option<&str>| {
        let Reply::Channels(channels) =
            ask(&mut hub, Question::Channels { pattern: pattern.map(Into::into) }, 0)
        else {
            panic!()
        };
        channels.iter().map(|(name, count)| format!("{name}:{count} ")).collect::<String>()
    };
    assert_eq!(channels(None), "a.x:2 b:1 ");
    assert_eq!((channels(Some("a.*")), channels(Some("b"))), ("a.x:2 ".into(), "b:1 ".into()));
    let Reply::Info(nodes) = ask(&mut hub, Question::Info, 0) else { panic!() };
    assert_eq!((nodes[0].connections, nodes[0].subscriptions, nodes[0].names), (2, 4, 3));
}

#[test]
fn a_key_sent_again_is_answered_and_not_published() {
    let mut hub = hub();
    hub.join(0, Format::default());
    subscribed(&mut hub, 0, "a");
    let mut again = |data: &str, key: &str, now_ms| {
        let by = Publisher::Server;
        let key = Some(key.into());
        hub.publish(
            Publish { topic: "a", data: data.into(), by, from: None, at_ns: 5, key, skip_history: false },
            Some(Ticket(1)),
            now_ms,
        )
        .unwrap();
        hub.fan_out(now_ms, usize::MAX, &mut encode);
        let Reply::Published(position) = answer(&mut hub) else { panic!() };
        position.offset
    };
    assert_eq!(
        [again("1", "k", 0), again("2", "k", 299_999), again("3", "l", 1), again("4", "k", 300_000)],
        [1, 1, 2, 3]
    );
    assert_eq!(write(&mut hub, 0), "a=1;a=3;a=4;");
    assert_eq!(hub.counts().repeated, 1);
}

#[test]
fn history_can_be_left_as_it_is() {
    let mut hub = hub();
    hub.join(0, Format::default());
    subscribed(&mut hub, 0, "kept.a");
    for (data, skip_history) in [("1", false), ("2", true), ("3", false)] {
        let (topic, by) = ("kept.a", Publisher::Server);
        let publish = Publish { topic, data: data.into(), by, from: None, at_ns: 5, key: None, skip_history };
        hub.publish(publish, None, 0).unwrap();
        hub.fan_out(0, usize::MAX, &mut encode);
    }
    assert_eq!(write(&mut hub, 0), "kept.a=1;kept.a=2;kept.a=3;");
    let all = HistoryQuestion { topic: "kept.a".into(), since: None, limit: 9, reverse: false };
    let Reply::History { publications, position } = ask(&mut hub, Question::History(all), 0) else {
        panic!()
    };
    let kept: Vec<_> = publications.iter().map(|kept| (kept.position.offset, &*kept.data)).collect();
    assert_eq!((kept, position.offset), (vec![(1, "1"), (3, "3")], 3));
}

#[test]
fn the_namespace_says_who_may_publish() {
    let mut hub = hub();
    hub.join(0, Format::default());
    let may = |hub: &Hub, topic| hub.may_publish(Publisher::Connection(0), topic);
    assert!(may(&hub, "a") && !may(&hub, "server.a") && !may(&hub, "members.a"));
    assert!(hub.may_publish(Publisher::Server, "server.a"));
    subscribed(&mut hub, 0, "members.*");
    assert!(may(&hub, "members.a"));
}
