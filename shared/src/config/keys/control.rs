//! Keys of the control port.

use super::Reload::{Listener, Live, NewConnections};
use super::{Key, PATH_BYTES_MAX, key};
use crate::config::TlsVersion;
use crate::config::control::Scope;
use crate::config::control::written::ClientAuth;
use crate::config::draft::Draft;
use crate::config::kind::Kind;
use std::time::Duration;

/// A file that may be named.
const fn optional_path(put: fn(&mut Draft, Option<String>)) -> Kind {
    Kind::OptionalText {
        bytes_max: PATH_BYTES_MAX,
        allowed: (|c| !c.is_control(), "printable characters"),
        put,
    }
}

pub const KEYS: &[Key] = &[
    key(
        "control.listen",
        r#"["127.0.0.1:9003"]"#,
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.control.listen = list },
        "Where the control port listens for plain HTTP. `[]`: nowhere.",
    ),
    key(
        "control.unix",
        r#""""#,
        Listener,
        optional_path(|d, path| d.control.unix = path.map(Into::into)),
        "A Unix socket to listen on besides, for programs of this host: the kernel says whose they are. Root and ringway's own user may do everything there without a token. A socket that nobody answers on any more is replaced. A relative path starts where that of `socks5.users_file` does.",
    ),
    key(
        "control.unix_mode",
        "\"0600\"",
        Listener,
        Kind::Mode(|d, mode| d.control.unix_mode = mode),
        "The permissions of its file: whoever may write to it may connect.",
    ),
    key(
        "control.unix_scope",
        "none",
        Live,
        Kind::Word(&[
            ("none", |d| d.control.unix_scope = None),
            ("read", |d| d.control.unix_scope = Some(Scope::Read)),
            ("operate", |d| d.control.unix_scope = Some(Scope::Operate)),
            ("admin", |d| d.control.unix_scope = Some(Scope::Admin)),
        ]),
        "What other users may do there without a token.",
    ),
    key(
        "control.tokens",
        "[]",
        Live,
        Kind::ControlTokens(|d, tokens| d.control.tokens = tokens),
        "Who may do what on the control port, shown as `Authorization: Bearer TOKEN` or as the password of Basic with the token's name. Without any, whoever reaches `control.listen` may do everything, but web pages nothing. They are stored hashed and shown to nobody.",
    ),
    key(
        "control.tokens_file",
        r#""""#,
        Live,
        optional_path(|d, path| d.control.tokens_file = path.map(Into::into)),
        "A file with more of them: `tokens: [{name, scope, token}]`. A relative path starts where that of `socks5.users_file` does.",
    ),
    key(
        "control.metrics_open",
        "false",
        Live,
        Kind::Bool(|d, yes| d.config.control.metrics_open = yes),
        "Serves `/metrics` without a token even where tokens are asked for.",
    ),
    key(
        "control.allowed_hosts",
        "[]",
        Live,
        Kind::Hosts(|d, hosts| d.config.control.allowed_hosts = hosts),
        "Names that the control port may be called by, e.g. `ops.example` or `*.example.org`. Addresses and `localhost` always may be; any other name could have been pointed here by a web page's owner. `[\"*\"]` switches the check off.",
    ),
    key(
        "control.allowed_origins",
        "[]",
        Live,
        Kind::Origins(|d, origins| d.config.control.allowed_origins = origins),
        "Whose web pages may act besides the control port's own, e.g. `https://ops.example` where a reverse proxy changes `Host`. No answer has CORS headers: pages of other hosts cannot read it.",
    ),
    key(
        "control.insecure",
        "false",
        Live,
        Kind::Bool(|d, yes| d.config.control.insecure = yes),
        "Allows a listener beyond loopback that asks nobody who they are: without it `control.listen` needs tokens there, `control.tls.listen` tokens or client certificates.",
    ),
    key(
        "control.test_endpoints",
        "false",
        Live,
        Kind::Bool(|d, yes| d.config.control.test_endpoints = yes),
        "Serves the routes for smoke tests and fault drills.",
    ),
    key(
        "control.connections_max",
        "64",
        Live,
        Kind::Integer(1..=1 << 16, |d, n| d.config.control.connections_max = n as usize),
        "Control connections at once; those of the Unix socket are counted by themselves. A connection carries one request at a time.",
    ),
    key(
        "control.feed.interval",
        "250ms",
        Live,
        Kind::Duration(Duration::from_millis(250)..=Duration::from_secs(1), |d, t| {
            d.config.control.feed.interval = t
        }),
        "How often `traffic_data` is published while somebody reads it; the other topics of the feed once a second.",
    ),
    key(
        "control.feed.clients_max",
        "256",
        Live,
        Kind::Integer(1..=1 << 16, |d, n| d.config.control.feed.clients_max = n as usize),
        "WebSocket connections at the control port's `/ws` at once. Workers serve them: they do not count among `control.connections_max`.",
    ),
    key(
        "control.api_keys",
        "[]",
        Live,
        Kind::ApiKeys(|d, keys| d.control.api_keys = keys),
        "Keys of the publish API, each 8 to 256 bytes, or `{sha256}` and the 64 hexadecimal digits of one's SHA-256. A request has to show one of these, or of `control.api_keys_file`, as `X-API-Key`, or a token with scope `operate`. Without keys and tokens the API is open to programs that reach the control port. They are shown to nobody; on the command line others on this host can read them.",
    ),
    key(
        "control.api_keys_file",
        r#""""#,
        Live,
        optional_path(|d, path| d.control.api_keys_file = path.map(Into::into)),
        "A file with more of them, one a line; lines that begin with `#` are left out. A relative path starts where that of `socks5.users_file` does.",
    ),
    key(
        "control.tls.listen",
        "[]",
        Listener,
        Kind::Addresses { default_port: None, put: |d, list| d.config.control.tls.tls.listen = list },
        "Where the control port listens for HTTPS.",
    ),
    key(
        "control.tls.certificates",
        "[]",
        NewConnections,
        Kind::Certificates(|d, list| d.control.certificates = list),
        "What clients are shown, as in `socks5.tls.certificates`.",
    ),
    key(
        "control.tls.min_version",
        "\"1.2\"",
        NewConnections,
        Kind::Word(&[
            ("1.2", |d| d.config.control.tls.tls.min_version = TlsVersion::Tls12),
            ("1.3", |d| d.config.control.tls.tls.min_version = TlsVersion::Tls13),
        ]),
        "The lowest version of TLS that is spoken.",
    ),
    key(
        "control.tls.client_auth",
        "none",
        NewConnections,
        Kind::Word(&[
            ("none", |d| d.control.client_auth = ClientAuth::None),
            ("optional", |d| d.control.client_auth = ClientAuth::Optional),
            ("required", |d| d.control.client_auth = ClientAuth::Required),
        ]),
        "Whether clients are asked for a certificate. `optional`: who shows none needs a token. `required`: who shows none gets no connection.",
    ),
    key(
        "control.tls.client_ca_file",
        r#""""#,
        NewConnections,
        optional_path(|d, path| d.control.client_ca_file = path.map(Into::into)),
        "A PEM file with the authorities that client certificates must be signed by. Lists of revoked certificates are not read. A relative path starts where that of `socks5.users_file` does.",
    ),
    key(
        "control.tls.client_scope",
        "read",
        NewConnections,
        Kind::Word(&[
            ("read", |d| d.control.client_scope = Scope::Read),
            ("operate", |d| d.control.client_scope = Scope::Operate),
            ("admin", |d| d.control.client_scope = Scope::Admin),
        ]),
        "What a client certificate allows; the audit log names its common name (CN). A token that is shown as well counts instead.",
    ),
];
