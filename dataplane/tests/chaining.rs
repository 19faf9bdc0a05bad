//! Connections through upstream proxies, which are data planes of ringway itself or a few lines that misbehave; and
//! what targets are told of the client.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod dns_server;
mod proxy;

use dns_server::{DnsServer, Reply};
use proxy::{Answer, BlackHole, Proxy, answer, listeners, request, until};
use ringway_shared::config::{
    Config, Destination, Password, ProxyVersion, UpstreamLogin, UpstreamNames, UpstreamProtocol,
    UpstreamProxy, User, Users,
};
use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, Target};
use ringway_shared::upstream::UpstreamResult::{self, Connected, Refused, TargetFailed, Unreachable};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Health checks that no test waits for, but for the first.
const NEVER: Duration = Duration::from_secs(3_600);

fn upstream(name: &str, address: SocketAddr) -> UpstreamProxy {
    UpstreamProxy {
        name: name.into(),
        group: "exits".into(),
        protocol: UpstreamProtocol::Socks5,
        host: Host::Address(address.ip()),
        port: address.port(),
        login: None,
        weight: 1,
        names: UpstreamNames::Local,
    }
}

/// A proxy whose clients all go through these.
fn through(proxies: Vec<UpstreamProxy>, alter: impl FnOnce(&mut Config)) -> Proxy {
    Proxy::start(|config| {
        let upstream = &mut config.socks5.upstream;
        upstream.proxies = proxies;
        upstream.default = Some("exits".into());
        upstream.health_interval = NEVER;
        alter(config);
    })
}

fn address_of(proxy: &Proxy) -> SocketAddr {
    proxy.workers.socks5_addresses()[0]
}

fn counted(proxy: &Proxy, index: usize, result: UpstreamResult) -> u64 {
    proxy.workers.upstreams()[index].usage.counted(result)
}

fn is_up(proxy: &Proxy, index: usize) -> bool {
    proxy.workers.upstreams()[index].up
}

/// A target that says what it hears.
fn echo() -> SocketAddr {
    let ([listener], port) = listeners(["127.0.0.1"]);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    SocketAddr::new([127, 0, 0, 1].into(), port)
}

/// An upstream of one's own making, for one connection after the other.
fn misbehaving(serve: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let ([listener], port) = listeners(["127.0.0.1"]);
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    SocketAddr::new([127, 0, 0, 1].into(), port)
}

/// What the exit was asked for; a health check asks for nothing.
fn asked_of(exit: &Proxy) -> Target {
    until(|| exit.end().target)
}

/// A port where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn assert_echoes(mut connected: Answer) {
    assert_eq!(connected.reply, 0);
    connected.stream.write_all(b" and all").unwrap();
    let mut heard = [0; 13];
    connected.stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello and all");
}

#[test]
fn a_target_is_reached_through_either_protocol_with_a_login() {
    let target = echo();
    let password = Password::Plain(b"secret"[..].into());
    let users = Users { entries: vec![Arc::new(User::unlimited("ringway".into(), password))] };
    let exit = Proxy::start(|config| config.socks5.users = Some(Arc::new(users)));
    for protocol in [UpstreamProtocol::Socks5, UpstreamProtocol::HttpConnect] {
        let login = UpstreamLogin { name: b"ringway"[..].into(), password: b"secret"[..].into() };
        let proxy = through(
            vec![UpstreamProxy { protocol, login: Some(login), ..upstream("a", address_of(&exit)) }],
            |_| {},
        );
        assert_echoes(proxy.connect_saying("127.0.0.1", target.port(), b"hello"));
        let end = proxy.end();
        assert_eq!((end.reason, end.sent_bytes, end.upstream.as_deref()), (Reason::Finished, 13, Some("a")));
        assert_eq!(asked_of(&exit), Target { host: Host::Address(target.ip()), port: target.port() });
        assert_eq!(counted(&proxy, 0, Connected), 1);
    }
}

#[test]
fn names_are_looked_up_here_or_there_as_configured() {
    let dns = DnsServer::start("127.0.0.1", |name, _| match name {
        "x.test." => Reply::Addresses(60, vec![[127, 0, 0, 1].into()]),
        _ => Reply::NoName(Some(60)),
    });
    let target = echo();
    let server = dns.address;
    let exit = Proxy::start(|config| config.socks5.dns.servers = vec![server]);
    for (names, host) in [
        (UpstreamNames::Local, Host::Address([127, 0, 0, 1].into())),
        (UpstreamNames::Remote, Host::Name("x.test".into())),
    ] {
        let proxies = vec![UpstreamProxy { names, ..upstream("a", address_of(&exit)) }];
        let proxy = through(proxies, |config| config.socks5.dns.servers = vec![server]);
        assert_echoes(proxy.connect_saying("x.test", target.port(), b"hello"));
        assert_eq!(asked_of(&exit).host, host);
    }
}

#[test]
fn an_upstream_that_cannot_serve_gives_way_to_the_next() {
    let target = echo();
    let exit = Proxy::start(|_| {});
    let hangs_up = misbehaving(drop);
    let refuses = misbehaving(|mut stream| {
        let _ = stream.read(&mut [0; 16]).and_then(|_| stream.write_all(&[5, 0xff]));
    });
    for (broken, result) in [(nobody(), Unreachable), (hangs_up, Refused), (refuses, Refused)] {
        let standby = UpstreamProxy { weight: 0, ..upstream("b", address_of(&exit)) };
        let proxy = through(vec![upstream("a", broken), standby], |_| {});
        for asked in 1..=3 {
            assert_echoes(proxy.connect_saying("127.0.0.1", target.port(), b"hello"));
            assert_eq!((counted(&proxy, 0, result), counted(&proxy, 1, Connected)), (asked, asked));
        }
        assert!(!is_up(&proxy, 0), "three failures in a row");
        assert_echoes(proxy.connect_saying("127.0.0.1", target.port(), b"hello"));
        assert_eq!(counted(&proxy, 0, result), 3, "left alone while it is down");
    }
}

#[test]
fn an_upstream_that_says_nothing_gets_its_share_of_the_time() {
    let target = echo();
    let exit = Proxy::start(|_| {});
    let (kept, mute) = std::sync::mpsc::channel();
    let silent = misbehaving(move |stream| kept.send(stream).unwrap());
    let standby = UpstreamProxy { weight: 0, ..upstream("b", address_of(&exit)) };
    let proxy = through(vec![upstream("a", silent), standby], |config| {
        config.socks5.timeouts.connect = Duration::from_secs(2);
    });
    let begun = Instant::now();
    assert_echoes(proxy.connect_saying("127.0.0.1", target.port(), b"hello"));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(counted(&proxy, 0, Unreachable), 1);
    drop(mute);
}

#[test]
fn what_the_target_refuses_is_the_clients_answer_and_nobodys_blame() {
    let exit = Proxy::start(|_| {});
    let proxies = || vec![upstream("a", address_of(&exit)), upstream("b", address_of(&exit))];
    let proxy = through(proxies(), |_| {});
    for _ in 0..8 {
        assert_eq!(proxy.connect("127.0.0.1", nobody().port()).reply, 5);
        assert_eq!(proxy.end().reason, Reason::ConnectRefused);
    }
    assert_eq!(counted(&proxy, 0, TargetFailed) + counted(&proxy, 1, TargetFailed), 8);
    assert!(is_up(&proxy, 0) && is_up(&proxy, 1));
}

#[test]
fn what_keeps_us_from_an_upstream_is_not_its_fault() {
    let password = Password::Plain(b"secret"[..].into());
    let egress = vec![IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
    let alice = User { egress, ..User::unlimited("alice".into(), password) };
    let exit = Proxy::start(|_| {});
    let proxy = through(vec![upstream("a", address_of(&exit))], |config| {
        config.socks5.users = Some(Arc::new(Users { entries: vec![Arc::new(alice)] }));
        config.socks5.upstream.failures_max = 1;
    });
    let mut client = proxy.client(Some(("alice", "secret")));
    client.write_all(&request(1, "127.0.0.1", 80)).unwrap();
    assert_eq!(answer(client).reply, 3);
    let end = proxy.end();
    assert_eq!(end.reason, Reason::NetworkUnreachable);
    assert!(end.hint.unwrap().starts_with("the user's egress has no address of the target's family"));
    assert!(is_up(&proxy, 0));
}

#[test]
fn all_addresses_of_a_name_are_tried_through_the_upstream() {
    let ([_target], port) = listeners(["127.0.0.3"]);
    let addresses: [IpAddr; 2] = [[127, 0, 0, 2].into(), [127, 0, 0, 3].into()];
    let dns = DnsServer::start("127.0.0.1", move |_, _| Reply::Addresses(60, addresses.to_vec()));
    let server = dns.address;
    let exit = Proxy::start(|_| {});
    let proxies = vec![upstream("a", address_of(&exit))];
    let proxy = through(proxies, |config| config.socks5.dns.servers = vec![server]);
    assert_eq!(proxy.connect("x.test", port).reply, 0);
}

#[test]
fn where_all_are_down_they_are_tried_all_the_same_and_the_line_says_so() {
    let proxy = through(vec![upstream("a", nobody()), upstream("b", nobody())], |config| {
        config.socks5.upstream.failures_max = 1;
    });
    for _ in 0..2 {
        assert_eq!(proxy.connect("127.0.0.1", 80).reply, 1);
    }
    proxy.end();
    let end = proxy.end();
    assert_eq!(end.reason, Reason::UpstreamUnreachable);
    assert_eq!(end.hint.as_deref(), Some("every upstream proxy of the group is down: tried all the same"));
    assert_eq!(end.errno, Some(rustix::io::Errno::CONNREFUSED.raw_os_error()));
    assert_eq!((counted(&proxy, 0, Unreachable), counted(&proxy, 1, Unreachable)), (2, 2));
    assert_eq!(proxy.targets_now(), 0);
}

#[test]
fn health_checks_take_a_proxy_out_and_bring_it_back() {
    let address = nobody();
    let proxy = through(vec![upstream("a", address)], |config| {
        config.socks5.upstream.health_interval = Duration::from_millis(50);
    });
    until(|| (!is_up(&proxy, 0)).then_some(()));
    let exit = Proxy::start(|config| config.socks5.listen = vec![address]);
    until(|| is_up(&proxy, 0).then_some(()));
    assert_echoes(proxy.connect_saying("127.0.0.1", echo().port(), b"hello"));
    drop(exit);
}

#[test]
fn a_check_that_is_never_answered_fails_in_its_time_and_does_not_pile_up() {
    let (_listener, hole) = loop {
        let ([listener], port) = listeners(["127.0.0.1"]);
        if let Some(hole) = BlackHole::at("127.0.0.2", port) {
            break (listener, (hole, SocketAddr::new([127, 0, 0, 2].into(), port)));
        }
    };
    let proxy = through(vec![upstream("a", hole.1)], |config| {
        config.socks5.upstream.health_interval = Duration::from_millis(50);
    });
    until(|| {
        assert!(proxy.targets_now() <= 1);
        (!is_up(&proxy, 0)).then_some(())
    });
}

#[test]
fn bytes_behind_the_upstreams_answer_reach_the_client_first() {
    let early = misbehaving(|mut stream| {
        let mut heard = [0; 3];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(&[5, 0]).unwrap();
        if stream.read_exact(&mut [0; 10]).is_err() {
            return; // a health check
        }
        stream.write_all(b"\x05\0\0\x01\x01\x02\x03\x04\x04\x38220 ready").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let proxy = through(vec![upstream("a", early)], |_| {});
    let mut connected = proxy.connect("127.0.0.1", 25);
    assert_eq!(connected.bound, SocketAddr::new([1, 2, 3, 4].into(), 0x438));
    let mut heard = [0; 9];
    connected.stream.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"220 ready");
    drop(connected);
    assert_eq!(proxy.end().received_bytes, 9);
}

#[test]
fn bind_does_not_go_through_upstreams() {
    let proxy = through(vec![upstream("a", nobody())], |_| {});
    let mut client = proxy.client(None);
    client.write_all(&request(2, "127.0.0.1", 21)).unwrap();
    assert_eq!(answer(client).reply, 2);
    let end = proxy.end();
    assert_eq!(end.reason, Reason::DeniedAcl);
    assert!(end.hint.unwrap().contains("serve CONNECT alone"));
}

#[test]
fn a_listed_target_hears_whom_the_connection_is_for_before_all_else() {
    let ([target], port) = listeners(["127.0.0.1"]);
    let listed = Destination::Network("127.0.0.0/8".parse().unwrap());
    let proxy = Proxy::start(|config| {
        config.socks5.proxy_protocol.to = vec![listed];
        config.socks5.proxy_protocol.version = ProxyVersion::V1;
        config.socks5.egress.fast_open = true;
    });
    let connected = proxy.connect_saying("127.0.0.1", port, b"hello");
    let client = connected.stream.local_addr().unwrap();
    connected.stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut heard = String::new();
    target.accept().unwrap().0.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {port}\r\nhello", client.port()));
    drop(connected);
    assert_eq!(proxy.end().sent_bytes, 5, "the header is ours, not the client's");
}
