//! The families of TLS, of both services.

use super::Kind::{Counter, Gauge};
use super::Source::{self, Control};
use super::{Family, family};
use crate::tls::{TlsResult, TlsService};

/// Every service with every result.
fn handshakes() -> impl Iterator<Item = (TlsService, TlsResult)> {
    TlsService::ALL.into_iter().flat_map(|service| TlsResult::ALL.map(|result| (service, result)))
}

pub const FAMILIES: &[Family] = &[
    family(
        "tls_handshakes",
        Counter,
        Source::Rows(
            || handshakes().map(|(service, result)| vec![service.label(), result.label()]).collect(),
            |c, row| {
                handshakes()
                    .nth(row)
                    .map_or(0, |(service, result)| c.tls_handshakes.of(service, result).get())
            },
        ),
        "TLS handshakes ended, by service and result.",
    )
    .labels(&["service", "result"]),
    family(
        "tls_certificate_expiry_timestamp_seconds",
        Gauge,
        Control,
        "When the first of the service's certificates to expire does so, in seconds since 1970 (UTC).",
    )
    .unit("seconds")
    .labels(&["service"]),
    family(
        "tls_certificate_reload_failures",
        Counter,
        Control,
        "Changed certificate files that could not be used: the certificate from before is still shown.",
    ),
];
