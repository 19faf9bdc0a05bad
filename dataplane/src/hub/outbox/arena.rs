//! The nodes that all queues of a worker are made of.

use super::{Encoded, Outbox, Queues};
use std::rc::Rc;

/// Nodes kept for later when no queue holds any: 2 MiB.
const NODES_KEPT: usize = 65_536;
pub(super) const NONE: u32 = u32::MAX;

pub(super) struct Node {
    pub frame: Frame,
    pub next: u32,
}

pub(super) enum Frame {
    Free,
    Publication(Rc<Encoded>),
    Own(Rc<[u8]>),
}

const _: () = assert!(size_of::<Node>() == 32);

impl Queues {
    pub(super) fn append(&mut self, outbox: &mut Outbox, frame: Frame) {
        let length = frame.bytes().len();
        self.counts.queued += u64::from(matches!(frame, Frame::Publication(_)));
        self.counts.queued_bytes += length as u64;
        outbox.bytes += length as u32;
        outbox.frames += 1;
        let at = self.take_node(frame);
        match self.nodes.get_mut(outbox.tail as usize) {
            Some(tail) => tail.next = at,
            None => outbox.head = at,
        }
        outbox.tail = at;
    }

    /// Takes out the first frame. Whether it was a publication; the caller counts what became of it.
    pub(super) fn pop(&mut self, outbox: &mut Outbox) -> bool {
        self.unlink(outbox, NONE, outbox.head)
    }

    /// Takes out the frame behind `before` (none: the first). Whether it was a publication.
    pub(super) fn unlink(&mut self, outbox: &mut Outbox, before: u32, at: u32) -> bool {
        let Some(node) = self.nodes.get_mut(at as usize) else { return false };
        let frame = std::mem::replace(&mut node.frame, Frame::Free);
        let next = std::mem::replace(&mut node.next, self.free);
        self.free = at;
        match self.nodes.get_mut(before as usize) {
            Some(before) => before.next = next,
            None => outbox.head = next,
        }
        if outbox.tail == at {
            outbox.tail = before;
        }
        let length = frame.bytes().len();
        self.counts.queued_bytes -= length as u64;
        outbox.bytes -= length as u32;
        outbox.frames -= 1;
        matches!(frame, Frame::Publication(_))
    }

    /// A burst's memory is given back once it is over.
    pub(super) fn give_back_nodes(&mut self) {
        let is_empty = self.counts.queued_bytes == 0 && self.counts.queued == 0;
        if is_empty && self.nodes.len() > NODES_KEPT {
            self.nodes = Vec::new();
            self.free = NONE;
        }
    }

    fn take_node(&mut self, frame: Frame) -> u32 {
        let at = self.free;
        let Some(node) = self.nodes.get_mut(at as usize) else {
            self.nodes.push(Node { frame, next: NONE });
            return (self.nodes.len() - 1) as u32;
        };
        self.free = std::mem::replace(&mut node.next, NONE);
        node.frame = frame;
        at
    }

    pub(super) fn mark_dirty(&mut self, conn: u32, outbox: &mut Outbox) {
        if !outbox.dirty && !outbox.blocked {
            outbox.dirty = true;
            self.dirty.push_back(conn);
        }
    }

    pub(super) fn mark_waiting(&mut self, conn: u32, outbox: &mut Outbox, now_ms: u64) {
        if !outbox.dirty && !outbox.waiting && !outbox.blocked {
            outbox.waiting = true;
            self.waiting.push_back((now_ms + self.limits.batch_delay_ms, conn));
        }
    }
}

impl Frame {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Frame::Free => &[],
            Frame::Publication(encoded) => &encoded.bytes,
            Frame::Own(bytes) => bytes,
        }
    }
}
