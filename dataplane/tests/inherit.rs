//! Listening sockets that go from one process to the next. Here both are in one: two data planes with copies of the same sockets.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod proxy;

use proxy::{PATIENCE, Proxy, answer, request, until};
use ringway_dataplane::WorkerState;
use ringway_shared::command::{Command, Drill};
use ringway_shared::config::{Config, DriverChoice};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn at(address: SocketAddr) -> impl FnOnce(&mut Config) {
    move |config| config.socks5.listen = vec![address]
}

/// A data plane that was handed these sockets.
fn heir(workers: usize, alter: impl FnOnce(&mut Config), sockets: Vec<OwnedFd>) -> Proxy {
    Proxy::start_as(workers, alter, |plan| plan.inherited = sockets).unwrap()
}

fn sockets_of(proxy: &Proxy) -> Vec<OwnedFd> {
    proxy.workers.listeners().unwrap().into_iter().map(|(_, _, socket)| socket).collect()
}

fn tell_all(proxy: &Proxy, command: Command) {
    assert!((0..proxy.cells.len()).all(|worker| proxy.workers.tell(worker, command)));
}

fn has_ended(proxy: &Proxy) -> bool {
    (0..proxy.cells.len()).all(|worker| matches!(proxy.workers.state(worker), WorkerState::Ended { .. }))
}

fn opened(proxy: &Proxy) -> u64 {
    proxy.cells.iter().map(|cells| cells.opened.get()).sum()
}

/// Connects and greets; the answer may take until somebody serves.
fn greeting(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[5, 1, 0]).unwrap();
    stream
}

fn assert_served(mut stream: TcpStream) {
    let mut said = [0; 2];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(said, [5, 0]);
}

fn refuses_at(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn nobody_comes_to_a_successor_before_all_of_it_stands() {
    let old = Proxy::start(|_| {});
    let shared = old.workers.socks5_addresses()[0];
    let add = |config: &mut Config| config.socks5.listen = vec![shared, "127.0.0.1:0".parse().unwrap()];
    let new = Proxy::unopened(4, add, |plan| plan.inherited = sockets_of(&old)).unwrap();
    let added = new.workers.socks5_addresses()[1];
    assert!(refuses_at(added));
    for _ in 0..64 {
        assert_served(greeting(shared));
    }
    assert_eq!((opened(&old), opened(&new)), (64, 0));
    new.workers.open().unwrap();
    assert_served(greeting(added));
}

#[test]
fn a_successor_takes_over_without_a_single_refusal() {
    for (before, after) in [(2, 2), (1, 3), (3, 1)] {
        let old = Proxy::try_start(before, |_| {}).unwrap();
        let address = old.workers.socks5_addresses()[0];
        let over = AtomicBool::new(false);
        let count = std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut count = 0u64;
                while !over.load(Relaxed) {
                    assert_served(greeting(address));
                    count += 1;
                }
                count
            });
            until(|| (opened(&old) > 50).then_some(()));
            let new = heir(after, at(address), sockets_of(&old));
            assert_eq!(new.workers.socks5_addresses(), [address]);
            tell_all(&old, Command::Retire);
            until(|| has_ended(&old).then_some(()));
            let from = opened(&new);
            until(|| (opened(&new) > from + 100).then_some(()));
            over.store(true, Relaxed);
            let count = load.join().unwrap();
            assert_eq!(opened(&old) + opened(&new), count, "from {before} workers to {after}");
            count
        });
        assert!(count > 150);
    }
}

/// What the retired one has accepted it serves to the end, be it in its handshake yet; what waits in the queue it does not touch.
#[test]
fn whoever_comes_after_the_old_one_has_retired_is_the_successors() {
    let old = Proxy::start(|_| {});
    let address = old.workers.socks5_addresses()[0];
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut open = old.client(None);
    open.write_all(&request(1, "127.0.0.1", target.local_addr().unwrap().port())).unwrap();
    let mut open = answer(open).stream;
    let (mut far, _) = target.accept().unwrap();
    let mut late = TcpStream::connect(address).unwrap();
    until(|| (opened(&old) == 2).then_some(()));
    let sockets = sockets_of(&old);
    tell_all(&old, Command::Retire);
    // What is read after it has been obeyed.
    tell_all(&old, Command::Drill(Drill::Panic { tasks: 1 }));
    until(|| (old.cells[0].tasks_panicked.get() == 1).then_some(()));
    let waiting: Vec<_> = (0..10).map(|_| greeting(address)).collect();
    open.write_all(b"hello").unwrap();
    far.read_exact(&mut [0; 5]).unwrap();
    late.write_all(&[5, 1, 0]).unwrap();
    assert_served(late);
    let new = heir(1, at(address), sockets);
    waiting.into_iter().for_each(assert_served);
    assert_eq!((opened(&old), opened(&new)), (2, 10));
    drop((open, far));
    until(|| has_ended(&old).then_some(()));
    assert_served(greeting(address));
}

/// What the successor does not want is closed once both have let go of it, though the old one has connections yet.
#[test]
fn a_listener_that_is_left_by_all_refuses() {
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let old = Proxy::start(|config| config.workers.driver = driver);
        let address = old.workers.socks5_addresses()[0];
        let _open = old.client(None);
        let sockets = sockets_of(&old);
        tell_all(&old, Command::Retire);
        drop(sockets);
        until(|| refuses_at(address).then_some(()));
        assert_eq!(old.workers.state(0), WorkerState::Running);
    }
}

/// As systemd makes them unless told otherwise: nobody else can be bound there, so all workers share the one queue.
#[test]
fn a_socket_that_shares_its_address_with_nobody_serves_all_workers() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let proxy = heir(2, at(address), vec![socket.into()]);
    for _ in 0..20 {
        assert_served(greeting(address));
    }
    assert_eq!(opened(&proxy), 20);
    tell_all(&proxy, Command::Drain);
    until(|| has_ended(&proxy).then_some(()));
    assert!(refuses_at(address));
}

#[test]
fn what_is_of_no_use_is_left_alone_and_what_nobody_wants_is_closed() {
    let unwanted = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = unwanted.local_addr().unwrap();
    let connected = TcpStream::connect(elsewhere).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let proxy = heir(1, |_| {}, vec![connected.into(), file.into(), datagrams.into(), unwanted.into()]);
    let notices = proxy.workers.notices();
    for of_no_use in ["does not listen", "it is no socket", "it is no TCP socket"] {
        assert_eq!(notices.iter().filter(|notice| notice.contains(of_no_use)).count(), 1, "{notices:?}");
    }
    assert!(refuses_at(elsewhere));
    assert_served(greeting(proxy.workers.socks5_addresses()[0]));
}

#[test]
fn where_a_holder_has_the_sockets_neither_death_nor_drain_shuts_them() {
    for end in [Command::Drill(Drill::Die), Command::Drain, Command::Retire, Command::Cut] {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let copies = || vec![OwnedFd::from(held.try_clone().unwrap())];
        let old = Proxy::start_as(1, at(address), |plan| {
            plan.inherited = copies();
            plan.listeners_are_shared = true;
        });
        let old = old.unwrap();
        assert_served(greeting(address));
        tell_all(&old, end);
        until(|| (old.workers.state(0) != WorkerState::Running).then_some(()));
        let waiting = greeting(address);
        let new = heir(1, at(address), copies());
        assert_served(waiting);
        assert_eq!((opened(&old), opened(&new)), (1, 1), "{end:?}");
    }
}

#[test]
fn a_process_of_its_own_that_dies_leaves_no_door_open() {
    let proxy = Proxy::start(|_| {});
    let address = proxy.workers.socks5_addresses()[0];
    tell_all(&proxy, Command::Drill(Drill::Die));
    until(|| refuses_at(address).then_some(()));
}

/// The first socket that was SOCKS5's now leads to the gateway, and is dressed for it.
#[test]
fn an_inherited_socket_serves_whichever_service_wants_its_address() {
    let old = Proxy::start(|_| {});
    let address = old.workers.socks5_addresses()[0];
    let to_gateway = |config: &mut Config| {
        config.socks5.listen = Vec::new();
        config.websocket.listen = vec![address];
    };
    let new = heir(1, to_gateway, sockets_of(&old));
    tell_all(&old, Command::Retire);
    until(|| has_ended(&old).then_some(()));
    drop(upgraded(address));
    assert_eq!(new.workers.listeners().unwrap()[0].0, "websocket.listen");
}

/// A WebSocket connection, its upgrade answered.
fn upgraded(address: SocketAddr) -> TcpStream {
    upgrade(TcpStream::connect(address).unwrap())
}

fn upgrade(mut stream: TcpStream) -> TcpStream {
    let address = stream.peer_addr().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "GET /ws HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
    assert!(said.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&said));
    stream
}

#[test]
fn a_gateway_that_retires_sends_its_clients_to_the_successor() {
    let gateway = |address: SocketAddr| {
        move |config: &mut Config| {
            config.socks5.listen = Vec::new();
            config.websocket.listen = vec![address];
            config.websocket.timeouts.drain = Duration::from_millis(500);
        }
    };
    let old = Proxy::start(gateway("127.0.0.1:0".parse().unwrap()));
    let address = old.workers.websocket_addresses()[0];
    let clients: Vec<_> = (0..8).map(|_| upgraded(address)).collect();
    let late = TcpStream::connect(address).unwrap();
    until(|| (old.cells[0].websocket.opened.get() == 9).then_some(()));
    let new = heir(1, gateway(address), sockets_of(&old));
    tell_all(&old, Command::Retire);
    let clients = clients.into_iter().chain([upgrade(late)]);
    for mut client in clients {
        // A close frame (RFC 6455 section 5.5.1) with code 1012, be there other frames before it or not.
        let mut said = Vec::new();
        let mut buffer = [0; 256];
        while !said.windows(4).any(|bytes| bytes[0] == 0x88 && bytes[2..] == 1012u16.to_be_bytes()) {
            let count = client.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{said:?}");
            said.extend_from_slice(&buffer[..count]);
        }
        drop(client);
        upgraded(address);
    }
    until(|| has_ended(&old).then_some(()));
    assert_eq!(old.cells[0].websocket.upgraded.get(), 9);
    assert_eq!(new.cells[0].websocket.upgraded.get(), 9);
}
