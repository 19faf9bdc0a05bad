//! The control port: HTTP/1.1 over hyper, on the control thread alone.
//!
//! This page holds accepting, and the life of one connection with its limits. In reading
//! order below it: `ports` (the listeners: TCP, TLS, Unix), `route` (what one is), `routes` (all of them, and what happens to a request), `guard` (who may), `record` (what is told of it), `answer` (what goes back), `state`
//! (what all requests share), `feed` (connections that workers go on with), then the pages themselves: `health`, `stats`, `pages`, `drill`, `debug`, `dashboard` (what browsers get), `openapi` with `schemas` (all of it told to programs), `reload`,
//! and `push`, the publish API. Must not be here: anything that blocks. A page is a plain function over [`State`]; the publish API waits
//! for workers as a task does.

mod alerts;
mod answer;
mod asked;
mod bundle;
mod connections;
mod dashboard;
mod debug;
mod drain;
mod drill;
mod feed;
mod guard;
mod health;
mod history;
mod inspecting;
mod memory;
mod openapi;
mod pages;
mod patient;
mod ports;
mod push;
mod record;
mod reload;
mod route;
mod routes;
mod schemas;
mod smoke;
mod state;
mod stats;
#[cfg(test)]
mod tests;
pub mod top;
mod upgrade;

pub use health::{condition, sick_workers, verdict};
pub use ports::{Addresses, Ports, Prepared};
pub use push::Desk;
pub use route::{Parameter, Route};
pub use routes::all as routes;
pub use schemas::named as schema;
use state::Seat;
pub use state::{Facts, Meter, Staff, State};
pub use stats::figures;

use crate::guard::{Failure, Peer, is_own};
use feed::{Exit, Wire};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use patient::Patient;
use ports::tls::{Failed, Tls};
use ports::{Accepted, Listener};
use rustix::net::sockopt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

/// From a connection's start, or the end of its last answer, to the end of the next request's header. It bounds
/// a slow header and an idle kept-alive connection alike.
const HEADER_READ_MAX: Duration = Duration::from_secs(5);
/// Request line and header lines together; longer ones are answered 431.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// How long a client may leave sent bytes unacknowledged, or its window shut, before the kernel ends it; and how long a write
/// may wait for it, on any listener.
const UNREAD_ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a connection whose time is up may take to end: any request under way is answered by then, and its answer read.
const ENDING_MAX: Duration = routes::REQUEST_MAX.saturating_add(UNREAD_ANSWER_MAX);
/// A connection that was accepted just before the end may still say what it came for.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(1);
/// After so long a connection ends with the answer it is at: what was believed of who sent it is looked at anew.
const CONNECTION_MAX: Duration = Duration::from_secs(600);
/// How long the listener rests after accept(2) failed, e.g. because descriptors ran out.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Refused connections that are told so at once; further ones are just closed.
const REFUSALS_MAX: usize = 16;
/// How long a refused client may take to read why.
const REFUSAL_MAX: Duration = Duration::from_secs(1);

/// Serves one listener until `stop` turns true (or its sender is gone). Must run within a `LocalSet`.
async fn serve(listener: Rc<Listener>, tls: Rc<Tls>, state: Rc<State>, stop: watch::Receiver<bool>) {
    let refusals = Rc::new(());
    loop {
        let accepted = match first_of(pin!(stopped(stop.clone())), pin!(listener.accept())).await {
            First::Left(()) => break,
            First::Right(accepted) => accepted,
        };
        let Ok(accepted) = accepted else {
            sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        match (seat(&state, &accepted), accepted) {
            (Some(seat), accepted) => {
                let connection = attend(accepted, tls.clone(), state.clone(), stop.clone());
                spawn_local(async move {
                    connection.await;
                    drop(seat);
                });
            }
            (None, Accepted::Http(stream, _)) if Rc::strong_count(&refusals) <= REFUSALS_MAX => {
                let counted = refusals.clone();
                spawn_local(async move {
                    let _ = timeout(REFUSAL_MAX, refuse(stream)).await;
                    drop(counted);
                });
            }
            (None, _) => {}
        }
    }
}

/// A place for it, if there is one. Whoever may use the Unix socket gets in when strangers take all other seats.
fn seat(state: &State, accepted: &Accepted) -> Option<Seat> {
    let most = state.running.config().control.connections_max;
    match accepted {
        Accepted::Unix(stream) => {
            let uid = stream.peer_cred().ok().map(|owner| owner.uid());
            state.unix_seats.take(unix_seats(most, uid))
        }
        _ => state.seats.take(most),
    }
}

/// How many of the Unix socket's seats may be taken for this user to get one: others leave half of them to root and to
/// ringway's own user.
fn unix_seats(most: usize, uid: Option<u32>) -> usize {
    if uid.is_some_and(is_own) { most } else { most.div_ceil(2) }
}

/// From accept to HTTP: who is at the other end.
async fn attend(accepted: Accepted, tls: Rc<Tls>, state: Rc<State>, stop: watch::Receiver<bool>) {
    match accepted {
        Accepted::Http(stream, address) => {
            tune(&stream);
            let near = is_near(&stream);
            converse(stream, Peer::Tcp { address, near }, state, stop).await;
        }
        Accepted::Https(stream, address) => {
            tune(&stream);
            match tls.shake_hands(stream, address).await {
                Ok((stream, peer)) => converse(stream, peer, state, stop).await,
                Err(Failed::Certificate) => (state.meter.refuse)(Failure::ClientCertificate),
                Err(Failed::Otherwise) => {}
            }
        }
        Accepted::Unix(stream) => {
            // Without knowing whose it is there is nothing to say.
            let Ok(owner) = stream.peer_cred() else { return };
            let peer = Peer::Unix { uid: owner.uid(), pid: owner.pid() };
            converse(stream, peer, state, stop).await;
        }
    }
}

/// Whether whoever reached this is on this host.
fn is_near(stream: &TcpStream) -> bool {
    stream.local_addr().is_ok_and(|own| own.ip().to_canonical().is_loopback())
}

fn tune(stream: &TcpStream) {
    // Neither can fail on a socket just accepted, and without them it is only slower.
    let _ = stream.set_nodelay(true);
    let _ = sockopt::set_tcp_user_timeout(stream, UNREAD_ANSWER_MAX.as_millis() as u32);
}

/// Request after request, until the client goes, breaks a limit, or the time is up.
async fn converse<S: Wire>(stream: S, peer: Peer, state: Rc<State>, stop: watch::Receiver<bool>) {
    let exit = Rc::<Exit>::default();
    let (served, leaving) = (state.clone(), exit.clone());
    let asked = Rc::<Notify>::default();
    let asks = asked.clone();
    // Boxed, so that the connection can be moved, and taken apart.
    let service = service_fn(move |request| {
        asks.notify_one();
        Box::pin(routes::answer(served.clone(), peer.clone(), request, leaving.clone()))
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_READ_MAX).max_buf_size(HEADER_BYTES_MAX);
    let stream = TokioIo::new(Patient::new(stream, UNREAD_ANSWER_MAX));
    let mut connection = http.serve_connection(stream, service);
    let over = timeout(CONNECTION_MAX, stopped(stop));
    // What went wrong with a connection is its client's affair: hyper has answered 400 or 431, or closed.
    let first = first_of(pin!(over), pin!(exit.or_end_of(&mut connection))).await;
    if let First::Left(_) = first {
        // hyper would close a connection that has not been heard of yet, though its first request is on the way.
        let heard = async { first_of(pin!(asked.notified()), pin!(exit.or_end_of(&mut connection))).await };
        if !matches!(timeout(FIRST_REQUEST_MAX, heard).await, Ok(First::Right(_))) {
            Pin::new(&mut connection).graceful_shutdown();
            let _ = timeout(ENDING_MAX, exit.or_end_of(&mut connection)).await;
        }
    }
    if let Some(leaving) = exit.take() {
        let parts = connection.into_parts();
        if let Some(stream) = parts.io.into_inner().into_inner() {
            leaving.go(stream, &parts.read_buf, &state);
        }
    }
}

/// Says 503 without reading a request, then waits for the client to close, lest a reset overtake the answer.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let text = answer::too_many_connections().last();
    stream.writable().await?;
    stream.try_write(text.as_bytes())?;
    poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context)).await?;
    let mut rest = [0; 1024];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut rest) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: nobody could say it any more.
    let _ = stop.wait_for(|stop| *stop).await;
}

enum First<A, B> {
    Left(A),
    Right(B),
}

/// Waits for whichever of two comes first; the left one if both are there.
async fn first_of<A, B>(
    mut left: Pin<&mut impl Future<Output = A>>,
    mut right: Pin<&mut impl Future<Output = B>>,
) -> First<A, B> {
    poll_fn(|context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}
