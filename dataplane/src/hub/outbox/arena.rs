//! The nodes that all queues of a worker are made of.
//!
//! Queues give back in another order than they took. Were nodes taken as they come back, then after a few bursts each would lie elsewhere than the
//! one before, and a burst wait for memory at every step (docs/decisions/0025): so they are put in order again, for nothing when all are back.

use super::{Encoded, Outbox, Queues};
use std::rc::Rc;

/// Nodes kept for later when no queue holds any: 2 MiB.
const NODES_KEPT: usize = 65_536;
/// Free nodes are put in order while slow readers hold one of so many at most.
const HELD_SHARE: usize = 8;
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
        self.used -= 1;
        self.returned = self.returned.saturating_add(1);
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

    /// Once all are given back: they are in order then, and a burst's memory is given back too.
    pub(super) fn begin_anew(&mut self) {
        if self.used == 0 {
            (self.free, self.fresh, self.returned) = (NONE, 0, 0);
            if self.nodes.len() > NODES_KEPT {
                self.nodes = Vec::new();
            }
        }
    }

    /// Puts the free ones in order if most have come back since the last time, and slow readers hold the rest: a step for each node there is.
    #[cold]
    #[inline(never)]
    pub(super) fn put_in_order(&mut self) {
        let nodes = self.nodes.len();
        let held = self.used as usize;
        let have_come_back = self.returned as usize + held >= nodes;
        if held == 0 || !have_come_back || held > nodes / HELD_SHARE || nodes > NODES_KEPT {
            return;
        }
        self.free = NONE;
        for (at, node) in self.nodes.iter_mut().enumerate().rev() {
            if matches!(node.frame, Frame::Free) {
                node.next = std::mem::replace(&mut self.free, at as u32);
            }
        }
        (self.fresh, self.returned) = (nodes as u32, 0);
    }

    fn take_node(&mut self, frame: Frame) -> u32 {
        self.used += 1;
        let is_reused = self.free != NONE;
        let at = if is_reused { self.free } else { self.fresh };
        let Some(node) = self.nodes.get_mut(at as usize) else {
            self.nodes.push(Node { frame, next: NONE });
            self.fresh += 1;
            return at;
        };
        if is_reused {
            self.free = node.next;
        } else {
            self.fresh += 1;
        }
        *node = Node { frame, next: NONE };
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

#[cfg(test)]
mod tests {
    use super::super::QueueLimits;
    use super::*;

    fn queues() -> Queues {
        let (messages_max, bytes_max) = (100, 100_000);
        let (worker_bytes_max, batch_messages, batch_delay_ms) = (1_000_000, 0, 0);
        Queues::new(QueueLimits { messages_max, bytes_max, worker_bytes_max, batch_messages, batch_delay_ms })
    }

    /// So many frames to each, one to all before the next.
    fn burst(queues: &mut Queues, outboxes: &mut [Outbox], frames: usize) {
        for _ in 0..frames {
            outboxes.iter_mut().for_each(|outbox| queues.append(outbox, Frame::Own(Rc::from(*b"frame"))));
        }
    }

    fn places(queues: &Queues, outbox: &Outbox) -> Vec<u32> {
        let place = |at: u32| Some(at).filter(|at| *at != NONE);
        std::iter::successors(place(outbox.head), |at| place(queues.nodes[*at as usize].next)).collect()
    }

    fn empty(queues: &mut Queues, outbox: &mut Outbox) {
        while outbox.head != NONE {
            queues.pop(outbox);
        }
        queues.begin_anew();
    }

    #[test]
    fn once_all_are_given_back_the_next_burst_lies_in_order_again() {
        let (mut queues, mut outboxes) = (queues(), <[Outbox; 3]>::default());
        for _ in 0..3 {
            burst(&mut queues, &mut outboxes, 4);
            let lie = outboxes.each_ref().map(|outbox| places(&queues, outbox));
            assert_eq!(lie, [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]);
            outboxes.iter_mut().for_each(|outbox| empty(&mut queues, outbox));
            assert_eq!((queues.used, queues.counts.queued_bytes), (0, 0));
        }
        assert_eq!(queues.nodes.len(), 12);
    }

    #[test]
    fn while_one_holds_its_own_the_others_nodes_are_used_again_and_none_twice() {
        let (mut queues, mut outboxes) = (queues(), <[Outbox; 3]>::default());
        burst(&mut queues, &mut outboxes, 4);
        for _ in 0..3 {
            empty(&mut queues, &mut outboxes[0]);
            empty(&mut queues, &mut outboxes[1]);
            burst(&mut queues, &mut outboxes[..2], 4);
            let mut all: Vec<u32> = outboxes.iter().flat_map(|outbox| places(&queues, outbox)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..12).collect::<Vec<u32>>());
            assert_eq!(places(&queues, &outboxes[2]), [2, 5, 8, 11], "what waits stays where it is");
        }
        // Fewer than before, then more: what was never used since comes before the arena grows.
        outboxes.iter_mut().for_each(|outbox| empty(&mut queues, outbox));
        burst(&mut queues, &mut outboxes[..1], 2);
        empty(&mut queues, &mut outboxes[0]);
        burst(&mut queues, &mut outboxes, 5);
        assert_eq!((queues.nodes.len(), queues.used), (15, 15));
    }

    #[test]
    fn beside_one_that_holds_its_own_the_next_burst_lies_in_order_too() {
        let (mut queues, mut outboxes) = (queues(), <[Outbox; 20]>::default());
        burst(&mut queues, &mut outboxes[..1], 1);
        for _ in 0..3 {
            burst(&mut queues, &mut outboxes[1..], 3);
            for (number, outbox) in outboxes.iter().enumerate().skip(1) {
                let first = number as u32;
                assert_eq!(places(&queues, outbox), [first, first + 19, first + 38]);
            }
            outboxes[1..].iter_mut().for_each(|outbox| empty(&mut queues, outbox));
            assert_eq!(queues.poll_dirty(), None, "all is written");
            assert_eq!((queues.used, queues.nodes.len()), (1, 58));
        }
        assert_eq!(places(&queues, &outboxes[0]), [0]);
    }
}
