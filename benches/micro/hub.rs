//! What the hub itself costs, without a socket: `cargo bench -p ringway-benches --bench hub`.

use divan::{Bencher, black_box, counter::ItemsCount};
use ringway_benches::subjects::{fan_out, flush, hub, publish, with_subscribers};
use ringway_dataplane::hub::{Effect, Format, Hub, Publish, Publisher, Ticket, names};

/// Done per sample, so that reading the clock is lost in it.
const OPERATIONS: u64 = 1_000;

fn main() {
    divan::main();
}

/// One publication to so many: queued, taken out, counted. Bar: 50 ns a delivery.
#[divan::bench(args = [1_000, 5_000, 10_000])]
fn fan_out_and_flush(bencher: Bencher, subscribers: u32) {
    let mut hub = with_subscribers(subscribers, "news");
    bencher.counter(ItemsCount::new(subscribers)).bench_local(|| {
        publish(&mut hub, "news");
        fan_out(&mut hub);
        flush(&mut hub);
    });
}

/// The first half of it.
#[divan::bench(args = [1_000, 5_000])]
fn fan_out_alone(bencher: Bencher, subscribers: u32) {
    let mut hub = with_subscribers(subscribers, "news");
    let hub = std::cell::RefCell::new(&mut hub);
    bencher
        .counter(ItemsCount::new(subscribers))
        .with_inputs(|| flush(&mut hub.borrow_mut()))
        .bench_local_values(|()| {
            let hub = &mut hub.borrow_mut();
            publish(hub, "news");
            fan_out(hub);
        });
}

/// Ten publications that leave in one write each.
#[divan::bench(args = [1_000, 5_000])]
fn burst_of_10(bencher: Bencher, subscribers: u32) {
    let mut hub = with_subscribers(subscribers, "news");
    bencher.counter(ItemsCount::new(10 * subscribers)).bench_local(|| {
        (0..10).for_each(|_| publish(&mut hub, "news"));
        fan_out(&mut hub);
        flush(&mut hub);
    });
}

/// Subscribers by a pattern: as the first, with the look for those who match twice.
#[divan::bench(args = [5_000])]
fn fan_out_by_pattern(bencher: Bencher, subscribers: u32) {
    let mut hub = with_subscribers(subscribers, "news.*");
    bencher.counter(ItemsCount::new(subscribers)).bench_local(|| {
        publish(&mut hub, "news.sport");
        fan_out(&mut hub);
        flush(&mut hub);
    });
}

/// A subscription among 5,000 others of its topic, and its end.
#[divan::bench]
fn subscribe_and_unsubscribe(bencher: Bencher) {
    let mut hub = with_subscribers(5_000, "news");
    hub.join(6_000, Format::default());
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for _ in 0..OPERATIONS {
            black_box(hub.subscribe(6_000, "news", Ticket(0)).is_ok());
            black_box(hub.poll_effect());
            black_box(hub.unsubscribe(6_000, "news"));
        }
    });
}

/// The same where nobody else is: the home records and forgets the topic each time.
#[divan::bench]
fn subscribe_and_unsubscribe_alone(bencher: Bencher) {
    let mut hub = hub(0, 1);
    hub.join(0, Format::default());
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for _ in 0..OPERATIONS {
            black_box(hub.subscribe(0, "news", Ticket(0)).is_ok());
            black_box(hub.poll_effect());
            black_box(hub.unsubscribe(0, "news"));
        }
    });
}

/// From one hub to a topic's home on another, ordered there, back for one subscriber, and its answer; no inbox.
#[divan::bench]
fn publish_through_another_home(bencher: Bencher) {
    let topic = (0..).map(|number| format!("t{number}")).find(|topic| names::home(topic, 2) == 1);
    let Some(topic) = topic else { return };
    let (mut here, mut home) = (hub(0, 2), hub(1, 2));
    here.join(0, Format::default());
    black_box(here.subscribe(0, &topic, Ticket(0)).is_ok());
    carry(&mut here, &mut home);
    carry(&mut home, &mut here);
    while here.poll_effect().is_some() {}
    bencher.counter(ItemsCount::new(OPERATIONS)).bench_local(|| {
        for _ in 0..OPERATIONS {
            let (by, data) = (Publisher::Server, "0".repeat(200).into());
            let publish =
                Publish { topic: &topic, data, by, from: None, at_ns: 0, key: None, skip_history: false };
            black_box(here.publish(publish, Some(Ticket(1)), 0).is_ok());
            carry(&mut here, &mut home);
            carry(&mut home, &mut here);
            black_box(matches!(here.poll_effect(), Some(Effect::Answer { .. })));
            fan_out(&mut here);
            flush(&mut here);
        }
    });
}

fn carry(from: &mut Hub, to: &mut Hub) {
    while let Some((_, post)) = from.poll_post() {
        to.receive(post, 0);
    }
}
