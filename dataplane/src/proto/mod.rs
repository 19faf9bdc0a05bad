//! Sans-IO protocols: bytes in; events and bytes out. Law: no socket, no clock, no log.
//!
//! Every protocol has three verbs: `receive(bytes)`, `poll() -> Option<Event>`, `take_output()`.

pub mod host;
mod reader;
pub mod socks5;
pub mod udp;
