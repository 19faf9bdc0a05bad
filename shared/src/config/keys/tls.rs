//! Keys of TLS, the same for both services.

use super::Reload::{Listener, NewConnections};
use super::{Key, key};
use crate::config::TlsVersion;
use crate::config::kind::Kind;

pub const SOCKS5: &[Key] = &[
    key(
        "socks5.tls.listen",
        "[]",
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.socks5.tls.listen = list },
        "Where clients connect that speak TLS first, then as on `socks5.listen`. TLS tells nobody who they are: what holds of `auth` and `open_proxy` there holds here.",
    ),
    key(
        "socks5.tls.certificates",
        "[]",
        NewConnections,
        Kind::Certificates(|d, list| d.socks5_certificates = list),
        "What clients are shown, by the name they ask for (SNI); the first is for all other names and for clients that ask for none. Renewed files are noticed within seconds and need no reload.",
    ),
    key(
        "socks5.tls.min_version",
        "\"1.2\"",
        NewConnections,
        Kind::Word(&[
            ("1.2", |d| d.config.socks5.tls.min_version = TlsVersion::Tls12),
            ("1.3", |d| d.config.socks5.tls.min_version = TlsVersion::Tls13),
        ]),
        "The lowest version of TLS that is spoken.",
    ),
];

pub const WEBSOCKET: &[Key] = &[
    key(
        "websocket.tls.listen",
        "[]",
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.websocket.tls.listen = list },
        "Where clients connect by `wss://`.",
    ),
    key(
        "websocket.tls.certificates",
        "[]",
        NewConnections,
        Kind::Certificates(|d, list| d.websocket_certificates = list),
        "What clients are shown, as in `socks5.tls.certificates`.",
    ),
    key(
        "websocket.tls.min_version",
        "\"1.2\"",
        NewConnections,
        Kind::Word(&[
            ("1.2", |d| d.config.websocket.tls.min_version = TlsVersion::Tls12),
            ("1.3", |d| d.config.websocket.tls.min_version = TlsVersion::Tls13),
        ]),
        "The lowest version of TLS that is spoken.",
    ),
];
