//! The listeners of the control port: opened at the start, and opened and closed while running.
//!
//! A change is prepared first, which may fail and changes nothing; committing it cannot fail. Listeners that stay keep
//! their sockets. `sockets` binds them, `tls` holds what HTTPS is spoken with.

mod sockets;
pub(super) mod tls;

use super::serve;
use super::state::State;
use ringway_shared::config::{Certificate, Control};
use rustix::io::Errno;
pub(super) use sockets::{Accepted, Listener};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tls::Tls;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};

/// Where a listener is, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Http(SocketAddr),
    Https(SocketAddr),
    Unix { path: PathBuf, mode: u32 },
}

impl Place {
    /// The key that names it.
    fn key(&self) -> &'static str {
        match self {
            Place::Http(_) => "control.listen",
            Place::Https(_) => "control.tls.listen",
            Place::Unix { .. } => "control.unix",
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Place::Http(address) | Place::Https(address) => Some(*address),
            Place::Unix { .. } => None,
        }
    }

    /// Whether the same socket can serve both, under another protocol or with other permissions.
    fn shares_socket_with(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Unix { path, .. }, Place::Unix { path: other, .. }) => path == other,
            // Port 0 is another one each time.
            _ => self.address().is_some_and(|own| own.port() != 0 && other.address() == Some(own)),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Http(address) | Place::Https(address) => address.fmt(f),
            Place::Unix { path, .. } => path.display().fmt(f),
        }
    }
}

/// Where the control port can be reached: real ports, also where any would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub http: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    pub unix: Option<PathBuf>,
}

impl Addresses {
    fn of<'a>(listeners: impl Iterator<Item = &'a Listener>) -> Addresses {
        let mut addresses = Addresses::default();
        for listener in listeners {
            match (listener.place(), listener.local_addr()) {
                (Place::Http(_), Some(address)) => addresses.http.push(address),
                (Place::Https(_), Some(address)) => addresses.https.push(address),
                (Place::Unix { path, .. }, _) => addresses.unix = Some(path.clone()),
                (_, None) => {}
            }
        }
        addresses
    }

    /// All, by the keys that name them.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, String)> {
        let named = |key, addresses: &[SocketAddr]| {
            addresses.iter().map(|address| (key, address.to_string())).collect::<Vec<_>>()
        };
        let mut all = named("control.listen", &self.http);
        all.extend(named("control.tls.listen", &self.https));
        all.extend(self.unix.iter().map(|path| ("control.unix", path.display().to_string())));
        all
    }

    /// All that are reached by TCP.
    #[must_use]
    pub fn tcp(&self) -> Vec<SocketAddr> {
        [&self.http[..], &self.https].concat()
    }
}

/// Listeners that are bound, and wait to be served; dropped, they are closed again.
pub struct Prepared {
    added: Vec<Listener>,
    /// Those open now that are no longer wanted.
    closing: Vec<u64>,
    tls: Option<tls::Acceptor>,
    /// Files of inherited sockets that are not wanted any more.
    left: Vec<PathBuf>,
}

impl Prepared {
    /// Binds all listeners of a fresh process, but for those among the `inherited` sockets, which it takes out. Must be called within the
    /// runtime that will serve them. The error is for the operator: it names the key, the address and the remedy.
    pub fn open(control: &Control, inherited: &mut Vec<OwnedFd>) -> Result<Prepared, String> {
        let tls = tls::Acceptor::new(&control.tls)?;
        let open =
            |place: Place| Listener::open(place.clone(), inherited).map_err(|error| explain(&place, &error));
        let added = places(control).into_iter().map(open).collect::<Result<_, _>>()?;
        Ok(Prepared { added, closing: Vec::new(), tls, left: sockets::paths_of(inherited) })
    }

    /// Where these will be reached: those that were added.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        Addresses::of(self.added.iter())
    }
}

/// The control port's listeners while they are served.
pub struct Ports {
    state: Rc<State>,
    /// What is to be served, until it is.
    waiting: RefCell<Option<Prepared>>,
    open: RefCell<Vec<Open>>,
    tls: Rc<Tls>,
    next: Cell<u64>,
}

/// One of them.
struct Open {
    number: u64,
    listener: Rc<Listener>,
    /// True ends it. Its connections finish the requests under way.
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Ports {
    /// What was prepared for a fresh process. Nobody is served until [`Ports::open`].
    #[must_use]
    pub fn of(state: Rc<State>, prepared: Prepared) -> Ports {
        Ports {
            state,
            waiting: RefCell::new(Some(prepared)),
            open: RefCell::default(),
            tls: Rc::default(),
            next: Cell::new(0),
        }
    }

    /// Begins to serve, when the process before does no more. Must run within a `LocalSet`.
    pub fn open(&self) {
        if let Some(prepared) = self.waiting.take() {
            for path in &prepared.left {
                // Nobody will listen there: the one who made it leaves that to us. Somebody who does still is let alone.
                let _ = sockets::clear(path);
            }
            self.commit(prepared);
        }
    }

    /// Binds what `control` wants and is not there yet, and makes ready what its TLS needs. Nothing changes until [`Ports::commit`].
    pub fn prepare(&self, control: &Control) -> Result<Prepared, String> {
        let tls = tls::Acceptor::new(&control.tls)?;
        let open = self.open.borrow();
        let mut unwanted: Vec<&Open> = open.iter().collect();
        let mut added = Vec::new();
        for place in places(control) {
            if let Some(kept) = unwanted.iter().position(|open| *open.listener.place() == place) {
                unwanted.remove(kept);
                continue;
            }
            // The same socket in another role cannot be bound twice.
            let shared = open.iter().find(|open| open.listener.place().shares_socket_with(&place));
            let bound = match shared {
                Some(open) => open.listener.share(place.clone()),
                None => Listener::open(place.clone(), &mut Vec::new()),
            };
            added.push(bound.map_err(|error| self.explain(&place, &error))?);
        }
        let closing = unwanted.iter().map(|open| open.number).collect();
        Ok(Prepared { added, closing, tls, left: Vec::new() })
    }

    /// Serves what was prepared and closes what is no longer wanted. Connections of those finish the request they are at.
    pub fn commit(&self, prepared: Prepared) {
        let Prepared { added, closing, tls, .. } = prepared;
        self.tls.replace(tls);
        for listener in added {
            listener.set_permissions();
            let (stop, stopped) = watch::channel(false);
            let listener = Rc::new(listener);
            let serving = serve(listener.clone(), self.tls.clone(), self.state.clone(), stopped);
            let number = self.next.get();
            self.next.set(number + 1);
            self.open.borrow_mut().push(Open { number, listener, stop, task: spawn_local(serving) });
        }
        let is_closing = |one: &Open| closing.contains(&one.number);
        let (gone, stay): (Vec<_>, Vec<_>) = self.open.take().into_iter().partition(is_closing);
        for one in &gone {
            // Whoever it was inherited from will not come back to a path that is not wanted.
            if !stay.iter().any(|other| other.listener.has_file_of(&one.listener)) {
                one.listener.leave_file(false);
            }
            let _ = one.stop.send(true);
        }
        self.open.replace(stay);
    }

    /// Where the control port is reached now.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        match &*self.waiting.borrow() {
            Some(prepared) => prepared.addresses(),
            None => Addresses::of(self.open.borrow().iter().map(|open| &*open.listener)),
        }
    }

    /// Where it will be reached once this is committed.
    #[must_use]
    pub fn addresses_after(&self, prepared: &Prepared) -> Addresses {
        let open = self.open.borrow();
        let kept = open.iter().filter(|open| !prepared.closing.contains(&open.number));
        Addresses::of(kept.map(|open| &*open.listener).chain(&prepared.added))
    }

    /// Copies of all listening sockets, for a successor. Errors: descriptors ran out.
    pub fn listeners(&self) -> io::Result<Vec<OwnedFd>> {
        match &*self.waiting.borrow() {
            Some(prepared) => prepared.added.iter().map(Listener::duplicate).collect(),
            None => self.open.borrow().iter().map(|open| open.listener.duplicate()).collect(),
        }
    }

    /// Whether the Unix sockets' files stay when this process ends: a successor listens on it. So it is with one that was
    /// inherited, until it is said that its predecessor is gone.
    pub fn leave_files(&self, leave: bool) {
        if let Some(prepared) = &*self.waiting.borrow() {
            prepared.added.iter().for_each(|one| one.leave_file(leave));
        }
        self.open.borrow().iter().for_each(|one| one.listener.leave_file(leave));
    }

    /// From the next connection on clients are shown these.
    pub fn renew_certificates(&self, certificates: &[Arc<Certificate>]) {
        self.tls.renew(certificates);
    }

    /// Closes all listeners; returns when the requests under way are answered.
    pub async fn stop(&self) {
        let open = std::mem::take(&mut *self.open.borrow_mut());
        for one in &open {
            let _ = one.stop.send(true);
        }
        for Open { listener, task, .. } in open {
            drop(listener);
            let _ = task.await;
        }
        self.state.seats.all_free().await;
        self.state.unix_seats.all_free().await;
        self.state.bridges.all_free().await;
    }

    /// [`explain`], where ringway itself may be in the way.
    fn explain(&self, place: &Place, error: &io::Error) -> String {
        let own = |open: &Open| {
            open.listener.local_addr().map(|own| own.port()) == place.address().map(|it| it.port())
        };
        let taken = Errno::from_io_error(error) == Some(Errno::ADDRINUSE);
        if taken && place.address().is_some() && self.open.borrow().iter().any(own) {
            return format!(
                "{} {place}: {error}: ringway listens on that port with another address: take that one away first, by a reload of its own",
                place.key()
            );
        }
        explain(place, error)
    }
}

/// What the configuration wants.
fn places(control: &Control) -> Vec<Place> {
    let http = control.listen.iter().copied().map(Place::Http);
    let https = control.tls.tls.listen.iter().copied().map(Place::Https);
    let unix = control.unix.iter().map(|unix| Place::Unix { path: unix.path.clone(), mode: unix.mode });
    http.chain(https).chain(unix).collect()
}

/// For the operator: names the key, the address and the remedy.
fn explain(place: &Place, error: &io::Error) -> String {
    let remedy = match (Errno::from_io_error(error), place) {
        (Some(Errno::ADDRINUSE), Place::Unix { .. }) => {
            "another process answers there (another ringway?), or it is no socket: choose another path"
        }
        (Some(Errno::ADDRINUSE), _) => {
            "another process listens there: stop it (`ss -ltnp` names it) or choose another port"
        }
        (Some(Errno::ADDRNOTAVAIL), _) => "no interface of this host has that address",
        (Some(Errno::ACCESS | Errno::PERM | Errno::ROFS), Place::Unix { .. }) => {
            "ringway's user may not write to that folder"
        }
        (Some(Errno::ACCESS), _) => "ports below 1024 need CAP_NET_BIND_SERVICE",
        (Some(Errno::NOENT), _) => "there is no such folder: make it, or choose another path",
        (Some(Errno::MFILE | Errno::NFILE), _) => "raise `ulimit -n`",
        (_, Place::Unix { .. }) => "choose another path, of at most 107 bytes",
        _ => "check the address",
    };
    format!("{} {place}: {error}: {remedy}", place.key())
}
