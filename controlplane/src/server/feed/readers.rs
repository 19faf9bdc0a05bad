//! Who reads the feed by the control port. Workers hold the connections; what is here are the leaves that were given for them.

use super::{PATH, ROUTES};
use crate::guard::{Basis, Peer, Principal, Scope};
use crate::server::guard::{Asking, is_of_ours, scope_now};
use hyper::Request;
use hyper::header::{HOST, ORIGIN};
use hyper::http::request::Parts;
use ringway_shared::config::{Authorities, Control};
use ringway_shared::feed::Grant;
use std::cell::RefCell;
use std::sync::{Arc, Weak};

/// What begins the names of Fetch Metadata's fields.
const FETCH: &str = "sec-fetch-";

/// All of them.
#[derive(Default)]
pub struct Readers {
    all: RefCell<Vec<Reader>>,
    /// Whom client certificates were believed by when the readers were judged last.
    authorities: RefCell<Option<Authorities>>,
}

struct Reader {
    worker: usize,
    by: Principal,
    came: Came,
    /// Gone as soon as the connection is.
    grant: Weak<Grant>,
}

/// Where a reader's request was sent to, and by whose page: `control.allowed_hosts` and `control.allowed_origins` are asked about it
/// again when they change.
pub struct Came {
    peer: Peer,
    head: Parts,
}

impl Came {
    pub fn of(peer: &Peer, head: &Parts) -> Came {
        let (mut kept, ()) = Request::new(()).into_parts();
        kept.uri = head.uri.clone();
        // No secret is kept, and a ticket has been used up.
        let concerns =
            |name: &str| [HOST.as_str(), ORIGIN.as_str()].contains(&name) || name.starts_with(FETCH);
        for (name, value) in head.headers.iter().filter(|(name, _)| concerns(name.as_str())) {
            kept.headers.append(name, value.clone());
        }
        Came { peer: peer.clone(), head: kept }
    }

    fn is_of_ours(&self, control: &Control) -> bool {
        let route = ROUTES.iter().find(|route| route.path == PATH);
        route.is_some_and(|route| is_of_ours(control, &Asking { route, peer: &self.peer, head: &self.head }))
    }
}

impl Readers {
    /// How many there are now.
    #[must_use]
    pub fn count(&self) -> usize {
        let mut all = self.all.borrow_mut();
        all.retain(|reader| reader.grant.strong_count() > 0);
        all.len()
    }

    /// How many of them were given to one worker.
    #[must_use]
    pub fn of_worker(&self, worker: usize) -> usize {
        let all = self.all.borrow();
        all.iter().filter(|reader| reader.worker == worker && reader.grant.strong_count() > 0).count()
    }

    pub fn note(&self, worker: usize, by: Principal, came: Came, grant: &Arc<Grant>) {
        self.all.borrow_mut().push(Reader { worker, by, came, grant: Arc::downgrade(grant) });
    }

    /// Takes the leave from those who may not read any more under this configuration; how many that were. Call it before the first comes, too.
    pub fn judge_anew(&self, control: &Control) -> usize {
        let authorities = control.tls.clients.as_ref().map(|clients| clients.authorities.clone());
        let others = self.authorities.replace(authorities.clone()) != authorities;
        let all = self.all.borrow();
        let is_out = |reader: &&Reader| {
            let by_gone_authority = others && is_by_certificate(&reader.by);
            scope_now(control, &reader.by) < Scope::Read
                || by_gone_authority
                || !reader.came.is_of_ours(control)
        };
        let out = all.iter().filter(is_out);
        let revoked = out.filter_map(|reader| reader.grant.upgrade()).filter(|grant| !grant.is_revoked());
        revoked.map(|grant| grant.revoke()).count()
    }
}

fn is_by_certificate(by: &Principal) -> bool {
    matches!(by.basis, Basis::Connection(Peer::Tls { name: Some(_), .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tests::config;

    const TOKENS: &str = "control.tokens=[{name: a, scope: read, token: \"{sha256}9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}]";

    fn peer(near: bool) -> Peer {
        Peer::Tcp { address: ([192, 0, 2, 1], 7).into(), near }
    }

    fn come(readers: &Readers, by: &Principal) -> Arc<Grant> {
        come_with(readers, by, &[("host", "127.0.0.1:9003")])
    }

    fn come_with(readers: &Readers, by: &Principal, fields: &[(&str, &str)]) -> Arc<Grant> {
        let request = fields
            .iter()
            .fold(Request::builder().uri("/ws"), |request, (name, value)| request.header(*name, *value));
        let head = request.body(()).unwrap().into_parts().0;
        let grant = Arc::new(Grant::new("a".into()));
        readers.note(0, by.clone(), Came::of(&peer(true), &head), &grant);
        grant
    }

    #[test]
    fn who_came_by_a_name_or_a_page_is_out_when_it_is_no_more_listed() {
        let readers = Readers::default();
        let listed = config(&[
            "control.allowed_hosts=[ops.lan]",
            "control.allowed_origins=[https://ops.example, https://other.example]",
            TOKENS,
        ]);
        let by = Principal {
            name: "a".into(),
            scope: Scope::Read,
            basis: Basis::Shown(listed.control.tokens[0].digest),
        };
        let comes = |fields: &[(&str, &str)]| come_with(&readers, &by, fields);
        let named = comes(&[("host", "ops.lan:9003"), ("origin", "http://ops.lan:9003")]);
        let page = comes(&[
            ("host", "127.0.0.1"),
            ("origin", "https://ops.example"),
            ("sec-fetch-site", "cross-site"),
        ]);
        let other = comes(&[("host", "127.0.0.1"), ("origin", "https://other.example")]);
        let own = comes(&[
            ("host", "127.0.0.1"),
            ("origin", "http://127.0.0.1"),
            ("sec-fetch-site", "same-origin"),
        ]);
        assert_eq!(readers.judge_anew(&listed.control), 0);
        let fewer = config(&["control.allowed_origins=[https://other.example]", TOKENS]);
        assert_eq!(readers.judge_anew(&fewer.control), 2);
        assert!(named.is_revoked() && page.is_revoked() && !other.is_revoked() && !own.is_revoked());
    }

    #[test]
    fn who_is_gone_does_not_count() {
        let readers = Readers::default();
        let (one, two) = (come(&readers, &Principal::nobody()), come(&readers, &Principal::nobody()));
        assert_eq!((readers.count(), readers.of_worker(0), readers.of_worker(1)), (2, 2, 0));
        drop(one);
        assert_eq!((readers.count(), readers.of_worker(0)), (1, 1));
        drop(two);
        assert_eq!(readers.count(), 0);
    }

    #[test]
    fn who_was_asked_nothing_is_out_when_tokens_are_wanted() {
        let readers = Readers::default();
        let (open, asks) = (config(&[]), config(&[TOKENS]));
        let near = come(&readers, &Principal::anybody(&peer(true)));
        assert_eq!(readers.judge_anew(&open.control), 0);
        assert!(!near.is_revoked());
        assert_eq!(readers.judge_anew(&asks.control), 1);
        assert!(near.is_revoked());
        assert_eq!(readers.judge_anew(&asks.control), 0, "they are told once");
    }

    #[test]
    fn who_showed_a_token_is_out_when_it_is_another_one() {
        let readers = Readers::default();
        let asks = config(&[TOKENS]);
        let digest = asks.control.tokens[0].digest;
        let by = |digest| Principal { name: "a".into(), scope: Scope::Read, basis: Basis::Shown(digest) };
        let (same, other) = (come(&readers, &by(digest)), come(&readers, &by([7; 32])));
        assert_eq!(readers.judge_anew(&asks.control), 1);
        assert_eq!((same.is_revoked(), other.is_revoked()), (false, true));
    }
}
