//! Who may read the live feed, and what else its topics are closed to.

use ringway_shared::feed::Feed;

/// Whether a topic is one of the feed's: the control plane alone publishes there, and nobody subscribes others to it.
#[must_use]
pub fn is_reserved(topic: &str) -> bool {
    Feed::of(topic).is_some()
}
