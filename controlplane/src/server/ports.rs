//! The control port's listeners: those of the start, and those that a reload opens and closes.

use super::{State, bind, serve};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

/// How long control requests in flight may take to be answered at the end.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// All control listeners.
#[derive(Default)]
pub struct Ports {
    open: RefCell<Vec<Port>>,
    /// Who answers there; `None`: nobody yet, or nobody any more.
    state: RefCell<Option<Rc<State>>>,
}

/// One listener.
struct Port {
    /// As the configuration has it: its port may be 0.
    wanted: SocketAddr,
    /// Its port resolved.
    address: SocketAddr,
    /// Another descriptor of it, for a process after this one.
    copy: OwnedFd,
    stop: watch::Sender<bool>,
    /// `None`: it is served.
    held: Option<TcpListener>,
    served: Option<JoinHandle<()>>,
}

/// What a reload makes of them. Dropped, it closes what it has opened.
pub struct Change {
    wanted: Vec<SocketAddr>,
    added: Vec<Port>,
}

impl Ports {
    /// Those of the start. Who connects waits until [`Ports::serve`].
    ///
    /// # Errors
    /// For the operator: no descriptor is left.
    pub fn hold(wanted: &[SocketAddr], listeners: Vec<TcpListener>) -> Result<Ports, String> {
        let ports = wanted.iter().zip(listeners).map(|(wanted, listener)| Port::new(*wanted, listener));
        Ok(Ports { open: RefCell::new(ports.collect::<Result<_, _>>()?), state: RefCell::default() })
    }

    /// Begins to answer.
    pub fn serve(&self, state: &Rc<State>) {
        self.state.replace(Some(state.clone()));
        for port in self.open.borrow_mut().iter_mut() {
            port.serve(state);
        }
    }

    /// Where they are, ports resolved.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.open.borrow().iter().map(|port| port.address).collect()
    }

    /// Copies of the listeners there are now.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn copies(&self) -> io::Result<Vec<OwnedFd>> {
        self.open.borrow().iter().map(|port| port.copy.try_clone()).collect()
    }

    /// Opens what is wanted and not there yet; nobody is answered there before the commit.
    ///
    /// # Errors
    /// For the operator: names the key, the address and the remedy.
    pub fn prepare(&self, wanted: &[SocketAddr]) -> Result<Change, String> {
        let open = self.open.borrow();
        let missing: Vec<_> =
            wanted.iter().filter(|address| !open.iter().any(|port| port.is(**address))).copied().collect();
        let added = missing.iter().map(|address| {
            let listener = bind(&[*address]).map_err(|why| match in_the_way(&open, *address) {
                Some(own) => format!(
                    "control.listen {address}: ringway itself listens on {own}, which is in the way: remove that with one \
                     reload and add this with the next"
                ),
                None => why,
            })?;
            listener.into_iter().map(|listener| Port::new(*address, listener)).collect::<Result<Vec<_>, _>>()
        });
        let added = added.collect::<Result<Vec<_>, String>>()?.into_iter().flatten().collect();
        Ok(Change { wanted: wanted.to_vec(), added })
    }

    /// Where they will be once this is committed.
    #[must_use]
    pub fn addresses_after(&self, change: &Change) -> Vec<SocketAddr> {
        let open = self.open.borrow();
        let kept = open.iter().filter(|port| change.wants(port));
        kept.chain(&change.added).map(|port| port.address).collect()
    }

    /// Answers at the new ones and closes those no longer wanted, once their requests in flight are answered. What has
    /// been opened, and what closed.
    pub fn commit(&self, change: Change) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let mut open = self.open.borrow_mut();
        let closed = open.extract_if(.., |port| !change.wants(port)).map(|port| {
            let _ = port.stop.send(true);
            port.address
        });
        let closed = closed.collect();
        let opened = change.added.iter().map(|port| port.address).collect();
        for mut port in change.added {
            if let Some(state) = &*self.state.borrow() {
                port.serve(state);
            }
            open.push(port);
        }
        (opened, closed)
    }

    /// Accepts nobody any more, and waits until who was accepted is answered.
    pub async fn close(&self) {
        self.state.take();
        let ports = self.open.take();
        ports.iter().for_each(|port| {
            let _ = port.stop.send(true);
        });
        let answered = async {
            for port in ports {
                if let Some(served) = port.served {
                    let _ = served.await;
                }
            }
        };
        let _ = timeout(ANSWER_PATIENCE, answered).await;
    }
}

impl Port {
    fn new(wanted: SocketAddr, listener: TcpListener) -> Result<Port, String> {
        let copy = listener.as_fd().try_clone_to_owned();
        let copy =
            copy.map_err(|error| format!("cannot copy a control listener: {error}; raise `ulimit -n`"))?;
        let address = listener.local_addr().unwrap_or(wanted);
        let stop = watch::channel(false).0;
        Ok(Port { wanted, address, copy, stop, held: Some(listener), served: None })
    }

    fn serve(&mut self, state: &Rc<State>) {
        if let Some(listener) = self.held.take() {
            self.served = Some(spawn_local(serve(listener, state.clone(), self.stop.subscribe())));
        }
    }

    fn is(&self, address: SocketAddr) -> bool {
        address == self.wanted || address == self.address
    }
}

impl Change {
    fn wants(&self, port: &Port) -> bool {
        self.wanted.iter().any(|address| port.is(*address))
    }
}

/// The listener of ours that keeps an address from being bound.
fn in_the_way(open: &[Port], address: SocketAddr) -> Option<SocketAddr> {
    let any = |one: SocketAddr| one.ip().is_unspecified() || address.ip().is_unspecified();
    let overlaps = |one: SocketAddr| {
        one.port() == address.port() && one.is_ipv4() == address.is_ipv4() && any(one)
    };
    open.iter().map(|port| port.address).find(|own| overlaps(*own))
}
