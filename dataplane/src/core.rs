//! What all connections of one core share. Lives on the worker's thread and never leaves it.

use crate::io::inbox::{Outbox, ReturnAddress};
use crate::io::own::Own;
use crate::io::pipes::PipePool;
use crate::io::questions::{Question, Questions};
use crate::io::records::Recorder;
use crate::io::resolve::Resolver;
use crate::io::sessions::{Session, Sessions};
use crate::io::verify::{Remembered, Verifier};
use crate::policy::auth::Directory;
use crate::policy::targets::Targets;
use crate::rt::Ready;
use ringway_shared::config::Config;
use ringway_shared::metrics::Cells;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

/// What a worker is given at its start; the same for all but `index` and what follows from it.
#[derive(Clone)]
pub struct Wiring {
    pub index: usize,
    pub config: Arc<Config>,
    /// All workers' cells; `cells[index]` is this core's own.
    pub cells: Arc<[Arc<Cells>]>,
    /// All workers' inboxes.
    pub outboxes: Arc<[Outbox]>,
    pub own: Arc<Own>,
    pub targets: Arc<Targets>,
    /// With `socks5.auth: password`: the users, and who verifies their hashes.
    pub passwords: Option<(Arc<Directory>, Verifier)>,
    pub resolver: Resolver,
    pub recorder: Recorder,
    /// Client connections at once, over all workers.
    pub connections_max: u64,
    /// Sockets of clients and targets at once, over all workers: the descriptors that nothing else needs. Beyond
    /// it clients would take the control port's.
    pub sockets_max: u64,
    /// Pipes this core may make.
    pub pipes_max: usize,
}

/// What one core needs to tell users apart.
pub struct Login {
    pub directory: Arc<Directory>,
    pub verifier: Verifier,
    /// Hashed passwords verified here not long ago.
    pub remembered: RefCell<Remembered>,
}

/// Bytes of the scratch buffer: the most that a copying direction holds for a slow receiver.
pub const SCRATCH_BYTES: usize = 64 * 1024;

/// One core's state.
pub struct Core {
    pub wiring: Wiring,
    pub cells: Arc<Cells>,
    pub sessions: Sessions,
    pub questions: Questions,
    /// `None`: nobody has to say who they are.
    pub login: Option<Login>,
    pub pipes: Rc<PipePool>,
    /// The one buffer bytes are copied through; borrowed only between two waits.
    pub scratch: RefCell<Box<[u8]>>,
    pub draining: Cell<bool>,
}

impl Core {
    /// Errors: the kernel gave no random bytes for the memory of verified passwords.
    pub fn new(wiring: Wiring) -> io::Result<Rc<Core>> {
        let login = wiring.passwords.clone().map(|(directory, verifier)| {
            Remembered::new().map(|memory| Login { directory, verifier, remembered: RefCell::new(memory) })
        });
        let cells = wiring.cells[wiring.index].clone();
        let socks5 = &wiring.config.socks5;
        Ok(Rc::new(Core {
            sessions: Sessions::new(socks5.timeouts.clone()),
            questions: Questions::default(),
            login: login.transpose()?,
            pipes: PipePool::new(wiring.pipes_max, socks5.relay.pipe_bytes, cells.clone()),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice()),
            draining: Cell::new(false),
            cells,
            wiring,
        }))
    }

    /// Where the answer to a question of this core goes.
    #[must_use]
    pub fn return_address(&self, question: &Question) -> ReturnAddress {
        ReturnAddress { outbox: self.wiring.outboxes[self.wiring.index].clone(), ticket: question.ticket() }
    }

    /// Whether this core may serve the client it has just counted.
    #[must_use]
    pub fn has_room_for_client(&self) -> bool {
        let connections: u64 = self.wiring.cells.iter().map(|cells| cells.clients_now.get()).sum();
        connections <= self.wiring.connections_max && self.has_room_for_socket()
    }

    /// Whether the descriptor budget has room for the sockets counted now.
    #[must_use]
    pub fn has_room_for_socket(&self) -> bool {
        let open = |cells: &Arc<Cells>| cells.clients_now.get() + cells.targets_now.get();
        self.wiring.cells.iter().map(open).sum::<u64>() <= self.wiring.sockets_max
    }

    /// Gives a session the socket it dials or relays to, or takes it away, and keeps count.
    pub fn set_target(&self, session: &Session, target: Option<Rc<Ready>>) {
        let now = target.is_some();
        match (session.set_target(target), now) {
            (false, true) => self.cells.targets_now.add(1),
            (true, false) => self.cells.targets_now.sub(1),
            _ => {}
        }
    }

    /// Rings this core's own bell, so that its main loop looks at the inbox and at the drain.
    pub fn ring_bell(&self) {
        self.wiring.outboxes[self.wiring.index].ring();
    }
}
