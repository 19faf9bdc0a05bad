//! `/admin/memory`: what this process holds, as the kernel and the allocator count it, and giving back what is free.

use super::answer::Answer;
use super::asked::Asked;
use super::route::{Route, Said, ServedBy, json as content, ok};
use super::state::{AGE_MAX, State};
use crate::allocator;
use crate::guard::Scope;
use procfs::process::{MMapPath, Process};
use serde_json::{Map, Value as Json, json};
use std::time::Instant;

const SHOWN: &[Said] = &[ok("Bytes, as the kernel and mimalloc count them.", content("Memory"))];
const COLLECTED: &[Said] = &[ok("What was given back.", content("MemoryCollected"))];
const SHOWS: &str = "Memory of this process, as the kernel and mimalloc count it.";
const COLLECTS: &str = "Gives free memory back to the kernel; workers' own heaps are left alone.";

pub const ROUTES: &[Route] = &[
    Route::get("/admin/memory", Scope::Read, memory, SHOWS, SHOWN),
    Route::post("/admin/memory/collect", Scope::Admin, ServedBy::Page(collect), COLLECTS, COLLECTED),
    Route::get("/admin/gc-stats", Scope::Read, memory, "The same as /admin/memory.", SHOWN),
    Route::post(
        "/admin/gc",
        Scope::Admin,
        ServedBy::Page(collect),
        "The same as /admin/memory/collect.",
        COLLECTED,
    ),
];

/// mimalloc's counts that have a now and a most, by the names they have here.
const LEVELS: &[(&str, &str)] = &[
    ("reserved_bytes", "reserved"),
    ("committed_bytes", "committed"),
    ("huge_bytes", "malloc_huge"),
    ("pages", "pages"),
    ("abandoned_pages", "pages_abandoned"),
    ("threads", "threads"),
];
/// Those that only grow.
const COUNTERS: &[(&str, &str)] = &[
    ("purged_bytes", "purged"),
    ("purge_calls", "purge_calls"),
    ("arenas", "arena_count"),
    ("mmap_calls", "mmap_calls"),
];

/// `GET /admin/memory`
fn memory(state: &State, _: &Asked) -> Answer {
    // The kernel walks all mappings for them, and this thread waits for it.
    let mut kept = state.memory.borrow_mut();
    let young = |(since, _): &(Instant, Json)| since.elapsed() < AGE_MAX;
    match kept.as_ref().filter(|kept| young(kept)) {
        Some((_, facts)) => Answer::json(200, facts),
        None => Answer::json(200, &kept.insert((Instant::now(), facts())).1),
    }
}

/// What is known of this process's memory. What cannot be read is left out.
pub fn facts() -> Json {
    json!({"process": process(), "mappings": mappings(), "allocator": figures()})
}

/// `POST /admin/memory/collect`
fn collect(state: &State, _: &Asked) -> Answer {
    *state.memory.borrow_mut() = None;
    let now = || (crate::system::resident_bytes(), purged());
    let began = Instant::now();
    let (resident_before, purged_before) = now();
    allocator::collect();
    let (resident, purged) = now();
    Answer::json(
        200,
        &json!({
            "resident_before_bytes": resident_before,
            "resident_bytes": resident,
            "freed_bytes": resident_before.saturating_sub(resident),
            "purged_bytes": purged.saturating_sub(purged_before),
            "duration_ms": began.elapsed().as_secs_f64() * 1000.0,
            "collected": "the control thread's heap and the arenas of all threads; what workers hold in their own heaps they keep",
        }),
    )
    .audited(format!("{} bytes purged", purged.saturating_sub(purged_before)))
}

fn process() -> Json {
    let Ok(process) = Process::myself() else { return Json::Null };
    let (status, stat) = (process.status().ok(), process.stat().ok());
    let kibibytes = |of: fn(&procfs::process::Status) -> Option<u64>| {
        status.as_ref().and_then(of).map(|kibibytes| kibibytes * 1024)
    };
    json!({
        "resident_bytes": kibibytes(|status| status.vmrss),
        "resident_peak_bytes": kibibytes(|status| status.vmhwm),
        "virtual_bytes": kibibytes(|status| status.vmsize),
        "swapped_bytes": kibibytes(|status| status.vmswap),
        "minor_faults": stat.as_ref().map(|stat| stat.minflt),
        "major_faults": stat.as_ref().map(|stat| stat.majflt),
    })
}

/// /proc/self/smaps_rollup, in bytes: `Private_Dirty` is `private_dirty_bytes`.
fn mappings() -> Json {
    let rollup = Process::myself().and_then(|process| process.smaps_rollup());
    let Ok(rollup) = rollup else { return Json::Null };
    let whole = rollup.memory_map_rollup.0.into_iter().find(|map| map.pathname == MMapPath::Rollup);
    let amounts = whole.into_iter().flat_map(|map| map.extension.map);
    let mut named: Vec<_> =
        amounts.map(|(name, bytes)| (format!("{}_bytes", name.to_lowercase()), json!(bytes))).collect();
    named.sort_by(|one, other| one.0.cmp(&other.0));
    Json::Object(named.into_iter().collect())
}

fn figures() -> Json {
    let Some(found) = allocator::figures() else { return Json::Null };
    let mut told = Map::new();
    told.insert("name".into(), json!("mimalloc"));
    told.insert("version".into(), json!(version(found["mimalloc_version"].as_u64().unwrap_or(0))));
    for (name, theirs) in LEVELS {
        told.insert((*name).into(), found[theirs]["current"].clone());
        told.insert(
            format!("{name}_peak").replace("_bytes_peak", "_peak_bytes"),
            found[theirs]["peak"].clone(),
        );
    }
    for (name, theirs) in COUNTERS {
        told.insert((*name).into(), found[theirs].clone());
    }
    Json::Object(told)
}

/// 30302: 3.3.2
fn version(number: u64) -> String {
    format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
}

fn purged() -> u64 {
    allocator::figures().and_then(|figures| figures["purged"].as_u64()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_that_is_promised_is_there() {
        let facts = facts();
        for (name, _) in LEVELS.iter().chain(COUNTERS) {
            assert!(facts["allocator"][name].is_number(), "{name} in {facts:#}");
        }
        for name in ["resident_bytes", "resident_peak_bytes", "virtual_bytes", "minor_faults"] {
            assert!(facts["process"][name].as_u64() > Some(0), "{name} in {facts:#}");
        }
        for name in ["rss_bytes", "pss_bytes", "private_dirty_bytes", "anonhugepages_bytes"] {
            assert!(facts["mappings"][name].is_number(), "{name} in {facts:#}");
        }
    }

    #[test]
    fn a_version_is_read_as_mimalloc_counts_it() {
        assert_eq!(version(30_302), "3.3.2");
    }
}
