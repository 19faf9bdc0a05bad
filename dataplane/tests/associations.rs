//! UDP associations, seen by a client and by its peers.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod dns_server;
mod proxy;
mod udp_client;

use dns_server::{DnsServer, Reply};
use proxy::{Proxy, answer, request, until};
use ringway_shared::config::{
    Config, DriverChoice, Password, Quota, QuotaPeriod, UdpFilter, User, UserUdp, Users,
};
use ringway_shared::datagram::Drop as Dropped;
use ringway_shared::reason::Reason;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use udp_client::{Client, dropped, header, named, receive, socket};

const DRIVERS: [DriverChoice; 2] = [DriverChoice::Auto, DriverChoice::Epoll];

fn associations_now(proxy: &Proxy) -> u64 {
    proxy.cells.iter().map(|cells| cells.udp_opened.get() - cells.udp_closed.get()).sum()
}

#[test]
fn datagrams_come_and_go_with_their_peers_addresses_and_are_counted() {
    for driver in DRIVERS {
        come_and_go(&Proxy::start(|config| config.workers.driver = driver));
    }
}

fn come_and_go(proxy: &Proxy) {
    let client = Client::associate(proxy);
    assert_eq!(client.relay.ip(), client.control.local_addr().unwrap().ip());
    let peer = socket("127.0.0.1");
    client.round_trip(&peer);
    client.say(peer.local_addr().unwrap(), b"");
    let (empty, from) = receive(&peer);
    assert!(empty.is_empty());
    peer.send_to(b"", from).unwrap();
    assert_eq!(client.hear(), (peer.local_addr().unwrap(), Vec::new()));
    assert_eq!(proxy.targets_now(), 2);

    drop(client);
    let end = proxy.end();
    assert_eq!((end.reason, end.sent_bytes, end.received_bytes), (Reason::Finished, 5, 4));
    let cells = &proxy.cells[0];
    assert_eq!((cells.udp_sent.get(), cells.udp_received.get()), (2, 2));
    assert_eq!((cells.sent_bytes.get(), cells.received_bytes.get()), (5, 4));
    until(|| (proxy.targets_now() == 0).then_some(()));
    assert_eq!(associations_now(proxy), 0);
}

#[test]
fn one_association_reaches_ipv4_ipv6_and_names_from_one_port() {
    let dns = DnsServer::start("127.0.0.1", |_, _| Reply::Addresses(60, vec![[127, 0, 0, 1].into()]));
    let address = dns.address;
    let proxy = Proxy::start(|config| config.socks5.dns.servers = vec![address]);
    let client = Client::associate(&proxy);
    let (v4, v6) = (socket("127.0.0.1"), socket("::1"));
    let v4_address = v4.local_addr().unwrap();
    client.say(v4_address, b"to ipv4");
    client.say(v6.local_addr().unwrap(), b"to ipv6");
    client.say_raw(&[&named("x.test", v4_address.port())[..], b"to a name"].concat());
    client.say_raw(&[&named("127.0.0.1", v4_address.port())[..], b"to a literal"].concat());

    let (datagram, from) = receive(&v4);
    assert_eq!(datagram, b"to ipv4");
    let (datagram, from_v6) = receive(&v6);
    assert_eq!((&datagram[..], from_v6.port()), (&b"to ipv6"[..], from.port()));
    let mut rest = [receive(&v4), receive(&v4)];
    rest.sort();
    assert_eq!(rest, [(b"to a literal".to_vec(), from), (b"to a name".to_vec(), from)]);
    v6.send_to(b"from ipv6", from_v6).unwrap();
    assert_eq!(client.hear(), (v6.local_addr().unwrap(), b"from ipv6".to_vec()));
}

#[test]
fn names_that_nobody_knows_are_dropped_and_hold_up_no_other() {
    let dns = DnsServer::start("127.0.0.1", |name, _| match name {
        "gone.test." => Reply::NoName(Some(60)),
        _ => Reply::Silence,
    });
    let address = dns.address;
    let proxy = Proxy::start(|config| config.socks5.dns.servers = vec![address]);
    let client = Client::associate(&proxy);
    let peer = socket("127.0.0.1");
    client.say_raw(&named("gone.test", 53));
    until(|| (dropped(&proxy, Dropped::NameLookup) == 1).then_some(()));
    for number in 0..20 {
        client.say_raw(&named(&format!("silent{number}.test"), 53));
    }
    client.round_trip(&peer);
    assert_eq!(dropped(&proxy, Dropped::LookupsFull), 4);
    client.say_raw(&[&named("silent0.test", 53)[..], &[0; 65_000]].concat());
    client.round_trip(&peer);
    assert_eq!(dropped(&proxy, Dropped::LookupsFull), 5, "64 KiB may wait");
}

#[test]
fn whole_datagrams_pass_up_to_the_largest_and_what_has_no_room_is_counted() {
    let proxy = Proxy::start(|_| {});
    let client = Client::associate(&proxy);
    let peer = socket("127.0.0.1");
    let largest = vec![7; 65_507 - 10];
    client.say(peer.local_addr().unwrap(), &largest);
    let (datagram, from) = receive(&peer);
    assert!(datagram == largest);
    peer.send_to(&largest, from).unwrap();
    assert!(client.hear().1 == largest);
    peer.send_to(&[7; 65_507], from).unwrap();
    until(|| (dropped(&proxy, Dropped::TooLarge) == 1).then_some(()));
    client.round_trip(&peer);
}

#[test]
fn a_burst_keeps_its_order_and_the_bounds_of_its_datagrams() {
    let proxy = Proxy::start(|_| {});
    let client = Client::associate(&proxy);
    let peers = [socket("127.0.0.1"), socket("127.0.0.1")];
    client.round_trip(&peers[0]);
    // Sizes that make trains, end them, and must not be in one; destinations that take turns.
    let sizes = [1200, 1200, 1200, 300, 1200, 1, 0, 1473, 1473, 1472, 1472, 1200, 1200, 0, 0, 5000];
    let datagrams: Vec<Vec<u8>> = sizes.iter().zip(0..).map(|(size, fill)| vec![fill; *size]).collect();
    let mut back = None;
    for peer in [0, 1, 0] {
        for datagram in &datagrams {
            client.say(peers[peer].local_addr().unwrap(), datagram);
        }
        for datagram in &datagrams {
            let (received, from) = receive(&peers[peer]);
            assert!(received == *datagram, "{} for {}", received.len(), datagram.len());
            back = Some(from);
        }
    }
    for datagram in &datagrams {
        peers[0].send_to(datagram, back.unwrap()).unwrap();
    }
    for datagram in &datagrams {
        assert!(client.hear().1 == *datagram);
    }
}

#[test]
fn only_the_clients_first_port_is_heard() {
    let proxy = Proxy::start(|_| {});
    let client = Client::associate(&proxy);
    let (peer, stranger, elsewhere) = (socket("127.0.0.1"), socket("127.0.0.1"), socket("127.0.0.2"));
    let datagram = [&header(0, peer.local_addr().unwrap())[..], b"strange"].concat();
    elsewhere.send_to(&datagram, client.relay).unwrap();
    stranger.send_to(b"garbage does not latch", client.relay).unwrap();
    client.round_trip(&peer);
    stranger.send_to(&datagram, client.relay).unwrap();
    client.round_trip(&peer);
    assert_eq!((dropped(&proxy, Dropped::ForeignSource), dropped(&proxy, Dropped::Malformed)), (2, 1));
}

#[test]
fn dst_of_the_request_says_who_may_send() {
    let proxy = Proxy::start(|_| {});
    let (peer, stranger) = (socket("127.0.0.1"), socket("127.0.0.1"));
    let own = socket("127.0.0.1");
    let mut client = Client::on(proxy.client(None), "127.0.0.1", own.local_addr().unwrap().port());
    let datagram = [&header(0, peer.local_addr().unwrap())[..], b"strange"].concat();
    stranger.send_to(&datagram, client.relay).unwrap();
    client.socket = own;
    client.round_trip(&peer);
    assert_eq!(dropped(&proxy, Dropped::ForeignSource), 1);

    let proxy = Proxy::start(|config| config.socks5.udp.honour_dst = false);
    Client::on(proxy.client(None), "192.0.2.1", 9).round_trip(&peer);
}

#[test]
fn garbage_and_icmp_errors_end_no_association() {
    let proxy = Proxy::start(|_| {});
    let client = Client::associate(&proxy);
    let peer = socket("127.0.0.1");
    let closed = socket("127.0.0.1").local_addr().unwrap();
    client.round_trip(&peer);
    let garbage: [&[u8]; 7] = [
        b"",
        b"\0",
        b"\0\0\0",
        b"\0\0\0\x01\x7f\0\0\x01\0",
        b"\0\0\0\x09\x7f\0\0\x01\0\x50",
        b"\0\0\0\x03\x00\0\x50",
        b"\0\0\0\x01\x7f\0\0\x01\0\0",
    ];
    for datagram in garbage {
        client.say_raw(datagram);
        client.say(closed, b"nobody is there");
    }
    client.round_trip(&peer);
    assert_eq!(dropped(&proxy, Dropped::Malformed), garbage.len() as u64);
}

/// A client that vanished says nothing, and its peers may go on for days.
#[test]
fn the_control_connection_is_asked_whether_its_client_is_there() {
    let proxy = Proxy::start(|_| {});
    let client = Client::associate(&proxy);
    let hex = |address: SocketAddr| format!("0100007F:{:04X}", address.port());
    let control = &client.control;
    let ends = [control.peer_addr(), control.local_addr()].map(|end| hex(end.unwrap()));
    // Once the kernel has its answer acknowledged, the timer that runs is the one for keepalive.
    until(|| {
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let row = table.lines().find(|row| row.contains(&ends.join(" "))).unwrap();
        row.split_whitespace().nth(5).unwrap().starts_with("02:").then_some(())
    });
}

#[test]
fn the_filter_decides_which_peers_are_heard() {
    for (filter, same_address, other_address) in [
        (UdpFilter::FullCone, true, true),
        (UdpFilter::Address, true, false),
        (UdpFilter::AddressPort, false, false),
    ] {
        let proxy = Proxy::start(|config| config.socks5.udp.filter = filter);
        let client = Client::associate(&proxy);
        let (peer, beside, elsewhere) = (socket("127.0.0.1"), socket("127.0.0.1"), socket("127.0.0.2"));
        client.say(peer.local_addr().unwrap(), b"hello");
        let (_, from) = receive(&peer);
        for (stranger, heard) in [(beside, same_address), (elsewhere, other_address)] {
            stranger.send_to(b"strange", from).unwrap();
            peer.send_to(b"known", from).unwrap();
            if heard {
                assert_eq!(
                    client.hear(),
                    (stranger.local_addr().unwrap(), b"strange".to_vec()),
                    "{filter:?}"
                );
            }
            assert_eq!(client.hear(), (peer.local_addr().unwrap(), b"known".to_vec()), "{filter:?}");
        }
        let filtered = u64::from(!same_address) + u64::from(!other_address);
        assert_eq!(dropped(&proxy, Dropped::Filtered), filtered, "{filter:?}");
    }
}

#[test]
fn targets_are_judged_as_those_of_connect_are() {
    let proxy = Proxy::start(|config| config.socks5.allow_targets = Default::default());
    let client = Client::associate(&proxy);
    for number in 1..=5 {
        client.say("127.0.0.1:53".parse().unwrap(), b"refused");
        until(|| (dropped(&proxy, Dropped::DeniedTarget) == number).then_some(()));
    }
    drop(client);
    assert_eq!(proxy.end().hint.unwrap(), "target class loopback: name it in socks5.allow_targets".into());
}

#[test]
fn an_association_lives_exactly_as_long_as_its_connection() {
    for driver in DRIVERS {
        live_as_long(&Proxy::start(|config| config.workers.driver = driver));
    }
}

fn live_as_long(proxy: &Proxy) {
    let mut client = Client::associate(proxy);
    let peer = socket("127.0.0.1");
    client.round_trip(&peer);
    client.control.write_all(&[0x55; 100_000]).unwrap();
    client.round_trip(&peer);

    let Client { control, relay, .. } = client;
    drop(control);
    assert_eq!(proxy.end().reason, Reason::Finished);
    until(|| UdpSocket::bind(relay).ok());

    let client = Client::associate(proxy);
    socket2::SockRef::from(&client.control).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    assert_eq!(proxy.end().reason, Reason::ClientReset);
}

#[test]
fn an_association_without_a_datagram_is_ended_after_a_while() {
    let proxy = Proxy::start(|config| config.socks5.timeouts.udp_idle = Duration::from_millis(300));
    let client = Client::associate(&proxy);
    assert_eq!(std::io::Read::read(&mut &client.control, &mut [0]).unwrap(), 0);
    assert_eq!(proxy.end().reason, Reason::UdpIdleTimeout);
}

#[test]
fn associations_have_a_limit() {
    let proxy = Proxy::start(|config| config.socks5.limits.udp_associations = Some(2));
    let clients = [Client::associate(&proxy), Client::associate(&proxy)];
    let mut third = proxy.client(None);
    third.write_all(&request(3, "0.0.0.0", 0)).unwrap();
    assert_eq!(answer(third).reply, 1);
    assert_eq!(proxy.end().reason, Reason::LimitUdpAssociations);
    drop(clients);
    until(|| (associations_now(&proxy) == 0).then_some(()));
    Client::associate(&proxy).round_trip(&socket("127.0.0.1"));
}

#[test]
fn the_configured_address_and_ports_are_told() {
    let taken = socket("127.0.0.1");
    let first = taken.local_addr().unwrap().port();
    let alter = |config: &mut Config| {
        config.socks5.udp.advertise = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::new(192, 0, 2, 7).into()];
        config.socks5.udp.ports = Some(first..=first);
    };
    let proxy = Proxy::start(alter);
    let mut control = proxy.client(None);
    control.write_all(&request(3, "0.0.0.0", 0)).unwrap();
    assert_eq!(answer(control).reply, 1);
    assert_eq!(proxy.end().reason, Reason::NoResources);
    drop(taken);
    let mut client = Client::associate(&proxy);
    assert_eq!(client.relay, SocketAddr::new([192, 0, 2, 7].into(), first));
    client.relay = SocketAddr::new([127, 0, 0, 1].into(), first);
    client.round_trip(&socket("127.0.0.1"));
}

/// One user, altered by the test, who must log in.
fn with_user(alter: impl FnOnce(&mut User)) -> impl FnOnce(&mut Config) {
    let mut alice = User::unlimited("alice".into(), Password::Plain(b"x".as_slice().into()));
    alter(&mut alice);
    move |config| config.socks5.users = Some(Arc::new(Users { entries: vec![Arc::new(alice)] }))
}

#[test]
fn a_user_has_a_mode_a_rate_and_a_quota() {
    let login = Some(("alice", "x"));
    let peer = socket("127.0.0.1");
    let to = peer.local_addr().unwrap();
    let proxy = Proxy::start(with_user(|alice| alice.udp = UserUdp::Off));
    let mut control = proxy.client(login);
    control.write_all(&request(3, "0.0.0.0", 0)).unwrap();
    assert_eq!(answer(control).reply, 2);

    let proxy = Proxy::start(with_user(|alice| {
        alice.udp = UserUdp::Filter(UdpFilter::AddressPort);
        alice.quota = Some(Quota { bytes: 10, period: QuotaPeriod::Total });
    }));
    let client = Client::on(proxy.client(login), "0.0.0.0", 0);
    client.round_trip(&peer);
    client.say(to, b"xx");
    client.say(to, b"x");
    assert_eq!(receive(&peer).0, b"x");
    assert_eq!(dropped(&proxy, Dropped::QuotaExhausted), 1);
    drop(client);
    assert_eq!(proxy.end().sent_bytes, 6);

    let proxy = Proxy::start(with_user(|alice| alice.rate_up = Some(1000)));
    let client = Client::on(proxy.client(login), "0.0.0.0", 0);
    client.say(to, &[1; 1000]);
    client.say(to, &[2; 1000]);
    assert_eq!(receive(&peer).0, [1; 1000]);
    until(|| (dropped(&proxy, Dropped::RateLimited) == 1).then_some(()));
}
