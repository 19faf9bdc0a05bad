//! The live feed: what ringway publishes about itself, through its own hub.
//!
//! The control plane publishes; workers only need to know which topics these are, what stands on them now, and who may read them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A topic of the feed. The names are reserved: nobody else publishes there, and the pattern `*` passes them over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Feed {
    /// Connections, traffic, latencies.
    TrafficData,
    /// What is well and what is not.
    ProxyHealth,
    /// The process, the host and each worker.
    SystemPerformance,
    /// The largest users, targets and topics.
    UserActivity,
    /// Alerts that are pending, firing or just resolved.
    Alerts,
}

impl Feed {
    pub const COUNT: usize = 5;
    /// All, in the order of their discriminants.
    pub const ALL: [Feed; Feed::COUNT] =
        [Feed::TrafficData, Feed::ProxyHealth, Feed::SystemPerformance, Feed::UserActivity, Feed::Alerts];

    #[must_use]
    pub fn topic(self) -> &'static str {
        ["traffic_data", "proxy_health", "system_performance", "user_activity", "alerts"][self as usize]
    }

    /// The feed that a topic is.
    #[must_use]
    pub fn of(topic: &str) -> Option<Feed> {
        Feed::ALL.into_iter().find(|feed| feed.topic() == topic)
    }
}

/// The leave of one connection to read the feed, given by the control port. The worker that serves it holds one end, the control plane the other.
#[derive(Debug)]
pub struct Grant {
    /// Who it was given to, as the audit log names them.
    pub holder: Arc<str>,
    revoked: AtomicBool,
}

impl Grant {
    #[must_use]
    pub fn new(holder: Arc<str>) -> Grant {
        Grant { holder, revoked: AtomicBool::new(false) }
    }

    /// Takes it back: the connection is closed within a second.
    pub fn revoke(&self) {
        self.revoked.store(true, Relaxed);
    }

    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_is_one_feed() {
        for feed in Feed::ALL {
            assert_eq!(Feed::of(feed.topic()), Some(feed));
        }
        assert_eq!(Feed::of("traffic_data.x"), None);
    }
}
