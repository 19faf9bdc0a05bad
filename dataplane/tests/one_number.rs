//! What all cores share is one number each: many threads at once lose nothing of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use ringway_dataplane::policy::clients::Clients;
use ringway_dataplane::policy::{quota, rate};
use ringway_shared::config::Limits;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;

#[test]
fn threads_that_reserve_time_at_once_lose_no_byte() {
    let due_ns = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                (0..10_000).for_each(|_| assert!(rate::reserve(&due_ns, 1_000_000, 0, 100, 0) > 0))
            });
        }
    });
    assert_eq!(due_ns.into_inner(), 4_000_000_000);
}

#[test]
fn threads_use_a_quota_to_the_byte_and_no_further() {
    const LIMIT: u64 = 1_000_003;
    let used = AtomicU64::new(0);
    let moved: u64 = std::thread::scope(|scope| {
        let draw = |wanted| {
            let used = &used;
            scope.spawn(move || draw_all(used, LIMIT, wanted))
        };
        let threads: Vec<_> = (1..=8).map(|thread| draw(37 * thread)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!((moved, used.into_inner()), (LIMIT, LIMIT));
}

/// Reads that bring half of what was reserved, until nothing is granted. Whoever gives back asks again, so the
/// last to end leaves nothing.
fn draw_all(used: &AtomicU64, limit: u64, wanted: usize) -> u64 {
    let mut moved = 0;
    loop {
        let granted = quota::reserve(used, limit, wanted);
        if granted == 0 {
            return moved;
        }
        let read = granted.div_ceil(2);
        quota::give_back(used, granted - read);
        moved += read as u64;
    }
}

#[test]
fn threads_keep_one_count_of_a_clients_connections() {
    let clients = Clients::default();
    let client = IpAddr::from([192, 0, 2, 1]);
    let limits = Limits {
        connections: None,
        backlog: 1,
        connections_per_client: Some(3),
        connections_per_user: None,
        new_connections_per_second: None,
        new_connections_per_second_per_client: None,
        udp_associations: None,
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    if let Ok(admission) = clients.admit(client, &limits, 0) {
                        clients.leave(client, admission, 0);
                    }
                }
            });
        }
    });
    let admitted = (0..5).filter(|_| clients.admit(client, &limits, 0).is_ok());
    assert_eq!(admitted.count(), 3);
}
