//! Sockets and clocks. Law: moves bytes, decides nothing.

pub mod inbox;
pub mod resolve;
pub mod verify;

/// A helper thread's bounded queue is full. The asker counts it and answers its client at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;
