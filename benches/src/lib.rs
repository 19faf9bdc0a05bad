//! ringway's load programs. They speak to any SOCKS5 or WebSocket server, so every figure can be had from ringway and its peers alike.
//!
//! In reading order: `failure` (what can go wrong, in words), `handshake` (the client's side of SOCKS5, bytes only),
//! `route` (how a target is reached), `socket`, `poller` and `datagrams` (the system calls), `target` (what is reached),
//! `latencies`, `server` (what the measured process spends), `report` (the one format), `load` (a module per load), `ws`
//! (the same for WebSocket servers), `subjects` (pure operations, for `micro/` and to be counted) and `comparison` (many reports -> medians, ratios and bars).

pub mod comparison;
pub mod datagrams;
pub mod failure;
pub mod handshake;
pub mod latencies;
pub mod load;
pub mod poller;
pub mod report;
pub mod route;
pub mod server;
pub mod socket;
pub mod subjects;
pub mod target;
pub mod ws;
