//! What happens to a queue at its limit.

use super::super::counts::Dropped;
use super::super::values::Publication;
use super::arena::{Frame, NONE};
use super::{Encoded, Outbox, Queues};
use ringway_shared::config::Overflow;
use std::rc::Rc;

pub(super) enum Room {
    Made,
    /// None can be made: the publication is dropped.
    None(Dropped),
    TooSlow,
}

impl Queues {
    pub(super) fn fits_queue(&self, outbox: &Outbox, length: usize) -> bool {
        let limits = &self.limits;
        let bytes = outbox.bytes as usize + length;
        outbox.frames == 0 || (outbox.frames < limits.messages_max && bytes <= limits.bytes_max as usize)
    }

    /// Who has nothing queued reads: others' full queues do not make it slow.
    fn fits_worker(&self, outbox: &Outbox, length: usize) -> bool {
        outbox.frames == 0 || self.counts.queued_bytes + length as u64 <= self.limits.worker_bytes_max
    }

    pub(super) fn fits(&self, outbox: &Outbox, length: usize) -> bool {
        self.fits_queue(outbox, length) && self.fits_worker(outbox, length)
    }

    #[cold]
    pub(super) fn make_room(&mut self, outbox: &mut Outbox, length: usize, overflow: Overflow) -> Room {
        let of_worker = self.fits_queue(outbox, length);
        let because = |reason| if of_worker { Dropped::WorkerCap } else { reason };
        match overflow {
            Overflow::Disconnect => {
                let reason = because(Dropped::SlowDisconnected);
                self.close_slow(outbox, reason);
                self.counts.dropped[reason as usize] += 1;
                Room::TooSlow
            }
            Overflow::DropNewest => Room::None(because(Dropped::DropNewest)),
            Overflow::DropOldest | Overflow::ConflateLatest => {
                while !self.fits(outbox, length) {
                    if !self.drop_oldest(outbox) {
                        return Room::None(because(Dropped::DropNewest));
                    }
                    self.counts.drop_queued(1, because(Dropped::DropOldest));
                }
                Room::Made
            }
        }
    }

    /// Its publications go, but for one half written: after it and its answers a close frame may still get through.
    pub(super) fn close_slow(&mut self, outbox: &mut Outbox, reason: Dropped) {
        let dropped = self.drop_where(outbox, |_| true);
        self.counts.drop_queued(dropped, reason);
        outbox.closed = true;
    }

    /// Puts the publication in the place of the first of its topic; those of its topic behind go. False: there is none,
    /// or a longer one does not fit (then the older ones are gone all the same).
    pub(super) fn conflate(&mut self, outbox: &mut Outbox, encoded: &Rc<Encoded>) -> bool {
        let topic = &encoded.publication.topic;
        let mut first = true;
        let behind = self.drop_where(outbox, |older| older.topic == *topic && !std::mem::take(&mut first));
        self.counts.drop_queued(behind, Dropped::Conflated);
        let (_, mut at) = self.first_whole(outbox);
        while let Some(node) = self.nodes.get_mut(at as usize) {
            if let Frame::Publication(older) = &mut node.frame
                && older.publication.topic == *topic
            {
                let (old, new) = (older.bytes.len() as u32, encoded.bytes.len() as u32);
                let longer = u64::from(new.saturating_sub(old));
                let fits = outbox.bytes + new - old <= self.limits.bytes_max.max(old)
                    && self.counts.queued_bytes + longer <= self.limits.worker_bytes_max;
                if !fits {
                    break;
                }
                *older = encoded.clone();
                outbox.bytes = outbox.bytes + new - old;
                self.counts.queued_bytes = self.counts.queued_bytes + u64::from(new) - u64::from(old);
                self.counts.dropped[Dropped::Conflated as usize] += 1;
                return true;
            }
            at = node.next;
        }
        let older = self.drop_where(outbox, |older| older.topic == *topic);
        self.counts.drop_queued(older, Dropped::Conflated);
        false
    }

    /// Takes out the publications that are to go, but for one half written, and tells how many.
    fn drop_where(&mut self, outbox: &mut Outbox, mut goes: impl FnMut(&Publication) -> bool) -> u64 {
        let mut dropped = 0;
        let (mut before, mut at) = self.first_whole(outbox);
        while let Some(node) = self.nodes.get(at as usize) {
            let next = node.next;
            match &node.frame {
                Frame::Publication(encoded) if goes(&encoded.publication) => {
                    self.unlink(outbox, before, at);
                    dropped += 1;
                }
                _ => before = at,
            }
            at = next;
        }
        dropped
    }

    /// Takes out the first publication that is not half written. False: there is none.
    fn drop_oldest(&mut self, outbox: &mut Outbox) -> bool {
        let (mut before, mut at) = self.first_whole(outbox);
        while let Some(node) = self.nodes.get(at as usize) {
            if let Frame::Publication(_) = node.frame {
                self.unlink(outbox, before, at);
                return true;
            }
            (before, at) = (at, node.next);
        }
        false
    }

    /// The first node of which nothing is written, and the one before it.
    fn first_whole(&self, outbox: &Outbox) -> (u32, u32) {
        match self.nodes.get(outbox.head as usize) {
            Some(node) if outbox.written > 0 => (outbox.head, node.next),
            _ => (NONE, outbox.head),
        }
    }
}
