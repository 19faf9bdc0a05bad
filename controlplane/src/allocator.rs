//! mimalloc: the allocator of the whole process, its figures, and the order to give memory back. Its C functions are called
//! here and nowhere else (docs/decisions/0014).

use serde_json::Value as Json;
use std::ffi::c_char;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Room for all figures as text; they take some 24 KiB.
const FIGURES_BYTES_MAX: usize = 128 << 10;

/// mimalloc's own figures, as it writes them: `{"mimalloc_version","process":{…},"committed":{"total","peak","current"},…}`.
/// `None`: they cannot be read.
#[must_use]
pub fn figures() -> Option<Json> {
    let mut text = vec![0_u8; FIGURES_BYTES_MAX];
    serde_json::from_slice(written(&mut text)).ok()
}

/// The figures in `text`; empty if there are none.
#[allow(unsafe_code)]
fn written(text: &mut [u8]) -> &[u8] {
    // One byte less: a text that fills its room is still followed by a zero.
    let room = text.len().saturating_sub(1);
    // Without room mimalloc would allocate the text, and we would owe it a free.
    if room == 0 {
        return &[];
    }
    // SAFETY: `text` is ours alone for the call and has more than `room` bytes, which is not zero, so mimalloc writes there, at
    // most so many bytes, and allocates nothing. Any thread may call it; it keeps no pointer.
    let written = unsafe { libmimalloc_sys::mi_stats_get_json(room, text.as_mut_ptr().cast::<c_char>()) };
    if written.is_null() {
        return &[];
    }
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Gives back to the kernel what the calling thread's heap, and the arenas of all threads, hold without need. Other threads'
/// heaps are theirs alone to tidy.
#[allow(unsafe_code)]
pub fn collect() {
    // SAFETY: it takes no pointer. Any thread may call it at any time: it touches that thread's own heap, and what is shared
    // under mimalloc's own locks.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_whole_and_collecting_gives_back_what_is_free() {
        let purged = || figures().unwrap()["purged"].as_u64().unwrap();
        let committed = || figures().unwrap()["committed"]["peak"].as_u64().unwrap();
        let before = purged();
        let held = vec![1_u8; 64 << 20];
        assert!(committed() >= 64 << 20);
        drop(std::hint::black_box(held));
        collect();
        assert!(purged() >= before + (32 << 20), "{before} then {}", purged());
    }

    #[test]
    fn room_that_is_too_small_gives_no_figures_and_is_not_overrun() {
        for room in [0, 1, 2, 3, 100, 1000] {
            let mut text = vec![0xff_u8; room + 64];
            let given = written(&mut text[..room]).len();
            assert!(given < room.max(1), "{given} bytes in {room}");
            assert!(text[room..].iter().all(|byte| *byte == 0xff), "overrun at {room}");
            assert!(serde_json::from_slice::<Json>(written(&mut text[..room])).is_err());
        }
    }

    #[test]
    fn many_threads_may_ask_and_collect_at_once() {
        let work = || {
            for size in 1..64 {
                drop(std::hint::black_box(vec![0_u8; size << 12]));
                collect();
                assert!(figures().is_some());
            }
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(work)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
