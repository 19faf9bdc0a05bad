//! Topics: what they may be called, and which of them a pattern stands for. The hub, the publish API, clients and the
//! configuration all go by this.

use std::fmt;

/// Bytes of a topic's or pattern's name.
pub const TOPIC_BYTES_MAX: usize = 255;

/// The name of a topic, such as `news.sport`, or a pattern: `news.*` stands for all topics that begin with `news.`,
/// `*` for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic<'a>(&'a str);

/// Why a text is no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicFault {
    Empty,
    /// Of more than [`TOPIC_BYTES_MAX`] bytes.
    TooLong,
    /// It has a space or a control character.
    Character,
    /// A `*` elsewhere than at the end, alone or behind a `.`.
    Star,
}

impl<'a> Topic<'a> {
    /// # Errors
    /// As [`TopicFault`] says.
    pub fn parse(name: &'a str) -> Result<Topic<'a>, TopicFault> {
        if name.is_empty() {
            return Err(TopicFault::Empty);
        }
        if name.len() > TOPIC_BYTES_MAX {
            return Err(TopicFault::TooLong);
        }
        if !name.chars().all(Topic::may_hold) {
            return Err(TopicFault::Character);
        }
        match name.find('*') {
            None => Ok(Topic(name)),
            Some(star) if star + 1 == name.len() && (star == 0 || name[..star].ends_with('.')) => {
                Ok(Topic(name))
            }
            Some(_) => Err(TopicFault::Star),
        }
    }

    /// Whether names may hold this character somewhere.
    #[must_use]
    pub fn may_hold(character: char) -> bool {
        !character.is_control() && character != ' '
    }

    #[must_use]
    pub fn name(self) -> &'a str {
        self.0
    }

    #[must_use]
    pub fn is_pattern(self) -> bool {
        self.0.ends_with('*')
    }

    /// What the topics of a pattern begin with: `news.` for `news.*`, nothing for `*`. `None`: it is no pattern.
    #[must_use]
    pub fn prefix(self) -> Option<&'a str> {
        self.0.strip_suffix('*')
    }

    /// Whether a message to `topic` is meant for who has subscribed to this. `topic` itself is no pattern.
    #[must_use]
    pub fn matches(self, topic: &str) -> bool {
        self.prefix().map_or(self.0 == topic, |prefix| topic.starts_with(prefix))
    }
}

impl TopicFault {
    /// What is wrong, for whoever chose the name.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            TopicFault::Empty => "a topic may not be empty",
            TopicFault::TooLong => "a topic may have 255 bytes at most",
            TopicFault::Character => "a topic may not have spaces or control characters",
            TopicFault::Star => "`*` may only stand at a topic's end, alone or after a `.`",
        }
    }
}

impl fmt::Display for TopicFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_judged() {
        let long = "x".repeat(TOPIC_BYTES_MAX + 1);
        for (name, expected) in [
            ("news", Ok(false)),
            ("news.sport/日本", Ok(false)),
            (&long[1..], Ok(false)),
            (".", Ok(false)),
            ("news.*", Ok(true)),
            (".*", Ok(true)),
            ("*", Ok(true)),
            ("", Err(TopicFault::Empty)),
            (&long, Err(TopicFault::TooLong)),
            ("a b", Err(TopicFault::Character)),
            ("a\n", Err(TopicFault::Character)),
            ("a\0", Err(TopicFault::Character)),
            ("a\u{7f}", Err(TopicFault::Character)),
            ("a\u{85}", Err(TopicFault::Character)),
            ("news*", Err(TopicFault::Star)),
            ("news.*.de", Err(TopicFault::Star)),
            ("*.de", Err(TopicFault::Star)),
            ("news.**", Err(TopicFault::Star)),
            ("**", Err(TopicFault::Star)),
        ] {
            let parsed = Topic::parse(name);
            assert_eq!(parsed.map(Topic::is_pattern), expected, "{name:?}");
            assert!(parsed.is_err() || parsed.unwrap().name() == name);
        }
    }

    #[test]
    fn patterns_match_what_begins_as_they_do() {
        let matches = |pattern: &str, topic: &str| Topic::parse(pattern).unwrap().matches(topic);
        assert!(matches("news.*", "news.sport") && matches("news.*", "news.sport.tennis"));
        assert!(matches("news.*", "news."), "as the hub's prefixes have it");
        assert!(
            !matches("news.*", "news")
                && !matches("news.*", "newsletter")
                && !matches("news.*", "old.news.x")
        );
        assert!(matches("*", "anything") && matches("news", "news") && !matches("news", "news.sport"));
        assert_eq!(Topic::parse("news.*").unwrap().prefix(), Some("news."));
        assert_eq!(Topic::parse("news").unwrap().prefix(), None);
    }
}
