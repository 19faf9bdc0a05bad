//! A configuration is taken over by all workers or by none, and listeners come and go with it.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod proxy;

use proxy::{PATIENCE, Proxy, answer, config, request, until};
use ringway_dataplane::Readiness;
use ringway_shared::command::{Command, Drill};
use ringway_shared::config::{Config, DriverChoice, TargetClass, TargetClasses};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const WORKERS: usize = 2;

/// Where nobody listens just now.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn listens_at(addresses: &[SocketAddr]) -> impl FnOnce(&mut Config) + use<> {
    let addresses = addresses.to_vec();
    move |config| config.socks5.listen = addresses
}

fn generations(proxy: &Proxy) -> Vec<u64> {
    (0..WORKERS).map(|worker| proxy.workers.generation_of(worker)).collect()
}

/// A greeting and its answer.
fn greet(stream: &mut TcpStream) -> std::io::Result<[u8; 2]> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[5, 1, 0])?;
    let mut said = [0; 2];
    stream.read_exact(&mut said)?;
    Ok(said)
}

fn serves_at(address: SocketAddr) -> bool {
    TcpStream::connect(address).and_then(|mut stream| greet(&mut stream)).is_ok_and(|said| said == [5, 0])
}

fn refuses_at(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn nothing_changes_before_the_commit_and_all_workers_follow_it() {
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let proxy = Proxy::try_start(WORKERS, |config| config.workers.driver = driver).unwrap();
        let (old, new) = (proxy.workers.socks5_addresses()[0], free_address());
        let prepared = proxy.prepare(config(WORKERS, listens_at(&[new]))).unwrap();
        assert_eq!(generations(&proxy), [1, 1]);
        assert!(serves_at(old) && refuses_at(new));
        let committed = proxy.workers.commit(prepared).unwrap();
        assert_eq!(committed.generation, 2);
        assert_eq!(committed.opened, [("socks5.listen", new)]);
        assert_eq!(committed.closed, [("socks5.listen", old)]);
        until(|| (generations(&proxy) == [2, 2]).then_some(()));
        assert!((0..20).all(|_| serves_at(new)) && refuses_at(old));
        assert_eq!(proxy.workers.socks5_addresses(), [new]);
    }
}

#[test]
fn what_is_dropped_uncommitted_leaves_nothing() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let (old, new) = (proxy.workers.socks5_addresses()[0], free_address());
    drop(proxy.prepare(config(WORKERS, listens_at(&[new]))).unwrap());
    // Its sockets are closed: whoever shares no address can have it, and the next preparation too.
    until(|| {
        let alone = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        alone.bind(&new.into()).ok()
    });
    assert!(serves_at(old) && refuses_at(new));
    assert_eq!(generations(&proxy), [1, 1]);
    proxy.reload(config(WORKERS, listens_at(&[old, new])));
    assert!(serves_at(old) && serves_at(new));
}

#[test]
fn of_two_new_addresses_the_second_of_which_is_taken_neither_is_bound() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let (old, free) = (proxy.workers.socks5_addresses()[0], free_address());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [old, free, taken.local_addr().unwrap()];
    let fault = proxy.prepare(config(WORKERS, listens_at(&addresses))).err().unwrap();
    assert!(fault.contains("socks5.listen") && fault.contains("another process"), "{fault}");
    assert!(TcpListener::bind(free).is_ok());
    assert!(serves_at(old));
    assert_eq!(generations(&proxy), [1, 1]);
}

#[test]
fn an_address_that_was_taken_meanwhile_fails_the_commit_for_all() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let (old, first, second) = (proxy.workers.socks5_addresses()[0], free_address(), free_address());
    let prepared = proxy.prepare(config(WORKERS, listens_at(&[first, second]))).unwrap();
    // SO_REUSEADDR, which std sets, lets it in while nobody listens.
    let _taken = TcpListener::bind(second).unwrap();
    let fault = proxy.workers.commit(prepared).unwrap_err();
    assert!(fault.contains("another process"), "{fault}");
    until(|| refuses_at(first).then_some(()));
    assert!(serves_at(old));
    assert_eq!(generations(&proxy), [1, 1]);
}

#[test]
fn a_worker_that_stalls_is_told_of_and_drops_what_was_aborted_meanwhile() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let new = free_address();
    assert!(proxy.workers.tell(0, Command::Drill(Drill::Stall(Duration::from_secs(2)))));
    // The first is that it may serve.
    until(|| (proxy.cells[0].inbox_messages.get() == 2).then_some(()));
    let wanted = Arc::new(config(WORKERS, listens_at(&[new])));
    let prepared = proxy.workers.prepare(&wanted, &[], 2).unwrap();
    until(|| (prepared.readiness() == Readiness::Waiting { workers: vec![0] }).then_some(()));
    drop(prepared);
    // Its next mail comes after what it has to forget.
    assert!(proxy.workers.tell(0, Command::Drill(Drill::Panic { tasks: 1 })));
    until(|| (proxy.cells[0].tasks_panicked.get() == 1).then_some(()));
    assert_eq!(generations(&proxy), [1, 1]);
    assert!(refuses_at(new));
    proxy.reload(config(WORKERS, listens_at(&[new])));
}

#[test]
fn a_worker_that_stalls_after_it_was_ready_follows_the_commit_when_it_wakes() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let new = free_address();
    let prepared = proxy.prepare(config(WORKERS, listens_at(&[new]))).unwrap();
    let read = proxy.cells[0].inbox_messages.get();
    assert!(proxy.workers.tell(0, Command::Drill(Drill::Stall(Duration::from_secs(1)))));
    until(|| (proxy.cells[0].inbox_messages.get() > read).then_some(()));
    proxy.workers.commit(prepared).unwrap();
    until(|| (proxy.workers.generation_of(1) == 2).then_some(()));
    until(|| (generations(&proxy) == [2, 2]).then_some(()));
    assert!((0..20).all(|_| serves_at(new)));
}

/// An address comes back before a worker that stalls has closed it.
#[test]
fn a_change_of_mind_does_not_meet_itself() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let address = proxy.workers.socks5_addresses()[0];
    let gone = proxy.prepare(config(WORKERS, listens_at(&[]))).unwrap();
    let read = proxy.cells[0].inbox_messages.get();
    assert!(proxy.workers.tell(0, Command::Drill(Drill::Stall(Duration::from_secs(1)))));
    until(|| (proxy.cells[0].inbox_messages.get() > read).then_some(()));
    proxy.workers.commit(gone).unwrap();
    until(|| (proxy.workers.generation_of(1) == 2).then_some(()));
    proxy.reload(config(WORKERS, listens_at(&[address])));
    assert!((0..20).all(|_| serves_at(address)));
}

#[test]
fn a_later_preparation_overtakes_an_earlier_one() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let (one, two) = (free_address(), free_address());
    let earlier = proxy.prepare(config(WORKERS, listens_at(&[one]))).unwrap();
    let later = proxy.prepare(config(WORKERS, listens_at(&[two]))).unwrap();
    assert!(matches!(earlier.readiness(), Readiness::Failed(_)));
    assert!(proxy.workers.commit(earlier).is_err());
    proxy.workers.commit(later).unwrap();
    until(|| (generations(&proxy) == [2, 2]).then_some(()));
    assert!(serves_at(two) && refuses_at(one));
}

#[test]
fn there_is_nothing_to_commit_once_a_drain_has_begun() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let prepared = proxy.prepare(config(WORKERS, |_| {})).unwrap();
    assert!(proxy.workers.tell(0, Command::Drain));
    assert!(proxy.workers.commit(prepared).unwrap_err().contains("draining"));
    assert!(proxy.prepare(config(WORKERS, |_| {})).is_err());
}

#[test]
fn connections_under_a_removed_listener_live_on() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut open = proxy.client(None);
    open.write_all(&request(1, "127.0.0.1", target.local_addr().unwrap().port())).unwrap();
    let mut open = answer(open).stream;
    let (mut far, _) = target.accept().unwrap();
    let old = proxy.workers.socks5_addresses()[0];
    proxy.reload(config(WORKERS, listens_at(&[])));
    assert!(refuses_at(old) && proxy.workers.socks5_addresses().is_empty());
    open.write_all(b"hello").unwrap();
    let mut said = [0; 5];
    far.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello");
}

/// From loopback to all interfaces and back: the address is in use by nobody but ourselves.
#[test]
fn an_address_may_widen_and_narrow() {
    let narrow = free_address();
    let wide: SocketAddr = format!("0.0.0.0:{}", narrow.port()).parse().unwrap();
    let proxy = Proxy::try_start(WORKERS, listens_at(&[narrow])).unwrap();
    for next in [wide, narrow] {
        proxy.reload(config(WORKERS, listens_at(&[next])));
        assert_eq!(proxy.workers.socks5_addresses(), [next]);
        assert!((0..20).all(|_| serves_at(narrow)));
    }
}

/// A listener that changes sides keeps its sockets, and who comes is served as the new side does.
#[test]
fn an_address_may_go_from_one_service_to_another() {
    let (one, two) = (free_address(), free_address());
    let sides = |socks5: SocketAddr, websocket: SocketAddr| {
        move |config: &mut Config| {
            config.socks5.listen = vec![socks5];
            config.websocket.listen = vec![websocket];
        }
    };
    let proxy = Proxy::try_start(WORKERS, sides(one, two)).unwrap();
    assert!(serves_at(one) && !serves_at(two));
    let committed = proxy.reload(config(WORKERS, sides(two, one)));
    assert_eq!(committed.opened, [("socks5.listen", two), ("websocket.listen", one)]);
    assert!(serves_at(two) && !serves_at(one));
    assert_eq!(proxy.workers.websocket_addresses(), [one]);
}

/// The class `own` is what is listened on now.
#[test]
fn targets_of_class_own_are_those_of_the_configuration_in_force() {
    let own_port = free_address();
    let control = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let only_loopback = |addresses: &[SocketAddr]| {
        let listens = listens_at(addresses);
        move |config: &mut Config| {
            listens(config);
            config.socks5.allow_targets = TargetClasses::default().with(TargetClass::Loopback);
        }
    };
    let first = free_address();
    let proxy = Proxy::try_start(WORKERS, only_loopback(&[first])).unwrap();
    assert_eq!(proxy.connect("127.0.0.1", own_port.port()).reply, 5, "nobody is there yet");
    let config = Arc::new(config(WORKERS, only_loopback(&[first, own_port])));
    let prepared = proxy.workers.prepare(&config, &[control], 2).unwrap();
    until(|| (prepared.readiness() == Readiness::Ready).then_some(()));
    proxy.workers.commit(prepared).unwrap();
    until(|| (generations(&proxy) == [2, 2]).then_some(()));
    for own in [first, own_port, control] {
        assert_eq!(proxy.connect("127.0.0.1", own.port()).reply, 2, "{own}");
    }
}

#[test]
fn two_hundred_reloads_under_connections_lose_none() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let kept = proxy.workers.socks5_addresses()[0];
    let extra = free_address();
    let over = AtomicBool::new(false);
    let connected = std::thread::scope(|scope| {
        let loads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0u64;
                    while !over.load(Relaxed) {
                        let mut stream = TcpStream::connect(kept).unwrap();
                        assert_eq!(greet(&mut stream).unwrap(), [5, 0]);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for round in 0..200 {
            let addresses = if round % 2 == 0 { vec![kept, extra] } else { vec![kept] };
            let committed = proxy.reload(config(WORKERS, listens_at(&addresses)));
            assert_eq!(generations(&proxy), vec![committed.generation; WORKERS]);
        }
        over.store(true, Relaxed);
        loads.into_iter().map(|load| load.join().unwrap()).sum::<u64>()
    });
    assert!(connected > 200, "{connected} connections");
    assert_eq!(generations(&proxy), [201, 201]);
}
