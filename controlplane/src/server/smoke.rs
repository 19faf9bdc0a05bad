//! What smoke tests ask for: a number and a message that go all the way that real ones go.
//!
//! `POST /api/v1/metrics/test` has every worker count through its inbox, in its own cells, from where the metrics are read: what then
//! stands on `/metrics` has gone the whole way. `POST /api/v1/websocket/test-data` publishes through the topic's home.

use super::answer::{Answer, PROBLEM};
use super::asked::Asked;
use super::push::{Asking, BAD_REQUEST, Fault};
use super::route::{Content, Parameter, Route, ServedBy, Waiting, json, ok, said};
use super::schemas;
use super::state::State;
use crate::guard::Scope;
use ringway_shared::command::{Command, Drill};
use ringway_shared::feed::Feed;
use ringway_shared::push::{Answer as Told, Ask, Place};
use ringway_shared::topic::Topic;
use serde_json::{Value as Json, json};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, sleep};

/// How long workers may take to count, and to publish.
const WORKERS_MAX: Duration = Duration::from_secs(2);
/// How often the cells are looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Where test messages go unless said otherwise.
const TOPIC: &str = "traffic_data";

const NO_TOPIC: Content = Content { media_type: PROBLEM, schema: Some(schemas::PROBLEM) };

pub const ROUTES: &[Route] = &[
    Route::post(
        "/api/v1/metrics/test",
        Scope::Operate,
        ServedBy::Task(|state, asked| Box::pin(async move { count(&state, &asked).await })),
        "Has every worker count test events, in worker_test_events_total.",
        &[ok("They have.", json("TestEvents"))],
    )
    .with(&[Parameter {
        name: "events",
        schema: r#"{"type":"integer","minimum":1,"maximum":1000000,"default":1}"#,
        summary: "How many each of them counts.",
    }])
    .for_tests(),
    Route::get(
        "/api/v1/metrics/stats",
        Scope::Read,
        stats,
        "The test events that were counted, by worker.",
        &[ok("The numbers.", json("TestEvents"))],
    )
    .for_tests(),
    Route::post(
        "/api/v1/websocket/test-data",
        Scope::Operate,
        ServedBy::Task(test_data),
        "Publishes test messages to a topic.",
        &[ok("They are published.", json("TestMessages")), said(422, "No topic can be called so.", NO_TOPIC)],
    )
    .with(&[
        Parameter {
            name: "topic",
            schema: r#"{"type":"string","minLength":1,"maxLength":255,"default":"traffic_data"}"#,
            summary: "The topic.",
        },
        Parameter {
            name: "count",
            schema: r#"{"type":"integer","minimum":1,"maximum":1000,"default":1}"#,
            summary: "How many messages.",
        },
    ])
    .for_tests(),
];

/// `GET /api/v1/metrics/stats`
fn stats(state: &State, _: &Asked) -> Answer {
    Answer::json(200, &told(&events(state)))
}

fn told(events: &[u64]) -> Json {
    let rows =
        events.iter().enumerate().map(|(worker, events)| json!({"worker": worker, "test_events": events}));
    json!({"test_events": events.iter().sum::<u64>(), "workers": rows.collect::<Vec<_>>()})
}

/// Of each worker.
fn events(state: &State) -> Vec<u64> {
    state.with_cells(|cells| cells.iter().map(|cells| cells.test_events.get()).collect())
}

/// `POST /api/v1/metrics/test`
async fn count(state: &State, asked: &Asked) -> Answer {
    let number = match asked.number("events", 1..=1_000_000) {
        Ok(number) => number.unwrap_or(1),
        Err(refusal) => return refusal,
    };
    let wanted: Vec<u64> = events(state).into_iter().map(|before| before + u64::from(number)).collect();
    let tell = |worker: &usize| (state.staff.tell)(*worker, Command::Drill(Drill::Count { events: number }));
    if let Some(deaf) = (0..state.staff.count).find(|worker| !tell(worker)) {
        return not_done(&format!(
            "worker {deaf} takes no message: its inbox is full or its thread has ended"
        ));
    }
    let deadline = Instant::now() + WORKERS_MAX;
    loop {
        let now = events(state);
        let late = now.iter().zip(&wanted).position(|(now, wanted)| now < wanted);
        match late {
            None => return Answer::json(200, &told(&now)),
            Some(worker) if Instant::now() >= deadline => {
                return not_done(&format!(
                    "worker {worker} has not counted within {} s",
                    WORKERS_MAX.as_secs()
                ));
            }
            Some(_) => sleep(LOOK_EVERY).await,
        }
    }
}

fn not_done(detail: &str) -> Answer {
    Answer::error(503, detail, "GET /livez says how the workers are").with("retry-after", "1")
}

/// `POST /api/v1/websocket/test-data`
fn test_data(state: Rc<State>, asked: Asked) -> Waiting {
    Box::pin(async move {
        let name = asked.value("topic").unwrap_or(TOPIC);
        let topic: Arc<str> = match Topic::parse(name) {
            Ok(topic) if !topic.is_pattern() => topic.name().into(),
            _ => {
                let hint = "a topic has 1 to 255 bytes without spaces, control characters and *";
                return Answer::error(422, "topic: no topic can be called so", hint);
            }
        };
        let count = match asked.number("count", 1..=1000) {
            Ok(count) => count.unwrap_or(1),
            Err(refusal) => return refusal,
        };
        publish(&state, topic, count).await.unwrap_or_else(|fault| refused(&fault))
    })
}

async fn publish(state: &State, topic: Arc<str>, count: u64) -> Result<Answer, Fault> {
    let mut asking = Asking::new(&state.staff, Instant::now() + WORKERS_MAX);
    let pattern = Some(topic.clone());
    let mut subscribers = 0;
    for answer in asking.everybody(&Ask::Channels { pattern }).await? {
        if let Told::Channels(topics) = answer {
            let own = topics.into_iter().filter(|(name, _)| *name == topic);
            subscribers += own.map(|(_, clients)| u64::from(clients)).sum::<u64>();
        }
    }
    let asks = (1..=count).map(|number| (&*topic, message(&topic, number)));
    let mut last = Place { offset: 0, epoch: "".into() };
    for answer in asking.homes(asks).await {
        if let Told::Published(place) = answer? {
            last = place;
        }
    }
    let home = (state.staff.home_of)(&topic);
    Ok(Answer::json(
        200,
        &json!({
            "topic": &*topic,
            "home": home,
            "published": count,
            "offset": last.offset,
            "epoch": &*last.epoch,
            "subscribers": subscribers,
        }),
    ))
}

/// `{"test":true,"number":1,"published_ms":…}`, the time since 1970.
fn message(topic: &Arc<str>, number: u64) -> Ask {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let data = json!({"test": true, "number": number, "published_ms": now.as_millis() as u64});
    let data: Arc<str> = data.to_string().into();
    match Feed::of(topic) {
        Some(feed) => Ask::Feed(vec![(feed, data)]),
        None => Ask::Publish { topic: topic.clone(), data, skip_history: false, idempotency_key: None },
    }
}

fn refused(fault: &Fault) -> Answer {
    let status = if fault.code == BAD_REQUEST { 422 } else { 503 };
    Answer::error(status, &fault.message, &fault.hint)
}
