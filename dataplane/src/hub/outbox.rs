//! What waits to be written to each connection: bounded queues in one arena, and what happens at their limits.
//!
//! A queue is a list of nodes in the worker's arena: an empty one costs its 24 bytes here and no heap, and a fan-out
//! to thousands of connections allocates nothing.

mod arena;
mod overflow;

use super::counts::{Counts, Dropped};
use super::values::Publication;
use arena::{Frame, NONE, Node};
use overflow::Room;
use ringway_shared::config::Overflow;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

/// Limits of queues, a frame's bytes counted in each queue that holds it.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Frames in one connection's queue.
    pub messages_max: u32,
    /// Bytes in one connection's queue; an empty one takes a frame of any length.
    pub bytes_max: u32,
    /// Bytes in all queues of a worker. Answers and control frames may exceed it, publications not.
    pub worker_bytes_max: u64,
    /// Publications wait until a queue has so many frames; 0: they do not wait.
    pub batch_messages: u32,
    /// And no longer than so many milliseconds.
    pub batch_delay_ms: u64,
}

/// A publication encoded in one format.
pub struct Encoded {
    pub bytes: Rc<[u8]>,
    pub publication: Arc<Publication>,
}

/// One connection's queue. Its nodes are in [`Queues`].
pub struct Outbox {
    head: u32,
    tail: u32,
    frames: u32,
    bytes: u32,
    /// Bytes of the head that the socket has taken: it can no longer be dropped.
    written: u32,
    /// In the list of those to be written.
    dirty: bool,
    /// In the list of those to be written later.
    waiting: bool,
    /// The socket took less than it was given.
    blocked: bool,
    /// Nothing more comes in: it was too slow, or its last frame is queued.
    closed: bool,
}

/// The nodes of all queues of a worker, and who is to be written.
pub struct Queues {
    pub limits: QueueLimits,
    pub counts: Counts,
    nodes: Vec<Node>,
    /// The first of those given back.
    free: u32,
    /// The first of those not used since all were last given back.
    fresh: u32,
    /// How many are in a queue.
    used: u32,
    /// How many have been given back since they were last put in order.
    returned: u32,
    dirty: VecDeque<u32>,
    /// When who is to be written at the latest, the earliest first.
    waiting: VecDeque<(u64, u32)>,
}

/// What was handed to a socket by one [`Queues::sent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Publications that are now sent wholly.
    pub publications: u32,
    /// Other frames that are.
    pub own: u32,
    /// Whether something is left in the queue.
    pub rest: bool,
}

impl Default for Outbox {
    fn default() -> Self {
        Outbox {
            head: NONE,
            tail: NONE,
            frames: 0,
            bytes: 0,
            written: 0,
            dirty: false,
            waiting: false,
            blocked: false,
            closed: false,
        }
    }
}

impl Outbox {
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub fn frames(&self) -> u32 {
        self.frames
    }

    pub fn bytes(&self) -> u32 {
        self.bytes - self.written
    }
}

impl Queues {
    pub fn new(limits: QueueLimits) -> Queues {
        Queues {
            limits,
            counts: Counts::default(),
            nodes: Vec::new(),
            free: NONE,
            fresh: 0,
            used: 0,
            returned: 0,
            dirty: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Queues a publication, under its namespace's rule for full queues. False: the connection is too slow and to be closed.
    #[inline]
    pub fn push(
        &mut self,
        conn: u32,
        outbox: &mut Outbox,
        encoded: &Rc<Encoded>,
        overflow: Overflow,
        now_ms: u64,
    ) -> bool {
        let conflates = outbox.blocked && overflow == Overflow::ConflateLatest;
        if conflates && self.conflate(outbox, encoded) {
            return true;
        }
        if !self.fits(outbox, encoded.bytes.len()) {
            match self.make_room(outbox, encoded.bytes.len(), overflow) {
                Room::Made => {}
                Room::None(reason) => {
                    self.counts.dropped[reason as usize] += 1;
                    return true;
                }
                Room::TooSlow => return false,
            }
        }
        self.append(outbox, Frame::Publication(encoded.clone()));
        if outbox.frames < self.limits.batch_messages {
            self.mark_waiting(conn, outbox, now_ms);
        } else {
            self.mark_dirty(conn, outbox);
        }
        true
    }

    /// Queues a frame that is this connection's alone. False: there is no room, the connection is to be closed.
    pub fn push_own(&mut self, conn: u32, outbox: &mut Outbox, frame: Rc<[u8]>) -> bool {
        if outbox.closed || frame.is_empty() {
            return true;
        }
        if !self.fits_queue(outbox, frame.len()) {
            self.close_slow(outbox, Dropped::SlowDisconnected);
            return false;
        }
        self.append(outbox, Frame::Own(frame));
        self.mark_dirty(conn, outbox);
        true
    }

    /// Queues the last frame: nothing comes after it (RFC 6455 section 5.5.1), what is before it goes out first.
    pub fn push_last(&mut self, conn: u32, outbox: &mut Outbox, frame: Rc<[u8]>) {
        if !frame.is_empty() {
            self.append(outbox, Frame::Own(frame));
        }
        outbox.closed = true;
        self.mark_dirty(conn, outbox);
    }

    /// The bytes to be written, frame by frame, without those that are.
    pub fn frames<'a>(&'a self, outbox: &Outbox) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut next = outbox.head;
        let mut written = outbox.written as usize;
        std::iter::from_fn(move || {
            let node = self.nodes.get(next as usize)?;
            next = node.next;
            Some(&node.frame.bytes()[std::mem::take(&mut written)..])
        })
    }

    /// Takes out what the socket has taken: `bytes` of what [`Queues::frames`] gave, in order. `each` is told when
    /// the publications in it had arrived (nanoseconds).
    pub fn sent(&mut self, conn: u32, outbox: &mut Outbox, bytes: usize, mut each: impl FnMut(u64)) -> Sent {
        let mut sent = Sent::default();
        let mut taken = outbox.written as usize + bytes;
        while let Some(node) = self.nodes.get(outbox.head as usize) {
            let length = node.frame.bytes().len();
            if taken < length {
                break;
            }
            taken -= length;
            match &node.frame {
                Frame::Publication(encoded) => {
                    each(encoded.publication.at_ns);
                    sent.publications += 1;
                }
                _ => sent.own += 1,
            }
            self.pop(outbox);
        }
        outbox.written = if outbox.frames > 0 { taken as u32 } else { 0 };
        self.counts.sent += u64::from(sent.publications);
        self.counts.queued -= u64::from(sent.publications);
        self.counts.sent_own += u64::from(sent.own);
        self.counts.sent_bytes += bytes as u64;
        sent.rest = outbox.frames > 0;
        if sent.rest {
            self.mark_dirty(conn, outbox);
        }
        self.begin_anew();
        sent
    }

    /// The next of those to be written. It is asked what its outbox says, as it may have ended meanwhile.
    pub fn poll_dirty(&mut self) -> Option<u32> {
        let next = self.dirty.pop_front();
        if next.is_none() {
            self.put_in_order();
        }
        next
    }

    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether a connection that [`Queues::poll_dirty`] gave has something to be written now.
    pub fn take_dirty(&mut self, outbox: &mut Outbox) -> bool {
        std::mem::take(&mut outbox.dirty) && !outbox.blocked && outbox.frames > 0
    }

    pub fn block(&mut self, outbox: &mut Outbox) {
        outbox.blocked = true;
    }

    pub fn unblock(&mut self, conn: u32, outbox: &mut Outbox) {
        outbox.blocked = false;
        if outbox.frames > 0 {
            self.mark_dirty(conn, outbox);
        }
    }

    /// Those whose batch has waited long enough. Each is to be told [`Queues::end_wait`].
    pub fn poll_waiting(&mut self, now_ms: u64) -> Option<u32> {
        self.waiting.front().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        self.waiting.pop_front().map(|(_, conn)| conn)
    }

    pub fn end_wait(&mut self, conn: u32, outbox: &mut Outbox) {
        outbox.waiting = false;
        if outbox.frames > 0 {
            self.mark_dirty(conn, outbox);
        }
    }

    /// When [`Queues::poll_waiting`] has something next.
    pub fn wait_ends_ms(&self) -> Option<u64> {
        self.waiting.front().map(|(due_ms, _)| *due_ms)
    }

    /// Empties the queue of a connection that has ended.
    pub fn clear(&mut self, outbox: &mut Outbox) {
        let mut publications = 0;
        while outbox.head != NONE {
            publications += u64::from(self.pop(outbox));
        }
        outbox.written = 0;
        self.counts.drop_queued(publications, Dropped::ConnectionClosed);
        self.begin_anew();
    }
}
