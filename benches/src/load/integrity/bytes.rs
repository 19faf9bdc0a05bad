//! The seeded stream, which both ends can make at any offset, and the chunks in which it is sent.

use std::time::Duration;

/// The largest chunk handed to one write.
pub const CHUNK_MAX: usize = 256 * 1024;

/// One direction of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane {
    /// `up` (client to target) or `down`.
    pub direction: &'static str,
    pub seed: u64,
    pub bytes: u64,
}

impl Lane {
    /// Writes the stream's bytes from `offset` on into `into`.
    pub fn fill(&self, offset: u64, into: &mut [u8]) {
        let skip = (offset % 8) as usize;
        let mut word = offset / 8;
        let (head, body) = into.split_at_mut(if skip == 0 { 0 } else { (8 - skip).min(into.len()) });
        if !head.is_empty() {
            head.copy_from_slice(&self.word(word)[skip..skip + head.len()]);
            word += 1;
        }
        for part in body.chunks_mut(8) {
            part.copy_from_slice(&self.word(word)[..part.len()]);
            word += 1;
        }
    }

    fn word(&self, index: u64) -> [u8; 8] {
        mix(self.seed.wrapping_add(index)).to_le_bytes()
    }
}

/// The mixing step of splitmix64: neighbouring numbers come out unlike each other.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// How a lane is cut into chunks: floods of large ones without a pause, then trickles of small ones with pauses, so that a
/// server which relays both in different ways changes its mind again and again.
pub struct Chunks {
    seed: u64,
    drawn: u64,
    /// Chunks left of the present flood or trickle.
    left: u64,
    flood: bool,
}

/// A chunk to send, and how long to rest after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub bytes: usize,
    pub rest: Option<Duration>,
}

impl Chunks {
    #[must_use]
    pub fn new(lane: &Lane) -> Chunks {
        Chunks { seed: mix(!lane.seed), drawn: 0, left: 0, flood: false }
    }

    pub fn draw(&mut self) -> Chunk {
        if self.left == 0 {
            self.flood = !self.flood;
            self.left = if self.flood { self.between(8, 64) } else { self.between(1, 48) };
        }
        self.left -= 1;
        if self.flood {
            return Chunk { bytes: self.log_uniform(13, 18), rest: None };
        }
        let bytes = self.log_uniform(0, 12);
        let rest = Duration::from_micros(self.between(20, 600));
        // Some small chunks follow each other at once.
        Chunk { bytes, rest: Some(rest).filter(|_| self.between(0, 3) > 0) }
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.drawn += 1;
        low + mix(self.seed.wrapping_add(self.drawn)) % (high - low + 1)
    }

    /// From 2^`low` to 2^`high`, each octave as likely as the others.
    fn log_uniform(&mut self, low: u64, high: u64) -> usize {
        let octave = self.between(low, high - 1);
        self.between(1 << octave, 2 << octave) as usize
    }
}

const _: () = assert!(CHUNK_MAX == 1 << 18);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_same_however_it_is_cut() {
        let lane = Lane { direction: "up", seed: 7, bytes: 1000 };
        let mut whole = vec![0; 1000];
        lane.fill(0, &mut whole);
        for step in [1, 3, 7, 8, 9, 64, 999] {
            let mut offset = 0;
            while offset < whole.len() {
                let mut part = vec![0; step.min(whole.len() - offset)];
                lane.fill(offset as u64, &mut part);
                assert_eq!(part, whole[offset..offset + part.len()], "step {step} at {offset}");
                offset += part.len();
            }
        }
    }

    #[test]
    fn seeds_give_streams_of_their_own() {
        let first = |seed| {
            let mut bytes = [0; 64];
            Lane { direction: "up", seed, bytes: 64 }.fill(0, &mut bytes);
            bytes
        };
        assert_ne!(first(mix(1)), first(mix(2)));
        assert_eq!(first(5), first(5));
    }

    #[test]
    fn chunks_are_of_all_sizes_with_floods_and_trickles() {
        let mut chunks = Chunks::new(&Lane { direction: "up", seed: 1, bytes: 0 });
        let drawn: Vec<Chunk> = (0..10_000).map(|_| chunks.draw()).collect();
        assert!(drawn.iter().all(|chunk| (1..=CHUNK_MAX).contains(&chunk.bytes)));
        assert!(drawn.iter().any(|chunk| chunk.bytes == 1));
        assert!(drawn.iter().any(|chunk| chunk.bytes > CHUNK_MAX / 2));
        assert!(drawn.iter().any(|chunk| chunk.rest.is_some()));
    }
}
