//! Which certificate a client is shown: by the name it asks for, from a table that a renewal replaces.

use ringway_shared::config::Certificate;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The certificates of one service, shared by all workers. The lock is taken once for each handshake, and for the
/// moment of a pointer's copy.
pub struct Certificates {
    table: RwLock<Arc<Table>>,
}

/// Certificates by the names they are for.
struct Table {
    /// The first of the configuration: for names that no certificate has, and for clients that ask for none.
    default: Arc<CertifiedKey>,
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By what stands behind `*.`.
    wildcards: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl Certificates {
    /// `None`: there are none.
    #[must_use]
    pub fn new(certificates: Vec<Arc<Certificate>>) -> Option<Certificates> {
        Some(Certificates { table: RwLock::new(Arc::new(Table::of(&certificates)?)) })
    }

    /// From the next handshake on clients are shown these. An empty list changes nothing.
    pub fn replace(&self, certificates: &[Arc<Certificate>]) {
        if let Some(table) = Table::of(certificates) {
            *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        }
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Table {
    fn of(certificates: &[Arc<Certificate>]) -> Option<Table> {
        let default = certificates.first()?.certified.clone();
        let mut table = Table { default, exact: HashMap::new(), wildcards: HashMap::new() };
        for certificate in certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut table.wildcards, rest),
                    None => (&mut table.exact, &**name),
                };
                // Of two certificates for one name the first is shown.
                names.entry(name.into()).or_insert_with(|| certificate.certified.clone());
            }
        }
        Some(table)
    }

    /// RFC 6125 section 6.4.3: `*` stands for one whole label, the leftmost.
    fn find(&self, asked: Option<&str>) -> Arc<CertifiedKey> {
        let Some(asked) = asked else { return self.default.clone() };
        let asked = asked.to_ascii_lowercase();
        let wildcard = || self.wildcards.get(asked.split_once('.')?.1);
        self.exact.get(&*asked).or_else(wildcard).unwrap_or(&self.default).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.table().find(hello.server_name()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}
