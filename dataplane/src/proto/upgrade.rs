//! The opening handshake of WebSocket, the server's side: RFC 6455 section 4.2, in the syntax of RFC 9112.
//!
//! [`Upgrade`] takes what the client sends until the request's head is whole, and gives a [`Request`] or a
//! [`Refusal`]. Whether the path exists and who may come in is asked above. The answers are [`accept`] and [`refuse`].
//!
//! Heads are framed and read as those of HTTP CONNECT are (`http_connect`): strict about line ends, only when whole,
//! and so independent of how they were cut into segments.

mod answer;
mod query;

pub use answer::{Refusal, accept, refuse};

use super::deflate;
use super::http_connect::{HEADERS_MAX, framed, only, read};
use super::reader::Reader;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::GeneralPurposeConfig;
use base64::engine::general_purpose::GeneralPurpose;
use std::fmt;

/// The request line and the header section together, as for HTTP CONNECT. There are at most 64 fields.
pub use super::http_connect::HEAD_BYTES_MAX;

/// Of a key as it stands in its field: 16 bytes in base64.
pub const KEY_BYTES: usize = 24;
/// What proxies write: RFC 7239, RFC 9110 section 7.6.3, and what was usual before them and still is.
const FORWARDED: [&str; 7] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
];
/// What begins the names of more of it: `X-Forwarded-For`, `-Proto`, `-Host` and others.
const FORWARDED_BY: &[u8] = b"x-forwarded-";
const NONCE_BYTES: usize = 16;
/// RFC 6455 section 4.1: the only version there is.
const VERSION: &[u8] = b"13";
/// A TLS record that begins a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Clients that fill the bits behind the 16th byte with something do no harm: the key is only given back.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// A handshake under way. [`receive`](Upgrade::receive) until it answers.
#[derive(Debug, Default)]
pub struct Upgrade {
    /// What has come of a head that is not whole; a head that comes at once is read where it lies.
    held: Vec<u8>,
    taken: usize,
}

/// What a well-formed request asks for. Its texts are as the client wrote them.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// From the first slash; nothing is decoded in it.
    pub path: String,
    /// What stands behind the first `?`; see [`query_value`](Request::query_value).
    pub query: Option<String>,
    pub host: String,
    /// A browser says whose page this is.
    pub origin: Option<String>,
    pub key: [u8; KEY_BYTES],
    /// Sec-WebSocket-Protocol: distinct tokens, most wanted first.
    pub protocols: Vec<String>,
    /// The values of all Sec-WebSocket-Extensions fields in order, well-formed.
    pub extensions: Vec<String>,
    pub authorization: Option<String>,
    pub cookie: Option<String>,
    /// A proxy says that it passes this on.
    pub forwarded: bool,
}

impl Upgrade {
    /// Takes the next bytes of the client. `None`: the head is not whole yet. After an answer this is used up.
    ///
    /// At most [`HEAD_BYTES_MAX`] bytes are held, and each is looked at once however they come.
    ///
    /// # Errors
    /// Send [`Refusal::write`]'s bytes, then close.
    pub fn receive(&mut self, bytes: &[u8]) -> Option<Result<Request, Refusal>> {
        let seen = self.held.len();
        let at_once = seen == 0;
        if !at_once {
            self.hold(bytes);
        }
        let mut reader = Reader::again(if at_once { bytes } else { &self.held }, seen);
        let Some(framed) = framed(&mut reader) else {
            if at_once {
                self.hold(bytes);
            }
            return None;
        };
        Some(match framed {
            Ok(head) => {
                self.taken = head.len() - seen;
                request(head)
            }
            Err(reason) => {
                let first = self.held.first().or(bytes.first());
                Err(if first == Some(&TLS_HANDSHAKE) { Refusal::TLS } else { Refusal::of(reason) })
            }
        })
    }

    /// How many of the bytes that the last `receive` was given belong to the head, if it gave a request: those behind
    /// them are the connection's first frames.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Bytes of a head that is not whole.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES_MAX.saturating_sub(self.held.len());
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Reads a whole head: RFC 6455 section 4.2.1, in the order in which faults help a person most.
fn request(head: &[u8]) -> Result<Request, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let request = read(head, &mut headers).map_err(Refusal::of)?;
    let fields = Fields(request.headers);
    let is_head = request.method == Some("HEAD");
    plain_http(&request, &fields).map_err(|refusal| Refusal { without_body: is_head, ..refusal })?;
    let (path, query) = resource(request.path.unwrap_or_default())?;
    let key = fields.key()?;
    let extensions = fields.texts("sec-websocket-extensions")?;
    if extensions.iter().any(|field| deflate::well_formed(field).is_err()) {
        return Err(Refusal::bad("Sec-WebSocket-Extensions must be as RFC 6455 section 9.1 says"));
    }
    Ok(Request {
        path,
        query,
        host: fields.text("host")?.filter(|host| !host.is_empty()).ok_or(Refusal::HOST)?,
        origin: fields.text("origin")?,
        key,
        protocols: fields.protocols()?,
        extensions,
        authorization: fields.text("authorization")?,
        cookie: fields.text("cookie")?,
        forwarded: fields.0.iter().any(|field| is_of_proxy(field.name)),
    })
}

/// Whether only proxies write such a field.
fn is_of_proxy(name: &str) -> bool {
    let begun = name.as_bytes().get(..FORWARDED_BY.len());
    begun.is_some_and(|begun| begun.eq_ignore_ascii_case(FORWARDED_BY))
        || FORWARDED.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// What can be wrong before anything of the request is WebSocket's own.
fn plain_http(request: &httparse::Request, fields: &Fields) -> Result<(), Refusal> {
    if request.method != Some("GET") {
        return Err(Refusal::METHOD);
    }
    // A body would be read as frames, or frames as a body: whoever is in between must not be left the choice.
    let length = fields.only("content-length")?;
    if length.is_some_and(|length| length != b"0") || fields.all("transfer-encoding").next().is_some() {
        return Err(Refusal::bad("an upgrade request has no body"));
    }
    if !fields.names("upgrade", "websocket") {
        return Err(Refusal::NOT_WEBSOCKET);
    }
    // RFC 6455 section 4.1: version 1.1 or later.
    if request.version != Some(1) {
        return Err(Refusal::bad("WebSocket needs HTTP/1.1; a proxy in between may speak 1.0 to us"));
    }
    if !fields.names("connection", "upgrade") {
        return Err(Refusal::bad("Connection must name upgrade; a proxy in between may have dropped it"));
    }
    match fields.only("sec-websocket-version")? {
        Some(VERSION) => Ok(()),
        _ => Err(Refusal::VERSION),
    }
}

/// An origin-form target (RFC 9112 section 3.2.1), cut at its query.
fn resource(target: &str) -> Result<(String, Option<String>), Refusal> {
    // RFC 6455 section 3: no fragment. A URI is ASCII (RFC 3986); browsers leave some more of it than they should.
    if !target.starts_with('/') || target.contains('#') || !target.is_ascii() {
        return Err(Refusal::bad("the target must be a path with an optional query, in ASCII"));
    }
    Ok(match target.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (target.to_owned(), None),
    })
}

struct Fields<'h, 'b>(&'h [httparse::Header<'b>]);

impl<'b> Fields<'_, 'b> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    fn only(&self, name: &str) -> Result<Option<&'b [u8]>, Refusal> {
        only(self.0, name).map_err(|_| Refusal::bad("a field that may stand once stands twice"))
    }

    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.only(name)?.map(text).transpose()
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, Refusal> {
        self.all(name).map(text).collect()
    }

    /// Whether a list, over all its fields, has this element (RFC 9110 sections 5.3, 7.6.1 and 7.8).
    fn names(&self, name: &str, wanted: &str) -> bool {
        let mut elements = self.all(name).flat_map(|value| value.split(|byte| *byte == b','));
        elements.any(|element| element.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    }

    fn key(&self) -> Result<[u8; KEY_BYTES], Refusal> {
        let key = self.only("sec-websocket-key")?.and_then(|value| <[u8; KEY_BYTES]>::try_from(value).ok());
        key.filter(|key| BASE64.decode(key).is_ok_and(|nonce| nonce.len() == NONCE_BYTES))
            .ok_or(Refusal::bad("Sec-WebSocket-Key must be 16 bytes in base64"))
    }

    /// RFC 6455 section 4.1, point 10: tokens, none of them twice.
    fn protocols(&self) -> Result<Vec<String>, Refusal> {
        let mut protocols: Vec<String> = Vec::new();
        for field in self.texts("sec-websocket-protocol")? {
            for protocol in field.split(',').map(|element| element.trim_matches([' ', '\t'])) {
                // RFC 9110 section 5.6.1.2: an empty element is none.
                if protocol.is_empty() {
                    continue;
                }
                let fits = protocol.bytes().all(deflate::is_token);
                if !fits || protocols.iter().any(|earlier| earlier == protocol) {
                    return Err(Refusal::bad("Sec-WebSocket-Protocol must be a list of distinct tokens"));
                }
                protocols.push(protocol.to_owned());
            }
        }
        Ok(protocols)
    }
}

fn text(value: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| Refusal::bad("a field that matters is not UTF-8"))?;
    Ok(text.to_owned())
}

impl Request {
    /// The first query parameter of this name, decoded as browsers encode them
    /// (application/x-www-form-urlencoded): `+` is a space, `%XX` a byte. An escape that is none stays as it stands;
    /// what is not UTF-8 then becomes U+FFFD.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        query::value(self.query.as_deref()?, name)
    }
}

/// Without what may be a secret: the query, Authorization and cookies.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("path", &self.path)
            .field("host", &self.host)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
