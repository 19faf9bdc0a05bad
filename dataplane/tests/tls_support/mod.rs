//! Certificates made on the spot, and clients that trust them.

#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part of this

pub mod pair;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use ringway_shared::config::{Certificate, CertificateFiles, Tls, TlsVersion};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::sync::Arc;

pub use rustls::version::{TLS12, TLS13};

/// An authority of this test run.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as files hold them.
pub struct Pem {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn sign(&self, names: &[&str]) -> Pem {
        self.sign_until(names, 2100)
    }

    /// A certificate that ends with the beginning of a year.
    pub fn sign_until(&self, names: &[&str], year: i32) -> Pem {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pem { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client's settings that trust this authority.
    pub fn client_config(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A client that asks for `name`.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion], name: &str) -> ClientConnection {
        client(self.client_config(versions), name)
    }
}

pub fn client(config: ClientConfig, name: &str) -> ClientConnection {
    ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap()
}

impl Pem {
    /// It as the configuration would have read it.
    pub fn loaded(&self) -> Arc<Certificate> {
        let files = CertificateFiles { certificate: "a.pem".into(), key: "a.key".into() };
        let read = |path: &std::path::Path| {
            Ok(if path.ends_with("a.key") { self.key.clone() } else { self.certificate.clone() })
        };
        Arc::new(Certificate::read(files, &read).unwrap())
    }
}

/// A service's settings with these certificates.
pub fn settings(certificates: &[&Pem], min_version: TlsVersion) -> Tls {
    let certificates = certificates.iter().map(|pem| pem.loaded()).collect();
    Tls { listen: Vec::new(), min_version, certificates }
}
