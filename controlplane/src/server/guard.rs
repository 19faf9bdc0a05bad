//! Who may: each request is judged here before anything else is done with it.
//!
//! In this order: `sites` asks where it was sent to and by whose page, `credentials` what it shows, the configuration what that
//! allows. Web pages get nothing: a browser on this host reaches the port as well as a program does, and a name that its
//! owner points here (DNS rebinding) lets a page read answers too.

mod credentials;
mod keys;
mod sites;
mod tickets;

use super::answer::Answer;
use super::dashboard;
use super::route::{Route, ServedBy};
use crate::guard::{Basis, Failure, Peer, Principal, Scope, is_own};
use crate::throttle::Throttle;
use credentials::Shown;
use hyper::HeaderMap;
use hyper::http::request::Parts;
use keys::Keys;
use ringway_shared::config::{ApiKey, Control, ControlToken};
use serde_json::json;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subtle::{ConditionallySelectable, ConstantTimeEq};
pub use tickets::LIFE as TICKET_LIFE;
use tickets::Tickets;

/// What is remembered from request to request.
#[derive(Default)]
pub struct Guard {
    throttle: RefCell<Throttle>,
    /// Of links that were followed from other sites' pages: what those show as credentials is the page's guess
    /// (`http://x:guess@127.0.0.1:9003/`), and must not lock the browser's host out. Nor may a program guess without end by saying that it is such one.
    of_links: RefCell<Throttle>,
    /// The keys of the publish API, hashed, and the list they were made of.
    keys: RefCell<Option<KeptKeys>>,
    tickets: RefCell<Tickets>,
}

type KeptKeys = (Arc<[ApiKey]>, Rc<Keys>);

/// Why somebody may not.
pub struct Refused {
    pub failure: Failure,
    pub answer: Box<Answer>,
    /// Who it was, if that is known.
    pub by: Option<Rc<str>>,
}

/// A request that asks to be let in.
pub struct Asking<'a> {
    pub route: &'a Route,
    pub peer: &'a Peer,
    pub head: &'a Parts,
}

impl Asking<'_> {
    /// An upgrade changes nothing, but what it leads to is read by whoever's page began it: no CORS keeps it from them.
    fn changes_something(&self) -> bool {
        self.route.method != "GET" || self.is_upgrade()
    }

    fn is_upgrade(&self) -> bool {
        matches!(self.route.served_by, ServedBy::Upgrade)
    }

    /// Who cannot send headers with an upgrade, as no browser can, shows one.
    fn ticket(&self) -> Option<String> {
        let query = self.head.uri.query().filter(|_| self.is_upgrade())?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == tickets::PARAMETER).map(|(_, value)| value.into_owned())
    }

    fn is_push(&self) -> bool {
        matches!(self.route.served_by, ServedBy::Push(_))
    }

    fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// What is needed at least.
    fn scope(&self, control: &Control) -> Scope {
        let is_open = match self.route.path {
            "/metrics" => control.metrics_open,
            // The page that browsers get there holds no data.
            "/" => dashboard::is_wanted(self.headers()),
            _ => false,
        };
        if is_open { Scope::Open } else { self.route.scope }
    }
}

/// Whether a request was sent to a name, and by a page, that may ask: nothing else of it is judged.
pub fn is_of_ours(control: &Control, asking: &Asking<'_>) -> bool {
    sites::host_is_ours(control, asking).is_ok() && sites::no_foreign_page(control, asking).is_ok()
}

impl Guard {
    /// Who asks, or why they may not.
    pub fn admit(&self, control: &Control, asking: &Asking<'_>) -> Result<Principal, Refused> {
        // Whoever shows a key or token to the publish API may call it by any name: no page knows one (decision 12).
        if !asking.is_push() {
            sites::host_is_ours(control, asking)?;
        }
        sites::no_foreign_page(control, asking)?;
        let by = match asking.scope(control) {
            Scope::Open => return Ok(Principal::nobody()),
            _ if asking.is_push() => self.publisher(control, asking)?,
            _ => self.holder(control, asking)?,
        };
        if !asking.is_push() {
            sites::body_is_json(asking)?;
        }
        if by.scope >= asking.scope(control) {
            return Ok(by);
        }
        Err(too_little(&by, asking.scope(control)))
    }

    /// Who may publish: with a key, or as somebody who may do as much elsewhere.
    fn publisher(&self, control: &Control, asking: &Asking<'_>) -> Result<Principal, Refused> {
        let keys = self.keys(control);
        let asks = keys.are_wanted() || !control.tokens.is_empty();
        match credentials::key(asking.headers()) {
            Shown::Several if asks => Err(several()),
            Shown::One(key) if asks => {
                let digest = credentials::digest(key);
                self.not_locked(asking, &digest)?;
                if keys.hold(&digest) {
                    return Ok(Principal::key_holder(digest));
                }
                self.throttle(asking).borrow_mut().failed(asking.peer, &digest, Instant::now());
                Err(unauthorized(Failure::WrongKey, "the API key is not valid"))
            }
            _ => {
                let by = self.holder(control, asking)?;
                if by.is_anybody() && keys.are_wanted() {
                    return Err(unauthorized(Failure::Missing, "an API key is needed"));
                }
                if by.is_anybody() {
                    sites::host_is_fixed(control, asking)?;
                    sites::is_json(asking)?;
                }
                Ok(by)
            }
        }
    }

    /// Who asks: by what the request shows, or else by what the connection says.
    fn holder(&self, control: &Control, asking: &Asking<'_>) -> Result<Principal, Refused> {
        if let Some(ticket) = asking.ticket() {
            let by = self.tickets.borrow_mut().redeem(&ticket, Instant::now());
            let by =
                by.ok_or_else(|| unauthorized(Failure::WrongToken, "the ticket is not valid (any more)"))?;
            // It was given under another configuration, perhaps.
            return Ok(Principal { scope: scope_now(control, &by), ..by });
        }
        if !control.tokens.is_empty() {
            match credentials::token(asking.headers()) {
                Shown::One(shown) => return self.token_holder(control, asking, &shown),
                Shown::Several => return Err(several()),
                Shown::Unknown => {
                    let message = "the Authorization header is neither Bearer nor Basic with a token";
                    return Err(unauthorized(Failure::WrongToken, message));
                }
                Shown::Nothing => {}
            }
        }
        by_connection(control, asking.peer)
    }

    /// A ticket for `by`, to be shown once within [`TICKET_LIFE`]; `None`: too many are open.
    pub fn ticket(&self, by: &Principal) -> Option<String> {
        self.tickets.borrow_mut().issue(by, Instant::now())
    }

    fn token_holder(
        &self,
        control: &Control,
        asking: &Asking<'_>,
        shown: &credentials::Token,
    ) -> Result<Principal, Refused> {
        self.not_locked(asking, &shown.digest)?;
        let found = find(&control.tokens, &shown.digest);
        match found.filter(|token| shown.name.as_deref().is_none_or(|name| *name == *token.name)) {
            Some(token) => Ok(Principal {
                name: (&*token.name).into(),
                scope: token.scope,
                basis: Basis::Shown(token.digest),
            }),
            None => {
                self.throttle(asking).borrow_mut().failed(asking.peer, &shown.digest, Instant::now());
                Err(unauthorized(Failure::WrongToken, "the token is not valid"))
            }
        }
    }

    /// What counts the wrong ones of such a request.
    fn throttle(&self, asking: &Asking<'_>) -> &RefCell<Throttle> {
        if sites::foreign_site(asking.headers()).is_some() { &self.of_links } else { &self.throttle }
    }

    fn not_locked(&self, asking: &Asking<'_>, digest: &[u8; 32]) -> Result<(), Refused> {
        match self.throttle(asking).borrow().locked(asking.peer, digest, Instant::now()) {
            None => Ok(()),
            Some(left) => Err(throttled(left)),
        }
    }

    fn keys(&self, control: &Control) -> Rc<Keys> {
        let mut kept = self.keys.borrow_mut();
        if let Some((list, keys)) = &*kept
            && Arc::ptr_eq(list, &control.api_keys)
        {
            return keys.clone();
        }
        let keys = Rc::new(Keys::new(&control.api_keys));
        *kept = Some((control.api_keys.clone(), keys.clone()));
        keys
    }
}

/// Whom the connection says it is.
fn by_connection(control: &Control, peer: &Peer) -> Result<Principal, Refused> {
    match peer {
        Peer::Unix { uid, .. } => {
            let others = control.unix.as_ref().and_then(|unix| unix.others);
            match if is_own(*uid) { Some(Scope::Admin) } else { others } {
                Some(scope) => Ok(Principal::of_connection(&format!("uid:{uid}"), scope, peer)),
                None => Err(no_credential(control, "control.unix_scope gives other users nothing")),
            }
        }
        Peer::Tls { name, near, .. } => match (&control.tls.clients, name) {
            (Some(clients), Some(name)) => {
                Ok(Principal::of_connection(&format!("certificate:{name}"), clients.scope, peer))
            }
            (Some(_), None) => Err(no_credential(control, "no client certificate was shown")),
            (None, _) => anybody(control, peer, *near),
        },
        Peer::Tcp { near, .. } => anybody(control, peer, *near),
    }
}

/// What somebody who was let in earlier may do under this configuration.
#[must_use]
pub fn scope_now(control: &Control, by: &Principal) -> Scope {
    let scope = match &by.basis {
        Basis::Nothing => None,
        Basis::Shown(digest) => find(&control.tokens, digest).map(|token| token.scope),
        Basis::Connection(peer) => by_connection(control, peer).ok().map(|by| by.scope),
    };
    scope.unwrap_or(Scope::Open)
}

/// Whoever reaches a listener that asks nobody. That the configuration has no such one beyond loopback is not enough: a
/// connection outlives its listener for a while, and with it the tokens that were asked for there.
fn anybody(control: &Control, peer: &Peer, near: bool) -> Result<Principal, Refused> {
    match (control.tokens.is_empty(), near || control.insecure) {
        (true, true) => Ok(Principal::anybody(peer)),
        (true, false) => {
            Err(no_credential(control, "nobody was asked for anything, and this is not loopback"))
        }
        (false, _) => Err(no_credential(control, "a token is needed")),
    }
}

/// The token of this digest. How long it takes tells nothing but the number of tokens.
fn find<'a>(tokens: &'a [ControlToken], digest: &[u8; 32]) -> Option<&'a ControlToken> {
    let mut found = u32::MAX;
    for (index, token) in tokens.iter().enumerate() {
        found.conditional_assign(&(index as u32), token.digest.ct_eq(digest));
    }
    tokens.get(found as usize)
}

fn refused(failure: Failure, answer: Answer) -> Refused {
    Refused { failure, answer: answer.into(), by: None }
}

/// Nothing was shown, and the connection says nothing that would do.
fn no_credential(control: &Control, message: &str) -> Refused {
    if !control.tokens.is_empty() {
        return unauthorized(Failure::Missing, message);
    }
    let hint = "nothing but control.tokens would let such a connection in, and there are none";
    refused(Failure::Missing, Answer::error(403, message, hint))
}

fn unauthorized(failure: Failure, message: &str) -> Refused {
    let hint = match failure {
        Failure::WrongKey => "send one of control.api_keys as X-API-Key, or as Authorization: apikey KEY",
        _ => {
            "send a token of control.tokens as Authorization: Bearer TOKEN, or as the password of Basic with its name; `ringway token` makes one; for the publish API an X-API-Key does as well"
        }
    };
    let answer = Answer::error(401, message, hint)
        .with("www-authenticate", "Bearer realm=\"ringway\"")
        .with("www-authenticate", "Basic realm=\"ringway\", charset=\"UTF-8\"");
    refused(failure, answer)
}

fn several() -> Refused {
    unauthorized(Failure::Several, "more than one credential was sent: send one")
}

fn too_little(by: &Principal, needed: Scope) -> Refused {
    let (needed, held) = (needed.label(), by.scope.label());
    let answer = Answer::problem(
        403,
        &json!({
            "detail": format!("this needs scope {needed}, and {} has {held}", by.name),
            "hint": "use a token with that scope; control.tokens lists them",
            "needed": needed,
            "held": held,
        }),
    );
    let challenge = format!("Bearer realm=\"ringway\", error=\"insufficient_scope\", scope=\"{needed}\"");
    Refused {
        failure: Failure::Scope,
        answer: answer.with("www-authenticate", challenge).into(),
        by: Some(by.name.clone()),
    }
}

fn throttled(left: Duration) -> Refused {
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    let message = "too many wrong credentials came from this address";
    let answer = Answer::error(429, message, &format!("wait {seconds} s, then show the right one"));
    refused(Failure::Throttled, answer.with("retry-after", seconds.to_string()))
}

#[cfg(test)]
mod tests;
