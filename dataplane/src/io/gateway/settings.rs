//! What the configuration says of the hub, in the hub's words.

use crate::hub::{BacklogLimits, HomeLimits, Hub, Limits, Namespaces, QueueLimits, Settings};
use ringway_shared::config::WebSocket;
use ringway_shared::feed::Feed;
use std::sync::Arc;

/// Publications of one idempotency window, for each worker.
const KEYS_MAX: usize = 65_536;
/// Posts that may wait for another worker, and bytes of publications in them.
const BACKLOG_POSTS_MAX: usize = 65_536;
const BACKLOG_BYTES_MAX: usize = 256 << 20;
/// Questions of one worker that are not answered yet.
const QUESTIONS_MAX: usize = 65_536;

/// A hub for one worker.
pub fn hub(websocket: &WebSocket, worker: usize, workers: usize, seed: u64) -> Hub {
    Hub::new(Settings { worker, workers, seed, limits: limits(websocket), namespaces: namespaces(websocket) })
}

pub fn limits(websocket: &WebSocket) -> Limits {
    let WebSocket { limits, batching, .. } = websocket;
    Limits {
        queue: QueueLimits {
            messages_max: limits.queued_messages,
            bytes_max: u32::try_from(limits.queued_bytes).unwrap_or(u32::MAX),
            worker_bytes_max: limits.queued_bytes_per_worker as u64,
            // 0: nothing is held back.
            batch_messages: if batching.enabled { batching.messages } else { 0 },
            batch_delay_ms: batching.timeout.as_millis() as u64,
        },
        backlog: BacklogLimits { posts_max: BACKLOG_POSTS_MAX, bytes_max: BACKLOG_BYTES_MAX },
        home: HomeLimits {
            topics_max: limits.topics_per_worker,
            history_bytes_max: limits.history_bytes_per_worker,
            keys_max: KEYS_MAX,
        },
        questions_max: QUESTIONS_MAX,
    }
}

pub fn namespaces(websocket: &WebSocket) -> Arc<Namespaces> {
    let reserved = Feed::ALL.iter().map(|feed| feed.topic().into()).collect();
    Arc::new(Namespaces::new(&websocket.namespaces, reserved, websocket.compression.threshold_bytes))
}
