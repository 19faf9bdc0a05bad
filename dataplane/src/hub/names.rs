//! Names of topics and patterns, which pattern matches which topic, and which worker is a topic's home.

use super::values::Refusal;
use ringway_shared::feed::Feed;
use ringway_shared::topic::Topic;

/// What a client may subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name<'a> {
    Topic(&'a str),
    /// What matching topics begin with: `news.` for `news.*`, nothing for `*`.
    Pattern(&'a str),
}

/// Reads a name.
///
/// Errors: [`Refusal::BadName`].
pub fn parse(name: &str) -> Result<Name<'_>, Refusal> {
    let topic = Topic::parse(name).map_err(|_| Refusal::BadName)?;
    Ok(topic.prefix().map_or(Name::Topic(name), Name::Pattern))
}

/// As [`parse`], of a name to be published to or asked about: a pattern is none.
pub fn parse_topic(name: &str) -> Result<&str, Refusal> {
    match parse(name)? {
        Name::Topic(topic) => Ok(topic),
        Name::Pattern(_) => Err(Refusal::BadName),
    }
}

/// The worker that orders a topic's publications and keeps its history and presence. All workers must agree on it:
/// FNV-1a, its high half folded in, as the low bits alone mix short names badly.
///
/// All topics of the feed have one home, the first one's: what is published to them together leaves together.
#[must_use]
pub fn home(topic: &str, workers: usize) -> usize {
    let topic = Feed::of(topic).map_or(topic, |_| Feed::ALL[0].topic());
    let hash = topic.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    ((hash ^ (hash >> 32)) % workers.max(1) as u64) as usize
}

/// The prefixes of all patterns that match a topic, the shortest first. `*` does not match reserved topics.
pub fn matching_prefixes(topic: &str, reserved: bool) -> impl Iterator<Item = &str> {
    let all = (!reserved).then_some("");
    all.into_iter().chain(topic.match_indices('.').map(|(dot, _)| &topic[..=dot]))
}

/// Whether a pattern's prefix (or, for a question, any text) covers a topic.
#[must_use]
pub fn matches(prefix: &str, topic: &str, reserved: bool) -> bool {
    topic.starts_with(prefix) && !(prefix.is_empty() && reserved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_at_the_end_of_a_level_and_nowhere_else() {
        assert_eq!(parse("news.*"), Ok(Name::Pattern("news.")));
        assert_eq!(parse("*"), Ok(Name::Pattern("")));
        assert_eq!(parse("news.sport"), Ok(Name::Topic("news.sport")));
        for bad in ["", "news*", "*.news", "news.*.x", "**", "a\nb", "a b", &"x".repeat(256)] {
            assert_eq!(parse(bad), Err(Refusal::BadName), "{bad}");
        }
        assert!(parse(&"x".repeat(255)).is_ok());
        assert_eq!(parse_topic("news.*"), Err(Refusal::BadName));
    }

    #[test]
    fn prefixes_of_a_topic_are_those_of_the_patterns_that_match_it() {
        assert_eq!(matching_prefixes("a.b.c", false).collect::<Vec<_>>(), ["", "a.", "a.b."]);
        assert_eq!(matching_prefixes("$a.b", true).collect::<Vec<_>>(), ["$a."]);
        for topic in ["a.b.c", "a", "a.", ".", "ab.c"] {
            for prefix in matching_prefixes(topic, false) {
                assert!(matches(prefix, topic, false), "{prefix} {topic}");
            }
        }
    }

    #[test]
    fn homes_are_spread_evenly_and_within_the_workers() {
        let mut topics = [0u32; 7];
        for number in 0..70_000 {
            topics[home(&format!("user.{number}"), 7)] += 1;
        }
        assert!(topics.iter().all(|count| (9_500..10_500).contains(count)), "{topics:?}");
        assert_eq!(home("anything", 1), 0);
    }

    #[test]
    fn the_feed_has_one_home() {
        for workers in 1..=64 {
            let homes = Feed::ALL.map(|feed| home(feed.topic(), workers));
            assert!(homes.iter().all(|one| *one == homes[0] && *one < workers), "{workers}: {homes:?}");
        }
    }
}
