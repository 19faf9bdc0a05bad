//! What is known of each worker, user and listener, all cores together.

use crate::system::ThreadTimes;
use ringway_dataplane::WorkerState;
use ringway_shared::account::Account;
use ringway_shared::listener::Entrance;
use ringway_shared::metrics::Driver;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// One worker, as seen from outside.
pub struct WorkerRow {
    /// Of clients, over both services.
    pub connections: u64,
    pub heartbeat_age: Duration,
    pub driver: Driver,
    /// What its thread has had of a CPU.
    pub times: ThreadTimes,
    /// The share of one CPU that it used over the last second.
    pub busy_share: f64,
    pub state: WorkerState,
}

/// One configured user over all cores.
#[derive(Clone)]
pub struct UserRow {
    pub name: Arc<str>,
    pub active: u64,
    /// Connections that ended by a failure after the user had logged in.
    pub failed: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Bytes left of its quota, if it has one.
    pub quota_left: Option<u64>,
}

impl UserRow {
    /// Read now, without the workers' help.
    #[must_use]
    pub fn of(account: &Account) -> UserRow {
        let usage = &account.usage;
        // As with all connections: `closed` first, so that active is never negative.
        let closed = usage.sum(|cells| cells.closed.get());
        UserRow {
            name: account.user.name.clone(),
            active: usage.sum(|cells| cells.opened.get()).saturating_sub(closed),
            failed: usage.sum(|cells| cells.failed.get()),
            sent_bytes: usage.sum(|cells| cells.sent_bytes.get()),
            received_bytes: usage.sum(|cells| cells.received_bytes.get()),
            quota_left: account
                .user
                .quota
                .map(|quota| quota.bytes.saturating_sub(usage.quota_used.load(Relaxed))),
        }
    }
}

/// One address that is listened on, or was: connections that came in there count there to their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerRow {
    /// `socks5`, `socks5_tls`, `websocket` or `websocket_tls`.
    pub service: &'static str,
    /// Its port resolved.
    pub address: SocketAddr,
    pub active: u64,
    pub opened: u64,
    pub failed: u64,
    /// A proxy's from clients to targets, the gateway's to clients.
    pub sent_bytes: u64,
    pub received_bytes: u64,
}

impl ListenerRow {
    /// Read now, without the workers' help.
    #[must_use]
    pub fn of(entrance: &Entrance) -> ListenerRow {
        let active = entrance.active();
        ListenerRow {
            service: entrance.door.label(),
            address: entrance.address,
            active,
            opened: entrance.sum(|cells| cells.opened.get()),
            failed: entrance.sum(|cells| cells.failed.get()),
            sent_bytes: entrance.sum(|cells| cells.sent_bytes.get()),
            received_bytes: entrance.sum(|cells| cells.received_bytes.get()),
        }
    }
}
