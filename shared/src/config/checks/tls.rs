//! Rules between the keys of TLS.

use super::{Check, Complaint, about};
use crate::config::HostFacts;
use crate::config::draft::Draft;

pub const CHECKS: &[Check] = &[Check {
    keys: &[
        "socks5.tls.listen",
        "socks5.tls.certificates",
        "websocket.tls.listen",
        "websocket.tls.certificates",
        "control.tls.listen",
        "control.tls.certificates",
    ],
    run: listeners_have_certificates,
}];

fn listeners_have_certificates(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let config = &draft.config;
    let services = [
        ("socks5.tls.listen", &config.socks5.tls, &draft.socks5_certificates),
        ("websocket.tls.listen", &config.websocket.tls, &draft.websocket_certificates),
        ("control.tls.listen", &config.control.tls.tls, &draft.control.certificates),
    ];
    let bare = services.into_iter().filter(|(_, tls, written)| !tls.listen.is_empty() && written.is_empty());
    let remedy = "certificates: [{certificate: tls/example.pem, key: tls/example.key}]";
    bare.map(|(key, ..)| about(key, format!("there is no certificate to show: add beside it {remedy}")))
        .collect()
}
