//! Sans-IO protocols: bytes in; events and bytes out. Law: no socket, no clock, no log.
//!
//! Every conversation has three verbs: `receive(bytes)`, `poll()` and `take_output()`. In reading order: `handshake`
//! is the server's side of a proxy handshake; what differs between its protocols is in `socks5`, `socks4` and
//! `http_connect`, pure readers of messages and writers of answers. `upstream` is the client's side. `udp` is the
//! header of SOCKS5's datagrams; `proxy_protocol` tells who a client is. `websocket` is frames and messages.

mod credentials;
pub mod deflate;
pub mod handshake;
pub mod host;
mod http_connect;
pub mod proxy_protocol;
mod reader;
mod request;
mod socks4;
mod socks5;
pub mod udp;
pub mod upstream;
pub mod websocket;

pub use credentials::Credentials;
pub use request::Request;
