//! One GET of a small document, over http or https, from a server that may be slow, large or broken.
//!
//! hyper's own connection is enough for that: one request, no pool, no redirect, no proxy. Certificates are judged by
//! the authorities this host trusts (its CA store, or what `SSL_CERT_FILE` names), read anew for each fetch.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use ringway_dataplane::policy::jwt::JWKS_BYTES_MAX;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// From the name's lookup to the last byte.
const FETCH_MAX: Duration = Duration::from_secs(10);
/// Status line and header lines of an answer.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Gives the authorities that are trusted.
pub type Roots = fn() -> Result<RootCertStore, String>;

/// The authorities this host trusts.
pub fn host_roots() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Some entries of a store may be broken: the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this host trusts no certificate authority: install ca-certificates, or name a file in SSL_CERT_FILE".into());
    }
    Ok(roots)
}

/// The document at `url`. The error is for the operator.
pub async fn get(url: &str, roots: Roots) -> Result<String, String> {
    let uri: Uri = url.parse().map_err(|error| format!("is no URL: {error}"))?;
    let document = timeout(FETCH_MAX, connect_and_ask(&uri, roots)).await;
    document.unwrap_or_else(|_late| Err(format!("no whole answer within {} s", FETCH_MAX.as_secs())))
}

async fn connect_and_ask(uri: &Uri, roots: Roots) -> Result<String, String> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    // A name is looked up by the C library, on a thread of tokio's that ends again when nothing is to be done.
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| format!("cannot connect to {host} port {port}: {error}"))?;
    if !secure {
        return ask(stream, uri).await;
    }
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| format!("{host} is no name: {error}"))?;
    let connector = TlsConnector::from(Arc::new(client_config(roots()?)?));
    let stream =
        connector.connect(name, stream).await.map_err(|error| format!("TLS with {host}: {error}"))?;
    ask(stream, uri).await
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, uri: &Uri) -> Result<String, String> {
    let told = |error: hyper::Error| format!("the answer cannot be understood: {error}");
    let mut client = http1::Builder::new();
    client.max_buf_size(HEADER_BYTES_MAX);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(told)?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::get(target)
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, concat!("ringway/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(told)?;
        // A redirect leads to another host, which nobody has configured.
        if answer.status() != 200 {
            return Err(format!(
                "answered {}: the URL must answer 200 with a JWK Set",
                answer.status().as_u16()
            ));
        }
        let body = Limited::new(answer.into_body(), JWKS_BYTES_MAX).collect().await;
        let body = body.map_err(|error| {
            format!("the answer cannot be read, or is larger than {JWKS_BYTES_MAX} bytes: {error}")
        })?;
        String::from_utf8(body.to_bytes().into()).map_err(|_| "the answer is not UTF-8".to_owned())
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // What came before the end is still to be read.
        _ended = &mut connection => answer.await,
    }
}
