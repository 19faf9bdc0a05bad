//! Loads for any WebSocket server. Our side of RFC 6455 is the least that will do, so that one core of ours keeps up with
//! one of the server's: frames are made once and stamped in place, and what comes is parsed where the kernel put it.
//!
//! In reading order: `url`, `upgrade` (the handshake), `frame`, `stamp` (what a message carries, so that its order and its
//! age are known wherever it arrives), `arrivals` (loss, duplicates, reordering), `connection`, `crowd` (many of them),
//! `dialect` (how one subscribes and publishes), then a module per load.

pub mod arrivals;
pub mod connection;
pub mod crowd;
pub mod dialect;
pub mod echo;
pub mod fanout;
pub mod frame;
pub mod idle;
pub mod publisher;
pub mod slow;
pub mod stamp;
pub mod storm;
pub mod upgrade;
pub mod url;
pub mod watch;

use crate::report::Report;
use crate::ws::dialect::Dialect;
use crate::ws::url::Url;

/// What all loads have in common.
#[derive(Clone)]
pub struct Setting {
    pub url: Url,
    pub dialect: Dialect,
    /// Where publications go, if not to `url`: a WebSocket, or HTTP for one POST each.
    pub publish_url: Option<Url>,
    /// Further header lines of each upgrade and POST, e.g. `Authorization: Bearer x`.
    pub headers: Vec<String>,
    /// Connections come from so many addresses, 127.0.0.1 and on; each has ports of its own.
    pub sources: u8,
    /// The measured server's process, for its CPU time and memory.
    pub server_pid: Option<u32>,
    /// Subscribers acknowledge when their kernel thinks fit, not as they read ([`crate::socket::acknowledge_promptly`]).
    pub kernel_acks: bool,
}

impl Setting {
    /// A report that says which load it is of, and of which server.
    #[must_use]
    pub fn report(&self, load: &str) -> Report {
        let mut report = Report::new(load);
        report.text("url", &self.url.to_string());
        report
    }
}
