//! One request over http or https, to a server that may be slow, large or broken. Who asks says what it means.
//!
//! hyper's own connection is enough for that: one request, no pool, no redirect, no proxy. Certificates are judged by
//! the authorities this host trusts (its CA store, or what `SSL_CERT_FILE` names), read anew for each request.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{HeaderMap, Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Status line and header lines of an answer.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Gives the authorities that are trusted.
pub type Roots = fn() -> Result<RootCertStore, String>;

/// What is asked.
pub struct Ask<'a> {
    pub method: &'static str,
    /// `http` or `https`. No fault names it, for it may hold a secret.
    pub url: &'a str,
    /// Besides those that every request has.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: Vec<u8>,
    /// From the name's lookup to the last byte.
    pub time_max: Duration,
    /// Of the answer's body.
    pub answer_bytes_max: usize,
}

/// What is answered, whatever its status.
pub struct Answered {
    pub status: u16,
    /// How long the server wishes to be left alone (RFC 9110 section 10.2.3); a date is not understood.
    pub retry_after: Option<Duration>,
    /// Read whole, or why it could not be.
    pub body: Result<Vec<u8>, String>,
}

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

/// Asks, and waits for the answer. The error is for the operator.
pub async fn send(ask: &Ask<'_>, roots: Roots) -> Result<Answered, String> {
    let uri: Uri = ask.url.parse().map_err(|error| format!("is no URL: {error}"))?;
    let answer = timeout(ask.time_max, connect_and_ask(ask, &uri, roots)).await;
    answer.unwrap_or_else(|_late| Err(format!("no whole answer within {} s", ask.time_max.as_secs())))
}

async fn connect_and_ask(ask: &Ask<'_>, uri: &Uri, roots: Roots) -> Result<Answered, String> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    // A name is looked up by the C library, on a thread of tokio's that ends again when nothing is to be done.
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| format!("cannot connect to {host} port {port}: {error}"))?;
    if !secure {
        return exchange(stream, ask, uri).await;
    }
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| format!("{host} is no name: {error}"))?;
    // A store is some hundred files: not read by the control thread either.
    let roots = spawn_blocking(roots).await.map_err(|error| error.to_string())??;
    let connector = TlsConnector::from(Arc::new(client_config(roots)?));
    let stream =
        connector.connect(name, stream).await.map_err(|error| format!("TLS with {host}: {error}"))?;
    exchange(stream, ask, uri).await
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ask: &Ask<'_>,
    uri: &Uri,
) -> Result<Answered, String> {
    let told = |error: hyper::Error| format!("the answer cannot be understood: {error}");
    let mut client = http1::Builder::new();
    client.max_buf_size(HEADER_BYTES_MAX);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(told)?;
    let request = request(ask, uri)?;
    let most = ask.answer_bytes_max;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(told)?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, most).collect().await;
        let body = body
            .map(|body| body.to_bytes().into())
            .map_err(|error| format!("the answer cannot be read, or is larger than {most} bytes: {error}"));
        Ok(Answered { status: head.status.as_u16(), retry_after: retry_after(&head.headers), body })
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // What came before the end is still to be read.
        _ended = &mut connection => answer.await,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

fn request(ask: &Ask<'_>, uri: &Uri) -> Result<Request<Full<Bytes>>, String> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder()
        .method(ask.method)
        .uri(target)
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()));
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    let request = request
        .header(header::USER_AGENT, concat!("ringway/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    request.body(Full::new(ask.body.clone().into())).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_be_left_alone_is_understood_in_seconds() {
        for (value, seconds) in [
            ("7", Some(7)),
            ("0", Some(0)),
            ("-1", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers), seconds.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
