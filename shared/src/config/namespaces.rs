//! `websocket.namespaces`: what holds for the topics that begin with a prefix.

use super::fields::{Field, Fields, Shape, words};
use super::read::{self, Read, quote};
use super::units;
use super::value::Value;
use super::yaml::{Node, Wrong};
use super::{Namespace, Overflow, Publishers};
use std::time::Duration;

/// Bytes of a topic, and so of a prefix.
const PREFIX_BYTES_MAX: usize = 255;
/// Publications kept of one topic.
const HISTORY_SIZE_MAX: u64 = 1_000_000;
const HISTORY_TTL_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

const PUBLISHERS: [(&str, Publishers); 3] = [
    ("server", Publishers::Server),
    ("subscribers", Publishers::Subscribers),
    ("anyone", Publishers::Anyone),
];
const OVERFLOWS: [(&str, Overflow); 4] = [
    ("disconnect", Overflow::Disconnect),
    ("drop_oldest", Overflow::DropOldest),
    ("drop_newest", Overflow::DropNewest),
    ("conflate_latest", Overflow::ConflateLatest),
];

/// The fields of a namespace.
pub static FIELDS: [Field; 6] = [
    field(
        "prefix",
        true,
        Shape::AnyText("news."),
        "What its topics begin with; the longest prefix that fits a topic wins. `\"\"`: all that no other fits.",
    ),
    field(
        "publish",
        false,
        Shape::Word(&words(&PUBLISHERS)),
        "Which clients may publish: none (`server`, left out), those subscribed to the topic, or all. The publish API always may.",
    ),
    field(
        "history",
        false,
        Shape::Mapping(&HISTORY),
        "What is kept of a topic for those who ask later. Left out: nothing.",
    ),
    field("presence", false, Shape::Bool, "Whether it is kept who is subscribed. Left out: `false`."),
    field(
        "overflow",
        false,
        Shape::Word(&words(&OVERFLOWS)),
        "What happens to a publication that finds the queue of a slow connection full. `disconnect` (left out) closes the \
         connection with code 3008; `conflate_latest` lets only the newest publication of a topic wait for a connection that is behind.",
    ),
    field("compression", false, Shape::Bool, "Whether its publications may be compressed. Left out: `true`."),
];

/// The fields of `history`.
static HISTORY: [Field; 2] = [
    field("size", true, Shape::Number(0, HISTORY_SIZE_MAX), "Publications kept of each topic."),
    field(
        "ttl",
        false,
        Shape::Duration,
        "How long each is kept. Left out or `0s`: until newer ones push it out.",
    ),
];

const fn field(name: &'static str, required: bool, shape: Shape, doc: &'static str) -> Field {
    Field { name, shape, required, doc }
}

pub fn namespaces(node: &Node) -> Read<Vec<Namespace>> {
    let mut seen: Vec<Namespace> = Vec::new();
    read::list(node, |node| {
        let namespace = namespace(node)?;
        if seen.iter().any(|other| other.prefix == namespace.prefix) {
            let message = format!("stands before already as {}: keep one of them", quote(&namespace.prefix));
            return Err(vec![Wrong::at(node.span, message).below(".prefix")]);
        }
        seen.push(namespace.clone());
        Ok(namespace)
    })
}

fn namespace(node: &Node) -> Read<Namespace> {
    let mut fields = Fields::of(node, &FIELDS)?;
    let prefix = fields.required("prefix", prefix);
    let publish = fields.optional("publish", |node| Ok(read::word(node, &PUBLISHERS)?.1));
    let history = fields.optional("history", history);
    let presence = fields.optional("presence", read::boolean);
    let overflow = fields.optional("overflow", |node| Ok(read::word(node, &OVERFLOWS)?.1));
    let compression = fields.optional("compression", read::boolean);
    let (history_size, history_ttl) = history.unwrap_or((0, Duration::ZERO));
    let blank = Namespace::default();
    fields.end(prefix.map(|prefix| Namespace {
        prefix: prefix.into(),
        publish: publish.unwrap_or(blank.publish),
        history_size,
        history_ttl,
        presence: presence.unwrap_or(blank.presence),
        overflow: overflow.unwrap_or(blank.overflow),
        compression: compression.unwrap_or(blank.compression),
    }))
}

/// As a topic, but it may be empty.
fn prefix(node: &Node) -> Read<&str> {
    let allowed: (fn(char) -> bool, &str) = (
        |c| !c.is_control() && c != ' ' && c != '*',
        "what topics are made of: no spaces, control characters or *",
    );
    Ok(read::optional_text(node, PREFIX_BYTES_MAX, allowed)?.unwrap_or_default())
}

fn history(node: &Node) -> Read<(u32, Duration)> {
    let mut fields = Fields::of(node, &HISTORY)?;
    let size = fields.required("size", |node| read::integer(node, &(0..=HISTORY_SIZE_MAX)));
    let ttl = fields.optional("ttl", |node| read::duration(node, &(Duration::ZERO..=HISTORY_TTL_MAX)));
    fields.end(size.map(|size| (size as u32, ttl.unwrap_or_default())))
}

/// A namespace as it would be written.
pub fn show(namespace: &Namespace) -> Value {
    let text = |text: &str| Value::Text(text.to_owned());
    let history = vec![
        ("size", Value::Number(u64::from(namespace.history_size))),
        ("ttl", Value::Text(units::show_duration(namespace.history_ttl))),
    ];
    Value::Map(vec![
        ("prefix", text(&namespace.prefix)),
        ("publish", text(word_of(&PUBLISHERS, namespace.publish))),
        ("history", Value::Map(history)),
        ("presence", Value::Bool(namespace.presence)),
        ("overflow", text(word_of(&OVERFLOWS, namespace.overflow))),
        ("compression", Value::Bool(namespace.compression)),
    ])
}

fn word_of<T: PartialEq>(table: &[(&'static str, T)], value: T) -> &'static str {
    table.iter().find(|(_, held)| *held == value).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn read(text: &str) -> Result<Vec<Namespace>, String> {
        namespaces(&yaml::parse(text).unwrap())
            .map_err(|wrongs| wrongs.iter().map(|w| format!("{}: {}\n", w.path, w.message)).collect())
    }

    #[test]
    fn what_is_shown_reads_back_the_same() {
        let text = "[{prefix: 'a.', publish: anyone, history: {size: 5, ttl: 1m}, overflow: drop_oldest}, {prefix: ''}]";
        let read_once = read(text).unwrap();
        assert_eq!(read_once[0].history_ttl, Duration::from_secs(60));
        let shown = Value::List(read_once.iter().map(show).collect()).to_string();
        assert_eq!(read(&shown).unwrap(), read_once);
    }

    #[test]
    fn faults_name_their_field() {
        for (text, fault) in [
            ("[{publish: anyone}]", "[0].prefix: is missing"),
            ("[{prefix: a}, {prefix: a}]", "[1].prefix: stands before already"),
            ("[{prefix: 'a*'}]", "[0].prefix: "),
            ("[{prefix: a, history: {ttl: 1s}}]", "[0].history.size: is missing"),
            ("[{prefix: a, overflow: drop}]", "[0].overflow: "),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.starts_with(fault), "{text}: {told}");
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        let namespaces = read("[{prefix: ''}, {prefix: 'news.'}, {prefix: 'news.sport.'}]").unwrap();
        for (topic, prefix) in [("weather", ""), ("news.a", "news."), ("news.sport.b", "news.sport.")] {
            assert_eq!(&*Namespace::of(&namespaces, topic).unwrap().prefix, prefix);
        }
    }
}
