//! What stands on the topics of the feed now.

use ringway_shared::feed::Feed;
use std::sync::{Arc, Mutex, PoisonError};

/// The latest snapshot of each topic, for those who have just subscribed. Written by the control plane some times a second, read by a worker when
/// somebody subscribes: neither holds the lock for longer than it takes to copy a pointer.
#[derive(Default)]
pub struct Board([Mutex<Option<Arc<str>>>; Feed::COUNT]);

impl Board {
    /// JSON, as it is published.
    pub fn put(&self, feed: Feed, data: Arc<str>) {
        *self.0[feed as usize].lock().unwrap_or_else(PoisonError::into_inner) = Some(data);
    }

    /// Nothing stands there any more: what would be told would be too old.
    pub fn clear(&self, feed: Feed) {
        *self.0[feed as usize].lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// `None`: nothing has been published yet.
    #[must_use]
    pub fn latest(&self, feed: Feed) -> Option<Arc<str>> {
        self.0[feed as usize].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_has_the_latest() {
        let board = Board::default();
        assert!(board.latest(Feed::Alerts).is_none());
        board.put(Feed::Alerts, "1".into());
        board.put(Feed::Alerts, "2".into());
        assert_eq!(board.latest(Feed::Alerts).as_deref(), Some("2"));
        assert!(board.latest(Feed::TrafficData).is_none());
        board.clear(Feed::Alerts);
        assert!(board.latest(Feed::Alerts).is_none());
    }
}
