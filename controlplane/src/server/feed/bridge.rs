//! Between a client whose bytes are not the worker's to read (TLS, which this thread speaks) and a socket pair, whose other end the worker has.

use crate::server::UNREAD_ANSWER_MAX;
use crate::server::patient::Patient;
use crate::server::state::Seats;
use ringway_shared::feed::Grant;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::UnixStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// Once one side has said its last, how long the other has for its own.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// Both ends that are here.
pub struct Bridge {
    client: Box<dyn Stream>,
    worker: UnixStream,
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Bridge {
    /// A bridge from `client`, and its other end.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub fn from(client: impl AsyncRead + AsyncWrite + Unpin + 'static) -> io::Result<(OwnedFd, Bridge)> {
        let (worker, other) = UnixStream::pair()?;
        let client = Box::new(Patient::new(client, UNREAD_ANSWER_MAX));
        Ok((other.into_std()?.into(), Bridge { client, worker }))
    }

    /// Carries on until both sides have ended, or one has and the other does not follow. A direction holds 8 KiB; whoever does
    /// not read stops the other side. Idle sides are the worker's business: it has a heartbeat.
    ///
    /// As long as it is there it holds `grant`, and so its client's place among `control.feed.clients_max`.
    pub fn carry(self, grant: Arc<Grant>, seats: &Rc<Seats>) {
        // Without a limit of its own, there is always one.
        let Some(seat) = seats.take(usize::MAX) else { return };
        let Bridge { client, worker } = self;
        spawn_local(async move {
            let (mut from_client, mut to_client) = split(client);
            let (mut from_worker, mut to_worker) = split(worker);
            let mut up = pin!(async {
                let _ = copy(&mut from_client, &mut to_worker).await;
                let _ = to_worker.shutdown().await;
            });
            let mut down = pin!(async {
                let _ = copy(&mut from_worker, &mut to_client).await;
                let _ = to_client.shutdown().await;
            });
            tokio::select! {
                () = &mut up => drop(timeout(LAST_WORDS_MAX, down).await),
                () = &mut down => drop(timeout(LAST_WORDS_MAX, up).await),
            }
            drop((seat, grant));
        });
    }
}
