//! Fragments to datagrams, as RFC 1928 section 7 has it.

use super::{Datagram, Fragment};
use std::time::Duration;

/// Payload bytes held of an unfinished datagram: what fits into a UDP datagram over IPv4.
pub const HELD_BYTES_MAX: usize = 65_507;

/// The one sequence of fragments an association may have under way.
///
/// Fragments must come in order and without a gap: one that was lost must not leave a datagram with a hole.
/// The sequence is abandoned when one comes late, is missing, goes elsewhere, or finds too much held, and when a
/// datagram comes that stands for itself.
#[derive(Debug)]
pub struct Reassembly {
    limit_ns: u64,
    /// `None`: no sequence is under way.
    sequence: Option<Sequence>,
}

#[derive(Debug)]
struct Sequence {
    begun_ns: u64,
    /// The highest FRAG taken.
    place: u8,
    /// Of its first fragment: ATYP, DST.ADDR, DST.PORT.
    address: Box<[u8]>,
    payload: Vec<u8>,
}

/// What became of a fragment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Fragments given up, this one among them if it was.
    pub abandoned: u64,
    /// The datagram that this fragment completed.
    pub whole: Option<Whole>,
}

/// A reassembled datagram.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole {
    pub address: Box<[u8]>,
    pub payload: Vec<u8>,
}

impl Reassembly {
    /// `limit` is the REASSEMBLY TIMER: from a sequence's first fragment to its last. `now_ns` below counts from any
    /// fixed moment.
    #[must_use]
    pub fn new(limit: Duration) -> Reassembly {
        Reassembly { limit_ns: limit.as_nanos() as u64, sequence: None }
    }

    /// Takes a fragment. A datagram that is none ([`Fragment::Whole`]) abandons the sequence: its FRAG is "less than
    /// the highest FRAG value processed"; the datagram itself stays its owner's.
    pub fn receive(&mut self, datagram: &Datagram, now_ns: u64) -> Taken {
        let Fragment::Part { place, last } = datagram.fragment else {
            return Taken { abandoned: self.abandon(), whole: None };
        };
        let mut taken = Taken { abandoned: self.expire(now_ns), whole: None };
        if self.sequence.as_ref().is_some_and(|sequence| !sequence.continues_with(place, datagram)) {
            // "The reassembly queue must be reinitialized and the associated fragments abandoned."
            taken.abandoned += self.abandon();
        }
        if self.sequence.is_none() {
            if place != 1 {
                taken.abandoned += 1;
                return taken;
            }
            self.sequence = Some(Sequence {
                begun_ns: now_ns,
                place: 0,
                address: datagram.address.into(),
                payload: Vec::new(),
            });
        }
        if let Some(sequence) = &mut self.sequence {
            sequence.place = place;
            sequence.payload.extend_from_slice(datagram.payload);
        }
        if last {
            let sequence = self.sequence.take();
            taken.whole = sequence.map(|Sequence { address, payload, .. }| Whole { address, payload });
        }
        taken
    }

    /// Gives up a sequence whose timer has run out; tells how many fragments that were.
    pub fn expire(&mut self, now_ns: u64) -> u64 {
        let overdue = |sequence: &Sequence| now_ns.saturating_sub(sequence.begun_ns) >= self.limit_ns;
        if self.sequence.as_ref().is_some_and(overdue) { self.abandon() } else { 0 }
    }

    fn abandon(&mut self) -> u64 {
        self.sequence.take().map_or(0, |sequence| u64::from(sequence.place))
    }
}

impl Sequence {
    fn continues_with(&self, place: u8, datagram: &Datagram) -> bool {
        place == self.place + 1
            && *self.address == *datagram.address
            && self.payload.len() + datagram.payload.len() <= HELD_BYTES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const LIMIT_NS: u64 = 10_000_000_000;
    const BEGUN: u64 = 77;
    const ADDRESS: &[u8] = b"\x01\xc0\x00\x02\x01\x00\x50";

    fn part(frag: u8, payload: &[u8]) -> Datagram<'_> {
        let fragment = Fragment::Part { place: frag & 0x7f, last: frag & 0x80 != 0 };
        Datagram { fragment, address: ADDRESS, payload }
    }

    fn whole(payload: &[u8]) -> Option<Whole> {
        Some(Whole { address: ADDRESS.into(), payload: payload.into() })
    }

    /// Plays fragments at one moment; what each brought.
    fn play(frags: &[u8]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut reassembly = Reassembly::new(LIMIT);
        frags
            .iter()
            .map(|frag| {
                let taken = reassembly.receive(&part(*frag, &[*frag & 0x7f]), BEGUN);
                (taken.abandoned, taken.whole.map(|whole| whole.payload))
            })
            .collect()
    }

    #[test]
    fn a_sequence_in_order_is_one_datagram() {
        assert_eq!(play(&[1, 2, 0x83]), [(0, None), (0, None), (0, Some(vec![1, 2, 3]))]);
        assert_eq!(play(&[0x81]), [(0, Some(vec![1]))]);
    }

    #[test]
    fn a_gap_or_a_late_fragment_abandons_the_sequence() {
        // The one that came is of the sequence that now is none.
        assert_eq!(play(&[1, 3]), [(0, None), (2, None)]);
        assert_eq!(play(&[1, 2, 2, 0x83]), [(0, None), (0, None), (3, None), (1, None)]);
        assert_eq!(play(&[2, 0x83]), [(1, None), (1, None)]);
    }

    #[test]
    fn a_first_fragment_begins_anew() {
        assert_eq!(play(&[1, 2, 1, 0x82]), [(0, None), (0, None), (2, None), (0, Some(vec![1, 2]))]);
    }

    #[test]
    fn a_datagram_that_is_no_fragment_abandons_the_sequence() {
        let mut reassembly = Reassembly::new(LIMIT);
        let alone = Datagram { fragment: Fragment::Whole, ..part(1, b"alone") };
        assert_eq!(reassembly.receive(&alone, BEGUN), Taken::default());
        reassembly.receive(&part(1, b"a"), BEGUN);
        reassembly.receive(&part(2, b"b"), BEGUN);
        assert_eq!(reassembly.receive(&alone, BEGUN), Taken { abandoned: 2, whole: None });
        assert_eq!(reassembly.receive(&part(0x83, b"c"), BEGUN), Taken { abandoned: 1, whole: None });
    }

    #[test]
    fn the_timer_counts_from_the_first_fragment() {
        let mut reassembly = Reassembly::new(LIMIT);
        reassembly.receive(&part(1, b"a"), BEGUN);
        reassembly.receive(&part(2, b"b"), BEGUN + LIMIT_NS - 1);
        let late = reassembly.receive(&part(0x83, b"c"), BEGUN + LIMIT_NS);
        assert_eq!(late, Taken { abandoned: 3, whole: None });
        let again = reassembly.receive(&part(0x81, b"d"), BEGUN + LIMIT_NS);
        assert_eq!(again, Taken { abandoned: 0, whole: whole(b"d") });
    }

    #[test]
    fn a_fragment_for_another_target_abandons_the_sequence() {
        let mut reassembly = Reassembly::new(LIMIT);
        reassembly.receive(&part(1, b"a"), BEGUN);
        let elsewhere = Datagram { address: b"\x01\xc0\x00\x02\x02\x00\x50", ..part(0x82, b"b") };
        assert_eq!(reassembly.receive(&elsewhere, BEGUN), Taken { abandoned: 2, whole: None });
    }

    #[test]
    fn no_more_than_a_datagram_is_held() {
        let mut reassembly = Reassembly::new(LIMIT);
        let half = vec![7; 40_000];
        assert_eq!(reassembly.receive(&part(1, &half), BEGUN).abandoned, 0);
        assert_eq!(reassembly.receive(&part(2, &half), BEGUN), Taken { abandoned: 2, whole: None });
        assert!(reassembly.sequence.is_none());
    }

    proptest! {
        #[test]
        fn a_whole_sequence_is_the_concatenation(parts in prop::collection::vec(any::<Vec<u8>>(), 1..=127)) {
            let mut reassembly = Reassembly::new(LIMIT);
                let end = parts.len();
            for (index, payload) in parts.iter().enumerate() {
                let place = index as u8 + 1;
                let frag = if index + 1 == end { place | 0x80 } else { place };
                let taken = reassembly.receive(&part(frag, payload), BEGUN);
                prop_assert_eq!(taken.abandoned, 0);
                prop_assert_eq!(taken.whole, if index + 1 == end { whole(&parts.concat()) } else { None });
            }
        }

        #[test]
        fn every_fragment_is_delivered_held_or_abandoned(frags: Vec<u8>, steps in prop::collection::vec(0u64..4, 0..64)) {
            let mut reassembly = Reassembly::new(LIMIT);
            let (mut taken, mut settled) = (0, 0);
            let mut now = BEGUN;
            for (frag, step) in frags.iter().filter(|frag| **frag & 0x7f != 0).zip(steps) {
                now += step * 2_000_000_000;
                let outcome = reassembly.receive(&part(*frag, b"xy"), now);
                taken += 1;
                settled += outcome.abandoned + outcome.whole.map_or(0, |whole| whole.payload.len() as u64 / 2);
                let held = reassembly.sequence.as_ref().map_or(0, |sequence| u64::from(sequence.place));
                prop_assert_eq!(taken, settled + held);
            }
        }
    }
}
