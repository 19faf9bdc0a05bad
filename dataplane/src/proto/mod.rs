//! Sans-IO protocols: bytes in; events and bytes out. Law: no socket, no clock, no log.
//!
//! Every conversation has three verbs: `receive(bytes)`, `poll()` and `take_output()`. In reading order: `handshake`
//! is the server's side of a proxy handshake; what differs between its protocols is in `socks5`, `socks4` and
//! `http_connect`, pure readers of messages and writers of answers. `upstream` is the client's side. `udp` is the
//! header of SOCKS5's datagrams; `proxy_protocol` tells who a client is.
//!
//! The WebSocket gateway's: `upgrade` is the opening handshake, `websocket` frames and messages, `deflate` makes them
//! small and large again, `pubsub_json` is the plain JSON protocol in them.

mod credentials;
pub mod deflate;
pub mod handshake;
pub mod host;
mod http_connect;
pub mod proxy_protocol;
pub mod pubsub_json;
mod reader;
mod request;
mod socks4;
mod socks5;
pub mod udp;
pub mod upgrade;
pub mod upstream;
pub mod websocket;

pub use credentials::Credentials;
pub use request::Request;
