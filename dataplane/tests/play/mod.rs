//! Plays a whole SOCKS5 handshake, and knows what its output must be. Shared by chunking.rs, soak.rs and fuzz/.

// Each of them uses its part; a test's helper may panic.
#![allow(dead_code, clippy::expect_used)]

use ringway_dataplane::proto::socks5::{
    Auth, Awaiting, Event, Handshake, INPUT_MAX, OUTPUT_MAX, Reply, UNBOUND,
};
use ringway_shared::reason::Reason;
use std::net::SocketAddr;

/// How the owner of a handshake answers: always the same way, at once.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub auth: Auth,
    pub accept: bool,
    pub reply: Reply,
    pub bound: SocketAddr,
}

/// One execution of the fuzzer: the first byte chooses the owner, the second how many of the bytes behind it
/// are chunk sizes; the rest is sent, whole, in those chunks and a byte at a time.
pub fn play_bytes(data: &[u8]) {
    let [choice, sizes, rest @ ..] = data else { return };
    let (sizes, input) = rest.split_at(usize::from(*sizes).min(rest.len()));
    let owner = owner_of(*choice);
    let whole = play(owner, input, []);
    assert_lawful(owner, input, &whole);
    assert_eq!(play(owner, input, sizes.iter().map(|size| usize::from(*size))), whole);
    assert_eq!(play(owner, input, std::iter::repeat(1)), whole);
}

fn owner_of(choice: u8) -> Owner {
    let bit = |index: u8| choice >> index & 1 == 1;
    Owner {
        auth: if bit(0) { Auth::Password } else { Auth::None },
        accept: !bit(1),
        reply: if bit(2) { Reply::HostUnreachable } else { Reply::Succeeded },
        bound: if bit(3) {
            ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7], 4660).into()
        } else {
            ([198, 51, 100, 7], 4660).into()
        },
    }
}

/// All that can be seen of a handshake from outside.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub events: Vec<Event>,
    pub output: Vec<u8>,
    pub payload: Vec<u8>,
    pub awaiting: Awaiting,
    pub replied: Option<Reply>,
}

/// Gives `input` to a new handshake, in chunks of the sizes that `chunks` says (then as much as there is room for).
pub fn play(owner: Owner, mut input: &[u8], chunks: impl IntoIterator<Item = usize>) -> Outcome {
    let mut handshake = Handshake::new(owner.auth);
    let (mut events, mut output, mut payload) = (Vec::new(), Vec::new(), Vec::new());
    let mut chunks = chunks.into_iter();
    loop {
        while let Some(event) = handshake.poll() {
            match event {
                Event::Authenticate(_) => handshake.verdict(owner.accept),
                Event::Request(_) => handshake.reply(owner.reply, owner.bound),
                Event::Failed(_) => {}
            }
            events.push(event);
        }
        output.extend_from_slice(&handshake.take_output());
        payload.extend(handshake.take_payload());
        let chunk = chunks.next().unwrap_or(usize::MAX).min(input.len());
        input = give(&mut handshake, input, chunk);
        if input.is_empty() && chunk == 0 {
            return Outcome {
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
    assert!(room <= INPUT_MAX);
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
pub fn assert_lawful(owner: Owner, input: &[u8], outcome: &Outcome) {
    assert!(outcome.output.len() <= OUTPUT_MAX);
    assert_eq!(outcome.output, due_output(owner, outcome), "{outcome:?}");
    assert!(input.ends_with(&outcome.payload));
    let failures = outcome.events.iter().filter(|event| matches!(event, Event::Failed(_))).count();
    assert!(failures <= 1);
    if failures == 1 {
        assert!(matches!(outcome.events.last(), Some(Event::Failed(_))), "nothing comes after a failure");
        assert_eq!(outcome.awaiting, Awaiting::Nothing);
    }
    if outcome.replied != Some(Reply::Succeeded) {
        assert!(outcome.payload.is_empty(), "payload of a connection that does not stand");
    }
}

/// What must have been said, given what happened: the wire formats once more, written out by hand.
fn due_output(owner: Owner, outcome: &Outcome) -> Vec<u8> {
    let failure = outcome.events.iter().find_map(|event| match event {
        Event::Failed(reason) => Some(*reason),
        _ => None,
    });
    match (outcome.awaiting, failure) {
        (Awaiting::Greeting, _) | (_, Some(Reason::BadVersion)) => return vec![],
        (_, Some(Reason::NoAcceptableMethod)) => return vec![5, 0xff],
        _ => {}
    }
    let mut due = vec![5, if owner.auth == Auth::Password { 2 } else { 0 }];
    if owner.auth == Auth::Password {
        match outcome.events.first() {
            Some(Event::Authenticate(_)) => due.extend([1, u8::from(!owner.accept)]),
            Some(_) => return [&due[..], &[1, 1]].concat(),
            None => return due,
        }
    }
    if outcome.events.iter().any(|event| matches!(event, Event::Request(_))) {
        due.extend(reply(owner.reply, owner.bound));
    } else if let Some(reason) = failure.filter(|reason| *reason != Reason::AuthFailed) {
        due.extend(reply(Reply::of(reason).expect("a request that failed is answered"), UNBOUND));
    }
    due
}

fn reply(code: Reply, bound: SocketAddr) -> Vec<u8> {
    let address = match bound {
        SocketAddr::V4(v4) => [&[1][..], &v4.ip().octets()].concat(),
        SocketAddr::V6(v6) => [&[4][..], &v6.ip().octets()].concat(),
    };
    [&[5, code as u8, 0][..], &address, &bound.port().to_be_bytes()].concat()
}
