//! The contract between ringway's planes: plain values only.
//!
//! Settings go down (`config`, `command`, `push`, `inspect`), facts go up (`metrics`, `histogram`, `exemplar`, `flight`, `connection`, `account`, `listener`, `session`, `reason`, `closing`, `datagram`, `gateway`, `upstream`, `tls`);
//! `feed` is what ringway publishes about itself; `origin` is what both understand by a web origin, `topic` what topics may be called.
//! Law: no thread, no socket, no clock and no async in here.

pub mod account;
pub mod closing;
pub mod command;
pub mod config;
pub mod connection;
pub mod datagram;
pub mod exemplar;
pub mod feed;
pub mod flight;
pub mod gateway;
pub mod histogram;
pub mod inspect;
pub mod listener;
pub mod metrics;
pub mod origin;
pub mod push;
pub mod reason;
pub mod session;
pub mod tls;
pub mod topic;
pub mod upstream;
