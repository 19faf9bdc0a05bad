//! What strace and callgrind wrote, part by part.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// System calls by name.
pub type Calls = BTreeMap<String, u64>;

/// The worker's calls in the parts that end with each line that the main thread writes; the first is the start's.
pub fn parts_of(trace: &str, main: &str, worker: &str) -> Vec<Calls> {
    let (mut parts, mut part) = (Vec::new(), Calls::new());
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        // Its end is told in a line of its own if another thread's call came in between: `<... read resumed>`.
        let Some((name, arguments)) = call.trim_start().split_once('(').filter(|(name, _)| is_name(name))
        else {
            continue;
        };
        if thread == worker {
            *part.entry(name.to_owned()).or_default() += 1;
        } else if thread == main && name == "write" && arguments.starts_with("1,") {
            parts.push(std::mem::take(&mut part));
        }
    }
    parts
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
}

/// The instructions of each part that callgrind wrote down, in order.
pub fn instructions(folder: &Path) -> Vec<u64> {
    (1..)
        .map_while(|part| fs::read_to_string(folder.join(format!("out.{part}"))).ok())
        .map(|text| {
            let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
            let total = total.or_else(|| text.lines().find_map(|line| line.strip_prefix("summary: ")));
            total.unwrap_or_else(|| panic!("callgrind's file has no total")).trim().parse().unwrap()
        })
        .collect()
}

#[test]
fn a_trace_is_cut_where_the_main_thread_answers() {
    let trace = "10 write(1, \"{\"..., 80) = 80\n\
                 11 io_uring_enter(7, 1, 1, 0x1, NULL, 8 <unfinished ...>\n\
                 10 write(1, \"1 2\"..., 4) = 4\n\
                 11 <... io_uring_enter resumed>) = 0\n\
                 11 recvfrom(9, \"x\", 65536, MSG_DONTWAIT, NULL, NULL) = 1\n\
                 12 recvfrom(9, \"other\", 65536, 0, NULL, NULL) = 1\n\
                 11 +++ exited with 0 +++\n\
                 10 write(1, \"1 2\"..., 4) = 4\n";
    let calls = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<Calls>();
    assert_eq!(parts_of(trace, "10", "11"), [calls(&[]), calls(&["io_uring_enter"]), calls(&["recvfrom"])]);
}
