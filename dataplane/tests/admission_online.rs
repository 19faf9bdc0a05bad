//! The table of sessions under several workers at once.

#![allow(clippy::unwrap_used)]

use ringway_dataplane::policy::online::{Online, Session, UserLimits};
use ringway_shared::config::OneSession;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

const WORKERS: u32 = 4;
const ROUNDS: u64 = 2_000;

fn limits(connections_max: Option<u32>, one_session: OneSession) -> UserLimits {
    UserLimits { connections_max, one_session }
}

#[test]
fn threads_leave_an_empty_table() {
    let online = Arc::<Online>::default();
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let online = &online;
            scope.spawn(move || {
                for connection in 0..ROUNDS {
                    let session = Session { worker, connection, client: 0 };
                    let how =
                        [OneSession::Off, OneSession::Replace, OneSession::Refuse][connection as usize % 3];
                    let user = format!("user{}", connection % 5);
                    drop(online.enter(user.into(), session, limits(None, how)));
                }
            });
        }
    });
    assert_eq!(online.users(), 0);
    assert!((0..5).all(|user| online.sessions(&format!("user{user}")).is_empty()));
}

#[test]
fn no_more_are_let_in_than_the_limit_however_many_come_at_once() {
    let (online, inside, most) = (Arc::<Online>::default(), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (online, inside, most) = (&online, &inside, &most);
            scope.spawn(move || {
                for connection in 0..ROUNDS {
                    let session = Session { worker, connection, client: 0 };
                    let Ok(entered) = online.enter("alice".into(), session, limits(Some(2), OneSession::Off))
                    else {
                        continue;
                    };
                    most.fetch_max(inside.fetch_add(1, Relaxed) + 1, Relaxed);
                    inside.fetch_sub(1, Relaxed);
                    drop(entered);
                }
            });
        }
    });
    assert!((1..=2).contains(&most.into_inner()));
    assert_eq!(online.users(), 0);
}
