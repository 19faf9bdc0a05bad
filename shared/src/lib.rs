//! The contract between ringway's planes: plain values only.
//!
//! Settings go down (`config`, `command`), facts go up (`metrics`, `histogram`, `account`, `session`, `reason`, `datagram`, `upstream`, `tls`).
//! Law: no thread, no socket, no clock and no async in here.

pub mod account;
pub mod command;
pub mod config;
pub mod datagram;
pub mod histogram;
pub mod metrics;
pub mod reason;
pub mod session;
pub mod tls;
pub mod upstream;
