//! What holds for a topic: the namespace with the longest prefix that its name begins with.

use ringway_shared::config::{Namespace, Overflow, Publishers};

/// All namespaces, and what else depends on a topic's name.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// The longest prefix first; the last has the empty prefix.
    sorted: Vec<Namespace>,
    reserved: Vec<Box<str>>,
    /// What holds for reserved topics, whatever their names begin with.
    of_reserved: Namespace,
    /// Bytes of a publication's data from which on its frame is compressed.
    pub compression_threshold_bytes: usize,
}

impl Namespaces {
    /// Topics that no prefix covers get [`Namespace::default`]. `reserved` topics, and those that begin with `$`,
    /// are not matched by the pattern `*`. Clients do not publish to `reserved` ones, nothing of them is kept, and who is behind
    /// gets the latest alone.
    #[must_use]
    pub fn new(
        namespaces: &[Namespace],
        reserved: Vec<Box<str>>,
        compression_threshold_bytes: usize,
    ) -> Namespaces {
        let mut sorted = namespaces.to_vec();
        if !sorted.iter().any(|namespace| namespace.prefix.is_empty()) {
            sorted.push(Namespace::default());
        }
        sorted.sort_by_key(|namespace| std::cmp::Reverse(namespace.prefix.len()));
        let of_reserved = Namespace {
            publish: Publishers::Server,
            history_size: 0,
            presence: false,
            overflow: Overflow::ConflateLatest,
            compression: true,
            ..Namespace::default()
        };
        Namespaces { sorted, reserved, of_reserved, compression_threshold_bytes }
    }

    #[must_use]
    pub fn of(&self, topic: &str) -> &Namespace {
        if self.reserved.iter().any(|reserved| **reserved == *topic) {
            return &self.of_reserved;
        }
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
        let namespaces =
            Namespaces::new(&[namespace("a."), namespace("a.b."), namespace("chat")], vec!["x".into()], 1024);
        for (topic, prefix) in
            [("a.b.c", "a.b."), ("a.c", "a."), ("chatter", "chat"), ("a", ""), ("", ""), ("ba.", "")]
        {
            assert_eq!(&*namespaces.of(topic).prefix, prefix, "{topic}");
        }
        assert_eq!(namespaces.of("x").overflow, Overflow::ConflateLatest);
        assert!(namespaces.is_reserved("x") && namespaces.is_reserved("$y") && !namespaces.is_reserved("xy"));
    }
}
