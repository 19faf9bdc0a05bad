//! The stage of the PROXY protocol: a proxy begins its connection with a header, and so do we.
//!
//! ```text
//! proxy_header                             the first line
//! found 192.0.2.1:56324                    the header is whole and names this client
//! found itself                             the header is whole: the connection speaks for itself
//! found more | invalid                     it is not whole, or none
//! length 45                                how long the header was that was found
//! write v1 192.0.2.1:56324 192.0.2.7:443   we send a header of this source and destination
//! ```

use crate::Stage;
use ringway_dataplane::proto::proxy_protocol::{self, Progress};
use ringway_shared::config::ProxyVersion;

/// What came so far, and what it was found to be.
pub struct ProxyHeader {
    input: Vec<u8>,
    found: Progress,
    output: Vec<u8>,
}

impl ProxyHeader {
    pub fn expected() -> ProxyHeader {
        ProxyHeader { input: Vec::new(), found: Progress::More, output: Vec::new() }
    }
}

impl Stage for ProxyHeader {
    fn send(&mut self, bytes: &[u8]) {
        if self.found == Progress::More {
            self.input.extend(bytes);
            self.found = proxy_protocol::read(&self.input);
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn act(&mut self, verb: &str, rest: &str, at: &str) {
        match (verb, self.found) {
            ("found", Progress::More) => assert_eq!("more", rest, "{at}"),
            ("found", Progress::Invalid) => assert_eq!("invalid", rest, "{at}"),
            ("found", Progress::Header { source: None, .. }) => assert_eq!("itself", rest, "{at}"),
            ("found", Progress::Header { source: Some(source), .. }) => {
                assert_eq!(source.to_string(), rest, "{at}");
            }
            ("length", Progress::Header { length, .. }) => assert_eq!(length.to_string(), rest, "{at}"),
            ("write", _) => {
                let words: Vec<_> = rest.split(' ').collect();
                let version = if words[0] == "v1" { ProxyVersion::V1 } else { ProxyVersion::V2 };
                let (source, destination) = (words[1].parse().unwrap(), words[2].parse().unwrap());
                self.output.extend(proxy_protocol::write(version, source, destination));
            }
            _ => panic!("{at}: unknown"),
        }
    }

    fn finish(&mut self, _case: &str) {}
}
