//! Does each subject of `subjects` a fixed number of times, for `tests/costs` to have counted by callgrind: between two calls
//! of `part_of_costs_ends` there is nothing else. Prints the names in their order, with the operations done in each part.

use ringway_benches::subjects::SUBJECTS;
use std::hint::black_box;

/// Enough for what is allocated once to be lost among them.
const CALLS: u64 = 100;
/// Before anything is counted: tables and queues have their size then.
const CALLS_BEFORE: u64 = 10;

fn main() {
    for subject in SUBJECTS {
        let mut call = (subject.make)();
        (0..CALLS_BEFORE).for_each(|_| call());
        part_of_costs_ends(subject.name);
        (0..CALLS).for_each(|_| call());
        part_of_costs_ends(subject.name);
        println!("{}\t{}", CALLS * subject.operations, subject.name);
    }
}

/// callgrind writes down what it has counted, and begins anew, whenever this is entered (`--dump-before`).
#[inline(never)]
fn part_of_costs_ends(name: &str) {
    black_box(name);
}
