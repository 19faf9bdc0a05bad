//! What a changed key does to connections that stand when it changes: what its class in `shared/src/config/keys/` promises.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod dns_server;
mod proxy;

use dns_server::{DnsServer, Reply};
use proxy::{PATIENCE, Proxy, answer, config, request, until};
use ringway_shared::command::{Command, Drill};
use ringway_shared::config::{AccessLog, Config, Password, User, Users};
use ringway_shared::config::{KEYS, Reload};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A key, and a test that what is changed about it holds at once, also for who is connected already.
struct Case {
    key: &'static str,
    holds_at_once: fn(),
}

const CASES: &[Case] = &[
    Case { key: "socks5.limits.backlog", holds_at_once: backlog },
    Case { key: "socks5.limits.connections", holds_at_once: connections },
    Case { key: "socks5.limits.connections_per_client", holds_at_once: connections_per_client },
    Case { key: "socks5.limits.connections_per_user", holds_at_once: connections_per_user },
    Case { key: "socks5.limits.udp_associations", holds_at_once: udp_associations },
    Case { key: "socks5.logins.failures_max", holds_at_once: failures_max },
    Case { key: "socks5.dns.servers", holds_at_once: dns_servers },
    Case { key: "socks5.dns.cache_entries", holds_at_once: cache_entries },
    Case { key: "socks5.relay.pipes_per_worker", holds_at_once: pipes_per_worker },
    Case { key: "log.access", holds_at_once: access_log },
    Case { key: "websocket.idle_timeout", holds_at_once: websocket_idle_timeout },
    Case { key: "websocket.max_connections", holds_at_once: websocket_connections },
];

#[test]
fn live_keys_hold_at_once() {
    for case in CASES {
        let key = KEYS.iter().find(|key| key.path == case.key);
        assert_eq!(key.map(|key| key.reload), Some(Reload::Live), "{}", case.key);
        eprintln!("{}", case.key);
        (case.holds_at_once)();
    }
}

fn reload(proxy: &Proxy, alter: impl FnOnce(&mut Config)) {
    proxy.reload(config(1, alter));
}

fn alice() -> Option<Arc<Users>> {
    let alice = User::unlimited("alice".into(), Password::Plain(b"secret"[..].into()));
    Some(Arc::new(Users { entries: vec![Arc::new(alice)] }))
}

/// Connected, not a byte said.
fn silent(proxy: &Proxy) -> TcpStream {
    let opened = proxy.cells[0].opened.get();
    let stream = TcpStream::connect(proxy.workers.socks5_addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    until(|| (proxy.cells[0].opened.get() > opened).then_some(()));
    stream
}

/// Whether a new connection is served.
fn lets_in(proxy: &Proxy) -> bool {
    let mut stream = TcpStream::connect(proxy.workers.socks5_addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = [0; 2];
    stream.write_all(&[5, 1, 0]).and_then(|()| stream.read_exact(&mut said)).is_ok()
}

fn backlog() {
    let proxy = Proxy::start(|_| {});
    let address = proxy.workers.socks5_addresses()[0];
    let queue_holds = |count: usize| {
        let read = proxy.cells[0].inbox_messages.get();
        assert!(proxy.workers.tell(0, Command::Drill(Drill::Stall(Duration::from_secs(2)))));
        until(|| (proxy.cells[0].inbox_messages.get() > read).then_some(()));
        // A SYN that finds no room is sent again after a second.
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
        let waiting: Vec<_> = (0..count).map_while(connect).collect();
        let opened = proxy.cells[0].opened.get();
        until(|| (proxy.cells[0].opened.get() >= opened + waiting.len() as u64).then_some(()));
        waiting.len() == count
    };
    assert!(queue_holds(8));
    reload(&proxy, |config| config.socks5.limits.backlog = 1);
    assert!(!queue_holds(8));
}

fn connections() {
    let proxy = Proxy::start(|_| {});
    let _open = silent(&proxy);
    assert!(lets_in(&proxy));
    until(|| (proxy.cells[0].clients_now.get() == 1).then_some(()));
    reload(&proxy, |config| config.socks5.limits.connections = Some(1));
    assert!(!lets_in(&proxy));
}

fn connections_per_client() {
    let proxy = Proxy::start(|config| config.socks5.limits.connections_per_client = Some(100));
    let _open = silent(&proxy);
    reload(&proxy, |config| config.socks5.limits.connections_per_client = Some(1));
    assert!(!lets_in(&proxy));
}

fn connections_per_user() {
    let proxy = Proxy::start(|config| config.socks5.users = alice());
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let ask = |mut client: TcpStream| {
        client.write_all(&request(1, "127.0.0.1", target.local_addr().unwrap().port())).unwrap();
        answer(client)
    };
    let (first, second) = (proxy.client(Some(("alice", "secret"))), proxy.client(Some(("alice", "secret"))));
    let _open = ask(first);
    reload(&proxy, |config| {
        config.socks5.users = alice();
        config.socks5.limits.connections_per_user = Some(1);
    });
    assert_eq!(ask(second).reply, 2);
}

fn udp_associations() {
    let proxy = Proxy::start(|_| {});
    let associate = |mut client: TcpStream| {
        client.write_all(&request(3, "0.0.0.0", 0)).unwrap();
        answer(client)
    };
    let (first, second) = (proxy.client(None), proxy.client(None));
    let _open = associate(first);
    reload(&proxy, |config| config.socks5.limits.udp_associations = Some(1));
    assert_ne!(associate(second).reply, 0);
}

fn failures_max() {
    let proxy = Proxy::start(|config| {
        config.socks5.users = alice();
        config.socks5.logins.failures_max = None;
    });
    let mut guess = silent(&proxy);
    reload(&proxy, |config| {
        config.socks5.users = alice();
        config.socks5.logins.failures_max = Some(1);
    });
    guess.write_all(b"\x05\x01\x02\x01\x05alice\x05wrong").unwrap();
    guess.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(proxy.cells[0].clients_banned.get(), 1);
}

fn dns_servers() {
    let reply = |_: &str, _| Reply::Addresses(60, vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let (before, after) = (DnsServer::start("127.0.0.1", reply), DnsServer::start("127.0.0.2", reply));
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let asks = |server: SocketAddr| move |config: &mut Config| config.socks5.dns.servers = vec![server];
    let proxy = Proxy::start(asks(before.address));
    let mut standing = proxy.client(None);
    assert_eq!(proxy.connect("a.test", port).reply, 0);
    assert!(before.asked_anything());
    reload(&proxy, asks(after.address));
    standing.write_all(&request(1, "a.test", port)).unwrap();
    assert_eq!(answer(standing).reply, 0);
    assert!(after.asked("a.test.") > 0, "nor does what was cached hold");
}

fn cache_entries() {
    let reply = |_: &str, _| Reply::Addresses(60, vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let server = DnsServer::start("127.0.0.1", reply);
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let address = server.address;
    let caches = |entries: u64| {
        move |config: &mut Config| {
            config.socks5.dns.servers = vec![address];
            config.socks5.dns.cache_entries = entries;
        }
    };
    let questions = |proxy: &Proxy| {
        let before = server.asked("a.test.");
        (0..2).for_each(|_| assert_eq!(proxy.connect("a.test", port).reply, 0));
        server.asked("a.test.") - before
    };
    let proxy = Proxy::start(caches(100));
    let cached = questions(&proxy);
    reload(&proxy, caches(0));
    assert!(questions(&proxy) > cached);
}

fn pipes_per_worker() {
    let proxy = Proxy::start(|config| config.socks5.relay.pipes_per_worker = 0);
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let answer = proxy.connect("127.0.0.1", target.local_addr().unwrap().port());
    let (mut client, (far, _)) = (answer.stream, target.accept().unwrap());
    let swallow = std::thread::spawn(move || std::io::copy(&mut &far, &mut std::io::sink()));
    let bulk = vec![0; 8 << 20];
    client.write_all(&bulk).unwrap();
    until(|| (proxy.cells[0].pipe_pool_misses.get() > 0).then_some(()));
    reload(&proxy, |config| config.socks5.relay.pipes_per_worker = 1);
    until(|| {
        client.write_all(&bulk).unwrap();
        (proxy.cells[0].pipes_in_use.get() == 1).then_some(())
    });
    drop(client);
    swallow.join().unwrap().unwrap();
}

fn access_log() {
    let proxy = Proxy::start(|config| config.log.access = AccessLog::Off);
    let standing = silent(&proxy);
    reload(&proxy, |config| config.log.access = AccessLog::Stderr);
    let peer = standing.local_addr().unwrap();
    drop(standing);
    assert_eq!(proxy.end().client, peer);
}

fn gateway(alter: impl FnOnce(&mut Config)) -> impl FnOnce(&mut Config) {
    |config| {
        config.websocket.listen = vec!["127.0.0.1:0".parse().unwrap()];
        alter(config);
    }
}

/// Asks for an upgrade; the status it is answered with.
fn upgrade(proxy: &Proxy) -> (TcpStream, String) {
    let address = proxy.workers.websocket_addresses()[0];
    let mut stream = TcpStream::connect(address).unwrap();
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
    (stream, String::from_utf8_lossy(&said[9..12]).into())
}

fn websocket_idle_timeout() {
    let proxy = Proxy::start(gateway(|_| {}));
    let (mut standing, status) = upgrade(&proxy);
    assert_eq!(status, "101");
    reload(&proxy, gateway(|config| config.websocket.timeouts.idle = Duration::from_millis(200)));
    let begun = Instant::now();
    // A close frame of ours.
    until(|| {
        let mut byte = [0];
        standing.read_exact(&mut byte).unwrap();
        (byte[0] == 0x88).then_some(())
    });
    assert!(begun.elapsed() < PATIENCE);
}

fn websocket_connections() {
    let proxy = Proxy::start(gateway(|_| {}));
    let _standing = upgrade(&proxy);
    reload(&proxy, gateway(|config| config.websocket.limits.connections = Some(1)));
    assert_eq!(upgrade(&proxy).1, "503");
}
