//! Who may open a WebSocket connection, how many of them, how fast.
//!
//! This page holds the types; `written` is how the keys say them and how their files are read, `tokens` the tokens file.

pub(super) mod tokens;
pub(super) mod written;

pub use tokens::TOKENS_MAX;

use crate::origin::Origin;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The admission of the WebSocket gateway.
#[derive(Clone, Debug)]
pub struct Admission {
    pub auth: GatewayAuth,
    /// Empty: pages of the host that was asked alone.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Connections of one user at once, over all workers; `None`: no limit.
    pub connections_per_user: Option<u32>,
    pub one_session: OneSession,
    /// New connections, over all workers; `None`: no limit.
    pub connection_rate: Option<ConnectionRate>,
}

/// What a client must show.
#[derive(Clone, Debug)]
pub enum GatewayAuth {
    /// Nothing: everybody is the anonymous user.
    None,
    /// One of these tokens.
    Tokens(Arc<Tokens>),
    /// A JSON Web Token (RFC 7519).
    Jwt(Arc<Jwt>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `"*"`: the check is off.
    Any,
    /// `"null"`: pages without an origin, such as files and sandboxed frames.
    Null,
    Exactly(Origin),
    /// Every name below the origin's, not its own.
    Subdomains(Origin),
}

/// What becomes of a user's older sessions when a new one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneSession {
    /// They go on.
    Off,
    /// They are closed.
    Replace,
    /// They go on, and the new one is refused.
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionRate {
    /// At least 1.
    pub per_second: u32,
    /// How many may come at once; at least 1.
    pub burst: u32,
    pub ramp_up: Option<RampUp>,
}

/// What a fresh process begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RampUp {
    /// The rate grows to the full one over so long.
    pub over: Duration,
    /// New connections per second at the start; at least 1, at most the full rate.
    pub from: u32,
}

/// The tokens file, parsed: `tokens: [{user, token}]`.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    pub entries: Vec<Token>,
}

#[derive(Clone, Debug)]
pub struct Token {
    /// 1 to 255 bytes. A user may have several tokens.
    pub user: Arc<str>,
    pub secret: TokenSecret,
}

/// How a token is kept. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum TokenSecret {
    Plain(Box<str>),
    /// Written `{sha256}` and 64 hexadecimal digits.
    Sha256([u8; 32]),
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TokenSecret::Plain(_) => "<redacted>",
            TokenSecret::Sha256(_) => "{sha256}<redacted>",
        })
    }
}

/// Which JSON Web Tokens are believed.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// For HS256.
    pub secret: Option<Secret>,
    /// PEM files, one public key each: RSA keys are for RS256, those on P-256 for ES256.
    pub public_keys: Vec<KeyFile>,
    /// A JWK Set (RFC 7517 section 5), and the file it is read from anew when that changes.
    pub jwks_file: Option<KeyFile>,
    /// Where a JWK Set is fetched.
    pub jwks_url: Option<Box<str>>,
    /// How often.
    pub jwks_refresh: Duration,
    /// The `iss` a token must have; `None`: any or none.
    pub issuer: Option<Box<str>>,
    /// What the `aud` of a token must name; `None`: any or none.
    pub audience: Option<Box<str>>,
    /// By how much clocks may differ.
    pub leeway: Duration,
    pub algorithms: Algorithms,
}

/// A file of keys and what stood in it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    pub path: PathBuf,
    /// Of a JWK Set it may hold secrets too: `Debug` does not show it.
    pub text: Arc<str>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} bytes", self.path, self.text.len())
    }
}

/// Bytes that nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Box<[u8]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// How a token is signed (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    Hs256,
    Rs256,
    Es256,
}

impl Algorithm {
    pub const ALL: [Algorithm; 3] = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256];

    /// As tokens and the configuration name it.
    #[must_use]
    pub fn label(self) -> &'static str {
        ["HS256", "RS256", "ES256"][self as usize]
    }
}

/// A set of [`Algorithm`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Algorithms(u8);

impl Algorithms {
    #[must_use]
    pub fn with(self, algorithm: Algorithm) -> Self {
        Algorithms(self.0 | 1 << algorithm as u8)
    }

    #[must_use]
    pub fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & (1 << algorithm as u8) != 0
    }
}
