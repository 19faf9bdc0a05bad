//! BIND, seen by the client that asks for it and by the peers that come.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod dns_server;
mod proxy;

use dns_server::{DnsServer, Reply};
use proxy::{Answer, Proxy, answer, request, until};
use ringway_shared::command::Command;
use ringway_shared::config::{Action, Days, Destination, Rule, Via};
use ringway_shared::reason::Reason;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const BIND: u8 = 2;
const UDP_ASSOCIATE: u8 = 3;
const ANYONE: &str = "0.0.0.0";

/// Asks for BIND and reads the first reply.
fn bind(proxy: &Proxy, host: &str, payload: &[u8]) -> Answer {
    let mut client = proxy.client(None);
    client.write_all(&[&request(BIND, host, 21)[..], payload].concat()).unwrap();
    answer(client)
}

/// A peer that comes from a loopback address of its own.
fn come_from(ip: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(ip.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into())?;
    Ok(socket.into())
}

/// Whether the other side reset the connection.
fn is_reset(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(proxy::PATIENCE)).unwrap();
    stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[test]
fn the_first_reply_says_where_to_come_and_the_second_who_came() {
    let proxy = Proxy::start(|_| {});
    let first = bind(&proxy, "127.0.0.1", b"early ");
    assert_eq!((first.reply, first.bound.ip()), (0, IpAddr::from([127, 0, 0, 1])));
    let mut peer = come_from("127.0.0.1", first.bound).unwrap();
    let second = answer(first.stream);
    assert_eq!((second.reply, second.bound), (0, peer.local_addr().unwrap()));
    let refused = TcpStream::connect(first.bound).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "one accept, then the listener is closed");

    let mut client = second.stream;
    client.write_all(b"payload").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut heard = String::new();
    peer.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "early payload");
    peer.write_all(b"answer").unwrap();
    drop(peer);
    heard.clear();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "answer");
    let end = proxy.end();
    assert_eq!((end.reason, end.sent_bytes, end.received_bytes), (Reason::Finished, 13, 6));
    assert_eq!(proxy.targets_now(), 0);
}

#[test]
fn strangers_are_reset_and_the_wait_goes_on() {
    let proxy = Proxy::start(|_| {});
    let first = bind(&proxy, "127.0.0.9", b"");
    assert!(is_reset(come_from("127.0.0.1", first.bound).unwrap()));
    let _peer = come_from("127.0.0.9", first.bound).unwrap();
    assert_eq!(answer(first.stream).bound.ip(), IpAddr::from([127, 0, 0, 9]));
}

#[test]
fn too_many_strangers_end_it() {
    let proxy = Proxy::start(|_| {});
    let first = bind(&proxy, "127.0.0.9", b"");
    for _ in 0..64 {
        assert!(is_reset(come_from("127.0.0.1", first.bound).unwrap()));
    }
    assert_ne!(answer(first.stream).reply, 0);
    assert_eq!(proxy.end().reason, Reason::BindPeerRefused);
    assert_eq!(proxy.targets_now(), 0);
}

#[test]
fn whoever_may_be_a_target_may_come_where_no_address_is_named() {
    let proxy = Proxy::start(|config| {
        config.socks5.deny_targets.networks = vec!["127.0.0.8/32".parse().unwrap()];
    });
    let first = bind(&proxy, ANYONE, b"");
    assert!(is_reset(come_from("127.0.0.8", first.bound).unwrap()));
    let _peer = come_from("127.0.0.9", first.bound).unwrap();
    assert_eq!(answer(first.stream).reply, 0);
}

#[test]
fn whom_a_rule_sends_through_proxies_does_not_come_round_them() {
    let rule = Rule {
        label: "socks5.acl[0]".into(),
        action: Action::Allow { via: Some(Via::Group("exits".into())) },
        from: Vec::new(),
        users: Vec::new(),
        to: vec![Destination::Network("127.0.0.2/32".parse().unwrap())],
        ports: Vec::new(),
        commands: None,
        days: Days::ALL,
        hours: None,
    };
    let proxy = Proxy::start(|config| config.socks5.acl = vec![rule].into());
    let first = bind(&proxy, ANYONE, b"");
    assert_eq!(first.reply, 0, "there are others");
    assert!(is_reset(come_from("127.0.0.2", first.bound).unwrap()));
    let peer = come_from("127.0.0.3", first.bound).unwrap();
    assert_eq!(answer(first.stream).bound, peer.local_addr().unwrap());
}

#[test]
fn nobody_is_awaited_where_everything_goes_through_proxies() {
    let proxy = Proxy::start(|config| config.socks5.upstream.default = Some("exits".into()));
    assert_eq!(bind(&proxy, ANYONE, b"").reply, 2);
    let mut client = proxy.client(None);
    client.write_all(&request(UDP_ASSOCIATE, ANYONE, 0)).unwrap();
    assert_eq!(answer(client).reply, 2, "no datagram would pass");
}

#[test]
fn any_address_of_a_name_may_come_and_a_denied_target_is_refused() {
    let addresses = [IpAddr::from([127, 0, 0, 9]), IpAddr::from([127, 0, 0, 10])];
    let dns = DnsServer::start("127.0.0.1", move |_, _| Reply::Addresses(60, addresses.to_vec()));
    let server = dns.address;
    let proxy = Proxy::start(|config| config.socks5.dns.servers = vec![server]);
    let first = bind(&proxy, "x.test", b"");
    let _peer = come_from("127.0.0.10", first.bound).unwrap();
    assert_eq!(answer(first.stream).reply, 0);
    assert_eq!(bind(&proxy, "169.254.169.254", b"").reply, 2);
}

#[test]
fn nobody_comes_and_the_time_is_over() {
    let proxy = Proxy::start(|config| config.socks5.timeouts.bind = Duration::from_millis(200));
    let first = bind(&proxy, "127.0.0.9", b"said too early");
    assert_eq!(answer(first.stream).reply, 6);
    assert_eq!(proxy.end().reason, Reason::BindTimeout);
    assert_eq!(proxy.targets_now(), 0);
}

#[test]
fn a_client_that_leaves_ends_the_wait() {
    let proxy = Proxy::start(|_| {});
    drop(bind(&proxy, ANYONE, b""));
    assert_eq!(proxy.end().reason, Reason::ClientGone);
    // Behind bytes that nobody reads yet only a reset is seen, by the scan.
    let first = bind(&proxy, ANYONE, b"unread");
    until(|| (proxy.targets_now() == 1).then_some(()));
    Socket::from(first.stream).set_linger(Some(Duration::ZERO)).unwrap();
    assert_eq!(proxy.end().reason, Reason::ClientGone);
    assert_eq!(proxy.targets_now(), 0);
}

#[test]
fn a_cut_ends_the_wait_at_once() {
    let proxy = Proxy::start(|_| {});
    let first = bind(&proxy, ANYONE, b"");
    let begun = Instant::now();
    assert!(proxy.workers.tell(0, Command::Cut));
    assert_ne!(answer(first.stream).reply, 0);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(proxy.end().reason, Reason::Drained);
}

#[test]
fn it_listens_where_the_clients_other_connections_leave() {
    let proxy = Proxy::start(|config| config.socks5.egress.addresses = vec![[127, 0, 0, 7].into()]);
    let first = bind(&proxy, "127.0.0.9", b"");
    assert_eq!(first.bound.ip(), IpAddr::from([127, 0, 0, 7]));
    let _peer = come_from("127.0.0.9", first.bound).unwrap();
    assert_eq!(answer(first.stream).reply, 0);
}

#[test]
fn the_port_is_one_of_the_range_and_the_address_the_advertised_one() {
    // Below the ephemeral ports, and not where another run of this test looks.
    let first_port = 20_000 + (std::process::id() % 4_000) as u16 * 3;
    let ports = first_port..=first_port + 2;
    let proxy = Proxy::start(|config| {
        config.socks5.bind.ports = Some(ports.clone());
        config.socks5.bind.advertise = vec![[203, 0, 113, 7].into()];
    });
    let all: Vec<_> = (0..3).map(|_| bind(&proxy, ANYONE, b"")).collect();
    for first in &all {
        assert_eq!((first.reply, first.bound.ip()), (0, IpAddr::from([203, 0, 113, 7])));
        assert!(ports.contains(&first.bound.port()), "{}", first.bound);
    }
    assert_eq!(bind(&proxy, ANYONE, b"").reply, 1);
    let end = proxy.end();
    assert_eq!(end.reason, Reason::NoResources);
    assert_eq!(end.hint.as_deref(), Some("every port of socks5.bind.ports is taken"));
}
