//! Watches the files of certificates: what has been renewed is shown from the next handshake on, without a restart.
//!
//! A file is read again when stat(2) tells that it has changed. One that cannot be used changes nothing, is logged once,
//! and is tried again with its next change: whoever writes certificate and key one after the other is understood.

use crate::settings::read_bounded;
use ringway_dataplane::Workers;
use ringway_shared::config::{Certificate, CertificateFiles, Config, PEM_BYTES_MAX, Tls};
use ringway_shared::tls::TlsService;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How often the files are looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(2);
/// A certificate that ends so soon is worth a notice.
pub const ENDS_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// What is told of the certificates in metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// When the first certificate of each service ends, since 1970, in the order of [`SHOWN_BY`].
    pub expiries: [Option<Duration>; SHOWN_BY.len()],
    /// Changed files that could not be used.
    pub failures: u64,
}

/// Who shows certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShownBy {
    Service(TlsService),
    Control,
}

pub const SHOWN_BY: [ShownBy; 3] =
    [ShownBy::Service(TlsService::Socks5), ShownBy::Service(TlsService::WebSocket), ShownBy::Control];

impl ShownBy {
    /// The name of its section in the configuration, and of its metrics' label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            ShownBy::Service(service) => service.label(),
            ShownBy::Control => "control",
        }
    }

    fn tls(self, config: &Config) -> &Tls {
        match self {
            ShownBy::Service(TlsService::Socks5) => &config.socks5.tls,
            ShownBy::Service(TlsService::WebSocket) => &config.websocket.tls,
            ShownBy::Control => &config.control.tls.tls,
        }
    }
}

/// The certificates of all services.
pub struct Certificates {
    services: [Vec<Watched>; SHOWN_BY.len()],
    failures: u64,
    due: Instant,
}

/// One certificate and the files it came from.
struct Watched {
    shown: Arc<Certificate>,
    /// The files as they were when last read; `None`: they have not been looked at yet.
    read: Option<Stamps>,
}

/// What stat(2) tells of certificate and key.
type Stamps = [Option<Stamp>; 2];

/// Changes with every change of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Certificates {
    /// Those of a configuration, read as they were shown last.
    #[must_use]
    pub fn of(config: &Config) -> Certificates {
        let services = SHOWN_BY.map(|service| {
            let certificates = &service.tls(config).certificates;
            certificates.iter().map(|shown| Watched { shown: shown.clone(), read: None }).collect()
        });
        Certificates { services, failures: 0, due: Instant::now() }
    }

    /// Goes on with those of another configuration, which the workers serve under already. Its texts may be older than what
    /// was shown since: certificates follow their files.
    pub fn follow(&mut self, config: &Config, workers: &Workers, control: impl Fn(&[Arc<Certificate>])) {
        self.services = Certificates::of(config).services;
        self.due = Instant::now();
        self.look(workers, control);
    }

    /// Looks at the files, if it is time to. Call it each second. Reads small local files only when they have changed.
    /// `control` is given those of the control port when one of them has been renewed.
    pub fn look(&mut self, workers: &Workers, control: impl Fn(&[Arc<Certificate>])) {
        let now = Instant::now();
        if now >= self.due {
            self.due = now + LOOKED_AT_EVERY;
            self.look_now(|shown_by, certificates| match shown_by {
                ShownBy::Service(service) => workers.renew_certificates(service, certificates),
                ShownBy::Control => control(certificates),
            });
        }
    }

    /// Looks at the files now. `renew` is given all certificates of a service of which one has been renewed.
    pub fn look_now(&mut self, renew: impl Fn(ShownBy, &[Arc<Certificate>])) {
        for (service, watched) in SHOWN_BY.into_iter().zip(&mut self.services) {
            let mut renewed = false;
            for one in watched.iter_mut() {
                match one.look() {
                    Ok(changed) => renewed |= changed,
                    Err(fault) => {
                        self.failures += 1;
                        tracing::error!(
                            "{}.tls.certificates: {fault}; the certificate from before is still shown",
                            service.label()
                        );
                    }
                }
            }
            if renewed {
                let shown: Vec<_> = watched.iter().map(|one| one.shown.clone()).collect();
                tracing::info!("{}.tls.certificates: renewed, for new connections", service.label());
                notices_of(service, &shown).for_each(|notice| tracing::warn!("{notice}"));
                renew(service, &shown);
            }
        }
    }

    #[must_use]
    pub fn facts(&self) -> CertificateFacts {
        let first_end = |watched: &Vec<Watched>| watched.iter().map(|one| one.shown.not_after).min();
        CertificateFacts { expiries: self.services.each_ref().map(first_end), failures: self.failures }
    }
}

impl Watched {
    /// Whether there is a new certificate. The error is for the operator, told once for each change.
    fn look(&mut self) -> Result<bool, String> {
        let files = &self.shown.files;
        let now: Stamps = [stamp(&files.certificate), stamp(&files.key)];
        if self.read == Some(now) {
            return Ok(false);
        }
        self.read = Some(now);
        let CertificateFiles { certificate, key } = files;
        let read = Certificate::read(files.clone(), &|path| read_bounded(path, PEM_BYTES_MAX));
        let fresh = read.map_err(|fault| {
            format!(
                "{} and {}: {}: {}",
                certificate.display(),
                key.display(),
                fault.half.field(),
                fault.message
            )
        })?;
        let changed = fresh.certified.cert != self.shown.certified.cert;
        if changed {
            self.shown = Arc::new(fresh);
        }
        Ok(changed)
    }
}

/// `None`: there is no such file, or nobody may look at it.
fn stamp(path: &Path) -> Option<Stamp> {
    let facts = std::fs::metadata(path).ok()?;
    Some(Stamp {
        inode: facts.ino(),
        bytes: facts.len(),
        modified: (facts.mtime(), facts.mtime_nsec()),
        changed: (facts.ctime(), facts.ctime_nsec()),
    })
}

/// What the operator should know of the certificates of a configuration.
pub fn notices(config: &Config) -> Vec<String> {
    SHOWN_BY.into_iter().flat_map(|service| notices_of(service, &service.tls(config).certificates)).collect()
}

/// How a certificate stands, in whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Good { ends_in: u64 },
    EndsSoon { ends_in: u64 },
    Ended { ago: u64 },
    NotYet { begins_in: u64 },
}

impl Condition {
    /// At `now`, since 1970.
    #[must_use]
    pub fn of(certificate: &Certificate, now: Duration) -> Condition {
        let days = |duration: Duration| duration.as_secs() / (24 * 3600);
        if now >= certificate.not_after {
            return Condition::Ended { ago: days(now - certificate.not_after) };
        }
        if now < certificate.not_before {
            return Condition::NotYet { begins_in: days(certificate.not_before - now) };
        }
        let left = certificate.not_after - now;
        let ends_in = days(left);
        if left < ENDS_SOON { Condition::EndsSoon { ends_in } } else { Condition::Good { ends_in } }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Condition::Good { ends_in } | Condition::EndsSoon { ends_in } => {
                write!(f, "expires in {ends_in} days")
            }
            Condition::Ended { ago } => write!(f, "expired {ago} days ago: clients refuse it"),
            Condition::NotYet { begins_in } => {
                write!(f, "begins to be valid in {begins_in} days: clients refuse it until then")
            }
        }
    }
}

fn notices_of(service: ShownBy, certificates: &[Arc<Certificate>]) -> impl Iterator<Item = String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    certificates.iter().filter_map(move |certificate| {
        let condition = Condition::of(certificate, now);
        let remedy = match condition {
            Condition::Good { .. } => return None,
            Condition::NotYet { .. } => "",
            Condition::Ended { .. } | Condition::EndsSoon { .. } => "; renew it",
        };
        Some(format!(
            "{}.tls.certificates: {} {condition}{remedy}",
            service.label(),
            certificate.files.certificate.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ringway-tls-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Writes a file whole at once.
    fn put(path: &Path, text: &str) {
        let fresh = path.with_extension("new");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, path).unwrap();
    }

    fn sign(files: &CertificateFiles) {
        let signed = rcgen::generate_simple_self_signed(vec!["example.org".to_owned()]).unwrap();
        put(&files.key, &signed.signing_key.serialize_pem());
        put(&files.certificate, &signed.cert.pem());
    }

    /// How many services were renewed by one look.
    fn renewals(certificates: &mut Certificates) -> usize {
        let count = std::cell::Cell::new(0);
        certificates.look_now(|service, shown| {
            assert_eq!((service, shown.len()), (ShownBy::Service(TlsService::WebSocket), 2));
            count.set(count.get() + 1);
        });
        count.get()
    }

    #[test]
    fn a_renewed_file_is_shown_and_a_broken_one_changes_nothing_and_is_told_once() {
        let folder = folder("renewal");
        let of = |name: &str| CertificateFiles {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        let both = [of("a"), of("b")];
        both.iter().for_each(sign);
        let read = |files: &CertificateFiles| {
            let read = Certificate::read(files.clone(), &|path| read_bounded(path, PEM_BYTES_MAX)).unwrap();
            Watched { shown: Arc::new(read), read: None }
        };
        let services = [Vec::new(), both.iter().map(read).collect(), Vec::new()];
        let mut certificates = Certificates { services, failures: 0, due: Instant::now() };
        // As read at the start.
        assert_eq!(renewals(&mut certificates), 0);
        sign(&both[1]);
        assert_eq!((renewals(&mut certificates), renewals(&mut certificates)), (1, 0));
        put(&both[0].certificate, "not a certificate");
        sign(&both[1]);
        // The other one is renewed all the same.
        assert_eq!((renewals(&mut certificates), renewals(&mut certificates)), (1, 0));
        assert_eq!(certificates.facts().failures, 1);
        std::fs::remove_file(&both[0].key).unwrap();
        assert_eq!((renewals(&mut certificates), renewals(&mut certificates)), (0, 0));
        assert_eq!(certificates.facts().failures, 2);
        sign(&both[0]);
        assert_eq!(renewals(&mut certificates), 1);
        let facts = certificates.facts();
        assert_eq!((facts.failures, facts.expiries[0]), (2, None));
        assert!(facts.expiries[1].is_some());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn certificates_near_their_end_are_worth_a_notice() {
        let folder = folder("notices");
        let files = CertificateFiles { certificate: folder.join("a.pem"), key: folder.join("a.key") };
        sign(&files);
        let read = Certificate::read(files, &|path| read_bounded(path, PEM_BYTES_MAX)).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let day = Duration::from_secs(24 * 3600);
        for (begins, ends, told) in [
            (now - day, now + 30 * day, None),
            (now - day, now + 3 * day, Some("expires in 2 days")),
            (now - 9 * day, now - 2 * day, Some("expired 2 days ago")),
            (now + 2 * day, now + 90 * day, Some("begins to be valid in 1 days")),
        ] {
            let one = Certificate {
                files: read.files.clone(),
                names: Vec::new(),
                not_before: begins,
                not_after: ends,
                certified: read.certified.clone(),
            };
            let notices: Vec<_> = notices_of(SHOWN_BY[0], &[Arc::new(one)]).collect();
            match told {
                None => assert_eq!(notices, Vec::<String>::new()),
                Some(told) => assert!(notices[0].contains(told), "{notices:?}"),
            }
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
