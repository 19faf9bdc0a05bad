//! The stage of [`Handshake`]: a client speaks to us.
//!
//! ```text
//! auth none | password         what the listener demands; the first line
//! protocols socks5 socks4      what is served; everything if no line says so
//! commands connect bind        what may be asked for; everything if no line says so
//! event connect 1.2.3.4:80     exactly this event comes next; `event none`: none does
//! verdict accept | <reason>    the owner answers an `event authenticate`
//! answer 192.0.2.1:1080        the owner answers a request: with success,
//! answer <reason>              with a failure
//! payload 61 62                exactly this is the first payload
//! awaiting greeting            whose turn it is
//! replied 5                    the code of the last answer, or `none`
//! protocol socks5              what the client speaks, or `none`
//! ```

use crate::Stage;
use crate::script::{bytes_of, hex, quoted, reason_of, target};
use ringway_dataplane::proto::handshake::{Auth, Demands, Event, Handshake};
use ringway_shared::config::{Commands, Protocols};
use ringway_shared::session::{Command, Protocol};

/// A handshake with its owner's ears: events heard and bytes to be sent, until a line asks for them.
pub struct Server {
    handshake: Handshake,
    demands: Demands,
    events: Vec<Event>,
    output: Vec<u8>,
}

impl Server {
    pub fn demanding(auth: &str) -> Server {
        let auth = match auth {
            "none" => Auth::None,
            "password" => Auth::Password,
            _ => panic!("`auth {auth}`: unknown"),
        };
        let protocols = Protocol::ALL.into_iter().fold(Protocols::default(), Protocols::with);
        Server::new(Demands { auth, protocols, commands: Commands::all() })
    }

    fn new(demands: Demands) -> Server {
        Server { handshake: Handshake::new(demands), demands, events: Vec::new(), output: Vec::new() }
    }

    fn listen(&mut self) {
        while let Some(event) = self.handshake.poll() {
            self.events.push(event);
        }
        self.output.extend_from_slice(&self.handshake.take_output());
    }
}

impl Stage for Server {
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.handshake.room() > 0 {
            let (chunk, rest) = bytes.split_at(bytes.len().min(self.handshake.room()));
            self.handshake.receive(chunk);
            self.listen();
            bytes = rest;
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn act(&mut self, verb: &str, rest: &str, at: &str) {
        match verb {
            "protocols" => *self = Server::new(Demands { protocols: protocols_of(rest), ..self.demands }),
            "commands" => *self = Server::new(Demands { commands: commands_of(rest), ..self.demands }),
            "event" => {
                let event = if self.events.is_empty() { None } else { Some(self.events.remove(0)) };
                assert_eq!(told(event), rest, "{at}");
            }
            "verdict" if rest == "accept" => self.handshake.verdict(Ok(())),
            "verdict" => self.handshake.verdict(Err(reason_of(rest))),
            "answer" => self.handshake.answer(rest.parse().map_err(|_| reason_of(rest))),
            "payload" => assert_eq!(hex(&self.handshake.take_payload()), hex(&bytes_of(rest)), "{at}"),
            "awaiting" => assert_eq!(format!("{:?}", self.handshake.awaiting()).to_lowercase(), rest, "{at}"),
            "replied" => {
                let code = self.handshake.replied().map_or("none".into(), |code| code.to_string());
                assert_eq!(code, rest, "{at}");
            }
            "protocol" => {
                assert_eq!(self.handshake.protocol().map_or("none", Protocol::label), rest, "{at}");
            }
            _ => panic!("{at}: unknown"),
        }
        self.listen();
    }

    fn finish(&mut self, case: &str) {
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
        Some(Event::Request(request)) => format!("{} {}", request.command.label(), target(&request.target)),
    }
}

fn protocols_of(labels: &str) -> Protocols {
    let named =
        Protocol::ALL.into_iter().filter(|known| labels.split(' ').any(|label| label == known.label()));
    named.fold(Protocols::default(), Protocols::with)
}

fn commands_of(labels: &str) -> Commands {
    let named =
        Command::ALL.into_iter().filter(|known| labels.split(' ').any(|label| label == known.label()));
    named.fold(Commands::default(), Commands::with)
}
