//! A server that hands out keys, over http and https; and a file that changes.

use super::*;
use ringway_shared::config::{Algorithm, Algorithms, Jwt, KeyFile};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use std::cell::RefCell;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const EC: &str = include_str!("../../../dataplane/tests/jwt_keys/ec.jwk.json");
const EC2: &str = include_str!("../../../dataplane/tests/jwt_keys/ec2.jwk.json");
const CA: &[u8] = include_bytes!("../../tests/jwks/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../../tests/jwks/server.pem");
const KEY: &[u8] = include_bytes!("../../tests/jwks/server.key");
/// What no test waits beyond.
const PATIENCE: Duration = Duration::from_secs(20);

fn set(keys: &[&str]) -> String {
    format!("{{\"keys\": [{}]}}", keys.join(","))
}

fn jwt(url: Option<&str>, file: Option<KeyFile>) -> Jwt {
    Jwt {
        secret: None,
        public_keys: Vec::new(),
        jwks_file: file,
        jwks_url: url.map(Into::into),
        jwks_refresh: Duration::from_secs(300),
        issuer: None,
        audience: None,
        leeway: Duration::ZERO,
        algorithms: Algorithms::default().with(Algorithm::Es256),
    }
}

fn ring(jwt: Jwt) -> Arc<KeyRing> {
    Arc::new(KeyRing::new(&Arc::new(jwt), None).unwrap())
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn trusting() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(CA).unwrap()).unwrap();
    Ok(roots)
}

fn trusting_nobody() -> Result<RootCertStore, String> {
    Ok(RootCertStore::empty())
}

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    TlsAcceptor::from(Arc::new(
        builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap(),
    ))
}

/// Reads one request and answers it; what was asked is remembered.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8], asked: &RefCell<Vec<String>>) {
    let (mut head, mut bytes) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut bytes).await {
            Ok(read) if read > 0 => head.extend_from_slice(&bytes[..read]),
            _ => return,
        }
    }
    asked.borrow_mut().push(String::from_utf8(head).unwrap());
    let _ = stream.write_all(answer).await;
    let _ = stream.shutdown().await;
}

/// A server with one answer for everybody; its address and what it has been asked.
async fn server(answer: Vec<u8>, tls: bool) -> (SocketAddr, Rc<RefCell<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Rc::<RefCell<Vec<String>>>::default();
    let remembered = asked.clone();
    spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if !tls {
                serve(stream, &answer, &remembered).await;
            } else if let Ok(stream) = acceptor().accept(stream).await {
                serve(stream, &answer, &remembered).await;
            }
        }
    });
    (address, asked)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { timeout(PATIENCE, test).await.expect("the test takes too long") };
    LocalSet::new().block_on(&runtime, bounded);
}

#[test]
fn a_document_is_fetched_by_http_and_https() {
    run(async {
        let body = set(&[EC]);
        let (plain, asked) = server(answer("200 OK", &body), false).await;
        let url = format!("http://{plain}/keys.json?a=b");
        assert_eq!(get(&url, trusting_nobody).await, Ok(body.clone()));
        let asked = asked.borrow()[0].clone();
        assert!(asked.starts_with(&format!("GET /keys.json?a=b HTTP/1.1\r\nhost: {plain}\r\n")), "{asked}");
        assert!(asked.contains("\r\naccept: application/json\r\n"), "{asked}");

        let (secure, _) = server(answer("200 OK", &body), true).await;
        for host in ["127.0.0.1", "localhost"] {
            let url = format!("https://{host}:{}", secure.port());
            assert_eq!(get(&url, trusting).await, Ok(body.clone()), "{host}");
        }
    });
}

#[test]
fn whoever_cannot_prove_its_name_is_not_listened_to() {
    run(async {
        let (address, asked) = server(answer("200 OK", &set(&[EC])), true).await;
        let told = get(&format!("https://{address}/"), trusting_nobody).await.unwrap_err();
        assert!(told.starts_with("TLS with 127.0.0.1: ") && told.contains("UnknownIssuer"), "{told}");
        let url = format!("https://127.0.0.1.nip.invalid:{}/", address.port());
        assert!(get(&url, trusting).await.unwrap_err().starts_with("cannot connect to"));
        let (plain, _) = server(answer("200 OK", "{}"), false).await;
        assert!(get(&format!("https://{plain}/"), trusting).await.is_err());
        assert!(asked.borrow().is_empty());
    });
}

#[test]
fn every_other_answer_is_told() {
    run(async {
        let large = "x".repeat(JWKS_BYTES_MAX + 1);
        let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n".to_vec();
        endless.resize(2 * JWKS_BYTES_MAX, b'x');
        let long_head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024)).into_bytes();
        for (answer, told) in [
            (answer("404 Not Found", "no"), "answered 404: "),
            (answer("302 Found\r\nLocation: http://127.0.0.1/", ""), "answered 302: "),
            (answer("204 No Content", ""), "answered 204: "),
            (answer("200 OK", &large), "the answer cannot be read, or is larger than 262144 bytes"),
            (endless, "the answer cannot be read, or is larger than 262144 bytes"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}".to_vec(), "the answer cannot be read"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff".to_vec(), "the answer is not UTF-8"),
            (long_head, "the answer cannot be understood"),
            (b"SSH-2.0-x\r\n".to_vec(), "the answer cannot be understood"),
            (Vec::new(), "the answer cannot be understood"),
        ] {
            let (address, _) = server(answer, false).await;
            let fault = get(&format!("http://{address}/"), trusting).await.unwrap_err();
            assert!(fault.starts_with(told), "{fault}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let fault = get(&format!("http://{closed}/"), trusting).await.unwrap_err();
        assert!(fault.starts_with("cannot connect to 127.0.0.1 port"), "{fault}");
    });
}

/// The whole of it: fetched at once, kept through a failure, given to the ring that is in use by then.
#[test]
fn keys_are_brought_to_the_ring_in_use() {
    run(async {
        let (address, asked) = server(answer("200 OK", &set(&[EC, EC2])), false).await;
        let url = format!("http://{address}/");
        let first = ring(jwt(Some(&url), None));
        let in_use = Rc::new(RefCell::new(Some(first.clone())));
        let found = in_use.clone();
        let look: Look = Rc::new(move || found.borrow().clone());
        let fetches = Rc::<Fetches>::default();
        let keeping = spawn_local(keep(look.clone(), fetches.clone()));
        while fetches.succeeded.get() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((first.len(), asked.borrow().len(), fetches.failed.get()), (2, 1, 0));

        // Another URL is fetched at once; that it cannot be is counted.
        let other = ring(jwt(Some("http://127.0.0.1:1/"), None));
        in_use.replace(Some(other.clone()));
        while fetches.failed.get() == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(other.is_empty());
        keeping.abort();

        // A fetch begun for one ring ends in the next one of the same URL, and in none of another.
        let next = ring(jwt(Some(&url), None));
        in_use.replace(Some(next.clone()));
        assert!(take_fetched(&look, &url, Ok(set(&[EC]))));
        assert!(!take_fetched(&look, &url, Ok("{}".into())));
        assert!(take_fetched(&look, "http://gone.example/", Ok(set(&[EC, EC2]))));
        assert_eq!(next.len(), 1);
    });
}

#[test]
fn a_file_is_read_anew_when_it_has_changed() {
    let folder = std::env::temp_dir().join(format!("ringway-jwks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("keys.json");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(&set(&[EC]));
    let text = set(&[EC]).into();
    let ring = ring(jwt(None, Some(KeyFile { path: path.clone(), text })));
    let mut watched = WatchedFile::default();
    let mut seen = || {
        watched.look(&ring);
        ring.len()
    };
    assert_eq!(seen(), 1);
    write(&set(&[EC, EC2]));
    assert_eq!(seen(), 2);
    write("{\"keys\": [");
    assert_eq!(seen(), 2, "half a file changes nothing");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(seen(), 2, "nor does a missing one");
    write(&set(&[EC2]));
    assert_eq!(seen(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn fetches_are_regular_patient_after_failures_and_rarely_on_demand() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let refresh = Duration::from_secs(300);
    let mut schedule = Schedule::default();
    assert!(schedule.is_due("a", 0, refresh, start), "at once");
    schedule.done("a", 0, true, start);
    assert_eq!([299, 300].map(|second| schedule.is_due("a", 0, refresh, at(second))), [false, true]);
    assert!(schedule.is_due("a", 0, at(60) - start, at(60)), "a shorter time holds at once");
    assert!(schedule.is_due("b", 0, refresh, at(1)), "another URL");
    assert_eq!(
        [29, 30].map(|second| schedule.is_due("a", 7, refresh, at(second))),
        [false, true],
        "unknown keys"
    );
    schedule.done("a", 7, false, start);
    assert_eq!([4, 5].map(|second| schedule.is_due("a", 7, refresh, at(second))), [false, true]);
    schedule.done("a", 7, false, start);
    assert_eq!([9, 10].map(|second| schedule.is_due("a", 7, refresh, at(second))), [false, true]);
    (0..50).for_each(|_| schedule.done("a", 7, false, start));
    assert_eq!([299, 300].map(|second| schedule.is_due("a", 7, refresh, at(second))), [false, true]);
}
