//! From a node of the tree to a typed value. Each reader's message ends in a remedy.

use super::place::Span;
use super::yaml::{Data, Node, Wrong};
use super::{TargetClass, suggest, units};
use ipnet::IpNet;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Items of one list.
pub const LIST_LEN_MAX: usize = 1024;
/// Characters of a faulty value that are repeated.
const QUOTED_MAX: usize = 60;

/// A typed value, or everything that is wrong with it.
pub type Read<T> = Result<T, Vec<Wrong>>;

/// A network or a class of targets, as `socks5.deny_targets` names them.
pub enum Target {
    Class(TargetClass),
    Network(IpNet),
}

pub fn boolean(node: &Node) -> Read<bool> {
    match unquoted(node, "true or false")? {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        text => wrong(node.span, format!("{} is not true or false: write one of them", quote(text))),
    }
}

pub fn integer(node: &Node, range: &RangeInclusive<u64>) -> Read<u64> {
    let text = unquoted(node, "a number")?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return wrong(node.span, format!("{} is not a number: write {}", quote(text), span_of(range)));
    }
    within(node, text.parse().unwrap_or(u64::MAX), range, |n| n.to_string())
}

pub fn integer_or_auto(node: &Node, range: &RangeInclusive<u64>) -> Read<Option<u64>> {
    match &node.data {
        Data::Scalar { text, .. } if text == "auto" => Ok(None),
        Data::Scalar { text, quoted: false } if !text.bytes().all(|b| b.is_ascii_digit()) => {
            wrong(node.span, format!("{} is not a number: write auto or {}", quote(text), span_of(range)))
        }
        _ => integer(node, range).map(Some),
    }
}

pub fn duration(node: &Node, range: &RangeInclusive<Duration>) -> Read<Duration> {
    let text = scalar(node, "a duration such as 10s")?;
    match units::duration(text) {
        Ok(value) => within(node, value, range, units::show_duration),
        Err(why) => wrong(node.span, format!("{} {why}", quote(text))),
    }
}

pub fn bytes(node: &Node, range: &RangeInclusive<u64>) -> Read<u64> {
    let text = scalar(node, "a size such as 64KiB")?;
    match units::bytes(text) {
        Ok(value) => within(node, value, range, units::show_bytes),
        Err(why) => wrong(node.span, format!("{} {why}", quote(text))),
    }
}

/// The entry of `words` that is named. Case does not matter: `LOG_LEVEL=INFO` is common.
pub fn word<'a, T>(node: &Node, words: &'a [(&'static str, T)]) -> Read<&'a (&'static str, T)> {
    let names = || words.iter().map(|(name, _)| *name);
    let text = scalar(node, &format!("one of {}", listed(names())))?;
    words.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).ok_or_else(|| {
        let remedy = suggest::sentence(text, names());
        vec![Wrong::at(node.span, format!("{} is not one of {}{remedy}", quote(text), listed(names())))]
    })
}

/// An IP address with a port; without one where `default_port` fills it in.
pub fn address(node: &Node, default_port: Option<u16>) -> Read<SocketAddr> {
    let text = scalar(node, "an address")?;
    let bare = text.parse::<IpAddr>().ok();
    match (text.parse::<SocketAddr>(), bare, default_port) {
        (Ok(address), ..) if address.port() == 0 && default_port.is_some() => {
            wrong(node.span, format!("{}: port 0 cannot be asked", quote(text)))
        }
        (Ok(address), ..) => Ok(address),
        (_, Some(ip), Some(port)) => Ok(SocketAddr::new(ip, port)),
        (_, Some(IpAddr::V4(ip)), None) => {
            wrong(node.span, format!("{} has no port: write {ip}:PORT", quote(text)))
        }
        (_, Some(IpAddr::V6(ip)), None) => {
            wrong(node.span, format!("{} has no port: write [{ip}]:PORT", quote(text)))
        }
        (_, None, Some(_)) => {
            wrong(node.span, format!("{} is not an IP address: a name cannot stand here", quote(text)))
        }
        (_, None, None) => {
            let remedy = "is not an IP address with a port: write for example 127.0.0.1:1080 or [::1]:1080";
            wrong(node.span, format!("{} {remedy}", quote(text)))
        }
    }
}

pub fn class(node: &Node) -> Read<TargetClass> {
    let text = scalar(node, "a target class")?;
    if let Some(class) = class_named(text) {
        return Ok(class);
    }
    let names = || TargetClass::ALL.iter().map(|class| class.label());
    let remedy = match network_of(text) {
        Ok(_) => "; networks can be denied by socks5.deny_targets, not allowed".to_owned(),
        Err(_) => suggest::sentence(text, names()),
    };
    wrong(node.span, format!("{} is not a target class ({}){remedy}", quote(text), listed(names())))
}

pub fn target(node: &Node) -> Read<Target> {
    let text = scalar(node, "a target class or a network")?;
    if let Some(class) = class_named(text) {
        return Ok(Target::Class(class));
    }
    network_of(text).map(Target::Network).or_else(|why| {
        let names = TargetClass::ALL.iter().map(|class| class.label());
        let remedy = why.unwrap_or_else(|| {
            let meant = suggest::sentence(text, names.clone());
            format!("is neither a network such as 10.0.0.0/8 nor a target class ({}){meant}", listed(names))
        });
        wrong(node.span, format!("{} {remedy}", quote(text)))
    })
}

pub fn text(node: &Node) -> Read<&str> {
    match scalar(node, "a text")? {
        "" => wrong(node.span, "is empty: give a value, or remove the key"),
        text => Ok(text),
    }
}

/// Reads every item, so that all faulty ones are told.
pub fn list<T>(node: &Node, item: impl Fn(&Node) -> Read<T>) -> Read<Vec<T>> {
    let Data::List(nodes) = &node.data else {
        let remedy = match &node.data {
            Data::Scalar { text, .. } if !node.is_null() => format!("write [{}]", quote(text)),
            _ => "write [a, b], or [] for an empty one".to_owned(),
        };
        return wrong(node.span, format!("must be a list: {remedy}"));
    };
    if nodes.len() > LIST_LEN_MAX {
        return wrong(node.span, format!("holds {} items: at most {LIST_LEN_MAX} are allowed", nodes.len()));
    }
    let (mut items, mut wrongs) = (Vec::new(), Vec::new());
    for node in nodes {
        match item(node) {
            Ok(value) => items.push(value),
            Err(found) => wrongs.extend(found),
        }
    }
    if wrongs.is_empty() { Ok(items) } else { Err(wrongs) }
}

/// A value repeated in a message: quoted, escaped and cut.
pub fn quote(text: &str) -> String {
    if text.chars().count() <= QUOTED_MAX {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(QUOTED_MAX).collect();
    format!("{:?}", start + "…")
}

pub fn wrong<T>(span: Span, message: impl Into<String>) -> Read<T> {
    Err(vec![Wrong::at(span, message)])
}

fn scalar<'a>(node: &'a Node, wanted: &str) -> Read<&'a str> {
    match &node.data {
        _ if node.is_null() => wrong(node.span, format!("has no value: write {wanted}, or remove the key")),
        Data::Scalar { text, .. } => Ok(text),
        Data::List(_) => wrong(node.span, format!("is a list: write {wanted}")),
        Data::Map(_) => wrong(node.span, format!("is a mapping: write {wanted}")),
    }
}

fn unquoted<'a>(node: &'a Node, wanted: &str) -> Read<&'a str> {
    match &node.data {
        Data::Scalar { quoted: true, .. } => {
            wrong(node.span, format!("is text in quotes: write {wanted} without them"))
        }
        _ => scalar(node, wanted),
    }
}

fn within<T: PartialOrd + Copy>(
    node: &Node,
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(T) -> String,
) -> Read<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (show(*range.start()), show(*range.end()));
    wrong(node.span, format!("{} is out of range: write {low} to {high}", show(value)))
}

fn class_named(text: &str) -> Option<TargetClass> {
    TargetClass::ALL.into_iter().find(|class| class.label().eq_ignore_ascii_case(text))
}

/// The network written in `text`; an error holds the remedy if `text` is nearly one.
fn network_of(text: &str) -> Result<IpNet, Option<String>> {
    let network = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network,
        (_, Ok(address)) => IpNet::from(address),
        _ => return Err(None),
    };
    if network.trunc() != network {
        return Err(Some(format!("has bits beyond its mask: write {}", network.trunc())));
    }
    // Targets are compared with their embedded IPv4 address unfolded, so this would match nothing.
    match network.network() {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(Some("is an IPv4 network in IPv6 clothes: write the IPv4 one".to_owned()))
        }
        _ => Ok(network),
    }
}

fn span_of(range: &RangeInclusive<u64>) -> String {
    format!("{} to {}", range.start(), range.end())
}

/// `a, b, c`.
pub fn listed(names: impl IntoIterator<Item = impl Display>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}
