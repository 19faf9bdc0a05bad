//! Lines of facts, and where they go: standard error, or a file of their own.
//!
//! Whatever stands in a line, no value may end its field or the line.

use crate::log_file::LogFile;
use crate::logs::Queue;
use ringway_shared::config::{AccessLog, LogFormat};
use serde_json::{Map, Number, Value as Json};
use std::fmt::Write;
use std::time::Duration;

/// Where lines go.
pub enum Lines {
    Nowhere,
    /// Among the other lines.
    Stderr(Queue),
    File(LogFile),
}

/// What lines are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Connections that ended.
    Access,
    /// Changes asked for on the control port.
    Audit,
    /// Requests on the control port.
    Control,
}

impl Stream {
    fn label(self) -> &'static str {
        ["access", "audit", "control"][self as usize]
    }

    /// What happened.
    fn verb(self) -> &'static str {
        ["closed", "asked", "answered"][self as usize]
    }
}

impl Lines {
    /// Opens what is to be opened. The error is for the operator: it names the key.
    pub fn open(key: &'static str, log: &AccessLog, queue: Queue) -> Result<Lines, String> {
        Ok(match log {
            AccessLog::Off => Lines::Nowhere,
            AccessLog::Stderr => Lines::Stderr(queue),
            AccessLog::File(path) => Lines::File(LogFile::open(key, path, queue)?),
        })
    }

    #[must_use]
    pub fn are_wanted(&self) -> bool {
        !matches!(self, Lines::Nowhere)
    }

    /// How many can be taken now without losing one.
    #[must_use]
    pub fn room(&self) -> usize {
        match self {
            Lines::Nowhere => usize::MAX,
            // Half of the queue is left to lines that cannot wait.
            Lines::Stderr(queue) => queue.room() / 2,
            Lines::File(file) => file.room(),
        }
    }

    /// Takes a whole line.
    pub fn put(&mut self, line: &str) {
        match self {
            Lines::Nowhere => {}
            Lines::Stderr(queue) => queue.put(line),
            Lines::File(file) => file.put(line),
        }
    }

    /// Hands what has gathered to the kernel, as far as it takes it.
    pub fn flush(&mut self) {
        if let Lines::File(file) = self {
            file.flush();
        }
    }

    /// Opens the file anew, so that a rotated one can go, and says how it went. False: there is none.
    pub fn reopen(&mut self) -> bool {
        let Lines::File(file) = self else { return false };
        file.reopen();
        true
    }
}

/// A field's value.
pub enum Value<'a> {
    Text(std::borrow::Cow<'a, str>),
    Number(u64),
    Time(Duration),
    /// Always true: what is not so is left out.
    Yes,
}

/// A field's name, and its value if it is known.
pub type Field<'a> = (&'static str, Option<Value<'a>>);

/// One line.
pub fn line(stream: Stream, time: &str, fields: Vec<Field<'_>>, format: LogFormat) -> String {
    // What is not known is left out.
    let known = fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect::<Vec<_>>();
    match format {
        LogFormat::Text => text(stream, time, &known),
        LogFormat::Json => json(stream, time, &known),
    }
}

pub fn word(text: &str) -> Value<'_> {
    Value::Text(text.into())
}

pub fn shown(shown: &dyn std::fmt::Display) -> Value<'static> {
    Value::Text(shown.to_string().into())
}

/// Looks like the log's other lines, and reads as `key=value` from the fourth word on.
fn text(stream: Stream, time: &str, fields: &[(&'static str, Value<'_>)]) -> String {
    // Writing to a String cannot fail.
    let mut line = format!("{time}  INFO {}: {}", stream.label(), stream.verb());
    for (name, value) in fields {
        let _ = match value {
            Value::Text(text) if stands_bare(text) => write!(line, " {name}={text}"),
            Value::Text(text) => write!(line, " {name}={text:?}"),
            Value::Number(number) => write!(line, " {name}={number}"),
            Value::Time(time) => write!(line, " {name}={}", milliseconds(*time)),
            Value::Yes => write!(line, " {name}=true"),
        };
    }
    line.push('\n');
    line
}

/// One flat object.
fn json(stream: Stream, time: &str, fields: &[(&'static str, Value<'_>)]) -> String {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), time.into());
    object.insert("stream".to_owned(), stream.label().into());
    for (name, value) in fields {
        let value = match value {
            Value::Text(text) => Json::from(text.as_ref()),
            Value::Number(number) => Json::from(*number),
            Value::Time(time) => Number::from_f64(milliseconds(*time)).map_or(Json::Null, Json::Number),
            Value::Yes => Json::Bool(true),
        };
        object.insert((*name).to_owned(), value);
    }
    let mut line = printable(&Json::Object(object).to_string());
    line.push('\n');
    line
}

/// JSON leaves line separators and their kind as they are; terminals and pagers do not.
fn printable(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside texts JSON is ASCII, so an escape is always inside one.
        if c.is_ascii_graphic() || c == ' ' || (!c.is_ascii() && c.escape_debug().len() == 1) {
            shown.push(c);
        } else {
            let escapes =
                c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            shown += &escapes;
        }
    }
    shown
}

/// Whether a value needs no quotes to be told from what stands beside it.
fn stands_bare(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/@+[]%".contains(&b);
    !text.is_empty() && text.bytes().all(plain)
}

/// To the microsecond: most connects take less than a millisecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_labels_need_no_quotes() {
        for text in [
            "[2001:db8::1]:443",
            "socks5.acl[3]",
            "users[alice].acl[0]",
            "xn--bcher-kva.example:80",
            "fe80::1%eth0",
        ] {
            assert!(stands_bare(text), "{text}");
        }
    }
}
