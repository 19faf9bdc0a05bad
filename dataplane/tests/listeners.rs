//! What each listener counts, beside what its worker does.
#![allow(clippy::unwrap_used)]

mod proxy;

use proxy::{Proxy, until};
use ringway_dataplane::Arrival;
use ringway_shared::feed::Grant;
use ringway_shared::listener::{Door, ListenerCells};
use ringway_shared::metrics::{Cell, Cells};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

const HEAD: &str = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Of all listeners.
fn counted(proxy: &Proxy, of: fn(&ListenerCells) -> u64) -> u64 {
    proxy.workers.entrances().iter().map(|one| one.sum(of)).sum()
}

/// Of all workers.
fn served(proxy: &Proxy, of: fn(&Cells) -> u64) -> u64 {
    proxy.cells.iter().map(|cells| of(cells)).sum()
}

#[test]
fn who_came_in_by_the_control_port_came_in_by_no_listener() {
    let proxy = Proxy::start(|config| config.websocket.listen = vec!["127.0.0.1:0".parse().unwrap()]);
    let (client, given) = UnixStream::pair().unwrap();
    given.set_nonblocking(true).unwrap();
    let grant = Arc::new(Grant::new("ops".into()));
    let peer = "127.0.0.1:40000".parse().unwrap();
    let arrival = Arrival { socket: given.into(), peer, head: HEAD.into(), grant };
    assert!(proxy.workers.welcome(0, arrival).is_ok());
    until(|| (served(&proxy, |cells| cells.websocket.sent_bytes.get()) > 0).then_some(()));
    drop(client);
    let gone = |cells: &Cells| cells.websocket.closed.iter().map(Cell::get).sum();
    until(|| (served(&proxy, gone) == 1).then_some(()));
    assert_eq!(counted(&proxy, |cells| cells.opened.get()), 0);
    assert_eq!(counted(&proxy, |cells| cells.closed.get()), 0);
    assert_eq!(counted(&proxy, |cells| cells.sent_bytes.get()), 0);
    // By a listener the same does count.
    let mut client = TcpStream::connect(proxy.workers.websocket_addresses()[0]).unwrap();
    client.write_all(HEAD.as_bytes()).unwrap();
    until(|| (counted(&proxy, |cells| cells.sent_bytes.get()) > 0).then_some(()));
    assert_eq!(counted(&proxy, |cells| cells.opened.get()), 1);
}

#[test]
fn a_listener_is_known_by_its_service_and_where_it_is_bound() {
    let any = || vec!["127.0.0.1:0".parse().unwrap()];
    let proxy = Proxy::start(|config| (config.socks5.listen, config.websocket.listen) = (any(), any()));
    let known: Vec<_> = proxy.workers.entrances().iter().map(|one| (one.door, one.address)).collect();
    let (socks5, websocket) = (proxy.workers.socks5_addresses()[0], proxy.workers.websocket_addresses()[0]);
    assert_eq!(known, [(Door::Socks5, socks5), (Door::WebSocket, websocket)]);
}

/// A preparation that is never committed leaves no listener behind.
#[test]
fn what_is_only_prepared_is_not_listed() {
    let proxy = Proxy::start(|_| {});
    let before = proxy.workers.entrances().len();
    let more = proxy::config(1, |config| config.socks5.listen.push("127.0.0.1:0".parse().unwrap()));
    drop(proxy.prepare(more).unwrap());
    assert_eq!(proxy.workers.entrances().len(), before);
}
