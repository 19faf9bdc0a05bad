//! What a client asks for, whatever protocol it speaks.

use ringway_shared::config::Commands;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Target};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub command: Command,
    pub target: Target,
}

/// The command that a SOCKS request's byte names, if it is served here.
pub fn command(byte: u8, served: Commands) -> Result<Command, Reason> {
    let known = Command::ALL.into_iter().find(|known| *known as u8 == byte);
    known.filter(|known| served.contains(*known)).ok_or(Reason::CommandNotSupported)
}
