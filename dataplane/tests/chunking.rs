//! Any chunking of the same bytes gives the same events, the same output and the same payload.
//!
//! `PROPTEST_CASES` says how many are tried; tests/soak.rs is the quicker way to a million.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod play;

use play::{Owner, assert_lawful, play};
use proptest::collection::vec;
use proptest::prelude::*;
use ringway_dataplane::proto::socks5::{Auth, Event, Handshake, INPUT_MAX, Reply};
use ringway_shared::reason::Reason;

fn owner() -> impl Strategy<Value = Owner> {
    let reply = prop_oneof![3 => Just(Reply::Succeeded), 1 => Just(Reply::ConnectionRefused)];
    let bound = prop_oneof![Just("198.51.100.7:4660"), Just("[2001:db8::7]:4660")];
    (any::<bool>(), prop::bool::weighted(0.8), reply, bound).prop_map(|(password, accept, reply, bound)| {
        Owner {
            auth: if password { Auth::Password } else { Auth::None },
            accept,
            reply,
            bound: bound.parse().unwrap(),
        }
    })
}

/// Bytes led by their length.
fn field(length: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), length).prop_map(|bytes| [&[bytes.len() as u8][..], &bytes].concat())
}

fn greeting() -> impl Strategy<Value = Vec<u8>> {
    let methods = prop_oneof![
        4 => Just(vec![2, 0, 2]),
        1 => field(0..=255),
    ];
    methods.prop_map(|methods| [&[5][..], &methods].concat())
}

fn credentials() -> impl Strategy<Value = Vec<u8>> {
    (field(0..=255), field(0..=255)).prop_map(|(name, password)| [&[1][..], &name, &password].concat())
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof!["[a-z.]{1,60}", "[0-9.]{1,20}", "0x[0-9a-f]{8}"]
        .prop_map(|name| [&[3, name.len() as u8][..], name.as_bytes()].concat());
    let host = prop_oneof![
        vec(any::<u8>(), 4).prop_map(|ip| [&[1][..], &ip].concat()),
        vec(any::<u8>(), 16).prop_map(|ip| [&[4][..], &ip].concat()),
        name,
        field(0..=255).prop_map(|name| [&[3][..], &name].concat()),
    ];
    (0u8..5, any::<u8>(), host, any::<[u8; 2]>())
        .prop_map(|(command, reserved, host, port)| [&[5, command, reserved][..], &host, &port].concat())
}

/// A conversation that goes well until chance puts a wrong byte in it or cuts it.
fn conversation() -> impl Strategy<Value = (Owner, Vec<u8>)> {
    let parts = (owner(), greeting(), credentials(), request(), vec(any::<u8>(), 0..3000));
    let flaw = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    let cut = prop::option::of(any::<prop::sample::Index>());
    (parts, flaw, cut).prop_map(|((owner, greeting, credentials, request, payload), flaw, cut)| {
        let credentials = if owner.auth == Auth::Password { credentials } else { Vec::new() };
        let handshake = greeting.len() + credentials.len() + request.len();
        let mut bytes = [greeting, credentials, request, payload].concat();
        if let Some((index, byte)) = flaw {
            bytes[index.index(handshake)] = byte;
        }
        if let Some(index) = cut {
            bytes.truncate(index.index(bytes.len()));
        }
        (owner, bytes)
    })
}

proptest! {
    #[test]
    fn any_chunking_of_a_conversation_is_the_same_conversation(
        (owner, bytes) in conversation(),
        chunks in vec(0usize..40, 0..200),
    ) {
        let whole = play(owner, &bytes, []);
        assert_lawful(owner, &bytes, &whole);
        prop_assert_eq!(&play(owner, &bytes, chunks), &whole);
        prop_assert_eq!(&play(owner, &bytes, std::iter::repeat(1)), &whole);
    }

    #[test]
    fn any_chunking_of_noise_is_the_same_noise(
        owner in owner(),
        start in prop_oneof![Just(vec![]), Just(vec![5, 2, 0, 2]), Just(vec![5, 2, 0, 2, 1, 0, 0]), Just(vec![5, 1, 0, 5])],
        noise in vec(prop_oneof![0u8..6, any::<u8>()], 0..600),
        chunks in vec(0usize..20, 0..100),
    ) {
        let bytes = [start, noise].concat();
        let whole = play(owner, &bytes, []);
        assert_lawful(owner, &bytes, &whole);
        prop_assert_eq!(&play(owner, &bytes, chunks), &whole);
        prop_assert_eq!(&play(owner, &bytes, std::iter::repeat(1)), &whole);
    }
}

#[test]
fn a_flood_before_the_verdict_stops_at_the_limit() {
    let mut handshake = Handshake::new(Auth::Password);
    handshake.receive(b"\x05\x01\x02\x01\x01a\x01b");
    assert!(matches!(handshake.poll(), Some(Event::Authenticate(_))));
    handshake.receive(&[5; INPUT_MAX]);
    assert_eq!(handshake.room(), 0);
    assert_eq!(handshake.poll(), None);
}

#[test]
fn the_longest_messages_leave_room_for_their_rest() {
    let mut handshake = Handshake::new(Auth::Password);
    handshake.receive(b"\x05\x01\x02");
    assert_eq!(handshake.poll(), None);
    let longest = [&[1, 255][..], &[b'n'; 255], &[255], &[b'p'; 254]].concat();
    handshake.receive(&longest);
    assert_eq!(handshake.poll(), None);
    assert!(handshake.room() > 0);
    handshake.receive(b"p");
    assert!(matches!(handshake.poll(), Some(Event::Authenticate(_))));
}

#[test]
fn every_reason_of_a_failed_request_has_a_reply() {
    for reason in
        [Reason::Malformed, Reason::CommandNotSupported, Reason::AddressTypeNotSupported, Reason::BadName]
    {
        assert!(Reply::of(reason).is_some_and(|reply| reply != Reply::Succeeded), "{reason:?}");
    }
}

#[test]
fn debug_never_shows_a_password() {
    let mut handshake = Handshake::new(Auth::Password);
    handshake.receive(b"\x05\x01\x02\x01\x05alice\x06secret");
    for shown in [format!("{handshake:?}"), format!("{:?}", handshake.poll())] {
        let bytes_of_secret = format!("{:?}", b"secret");
        let bytes_of_secret = bytes_of_secret.trim_matches(['[', ']']);
        assert!(!shown.contains("secret") && !shown.contains(bytes_of_secret), "{shown}");
    }
}
