//! What each operation costs, counted and held to a budget without a clock: allocations, system calls, instructions
//! (docs/costs.md). `scripts/costs.sh` runs all of it with optimised programs; without those instructions are not counted.

#![allow(clippy::unwrap_used)]

mod budget;
mod operations;
mod plane;
mod trace;

use budget::{ALLOCATIONS, BYTES, Costs, INSTRUCTIONS};
use operations::{OPERATIONS, Operation, SPLICED};
use plane::{Allocated, Plane};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Before anything is counted: buffers, tables and queues have their size then.
const WARM_UP: usize = 20;
/// Each counted for itself.
const TRACED: usize = 31;
/// A busy machine only ever adds: what is over its budget is counted again, and the least of all counts is what is judged.
const ATTEMPTS: usize = 4;

/// Where the optimised programs are, if `scripts/costs.sh` has built them.
fn optimised(program: &str) -> Option<PathBuf> {
    let folder = env::var_os("RINGWAY_COSTS_PROGRAMS")?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(folder).join(program);
    assert!(program.exists(), "{} is not there: run scripts/costs.sh", program.display());
    Some(program)
}

fn fresh_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn skip(what: &str, why: &str) {
    eprintln!("costs: SKIPPED: {what} cannot be counted here: {why}");
}

/// Does each operation so many `times`, each between two marks; gives what was allocated at each mark.
fn drive(plane: &mut Plane, operations: &[Operation], times: usize) -> Vec<Vec<Allocated>> {
    let mut all = Vec::new();
    for operation in operations {
        plane.settle();
        let mut act = (operation.prepare)(plane);
        plane.settle();
        let mut act_and_settle = |plane: &Plane| {
            act(plane);
            plane.settle();
        };
        (0..WARM_UP).for_each(|_| act_and_settle(plane));
        let mut marks = vec![plane.mark()];
        for _ in 0..times {
            act_and_settle(plane);
            marks.push(plane.mark());
        }
        drop(act);
        plane.settle();
        all.push(marks);
    }
    all
}

/// A part may have a tick of the clock in it, so the middle one of many is the operation's.
fn middle(mut counts: Vec<u64>) -> f64 {
    counts.sort_unstable();
    counts[counts.len() / 2] as f64
}

/// By operation. Errors: why it cannot be counted here.
fn count_operations() -> Result<BTreeMap<String, Costs>, String> {
    let folder = fresh_folder("costs-strace");
    let program = optimised("data_plane").unwrap_or_else(|| env!("CARGO_BIN_EXE_data_plane").into());
    let mut plane = Plane::start(&program, &folder)?;
    let (main, worker) = (plane.pid.to_string(), plane.worker().to_owned());
    let allocated = drive(&mut plane, OPERATIONS, TRACED);
    plane.end();
    let trace = fs::read_to_string(folder.join("trace")).unwrap();
    let mut parts = trace::parts_of(&trace, &main, &worker).into_iter();
    // The program's start, before it told its addresses.
    parts.next().unwrap();
    let mut counted = BTreeMap::new();
    for (operation, marks) in OPERATIONS.iter().zip(allocated) {
        // What made it ready.
        parts.next().unwrap();
        let parts: Vec<_> = parts.by_ref().take(TRACED).collect();
        assert_eq!(parts.len(), TRACED, "the trace ends early");
        let names = parts.iter().flat_map(|part| part.keys().cloned());
        let of =
            |name: &String| middle(parts.iter().map(|part| part.get(name).copied().unwrap_or(0)).collect());
        let mut costs: Costs = names
            .map(|name| (of(&name), name))
            .filter(|(count, _)| *count > 0.0)
            .map(|(count, name)| (name, count))
            .collect();
        let growth = |of: fn(&Allocated) -> u64| {
            middle(marks.windows(2).map(|marks| of(&marks[1]) - of(&marks[0])).collect())
        };
        if optimised("data_plane").is_none() {
            // std's debug assertion that a descriptor is open before it is closed.
            costs.remove("fcntl");
        }
        costs.insert(ALLOCATIONS.into(), growth(|at| at.calls));
        costs.insert(BYTES.into(), growth(|at| at.bytes));
        counted.insert(operation.name.to_owned(), costs);
    }
    if !trace.contains("io_uring_enter(") {
        return Err("io_uring is refused, and the budgets are those of its driver".into());
    }
    assert!(counted[SPLICED].contains_key("splice"), "it did not come to splice");
    Ok(counted)
}

#[test]
fn allocations_and_system_calls_are_within_budget() {
    let mut counted: Option<BTreeMap<String, Costs>> = None;
    for _ in 0..ATTEMPTS {
        let again = match count_operations() {
            Ok(again) => again,
            Err(why) => return skip("system calls", &why),
        };
        let least = counted.take().map_or(again.clone(), |before| budget::least(before, &again));
        if budget::is_within(&least) {
            return budget::judge(|budgets| &mut budgets.operations, least);
        }
        counted = Some(least);
    }
    budget::judge(|budgets| &mut budgets.operations, counted.unwrap_or_default());
}

#[test]
fn instructions_of_pure_code_are_within_budget() {
    let Some(program) = optimised("instructions") else {
        return skip("instructions", "only scripts/costs.sh has optimised programs");
    };
    let folder = fresh_folder("costs-pure");
    let output = match plane::callgrind(&folder).arg(program).output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => return skip("instructions", &String::from_utf8_lossy(&output.stderr)),
        Err(error) => return skip("instructions", &error.to_string()),
    };
    let parts = trace::instructions(&folder);
    let told = String::from_utf8(output.stdout).unwrap();
    let lines = told.lines().map(|line| line.split_once('\t').unwrap());
    let counted = lines.zip(parts.chunks(2)).map(|((times, name), parts)| {
        let count = parts[1] as f64 / times.parse::<f64>().unwrap();
        (name.to_owned(), Costs::from([(INSTRUCTIONS.into(), (count * 10.0).round() / 10.0)]))
    });
    match budget::incomparable(&budget::read()) {
        Some(why) if env::var_os("RINGWAY_BLESS").is_none() => {
            skip("instructions", &format!("the budgets were counted elsewhere: {why}"));
        }
        _ => budget::judge(|budgets| &mut budgets.subjects, counted.collect()),
    }
}
