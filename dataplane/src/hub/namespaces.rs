//! What holds for a topic: the namespace with the longest prefix that its name begins with.

/// Settings of the topics that begin with `prefix`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    pub prefix: Box<str>,
    pub publish: Publishers,
    pub history: History,
    /// Whether it is known who is subscribed. By pattern one is never present.
    pub presence: bool,
    pub overflow: Overflow,
    /// Whether frames are compressed for connections that negotiated it, from [`Namespaces::compression_threshold_bytes`].
    pub compression: bool,
    /// Whether publications wait to leave together with others ([`super::Limits::batch_messages`]).
    pub batch: bool,
}

/// Who may publish to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publishers {
    /// The control port and ringway itself alone.
    Server,
    /// Connections that are subscribed to the topic, by name or pattern, as well.
    Subscribers,
    Anyone,
}

/// What a topic's home keeps of its publications. Size 0 or age 0: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub size: u32,
    /// Milliseconds from a publication's arrival at the home.
    pub ttl_ms: u64,
}

/// What happens to a connection whose queue is at its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is to be closed ([`super::Effect::TooSlow`]).
    Disconnect,
    DropOldest,
    DropNewest,
    /// As soon as the socket is blocked a newer publication takes the place of the queued one of its topic. At the
    /// limit the oldest is dropped.
    ConflateLatest,
}

/// All namespaces, and what else depends on a topic's name.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// The longest prefix first; the last has the empty prefix.
    sorted: Vec<Namespace>,
    reserved: Vec<Box<str>>,
    /// Bytes of a publication's data from which on its frame is compressed.
    pub compression_threshold_bytes: usize,
}

impl Default for Namespace {
    fn default() -> Self {
        Namespace {
            prefix: "".into(),
            publish: Publishers::Server,
            history: History::default(),
            presence: false,
            overflow: Overflow::Disconnect,
            compression: true,
            batch: false,
        }
    }
}

impl History {
    #[must_use]
    pub fn is_kept(self) -> bool {
        self.size > 0 && self.ttl_ms > 0
    }
}

impl Namespaces {
    /// Topics that no prefix covers get [`Namespace::default`]. `reserved` topics, and those that begin with `$`,
    /// are not matched by the pattern `*`.
    #[must_use]
    pub fn new(
        mut namespaces: Vec<Namespace>,
        reserved: Vec<Box<str>>,
        compression_threshold_bytes: usize,
    ) -> Namespaces {
        if !namespaces.iter().any(|namespace| namespace.prefix.is_empty()) {
            namespaces.push(Namespace::default());
        }
        namespaces.sort_by_key(|namespace| std::cmp::Reverse(namespace.prefix.len()));
        Namespaces { sorted: namespaces, reserved, compression_threshold_bytes }
    }

    #[must_use]
    pub fn of(&self, topic: &str) -> &Namespace {
        let found = self.sorted.iter().find(|namespace| topic.starts_with(&*namespace.prefix));
        // The last one's prefix is empty: it is always found.
        found.unwrap_or(&self.sorted[self.sorted.len() - 1])
    }

    /// Whether `*` passes this topic over.
    #[must_use]
    pub fn is_reserved(&self, topic: &str) -> bool {
        topic.starts_with('$') || self.reserved.iter().any(|reserved| **reserved == *topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins_and_every_topic_has_a_namespace() {
        let namespace = |prefix: &str| Namespace { prefix: prefix.into(), ..Namespace::default() };
        let namespaces = Namespaces::new(
            vec![namespace("a."), namespace("a.b."), namespace("chat")],
            vec!["x".into()],
            1024,
        );
        for (topic, prefix) in
            [("a.b.c", "a.b."), ("a.c", "a."), ("chatter", "chat"), ("a", ""), ("", ""), ("ba.", "")]
        {
            assert_eq!(&*namespaces.of(topic).prefix, prefix, "{topic}");
        }
        assert!(namespaces.is_reserved("x") && namespaces.is_reserved("$y") && !namespaces.is_reserved("xy"));
    }
}
