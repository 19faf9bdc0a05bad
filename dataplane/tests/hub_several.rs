//! Two and more hubs, step by step: what crosses on the way, and what happens when one does not keep up.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use ringway_dataplane::hub::{
    Effect, Format, Hub, Limits, Namespaces, Post, Publication, Publish, Publisher, Question, Refusal, Reply,
    Settings, Ticket, names,
};
use std::rc::Rc;
use std::sync::Arc;

/// A topic at home with the second of two workers.
fn topic() -> String {
    (0..).map(|number| format!("t{number}")).find(|topic| names::home(topic, 2) == 1).unwrap()
}

fn hubs(workers: usize, change: impl Fn(&mut Limits)) -> Vec<Hub> {
    let namespaces = Arc::new(Namespaces::new(&[], Vec::new(), 1_024));
    let mut limits = Limits::default();
    change(&mut limits);
    let hub =
        |worker| Hub::new(Settings { worker, workers, seed: 3, limits, namespaces: namespaces.clone() });
    (0..workers).map(hub).collect()
}

fn posts(hub: &mut Hub) -> Vec<Post> {
    std::iter::from_fn(|| hub.poll_post()).map(|(_, post)| post).collect()
}

fn carry(posts: Vec<Post>, to: &mut Hub) {
    posts.into_iter().for_each(|post| to.receive(post, 0));
}

fn publish(hub: &mut Hub, topic: &str, data: &str) -> Result<(), Refusal> {
    let by = Publisher::Server;
    hub.publish(
        Publish { topic, data: data.into(), by, from: None, at_ns: 0, key: None, skip_history: false },
        Some(Ticket(7)),
        0,
    )
}

fn fan_out(hub: &mut Hub) -> String {
    hub.fan_out(0, usize::MAX, &mut |publication: &Publication, _| Rc::from(publication.data.as_bytes()));
    let frames: Vec<u8> = hub.frames(0).flatten().copied().collect();
    hub.sent(0, frames.len(), |_| {});
    String::from_utf8(frames).unwrap()
}

fn is_subscribed(effect: Option<Effect>, ticket: u64) -> bool {
    matches!(effect, Some(Effect::Subscribed { ticket: Ticket(told), .. }) if told == ticket)
}

#[test]
fn an_acknowledgement_of_an_earlier_life_is_none() {
    let topic = topic();
    let mut hubs = hubs(2, |_| {});
    let [here, home] = &mut hubs[..] else { panic!() };
    here.join(0, Format::default());
    here.subscribe(0, &topic, Ticket(1)).unwrap();
    carry(posts(here), home);
    let first_answer = posts(home);
    here.unsubscribe(0, &topic);
    here.subscribe(0, &topic, Ticket(2)).unwrap();
    carry(first_answer, here);
    assert!(here.poll_effect().is_none(), "the home is about to read that nobody is there");
    publish(home, &topic, "early").unwrap();
    let early = posts(home);
    carry(posts(here), home);
    carry(early, here);
    carry(posts(home), here);
    assert!(is_subscribed(here.poll_effect(), 2));
    publish(home, &topic, "late").unwrap();
    carry(posts(home), here);
    assert_eq!(fan_out(here), "late");
}

#[test]
fn a_pattern_is_acknowledged_when_every_home_has_recorded_it() {
    let mut hubs = hubs(3, |_| {});
    hubs[0].join(0, Format::default());
    hubs[0].subscribe(0, "*", Ticket(1)).unwrap();
    let wants: Vec<_> = std::iter::from_fn(|| hubs[0].poll_post()).collect();
    assert_eq!(wants.len(), 2);
    for (to, post) in wants {
        assert!(hubs[0].poll_effect().is_none());
        hubs[to].receive(post, 0);
        let answer = posts(&mut hubs[to]);
        carry(answer, &mut hubs[0]);
    }
    assert!(is_subscribed(hubs[0].poll_effect(), 1));
    let topic = topic();
    publish(&mut hubs[2], &topic, "x").unwrap();
    for at in [2, 0, 1, 2, 0, 1, 2] {
        while let Some((to, post)) = hubs[at].poll_post() {
            hubs[to].receive(post, 0);
        }
    }
    assert_eq!(fan_out(&mut hubs[0]), "x");
    assert!(matches!(hubs[2].poll_effect(), Some(Effect::Answer { reply: Reply::Published(_), .. })));
}

#[test]
fn a_home_refuses_what_a_worker_behind_could_not_get_and_what_it_accepted_arrives_in_order() {
    let topic = topic();
    let mut hubs = hubs(2, |limits| limits.backlog.posts_max = 3);
    let [here, home] = &mut hubs[..] else { panic!() };
    here.join(0, Format::default());
    here.subscribe(0, &topic, Ticket(1)).unwrap();
    carry(posts(here), home);
    carry(posts(home), here);
    for data in ["1", "2", "3", "4", "5"] {
        publish(home, &topic, data).unwrap();
        let Some(Effect::Answer { reply, .. }) = home.poll_effect() else { panic!() };
        let is_refused = matches!(reply, Reply::Refused(Refusal::Overloaded));
        assert_eq!(is_refused, data > "3");
        // Its inbox is full: what was taken out goes back to the front.
        let (to, post) = home.poll_post().unwrap();
        home.unposted(to, post);
        assert!(home.poll_post().is_none(), "a full inbox is not tried again");
        home.retry_posts();
    }
    assert_eq!((home.counts().accepted, home.counts().refused_overloaded), (3, 2));
    carry(posts(home), here);
    assert_eq!(fan_out(here), "123");
    assert_eq!(home.posts_waiting(), 0);
}

#[test]
fn too_much_on_the_way_to_a_home_is_refused_at_once() {
    let topic = topic();
    let mut hubs = hubs(2, |limits| limits.backlog.posts_max = 2);
    let here = &mut hubs[0];
    assert_eq!([1, 2, 3].map(|_| publish(here, &topic, "x").is_ok()), [true, true, false]);
    let question = Question::PresenceStats { topic: topic.as_str().into() };
    assert_eq!(here.ask(question, Ticket(1), 0), Err(Refusal::Overloaded));
    assert_eq!(here.ask(Question::Info, Ticket(1), 0), Err(Refusal::Overloaded));
    here.join(0, Format::default());
    let outcomes = (0..20).map(|_| {
        let outcome = here.subscribe(0, &topic, Ticket(1));
        here.unsubscribe(0, &topic);
        outcome
    });
    assert_eq!(outcomes.last(), Some(Err(Refusal::Overloaded)), "nor can subscribing to and fro fill it");
    assert!(here.posts_waiting() <= 10);
}

#[test]
fn more_open_questions_than_may_be_are_refused_and_answers_make_room() {
    let topic = topic();
    let mut hubs = hubs(2, |limits| limits.questions_max = 1);
    let [here, home] = &mut hubs[..] else { panic!() };
    publish(here, &topic, "1").unwrap();
    assert_eq!(publish(here, &topic, "2"), Err(Refusal::Overloaded));
    carry(posts(here), home);
    carry(posts(home), here);
    publish(here, &topic, "3").unwrap();
}
