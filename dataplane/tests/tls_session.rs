//! `io::tls` against rustls' own client, over real sockets, without a worker.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod tls_support;

use ringway_dataplane::io::tls::Acceptor;
use ringway_shared::config::TlsVersion;
use ringway_shared::tls::TlsFault;
use rustix::io::Errno;
use rustls::HandshakeKind;
use std::io::Write;
use std::net::Shutdown;
use tls_support::pair::{Pair, acceptor, pattern, until};
use tls_support::{Authority, TLS12, TLS13, client, settings};

#[test]
fn bytes_arrive_both_ways_whatever_the_room() {
    for versions in [[&TLS12], [&TLS13]] {
        for room in [7, 5000, 64 * 1024] {
            let mut pair = Pair::new(&versions);
            let sent = pattern(300_000);
            let (mut given, mut up, mut taken, mut down) = (0, Vec::new(), 0, Vec::new());
            until(|| {
                given += pair.client.writer().write(&sent[given..]).unwrap();
                pair.move_client().unwrap();
                while let Ok(bytes) = pair.receive(room) {
                    up.extend_from_slice(&bytes);
                }
                taken += pair.send(&sent[taken..]).unwrap();
                pair.server.flush(&pair.socket).unwrap();
                pair.client_reads(&mut down);
                (up.len() + down.len() == 2 * sent.len() && !pair.server.wants_write()).then_some(())
            });
            assert!(up == sent && down == sent, "{room}");
            assert_eq!(pair.server.held_bytes(), 0, "an idle connection holds a buffer");
        }
    }
}

#[test]
fn a_client_hello_byte_by_byte_is_the_same() {
    let authority = Authority::new();
    let mut pair =
        Pair::of(&acceptor(&authority, TlsVersion::Tls13), authority.client(&[&TLS13], "example.org"));
    let mut hello = Vec::new();
    pair.client.write_tls(&mut hello).unwrap();
    for byte in hello {
        pair.wire.write_all(&[byte]).unwrap();
        assert_eq!(pair.receive(1024), Err(Errno::AGAIN));
    }
    pair.shake_hands();
}

#[test]
fn the_certificate_is_chosen_by_name_and_renewed_between_handshakes() {
    let authority = Authority::new();
    let pems = [&["example.org"][..], &["*.example.net", "example.net"], &["*.example.net", "other.example"]]
        .map(|names| authority.sign(names));
    let acceptor = Acceptor::new(&settings(&[&pems[0], &pems[1], &pems[2]], TlsVersion::Tls12), &[], None)
        .unwrap()
        .unwrap();
    let shown = |name: &str| {
        let mut pair = Pair::of(&acceptor, authority.client(&[&TLS13], name));
        let failed = until(|| {
            let failed = pair.move_client().is_err();
            let _ = pair.receive(1024);
            (failed || !pair.client.is_handshaking()).then_some(failed)
        });
        // A name that no certificate has is shown the first, and the client will have none of it.
        (!failed).then(|| pair.client.peer_certificates().unwrap()[0].to_vec())
    };
    let der = |pem: &tls_support::Pem| pem.loaded().certified.cert[0].to_vec();
    for (name, expected) in [
        ("example.org", Some(&pems[0])),
        ("EXAMPLE.net", Some(&pems[1])),
        ("a.example.net", Some(&pems[1])),
        ("other.example", Some(&pems[2])),
        ("a.b.example.net", None),
        ("nobody.example", None),
    ] {
        assert_eq!(shown(name), expected.map(der), "{name}");
    }
    let renewed = authority.sign(&["example.org"]);
    acceptor.certificates().replace(&[renewed.loaded()]);
    assert_eq!(shown("example.org"), Some(der(&renewed)));
    acceptor.certificates().replace(&[]);
    assert_eq!(shown("example.org"), Some(der(&renewed)));
}

#[test]
fn what_cannot_be_agreed_upon_is_refused_with_an_alert() {
    let authority = Authority::new();
    let strict = acceptor(&authority, TlsVersion::Tls13);
    let mut http2 = authority.client_config(&[&TLS13]);
    http2.alpn_protocols = vec![b"h2".to_vec()];
    for client in [authority.client(&[&TLS12], "example.org"), client(http2, "example.org")] {
        let mut pair = Pair::of(&strict, client);
        assert_eq!(pair.next(), Err(Errno::PROTO));
        assert_eq!(pair.server.fault(), Some(TlsFault::NothingInCommon));
        let told = until(|| pair.move_client().err()).to_string();
        assert!(told.contains("fatal alert"), "{told}");
    }
}

#[test]
fn http_is_agreed_upon_where_it_is_offered() {
    let authority = Authority::new();
    let mut config = authority.client_config(&[&TLS13]);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut pair = Pair::of(&acceptor(&authority, TlsVersion::Tls12), client(config, "example.org"));
    pair.shake_hands();
    assert_eq!(pair.client.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn what_is_no_tls_is_told_from_what_is_broken() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority, TlsVersion::Tls12);
    // A handshake message of 60,000 bytes, over as many records as it takes.
    let giant: Vec<u8> = (0..4)
        .flat_map(|index| {
            let mut body = vec![0; 15_000];
            if index == 0 {
                body[..4].copy_from_slice(&[1, 0, 0xea, 0x60]);
            }
            [&[22, 3, 1, 0x3a, 0x98], &body[..]].concat()
        })
        .collect();
    for (bytes, fault) in [
        (&b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"[..], TlsFault::NotTls),
        (b"\x05\x01\x00\x05\x01\x00\x05", TlsFault::NotTls),
        (&[0xff; 200], TlsFault::NotTls),
        (b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\xff\xff", TlsFault::Protocol),
        (b"\x15\x03\x01\x00\x02\x02\x30", TlsFault::RefusedByClient),
        (&giant, TlsFault::Flood),
    ] {
        let mut pair = Pair::of(&acceptor, authority.client(&[&TLS13], "example.org"));
        let mut left = bytes;
        let outcome = until(|| {
            let sent = pair.wire.write(left).unwrap_or(0);
            left = &left[sent..];
            Some(pair.receive(1024)).filter(|outcome| *outcome != Err(Errno::AGAIN))
        });
        assert_eq!((outcome, pair.server.fault()), (Err(Errno::PROTO), Some(fault)), "{:?}", &bytes[..5]);
        assert!(pair.server.held_bytes() < 1024);
        assert_eq!(pair.receive(1024), Err(Errno::PROTO), "a fault is final");
    }
}

#[test]
fn an_end_is_told_from_a_cut() {
    for versions in [[&TLS12], [&TLS13]] {
        let mut pair = Pair::new(&versions);
        pair.client.writer().write_all(b"last words").unwrap();
        pair.client.send_close_notify();
        pair.move_client().unwrap();
        assert_eq!(pair.next().unwrap(), b"last words");
        // The end came with them: the socket stays silent.
        assert!(pair.server.has_news());
        assert_eq!(pair.receive(16).unwrap(), b"");
        assert!(!pair.server.has_news());
        // The other direction goes on.
        assert_eq!(pair.send(b"answer"), Ok(6));
        pair.server.close_notify(&pair.socket).unwrap();
        assert_eq!(pair.send(b"more"), Err(Errno::PIPE));
        let mut read = Vec::new();
        until(|| {
            pair.move_client().unwrap();
            pair.client_reads(&mut read).then_some(())
        });
        assert_eq!(read, b"answer");

        let mut pair = Pair::new(&versions);
        pair.client.writer().write_all(b"last words").unwrap();
        pair.move_client().unwrap();
        pair.wire.shutdown(Shutdown::Write).unwrap();
        assert_eq!(pair.next().unwrap(), b"last words");
        assert_eq!(pair.next(), Err(Errno::CONNRESET));
        assert_eq!(pair.server.fault(), Some(TlsFault::Truncated));
    }
}

#[test]
fn a_client_that_does_not_read_bounds_what_is_held() {
    let mut pair = Pair::new(&[&TLS13]);
    let sent = pattern(16 << 20);
    let mut taken = 0;
    loop {
        match pair.send(&sent[taken..]).unwrap() {
            0 => break,
            count => taken += count,
        }
    }
    assert!(pair.server.wants_write() && taken < sent.len());
    assert!(pair.server.held_bytes() <= 64 * 1024, "{}", pair.server.held_bytes());
    let mut read = Vec::new();
    until(|| {
        pair.move_client().unwrap();
        pair.client_reads(&mut read);
        pair.server.flush(&pair.socket).unwrap();
        taken += pair.send(&sent[taken..]).unwrap();
        (read.len() == sent.len()).then_some(())
    });
    assert!(read == sent);
    assert_eq!(pair.server.held_bytes(), 0);
}

#[test]
fn keys_are_renewed_on_demand_but_not_for_ever() {
    let mut pair = Pair::new(&[&TLS13]);
    for round in 0..50u8 {
        pair.client.refresh_traffic_keys().unwrap();
        pair.client.writer().write_all(&[round]).unwrap();
        assert_eq!(pair.next().unwrap(), [round]);
        assert_eq!(pair.send(&[round]), Ok(1));
        let mut read = Vec::new();
        until(|| {
            pair.move_client().unwrap();
            pair.client_reads(&mut read);
            (read == [round]).then_some(())
        });
    }
    for _ in 0..50 {
        pair.client.refresh_traffic_keys().unwrap();
        let _ = pair.move_client();
    }
    assert_eq!(pair.next(), Err(Errno::PROTO));
    assert_eq!(pair.server.fault(), Some(TlsFault::Flood));
    assert!(pair.server.held_bytes() < 1024);
}

#[test]
fn a_record_that_was_tampered_with_is_no_data() {
    let mut pair = Pair::new(&[&TLS13]);
    pair.client.writer().write_all(b"transfer 100").unwrap();
    let mut record = Vec::new();
    pair.client.write_tls(&mut record).unwrap();
    *record.last_mut().unwrap() ^= 1;
    pair.wire.write_all(&record).unwrap();
    assert_eq!(pair.next(), Err(Errno::PROTO));
    assert_eq!(pair.server.fault(), Some(TlsFault::Protocol));
}

/// Numbers that look random, from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % end
    }

    /// Mostly small, sometimes more than several records.
    fn size(&mut self) -> usize {
        let scale = [10, 300, 20_000, 70_000][self.below(4)];
        1 + self.below(scale)
    }
}

#[test]
fn any_chunking_gives_the_same_bytes() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority, TlsVersion::Tls12);
    for seed in 1..=60u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let version = [&TLS12, &TLS13][dice.below(2)];
        let mut pair = Pair::of(&acceptor, authority.client(&[version], "example.org"));
        let (up, down) = (pattern(200_000), pattern(150_000));
        let (mut written, mut got, mut taken, mut read) = (0, Vec::new(), 0, Vec::new());
        // What the client has said and the wire has not carried yet.
        let mut carried = Vec::new();
        let mut ended = false;
        until(|| {
            if written < up.len() && !pair.client.is_handshaking() {
                let end = up.len().min(written + dice.size());
                written += pair.client.writer().write(&up[written..end]).unwrap();
                if written == up.len() {
                    pair.client.send_close_notify();
                }
            }
            while pair.client.wants_write() {
                pair.client.write_tls(&mut carried).unwrap();
            }
            let piece = carried.len().min(dice.size());
            let sent = pair.wire.write(&carried[..piece]).unwrap_or(0);
            carried.drain(..sent);
            match pair.receive(dice.size()) {
                Ok(bytes) if bytes.is_empty() => ended = true,
                Ok(bytes) => got.extend_from_slice(&bytes),
                Err(error) => assert_eq!(error, Errno::AGAIN, "seed {seed}"),
            }
            let end = down.len().min(taken + dice.size());
            taken += pair.send(&down[taken..end]).unwrap();
            pair.server.flush(&pair.socket).unwrap();
            pair.move_client().unwrap();
            pair.client_reads(&mut read);
            (ended && read.len() == down.len()).then_some(())
        });
        assert!(got == up && read == down, "seed {seed}");
        assert!(!pair.server.has_news());
        assert_eq!(pair.server.held_bytes(), 0, "seed {seed}");
    }
}

#[test]
fn a_client_that_comes_back_has_a_shorter_handshake() {
    let authority = Authority::new();
    let acceptor = acceptor(&authority, TlsVersion::Tls12);
    for version in [&TLS12, &TLS13] {
        // Its memory of sessions.
        let config = authority.client_config(&[version]);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let mut pair = Pair::of(&acceptor, client(config.clone(), "example.org"));
            pair.shake_hands();
            until(|| {
                pair.move_client().unwrap();
                (version == &TLS12 || pair.client.tls13_tickets_received() > 0).then_some(())
            });
            kinds.push(pair.client.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
    }
}
