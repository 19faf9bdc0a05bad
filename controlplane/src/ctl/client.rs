//! One request to a control port, over TCP, TLS or a Unix socket.

use super::address::Address;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Until the connection stands, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How to be sure of the other side, and how to say who we are.
#[derive(Default)]
pub struct Identity {
    /// Files in PEM.
    pub ca: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub token: Option<String>,
}

/// What is asked.
pub struct Question<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub if_match: Option<&'a str>,
    /// JSON.
    pub body: Option<&'a str>,
}

/// What came back.
pub struct Answered {
    pub status: u16,
    /// Without its parameters.
    pub media_type: String,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    /// What was given to it is wrong: a file, a name.
    Given(String),
    /// Nobody answered.
    Unreachable(String),
}

/// Asks, and waits for the whole answer.
pub async fn ask(
    to: &Address,
    identity: &Identity,
    question: &Question<'_>,
    patience: Duration,
) -> Result<Answered, Trouble> {
    let late = |_| Trouble::Unreachable(format!("{to}: no whole answer within {} s", patience.as_secs()));
    timeout(patience, connect_and_ask(to, identity, question))
        .await
        .unwrap_or_else(|elapsed| Err(late(elapsed)))
}

async fn connect_and_ask(
    to: &Address,
    identity: &Identity,
    question: &Question<'_>,
) -> Result<Answered, Trouble> {
    let failed = |error: std::io::Error| Trouble::Unreachable(format!("{to}: {error}"));
    match to {
        Address::Unix(path) => {
            let stream = in_time(to, UnixStream::connect(path)).await?.map_err(failed)?;
            converse(stream, to, identity, question).await
        }
        Address::Tcp { host, port, tls } => {
            let stream = in_time(to, TcpStream::connect((host.as_str(), *port))).await?.map_err(failed)?;
            if !tls {
                return converse(stream, to, identity, question).await;
            }
            let name = ServerName::try_from(host.clone())
                .map_err(|error| Trouble::Given(format!("{host} is no name: {error}")))?;
            let config = client_config(identity).map_err(Trouble::Given)?;
            let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
            let stream = in_time(to, connecting).await?;
            let stream = stream.map_err(|error| {
                Trouble::Unreachable(format!("{to}: TLS: {error}; --ca names whom to trust"))
            })?;
            converse(stream, to, identity, question).await
        }
    }
}

async fn in_time<T>(to: &Address, connecting: impl Future<Output = T>) -> Result<T, Trouble> {
    let late = |_| Trouble::Unreachable(format!("{to}: no connection within {} s", CONNECT_MAX.as_secs()));
    timeout(CONNECT_MAX, connecting).await.map_err(late)
}

fn client_config(identity: &Identity) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &identity.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        None => {
            // Some entries of the host's store may be broken: the others count.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(roots);
    match (&identity.certificate, &identity.key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let own = PrivateKeyDer::from_pem_slice(&read(key)?)
                .map_err(|error| format!("{}: {error}", key.display()))?;
            let config = builder.with_client_auth_cert(certificates(certificate)?, own);
            config.map_err(|error| format!("{}: {error}", certificate.display()))
        }
        _ => Err("--cert and --key belong together".to_owned()),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{}: holds no certificate in PEM", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    to: &Address,
    identity: &Identity,
    question: &Question<'_>,
) -> Result<Answered, Trouble> {
    let broken =
        |error: hyper::Error| Trouble::Unreachable(format!("{to}: {error}; is this a control port?"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = request(to, identity, question)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let media_type = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim().to_owned();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body =
            body.map_err(|error| Trouble::Unreachable(format!("{to}: the answer broke off: {error}")))?;
        Ok(Answered { status, media_type, body: body.to_bytes() })
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // What came before the end is still to be read.
        _ended = &mut connection => answer.await,
    }
}

fn request(
    to: &Address,
    identity: &Identity,
    question: &Question<'_>,
) -> Result<Request<Full<Bytes>>, Trouble> {
    let mut request = Request::builder()
        .method(question.method)
        .uri(question.target)
        .header(header::HOST, to.authority())
        .header(header::USER_AGENT, concat!("ringway-ctl/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    if question.method != "GET" {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if let Some(tag) = question.if_match {
        request = request.header(header::IF_MATCH, tag);
    }
    if let Some(token) = &identity.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = Full::from(question.body.unwrap_or_default().to_owned());
    // A path or a token that HTTP cannot carry.
    request
        .body(body)
        .map_err(|error| Trouble::Given(format!("{} {}: {error}", question.method, question.target)))
}
