//! The client's side of a SOCKS5 CONNECT or UDP ASSOCIATE (RFC 1928, RFC 1929): bytes in, bytes out, no socket.

use crate::failure::Failure;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const VERSION: u8 = 5;
const METHOD_NONE: u8 = 0;
const METHOD_PASSWORD: u8 = 2;
const METHOD_NO_ACCEPTABLE: u8 = 0xff;
const COMMAND_CONNECT: u8 = 1;
const COMMAND_UDP_ASSOCIATE: u8 = 3;
const ADDRESS_IPV4: u8 = 1;
const ADDRESS_NAME: u8 = 3;
const ADDRESS_IPV6: u8 = 4;
/// An IPv4 reply's length, and no more than any other's save for bound names under three bytes, which nobody sends.
const REPLY_BYTES_MIN: usize = 10;
/// The most `wants` ever asks for: a reply with a bound name of 255 bytes.
pub const WANTS_MAX: usize = 4 + 1 + 255 + 2;

/// A user's name and password, 1 to 255 bytes each.
#[derive(Clone)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

/// One request. Send [`Handshake::take_output`], read at most [`Handshake::wants`] bytes (so that none of the
/// payload is taken), give them to [`Handshake::receive`], and again until that says the connection stands.
pub struct Handshake {
    stage: Stage,
    command: u8,
    target: SocketAddr,
    /// BND.ADDR and BND.PORT of the reply.
    bound: Option<SocketAddr>,
    credentials: Option<Credentials>,
    input: Vec<u8>,
    output: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Method,
    Login,
    Reply,
}

impl Handshake {
    /// A CONNECT to `target`.
    #[must_use]
    pub fn new(target: SocketAddr, credentials: Option<Credentials>) -> Handshake {
        Handshake::asking(COMMAND_CONNECT, target, credentials)
    }

    /// A UDP ASSOCIATE that does not say where its datagrams will come from.
    #[must_use]
    pub fn associate(credentials: Option<Credentials>) -> Handshake {
        Handshake::asking(COMMAND_UDP_ASSOCIATE, (Ipv4Addr::UNSPECIFIED, 0).into(), credentials)
    }

    fn asking(command: u8, target: SocketAddr, credentials: Option<Credentials>) -> Handshake {
        let method = if credentials.is_some() { METHOD_PASSWORD } else { METHOD_NONE };
        let output = vec![VERSION, 1, method];
        Handshake {
            stage: Stage::Method,
            command,
            target,
            bound: None,
            credentials,
            input: Vec::new(),
            output,
        }
    }

    /// What the server has bound, once it stands; `None` if it told a name.
    #[must_use]
    pub fn bound(&self) -> Option<SocketAddr> {
        self.bound
    }

    /// What is to be sent now.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// How many bytes the server's next message still lacks, as far as can be told; never 0, at most [`WANTS_MAX`].
    #[must_use]
    pub fn wants(&self) -> usize {
        self.message_bytes() - self.input.len()
    }

    /// Takes what the server sent. True: the connection stands.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<bool, Failure> {
        self.input.extend_from_slice(bytes);
        if self.input.len() < self.message_bytes() {
            return Ok(false);
        }
        let message = std::mem::take(&mut self.input);
        match self.stage {
            Stage::Method => self.take_method(message[0], message[1])?,
            Stage::Login if message[1] != 0 => return Err(Failure::LoginRefused(message[1])),
            Stage::Login => self.send_request(),
            Stage::Reply => {
                self.bound = bound(&message);
                return finish(&message);
            }
        }
        Ok(false)
    }

    fn message_bytes(&self) -> usize {
        match (self.stage, &self.input[..]) {
            (Stage::Method | Stage::Login, _) => 2,
            (Stage::Reply, [_, 0, _, ADDRESS_IPV6, ..]) => 22,
            (Stage::Reply, [_, 0, _, ADDRESS_NAME, name, ..]) => REPLY_BYTES_MIN.max(7 + usize::from(*name)),
            // A refusal may be cut short by the server: its first two bytes say all.
            (Stage::Reply, [_, refusal, ..]) if *refusal != 0 => 2,
            (Stage::Reply, _) => REPLY_BYTES_MIN,
        }
    }

    fn take_method(&mut self, version: u8, method: u8) -> Result<(), Failure> {
        if version != VERSION {
            return Err(Failure::Malformed("the method selection's version is not 05"));
        }
        match (method, &self.credentials) {
            (METHOD_NO_ACCEPTABLE, _) => return Err(Failure::NoAcceptableMethod),
            (METHOD_NONE, None) => self.send_request(),
            (METHOD_PASSWORD, Some(credentials)) => {
                self.output = login(credentials);
                self.stage = Stage::Login;
            }
            _ => return Err(Failure::Malformed("it selected a method that was not offered")),
        }
        Ok(())
    }

    fn send_request(&mut self) {
        self.output = vec![VERSION, self.command, 0];
        match self.target {
            SocketAddr::V4(target) => {
                self.output.push(ADDRESS_IPV4);
                self.output.extend(target.ip().octets());
            }
            SocketAddr::V6(target) => {
                self.output.push(ADDRESS_IPV6);
                self.output.extend(target.ip().octets());
            }
        }
        self.output.extend(self.target.port().to_be_bytes());
        self.stage = Stage::Reply;
    }
}

fn login(credentials: &Credentials) -> Vec<u8> {
    let mut message = vec![1];
    for part in [&credentials.user, &credentials.password] {
        message.push(part.len() as u8);
        message.extend(part.as_bytes());
    }
    message
}

fn bound(reply: &[u8]) -> Option<SocketAddr> {
    let (ip, rest) = match reply.get(3..)? {
        [ADDRESS_IPV4, rest @ ..] => {
            let (ip, rest) = rest.split_first_chunk::<4>()?;
            (IpAddr::from(*ip), rest)
        }
        [ADDRESS_IPV6, rest @ ..] => {
            let (ip, rest) = rest.split_first_chunk::<16>()?;
            (IpAddr::from(*ip), rest)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(*rest.first_chunk()?)))
}

fn finish(reply: &[u8]) -> Result<bool, Failure> {
    match reply {
        [VERSION, 0, _, ADDRESS_IPV4 | ADDRESS_IPV6 | ADDRESS_NAME, ..] => Ok(true),
        [VERSION, 0, ..] => Err(Failure::Malformed("the reply's address type is unknown")),
        [VERSION, code, ..] => Err(Failure::Refused(*code)),
        _ => Err(Failure::Malformed("the reply's version is not 05")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> SocketAddr {
        "127.0.0.1:80".parse().unwrap()
    }

    /// Plays the server's bytes one at a time; what the client sent, and how it ended.
    fn play(mut client: Handshake, server: &[u8]) -> (Vec<u8>, Result<bool, Failure>) {
        let mut sent = client.take_output();
        for byte in server {
            assert!(client.wants() >= 1 && client.wants() <= WANTS_MAX);
            match client.receive(&[*byte]) {
                Ok(false) => sent.extend(client.take_output()),
                end => return (sent, end),
            }
        }
        (sent, Ok(false))
    }

    #[test]
    fn a_connect_without_login() {
        let (sent, end) = play(Handshake::new(target(), None), &[5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 1, 2]);
        assert_eq!(sent, [5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
        assert!(matches!(end, Ok(true)));
    }

    #[test]
    fn a_connect_with_login() {
        let credentials = Credentials { user: "al".into(), password: "x".into() };
        let (sent, end) = play(Handshake::new(target(), Some(credentials)), &[5, 2, 1, 0]);
        assert_eq!(sent, [5, 1, 2, 1, 2, b'a', b'l', 1, b'x', 5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
        assert!(matches!(end, Ok(false)));
    }

    #[test]
    fn an_association_tells_where_to_send() {
        let mut client = Handshake::associate(None);
        client.take_output();
        client.receive(&[5, 0]).unwrap();
        assert_eq!(client.take_output(), [5, 3, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert!(client.receive(&[5, 0, 0, 1, 127, 0, 0, 1, 1, 2]).unwrap());
        assert_eq!(client.bound(), Some("127.0.0.1:258".parse().unwrap()));
    }

    #[test]
    fn an_ipv6_reply_is_read_to_its_end_and_no_further() {
        let mut client = Handshake::new(target(), None);
        client.receive(&[5, 0]).unwrap();
        assert_eq!(client.wants(), 10);
        assert!(!client.receive(&[5, 0, 0, 4, 0, 0, 0, 0, 0, 0]).unwrap());
        assert_eq!(client.wants(), 12);
        assert!(client.receive(&[0; 12]).unwrap());
    }

    #[test]
    fn refusals_carry_their_code() {
        let end = |server: &[u8]| play(Handshake::new(target(), None), server).1;
        assert!(matches!(end(&[5, 0xff]), Err(Failure::NoAcceptableMethod)));
        assert!(matches!(end(&[5, 0, 5, 5]), Err(Failure::Refused(5))));
        assert!(matches!(end(&[5, 2]), Err(Failure::Malformed(_))));
        assert!(matches!(end(&[4, 0]), Err(Failure::Malformed(_))));
    }
}
