//! Who may read the live feed, and what else its topics are closed to.
//!
//! Who comes by the control port has been judged there, and reads the feed alone. At the gateway the feed is open where the control
//! port would ask nobody who they are either: on loopback, to programs and to pages of this host.

use super::origin::Origins;
use ringway_shared::config::{AllowedHost, Control};
use ringway_shared::feed::Feed;
use ringway_shared::origin::{authority, is_fixed_host};

/// Whether a topic is one of the feed's: the control plane alone publishes there, and nobody subscribes others to it.
#[must_use]
pub fn is_reserved(topic: &str) -> bool {
    Feed::of(topic).is_some()
}

/// How a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the control port, which has judged it.
    ControlPort,
    /// By the gateway's own listeners.
    Gateway {
        /// It reached a loopback address.
        near: bool,
        /// As [`Readers::are_foreign`] says.
        foreign: bool,
    },
}

/// What an upgrade request says of who is behind it.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    pub host: &'a str,
    pub origin: Option<&'a str>,
    /// It came through TLS of our own.
    pub tls: bool,
    /// A proxy says that it only passes it on.
    pub forwarded: bool,
}

/// Why a subscription is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The control port's connections have the feed alone.
    FeedOnly,
    /// The feed is not open to this connection.
    NotOpen,
    /// The server's side subscribes nobody to it.
    OwnWishOnly,
}

impl Refused {
    /// For whoever asked.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Refused::FeedOnly => {
                "the control port's /ws has the live feed alone: traffic_data, proxy_health, system_performance, user_activity, alerts; other topics are at the gateway's port"
            }
            Refused::NotOpen => {
                "this topic is not open here: subscribe at the control port's /ws, with a token of scope read where it asks for one"
            }
            Refused::OwnWishOnly => "nobody is subscribed to this topic but by their own wish",
        }
    }
}

/// Who may read the feed at the gateway, as the configuration has it.
#[derive(Clone, Debug)]
pub struct Readers {
    /// The control port asks nobody who they are.
    nobody_is_asked: bool,
    /// Nor whether they are on this host.
    insecure: bool,
    /// Names this host may be called by, besides addresses and `localhost`.
    hosts: Vec<AllowedHost>,
}

impl Readers {
    #[must_use]
    pub fn new(control: &Control) -> Readers {
        let by_tls = !control.tls.tls.listen.is_empty() && control.tls.clients.is_none();
        let asks_nobody = !control.listen.is_empty() || by_tls;
        Readers {
            nobody_is_asked: control.tokens.is_empty() && asks_nobody,
            insecure: control.insecure,
            hosts: control.allowed_hosts.clone(),
        }
    }

    /// Whether a request comes from another host's page, or by a proxy that may let in anybody. A page cannot choose its `Host`: one whose name was
    /// pointed here (DNS rebinding) says that name. A program that is no browser writes no `Origin`.
    #[must_use]
    pub fn are_foreign(&self, sender: &Sender<'_>) -> bool {
        let own_page = Origins::default().allow(sender.origin, sender.host, sender.tls);
        sender.forwarded || !self.is_own(sender.host) || !own_page
    }

    /// Whether this host may be called so.
    #[must_use]
    pub fn is_own(&self, host: &str) -> bool {
        authority(host).is_some_and(|(name, _)| {
            is_fixed_host(&name) || self.hosts.iter().any(|allowed| allowed.fits(&name))
        })
    }

    /// Whether the feed is open to a connection that came this way.
    #[must_use]
    pub fn let_in(&self, way: Way) -> bool {
        match way {
            Way::ControlPort => true,
            Way::Gateway { near, foreign } => self.nobody_is_asked && (near || self.insecure) && !foreign,
        }
    }

    /// Whether a connection may subscribe to a topic or pattern. `own_wish`: its client asks; otherwise its token or the publish API does.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_subscribe(&self, topic: &str, way: Way, own_wish: bool) -> Result<(), Refused> {
        match (is_reserved(topic), way) {
            (true, _) if !own_wish => Err(Refused::OwnWishOnly),
            (true, way) if !self.let_in(way) => Err(Refused::NotOpen),
            (false, Way::ControlPort) => Err(Refused::FeedOnly),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAR: Way = Way::Gateway { near: true, foreign: false };
    const FAR: Way = Way::Gateway { near: false, foreign: false };
    const FOREIGN: Way = Way::Gateway { near: true, foreign: true };

    fn open() -> Readers {
        Readers { nobody_is_asked: true, insecure: false, hosts: Vec::new() }
    }

    #[test]
    fn the_control_port_gives_the_feed_and_nothing_else() {
        let closed = Readers { nobody_is_asked: false, ..open() };
        for readers in [open(), closed] {
            for feed in Feed::ALL {
                assert_eq!(readers.may_subscribe(feed.topic(), Way::ControlPort, true), Ok(()));
            }
            for topic in ["news", "*", "traffic_data.x", "$feed", ""] {
                let refused = readers.may_subscribe(topic, Way::ControlPort, true);
                assert_eq!(refused, Err(Refused::FeedOnly), "{topic}");
            }
        }
    }

    #[test]
    fn the_gateway_gives_the_feed_where_the_control_port_would_ask_nobody() {
        let asked = Readers { nobody_is_asked: false, insecure: true, ..open() };
        let insecure = Readers { insecure: true, ..open() };
        for (readers, way, may) in [
            (&open(), NEAR, true),
            (&open(), FAR, false),
            (&open(), FOREIGN, false),
            (&insecure, FAR, true),
            (&insecure, FOREIGN, false),
            (&asked, NEAR, false),
        ] {
            let expected = if may { Ok(()) } else { Err(Refused::NotOpen) };
            for feed in Feed::ALL {
                assert_eq!(readers.may_subscribe(feed.topic(), way, true), expected, "{readers:?} {way:?}");
            }
            assert_eq!(readers.may_subscribe("news", way, true), Ok(()));
        }
    }

    #[test]
    fn nobody_is_subscribed_to_it_by_others() {
        for way in [NEAR, Way::ControlPort] {
            assert_eq!(open().may_subscribe("alerts", way, false), Err(Refused::OwnWishOnly));
        }
        assert_eq!(open().may_subscribe("news", NEAR, false), Ok(()));
    }

    #[test]
    fn pages_and_proxies_of_elsewhere_are_foreign() {
        let named = Readers { hosts: vec![AllowedHost::Exactly("proxy.lan".into())], ..open() };
        for (readers, host, origin, forwarded, foreign) in [
            (&open(), "127.0.0.1:8765", None, false, false),
            (&open(), "127.0.0.1:8765", None, true, true),
            (&open(), "localhost:8765", Some("http://localhost:8765"), false, false),
            (&open(), "[::1]:8765", Some("http://[::1]:8765"), false, false),
            (&open(), "127.0.0.1:8765", Some("http://127.0.0.1:3000"), false, true),
            (&open(), "127.0.0.1:8765", Some("https://evil.example"), false, true),
            (&open(), "127.0.0.1:8765", Some("null"), false, true),
            (&open(), "evil.example:8765", Some("http://evil.example:8765"), false, true),
            (&open(), "proxy.lan:8765", None, false, true),
            (&named, "proxy.lan:8765", None, false, false),
            (&named, "PROXY.lan:8765", Some("http://proxy.lan:8765"), false, false),
            (&open(), "", None, false, true),
        ] {
            let sender = Sender { host, origin, tls: false, forwarded };
            assert_eq!(readers.are_foreign(&sender), foreign, "{sender:?}");
        }
    }
}
