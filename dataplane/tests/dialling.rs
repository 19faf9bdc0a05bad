//! Dialling, seen by a client and by the targets: races between addresses, and how sockets leave.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod dns_server;
mod proxy;

use dns_server::{DnsServer, Reply};
use proxy::{BlackHole, Proxy, answer, listeners, request, until};
use ringway_shared::command::Command;
use ringway_shared::config::{Config, Password, Prefer, User, Users};
use ringway_shared::reason::Reason;
use socket2::Socket;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The head start of an attempt over the next.
const HEAD_START: Duration = Duration::from_millis(250);
/// Well before any time-out, on a busy machine too.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A name server that knows one name, `x.test`, and its addresses.
fn names(addresses: &[&str]) -> DnsServer {
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    DnsServer::start("127.0.0.1", move |_, _| Reply::Addresses(60, addresses.clone()))
}

fn asking(dns: &DnsServer) -> impl FnOnce(&mut Config) {
    let address = dns.address;
    move |config| config.socks5.dns.servers = vec![address]
}

/// A listener on the first address, and nobody answering on the others.
fn beside_black_holes<const N: usize>(ip: &str, holes: [&str; N]) -> (TcpListener, Vec<BlackHole>, u16) {
    loop {
        let ([listener], port) = listeners([ip]);
        let holes: Vec<_> = holes.iter().map_while(|hole| BlackHole::at(hole, port)).collect();
        if holes.len() == N {
            return (listener, holes, port);
        }
    }
}

/// Hears each client out, then hangs up.
fn hear_out(target: TcpListener) {
    std::thread::spawn(move || {
        for mut stream in target.incoming().flatten() {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
}

#[test]
fn an_address_that_is_silent_loses_to_the_next_one_and_the_winner_goes_first_next_time() {
    let dns = names(&["127.0.0.2", "127.0.0.3"]);
    let (target, _hole, port) = beside_black_holes("127.0.0.3", ["127.0.0.2"]);
    hear_out(target);
    let proxy = Proxy::start(asking(&dns));
    let begun = Instant::now();
    let first = proxy.connect("x.test", port);
    assert_eq!(first.reply, 0);
    assert!(begun.elapsed() >= HEAD_START, "{:?}", begun.elapsed());
    assert_eq!(proxy.targets_now(), 1, "the loser is given back");

    drop(first);
    assert_eq!(proxy.end().address.unwrap(), SocketAddr::new([127, 0, 0, 3].into(), port));

    assert_eq!(proxy.connect("X.test.", port).reply, 0);
    let end = proxy.end();
    assert_eq!(end.reason, Reason::Finished);
    assert!(end.phases.connect.unwrap() < HEAD_START, "{:?}", end.phases);
    assert_eq!(proxy.targets_now(), 0);
}

#[test]
fn an_address_that_refuses_gives_way_at_once() {
    let dns = names(&["127.0.0.2", "127.0.0.4", "127.0.0.3"]);
    let ([target], port) = listeners(["127.0.0.3"]);
    hear_out(target);
    let proxy = Proxy::start(asking(&dns));
    assert_eq!(proxy.connect("x.test", port).reply, 0);
    let phases = proxy.end().phases;
    assert!(phases.connect.unwrap() < HEAD_START, "{phases:?}");
}

#[test]
fn the_reply_is_that_of_the_most_telling_failure() {
    // 127.0.0.4 refuses, 127.0.0.2 says nothing until the time is over.
    let dns = names(&["127.0.0.4", "127.0.0.2"]);
    let (_target, _hole, port) = beside_black_holes("127.0.0.3", ["127.0.0.2"]);
    let proxy = Proxy::start(|config| {
        asking(&dns)(config);
        config.socks5.timeouts.connect = Duration::from_millis(700);
    });
    assert_eq!(proxy.connect("x.test", port).reply, 5);
    let end = proxy.end();
    assert_eq!(end.reason, Reason::ConnectRefused);
    assert_eq!(end.errno, Some(rustix::io::Errno::CONNREFUSED.raw_os_error()));
    assert_eq!(proxy.targets_now(), 0);
}

#[test]
fn a_race_nobody_wins_ends_with_its_time() {
    let dns = names(&["127.0.0.2", "127.0.0.4"]);
    let (_target, _holes, port) = beside_black_holes("127.0.0.3", ["127.0.0.2", "127.0.0.4"]);
    let proxy = Proxy::start(|config| {
        asking(&dns)(config);
        config.socks5.timeouts.connect = Duration::from_millis(700);
    });
    assert_eq!(proxy.connect("x.test", port).reply, 6);
    assert_eq!(proxy.end().reason, Reason::ConnectTimeout);
}

#[test]
fn a_cut_ends_a_race_at_once() {
    let dns = names(&["127.0.0.2", "127.0.0.4"]);
    let (_target, _holes, port) = beside_black_holes("127.0.0.3", ["127.0.0.2", "127.0.0.4"]);
    let proxy = Proxy::start(asking(&dns));
    let mut client = proxy.client(None);
    client.write_all(&request(1, "x.test", port)).unwrap();
    until(|| (proxy.targets_now() == 2).then_some(()));
    let begun = Instant::now();
    assert!(proxy.workers.tell(0, Command::Cut));
    let cut = answer(client);
    assert_ne!(cut.reply, 0);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    drop(cut);
    assert_eq!(proxy.end().reason, Reason::Drained);
    assert_eq!(proxy.targets_now(), 0);
}

#[test]
fn a_client_that_resets_is_not_dialled_for_any_longer() {
    let dns = names(&["127.0.0.2", "127.0.0.4"]);
    let (_target, _holes, port) = beside_black_holes("127.0.0.3", ["127.0.0.2", "127.0.0.4"]);
    let proxy = Proxy::start(asking(&dns));
    for host in ["x.test", "127.0.0.2"] {
        let mut client = proxy.client(None);
        client.write_all(&request(1, host, port)).unwrap();
        until(|| (proxy.targets_now() > 0).then_some(()));
        Socket::from(client).set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(proxy.end().reason, Reason::ClientGone, "{host}");
        assert_eq!(proxy.targets_now(), 0);
    }
}

#[test]
fn the_preferred_family_leads_and_an_exclusive_one_is_alone() {
    let dns = names(&["127.0.0.1", "::1"]);
    let ([_v4, _v6], port) = listeners(["127.0.0.1", "::1"]);
    for (prefer, ipv6) in
        [(Prefer::Ipv6, true), (Prefer::Ipv4, false), (Prefer::Ipv6Only, true), (Prefer::Ipv4Only, false)]
    {
        let proxy = Proxy::start(|config| {
            asking(&dns)(config);
            config.socks5.egress.prefer = prefer;
        });
        let connected = proxy.connect("x.test", port);
        assert_eq!((connected.reply, connected.bound.is_ipv6()), (0, ipv6), "{prefer:?}");
    }
    let proxy = Proxy::start(|config| config.socks5.egress.prefer = Prefer::Ipv4Only);
    assert_eq!(proxy.connect("::1", port).reply, 3);
    let end = proxy.end();
    assert_eq!(end.reason, Reason::NetworkUnreachable);
    assert_eq!(end.hint.as_deref(), Some("no IPv4 address: socks5.egress.prefer is ipv4_only"));
}

#[test]
fn sockets_leave_by_the_configured_address() {
    let ([target], port) = listeners(["127.0.0.1"]);
    let proxy = Proxy::start(|config| {
        config.socks5.egress.addresses = vec![[127, 0, 0, 7].into()];
        config.socks5.egress.interface = Some("lo".into());
    });
    let connected = proxy.connect("127.0.0.1", port);
    assert_eq!(connected.bound.ip(), IpAddr::from([127, 0, 0, 7]));
    assert_eq!(target.accept().unwrap().1, connected.bound);
}

#[test]
fn a_user_leaves_by_its_own_address_and_by_no_other_family() {
    let ([v4, _v6], port) = listeners(["127.0.0.1", "::1"]);
    hear_out(v4);
    let password = Password::Plain(b"secret"[..].into());
    let alice = User { egress: vec![[127, 0, 0, 8].into()], ..User::unlimited("alice".into(), password) };
    let proxy = Proxy::start(|config| {
        config.socks5.users = Some(Arc::new(Users { entries: vec![Arc::new(alice)] }));
        config.socks5.egress.addresses = vec![[127, 0, 0, 7].into()];
    });
    let ask = |host: &str| {
        let mut client = proxy.client(Some(("alice", "secret")));
        client.write_all(&request(1, host, port)).unwrap();
        answer(client)
    };
    assert_eq!(ask("127.0.0.1").bound.ip(), IpAddr::from([127, 0, 0, 8]));
    assert_eq!(proxy.end().reason, Reason::Finished);
    assert_eq!(ask("::1").reply, 3);
    let hint = proxy.end().hint.unwrap();
    assert!(hint.starts_with("the user's egress has no address of the target's family"), "{hint}");
}

#[test]
fn an_egress_that_cannot_work_is_said_at_the_start() {
    let fault = |alter: fn(&mut Config)| Proxy::try_start(1, alter).err().unwrap().0;
    let address = fault(|config| config.socks5.egress.addresses = vec![[192, 0, 2, 1].into()]);
    assert!(
        address.starts_with("socks5.egress.addresses: 192.0.2.1 cannot be a source address"),
        "{address}"
    );
    let interface = fault(|config| config.socks5.egress.interface = Some("nowhere0".into()));
    assert!(interface.starts_with("socks5.egress.interface: this host has no interface"), "{interface}");
}

/// Whether the SYN carries data depends on sysctls and cookies of the host; that nothing is lost or doubled must not.
#[test]
fn with_fast_open_each_byte_of_the_payload_arrives_once() {
    let ([target], port) = listeners(["127.0.0.1"]);
    let proxy = Proxy::start(|config| config.socks5.egress.fast_open = true);
    for _ in 0..3 {
        let connected = proxy.connect_saying("127.0.0.1", port, b"hello ");
        assert_eq!(connected.reply, 0);
        let mut client = connected.stream;
        client.write_all(b"world").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut heard = String::new();
        target.accept().unwrap().0.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello world");
        drop(client);
        assert_eq!(proxy.end().sent_bytes, 11);
    }
    drop(target);
    assert_eq!(proxy.connect_saying("127.0.0.1", port, b"hello").reply, 5);
}
