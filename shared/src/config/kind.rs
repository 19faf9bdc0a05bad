//! The kinds of values a key may have, each with the way into the draft.

use super::admission::written;
use super::alerts::webhooks::{self, WrittenWebhook};
use super::alerts::{self, AlertRule};
use super::api_keys;
use super::control;
use super::draft::Draft;
use super::fields::Field;
use super::namespaces;
use super::nets::{self, Target};
use super::place::Span;
use super::proxies::{self, WrittenProxy};
use super::read::{self, Read};
use super::rules::{self, WrittenRule};
use super::tls::{self, WrittenCertificate};
use super::value::Value;
use super::yaml::Node;
use super::{
    AccessLog, AllowedHost, AllowedOrigin, ApiKey, ControlToken, Destination, Namespace, TargetClasses, units,
};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

type Put<T> = fn(&mut Draft, T);
type Choose = fn(&mut Draft);

/// What a key's value must be, and where it goes. A value cannot go where its type does not fit.
pub enum Kind {
    Bool(Put<bool>),
    Integer(RangeInclusive<u64>, Put<u64>),
    /// A word such as `auto` or `none` is `None`.
    IntegerOr(&'static str, RangeInclusive<u64>, Put<Option<u64>>),
    Duration(RangeInclusive<Duration>, Put<Duration>),
    Bytes(RangeInclusive<u64>, Put<u64>),
    /// One of a few words.
    Word(&'static [(&'static str, Choose)]),
    /// A set of a few words.
    Words {
        clear: Choose,
        words: &'static [(&'static str, Choose)],
    },
    /// Empty is `None`.
    OptionalText {
        bytes_max: usize,
        /// Which characters may stand there, and how to say so.
        allowed: (fn(char) -> bool, &'static str),
        put: Put<Option<String>>,
    },
    Path(Put<PathBuf>),
    AccessLog(Put<AccessLog>),
    /// A range of ports, or `auto`.
    Ports(Put<Option<RangeInclusive<u16>>>),
    Addresses {
        /// Used where an address has none; without it a port is needed.
        default_port: Option<u16>,
        put: Put<Vec<SocketAddr>>,
    },
    /// Addresses of interfaces.
    Ips(Put<Vec<IpAddr>>),
    Networks(Put<Vec<IpNet>>),
    /// Networks and domains.
    Destinations(Put<Vec<Destination>>),
    /// CPU numbers up to the given one.
    Cpus(RangeInclusive<u64>, Put<Vec<usize>>),
    /// Target classes.
    Classes(Put<TargetClasses>),
    /// Target classes and networks.
    Targets(Put<Vec<Target>>),
    /// Web origins.
    Origins(Put<Vec<AllowedOrigin>>),
    Paths(Put<Vec<PathBuf>>),
    /// Rules of an ACL.
    Rules(Put<Vec<WrittenRule>>),
    /// Upstream proxies.
    Proxies(Put<Vec<WrittenProxy>>),
    /// Namespaces of topics.
    Namespaces(Put<Vec<Namespace>>),
    /// Keys of the publish API: shown to nobody.
    ApiKeys(Put<Vec<ApiKey>>),
    /// Tokens of the control port: shown to nobody.
    ControlTokens(Put<Vec<ControlToken>>),
    /// Names the control port may be called by.
    Hosts(Put<Vec<AllowedHost>>),
    /// Permissions of a file.
    Mode(Put<u32>),
    /// Certificates and where their keys are.
    Certificates(Put<Vec<WrittenCertificate>>),
    /// What is watched.
    AlertRules(Put<Vec<AlertRule>>),
    /// Who is told of alerts: a URL may hold a secret.
    Webhooks(Put<Vec<WrittenWebhook>>),
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
            Kind::IntegerOr(word, range, put) => {
                let value = read::integer_or(word, node, range)?;
                put(draft, value);
                Ok(value.map_or_else(|| Value::Text((*word).to_owned()), Value::Number))
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
            _ if self.is_list_of_mappings() => self.assign_mappings(node, draft),
            _ if self.is_list() => self.assign_list(node, draft),
            _ => self.assign_text(node, draft),
        }
    }

    fn assign_text(&self, node: &Node, draft: &mut Draft) -> Read<Value> {
        match self {
            Kind::Word(words) => {
                let (word, put) = read::word(node, words)?;
                put(draft);
                Ok(Value::Text((*word).to_owned()))
            }
            Kind::OptionalText { bytes_max, allowed, put } => {
                let text = read::optional_text(node, *bytes_max, *allowed)?.map(str::to_owned);
                let shown = Value::Text(text.clone().unwrap_or_default());
                put(draft, text);
                Ok(shown)
            }
            Kind::Path(put) => {
                let value = read::text(node)?;
                put(draft, PathBuf::from(value));
                Ok(Value::Text(value.to_owned()))
            }
            Kind::AccessLog(put) => {
                let log = read::access_log(node)?;
                let shown = log.to_string();
                put(draft, log);
                Ok(Value::Text(shown))
            }
            Kind::Ports(put) => {
                let ports = nets::ports_or_auto(node)?;
                let shown = ports.as_ref().map(|ports| format!("{}-{}", ports.start(), ports.end()));
                put(draft, ports);
                Ok(Value::Text(shown.unwrap_or_else(|| "auto".to_owned())))
            }
            Kind::Mode(put) => {
                let mode = control::written::mode(node)?;
                put(draft, mode);
                Ok(Value::Text(format!("{mode:04o}")))
            }
            // `assign` sends texts alone here.
            _ => read::wrong(Span::default(), "is not a text"),
        }
    }

    fn assign_list(&self, node: &Node, draft: &mut Draft) -> Read<Value> {
        match self {
            Kind::Words { clear, words } => {
                let chosen = read::list(node, |item| read::word(item, words))?;
                clear(draft);
                chosen.iter().for_each(|(_, put)| put(draft));
                Ok(Value::texts(chosen.iter().map(|(word, _)| *word)))
            }
            Kind::Addresses { default_port, put } => {
                let addresses = read::list(node, |item| nets::address(item, *default_port))?;
                Ok(put_texts(draft, *put, addresses, ToString::to_string))
            }
            Kind::Ips(put) => {
                let addresses = read::list(node, nets::unicast)?;
                Ok(put_texts(draft, *put, addresses, ToString::to_string))
            }
            Kind::Networks(put) => {
                let networks = read::list(node, nets::network)?;
                Ok(put_texts(draft, *put, networks, ToString::to_string))
            }
            Kind::Destinations(put) => {
                let destinations = read::list(node, nets::destination)?;
                Ok(put_texts(draft, *put, destinations, rules::show_destination))
            }
            Kind::Cpus(range, put) => {
                let cpus = read::list(node, |item| read::integer(item, range))?;
                put(draft, cpus.iter().map(|cpu| *cpu as usize).collect());
                Ok(Value::List(cpus.into_iter().map(Value::Number).collect()))
            }
            Kind::Classes(put) => {
                let classes = read::list(node, nets::class)?;
                let shown = Value::texts(classes.iter().map(|class| class.label()));
                put(draft, classes.into_iter().fold(TargetClasses::default(), TargetClasses::with));
                Ok(shown)
            }
            Kind::Targets(put) => {
                let targets = read::list(node, nets::target)?;
                let shown = |target: &Target| match target {
                    Target::Class(class) => class.label().to_owned(),
                    Target::Network(network) => network.to_string(),
                };
                Ok(put_texts(draft, *put, targets, shown))
            }
            Kind::Origins(put) => {
                let origins = read::list(node, written::allowed_origin)?;
                Ok(put_texts(draft, *put, origins, written::show_origin))
            }
            Kind::Paths(put) => {
                let paths = read::list(node, |item| Ok(PathBuf::from(read::text(item)?)))?;
                Ok(put_texts(draft, *put, paths, |path| path.to_string_lossy().into_owned()))
            }
            Kind::ApiKeys(put) => {
                let keys = api_keys::list(node)?;
                Ok(put_texts(draft, *put, keys, |key| format!("{key:?}")))
            }
            Kind::Hosts(put) => {
                let hosts = read::list(node, control::written::allowed_host)?;
                Ok(put_texts(draft, *put, hosts, control::written::show_host))
            }
            // `assign` sends lists alone here.
            _ => read::wrong(Span::default(), "is not a list"),
        }
    }

    fn assign_mappings(&self, node: &Node, draft: &mut Draft) -> Read<Value> {
        match self {
            Kind::Rules(put) => Ok(put_mappings(draft, *put, rules::of_everybody(node)?, |written| {
                rules::show(&written.rule)
            })),
            Kind::Proxies(put) => Ok(put_mappings(draft, *put, proxies::proxies(node)?, proxies::show)),
            Kind::Namespaces(put) => {
                Ok(put_mappings(draft, *put, namespaces::namespaces(node)?, namespaces::show))
            }
            Kind::Certificates(put) => Ok(put_mappings(draft, *put, tls::certificates(node)?, tls::show)),
            Kind::AlertRules(put) => {
                Ok(put_mappings(draft, *put, alerts::rules::rules(node)?, alerts::rules::show))
            }
            Kind::Webhooks(put) => Ok(put_mappings(draft, *put, webhooks::webhooks(node)?, webhooks::show)),
            Kind::ControlTokens(put) => {
                Ok(put_mappings(draft, *put, control::tokens::list(node)?, control::tokens::show))
            }
            // `assign` sends lists of mappings alone here.
            _ => read::wrong(Span::default(), "is not a list of mappings"),
        }
    }

    /// Whether a value is a secret, and so may stand in no message.
    pub fn is_secret(&self) -> bool {
        matches!(self, Kind::ApiKeys(_) | Kind::ControlTokens(_) | Kind::Webhooks(_))
    }

    /// Whether a value is a list.
    pub fn is_list(&self) -> bool {
        matches!(
            self,
            Kind::Words { .. }
                | Kind::Addresses { .. }
                | Kind::Ips(_)
                | Kind::Networks(_)
                | Kind::Destinations(_)
                | Kind::Cpus(..)
                | Kind::Classes(_)
                | Kind::Targets(_)
                | Kind::Origins(_)
                | Kind::Paths(_)
                | Kind::ApiKeys(_)
                | Kind::Hosts(_)
        ) || self.is_list_of_mappings()
    }

    /// Whether a list's items are mappings; other lists may be written in an override with commas between items.
    pub fn is_list_of_mappings(&self) -> bool {
        !self.fields().is_empty()
    }

    /// The fields of the mappings that are a list's items.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Kind::Rules(_) => &rules::FIELDS,
            Kind::Proxies(_) => &proxies::FIELDS,
            Kind::Namespaces(_) => &namespaces::FIELDS,
            Kind::Certificates(_) => &tls::FIELDS,
            Kind::ControlTokens(_) => &control::tokens::FIELDS,
            Kind::AlertRules(_) => &alerts::rules::FIELDS,
            Kind::Webhooks(_) => &webhooks::FIELDS,
            _ => &[],
        }
    }

    /// What may be written, for people.
    pub fn describe(&self) -> String {
        let words = |words: &[(&'static str, Choose)]| read::listed(words.iter().map(|(word, _)| word));
        match self {
            Kind::Bool(_) => "true or false".to_owned(),
            Kind::Integer(range, _) => format!("{} to {}", range.start(), range.end()),
            Kind::IntegerOr(word, range, _) => format!("{word}, or {} to {}", range.start(), range.end()),
            Kind::Duration(range, _) => format!(
                "duration, {} to {}",
                units::show_duration(*range.start()),
                units::show_duration(*range.end())
            ),
            Kind::Bytes(range, _) => {
                format!("size, {} to {}", units::show_bytes(*range.start()), units::show_bytes(*range.end()))
            }
            Kind::Word(table) => format!("one of {}", words(table)),
            Kind::Words { words: table, .. } => format!("list of {}", words(table)),
            Kind::OptionalText { .. } => "text, or \"\"".to_owned(),
            Kind::Path(_) => "path".to_owned(),
            Kind::AccessLog(_) => "stderr, off, or a path with a / in it".to_owned(),
            Kind::Ports(_) => "auto, or a range of ports such as \"40000-49999\"".to_owned(),
            Kind::Addresses { default_port: None, .. } => "list of IP:port".to_owned(),
            Kind::Addresses { default_port: Some(port), .. } => {
                format!("list of IP or IP:port (port {port} if none is given)")
            }
            Kind::Ips(_) => "list of IP".to_owned(),
            Kind::Networks(_) => "list of networks".to_owned(),
            Kind::Destinations(_) => "list of networks and domains".to_owned(),
            Kind::Cpus(..) => "list of CPU numbers".to_owned(),
            Kind::Classes(_) => "list of target classes".to_owned(),
            Kind::Targets(_) => "list of target classes and networks".to_owned(),
            Kind::Origins(_) => "list of origins".to_owned(),
            Kind::Paths(_) => "list of paths".to_owned(),
            Kind::Rules(_) => "list of rules".to_owned(),
            Kind::Proxies(_) => "list of upstream proxies".to_owned(),
            Kind::Namespaces(_) => "list of namespaces".to_owned(),
            Kind::ApiKeys(_) => "list of keys".to_owned(),
            Kind::ControlTokens(_) => "list of tokens".to_owned(),
            Kind::Hosts(_) => "list of names".to_owned(),
            Kind::Mode(_) => "octal, e.g. \"0660\"".to_owned(),
            Kind::Certificates(_) => "list of certificates".to_owned(),
            Kind::AlertRules(_) => "list of alert rules".to_owned(),
            Kind::Webhooks(_) => "list of webhooks".to_owned(),
        }
    }
}

/// Puts a list in the draft and returns it as texts.
fn put_texts<T>(draft: &mut Draft, put: Put<Vec<T>>, items: Vec<T>, show: impl Fn(&T) -> String) -> Value {
    let shown = Value::texts(items.iter().map(show));
    put(draft, items);
    shown
}

/// Puts a list of mappings in the draft and returns it as it would be written.
fn put_mappings<T>(draft: &mut Draft, put: Put<Vec<T>>, items: Vec<T>, show: impl Fn(&T) -> Value) -> Value {
    let shown = Value::List(items.iter().map(show).collect());
    put(draft, items);
    shown
}
