//! Whether a WebSocket connection is let in, and as whom; how many may come, and how much each may send.
//!
//! The order in which an upgrade is judged: `arrivals` (the rate of them all), `clients` (how many its address has),
//! then [`Admission::judge`] (the page's origin, and who it is), at last `online` (how many the user has). What comes
//! first is what costs least. `pace` holds the rates. `now_ns` counts from the process's epoch, `now_unix_s` from 1970.

mod pace;

pub use pace::{Arrivals, Exceeded, MessageRate};

use super::clients::Clients;
use super::jwt::{self, KeyRing};
use super::online::Online;
use super::origin::Origins;
use super::tokens::Tokens;
use ringway_shared::config::{self, GatewayAuth, Limits, WebSocketLimits};
use ringway_shared::gateway::Refused;
use ringway_shared::origin::is_fixed_host;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Bytes of a token; longer ones are not looked at.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

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

    /// The one name of this refusal, in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }

    /// What it is counted as.
    #[must_use]
    pub fn counted_as(self) -> Refused {
        match self {
            Refusal::Rate => Refused::Rate,
            Refusal::ClientConnections => Refused::ClientLimit,
            Refusal::UserConnections | Refusal::SessionExists => Refused::UserLimit,
            Refusal::Origin => Refused::Origin,
            _ => Refused::Unauthorized,
        }
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
    /// A page's host must be an address or `localhost`.
    fixed_hosts: bool,
}

enum Auth {
    None,
    Tokens(Tokens),
    Jwt { rules: jwt::Rules, keys: Arc<KeyRing> },
}

impl Admission {
    /// Makes a configuration ready; what was fetched for the one before is kept. Errors are for the operator.
    ///
    /// `loopback`: the gateway listens there alone. A page whose owner points its own name at this host would pass for one of it
    /// (DNS rebinding), so without a token a page's host must be an address or `localhost`, unless origins are listed.
    pub fn new(
        config: &config::Admission,
        loopback: bool,
        before: Option<&Admission>,
    ) -> Result<Admission, String> {
        let auth = match &config.auth {
            GatewayAuth::None => Auth::None,
            GatewayAuth::Tokens(tokens) => Auth::Tokens(Tokens::new(tokens)),
            GatewayAuth::Jwt(config) => {
                let keys = KeyRing::new(config, before.and_then(|before| before.keys().map(|keys| &**keys)))?;
                Auth::Jwt { rules: jwt::Rules::new(config), keys: Arc::new(keys) }
            }
        };
        let fixed_hosts = loopback && matches!(auth, Auth::None) && config.allowed_origins.is_empty();
        Ok(Admission { origins: Origins::new(&config.allowed_origins), auth, fixed_hosts })
    }

    /// Takes what was fetched for the one used until now, which may be newer than what it was made with.
    pub fn take_over(&self, before: &Admission) {
        if let (Some(keys), Some(before)) = (self.keys(), before.keys()) {
            keys.take_over(before);
        }
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
        if self.fixed_hosts && facts.origin.is_some() && !is_fixed_host(facts.host) {
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
    let bearer: Option<Cow<'a, str>> = authorization.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        // RFC 9110 section 11.1: the scheme's case does not matter.
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' ').into())
    });
    let asked = || {
        let pairs = query?.split('&').filter_map(|pair| pair.split_once('='));
        let mut tokens = pairs.filter(|(name, _)| matches!(*name, "token" | "access_token"));
        tokens.next().map(|(_, value)| percent_decoded(value))
    };
    let is_there = |token: &Cow<'_, str>| !token.is_empty();
    bearer.filter(is_there).or_else(asked).filter(is_there)
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

/// What the operator should know of how open the gateway is.
#[must_use]
pub fn notices(websocket: &config::WebSocket) -> Vec<String> {
    let listen = websocket.listen.iter().chain(&websocket.tls.listen);
    let exposed = listen.filter(|address| !address.ip().to_canonical().is_loopback());
    let exposed = exposed.map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut notices = Vec::new();
    match &websocket.admission.auth {
        GatewayAuth::None if !exposed.is_empty() => notices.push(format!(
            "websocket.listen {exposed} is not loopback and asks nobody who they are: set websocket.auth, unless anybody may subscribe"
        )),
        GatewayAuth::Jwt(jwt) if jwt.jwks_url.as_deref().is_some_and(|url| url.starts_with("http://")) => {
            notices.push(
                "websocket.jwt.jwks_url is fetched by http: whoever is on the way to it can put keys of their own in place, so use https"
                    .to_owned(),
            );
        }
        _ => {}
    }
    notices
}

/// What [`Clients::admit`] is to go by.
#[must_use]
pub fn client_limits(limits: &WebSocketLimits) -> Limits {
    Limits {
        connections: None,
        backlog: 0,
        connections_per_client: limits.connections_per_client,
        connections_per_user: None,
        new_connections_per_second: None,
        new_connections_per_second_per_client: None,
        udp_associations: None,
    }
}

#[cfg(test)]
mod tests {
    use super::pace::{MILLISECOND_NS, SECOND_NS};
    use super::*;
    use proptest::prelude::*;
    use ringway_shared::config::ConnectionRate;
    use ringway_shared::config::{OneSession, RampUp, Token, TokenSecret};
    use std::collections::HashSet;
    use std::time::Duration;

    fn admission(auth: GatewayAuth) -> Admission {
        let config = config::Admission {
            auth,
            allowed_origins: Vec::new(),
            connections_per_user: None,
            one_session: OneSession::Off,
            connection_rate: None,
        };
        Admission::new(&config, false, None).unwrap()
    }

    fn with_token(token: &str) -> Admission {
        let entry = Token { user: "alice".into(), secret: TokenSecret::Plain(token.into()) };
        admission(GatewayAuth::Tokens(Arc::new(config::Tokens { entries: vec![entry] })))
    }

    const FACTS: Facts<'_> =
        Facts { host: "gateway.example", origin: None, tls: false, authorization: None, query: None };

    #[test]
    fn labels_are_unique_and_every_401_says_how_to_do_better() {
        let labels: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.label()).collect();
        assert_eq!(labels.len(), Refusal::ALL.len());
        for refusal in Refusal::ALL {
            assert_eq!(refusal.challenge().is_some(), refusal.status() == 401, "{refusal:?}");
            assert!(!refusal.text().is_empty());
        }
    }

    #[test]
    fn without_auth_everybody_is_nobody_in_particular() {
        let facts = Facts { authorization: Some("Bearer whatever"), ..FACTS };
        assert_eq!(admission(GatewayAuth::None).judge(&facts, 0), Ok(Identity::of_user("".into())));
    }

    #[test]
    fn the_origin_is_judged_before_the_token() {
        let facts = Facts { origin: Some("https://evil.example"), ..FACTS };
        assert_eq!(with_token("secret").judge(&facts, 0), Err(Refusal::Origin));
        let facts = Facts { origin: Some("https://gateway.example"), ..FACTS };
        assert_eq!(with_token("secret").judge(&facts, 0), Err(Refusal::TokenMissing));
    }

    #[test]
    fn a_token_comes_in_a_header_or_in_the_url() {
        for (authorization, query, found) in [
            (Some("Bearer s+e/c"), None, true),
            (Some("bearer  s+e/c "), None, true),
            (Some("Basic s+e/c"), None, false),
            (Some("s+e/c"), None, false),
            (Some("Bearer"), None, false),
            (Some("Bearer "), Some("token=s%2Be%2fc"), true),
            (None, Some("token=s%2Be%2fc"), true),
            (None, Some("token=s+e/c"), true),
            (None, Some("a=b&access_token=s%2Be/c&c"), true),
            (None, Some("mytoken=s+e/c"), false),
            (None, Some("token=&token=s+e/c"), false),
            (None, Some("token"), false),
            (None, Some(""), false),
            (Some("Bearer wrong"), Some("token=s+e/c"), false),
            (None, Some("token=s%2Be%2"), false),
            (None, Some("token=%ff"), false),
        ] {
            let facts = Facts { authorization, query, ..FACTS };
            let judged = with_token("s+e/c").judge(&facts, 0);
            assert_eq!(judged.is_ok(), found, "{authorization:?} {query:?}: {judged:?}");
        }
    }

    #[test]
    fn a_token_beyond_the_limit_is_not_looked_at() {
        let token = "x".repeat(TOKEN_BYTES_MAX);
        assert!(with_token(&token).identify(&token, 0).is_ok());
        assert_eq!(with_token(&token).identify(&(token + "x"), 0), Err(Refusal::TokenTooLong));
    }

    #[test]
    fn an_open_gateway_and_keys_by_http_are_told() {
        let defaults = config::load(&config::Sources {
            file: None,
            env: Vec::new(),
            sets: Vec::new(),
            overrides: Vec::new(),
            held: Vec::new(),
            host: config::HostFacts::default(),
            read_file: &|_| Ok(String::new()),
        });
        let mut websocket = defaults.unwrap().config.websocket;
        assert_eq!(notices(&websocket), [""; 0]);
        websocket.tls.listen = vec!["192.0.2.1:443".parse().unwrap()];
        assert!(notices(&websocket)[0].contains("192.0.2.1:443 is not loopback"));
        websocket.admission.auth = GatewayAuth::Tokens(Arc::default());
        assert_eq!(notices(&websocket), [""; 0]);
    }

    fn rate(per_second: u32, burst: u32, ramp_up: Option<RampUp>) -> ConnectionRate {
        ConnectionRate { per_second, burst, ramp_up }
    }

    /// How many of `tries` a second, evenly spread, are let in in each of `seconds`.
    fn admitted(limit: &ConnectionRate, tries: u64, seconds: u64) -> Vec<usize> {
        let arrivals = Arrivals::default();
        let second = |second: u64| {
            let times = (0..tries).map(|n| second * SECOND_NS + n * SECOND_NS / tries);
            times.filter(|now_ns| arrivals.admit(Some(limit), *now_ns).is_ok()).count()
        };
        (0..seconds).map(second).collect()
    }

    #[test]
    fn a_burst_comes_at_once_and_then_the_rate() {
        let arrivals = Arrivals::default();
        let limit = rate(10, 5, None);
        let admit = |now_ms: u64| arrivals.admit(Some(&limit), now_ms * MILLISECOND_NS).is_ok();
        let at = |now_ms: u64| (0..100).filter(|_| admit(now_ms)).count();
        assert_eq!((at(0), at(99), at(100), at(1_000), at(60_000)), (5, 0, 1, 5, 5));
        assert!((0..100).all(|_| Arrivals::default().admit(None, 0).is_ok()));
        assert_eq!(admitted(&rate(100, 1, None), 1_000, 3), [100, 100, 100]);
    }

    #[test]
    fn a_fresh_process_takes_up_its_load_on_a_straight_line() {
        let ramp = RampUp { over: Duration::from_secs(10), from: 10 };
        let seen = admitted(&rate(1_010, 1, Some(ramp)), 20_000, 12);
        for (second, seen) in seen.into_iter().enumerate() {
            let wanted = if second < 10 { 60 + 100 * second } else { 1_010 };
            assert!(seen.abs_diff(wanted) <= 3 + wanted / 50, "second {second}: {seen}, wanted {wanted}");
        }
    }

    #[test]
    fn those_refused_are_told_to_come_back_one_after_the_other() {
        let arrivals = Arrivals::default();
        let limit = rate(10, 1, None);
        assert!(arrivals.admit(Some(&limit), SECOND_NS).is_ok());
        let told: Vec<_> = (0..1_000).map(|_| arrivals.admit(Some(&limit), SECOND_NS).unwrap_err()).collect();
        assert_eq!((told[0], told[9], told[10], told[599], told[999]), (1, 1, 2, 60, 60));
        assert!(told.is_sorted());
        let later = arrivals.admit(Some(&limit), 120 * SECOND_NS);
        assert_eq!(later, Ok(()), "what is past is forgotten");
        assert_eq!(arrivals.admit(Some(&limit), 120 * SECOND_NS), Err(1));
    }

    fn limits(messages: Option<u32>, bytes: Option<u64>) -> WebSocketLimits {
        WebSocketLimits {
            connections: None,
            connections_per_client: None,
            subscriptions_per_client: 0,
            message_bytes: 0,
            queued_messages: 0,
            queued_bytes: 0,
            queued_bytes_per_worker: 0,
            messages_per_second: messages,
            bytes_per_second: bytes,
            topics_per_worker: 0,
            history_bytes_per_worker: 0,
        }
    }

    #[test]
    fn a_connection_sends_a_seconds_worth_at_once_and_then_its_rate() {
        let mut rate = MessageRate::default();
        let limits = limits(Some(10), Some(1_000));
        let mut at = |bytes: usize, now_ms: u64| {
            (0..100).filter(|_| rate.take(&limits, bytes, now_ms).is_ok()).count()
        };
        assert_eq!((at(1, 0), at(1, 99), at(1, 100), at(1, 60_000)), (10, 0, 1, 10));
        assert_eq!(at(500, 120_000), 2);
        // Five seconds' worth in one message, of which one second's may be owed.
        assert_eq!((at(5_000, 180_000), at(1, 183_998), at(1, 184_001)), (1, 0, 1));
    }

    #[test]
    fn what_is_refused_costs_nothing_and_says_which_limit_it_was() {
        let mut rate = MessageRate::default();
        assert_eq!(rate.take(&limits(Some(1), None), 1 << 40, 0), Ok(()));
        assert_eq!(rate.take(&limits(Some(1), None), 0, 0), Err(Exceeded::Messages));
        let mut rate = MessageRate::default();
        assert_eq!(rate.take(&limits(None, Some(10)), 21, 0), Ok(()));
        assert_eq!(rate.take(&limits(Some(1), Some(10)), 0, 0), Err(Exceeded::Bytes));
        assert_eq!(rate.messages_due_ns, 0);
        assert_eq!(rate.take(&limits(None, None), usize::MAX, 0), Ok(()));
    }

    proptest! {
        #[test]
        fn no_numbers_break_it(
            per_second: u32, bytes_per_second: u64, bytes: usize, burst: u32, from: u32, over_ms: u32,
            times in proptest::collection::vec(0..u64::MAX / 4_000_000, 1..20),
        ) {
            let (mut messages, arrivals) = (MessageRate::default(), Arrivals::default());
            let ramp = RampUp { over: Duration::from_millis(over_ms.into()), from };
            let limit = rate(per_second, burst, Some(ramp));
            for now_ms in times {
                let _ = messages.take(&limits(Some(per_second), Some(bytes_per_second)), bytes, now_ms);
                if let Err(wait_s) = arrivals.admit(Some(&limit), now_ms * MILLISECOND_NS) {
                    prop_assert!((1..=60).contains(&wait_s));
                }
            }
        }

        /// Within any second no more than a second's worth and one burst of as many.
        #[test]
        fn the_rate_holds_over_any_time(
            per_second in 1..500u32, gaps in proptest::collection::vec(0..50u64, 1..400),
        ) {
            let mut rate = MessageRate::default();
            let (mut now_ms, mut taken) = (0, Vec::new());
            for gap in gaps {
                now_ms += gap;
                if rate.take(&limits(Some(per_second), None), 1, now_ms).is_ok() {
                    taken.push(now_ms);
                }
            }
            for (index, start) in taken.iter().enumerate() {
                let count = taken[index..].iter().take_while(|end| **end - start <= 1_000).count();
                prop_assert!(count <= 2 * per_second as usize + 1, "{} in a second", count);
            }
        }
    }
}
