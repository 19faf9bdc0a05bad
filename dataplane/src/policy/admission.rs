//! Whether a WebSocket connection is let in, and as whom; how many may come, and how much each may send.
//!
//! The order in which an upgrade is judged: `arrivals` (the rate of them all), `clients` (how many its address has),
//! then [`Admission::judge`] (the page's origin, and who it is), at last `online` (how many the user has). What comes
//! first is what costs least. `now_ns` counts from the process's epoch, `now_unix_s` from 1970.

use super::clients::Clients;
use super::jwt::{self, KeyRing};
use super::online::Online;
use super::origin::Origins;
use super::rate;
use super::tokens::Tokens;
use ringway_shared::config::{self, ConnectionRate, GatewayAuth, Limits, MessageLimits};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of a token; longer ones are not looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// The most that a refused client is told to wait.
const RETRY_AFTER_MAX_NS: u64 = 60 * SECOND_NS;

const SECOND_NS: u64 = 1_000_000_000;
const MILLISECOND_NS: u64 = 1_000_000;

/// Whom a connection is for, as its token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Empty: nobody in particular.
    pub user: Arc<str>,
    /// When the connection is to end, in seconds since 1970; `None`: never.
    pub expires_at: Option<u64>,
    /// Topics it is subscribed to by the server.
    pub channels: Box<[Arc<str>]>,
    /// What the token says of the user, as JSON text, for presence.
    pub info: Option<Arc<str>>,
}

impl Identity {
    #[must_use]
    pub fn of_user(user: Arc<str>) -> Identity {
        Identity { user, expires_at: None, channels: Box::default(), info: None }
    }
}

macro_rules! refusals {
    ($( $(#[$doc:meta])* $name:ident = $status:literal, $label:literal, $text:literal; )*) => {
        /// Why a connection is not let in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Refusal { $( $(#[$doc])* $name, )* }

        impl Refusal {
            /// All refusals, in the order of their discriminants.
            pub const ALL: &'static [Refusal] = &[ $( Refusal::$name, )* ];
            const STATUSES: &'static [u16] = &[ $( $status, )* ];
            const LABELS: &'static [&'static str] = &[ $( $label, )* ];
            const TEXTS: &'static [&'static str] = &[ $( $text, )* ];
        }
    };
}

refusals! {
    /// More new connections than `websocket.connection_rate` allows.
    Rate = 503, "connection_rate", "too many new connections: try again later";
    /// `websocket.max_connections_per_client` is reached.
    ClientConnections = 429, "client_connections", "too many connections from this address: close one first";
    /// `websocket.max_connections_per_user` is reached.
    UserConnections = 429, "user_connections", "too many connections of this user: close one first";
    /// The user has a session, and `websocket.one_session_per_user` is `refuse`.
    SessionExists = 429, "session_exists", "this user has a session already: close it first";
    /// Not of `websocket.allowed_origins`.
    Origin = 403, "origin", "pages of this origin may not connect: add it to websocket.allowed_origins";
    /// No token was sent.
    TokenMissing = 401, "token_missing", "a token is needed: send `Authorization: Bearer …`, or ?token=… in the URL";
    /// The token is longer than any may be.
    TokenTooLong = 401, "token_too_long", "the token is longer than 8 KiB";
    /// Nobody's token.
    TokenUnknown = 401, "token_unknown", "the token is not known";
    /// Not three parts in base64url, or what is in them is not what it must be.
    TokenMalformed = 401, "token_malformed", "the token is no JSON Web Token";
    /// Signed in a way that is not allowed, or that does not fit the key; `none` among them.
    TokenAlgorithm = 401, "token_algorithm", "the token's algorithm is not accepted";
    /// No key has its `kid`, or none is for its algorithm.
    TokenKeyUnknown = 401, "token_key_unknown", "no key is known for the token";
    TokenSignature = 401, "token_signature", "the token's signature is wrong";
    /// It was good until `exp`.
    TokenExpired = 401, "token_expired", "the token has expired";
    /// It will be good from `nbf`.
    TokenEarly = 401, "token_early", "the token is not valid yet";
    TokenIssuer = 401, "token_issuer", "the token is of another issuer";
    TokenAudience = 401, "token_audience", "the token is for another audience";
    /// `sub` is missing, or no text of at most 255 bytes.
    TokenSubject = 401, "token_subject", "the token does not say whose it is: `sub` is needed";
}

impl Refusal {
    /// The HTTP status it is answered with.
    #[must_use]
    pub fn status(self) -> u16 {
        Self::STATUSES[self as usize]
    }

    /// The one name of this refusal, in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }

    /// What the client is told. Never holds anything of its token.
    #[must_use]
    pub fn text(self) -> &'static str {
        Self::TEXTS[self as usize]
    }

    /// The value of `WWW-Authenticate` (RFC 6750 section 3), which a 401 must have (RFC 9110 section 15.5.2).
    #[must_use]
    pub fn challenge(self) -> Option<&'static str> {
        match self {
            Refusal::TokenMissing => Some("Bearer"),
            _ if self.status() == 401 => Some("Bearer error=\"invalid_token\""),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// What an upgrade request says that admission looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    pub host: &'a str,
    pub origin: Option<&'a str>,
    /// It came through TLS of our own.
    pub tls: bool,
    pub authorization: Option<&'a str>,
    /// What follows the question mark of the target.
    pub query: Option<&'a str>,
}

/// One configuration of admission at work.
pub struct Admission {
    origins: Origins,
    auth: Auth,
}

enum Auth {
    None,
    Tokens(Tokens),
    Jwt { rules: jwt::Rules, keys: Arc<KeyRing> },
}

impl Admission {
    /// Makes a configuration ready; what was fetched for the one before is kept. Errors are for the operator.
    pub fn new(config: &config::Admission, before: Option<&Admission>) -> Result<Admission, String> {
        let auth = match &config.auth {
            GatewayAuth::None => Auth::None,
            GatewayAuth::Tokens(tokens) => Auth::Tokens(Tokens::new(tokens)),
            GatewayAuth::Jwt(config) => {
                let keys = KeyRing::new(config, before.and_then(|before| before.keys().map(|keys| &**keys)))?;
                Auth::Jwt { rules: jwt::Rules::new(config), keys: Arc::new(keys) }
            }
        };
        Ok(Admission { origins: Origins::new(&config.allowed_origins), auth })
    }

    /// The keys of JSON Web Tokens, where those are asked for. The control plane brings new ones into them.
    #[must_use]
    pub fn keys(&self) -> Option<&Arc<KeyRing>> {
        match &self.auth {
            Auth::Jwt { keys, .. } => Some(keys),
            Auth::None | Auth::Tokens(_) => None,
        }
    }

    /// Whether the request may come in, and as whom.
    pub fn judge(&self, facts: &Facts<'_>, now_unix_s: u64) -> Result<Identity, Refusal> {
        if !self.origins.allow(facts.origin, facts.host, facts.tls) {
            return Err(Refusal::Origin);
        }
        if matches!(self.auth, Auth::None) {
            return Ok(Identity::of_user("".into()));
        }
        let token = token_of(facts.authorization, facts.query).ok_or(Refusal::TokenMissing)?;
        self.identify(&token, now_unix_s)
    }

    /// Whose token this is: also for one that comes in a message, to begin a session or to go on with it.
    pub fn identify(&self, token: &str, now_unix_s: u64) -> Result<Identity, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TokenTooLong);
        }
        match &self.auth {
            Auth::None => Ok(Identity::of_user("".into())),
            Auth::Tokens(tokens) => tokens.user(token).map(Identity::of_user).ok_or(Refusal::TokenUnknown),
            Auth::Jwt { rules, keys } => rules.judge(keys, token, now_unix_s),
        }
    }
}

/// The token of a request: that of `Authorization: Bearer` (RFC 6750 section 2.1), or, as browsers cannot send that
/// with a WebSocket, the query's `token` (section 2.3 has it as `access_token`, which is understood too).
fn token_of<'a>(authorization: Option<&'a str>, query: Option<&'a str>) -> Option<Cow<'a, str>> {
    let bearer = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        // RFC 9110 section 11.1: the scheme's case does not matter.
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' ').into())
    });
    let asked = || {
        let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
        let mut tokens = pairs.filter(|(name, _)| matches!(*name, "token" | "access_token"));
        tokens.next().map(|(_, value)| percent_decoded(value))
    };
    bearer.or_else(asked).filter(|token| !token.is_empty())
}

/// RFC 3986 section 2.1. What is no escape, or no UTF-8 behind one, stands for itself: it will be nobody's token.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |index: usize| tail.get(index).and_then(|b| char::from(*b).to_digit(16));
        rest = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                &tail[2..]
            }
            _ => {
                bytes.push(*first);
                tail
            }
        };
    }
    String::from_utf8(bytes).map_or(text.into(), Cow::Owned)
}

/// What all workers share for the gateway's admission. Outlives every configuration.
#[derive(Default)]
pub struct Gate {
    pub arrivals: Arrivals,
    pub clients: Clients,
    pub online: Arc<Online>,
}

/// What [`Clients::admit`] is to go by.
#[must_use]
pub fn client_limits(config: &config::Admission) -> Limits {
    Limits {
        connections: None,
        backlog: 0,
        connections_per_client: config.connections_per_client,
        connections_per_user: None,
        new_connections_per_second: None,
        new_connections_per_second_per_client: None,
        udp_associations: None,
    }
}

/// How fast new connections come, over all workers: one schedule, as in [`rate`].
#[derive(Debug, Default)]
pub struct Arrivals {
    /// When the next one is due.
    due_ns: AtomicU64,
    /// When those refused so far would all be let in, one after the other.
    queue_due_ns: AtomicU64,
}

impl Arrivals {
    /// Whether one more may come in now. The error is how many seconds to wait (`Retry-After`, 1 to 60): a place of its
    /// own for each one refused, so that they do not all come back at once.
    ///
    /// The epoch that `now_ns` counts from is the process's start, which a ramp begins at.
    pub fn admit(&self, limit: Option<&ConnectionRate>, now_ns: u64) -> Result<(), u32> {
        let Some(limit) = limit else { return Ok(()) };
        let per_second = rate_at(limit, now_ns);
        let price_ns = SECOND_NS / per_second;
        let burst_ns = price_ns.saturating_mul(u64::from(limit.burst.max(1) - 1));
        if rate::try_take(&self.due_ns, per_second, burst_ns, 1, now_ns) {
            return Ok(());
        }
        let queued = |due: u64| (due.max(now_ns) + price_ns).min(now_ns + RETRY_AFTER_MAX_NS);
        let place = match self.queue_due_ns.fetch_update(Relaxed, Relaxed, |due| Some(queued(due))) {
            Ok(before) | Err(before) => queued(before),
        };
        Err((place - now_ns).div_ceil(SECOND_NS).max(1) as u32)
    }
}

/// New connections per second at `now_ns`: during the ramp a straight line from its start to the full rate.
fn rate_at(limit: &ConnectionRate, now_ns: u64) -> u64 {
    let full = u64::from(limit.per_second.max(1));
    let Some(ramp) = limit.ramp_up else { return full };
    let over_ns = u64::try_from(ramp.over.as_nanos()).unwrap_or(u64::MAX);
    if now_ns >= over_ns {
        return full;
    }
    let from = u64::from(ramp.from.max(1)).min(full);
    let grown = u128::from(full - from) * u128::from(now_ns) / u128::from(over_ns);
    from + grown as u64
}

/// What one connection has sent of late: one schedule for its messages and one for their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageRate {
    messages_due_ns: u64,
    bytes_due_ns: u64,
}

// One for each connection.
const _: () = assert!(size_of::<MessageRate>() <= 16);

/// Which limit a message is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    Messages,
    Bytes,
}

impl MessageRate {
    /// Notes one message of `bytes`, unless it is beyond a limit. A large message passes whole once no more than the
    /// burst is owed, and the rest of it is owed afterwards.
    pub fn take(&mut self, limits: &MessageLimits, bytes: usize, now_ms: u64) -> Result<(), Exceeded> {
        let now_ns = now_ms.saturating_mul(MILLISECOND_NS);
        let after = |due_ns: u64, per_second: u64, burst: u64, units: u64| {
            let per_second = u128::from(per_second.max(1));
            let price = |units: u64| u128::from(units) * u128::from(SECOND_NS) / per_second;
            let price = |units: u64| u64::try_from(price(units)).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
            rate::taken(due_ns, price(units), price(burst.saturating_sub(1)), now_ns)
        };
        let mut next = *self;
        if let Some(limit) = limits.messages_per_second {
            let burst = u64::from(limits.messages_burst);
            next.messages_due_ns =
                after(self.messages_due_ns, limit.into(), burst, 1).ok_or(Exceeded::Messages)?;
        }
        if let Some(limit) = limits.bytes_per_second {
            next.bytes_due_ns =
                after(self.bytes_due_ns, limit, limits.bytes_burst, bytes as u64).ok_or(Exceeded::Bytes)?;
        }
        *self = next;
        Ok(())
    }
}
