//! Keys of the WebSocket gateway's admission: who may open a connection, how many of them, how fast.

use super::Reload::{Live, NewConnections};
use super::{DAY, HOUR, Key, SECOND, key};
use crate::config::admission::written::AuthWord;
use crate::config::kind::Kind;
use crate::config::{Algorithm, Algorithms, OneSession};
use std::path::PathBuf;
use std::time::Duration;

/// Of what is counted in 32 bits.
const COUNT_MAX: u64 = 1 << 30;
/// New connections per second, all of them together: beyond it a price would be less than a nanosecond.
const RATE_MAX: u64 = 1_000_000;
/// A path, a URL, a claim.
const TEXT_BYTES_MAX: usize = 4096;

const ANY: (fn(char) -> bool, &str) = (|c| !c.is_control(), "printable characters");
const URL: (fn(char) -> bool, &str) = (|c| c.is_ascii_graphic(), "the characters of a URL");
const VARIABLE: (fn(char) -> bool, &str) =
    (|c| c == '_' || c.is_ascii_alphanumeric(), "letters, digits and _");

pub const KEYS: &[Key] = &[
    key(
        "websocket.auth",
        "none",
        NewConnections,
        Kind::Word(&[
            ("none", |d| d.admission.auth = AuthWord::None),
            ("token", |d| d.admission.auth = AuthWord::Token),
            ("jwt", |d| d.admission.auth = AuthWord::Jwt),
        ]),
        "What clients must show, as `Authorization: Bearer …` or `?token=…`. `token`: one of the tokens file. `jwt`: a JSON Web Token \
         that `websocket.jwt` believes.",
    ),
    key(
        "websocket.tokens_file",
        "tokens.yaml",
        NewConnections,
        Kind::Path(|d, path| d.admission.tokens_file = path),
        "The [tokens file](#the-tokens-file), read with `auth: token`. A relative path starts at the configuration file's folder.",
    ),
    key(
        "websocket.allowed_origins",
        "[]",
        NewConnections,
        Kind::Origins(|d, list| d.admission.allowed_origins = list),
        "The pages that may connect: `https://app.example`, `https://*.example.com` (names below it, not itself), `\"null\"`. Empty: \
         pages of the host that is asked. `[\"*\"]` switches the check off. Who sends no `Origin` is no browser and passes.",
    ),
    key(
        "websocket.max_connections_per_user",
        "none",
        NewConnections,
        Kind::IntegerOr("none", 1..=COUNT_MAX, |d, n| d.admission.connections_per_user = n.map(|n| n as u32)),
        "Connections of one user at once, over all workers. Who has no name is not counted.",
    ),
    key(
        "websocket.one_session_per_user",
        "off",
        NewConnections,
        Kind::Word(&[
            ("off", |d| d.admission.one_session = OneSession::Off),
            ("replace", |d| d.admission.one_session = OneSession::Replace),
            ("refuse", |d| d.admission.one_session = OneSession::Refuse),
        ]),
        "`replace`: a new session of a user closes the older ones, with code 3503. `refuse`: it is answered 429 as long as there is one.",
    ),
    key(
        "websocket.connection_rate",
        "none",
        Live,
        Kind::IntegerOr("none", 1..=RATE_MAX, |d, n| {
            d.admission.connections_per_second = n.map(|n| n as u32)
        }),
        "New connections per second, over all workers. Those beyond it are answered 503 with `Retry-After`.",
    ),
    key(
        "websocket.connection_burst",
        "auto",
        Live,
        Kind::IntegerOr("auto", 1..=RATE_MAX, |d, n| d.admission.connection_burst = n.map(|n| n as u32)),
        "How many of them may come at once. `auto`: a second's worth.",
    ),
    key(
        "websocket.ramp_up.over",
        "0s",
        Live,
        Kind::Duration(Duration::ZERO..=DAY, |d, t| d.admission.ramp_up_over = t),
        "After the process's start `websocket.connection_rate` is reached in so long, on a straight line. `0s`: it holds at once.",
    ),
    key(
        "websocket.ramp_up.from",
        "10",
        Live,
        Kind::Integer(1..=RATE_MAX, |d, n| d.admission.ramp_up_from = n as u32),
        "New connections per second at the start.",
    ),
    key(
        "websocket.jwt.secret_file",
        r#""""#,
        NewConnections,
        Kind::OptionalText {
            bytes_max: TEXT_BYTES_MAX,
            allowed: ANY,
            put: |d, path| d.admission.jwt.secret_file = path.map(PathBuf::from),
        },
        "A file with the secret of HS256: one line of at least 32 bytes.",
    ),
    key(
        "websocket.jwt.secret_env",
        r#""""#,
        NewConnections,
        Kind::OptionalText {
            bytes_max: TEXT_BYTES_MAX,
            allowed: VARIABLE,
            put: |d, name| d.admission.jwt.secret_env = name,
        },
        "The environment variable that holds it, instead of a file. The secret itself stands in no key.",
    ),
    key(
        "websocket.jwt.public_key_files",
        "[]",
        NewConnections,
        Kind::Paths(|d, paths| d.admission.jwt.public_key_files = paths),
        "PEM files with one public key each: RSA of 2048 to 4096 bits for RS256, P-256 for ES256.",
    ),
    key(
        "websocket.jwt.jwks_file",
        r#""""#,
        NewConnections,
        Kind::OptionalText {
            bytes_max: TEXT_BYTES_MAX,
            allowed: ANY,
            put: |d, path| d.admission.jwt.jwks_file = path.map(PathBuf::from),
        },
        "A JWK Set (RFC 7517), at most 256 KiB; read anew when the file changes.",
    ),
    key(
        "websocket.jwt.jwks_url",
        r#""""#,
        NewConnections,
        Kind::OptionalText {
            bytes_max: TEXT_BYTES_MAX,
            allowed: URL,
            put: |d, url| d.admission.jwt.jwks_url = url,
        },
        "Where a JWK Set of public keys is fetched, by https or http. While it cannot be, the keys fetched before stay. The URL is shown and logged: put no secret in it.",
    ),
    key(
        "websocket.jwt.jwks_refresh",
        "5m",
        Live,
        Kind::Duration(SECOND..=DAY, |d, t| d.admission.jwt.jwks_refresh = t),
        "How often; besides, soon after a token names a key that is not known.",
    ),
    key(
        "websocket.jwt.issuer",
        r#""""#,
        NewConnections,
        Kind::OptionalText {
            bytes_max: TEXT_BYTES_MAX,
            allowed: ANY,
            put: |d, text| d.admission.jwt.issuer = text,
        },
        "The `iss` that tokens must have. Empty: any or none.",
    ),
    key(
        "websocket.jwt.audience",
        r#""""#,
        NewConnections,
        Kind::OptionalText {
            bytes_max: TEXT_BYTES_MAX,
            allowed: ANY,
            put: |d, text| d.admission.jwt.audience = text,
        },
        "What the `aud` of tokens must name. Empty: any or none.",
    ),
    key(
        "websocket.jwt.leeway",
        "0s",
        NewConnections,
        Kind::Duration(Duration::ZERO..=HOUR, |d, t| d.admission.jwt.leeway = t),
        "By how much the clocks of the issuer and of this host may differ, for `exp` and `nbf`. Whole seconds count.",
    ),
    key(
        "websocket.jwt.algorithms",
        "[HS256, RS256, ES256]",
        NewConnections,
        Kind::Words {
            clear: |d| d.admission.jwt.algorithms = Algorithms::default(),
            words: &[
                ("HS256", |d| d.admission.believe(Algorithm::Hs256)),
                ("RS256", |d| d.admission.believe(Algorithm::Rs256)),
                ("ES256", |d| d.admission.believe(Algorithm::Es256)),
            ],
        },
        "How tokens may be signed. A key is for its own algorithm alone, whatever a token says.",
    ),
];
