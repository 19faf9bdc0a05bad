//! Sockets and clocks. Law: moves bytes, decides nothing.

pub mod inbox;
pub mod resolve;
