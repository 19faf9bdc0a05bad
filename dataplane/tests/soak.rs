//! The fuzzer's execution on the stable toolchain, without its feedback: edited conversations by the thousand.
//!
//! The long run: `RINGWAY_SOAK_RUNS=1000000 cargo test -p ringway-dataplane --test soak`.

mod play;

const RUNS_DEFAULT: u64 = 20_000;

/// What an edit starts from: owner, chunk sizes, conversation (see `play_bytes`).
const SEEDS: [&[u8]; 5] = [
    b"\x00\x02\x03\x07\x05\x01\x00\x05\x01\x00\x03\x0bexample.org\x00\x50GET /",
    b"\x01\x03\x01\x09\x02\x05\x02\x00\x02\x01\x05alice\x06secret\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50payload",
    b"\x0b\x00\x05\x01\x02\x01\x00\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
    b"\x0c\x01\x04\x05\x01\x00\x05\x03\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb",
    b"\x00\x00\x05\x01\x00\x05\x02\x00\x03\x0a0x7f000001\x00\x50",
];

#[test]
fn edited_conversations_stay_lawful_in_any_chunking() {
    let runs =
        std::env::var("RINGWAY_SOAK_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS_DEFAULT);
    let mut dice = Dice(1);
    for _ in 0..runs {
        let mut data = SEEDS[dice.below(SEEDS.len())].to_vec();
        for _ in 0..dice.below(5) {
            edit(&mut data, &mut dice);
        }
        play::play_bytes(&data);
    }
}

fn edit(data: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(data.len());
    match dice.below(6) {
        0 => data[at] = dice.below(256) as u8,
        1 => data[at] = [0, 1, 2, 3, 4, 5, 0x7f, 0xff][dice.below(8)],
        2 => data.truncate(at + 1),
        3 => data.extend_from_within(at..),
        4 => data.insert(at, dice.below(6) as u8),
        _ => data.extend(std::iter::repeat_n(b'x', dice.below(1200))),
    }
}

/// SplitMix64: the same throws in every run, so that a failure comes back.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}
