//! The kinds of values a key may have, each with the way into the draft.

use super::draft::Draft;
use super::place::Span;
use super::read::{self, Read, Target};
use super::value::Value;
use super::yaml::Node;
use super::{TargetClasses, units};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

type Put<T> = fn(&mut Draft, T);
type Choose = fn(&mut Draft);

/// What a key's value must be, and where it goes. A value cannot go where its type does not fit.
pub enum Kind {
    Bool(Put<bool>),
    Integer(RangeInclusive<u64>, Put<u64>),
    /// `auto` is `None`.
    IntegerOrAuto(RangeInclusive<u64>, Put<Option<u64>>),
    Duration(RangeInclusive<Duration>, Put<Duration>),
    Bytes(RangeInclusive<u64>, Put<u64>),
    /// One of a few words.
    Word(&'static [(&'static str, Choose)]),
    Addresses {
        /// Used where an address has none; without it a port is needed.
        default_port: Option<u16>,
        put: Put<Vec<SocketAddr>>,
    },
    /// CPU numbers up to the given one.
    Cpus(RangeInclusive<u64>, Put<Vec<usize>>),
    /// Target classes.
    Classes(Put<TargetClasses>),
    /// Target classes and networks.
    Targets(Put<Vec<Target>>),
    Path(Put<PathBuf>),
}

impl Kind {
    /// Reads `node`, puts its value in the draft and returns it in the form it is shown.
    pub fn assign(&self, node: &Node, draft: &mut Draft) -> Read<Value> {
        match self {
            Kind::Bool(put) => {
                let value = read::boolean(node)?;
                put(draft, value);
                Ok(Value::Bool(value))
            }
            Kind::Integer(range, put) => {
                let value = read::integer(node, range)?;
                put(draft, value);
                Ok(Value::Number(value))
            }
            Kind::IntegerOrAuto(range, put) => {
                let value = read::integer_or_auto(node, range)?;
                put(draft, value);
                Ok(value.map_or_else(|| Value::Text("auto".to_owned()), Value::Number))
            }
            Kind::Duration(range, put) => {
                let value = read::duration(node, range)?;
                put(draft, value);
                Ok(Value::Text(units::show_duration(value)))
            }
            Kind::Bytes(range, put) => {
                let value = read::bytes(node, range)?;
                put(draft, value);
                Ok(Value::Text(units::show_bytes(value)))
            }
            Kind::Word(words) => {
                let (word, put) = read::word(node, words)?;
                put(draft);
                Ok(Value::Text((*word).to_owned()))
            }
            Kind::Path(put) => {
                let value = read::text(node)?;
                put(draft, PathBuf::from(value));
                Ok(Value::Text(value.to_owned()))
            }
            _ => self.assign_list(node, draft),
        }
    }

    fn assign_list(&self, node: &Node, draft: &mut Draft) -> Read<Value> {
        match self {
            Kind::Addresses { default_port, put } => {
                let addresses = read::list(node, |item| read::address(item, *default_port))?;
                let shown = Value::texts(&addresses);
                put(draft, addresses);
                Ok(shown)
            }
            Kind::Cpus(range, put) => {
                let cpus = read::list(node, |item| read::integer(item, range))?;
                put(draft, cpus.iter().map(|cpu| *cpu as usize).collect());
                Ok(Value::List(cpus.into_iter().map(Value::Number).collect()))
            }
            Kind::Classes(put) => {
                let classes = read::list(node, read::class)?;
                let shown = Value::texts(classes.iter().map(|class| class.label()));
                put(draft, classes.into_iter().fold(TargetClasses::default(), TargetClasses::with));
                Ok(shown)
            }
            Kind::Targets(put) => {
                let targets = read::list(node, read::target)?;
                let shown = Value::texts(targets.iter().map(|target| match target {
                    Target::Class(class) => class.label().to_owned(),
                    Target::Network(network) => network.to_string(),
                }));
                put(draft, targets);
                Ok(shown)
            }
            // `assign` sends lists alone here.
            _ => read::wrong(Span::default(), "is not a list"),
        }
    }

    /// Whether a value is a list, so that an override may name its items with commas between them.
    pub fn is_list(&self) -> bool {
        matches!(self, Kind::Addresses { .. } | Kind::Cpus(..) | Kind::Classes(_) | Kind::Targets(_))
    }

    /// What may be written, for people.
    pub fn describe(&self) -> String {
        match self {
            Kind::Bool(_) => "true or false".to_owned(),
            Kind::Integer(range, _) => format!("{} to {}", range.start(), range.end()),
            Kind::IntegerOrAuto(range, _) => format!("auto, or {} to {}", range.start(), range.end()),
            Kind::Duration(range, _) => format!(
                "duration, {} to {}",
                units::show_duration(*range.start()),
                units::show_duration(*range.end())
            ),
            Kind::Bytes(range, _) => {
                format!("size, {} to {}", units::show_bytes(*range.start()), units::show_bytes(*range.end()))
            }
            Kind::Word(words) => format!("one of {}", read::listed(words.iter().map(|(word, _)| word))),
            Kind::Addresses { default_port: None, .. } => "list of IP:port".to_owned(),
            Kind::Addresses { default_port: Some(port), .. } => {
                format!("list of IP or IP:port (port {port} if none is given)")
            }
            Kind::Cpus(..) => "list of CPU numbers".to_owned(),
            Kind::Classes(_) => "list of target classes".to_owned(),
            Kind::Targets(_) => "list of target classes and networks".to_owned(),
            Kind::Path(_) => "path".to_owned(),
        }
    }
}
