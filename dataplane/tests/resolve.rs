//! The resolver's thread, seen through a worker's inbox, against name servers on loopback.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod dns_server;

use dns_server::desk::{Desk, LOOKUP_TIMEOUT, asking};
use dns_server::{DnsServer, Reply};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use ringway_dataplane::io::inbox::{CAPACITY, Mail, ReturnAddress, inbox};
use ringway_dataplane::io::questions::{self, Ticket};
use ringway_dataplane::io::resolve::{self, ADDRESSES_MAX, LookupError, QUESTIONS_MAX};
use ringway_shared::config::Dns;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// For lookups that are to run out of time.
const SHORT: Duration = Duration::from_millis(600);
const HOUR: u32 = 3_600;

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn one_address(ttl: u32) -> Reply {
    Reply::Addresses(ttl, ips(&["192.0.2.1"]))
}

/// A server that gives every name the same reply, and a desk that asks it.
fn always(reply: fn() -> Reply) -> (DnsServer, Desk) {
    let server = DnsServer::start("127.0.0.1", move |_, _| reply());
    let desk = Desk::open(&asking(&[server.address]), LOOKUP_TIMEOUT);
    (server, desk)
}

/// A socket that takes questions and never answers. Keep it, or the port answers "refused".
fn dead_server(ip: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[test]
fn both_families_come_in_turn_with_ipv6_first() {
    let (_server, desk) = always(|| {
        let all = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1", "2001:db8::1", "2001:db8::2"];
        Reply::Addresses(HOUR, ips(&all))
    });
    let mut found = desk.lookup_both("both.test");
    let families: Vec<_> = found.iter().map(IpAddr::is_ipv6).collect();
    assert_eq!(families, [true, false, true, false, false]);
    found.sort();
    assert_eq!(found, ips(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"]));
}

#[test]
fn one_family_is_enough() {
    let (_server, desk) = always(|| Reply::Addresses(HOUR, ips(&["2001:db8::1"])));
    assert_eq!(desk.lookup("six.test"), Ok(ips(&["2001:db8::1"])));
    let (_server, desk) = always(|| one_address(HOUR));
    assert_eq!(desk.lookup("four.test"), Ok(ips(&["192.0.2.1"])));
}

#[test]
fn failures_are_told_apart() {
    let server = DnsServer::start("127.0.0.1", |name, _| match name {
        "nxdomain.test." => Reply::NoName(Some(60)),
        "nxdomain-without-soa.test." => Reply::NoName(None),
        "nodata.test." => Reply::NoData,
        "servfail.test." => Reply::Code(ResponseCode::ServFail),
        _ => Reply::Code(ResponseCode::Refused),
    });
    let desk = Desk::open(&asking(&[server.address]), LOOKUP_TIMEOUT);
    for name in ["nxdomain.test", "nxdomain-without-soa.test", "nodata.test"] {
        assert_eq!(desk.lookup(name), Err(LookupError::NotFound), "{name}");
    }
    for name in ["servfail.test", "refused.test"] {
        assert_eq!(desk.lookup(name), Err(LookupError::Failed), "{name}");
    }
}

#[test]
fn one_family_failing_does_not_hide_the_other() {
    let server = DnsServer::start("127.0.0.1", |_, family| match family {
        RecordType::A => one_address(HOUR),
        _ => Reply::Code(ResponseCode::ServFail),
    });
    let desk = Desk::open(&asking(&[server.address]), LOOKUP_TIMEOUT);
    assert_eq!(desk.lookup("half.test"), Ok(ips(&["192.0.2.1"])));
}

#[test]
fn swallowed_aaaa_questions_cost_a_moment_only() {
    let server = DnsServer::start("127.0.0.1", |_, family| match family {
        RecordType::A => one_address(HOUR),
        _ => Reply::Silence,
    });
    let desk = Desk::open(&asking(&[server.address]), LOOKUP_TIMEOUT);
    let started = Instant::now();
    assert_eq!(desk.lookup("half.test"), Ok(ips(&["192.0.2.1"])));
    assert!(started.elapsed() < LOOKUP_TIMEOUT / 4, "{:?}", started.elapsed());
}

/// On a busy machine it may be late; of thirty times, once it is not.
#[test]
fn a_later_aaaa_is_waited_for_a_moment() {
    let server = DnsServer::start("127.0.0.1", |_, family| {
        if family == RecordType::AAAA {
            #[expect(clippy::disallowed_methods, reason = "this thread plays a slow name server")]
            std::thread::sleep(Duration::from_millis(5));
        }
        Reply::Addresses(HOUR, ips(&["192.0.2.1", "2001:db8::1"]))
    });
    let desk = Desk::open(&asking(&[server.address]), LOOKUP_TIMEOUT);
    let waited_for = |number| desk.lookup(&format!("{number}.test")).unwrap().iter().any(IpAddr::is_ipv6);
    assert!((0..30).any(waited_for));
}

#[test]
fn a_server_that_is_dead_or_gone_is_a_timeout_in_time() {
    let (_socket, dead) = dead_server("127.0.0.1");
    let (_, gone) = dead_server("127.0.0.2");
    for server in [dead, gone] {
        let desk = Desk::open(&asking(&[server]), SHORT);
        let started = Instant::now();
        assert_eq!(desk.lookup("any.test"), Err(LookupError::Timeout));
        assert!(started.elapsed() < SHORT + Duration::from_secs(1), "{:?}", started.elapsed());
    }
}

#[test]
fn one_dead_server_of_two_leaves_time_for_the_other() {
    let (_socket, dead) = dead_server("127.0.0.1");
    let alive = DnsServer::start("127.0.0.2", |_, _| one_address(HOUR));
    let desk = Desk::open(&asking(&[dead, alive.address]), LOOKUP_TIMEOUT);
    for name in ["one.test", "two.test", "three.test"] {
        assert_eq!(desk.lookup(name), Ok(ips(&["192.0.2.1"])), "{name}");
    }
}

#[test]
fn three_dead_servers_of_four_leave_time_for_the_last() {
    let dead = ["127.0.0.1", "127.0.0.2", "127.0.0.3"].map(dead_server);
    let alive = DnsServer::start("127.0.0.4", |_, _| one_address(HOUR));
    let mut servers: Vec<_> = dead.iter().map(|(_, address)| *address).collect();
    servers.push(alive.address);
    let desk = Desk::open(&asking(&servers), Duration::from_secs(4));
    assert_eq!(desk.lookup("one.test"), Ok(ips(&["192.0.2.1"])));
}

#[test]
fn a_server_that_refuses_does_not_hide_one_that_knows() {
    let refusing = DnsServer::start("127.0.0.1", |_, _| Reply::Code(ResponseCode::Refused));
    // Later than the refusal, always.
    let alive = DnsServer::start("127.0.0.2", |_, _| {
        #[expect(clippy::disallowed_methods, reason = "this thread plays a slow name server")]
        std::thread::sleep(Duration::from_millis(20));
        one_address(HOUR)
    });
    let desk = Desk::open(&asking(&[refusing.address, alive.address]), LOOKUP_TIMEOUT);
    assert_eq!(desk.lookup("one.test"), Ok(ips(&["192.0.2.1"])));
    assert!(refusing.asked_anything());
}

#[test]
fn answers_are_kept_for_their_ttl() {
    let (server, desk) = always(|| Reply::Addresses(HOUR, ips(&["192.0.2.1", "2001:db8::1"])));
    for _ in 0..3 {
        assert!(desk.lookup("kept.test").is_ok());
    }
    assert_eq!(server.asked("kept.test."), 2, "A and AAAA once");
}

#[test]
fn answers_without_ttl_are_not_kept() {
    let (server, desk) = always(|| one_address(0));
    for _ in 0..3 {
        assert!(desk.lookup("fleeting.test").is_ok());
    }
    assert!(server.asked("fleeting.test.") >= 3, "{}", server.asked("fleeting.test."));
}

#[test]
fn a_ttl_ends_and_ttl_max_ends_a_longer_one() {
    for (ttl, ttl_max) in [(1, 3_600), (HOUR, 1)] {
        let server = DnsServer::start("127.0.0.1", move |_, _| {
            Reply::Addresses(ttl, ips(&["192.0.2.1", "2001:db8::1"]))
        });
        let settings = Dns { ttl_max: Duration::from_secs(ttl_max), ..asking(&[server.address]) };
        let desk = Desk::open(&settings, LOOKUP_TIMEOUT);
        let started = Instant::now();
        while server.asked("brief.test.") <= 2 {
            assert!(desk.lookup("brief.test").is_ok());
            assert!(started.elapsed() < LOOKUP_TIMEOUT, "kept beyond its time");
        }
        assert!(started.elapsed() >= Duration::from_secs(1), "asked again after {:?}", started.elapsed());
    }
}

#[test]
fn that_a_name_does_not_exist_is_kept_as_its_soa_says() {
    let server = DnsServer::start("127.0.0.1", |name, _| match name {
        "kept.test." => Reply::NoName(Some(60)),
        _ => Reply::NoName(None),
    });
    let desk = Desk::open(&asking(&[server.address]), LOOKUP_TIMEOUT);
    for name in ["kept.test", "kept.test", "fleeting.test", "fleeting.test"] {
        assert_eq!(desk.lookup(name), Err(LookupError::NotFound));
    }
    assert_eq!((server.asked("kept.test."), server.asked("fleeting.test.")), (2, 4));
}

#[test]
fn zero_limits_switch_the_caches_off() {
    let server = DnsServer::start("127.0.0.1", |name, _| match name {
        "no.test." => Reply::NoName(Some(60)),
        _ => Reply::Addresses(HOUR, ips(&["192.0.2.1", "2001:db8::1"])),
    });
    let limits = [
        Dns { cache_entries: 0, ..asking(&[server.address]) },
        Dns { ttl_max: Duration::ZERO, negative_ttl_max: Duration::ZERO, ..asking(&[server.address]) },
    ];
    for (round, limits) in limits.iter().enumerate() {
        let desk = Desk::open(limits, LOOKUP_TIMEOUT);
        for _ in 0..2 {
            assert!(desk.lookup("yes.test").is_ok());
            assert_eq!(desk.lookup("no.test"), Err(LookupError::NotFound));
        }
        let all = 4 * (round + 1);
        assert_eq!((server.asked("yes.test."), server.asked("no.test.")), (all, all));
    }
}

#[test]
fn a_thousand_equal_questions_make_one_query() {
    let gate = Arc::new(Barrier::new(2));
    let at_the_gate = gate.clone();
    let server = DnsServer::start("127.0.0.1", move |_, family| {
        if family == RecordType::A {
            at_the_gate.wait();
        }
        one_address(0)
    });
    let desk = Desk::open(&asking(&[server.address]), LOOKUP_TIMEOUT);
    for slot in 0..1_000 {
        desk.ask(if slot % 2 == 0 { "same.test" } else { "SAME.test" }, slot).unwrap();
    }
    // Questions are taken in order: this answer says that the thousand are all on their way.
    desk.ask("localhost", 1_000).unwrap();
    assert_eq!(desk.answer().0, 1_000);
    gate.wait();
    let mut slots: Vec<_> = (0..1_000)
        .map(|_| desk.answer())
        .map(|(slot, answer)| {
            assert_eq!(answer, Ok(ips(&["192.0.2.1"])));
            slot
        })
        .collect();
    slots.sort_unstable();
    assert_eq!(slots, (0..1_000).collect::<Vec<_>>());
    assert_eq!(server.asked("same.test."), 2, "A and AAAA once");
}

#[test]
fn of_twenty_addresses_sixteen_come() {
    let (_server, desk) =
        always(|| Reply::Addresses(HOUR, (1..=20).map(|n| Ipv4Addr::new(192, 0, 2, n).into()).collect()));
    assert_eq!(desk.lookup("many.test").unwrap().len(), ADDRESSES_MAX);
}

#[test]
fn a_cut_answer_is_fetched_by_tcp() {
    let (_server, desk) = always(|| Reply::OnlyByTcp(HOUR, ips(&["192.0.2.1", "2001:db8::1"])));
    assert_eq!(desk.lookup_both("long.test"), ips(&["2001:db8::1", "192.0.2.1"]));
}

#[test]
fn odd_names_are_asked_for_and_impossible_ones_are_not() {
    let (server, desk) = always(|| one_address(HOUR));
    for name in
        ["_sip._tcp.my_host.test", "xn--bcher-kva.test", "UPPER.test", "dot.test.", "1.2.3.4.5", "single"]
    {
        assert_eq!(desk.lookup(name), Ok(ips(&["192.0.2.1"])), "{name}");
        let asked = format!("{}.", name.trim_end_matches('.').to_ascii_lowercase());
        assert_eq!(server.asked(&asked), 2, "{asked}");
    }
    let (server, desk) = always(|| one_address(HOUR));
    let (long_label, long_name) = (format!("{}.test", "x".repeat(64)), "x.".repeat(127) + "x");
    for name in [&long_label, &long_name, "a..test", ".", ".."] {
        assert_eq!(desk.lookup(name), Err(LookupError::NotFound), "{name}");
    }
    assert!(!server.asked_anything());
}

#[test]
fn some_names_need_no_server() {
    let (server, desk) = always(|| one_address(HOUR));
    for name in ["localhost", "LOCALHOST.", "printer.localhost"] {
        assert_eq!(desk.lookup(name), Ok(ips(&["::1", "127.0.0.1"])), "{name}");
    }
    for literal in ["192.0.2.9", "2001:db8::9"] {
        assert_eq!(desk.lookup(literal), Ok(ips(&[literal])));
    }
    assert!(!server.asked_anything());
}

#[test]
fn with_every_server_dead_all_are_answered_in_time_and_too_many_are_refused() {
    const { assert!(QUESTIONS_MAX <= CAPACITY, "the answers fit this one inbox") };
    let (_socket, dead) = dead_server("127.0.0.1");
    let desk = Desk::open(&asking(&[dead]), SHORT);
    // So many names that, were each given its time only when its turn comes, the last would wait 20 s.
    let started = Instant::now();
    let accepted =
        (0u32..).take_while(|slot| desk.ask(&format!("{}.test", slot % 10_000), *slot).is_ok()).count();
    assert_eq!(accepted, QUESTIONS_MAX);
    for _ in 0..accepted {
        assert_eq!(desk.answer().1, Err(LookupError::Timeout));
    }
    assert!(started.elapsed() < SHORT + Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(desk.lookup("localhost").map(|found| found.len()), Ok(2), "and there is room again");
}

#[test]
fn the_thread_has_a_name_and_ends_with_the_last_resolver() {
    let (_socket, dead) = dead_server("127.0.0.1");
    let (resolver, thread) = resolve::start(&asking(&[dead]), LOOKUP_TIMEOUT).unwrap();
    assert_eq!(thread.thread().name(), Some("ringway-dns"));
    let (outbox, inbox) = inbox().unwrap();
    let back = ReturnAddress { outbox, ticket: Ticket { slot: 1, generation: 1 } };
    resolver.clone().ask("any.test", back).unwrap();
    drop(resolver);
    thread.join().unwrap();
    assert!(
        matches!(inbox.take(), Some(Mail::Answer(_, questions::Reply::Resolved(Err(LookupError::Failed))))),
        "nobody is left waiting"
    );
}
