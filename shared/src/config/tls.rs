//! `socks5.tls`, `websocket.tls` and `control.tls`: the types, and what certificate files must hold.
//!
//! A [`Certificate`] is made when the configuration is loaded and again when its files have been renewed, of texts that
//! the caller has read. Nothing in here repeats a key.

use super::fields::{Field, Fields, Shape};
use super::place::Span;
use super::read::{self, Read};
use super::value::Value;
use super::yaml::Node;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Tag, Tagged};
use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};

/// Bytes of a certificate's or key's file.
pub const PEM_BYTES_MAX: usize = 1 << 20;
/// Certificates of one chain: each is sent in every handshake.
const CHAIN_LEN_MAX: usize = 16;
/// Authorities of client certificates.
const AUTHORITIES_MAX: usize = 256;
/// RFC 5280 appendix A.1 (ub-common-name counts characters, of up to four bytes).
const COMMON_NAME_BYTES_MAX: usize = 4 * 64;
/// id-at-commonName (RFC 5280 appendix A.1).
const CN: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// How a service is reached by TLS.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Empty: it is not.
    pub listen: Vec<SocketAddr>,
    pub min_version: TlsVersion,
    /// Chosen by the name a client asks for (SNI); the first is for all others. Not empty while `listen` is not.
    pub certificates: Vec<Arc<Certificate>>,
}

/// The lowest protocol version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    #[default]
    Tls12,
    Tls13,
}

/// Where a certificate and its key are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM: the certificate, then those that lead to its root.
    pub certificate: PathBuf,
    /// PEM: its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// A certificate that clients can be shown.
pub struct Certificate {
    pub files: CertificateFiles,
    /// The DNS names it is for, in small letters; `*.` may lead one.
    pub names: Vec<Box<str>>,
    /// When it begins and ends to be valid, since 1970 (UTC). Of a chain: the first certificate's.
    pub not_before: Duration,
    pub not_after: Duration,
    /// The chain and its key, which belong together.
    pub certified: Arc<CertifiedKey>,
}

/// Which of the two files is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    Certificate,
    Key,
}

impl Half {
    /// The field that names it.
    #[must_use]
    pub fn field(self) -> &'static str {
        ["certificate", "key"][self as usize]
    }
}

/// What is wrong with a pair of files, and with which of the two. Never holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFault {
    pub half: Half,
    pub message: String,
}

impl Certificate {
    /// Reads both files by `read_file` and makes sense of them.
    pub fn read(
        files: CertificateFiles,
        read_file: &dyn Fn(&Path) -> std::io::Result<String>,
    ) -> Result<Certificate, CertificateFault> {
        let text = |half, path: &Path| {
            let quoted = read::quote(&path.to_string_lossy());
            match read_file(path) {
                Ok(text) if text.len() > PEM_BYTES_MAX => {
                    Err(fault(half, format!("{quoted} is larger than {PEM_BYTES_MAX} bytes")))
                }
                Ok(text) => Ok(text),
                Err(error) => Err(fault(half, format!("cannot read {quoted}: {error}"))),
            }
        };
        let chain = chain(&text(Half::Certificate, &files.certificate)?)?;
        let key = key(&text(Half::Key, &files.key)?)?;
        let facts = Facts::of(&chain[0])
            .map_err(|error| fault(Half::Certificate, format!("holds no X.509 certificate: {error}")))?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(unfit)?;
        let Facts { names, not_before, not_after } = facts;
        Ok(Certificate { files, names, not_before, not_after, certified: Arc::new(certified) })
    }
}

/// Who must have signed a client's certificate.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Authorities(pub Vec<CertificateDer<'static>>);

impl Authorities {
    /// The certificates of a PEM file. The error is a remedy.
    pub fn read(text: &str) -> Result<Authorities, String> {
        let authorities: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(text.as_bytes()).take(AUTHORITIES_MAX + 1).collect();
        match authorities {
            Err(error) => Err(format!("is no PEM: {error}")),
            Ok(list) if list.is_empty() => {
                Err("holds no \"BEGIN CERTIFICATE\": write the authorities' certificates there".to_owned())
            }
            Ok(list) if list.len() > AUTHORITIES_MAX => Err(format!(
                "holds more than {AUTHORITIES_MAX} certificates: keep those of your own authorities"
            )),
            Ok(list) => match list.iter().find_map(|one| Facts::of(one).err()) {
                Some(error) => Err(format!("holds what is no X.509 certificate: {error}")),
                None => Ok(Authorities(list)),
            },
        }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates", self.0.len())
    }
}

/// The common name of a certificate's subject; `None`: it has none, several, or one that is empty or overlong
/// or would forge log lines.
#[must_use]
pub fn common_name(certificate: &[u8]) -> Option<String> {
    let subject = x509_cert::Certificate::from_der(certificate).ok()?.tbs_certificate.subject;
    let mut names = subject.0.iter().flat_map(|part| part.0.iter()).filter(|one| one.oid == CN);
    let (first, None) = (names.next()?, names.next()) else { return None };
    let name = match first.value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => {
            std::str::from_utf8(first.value.value()).ok()?
        }
        _ => return None,
    };
    let fits = (1..=COMMON_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(breaks_lines);
    fits.then(|| name.to_owned())
}

/// Characters by which a name could end the log line that it stands in, or turn what is read of it.
fn breaks_lines(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The certificate's chain, itself first.
fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(text.as_bytes()).take(CHAIN_LEN_MAX + 1).collect();
    match chain {
        Err(error) => Err(fault(Half::Certificate, format!("is no PEM: {error}"))),
        Ok(chain) if chain.is_empty() => {
            let remedy = "write the certificate there, and behind it those that lead to its root";
            Err(fault(Half::Certificate, format!("holds no \"BEGIN CERTIFICATE\": {remedy}")))
        }
        Ok(chain) if chain.len() > CHAIN_LEN_MAX => {
            let remedy = "keep those that lead to the root alone";
            Err(fault(Half::Certificate, format!("holds more than {CHAIN_LEN_MAX} certificates: {remedy}")))
        }
        Ok(chain) => Ok(chain),
    }
}

fn key(text: &str) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| {
        let message = match error {
            pem::Error::NoItemsFound if text.contains("BEGIN ENCRYPTED PRIVATE KEY") => {
                "holds an encrypted key, which nobody is there to open: write it in plain, readable by ringway \
                 alone"
            }
            pem::Error::NoItemsFound => "holds no private key in PEM (PKCS #8, PKCS #1 or SEC 1)",
            // What rustls says may quote the text.
            _ => "is no PEM",
        };
        fault(Half::Key, message)
    })
}

/// Why a key cannot serve, or not with this certificate.
fn unfit(error: Error) -> CertificateFault {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            fault(Half::Key, "is not the certificate's key: name the one it was made with")
        }
        Error::InvalidCertificate(why) => fault(Half::Certificate, format!("cannot be used: {why:?}")),
        _ => fault(
            Half::Key,
            "is of a kind that cannot be used: RSA of 2048 to 8192 bits, ECDSA P-256 or P-384, or Ed25519",
        ),
    }
}

fn fault(half: Half, message: impl Into<String>) -> CertificateFault {
    CertificateFault { half, message: message.into() }
}

/// What a certificate says of itself.
struct Facts {
    names: Vec<Box<str>>,
    not_before: Duration,
    not_after: Duration,
}

impl Facts {
    fn of(certificate: &CertificateDer<'_>) -> Result<Facts, x509_cert::der::Error> {
        let certificate = x509_cert::Certificate::from_der(certificate)?.tbs_certificate;
        let validity = &certificate.validity;
        let alternatives = certificate.get::<SubjectAltName>()?.map_or_else(Vec::new, |(_, names)| names.0);
        let names = alternatives.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase().into()),
            _ => None,
        });
        Ok(Facts {
            names: names.collect(),
            not_before: validity.not_before.to_unix_duration(),
            not_after: validity.not_after.to_unix_duration(),
        })
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is not among them.
        f.debug_struct("Certificate")
            .field("files", &self.files)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// The fields of an item of `certificates`.
pub static FIELDS: [Field; 2] = [
    field(
        "certificate",
        "A PEM file: the certificate, and behind it those that lead to its root. A relative path starts at \
         the configuration file's folder.",
    ),
    field("key", "A PEM file: its private key, unencrypted (PKCS #8, PKCS #1 or SEC 1)."),
];

const fn field(name: &'static str, doc: &'static str) -> Field {
    Field { name, shape: Shape::Text("tls/example.pem"), required: true, doc }
}

/// A certificate that is to be read, and where its files are named.
#[derive(Clone)]
pub struct WrittenCertificate {
    pub files: CertificateFiles,
    certificate_span: Span,
    key_span: Span,
}

impl WrittenCertificate {
    /// Where the file of this half is named.
    pub fn span(&self, half: Half) -> Span {
        match half {
            Half::Certificate => self.certificate_span,
            Half::Key => self.key_span,
        }
    }

    /// Where its files are, if their paths start at `folder`.
    pub fn resolve(&mut self, folder: &Path) {
        let CertificateFiles { certificate, key } = &mut self.files;
        [certificate, key].into_iter().for_each(|path| *path = folder.join(&path));
    }
}

pub fn certificates(node: &Node) -> Read<Vec<WrittenCertificate>> {
    read::list(node, |node| {
        let mut fields = Fields::of(node, &FIELDS)?;
        let certificate = fields.required("certificate", path);
        let key = fields.required("key", path);
        let (certificate_span, key_span) = (fields.span("certificate"), fields.span("key"));
        let files = certificate.zip(key).map(|(certificate, key)| CertificateFiles { certificate, key });
        fields.end(files.map(|files| WrittenCertificate { files, certificate_span, key_span }))
    })
}

fn path(node: &Node) -> Read<PathBuf> {
    Ok(PathBuf::from(read::text(node)?))
}

/// It as it would be written.
pub fn show(written: &WrittenCertificate) -> Value {
    let text = |path: &Path| Value::Text(path.to_string_lossy().into_owned());
    let CertificateFiles { certificate, key } = &written.files;
    Value::Map(vec![("certificate", text(certificate)), ("key", text(key))])
}
