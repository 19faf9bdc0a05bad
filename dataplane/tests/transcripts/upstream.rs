//! The stage of [`Client`]: we speak to an upstream proxy.
//!
//! ```text
//! upstream socks5 192.0.2.1:80 [login]     what we want of it; with a login it is alice, secret. The first line
//! outcome 198.51.100.7:4660                it granted the request, and is bound to this
//! outcome <reason>                         it did not; `outcome none`: it has not decided
//! payload 61 62                            exactly this came from the target behind the answer
//! ```

use crate::Stage;
use crate::script::{bytes_of, hex, reason_of};
use ringway_dataplane::proto::handshake::Outcome;
use ringway_dataplane::proto::host;
use ringway_dataplane::proto::upstream::Client;
use ringway_shared::config::{UpstreamLogin, UpstreamProtocol};
use ringway_shared::session::Target;

/// A client with its owner's ears: its outcome and bytes to be sent, until a line asks for them.
pub struct Upstream {
    client: Client,
    outcome: Option<Outcome>,
    output: Vec<u8>,
}

impl Upstream {
    pub fn asked(wish: &str) -> Upstream {
        let mut words = wish.split(' ');
        let protocol = match words.next() {
            Some("socks5") => UpstreamProtocol::Socks5,
            Some("http_connect") => UpstreamProtocol::HttpConnect,
            _ => panic!("`upstream {wish}`: unknown"),
        };
        let (host, port) = words.next().and_then(|target| target.rsplit_once(':')).expect("a target");
        let host = host::read(host.as_bytes()).expect("a host");
        let target = Target { host, port: port.parse().expect("a port") };
        let login =
            words.next().map(|_| UpstreamLogin { name: (*b"alice").into(), password: (*b"secret").into() });
        let client = Client::new(protocol, login.as_ref(), &target);
        let mut stage = Upstream { client, outcome: None, output: Vec::new() };
        stage.listen();
        stage
    }

    fn listen(&mut self) {
        // What there is to say first is there before the first poll.
        self.output.extend(self.client.take_output());
        if let Some(outcome) = self.client.poll() {
            assert_eq!(self.outcome.replace(outcome), None, "one outcome and no other");
        }
        self.output.extend(self.client.take_output());
    }
}

impl Stage for Upstream {
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.client.room() > 0 {
            let (chunk, rest) = bytes.split_at(bytes.len().min(self.client.room()));
            self.client.receive(chunk);
            self.listen();
            bytes = rest;
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn act(&mut self, verb: &str, rest: &str, at: &str) {
        match verb {
            "outcome" if rest == "none" => assert_eq!(self.outcome, None, "{at}"),
            "outcome" => {
                let told = rest.parse().map_err(|_| reason_of(rest));
                assert_eq!(self.outcome.take(), Some(told), "{at}");
            }
            "payload" => assert_eq!(hex(&self.client.take_payload()), hex(&bytes_of(rest)), "{at}"),
            _ => panic!("{at}: unknown"),
        }
    }

    fn finish(&mut self, case: &str) {
        assert_eq!(self.outcome, None, "{case}: happened, but not in the transcript");
        assert_eq!(hex(&self.client.take_payload()), "", "{case}: payload, but not in the transcript");
    }
}
