//! SOCKS5 conversations, told in data files: what the client sends, and exactly what must come of it.
//!
//! A file is a list of cases. A case starts at `# its name`, then says line by line:
//!
//! ```text
//! auth none | password         what the listener demands; the first line
//! > 05 01 00                   the client sends; "text" in quotes and 61*255 (repeats) are bytes, too
//! < 05 00                      exactly this is sent to the client; nothing may stay unsaid
//! event connect 1.2.3.4:80     exactly this event comes next; `event none`: none does
//! verdict accept | refuse      the owner answers an `event authenticate`
//! reply 00 192.0.2.1:1080      the owner answers a request
//! payload 61 62                exactly this is the first payload
//! awaiting greeting            whose turn it is
//! ; anything                   a comment
//! ```
//!
//! Every case is played twice: as written, and one byte at a time.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use ringway_dataplane::proto::socks5::{Auth, Command, Event, Handshake, Reply};
use ringway_shared::session::Host;
use std::path::Path;

#[test]
fn the_server_says_what_the_transcripts_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let file = path.file_name().unwrap().to_string_lossy();
        for case in text.split("\n# ").skip(1) {
            let (name, lines) = case.split_once('\n').unwrap();
            play(&format!("{file}: {name}"), lines, usize::MAX);
            play(&format!("{file}: {name}, a byte at a time"), lines, 1);
            played += 1;
        }
    }
    assert!(played >= 40, "only {played} cases were found");
}

fn play(case: &str, lines: &str, chunk: usize) {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(';'));
    let mut stage: Option<Stage> = None;
    for line in lines {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let at = format!("{case}: `{line}`");
        match (verb, &mut stage) {
            ("auth", _) => stage = Some(Stage::new(rest, &at)),
            (_, Some(stage)) => stage.act(verb, rest, chunk, &at),
            _ => panic!("{at}: a case starts with `auth`"),
        }
    }
    stage.unwrap_or_else(|| panic!("{case}: is empty")).finish(case);
}

/// A handshake with its owner's ears: events heard and bytes to be sent, until a line asks for them.
struct Stage {
    handshake: Handshake,
    events: Vec<Event>,
    output: Vec<u8>,
}

impl Stage {
    fn new(auth: &str, at: &str) -> Stage {
        let auth = match auth {
            "none" => Auth::None,
            "password" => Auth::Password,
            _ => panic!("{at}: unknown"),
        };
        Stage { handshake: Handshake::new(auth), events: Vec::new(), output: Vec::new() }
    }

    fn act(&mut self, verb: &str, rest: &str, chunk: usize, at: &str) {
        match verb {
            ">" => bytes_of(rest).chunks(chunk).for_each(|chunk| self.send(chunk)),
            "<" => {
                assert_eq!(hex(&self.output), hex(&bytes_of(rest)), "{at}");
                self.output.clear();
            }
            "event" => {
                let event = if self.events.is_empty() { None } else { Some(self.events.remove(0)) };
                assert_eq!(told(event), rest, "{at}");
            }
            "verdict" => self.handshake.verdict(rest == "accept"),
            "reply" => {
                let (code, bound) = rest.split_once(' ').expect(at);
                self.handshake.reply(reply_of(code), bound.parse().expect(at));
            }
            "payload" => assert_eq!(hex(&self.handshake.take_payload()), hex(&bytes_of(rest)), "{at}"),
            "awaiting" => assert_eq!(format!("{:?}", self.handshake.awaiting()).to_lowercase(), rest, "{at}"),
            _ => panic!("{at}: unknown"),
        }
        self.listen();
    }

    fn send(&mut self, bytes: &[u8]) {
        self.handshake.receive(bytes);
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(event) = self.handshake.poll() {
            self.events.push(event);
        }
        self.output.extend_from_slice(&self.handshake.take_output());
    }

    fn finish(mut self, case: &str) {
        assert_eq!(hex(&self.output), "", "{case}: said, but not in the transcript");
        assert!(self.events.is_empty(), "{case}: happened, but not in the transcript: {:?}", self.events);
        assert_eq!(hex(&self.handshake.take_payload()), "", "{case}: payload, but not in the transcript");
    }
}

fn told(event: Option<Event>) -> String {
    match event {
        None => "none".into(),
        Some(Event::Failed(reason)) => format!("failed {}", reason.label()),
        Some(Event::Authenticate(credentials)) => {
            format!("authenticate {} {}", quoted(&credentials.name), quoted(&credentials.password))
        }
        Some(Event::Request(request)) => {
            let command = match request.command {
                Command::Connect => "connect",
                Command::Bind => "bind",
                Command::UdpAssociate => "udp_associate",
            };
            let kind = if matches!(request.target.host, Host::Name(_)) { " name" } else { "" };
            format!("{command}{kind} {}", request.target)
        }
    }
}

/// Bytes as a transcript writes them: text in quotes, long runs by their length.
fn quoted(bytes: &[u8]) -> String {
    match bytes {
        [first, rest @ ..] if rest.len() > 50 && rest.iter().all(|b| b == first) => {
            format!("{first:02x}*{}", bytes.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}

fn reply_of(code: &str) -> Reply {
    let all = [
        Reply::Succeeded,
        Reply::GeneralFailure,
        Reply::NotAllowed,
        Reply::NetworkUnreachable,
        Reply::HostUnreachable,
        Reply::ConnectionRefused,
        Reply::TtlExpired,
        Reply::CommandNotSupported,
        Reply::AddressTypeNotSupported,
    ];
    all[usize::from_str_radix(code, 16).unwrap()]
}

fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let byte = |hex| u8::from_str_radix(hex, 16).unwrap_or_else(|_| panic!("`{word}` is no byte"));
        match (word.strip_prefix('"').and_then(|word| word.strip_suffix('"')), word.split_once('*')) {
            (Some(text), _) => bytes.extend_from_slice(text.as_bytes()),
            (None, Some((hex, times))) => {
                bytes.extend(std::iter::repeat_n(byte(hex), times.parse().unwrap()))
            }
            (None, None) => bytes.push(byte(word)),
        }
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x} ")).collect()
}
