//! A client speaks to our handshake; its owner always answers the same way, at once.

use super::{Script, in_any_chunking};
use ringway_dataplane::proto::handshake::{
    Auth, Awaiting, Demands, Event, HEAD_BYTES_MAX, Handshake, INPUT_MAX, Outcome, Verdict,
};
use ringway_shared::config::{Commands, Protocols};
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Protocol};
use std::net::SocketAddr;

#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The only protocol that is served.
    pub protocol: Protocol,
    pub auth: Auth,
    pub commands: Commands,
    pub verdict: Verdict,
    /// The second is a BIND's.
    pub answers: [Outcome; 2],
}

pub const BOUND4: &str = "198.51.100.7:4660";
pub const BOUND6: &str = "[2001:db8::7]:4660";

pub fn play_bytes(protocol: Protocol, data: &[u8]) {
    let Some(script) = Script::of(data) else { return };
    let bound: SocketAddr = if script.bit(3) { BOUND6 } else { BOUND4 }.parse().unwrap();
    let owner = Owner {
        protocol,
        auth: if script.bit(0) { Auth::Password } else { Auth::None },
        commands: if script.bit(4) { Commands::default() } else { Commands::all() },
        verdict: if script.bit(1) { Err(Reason::AuthFailed) } else { Ok(()) },
        answers: [
            if script.bit(2) { Err(Reason::HostUnreachable) } else { Ok(bound) },
            if script.bit(5) { Err(Reason::BindTimeout) } else { Ok(bound) },
        ],
    };
    let seen = in_any_chunking(script.chunks(), |chunks| play(owner, script.input, chunks));
    assert_lawful(owner, script.input, &seen);
}

/// All that can be seen of a handshake from outside.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub events: Vec<Event>,
    pub output: Vec<u8>,
    pub payload: Vec<u8>,
    pub awaiting: Awaiting,
    pub replied: Option<u16>,
}

/// Gives `input` to a new handshake, in chunks of the sizes that `chunks` says (then as much as there is room for).
pub fn play(owner: Owner, mut input: &[u8], chunks: &mut dyn Iterator<Item = usize>) -> Seen {
    let Owner { protocol, auth, commands, verdict, answers } = owner;
    let mut handshake =
        Handshake::new(Demands { auth, protocols: Protocols::default().with(protocol), commands });
    let (mut events, mut output, mut payload) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        while let Some(event) = handshake.poll() {
            match event {
                Event::Authenticate(_) => handshake.verdict(verdict),
                Event::Request(_) => answers.into_iter().for_each(|answer| handshake.answer(answer)),
                Event::Failed(_) => {}
            }
            events.push(event);
        }
        output.extend_from_slice(&handshake.take_output());
        payload.extend(handshake.take_payload());
        let chunk = chunks.next().unwrap_or(usize::MAX).min(input.len());
        input = give(&mut handshake, input, chunk);
        if input.is_empty() && chunk == 0 {
            return Seen {
                events,
                output,
                payload,
                awaiting: handshake.awaiting(),
                replied: handshake.replied(),
            };
        }
    }
}

/// Gives at most `chunk` bytes and returns the rest; a handshake that is over lets all of it fall.
fn give<'a>(handshake: &mut Handshake, input: &'a [u8], chunk: usize) -> &'a [u8] {
    let room = handshake.room();
    assert!(
        room <= if handshake.protocol() == Some(Protocol::HttpConnect) { HEAD_BYTES_MAX } else { INPUT_MAX }
    );
    if room == 0 {
        assert_eq!(handshake.awaiting(), Awaiting::Nothing, "no room while a message is not whole");
        return &[];
    }
    let (given, rest) = input.split_at(chunk.min(room));
    handshake.receive(given);
    assert_eq!(handshake.room(), room - given.len(), "each byte takes one byte of room");
    rest
}

/// Asserts what holds for every handshake, whatever the client sent.
pub fn assert_lawful(owner: Owner, input: &[u8], seen: &Seen) {
    match owner.protocol {
        Protocol::Socks5 => assert_eq!(seen.output, due_in_socks5(owner, seen), "{seen:?}"),
        Protocol::Socks4 => assert_eq!(seen.output, due_in_socks4(owner, seen), "{seen:?}"),
        Protocol::HttpConnect => assert_due_in_http(owner, seen),
    }
    let failures = seen.events.iter().filter(|event| matches!(event, Event::Failed(_))).count();
    assert!(failures <= 1);
    if failures == 1 {
        assert!(matches!(seen.events.last(), Some(Event::Failed(_))), "nothing comes after a failure");
        assert_eq!(seen.awaiting, Awaiting::Nothing);
    }
    match requested(seen) {
        Some(command) => {
            assert!(owner.commands.contains(command), "{command:?} is switched off");
            if outcome(owner, command).is_ok() {
                assert_eq!(seen.payload, &input[request_end(owner, input)..]);
            }
        }
        None => assert!(seen.payload.is_empty(), "payload of a connection that was not asked for"),
    }
}

/// The length of all messages up to the payload, by the shape of each protocol alone.
fn request_end(owner: Owner, input: &[u8]) -> usize {
    let nul = |from: usize| from + 1 + input[from..].iter().position(|byte| *byte == 0).unwrap();
    match owner.protocol {
        Protocol::HttpConnect => input.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4,
        Protocol::Socks4 if matches!(input[4..8], [0, 0, 0, 1..=255]) => nul(nul(8)),
        Protocol::Socks4 => nul(8),
        Protocol::Socks5 => {
            let length = |at: usize| 1 + usize::from(input[at]);
            let mut at = 1 + length(1);
            if owner.auth == Auth::Password {
                at += 1;
                at += length(at);
                at += length(at);
            }
            at + 4 + if input[at + 3] == 3 { length(at + 4) } else { 4 * usize::from(input[at + 3]) } + 2
        }
    }
}

fn requested(seen: &Seen) -> Option<Command> {
    seen.events.iter().find_map(|event| match event {
        Event::Request(request) => Some(request.command),
        _ => None,
    })
}

fn failure(seen: &Seen) -> Option<Reason> {
    seen.events.iter().find_map(|event| match event {
        Event::Failed(reason) => Some(*reason),
        _ => None,
    })
}

/// What became of a request in the end.
fn outcome(owner: Owner, command: Command) -> Outcome {
    if command == Command::Bind { owner.answers[0].and(owner.answers[1]) } else { owner.answers[0] }
}

/// The answers that the owner's calls bring about: two for a BIND that listens.
fn answers(owner: Owner, command: Command) -> impl Iterator<Item = Outcome> {
    let two = command == Command::Bind && owner.answers[0].is_ok();
    owner.answers.into_iter().take(if two { 2 } else { 1 })
}

/// What must have been said, given what happened: the wire formats once more, written out by hand.
fn due_in_socks5(owner: Owner, seen: &Seen) -> Vec<u8> {
    match (seen.awaiting, failure(seen)) {
        (Awaiting::Greeting, _) | (_, Some(Reason::BadVersion)) => return vec![],
        (_, Some(Reason::NoAcceptableMethod)) => return vec![5, 0xff],
        _ => {}
    }
    let mut due = vec![5, if owner.auth == Auth::Password { 2 } else { 0 }];
    if owner.auth == Auth::Password {
        match seen.events.first() {
            Some(Event::Authenticate(_)) => due.extend([1, u8::from(owner.verdict.is_err())]),
            Some(_) => return [&due[..], &[1, 1]].concat(),
            None => return due,
        }
    }
    match (requested(seen), failure(seen)) {
        (Some(command), _) => answers(owner, command).for_each(|answer| due.extend(socks5_reply(answer))),
        (None, Some(reason)) if reason != Reason::AuthFailed => due.extend(socks5_reply(Err(reason))),
        _ => {}
    }
    due
}

fn socks5_reply(outcome: Outcome) -> Vec<u8> {
    let code = match outcome {
        Ok(_) => 0,
        Err(Reason::Malformed) => 1,
        Err(Reason::BadName | Reason::HostUnreachable) => 4,
        Err(Reason::BindTimeout) => 6,
        Err(Reason::CommandNotSupported) => 7,
        Err(Reason::AddressTypeNotSupported) => 8,
        Err(reason) => panic!("{reason:?} is no failure of a SOCKS5 request"),
    };
    let address = match outcome {
        Ok(SocketAddr::V4(v4)) => [&[1][..], &v4.ip().octets(), &v4.port().to_be_bytes()].concat(),
        Ok(SocketAddr::V6(v6)) => [&[4][..], &v6.ip().octets(), &v6.port().to_be_bytes()].concat(),
        Err(_) => vec![1, 0, 0, 0, 0, 0, 0],
    };
    [&[5, code, 0][..], &address].concat()
}

fn due_in_socks4(owner: Owner, seen: &Seen) -> Vec<u8> {
    let answer = |outcome: Outcome| match outcome {
        Ok(SocketAddr::V4(v4)) => [&[0, 90][..], &v4.port().to_be_bytes(), &v4.ip().octets()].concat(),
        Ok(SocketAddr::V6(v6)) => [&[0, 90][..], &v6.port().to_be_bytes(), &[0; 4]].concat(),
        Err(_) => vec![0, 91, 0, 0, 0, 0, 0, 0],
    };
    match (requested(seen), failure(seen)) {
        (Some(command), _) => answers(owner, command).flat_map(answer).collect(),
        (None, Some(Reason::BadVersion) | None) => vec![],
        (None, Some(reason)) => answer(Err(reason)),
    }
}

fn assert_due_in_http(owner: Owner, seen: &Seen) {
    let status = match (requested(seen), failure(seen)) {
        (Some(_), _) if owner.answers[0].is_ok() => {
            assert_eq!(seen.output, b"HTTP/1.1 200 Connection established\r\n\r\n");
            return;
        }
        (Some(_), _) => 502,
        (None, Some(Reason::BadVersion)) if seen.output.is_empty() => return,
        (None, Some(reason)) => http_status(reason),
        (None, None) => return assert!(seen.output.is_empty()),
    };
    assert_eq!(seen.replied, Some(status));
    let text = std::str::from_utf8(&seen.output).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    assert!(head.lines().any(|line| line == format!("Content-Length: {}", body.len())), "{text}");
    assert!(head.lines().any(|line| line == "Connection: close"));
    assert_eq!(head.lines().any(|line| line.starts_with("Proxy-Authenticate: Basic ")), status == 407);
    assert_eq!(head.lines().any(|line| line == "Allow: CONNECT"), status == 405);
    assert_eq!(body.matches('\n').count(), 1, "the body is one line");
}

fn http_status(reason: Reason) -> u16 {
    match reason {
        Reason::Malformed | Reason::BadName => 400,
        Reason::CommandNotSupported => 403,
        Reason::MethodNotAllowed => 405,
        Reason::AuthRequired | Reason::AuthFailed => 407,
        Reason::HeaderTooLarge => 431,
        Reason::BadVersion => 505,
        reason => panic!("{reason:?} is no failure of an HTTP request"),
    }
}
