//! The families of listeners, of both services.

use super::Family;
use super::Kind::{Counter, Gauge};
use super::Source::Control;
use super::family;

/// The service's name ([`crate::listener::Door::label`]) and the address, its port resolved.
const BY: &[&str] = &["service", "address"];

pub const FAMILIES: &[Family] = &[
    family("listener_connections_active", Gauge, Control, "Connections open now, by where they came in.")
        .labels(BY),
    family("listener_connections", Counter, Control, "Connections accepted, by where they came in.")
        .labels(BY),
    family(
        "listener_connections_failed",
        Counter,
        Control,
        "Connections that ended by a failure, by where they came in.",
    )
    .labels(BY),
    family(
        "listener_traffic_bytes",
        Counter,
        Control,
        "Payload bytes, by where their connection came in and direction.",
    )
    .unit("bytes")
    .labels(&["service", "address", "direction"]),
];
