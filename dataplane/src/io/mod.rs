//! Sockets and clocks. Law: moves bytes, decides nothing.
//!
//! In the order of a connection's life: `listener` accepts, `sessions` keeps its deadlines, `socks` leads it,
//! `resolve` and `verify` answer what it asks (through `questions` and `inbox`), `dial` connects, `relay` moves
//! its bytes, through `pipes` where there are many.

pub mod dial;
pub mod inbox;
pub mod listener;
pub mod pipes;
pub mod questions;
pub mod relay;
pub mod resolve;
pub mod sessions;
pub mod socks;
pub mod verify;
