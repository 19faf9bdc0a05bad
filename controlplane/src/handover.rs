//! From one process to the next: listening sockets, counters, and whose turn it is.
//!
//! Two processes that share listeners speak over a socket pair that the younger one has as its standard input: only
//! parent and child hold it, so nobody else can take part, and the end of either is seen at once by the other. The
//! *holder* (a process that hands over, or `ringway supervise`) starts the *heir*. What they say is [`Message`], in
//! this order:
//!
//! ```text
//! holder  -> heir     Welcome, Listeners…          here are the sockets
//! heir    -> holder   Listeners…, Ready            I could serve; these are open now
//! old one -> heir     Counters…, Quotas…, History…, Alerts… (through the supervisor, if there is one)
//! old one -> heir     YourTurn                     the control port is yours: I answer nobody there any more
//! old one -> heir     Counters…, Quotas…, History… what the connections that drain have moved since, each second
//! ```
//!
//! A holder that stays (`keeps`) hears `Alive` each second, `Listeners` when their set changes, and `Upgrade`; it says
//! `Upgrade` (ask me for one), `Retire`, and `Stop` for SIGTERM. In reading order: `link` (messages over a socket),
//! `child` (starting the heir), `inheritance` (what the heir
//! was given), `upgrade` (handing over), `desk` (who asks for it).

pub mod child;
pub mod desk;
pub mod inheritance;
pub mod link;
pub mod upgrade;

use crate::history::Bequest;
use serde::{Deserialize, Serialize};

/// In the environment of an heir: its holder is at the other end of its standard input.
pub const VARIABLE: &str = "RINGWAY_HANDOVER";
/// The only value it has.
pub const BY_STDIN: &str = "stdin";
/// Of [`Message`]; another one is refused, and the old process goes on.
pub const VERSION: u32 = 2;
/// Listening sockets of one process.
pub const LISTENERS_MAX: usize = 4096;

/// All that is said between two processes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case", deny_unknown_fields)]
pub enum Message {
    /// The holder's first words.
    Welcome {
        version: u32,
        /// It stays, and starts another heir should this one die.
        keeps: bool,
    },
    /// Descriptors of listening sockets come with it; `left` more come with the messages that follow. A whole set
    /// replaces the one before.
    Listeners { left: usize },
    /// The heir could serve.
    Ready,
    /// The heir lives; `well`: all its workers too.
    Alive { well: bool },
    /// The heir asks to be replaced by a new process; from the holder: it is to ask for that, once no reload is under way.
    Upgrade,
    /// The heir drains and then ends, and is not replaced: nobody else is to be let into its queues.
    Stopping,
    /// There is no new process, and why.
    NoHeir { why: String },
    /// The heir is to hand over: another one is ready.
    Retire,
    /// The heir is to stop, as by SIGTERM. It is no signal, so that one sent to a whole group counts once.
    Stop,
    /// To be added to what the heir publishes.
    Counters { rows: Vec<(String, Count)> },
    /// Bytes of quotas that users have used besides.
    Quotas { used: Vec<(String, u64)> },
    /// What the history lacks of it.
    History { rows: Vec<Bequest> },
    /// What the one before leaves of alerts, as texts.
    Alerts { rows: Vec<String> },
    /// The one before no longer answers at the control port and writes no quota file and no history.
    YourTurn,
}

/// A counter's value. Whole ones stay exact.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Count {
    Whole(u64),
    Real(f64),
}
