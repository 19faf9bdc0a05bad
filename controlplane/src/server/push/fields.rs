//! The fields of a request, each read by its name. What Centrifugo does not know is left alone, as it does; what it
//! knows and ringway does not is refused by name.

use super::fault::{BAD_REQUEST, Fault};
use ringway_shared::push::{Place, Who};
use ringway_shared::topic::Topic;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Bytes of a user's or client's name.
const NAME_BYTES_MAX: usize = 255;
pub const TOPIC_GRAMMAR: &str = "a channel has 1 to 255 bytes without spaces, control characters and *";

/// A JSON object, its values as they were written.
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

type Read<T> = Result<T, Fault>;

impl<'a> Fields<'a> {
    /// Reads an object; nothing at all is an empty one.
    pub fn of(text: &'a str) -> Read<Fields<'a>> {
        if text.trim_ascii().is_empty() {
            return Ok(Fields(Vec::new()));
        }
        serde_json::from_str(text)
            .map_err(|error| Fault::bad(format!("bad request: not a JSON object: {error}")))
    }

    /// Its fields with their names, `null` left out.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().filter(|(_, value)| value.get() != "null").map(|(name, value)| (&**name, *value))
    }

    /// A value as it was written; `null` is one.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(held, _)| held == name).map(|(_, value)| *value)
    }

    /// A value of a JSON type; `null` is none.
    pub fn optional<T: Deserialize<'a>>(&self, name: &str, wanted: &str) -> Read<Option<T>> {
        let value = self.raw(name).filter(|value| value.get() != "null");
        let read = |value: &'a RawValue| serde_json::from_str(value.get());
        value.map(read).transpose().map_err(|_| Fault::bad(format!("bad request: {name} must be {wanted}")))
    }

    pub fn flag(&self, name: &str) -> Read<bool> {
        Ok(self.optional(name, "true or false")?.unwrap_or_default())
    }

    pub fn text(&self, name: &str) -> Read<Option<Cow<'a, str>>> {
        self.optional(name, "a string")
    }

    /// The object within.
    pub fn object(&self, name: &str) -> Read<Option<Fields<'a>>> {
        self.optional(name, "an object")
    }

    /// A channel that must be named.
    pub fn topic(&self, name: &str) -> Read<Arc<str>> {
        let text = self.text(name)?.ok_or_else(|| Fault::bad(format!("bad request: {name} is missing")))?;
        topic(&text)
    }

    /// A text of at most `bytes_max`; empty is none.
    pub fn short_text(&self, name: &str, bytes_max: usize) -> Read<Option<Box<str>>> {
        match self.text(name)? {
            Some(text) if text.len() > bytes_max => {
                Err(Fault::bad(format!("bad request: {name} is longer than {bytes_max} bytes")))
            }
            text => Ok(text.filter(|text| !text.is_empty()).map(|text| text.into_owned().into())),
        }
    }

    /// Whose connections are meant: a user's, or the one of that client. Connections without a user have the user "".
    pub fn who(&self) -> Read<Who> {
        let client = self.short_text("client", NAME_BYTES_MAX)?;
        match self.text("user")? {
            None if client.is_none() => Err(Fault::bad("bad request: user is missing")),
            Some(user) if user.len() > NAME_BYTES_MAX => {
                Err(Fault::bad(format!("bad request: user is longer than {NAME_BYTES_MAX} bytes")))
            }
            user => Ok(Who { user: user.unwrap_or_default().into(), client }),
        }
    }

    /// `{"offset":…,"epoch":…}`
    pub fn place(&self, name: &str) -> Read<Option<Place>> {
        let Some(fields) = self.object(name)? else { return Ok(None) };
        let offset = fields.optional("offset", "a number, 0 or more")?.unwrap_or_default();
        let epoch = fields.text("epoch")?.unwrap_or_default();
        Ok(Some(Place { offset, epoch: epoch.into() }))
    }

    /// Refuses fields that Centrifugo knows and ringway does not, unless what they say is nothing.
    pub fn refuse(&self, names: &[&str]) -> Read<()> {
        let says_nothing =
            |value: &RawValue| ["null", "false", "0", "\"\"", "{}", "[]"].contains(&value.get());
        let said = self.0.iter().find(|(name, value)| names.contains(&&**name) && !says_nothing(value));
        match said {
            None => Ok(()),
            Some((name, _)) => {
                Err(Fault::bad(format!("bad request: {name} is not supported here: leave it out")))
            }
        }
    }
}

/// A channel's name.
pub fn topic(name: &str) -> Read<Arc<str>> {
    match Topic::parse(name) {
        Ok(topic) if !topic.is_pattern() => Ok(topic.name().into()),
        _ => {
            let message = format!("bad request: no channel can be called {}", quoted(name));
            Err(Fault::new(BAD_REQUEST, message, TOPIC_GRAMMAR))
        }
    }
}

/// The start of a text, to be repeated in a message.
fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 40;
    let start: String = text.chars().take(SHOWN_MAX).collect();
    if start.len() < text.len() { format!("{start:?}…") } else { format!("{start:?}") }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields: Self::Value = Vec::new();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    // One request has a few fields; a hostile one must not make this quadratic.
                    if fields.len() == FIELDS_MAX {
                        return Err(A::Error::custom(format!("more than {FIELDS_MAX} fields")));
                    }
                    if fields.iter().any(|(held, _)| *held == name) {
                        return Err(A::Error::custom("a field stands there twice"));
                    }
                    fields.push((name, value));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object).map(Fields)
    }
}

/// Fields of one object.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn fault<T>(read: Read<T>) -> String {
        read.err().unwrap().message.into_owned()
    }

    #[test]
    fn values_are_read_by_name_and_faults_say_it() {
        let text = r#"{"channel":"n\u0065ws","n":7,"flag":true,"nothing":null,"data":{"a" : 1.50},"since":{"offset":3,"epoch":"x"}}"#;
        let fields = Fields::of(text).unwrap();
        assert_eq!(&*fields.topic("channel").unwrap(), "news");
        assert_eq!(fields.optional::<u32>("n", "a number").unwrap(), Some(7));
        assert!(fields.flag("flag").unwrap() && !fields.flag("absent").unwrap());
        assert_eq!(fields.text("nothing").unwrap(), None);
        assert_eq!(fields.raw("data").unwrap().get(), r#"{"a" : 1.50}"#);
        assert_eq!(fields.place("since").unwrap(), Some(Place { offset: 3, epoch: "x".into() }));
        assert_eq!(fault(fields.text("n")), "bad request: n must be a string");
        assert_eq!(fault(fields.flag("n")), "bad request: n must be true or false");
        assert_eq!(fault(fields.topic("absent")), "bad request: absent is missing");
        assert_eq!(fault(fields.object("n").map(drop)), "bad request: n must be an object");
    }

    #[test]
    fn what_is_no_object_is_told_so() {
        for text in ["[]", "7", "{", "{\"a\":1}x", "{\"a\":1,\"a\":2}", "\u{0}"] {
            assert!(
                fault(Fields::of(text).map(drop)).starts_with("bad request: not a JSON object"),
                "{text}"
            );
        }
        let many: Vec<String> = (0..=FIELDS_MAX).map(|n| format!("\"{n}\":1")).collect();
        assert!(Fields::of(&format!("{{{}}}", many.join(","))).is_err());
        // However deep: nobody here goes down into data.
        assert!(Fields::of(&format!("{{\"data\":{}1{}}}", "[".repeat(90_000), "]".repeat(90_000))).is_ok());
        assert!(Fields::of(" \n").unwrap().0.is_empty());
    }

    #[test]
    fn damaged_requests_are_refused_or_read_and_never_more() {
        let whole = r#"{"channel":"a.b","data":{"x":[1,"\u00fc",null]},"limit":-1,"user":"u","since":{"offset":3,"epoch":"e"}}"#;
        let read = |text: &str| {
            let Ok(fields) = Fields::of(text) else { return };
            let _ = (fields.topic("channel"), fields.who(), fields.place("since"), fields.flag("data"));
            let _ = (
                fields.optional::<i64>("limit", "a number"),
                fields.optional::<Vec<String>>("data", "a list"),
            );
            let _ = (fields.refuse(&["limit"]), fields.iter().count());
        };
        for at in 0..whole.len() {
            read(&whole[..at]);
            for byte in ["", "\"", "\\", "{", "}", "[", "9", "-", "\u{0}", "ü", "\\ud800"] {
                read(&format!("{}{byte}{}", &whole[..at], &whole[at + 1..]));
                read(&format!("{}{byte}{}", &whole[..at], &whole[at..]));
            }
        }
    }

    #[test]
    fn fields_without_support_are_refused_by_name_unless_they_say_nothing() {
        let refuse = |text| Fields::of(text).unwrap().refuse(&["tags", "delta"]);
        assert!(refuse(r#"{"delta":false,"tags":{},"other":1}"#).is_ok());
        assert!(fault(refuse(r#"{"delta":true}"#)).contains("delta is not supported"));
        assert!(fault(refuse(r#"{"tags":{"a":"b"}}"#)).contains("tags is not supported"));
    }

    #[test]
    fn channels_have_names() {
        for name in ["news", "news.sport", "ü", "$a:b#c,d", &"x".repeat(255)] {
            assert_eq!(&*topic(name).unwrap(), name);
        }
        for name in ["", "news.*", "a b", "a\n", &"x".repeat(256)] {
            assert_eq!(topic(name).unwrap_err().code, 107, "{name:?}");
        }
    }
}
