//! The keys of a request that matter, with their values as they stand.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Not derived: that would take arrays for objects, and give up at a key that stands twice before it knew the `id`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Envelope<'a> {
    pub kind: Option<&'a RawValue>,
    pub topic: Option<&'a RawValue>,
    /// `null` is a value like any other.
    pub data: Option<&'a RawValue>,
    pub id: Option<&'a RawValue>,
    /// A key that stands more than once: two readers might believe different ones.
    pub repeated: Option<&'static str>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Type,
    Topic,
    Data,
    Id,
    #[serde(other)]
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Envelope<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(key) = map.next_key()? {
            let (name, place) = match key {
                Key::Type => ("type", &mut envelope.kind),
                Key::Topic => ("topic", &mut envelope.topic),
                Key::Data => ("data", &mut envelope.data),
                Key::Id => ("id", &mut envelope.id),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if place.replace(map.next_value()?).is_some() {
                envelope.repeated = Some(name);
            }
        }
        // Of two ids neither is known to be the right one.
        envelope.id = envelope.id.filter(|_| envelope.repeated != Some("id"));
        Ok(envelope)
    }
}
