//! A publication on its way to this worker's subscribers: the hub's hottest loop.

use super::super::names;
use super::super::namespaces::Namespaces;
use super::super::outbox::{Encoded, Queues};
use super::super::values::{Encode, Format, Publication};
use super::{Local, Member, Seat};
use ringway_shared::config::Overflow;
use std::rc::Rc;
use std::sync::Arc;

/// One publication being fanned out.
struct Pass<'a, 'b> {
    publication: &'a Arc<Publication>,
    overflow: Overflow,
    /// Where false, frames are not compressed, whatever was negotiated.
    compressed: bool,
    queues: &'a mut Queues,
    /// By format; made when the first subscriber wants it.
    frames: [Option<Rc<Encoded>>; Format::COUNT],
    encode: &'a mut Encode<'b>,
    now_ms: u64,
    recipients: usize,
    /// Who is to be closed.
    too_slow: &'a mut Vec<u32>,
}

impl Local {
    /// Queues a publication for all who are subscribed to its topic, by name or pattern, once each, and tells how
    /// many that are. `too_slow` gets those that are to be closed.
    pub fn fan_out(
        &mut self,
        publication: &Arc<Publication>,
        namespaces: &Namespaces,
        encode: &mut Encode<'_>,
        now_ms: u64,
        too_slow: &mut Vec<u32>,
    ) -> usize {
        let topic = &*publication.topic;
        let rules = namespaces.of(topic);
        let compressed =
            rules.compression && publication.data.len() >= namespaces.compression_threshold_bytes;
        let by_name = self.by_name(publication);
        let several = !self.patterns.is_empty();
        if several {
            self.next_stamp();
        }
        let Local { members, interests, patterns, queues, stamp, .. } = self;
        let frames = Default::default();
        let overflow = rules.overflow;
        let mut pass = Pass {
            publication,
            overflow,
            compressed,
            queues,
            frames,
            encode,
            now_ms,
            recipients: 0,
            too_slow,
        };
        if !several {
            let seats = by_name.map_or(&[][..], |index| &interests[index as usize].seats);
            pass.all(members, seats);
        } else {
            let prefixes = names::matching_prefixes(topic, namespaces.is_reserved(topic));
            let by_pattern = prefixes.filter_map(|prefix| patterns.get(prefix).copied());
            let indices = by_name.into_iter().chain(by_pattern);
            let held = indices.map(|index| &interests[index as usize]).filter(|held| held.missing == 0);
            held.for_each(|interest| pass.once(members, &interest.seats, *stamp));
        }
        pass.recipients
    }

    /// Those subscribed to the topic itself, if this publication is for them: one that was accepted before the home
    /// recorded their interest may still come for the sake of a pattern.
    fn by_name(&mut self, publication: &Publication) -> Option<u32> {
        let index = *self.topics.get(&publication.topic)?;
        let interest = &mut self.interests[index as usize];
        let (known, next) = (interest.position, publication.position);
        if interest.missing > 0 || next.epoch != known.epoch || next.offset <= known.offset {
            return None;
        }
        interest.position = next;
        Some(index)
    }

    fn next_stamp(&mut self) {
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.members.iter_mut().flatten().for_each(|member| member.stamp = 0);
            self.stamp = 1;
        }
    }
}

impl Pass<'_, '_> {
    fn all(&mut self, members: &mut [Option<Member>], seats: &[Seat]) {
        for seat in seats {
            if let Some(Some(member)) = members.get_mut(seat.conn as usize) {
                self.give(seat.conn, member);
            }
        }
        self.queues.counts.recipients += self.recipients as u64;
    }

    /// Passes over those who have got it by another name already.
    fn once(&mut self, members: &mut [Option<Member>], seats: &[Seat], stamp: u32) {
        let before = self.recipients;
        for seat in seats {
            if let Some(Some(member)) = members.get_mut(seat.conn as usize)
                && std::mem::replace(&mut member.stamp, stamp) != stamp
            {
                self.give(seat.conn, member);
            }
        }
        self.queues.counts.recipients += (self.recipients - before) as u64;
    }

    #[inline]
    fn give(&mut self, conn: u32, member: &mut Member) {
        if member.outbox.is_closed() {
            return;
        }
        self.recipients += 1;
        let format =
            if self.compressed { member.format } else { Format::of_index(member.format).plain().index() };
        if self.frames[format as usize].is_none() {
            self.make(format);
        }
        if let Some(encoded) = &self.frames[format as usize]
            && !self.queues.push(conn, &mut member.outbox, encoded, self.overflow, self.now_ms)
        {
            self.too_slow.push(conn);
        }
    }

    #[cold]
    fn make(&mut self, format: u8) {
        let bytes = (self.encode)(self.publication, Format::of_index(format));
        self.queues.counts.encoded += 1;
        let publication = self.publication.clone();
        self.frames[format as usize] = Some(Rc::new(Encoded { bytes, publication }));
    }
}
