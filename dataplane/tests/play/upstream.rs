//! An upstream proxy speaks to our client.

use super::{Script, in_any_chunking};
use ringway_dataplane::proto::handshake::Outcome;
use ringway_dataplane::proto::upstream::Client;
use ringway_shared::config::{UpstreamLogin, UpstreamProtocol};
use ringway_shared::session::{Host, Target};

#[derive(Clone, Debug)]
pub struct Asked {
    pub protocol: UpstreamProtocol,
    pub login: Option<UpstreamLogin>,
    pub target: Target,
}

pub fn play_bytes(data: &[u8]) {
    let Some(script) = Script::of(data) else { return };
    let asked = asked(script.bit(0), script.bit(1), script.bit(2));
    let seen = in_any_chunking(script.chunks(), |chunks| play(&asked, script.input, chunks));
    assert_lawful(&asked, script.input, &seen);
}

pub fn asked(http: bool, with_login: bool, by_name: bool) -> Asked {
    Asked {
        protocol: if http { UpstreamProtocol::HttpConnect } else { UpstreamProtocol::Socks5 },
        login: with_login.then(|| UpstreamLogin { name: (*b"alice").into(), password: (*b"secret").into() }),
        target: if by_name {
            Target { host: Host::Name("example.org".into()), port: 443 }
        } else {
            Target { host: Host::Address("192.0.2.1".parse().unwrap()), port: 80 }
        },
    }
}

/// All that can be seen of a client's handshake from outside.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub outcome: Option<Outcome>,
    pub output: Vec<u8>,
    pub payload: Vec<u8>,
}

/// Gives `input` to a new client, in chunks of the sizes that `chunks` says (then as much as there is room for).
pub fn play(asked: &Asked, mut input: &[u8], chunks: &mut dyn Iterator<Item = usize>) -> Seen {
    let mut client = Client::new(asked.protocol, asked.login.as_ref(), &asked.target);
    let mut seen = Seen { outcome: None, output: client.take_output(), payload: Vec::new() };
    loop {
        while let Some(outcome) = client.poll() {
            assert_eq!(seen.outcome.replace(outcome), None, "one outcome and no other");
        }
        seen.output.extend(client.take_output());
        seen.payload.extend(client.take_payload());
        let chunk = chunks.next().unwrap_or(usize::MAX).min(input.len());
        let room = client.room();
        if room == 0 {
            assert!(matches!(seen.outcome, Some(Err(_))), "no room while a message is not whole");
            return seen;
        }
        let (given, rest) = input.split_at(chunk.min(room));
        client.receive(given);
        input = rest;
        if input.is_empty() && chunk == 0 {
            return seen;
        }
    }
}

/// Asserts what holds for every client, whatever the upstream sent.
pub fn assert_lawful(asked: &Asked, input: &[u8], seen: &Seen) {
    let said = seen.output.escape_ascii().to_string();
    let scripts = match asked.protocol {
        UpstreamProtocol::HttpConnect => vec![http_request(asked)],
        UpstreamProtocol::Socks5 => socks5_scripts(asked),
    };
    assert!(scripts.contains(&seen.output), "said {said}");
    match seen.outcome {
        Some(Ok(_)) => {
            assert!(input.ends_with(&seen.payload));
            assert!(seen.output.ends_with(&scripts[scripts.len() - 1][scripts[0].len()..]), "said {said}");
            if asked.protocol == UpstreamProtocol::HttpConnect {
                let answer = &input[..input.len() - seen.payload.len()];
                assert!(answer.ends_with(b"\r\n\r\n") && answer.starts_with(b"HTTP/1."));
            }
        }
        _ => assert!(seen.payload.is_empty(), "payload of a connection that does not stand"),
    }
}

fn http_request(asked: &Asked) -> Vec<u8> {
    let target = &asked.target;
    let login = if asked.login.is_some() { "Proxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n" } else { "" };
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n").into_bytes()
}

/// All that may have been said: the greeting alone, with the request, with the login, with both.
fn socks5_scripts(asked: &Asked) -> Vec<Vec<u8>> {
    let request: &[u8] = match asked.target.host {
        Host::Name(_) => b"\x05\x01\x00\x03\x0bexample.org\x01\xbb",
        Host::Address(_) => b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
    };
    match asked.login {
        None => vec![vec![5, 1, 0], [&[5, 1, 0], request].concat()],
        Some(_) => {
            let (greeting, login) = (&[5, 2, 0, 2][..], &b"\x01\x05alice\x06secret"[..]);
            vec![
                greeting.to_vec(),
                [greeting, login].concat(),
                [greeting, login, request].concat(),
                [greeting, request].concat(),
            ]
        }
    }
}
