//! Sockets and clocks. Law: moves bytes, decides nothing.
//!
//! In the order of a connection's life: `listener` accepts, `client` is whom it has accepted, `sessions` keeps its deadlines, `socks` leads it,
//! `conversation` hears what it asks, `request` sees to that, `login`, `verify` and `resolve` answer what is
//! asked on the way (through `questions` and `inbox`), `dial` connects, `bind` awaits a connection, `relay` moves
//! its bytes, through `pipes` where there are many, `udp` its datagrams, `inspect` shows it, and `records` tells of its end.
//! `local_time` is the clock of rules with hours, `tls` the encryption of connections that ask for it.

pub mod bind;
pub mod client;
pub mod conversation;
pub mod dial;
pub mod gateway;
pub mod inbox;
pub mod inspect;
pub mod listener;
pub mod local_time;
pub mod login;
pub mod lookup;
pub mod own;
pub mod pipes;
pub mod proxy_header;
pub mod questions;
pub mod records;
pub mod relay;
pub mod request;
pub mod resolve;
pub mod route;
pub mod sessions;
pub mod socks;
pub mod tls;
pub mod udp;
pub mod verify;

/// A helper thread's bounded queue is full. The asker counts it and answers its client at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;
