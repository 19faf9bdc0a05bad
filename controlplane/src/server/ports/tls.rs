//! HTTPS: what it is spoken with, and the handshake. A door to rustls.

use crate::guard::Peer;
use crate::server::feed::{Bridge, Wire};
use crate::server::{HEADER_READ_MAX, is_near};
use ringway_dataplane::io::tls::Certificates;
use ringway_shared::config::{Certificate, ClientCertificates, ControlTls, TlsVersion, common_name};
use rustls::crypto::ring;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the connections from now on are accepted with.
#[derive(Default)]
pub struct Tls(RefCell<Option<Acceptor>>);

/// Settings ready to be used.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
}

/// Why there is no connection.
pub enum Failed {
    /// The client's certificate is not to be believed, or it showed none though it had to.
    Certificate,
    /// Whatever else: it went away, spoke something else, took too long.
    Otherwise,
}

impl Tls {
    pub fn replace(&self, acceptor: Option<Acceptor>) {
        *self.0.borrow_mut() = acceptor;
    }

    pub fn renew(&self, certificates: &[Arc<Certificate>]) {
        if let Some(acceptor) = &*self.0.borrow() {
            acceptor.certificates.replace(certificates);
        }
    }

    /// Leads the handshake of a connection.
    pub async fn shake_hands(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<(TlsStream<TcpStream>, Peer), Failed> {
        let acceptor = self.0.borrow().clone();
        let Some(Acceptor { acceptor, .. }) = acceptor else { return Err(Failed::Otherwise) };
        let stream = timeout(HEADER_READ_MAX, acceptor.accept(stream)).await;
        let stream = stream.map_err(|_late| Failed::Otherwise)?.map_err(|error| blame(&error, address))?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let name = shown.map(|shown| common_name(shown));
        // Nobody can be held to account by the name that is missing.
        if let Some(None) = name {
            tracing::debug!("control client {address}: its certificate has no common name");
            return Err(Failed::Certificate);
        }
        let peer =
            Peer::Tls { address, near: is_near(stream.get_ref().0), name: name.flatten().map(Into::into) };
        Ok((stream, peer))
    }
}

impl Wire for TlsStream<TcpStream> {
    fn detach(self) -> io::Result<(OwnedFd, Option<Bridge>)> {
        let (socket, bridge) = Bridge::from(self)?;
        Ok((socket, Some(bridge)))
    }
}

fn blame(error: &io::Error, address: SocketAddr) -> Failed {
    tracing::debug!("control client {address}: TLS: {error}");
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Failed::Certificate
        }
        _ => Failed::Otherwise,
    }
}

impl Acceptor {
    /// `None`: no HTTPS is configured. The error is for the operator.
    pub fn new(control: &ControlTls) -> Result<Option<Acceptor>, String> {
        let Some(certificates) = Certificates::new(control.tls.certificates.clone()) else { return Ok(None) };
        let certificates = Arc::new(certificates);
        let versions = match control.tls.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
            TlsVersion::Tls13 => &[&TLS13][..],
        };
        let failed = |error: rustls::Error| format!("control.tls cannot be prepared: {error}");
        let verifier =
            control.clients.as_ref().map_or_else(|| Ok(WebPkiClientVerifier::no_client_auth()), verifier)?;
        let mut config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(versions)
            .map_err(failed)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A resumed session would carry a client certificate past a change of the authorities.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Some(Acceptor { acceptor, certificates }))
    }
}

fn verifier(clients: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let failed = |why: String| format!("control.tls.client_ca_file: {why}");
    let mut roots = RootCertStore::empty();
    for authority in &clients.authorities.0 {
        roots.add(authority.clone()).map_err(|error| failed(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(roots.into(), ring::default_provider().into());
    let builder = if clients.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| failed(error.to_string()))
}
