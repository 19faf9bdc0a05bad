//! Records of ended connections, on their way up to the control plane: a bounded queue that never makes a
//! worker wait.

use crossbeam_channel::{Receiver, Sender, bounded};
use ringway_shared::session::Ended;

/// Records waiting for the control plane; more are refused.
const QUEUE_MAX: usize = 65_536;

/// The workers' end. A record is a pointer: the queue's room is paid for at the start, whether it is used or not.
#[derive(Clone)]
pub struct Recorder(Sender<Ended>);

/// The control plane's end.
pub struct Records(Receiver<Ended>);

/// A new queue.
#[must_use]
pub fn records() -> (Recorder, Records) {
    let (sender, receiver) = bounded(QUEUE_MAX);
    (Recorder(sender), Records(receiver))
}

impl Recorder {
    /// Queues a record. False: the queue is full and the record is lost; the caller counts it.
    #[must_use]
    pub fn put(&self, record: Ended) -> bool {
        self.0.try_send(record).is_ok()
    }
}

impl Records {
    /// Takes up to `max` records, oldest first.
    pub fn take(&self, into: &mut Vec<Ended>, max: usize) {
        into.extend(self.0.try_iter().take(max));
    }
}
