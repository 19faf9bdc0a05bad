//! TLS for whoever listens with it: the one door to rustls.
//!
//! `certificates` says which certificate a client is shown, now and after a renewal; `session` is one connection, `handshake` leads
//! that of a SOCKS5 client to its first byte. What
//! the files hold has been read and checked by the configuration (`ringway_shared::config::Certificate`).

mod certificates;
mod faults;
mod handshake;
mod session;

pub use certificates::Certificates;
pub use handshake::shake_hands;
pub use session::{SCRATCH_BYTES_MIN, Tls};

use ringway_shared::config::{self, TlsVersion};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

/// HTTP/1.1 in a ClientHello (RFC 7301 section 6): the one protocol a WebSocket upgrade is made in (RFC 6455 section 1.7).
pub const ALPN_HTTP: &[&[u8]] = &[b"http/1.1"];

/// Accepts TLS connections of one service.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
}

impl Acceptor {
    /// Makes a service's settings ready; `None`: it does not listen with TLS. `alpn`: the protocols it speaks, best
    /// first; a client that offers none is served all the same. `before`: the one until now, whose sessions can be resumed
    /// still. Errors are for the operator.
    pub fn new(
        tls: &config::Tls,
        alpn: &[&[u8]],
        before: Option<&Acceptor>,
    ) -> Result<Option<Acceptor>, String> {
        let Some(certificates) = Certificates::new(tls.certificates.clone()) else { return Ok(None) };
        let certificates = Arc::new(certificates);
        let versions = match tls.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
            TlsVersion::Tls13 => &[&TLS13][..],
        };
        let failed = |error| format!("TLS cannot be prepared: {error}");
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(versions)
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // Sessions are kept by the clients, under keys that change each 6 hours: nothing grows here.
        config.ticketer = match before {
            Some(before) => before.config.ticketer.clone(),
            None => ring::Ticketer::new().map_err(failed)?,
        };
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Some(Acceptor { config: Arc::new(config), certificates }))
    }

    /// A connection that awaits its ClientHello.
    #[must_use]
    pub fn accept(&self) -> Option<Tls> {
        // Fails for configurations with parts missing alone, e.g. without a cipher suite.
        UnbufferedServerConnection::new(self.config.clone()).ok().map(Tls::new)
    }

    /// What clients are shown.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }
}
