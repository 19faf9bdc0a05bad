//! What a handshake owes its owner, whatever the protocol: bounds, silence about passwords, an answer for each reason.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ringway_dataplane::proto::handshake::{
    Auth, Awaiting, Demands, Event, HEAD_BYTES_MAX, Handshake, UNBOUND,
};
use ringway_shared::config::{Commands, Protocols};
use ringway_shared::reason::Reason;
use ringway_shared::session::Protocol;

/// A login and the start of a request in each protocol that has a login.
const LOGINS: [&[u8]; 2] = [
    b"\x05\x01\x02\x01\x05alice\x06secret",
    b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\r\n",
];

/// A request that needs no login, in each protocol.
const REQUESTS: [&[u8]; 3] = [
    b"\x05\x01\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
    b"\x04\x01\x00\x50\xc0\x00\x02\x01\0",
    b"CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: a\r\n\r\n",
];

fn begun(auth: Auth, bytes: &[u8]) -> Handshake {
    let protocols = Protocol::ALL.into_iter().fold(Protocols::default(), Protocols::with);
    let mut handshake = Handshake::new(Demands { auth, protocols, commands: Commands::all() });
    handshake.receive(bytes);
    handshake
}

#[test]
fn a_flood_before_the_verdict_stops_at_the_limit() {
    for login in LOGINS {
        let mut handshake = begun(Auth::Password, login);
        assert!(matches!(handshake.poll(), Some(Event::Authenticate(_))));
        let room = handshake.room();
        assert!((1..=HEAD_BYTES_MAX).contains(&room));
        handshake.receive(&vec![5; room]);
        assert_eq!(handshake.room(), 0);
        assert_eq!(handshake.poll(), None);
    }
}

#[test]
fn the_longest_messages_leave_room_for_their_rest() {
    let mut handshake = begun(Auth::Password, b"\x05\x01\x02");
    assert_eq!(handshake.poll(), None);
    let longest = [&[1, 255][..], &[b'n'; 255], &[255], &[b'p'; 254]].concat();
    handshake.receive(&longest);
    assert_eq!(handshake.poll(), None);
    assert!(handshake.room() > 0);
    handshake.receive(b"p");
    assert!(matches!(handshake.poll(), Some(Event::Authenticate(_))));

    let longest = [&b"\x04\x01\x00\x50\0\0\0\x01"[..], &[b'u'; 255], &[0], &[b'n'; 255]].concat();
    let mut handshake = begun(Auth::None, &longest);
    assert_eq!(handshake.poll(), None);
    handshake.receive(&[0]);
    assert!(matches!(handshake.poll(), Some(Event::Request(_))));

    let line = b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nX: ";
    let mut handshake = begun(Auth::None, line);
    assert_eq!(handshake.poll(), None);
    handshake.receive(&vec![b'x'; HEAD_BYTES_MAX - line.len() - 4]);
    assert_eq!(handshake.poll(), None);
    handshake.receive(b"\r\n\r\n");
    assert!(matches!(handshake.poll(), Some(Event::Request(_))));
    assert_eq!(handshake.room(), HEAD_BYTES_MAX);
}

#[test]
fn every_reason_has_a_failing_answer_in_every_protocol() {
    for request in REQUESTS {
        for reason in Reason::ALL {
            let mut handshake = begun(Auth::None, request);
            assert!(matches!(handshake.poll(), Some(Event::Request(_))));
            handshake.take_output();
            handshake.answer(Err(*reason));
            assert!(!handshake.take_output().is_empty(), "{reason:?}");
            assert!(!matches!(handshake.replied(), None | Some(0 | 90 | 200)), "{reason:?}");
            assert_eq!((handshake.awaiting(), handshake.room()), (Awaiting::Nothing, 0));
        }
    }
}

#[test]
fn a_verdict_may_refuse_for_any_reason() {
    for login in LOGINS {
        for reason in [Reason::AuthFailed, Reason::VerifierBusy, Reason::LimitUserConnections] {
            let mut handshake = begun(Auth::Password, login);
            assert!(matches!(handshake.poll(), Some(Event::Authenticate(_))));
            handshake.take_output();
            handshake.verdict(Err(reason));
            assert_eq!(handshake.poll(), Some(Event::Failed(reason)));
            assert!(!handshake.take_output().is_empty());
            // Nothing that is called out of turn changes a thing.
            handshake.verdict(Ok(()));
            handshake.answer(Ok(UNBOUND));
            assert_eq!((handshake.poll(), handshake.take_output()), (None, vec![]));
        }
    }
}

#[test]
fn debug_never_shows_a_password() {
    for login in LOGINS {
        let mut handshake = begun(Auth::Password, login);
        for shown in [format!("{handshake:?}"), format!("{:?}", handshake.poll())] {
            for secret in [&b"secret"[..], b"YWxpY2U6c2VjcmV0"] {
                let bytes = format!("{secret:?}");
                let text = str::from_utf8(secret).unwrap();
                assert!(!shown.contains(text) && !shown.contains(bytes.trim_matches(['[', ']'])), "{shown}");
            }
        }
    }
}
