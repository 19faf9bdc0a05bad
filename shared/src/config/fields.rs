//! Mappings inside lists: rules, upstream proxies, users. Each kind of mapping has ONE table of its fields, from which
//! reading, documents and schema come.

use super::fault::FAULTS_MAX;
use super::place::Span;
use super::read::{Read, listed, wrong};
use super::yaml::{Data, Entry, Node, Wrong};
use super::{suggest, units};
use std::ops::RangeInclusive;

/// A field of a mapping.
pub struct Field {
    pub name: &'static str,
    pub shape: Shape,
    /// Whether it must stand there.
    pub required: bool,
    pub doc: &'static str,
}

/// What a field's value looks like, for documents and schema; reading it is its mapping's own work.
pub enum Shape {
    /// With an example.
    Text(&'static str),
    /// A text that may be empty.
    AnyText(&'static str),
    Texts(&'static str),
    Bool,
    Word(&'static [&'static str]),
    Words(&'static [&'static str]),
    /// Ports and ranges of them.
    Ports,
    Number(u64, u64),
    Size(RangeInclusive<u64>),
    Duration,
    /// A mapping of its own.
    Mapping(&'static [Field]),
    /// Rules, as in `socks5.acl`.
    Rules,
    /// Texts by names of one's own, with an example.
    Pairs(&'static str),
    /// A number with the unit of what it is held against.
    Threshold,
}

impl Shape {
    /// What may be written, for people.
    pub fn describe(&self) -> String {
        match self {
            Shape::Text(example) | Shape::AnyText(example) => format!("text, e.g. {example}"),
            Shape::Bool => "true or false".to_owned(),
            Shape::Texts(example) => format!("list, e.g. [{example}]"),
            Shape::Ports => "list of ports and ranges".to_owned(),
            Shape::Word(words) => format!("one of {}", listed(words.iter())),
            Shape::Words(words) => format!("list of {}", listed(words.iter())),
            Shape::Number(low, high) => format!("{low} to {high}"),
            Shape::Size(sizes) => {
                format!("size, {} to {}", units::show_bytes(*sizes.start()), units::show_bytes(*sizes.end()))
            }
            Shape::Duration => "duration, e.g. 5m".to_owned(),
            Shape::Mapping(fields) => {
                let fields = fields.iter().map(|field| format!("{}: {}", field.name, field.shape.describe()));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            Shape::Rules => "list of rules, as in socks5.acl".to_owned(),
            Shape::Pairs(example) => format!("mapping, e.g. {{{example}}}"),
            Shape::Threshold => "number with its unit, e.g. 90%".to_owned(),
        }
    }
}

/// The fields of one mapping while they are read; what is wrong with them gathers here.
pub struct Fields<'n> {
    node: &'n Node,
    found: Vec<(&'static str, &'n Node)>,
    wrongs: Vec<Wrong>,
}

impl<'n> Fields<'n> {
    /// Takes a mapping apart. Unknown fields and repeated ones are told together with what [`Fields::end`] tells.
    pub fn of(node: &'n Node, known: &'static [Field]) -> Read<Fields<'n>> {
        let Data::Map(entries) = &node.data else {
            let names: Vec<_> = known.iter().filter(|field| field.required).map(|field| field.name).collect();
            return wrong(node.span, format!("must be a mapping with {}", names.join(" and ")));
        };
        let mut fields = Fields { node, found: Vec::new(), wrongs: Vec::new() };
        for entry in entries {
            if fields.wrongs.len() >= FAULTS_MAX {
                break;
            }
            fields.take(entry, known);
        }
        Ok(fields)
    }

    fn take(&mut self, entry: &'n Entry, known: &'static [Field]) {
        let Entry { key, key_span, value } = entry;
        let Some(field) = known.iter().find(|field| field.name == key) else {
            // The key itself is not repeated: in a slip of the pen it may be a password.
            let names = || known.iter().map(|field| field.name);
            let meant = suggest::sentence(key, names());
            let names = names().collect::<Vec<_>>().join(", ");
            let message = format!("unknown field: only {names} may stand here{meant}");
            return self.wrongs.push(Wrong::at(*key_span, message));
        };
        if self.found.iter().any(|(name, _)| *name == field.name) {
            let message = "is set a second time: keep one of them";
            return self.wrongs.push(Wrong::at(*key_span, message).below(&format!(".{}", field.name)));
        }
        self.found.push((field.name, value));
    }

    /// Reads a field that may be left out.
    pub fn optional<T>(&mut self, name: &'static str, read: impl FnOnce(&'n Node) -> Read<T>) -> Option<T> {
        let node = self.node_of(name)?;
        match read(node) {
            Ok(value) => Some(value),
            Err(wrongs) => {
                let path = format!(".{name}");
                self.wrongs.extend(wrongs.into_iter().map(|wrong| wrong.below(&path)));
                None
            }
        }
    }

    /// Reads a field that must stand there.
    pub fn required<T>(&mut self, name: &'static str, read: impl FnOnce(&'n Node) -> Read<T>) -> Option<T> {
        match self.node_of(name) {
            Some(node) if !node.is_null() => self.optional(name, read),
            _ => {
                self.fault(name, "is missing");
                None
            }
        }
    }

    /// Whether the field stands there.
    pub fn has(&self, name: &str) -> bool {
        self.node_of(name).is_some()
    }

    /// Where the field's value stands; the mapping's own place if it is left out.
    pub fn span(&self, name: &str) -> Span {
        self.node_of(name).unwrap_or(self.node).span
    }

    /// Something wrong with a field beyond its own value.
    pub fn fault(&mut self, name: &'static str, message: impl Into<String>) {
        let wrong = Wrong::at(self.span(name), message).below(&format!(".{name}"));
        self.wrongs.push(wrong);
    }

    /// The value made of the fields, unless something is wrong with one of them.
    pub fn end<T>(self, value: Option<T>) -> Read<T> {
        match value {
            Some(value) if self.wrongs.is_empty() => Ok(value),
            _ => Err(self.wrongs),
        }
    }

    fn node_of(&self, name: &str) -> Option<&'n Node> {
        self.found.iter().find(|(found, _)| *found == name).map(|(_, node)| *node)
    }
}

/// The words of a table of words.
#[must_use]
pub const fn words<const N: usize, T: Copy>(table: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut words = [""; N];
    let mut index = 0;
    while index < N {
        words[index] = table[index].0;
        index += 1;
    }
    words
}
