//! How a connection leaves: from hyper, which has read a request and perhaps more, to a worker, which reads on.

use super::bridge::Bridge;
use super::{Entry, RETRY_AFTER, workers_by_load};
use crate::server::answer::Answer;
use crate::server::record::Record;
use crate::server::state::State;
use ringway_dataplane::Arrival;
use rustix::net::{SendFlags, send};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// What the control port's connections are carried by.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Sized + 'static {
    /// The socket that a worker goes on with, and what is to be carried on between it and the client, if it is not the client's own.
    ///
    /// # Errors
    /// Descriptors ran out.
    fn detach(self) -> io::Result<(OwnedFd, Option<Bridge>)>;
}

impl Wire for TcpStream {
    fn detach(self) -> io::Result<(OwnedFd, Option<Bridge>)> {
        // The control port's patience is not the gateway's, which has a heartbeat.
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&self, 0);
        Ok((self.into_std()?.into(), None))
    }
}

impl Wire for UnixStream {
    fn detach(self) -> io::Result<(OwnedFd, Option<Bridge>)> {
        Ok((self.into_std()?.into(), None))
    }
}

/// Where a connection's request says that the connection leaves.
#[derive(Default)]
pub struct Exit(RefCell<Option<Leaving>>);

/// A connection on its way out, and what will be told of its last request.
pub struct Leaving {
    pub entry: Entry,
    pub record: Record,
}

impl Exit {
    pub fn leave(&self, leaving: Leaving) {
        *self.0.borrow_mut() = Some(leaving);
    }

    pub fn take(&self) -> Option<Leaving> {
        self.0.borrow_mut().take()
    }

    /// Serves `connection` until it ends, or leaves.
    pub async fn or_end_of<E>(&self, connection: &mut (impl Future<Output = Result<(), E>> + Unpin)) {
        poll_fn(|context| {
            let ended = Pin::new(&mut *connection).poll(context).is_ready();
            if ended || self.0.borrow().is_some() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Leaving {
    /// Gives the connection to a worker. `behind`: what has been read after the request. Its last request is told of here.
    pub fn go(self, stream: impl Wire, behind: &[u8], state: &Rc<State>) {
        let Leaving { entry: Entry { mut head, peer, by, came, grant }, mut record } = self;
        let Ok((socket, bridge)) = stream.detach() else { return };
        head.extend_from_slice(behind);
        let mut arrival = Arrival { socket, peer, head, grant: grant.clone() };
        if let Some(bridge) = bridge {
            bridge.carry(grant.clone(), &state.bridges);
        }
        for worker in workers_by_load(state) {
            match (state.staff.welcome)(worker, arrival) {
                Ok(()) => {
                    state.readers.note(worker, by, came, &grant);
                    return record.answered(&mut Answer::switching());
                }
                Err(refused) => arrival = refused,
            }
        }
        let hint = "try again a little later; GET /livez says how the workers are";
        let mut answer =
            Answer::error(503, "no worker can take a connection now", hint).with("retry-after", RETRY_AFTER);
        // A fresh socket has room for so little; whoever cannot be told sees it end.
        let _ = send(&arrival.socket, answer.last().as_bytes(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        record.answered(&mut answer);
    }
}
