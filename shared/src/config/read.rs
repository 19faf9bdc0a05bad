//! From a node of the tree to a typed value. Each reader's message ends in a remedy. Addresses and names are read
//! in `nets`, mappings by `fields`.

use super::fault::FAULTS_MAX;
use super::place::Span;
use super::yaml::{Data, Node, Wrong};
use super::{AccessLog, suggest, units};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Items of one list.
pub const LIST_LEN_MAX: usize = 1024;
/// Characters of a faulty value that are repeated.
const QUOTED_MAX: usize = 60;

/// A typed value, or everything that is wrong with it.
pub type Read<T> = Result<T, Vec<Wrong>>;

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

/// A number, or the one word that stands for none.
pub fn integer_or(word: &str, node: &Node, range: &RangeInclusive<u64>) -> Read<Option<u64>> {
    match &node.data {
        Data::Scalar { text, .. } if text == word => Ok(None),
        Data::Scalar { text, quoted: false }
            if !node.is_null() && !text.bytes().all(|b| b.is_ascii_digit()) =>
        {
            wrong(node.span, format!("{} is not a number: write {word} or {}", quote(text), span_of(range)))
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

pub fn text(node: &Node) -> Read<&str> {
    match scalar(node, "a text")? {
        "" => wrong(node.span, "is empty: give a value, or remove the key"),
        text => Ok(text),
    }
}

/// A text of at most `bytes_max` bytes of `allowed` characters; empty is `None`.
pub fn optional_text<'a>(
    node: &'a Node,
    bytes_max: usize,
    allowed: (fn(char) -> bool, &str),
) -> Read<Option<&'a str>> {
    let (fits, described) = allowed;
    match scalar(node, "a text")? {
        "" => Ok(None),
        text if text.len() > bytes_max => {
            wrong(node.span, format!("{} is longer than {bytes_max} bytes: write a shorter one", quote(text)))
        }
        text if !text.chars().all(fits) => {
            wrong(node.span, format!("{} may hold {described} alone: choose another", quote(text)))
        }
        text => Ok(Some(text)),
    }
}

/// Where access lines go.
pub fn access_log(node: &Node) -> Read<AccessLog> {
    let text = scalar(node, "stderr, off or a path")?;
    match text.to_ascii_lowercase().as_str() {
        "stderr" | "true" => Ok(AccessLog::Stderr),
        "off" | "false" => Ok(AccessLog::Off),
        // A slip such as `stdout` must not become a file of that name.
        _ if !text.contains('/') => wrong(
            node.span,
            format!("{} is neither stderr nor off: write one of them, or a path with a / in it", quote(text)),
        ),
        _ if text.ends_with('/') => {
            wrong(node.span, format!("{} is a folder: name a file in it", quote(text)))
        }
        _ => Ok(AccessLog::File(text.into())),
    }
}

/// Reads every item, so that all faulty ones are told.
pub fn list<T>(node: &Node, mut item: impl FnMut(&Node) -> Read<T>) -> Read<Vec<T>> {
    let nodes = items(node)?;
    let (mut items, mut wrongs) = (Vec::new(), Vec::new());
    for (index, node) in nodes.iter().enumerate() {
        // Nobody reads more of them, and a hostile text holds many.
        if wrongs.len() >= FAULTS_MAX {
            break;
        }
        match item(node) {
            Ok(value) => items.push(value),
            Err(found) => wrongs.extend(found.into_iter().map(|wrong| wrong.below(&format!("[{index}]")))),
        }
    }
    if wrongs.is_empty() { Ok(items) } else { Err(wrongs) }
}

/// A list whose emptiness would mean the opposite of what it seems to say.
pub fn filled_list<T>(node: &Node, item: impl FnMut(&Node) -> Read<T>) -> Read<Vec<T>> {
    match list(node, item)? {
        items if items.is_empty() => wrong(node.span, "is an empty list: leave it out to match everything"),
        items => Ok(items),
    }
}

/// The nodes of a list of bearable length.
fn items(node: &Node) -> Read<&[Node]> {
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
    Ok(nodes)
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

pub fn scalar<'a>(node: &'a Node, wanted: &str) -> Read<&'a str> {
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

fn span_of(range: &RangeInclusive<u64>) -> String {
    format!("{} to {}", range.start(), range.end())
}

/// `a, b, c`.
pub fn listed(names: impl IntoIterator<Item = impl Display>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}
