//! The only door to monoio: building a core's runtime, spawning, sleeping, awaiting readiness.

pub mod many;
pub mod probe;
mod ready;
pub mod sends;
mod turns;
pub mod waits;

pub use ready::Ready;

use futures_util::FutureExt;
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use ringway_shared::config::DriverChoice;
use ringway_shared::metrics::Driver;
use rustix::io::Errno;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// Submission entries of a ring, and what to try with when memory is short (RLIMIT_MEMLOCK).
const RING_ENTRIES: [u32; 3] = [4096, 1024, 256];

/// One core's runtime. Build it on the thread that will run it: a DEFER_TASKRUN ring serves its maker only.
pub struct Runtime {
    kind: Kind,
    pub driver: Driver,
    /// Why the driver is not the wished one, and what would change it.
    pub notice: Option<String>,
}

enum Kind {
    IoUring(Box<monoio::Runtime<TimeDriver<IoUringDriver>>>),
    Epoll(Box<monoio::Runtime<TimeDriver<LegacyDriver>>>),
}

impl Runtime {
    /// Builds the runtime on the calling thread. Errors say why io_uring is refused and what to do.
    pub fn build(choice: DriverChoice) -> Result<Runtime, String> {
        let refusal = match choice {
            DriverChoice::Epoll => None,
            DriverChoice::Auto | DriverChoice::IoUring => match io_uring() {
                Ok(runtime) => return Ok(runtime),
                Err(error) => Some(refusal(&error)),
            },
        };
        match (choice, refusal) {
            (DriverChoice::IoUring, Some(refusal)) => {
                Err(format!("{refusal}; or set workers.driver to auto or epoll"))
            }
            (_, refusal) => epoll(refusal.map(|text| format!("{text}; the epoll driver is used instead"))),
        }
    }

    /// Runs `future` and every task spawned meanwhile, until `future` is done.
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        match &mut self.kind {
            Kind::IoUring(runtime) => runtime.block_on(future),
            Kind::Epoll(runtime) => runtime.block_on(async {
                spawn(|| (), async { drop(turns::call().await) });
                future.await
            }),
        }
    }
}

/// The flags of a ring, best first. SINGLE_ISSUER and DEFER_TASKRUN need Linux 6.1, COOP_TASKRUN 5.19.
fn ring_flavours() -> [(Driver, io_uring::Builder); 3] {
    let mut deferred = io_uring::IoUring::builder();
    deferred.setup_single_issuer().setup_defer_taskrun().setup_coop_taskrun();
    let mut cooperative = io_uring::IoUring::builder();
    cooperative.setup_coop_taskrun();
    [
        (Driver::IoUringDeferred, deferred),
        (Driver::IoUringCooperative, cooperative),
        (Driver::IoUringPlain, io_uring::IoUring::builder()),
    ]
}

fn io_uring() -> io::Result<Runtime> {
    let mut last = io::Error::from(Errno::INVAL);
    for entries in RING_ENTRIES {
        for (driver, ring) in ring_flavours() {
            let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring).with_entries(entries);
            match builder.enable_timer().build() {
                Ok(runtime) => {
                    return Ok(Runtime { kind: Kind::IoUring(Box::new(runtime)), driver, notice: None });
                }
                Err(error) => last = error,
            }
            if Errno::from_io_error(&last) != Some(Errno::INVAL) {
                break;
            }
        }
        if Errno::from_io_error(&last) != Some(Errno::NOMEM) {
            break;
        }
    }
    Err(last)
}

fn epoll(notice: Option<String>) -> Result<Runtime, String> {
    let runtime = RuntimeBuilder::<LegacyDriver>::new()
        .enable_timer()
        .build()
        .map_err(|error| format!("cannot create an epoll instance: {error}; raise the descriptor limit"))?;
    Ok(Runtime { kind: Kind::Epoll(Box::new(runtime)), driver: Driver::Epoll, notice })
}

/// Why io_uring_setup(2) failed, with the remedy.
fn refusal(error: &io::Error) -> String {
    let remedy = match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => {
            "it is forbidden here: set sysctl kernel.io_uring_disabled=0, and in a container run with a seccomp \
             profile that allows io_uring (Docker 25 and containerd 2 block it by default)"
        }
        Some(Errno::NOSYS) => {
            "the kernel or the container's seccomp profile does not offer it: Linux 5.11 or later with \
             CONFIG_IO_URING is needed"
        }
        Some(Errno::NOMEM) => {
            "its rings do not fit the locked-memory limit: raise `ulimit -l` (LimitMEMLOCK=)"
        }
        Some(Errno::MFILE | Errno::NFILE) => "no descriptor is left: raise `ulimit -n` (LimitNOFILE=)",
        _ => "this kernel does not accept the ring",
    };
    format!("io_uring is refused ({error}): {remedy}")
}

/// Spawns a task on this core. If it panics, it ends alone: its values are dropped, then `panicked` is called.
pub fn spawn(panicked: impl FnOnce() + 'static, task: impl Future<Output = ()> + 'static) {
    // A combinator, not an async block: that would hold the task twice, as captured and as awaited.
    let guarded = AssertUnwindSafe(task).catch_unwind().map(|outcome| {
        if outcome.is_err() {
            panicked();
        }
    });
    #[allow(clippy::disallowed_methods, reason = "the one guarded spawn")]
    let _detached = monoio::spawn(guarded);
}

/// Sleeps on this core's timer, millisecond resolution. 640 bytes each: for a few tasks, not one a connection.
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};
    use std::cell::Cell;
    use std::rc::Rc;

    fn each_driver(test: impl Fn(Runtime)) {
        for choice in [DriverChoice::Auto, DriverChoice::Epoll] {
            test(Runtime::build(choice).unwrap());
        }
    }

    #[test]
    fn a_panicking_task_ends_alone() {
        each_driver(|mut runtime| {
            let panics = Rc::new(Cell::new(0u32));
            let seen = panics.clone();
            runtime.run(async move {
                for _ in 0..1_000 {
                    let counter = panics.clone();
                    spawn(move || counter.set(counter.get() + 1), async {
                        sleep(Duration::from_millis(1)).await;
                        std::panic::resume_unwind(Box::new("drill"));
                    });
                }
                while panics.get() < 1_000 {
                    sleep(Duration::from_millis(1)).await;
                }
            });
            assert_eq!(seen.get(), 1_000);
        });
    }

    #[test]
    fn abort_wakes_a_waiting_reader_and_resets_the_peer() {
        each_driver(|mut runtime| {
            runtime.run(async {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (ours, _) = listener.accept().unwrap();
                ours.set_nonblocking(true).unwrap();
                let ours = Rc::new(Ready::new(ours).unwrap());
                let aborter = ours.clone();
                spawn(|| (), async move {
                    sleep(Duration::from_millis(5)).await;
                    aborter.abort();
                });
                let _ = ours.readable().await;
                let error = std::io::Read::read(&mut &peer, &mut [0; 1]).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            });
        });
    }

    /// Two busy tasks, each always ready, and a third that waits for a timer: everybody gets on.
    #[test]
    fn a_task_that_is_always_ready_does_not_starve_its_neighbours() {
        each_driver(|mut runtime| {
            runtime.run(async {
                for _ in 0..2 {
                    let always = eventfd(1, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
                    let always = Ready::new(always).unwrap();
                    spawn(|| (), async move {
                        loop {
                            always.readable().await.unwrap();
                        }
                    });
                }
                let bell = eventfd(1, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
                let bell = Ready::new(bell).unwrap();
                for _ in 0..100 {
                    bell.writable().await.unwrap();
                }
                sleep(Duration::from_millis(5)).await;
            });
        });
    }

    #[test]
    fn an_eventfd_can_be_awaited() {
        each_driver(|mut runtime| {
            runtime.run(async {
                let bell = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
                let hand = bell.try_clone().unwrap();
                let bell = Ready::new(bell).unwrap();
                spawn(|| (), async move {
                    sleep(Duration::from_millis(5)).await;
                    rustix::io::write(&hand, &1u64.to_ne_bytes()).unwrap();
                });
                bell.readable().await.unwrap();
            });
        });
    }
}
