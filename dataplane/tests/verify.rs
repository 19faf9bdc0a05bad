//! The verifier's threads, seen through a worker's inbox.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use ringway_dataplane::io::Busy;
use ringway_dataplane::io::inbox::{Inbox, Mail, Outbox, ReturnAddress, inbox};
use ringway_dataplane::io::questions::{Reply, Ticket};
use ringway_dataplane::io::verify::{self, JOBS_MAX, Job, THREADS, Verifier};
use rustix::event::{PollFd, PollFlags, poll};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// One verifier and the inbox of a worker that asks it.
struct Desk {
    verifier: Verifier,
    threads: Vec<JoinHandle<()>>,
    outbox: Outbox,
    inbox: Inbox,
}

impl Desk {
    fn open() -> Desk {
        let (verifier, threads) = verify::start().unwrap();
        let (outbox, inbox) = inbox().unwrap();
        Desk { verifier, threads, outbox, inbox }
    }

    fn job(&self, slot: u32, hash: &str, password: &[u8]) -> Job {
        Job {
            hash: hash.into(),
            password: password.into(),
            decoy: false,
            deadline: Instant::now() + PATIENCE,
            back: ReturnAddress { outbox: self.outbox.clone(), ticket: Ticket { slot, generation: 7 } },
        }
    }

    fn verdict(&self) -> (u32, bool) {
        loop {
            self.inbox.silence();
            match self.inbox.take() {
                Some(Mail::Answer(ticket, Reply::Verified(verdict))) => {
                    assert_eq!(ticket.generation, 7);
                    return (ticket.slot, verdict);
                }
                Some(_) => panic!("not a verdict"),
                None => {
                    let bell = self.inbox.bell().unwrap();
                    let rang =
                        poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&PATIENCE.try_into().unwrap()));
                    assert_eq!(rang, Ok(1), "no verdict came");
                }
            }
        }
    }

    /// Asks and waits.
    fn accepts(&self, hash: &str, password: &[u8]) -> bool {
        self.verifier.ask(self.job(1, hash, password)).unwrap();
        self.verdict().1
    }
}

/// A cheap argon2id hash: the tests check the threads, not the algorithm's cost.
fn argon2id(password: &[u8], kib: u32) -> String {
    let params = Params::new(kib, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_with_salt(password, b"a salt of sixteen").unwrap().to_string()
}

fn bcrypt(password: &[u8]) -> String {
    bcrypt::hash_with_salt(password, 4, *b"a salt of 16 byt").unwrap().to_string()
}

#[test]
fn the_right_password_passes_and_others_do_not() {
    let desk = Desk::open();
    for hash in [argon2id(b"secret", 64), bcrypt(b"secret")] {
        assert!(desk.accepts(&hash, b"secret"), "{hash}");
        for wrong in ["Secret", "secret ", "secre", "", "secret\0", "secret\0secret"] {
            assert!(!desk.accepts(&hash, wrong.as_bytes()), "{hash} {wrong:?}");
        }
    }
}

#[test]
fn hashes_made_by_others_pass() {
    let desk = Desk::open();
    // From the reference implementation (phc-winner-argon2, test.c) and from OpenBSD's bcrypt.
    let argon2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    assert!(desk.accepts(argon2, b"password"));
    let bcrypt = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert!(desk.accepts(bcrypt, b"U*U"));
}

#[test]
fn empty_and_binary_passwords_work() {
    let desk = Desk::open();
    assert!(desk.accepts(&argon2id(b"", 64), b""));
    assert!(desk.accepts(&bcrypt(b""), b""));
    assert!(!desk.accepts(&bcrypt(b""), b"\0"), "bcrypt alone would take these two for one password");
    let binary: Vec<u8> = (0..=254).collect();
    assert!(desk.accepts(&argon2id(&binary, 64), &binary));
}

#[test]
fn bcrypt_takes_72_bytes_and_refuses_more_instead_of_cutting() {
    let desk = Desk::open();
    let longest = [b'x'; 72];
    assert!(desk.accepts(&bcrypt(&longest), &longest));
    assert!(!desk.accepts(&bcrypt(&[b'x'; 73]), &[b'x'; 73]));
}

#[test]
fn what_bcrypt_cannot_take_costs_as_much_as_any_wrong_password() {
    let desk = Desk::open();
    let empty = bcrypt::hash_with_salt(b"", 9, *b"a salt of 16 byt").unwrap().to_string();
    let time = |password: &[u8]| {
        let started = Instant::now();
        assert!(!desk.accepts(&empty, password));
        started.elapsed()
    };
    let wrong = time(b"wrong");
    assert!(time(&[b'x'; 73]) > wrong / 5);
    assert!(time(b"\0") > wrong / 5);
}

#[test]
fn a_decoy_never_passes() {
    let desk = Desk::open();
    let hash = argon2id(b"secret", 64);
    let mut job = desk.job(3, &hash, b"secret");
    job.decoy = true;
    desk.verifier.ask(job).unwrap();
    assert_eq!(desk.verdict(), (3, false));
}

#[test]
fn what_is_no_hash_matches_nothing() {
    let desk = Desk::open();
    let hash = argon2id(b"", 64);
    let cut = hash.rsplit_once('$').unwrap().0;
    for malformed in ["", "$", "$argon2", "$argon2id$v=19$m=0,t=0,p=0$$", "$2b$04$short", "secret", cut] {
        assert!(!desk.accepts(malformed, b""), "{malformed:?}");
    }
}

#[test]
fn a_hash_that_is_too_dear_is_refused_at_once() {
    let desk = Desk::open();
    let hash = argon2id(b"secret", 64);
    let started = Instant::now();
    for cost in ["m=4194304,t=1,p=1", "m=64,t=4000000,p=1", "m=4096,t=1,p=99"] {
        assert!(!desk.accepts(&hash.replace("m=64,t=1,p=1", cost), b"secret"), "{cost}");
    }
    assert!(!desk.accepts(&bcrypt(b"secret").replace("$04$", "$31$"), b"secret"));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_full_queue_says_busy_and_jobs_past_their_deadline_are_not_computed() {
    let desk = Desk::open();
    // Both threads are held by a hash of some milliseconds, the queue fills in less.
    let slow = argon2id(b"secret", 64 * 1024);
    let deadline = Instant::now() + Duration::from_secs(1);
    let ask = |slot| {
        let mut job = desk.job(slot, &slow, b"secret");
        job.deadline = deadline;
        desk.verifier.ask(job)
    };
    let accepted = (0..).take_while(|&slot| ask(slot).is_ok()).count();
    assert!((JOBS_MAX..JOBS_MAX + 100).contains(&accepted), "{accepted}");
    assert_eq!(ask(0), Err(Busy));

    // The queue drains by itself, most of it unanswered: the threads end when it has.
    let Desk { verifier, threads, inbox, .. } = desk;
    drop(verifier);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let answered = std::iter::from_fn(|| inbox.take()).count();
    assert!((1..accepted / 2).contains(&answered), "{answered} of {accepted}");
}

#[test]
fn the_threads_are_two_have_names_and_end_with_the_verifier() {
    let Desk { verifier, threads, .. } = Desk::open();
    let names: Vec<_> = threads.iter().filter_map(|thread| thread.thread().name()).collect();
    assert_eq!(names, ["ringway-pw0", "ringway-pw1"]);
    assert_eq!(names.len(), THREADS);
    drop(verifier);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
