//! What a configuration asks of its host, as the workers will reckon: for `ringway doctor`, before they start.

use crate::io::dial::egress;
use crate::io::udp::KERNEL_BUFFER_BYTES;
use crate::service::{DESCRIPTORS_PER_ASSOCIATION, DESCRIPTORS_PER_CONNECTION};
use ringway_shared::config::Config;
use ringway_shared::session::Command;

/// Descriptors kept for everything but relayed connections: rings, listeners, control port, logs.
const DESCRIPTORS_RESERVED: u64 = 128;
/// At most one in so many descriptors is an end of a pipe.
pub(crate) const PIPES_SHARE: u64 = 16;
/// Locked memory that a worker's ring takes where the kernel counts it (before 5.12): 4,096 entries.
const RING_BYTES: u64 = 400 << 10;

/// What the workers will want of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Descriptors for the limits that are numbers; `None`: all say `auto`, and take what there is.
    pub descriptors: Option<u64>,
    /// In the pipes that all workers may lend.
    pub pipe_bytes: u64,
    /// Of a UDP socket's buffer in the kernel, each way; 0: there are none.
    pub udp_buffer_bytes: u64,
    /// Locked memory of all rings, where it is counted.
    pub ring_bytes: u64,
    /// The most that queues and history of the gateway hold.
    pub queue_bytes: u64,
}

impl Needs {
    #[must_use]
    pub fn of(config: &Config) -> Needs {
        let (socks5, websocket, workers) = (&config.socks5, &config.websocket, config.workers.count as u64);
        let has_socks5 = !(socks5.listen.is_empty() && socks5.tls.listen.is_empty());
        let has_gateway = !(websocket.listen.is_empty() && websocket.tls.listen.is_empty());
        let has_udp = has_socks5 && socks5.commands.contains(Command::UdpAssociate);
        let pipe_bytes = socks5.relay.pipes_per_worker as u64 * socks5.relay.pipe_bytes as u64 * workers;
        let gateway_bytes = websocket.limits.queued_bytes_per_worker as u64
            + websocket.limits.history_bytes_per_worker as u64;
        Needs {
            descriptors: descriptors(config, has_socks5, has_gateway),
            pipe_bytes: if has_socks5 { pipe_bytes } else { 0 },
            udp_buffer_bytes: if has_udp { KERNEL_BUFFER_BYTES as u64 } else { 0 },
            ring_bytes: RING_BYTES * workers,
            queue_bytes: if has_gateway { gateway_bytes * workers } else { 0 },
        }
    }
}

fn descriptors(config: &Config, has_socks5: bool, has_gateway: bool) -> Option<u64> {
    let limits = &config.socks5.limits;
    let connections = limits.connections.filter(|_| has_socks5).map(|most| most as u64);
    // The control connection is counted among the connections already, with a target it does not have.
    let per_association = DESCRIPTORS_PER_ASSOCIATION - DESCRIPTORS_PER_CONNECTION;
    let associations = limits.udp_associations.filter(|_| connections.is_some()).unwrap_or(0) as u64;
    let websockets = config.websocket.limits.connections.filter(|_| has_gateway).map(|most| most as u64);
    let sockets = match (connections, websockets) {
        (None, None) => return None,
        _ => {
            connections.unwrap_or(0) * DESCRIPTORS_PER_CONNECTION
                + associations * per_association
                + websockets.unwrap_or(0)
        }
    };
    // The other way round: pipes have their share of all there are.
    Some((sockets + DESCRIPTORS_RESERVED) * PIPES_SHARE / (PIPES_SHARE - 1) + 1)
}

/// Relayed connections that so many descriptors carry.
#[must_use]
pub fn connections_carried(descriptors: u64) -> u64 {
    sockets_carried(descriptors) / DESCRIPTORS_PER_CONNECTION
}

/// Of so many descriptors those that clients and targets may have.
#[must_use]
pub(crate) fn sockets_carried(descriptors: u64) -> u64 {
    descriptors.saturating_sub(DESCRIPTORS_RESERVED + descriptors / PIPES_SHARE)
}

/// Whether sockets can leave this host as configured. The error is for the operator.
///
/// # Errors
/// An egress address, the interface or the mark cannot be used.
pub fn egress_fault(config: &Config) -> Result<(), String> {
    egress::try_out(config)
}
