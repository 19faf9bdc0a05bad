//! Whether the page that opens a WebSocket may: the `Origin` check (RFC 6455 sections 4.2.2 and 10.2).
//!
//! It keeps other people's pages from using a visitor's browser; whoever is no browser writes what it likes there.

use ringway_shared::config::AllowedOrigin;
use ringway_shared::origin::{Origin, authority};

/// The origins that may come. Without entries: those of the host that was asked.
#[derive(Debug, Default)]
pub struct Origins {
    allowed: Box<[AllowedOrigin]>,
}

impl Origins {
    #[must_use]
    pub fn new(allowed: &[AllowedOrigin]) -> Origins {
        Origins { allowed: allowed.into() }
    }

    /// Whether a request with these headers may come; `tls`: it came through TLS of our own.
    ///
    /// Without `Origin` it may: every browser writes one (RFC 6455 section 4.1), so it is none.
    #[must_use]
    pub fn allow(&self, origin: Option<&str>, host: &str, tls: bool) -> bool {
        let Some(origin) = origin else { return true };
        if self.allowed.is_empty() {
            return is_same_host(origin, host, tls);
        }
        let parsed = Origin::parse(origin);
        self.allowed.iter().any(|allowed| match (allowed, &parsed) {
            (AllowedOrigin::Any, _) => true,
            (AllowedOrigin::Null, _) => origin == "null",
            (AllowedOrigin::Exactly(wanted), Some(origin)) => wanted == origin,
            (AllowedOrigin::Subdomains(parent), Some(origin)) => is_below(parent, origin),
            (_, None) => false,
        })
    }
}

/// Whether `origin` is of a name below the parent's, however deep; the parent's own name is not.
fn is_below(parent: &Origin, origin: &Origin) -> bool {
    let below = || {
        let name = origin.host.strip_suffix(&*parent.host)?.strip_suffix('.')?;
        Some(!name.is_empty() && !name.starts_with('.'))
    };
    origin.scheme == parent.scheme && origin.port == parent.port && below() == Some(true)
}

/// Whether the page came from where it now connects to.
///
/// A `Host` without a port means the port of the scheme. Behind a proxy that ends TLS we do not know the client's, so
/// the page's own is taken; with TLS of our own it is https, and a page that came by http is another origin.
fn is_same_host(origin: &str, host: &str, tls: bool) -> bool {
    let (Some(origin), Some((name, port))) = (Origin::parse(origin), authority(host)) else { return false };
    let secure = matches!(&*origin.scheme, "https" | "wss");
    let own_port = if secure { 443 } else { 80 };
    let is_web = secure || matches!(&*origin.scheme, "http" | "ws");
    is_web && (secure || !tls) && origin.host == name && origin.port == port.or(Some(own_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exactly(text: &str) -> AllowedOrigin {
        AllowedOrigin::Exactly(Origin::parse(text).unwrap())
    }

    fn below(text: &str) -> AllowedOrigin {
        AllowedOrigin::Subdomains(Origin::parse(text).unwrap())
    }

    #[test]
    fn without_entries_only_the_page_of_the_same_host_comes_in() {
        let origins = Origins::default();
        for (origin, host, tls, allowed) in [
            ("http://app.example", "app.example", false, true),
            ("https://app.example", "app.example", false, true),
            ("https://app.example", "app.example", true, true),
            ("http://app.example", "app.example", true, false),
            ("https://APP.example", "app.EXAMPLE:443", false, true),
            ("https://app.example:443", "app.example", false, true),
            ("http://app.example:80", "app.example", false, true),
            ("http://localhost:8765", "localhost:8765", false, true),
            ("http://localhost:3000", "localhost:8765", false, false),
            ("http://app.example", "app.example:8765", false, false),
            ("http://[::1]:8765", "[0:0::1]:8765", false, true),
            ("http://[::1]:8765", "[::2]:8765", false, false),
            ("https://evil.example", "app.example", false, false),
            ("https://app.example.evil.example", "app.example", false, false),
            ("https://app.example/", "app.example", false, false),
            ("https://app.example, https://app.example", "app.example", false, false),
            ("chrome-extension://app.example", "app.example", false, false),
            ("null", "null", false, false),
            ("", "", false, false),
        ] {
            assert_eq!(origins.allow(Some(origin), host, tls), allowed, "{origin} to {host}, tls {tls}");
        }
        assert!(origins.allow(None, "app.example", true), "no browser");
    }

    #[test]
    fn listed_origins_come_in_and_the_same_host_only_if_it_is_listed() {
        let allowed = [
            exactly("https://app.example"),
            below("https://example.org"),
            exactly("capacitor://localhost"),
            below("http://example.org:8080"),
        ];
        let origins = Origins::new(&allowed);
        for (origin, allowed) in [
            ("https://app.example", true),
            ("HTTPS://APP.EXAMPLE:443", true),
            ("https://app.example:8443", false),
            ("http://app.example", false),
            ("https://www.app.example", false),
            ("https://a.example.org", true),
            ("https://b.a.example.org", true),
            ("https://example.org", false),
            ("https://evilexample.org", false),
            ("https://.example.org", false),
            ("https://a.example.org.evil.example", false),
            ("http://a.example.org", false),
            ("http://a.example.org:8080", true),
            ("capacitor://localhost", true),
            ("capacitor://localhost.evil.example", false),
            ("http://gateway.example", false),
            ("null", false),
        ] {
            assert_eq!(origins.allow(Some(origin), "gateway.example", false), allowed, "{origin}");
        }
    }

    #[test]
    fn null_and_anything_are_said_in_as_many_words() {
        let null = Origins::new(&[AllowedOrigin::Null]);
        assert!(null.allow(Some("null"), "x", false));
        assert!(!null.allow(Some("NULL"), "x", false) && !null.allow(Some("https://x"), "x", false));
        let any = Origins::new(&[AllowedOrigin::Any]);
        assert!(any.allow(Some("null"), "x", false) && any.allow(Some("garbage"), "", true));
    }
}
