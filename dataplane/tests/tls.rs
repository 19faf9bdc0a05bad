//! SOCKS5 over TLS through a whole data plane, against rustls' own client.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end
#![allow(clippy::disallowed_methods)] // a test may sleep: no connection waits for it

mod proxy;
mod tls_support;

use proxy::{PATIENCE, Proxy, listeners, request, until};
use ringway_shared::config::{Config, DriverChoice, Password, TlsVersion, User, Users};
use ringway_shared::reason::Reason;
use ringway_shared::tls::{TlsResult, TlsService};
use rustls::{ClientConnection, StreamOwned, SupportedProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tls_support::{Authority, TLS12, TLS13, settings};

type Stream = StreamOwned<ClientConnection, TcpStream>;

struct Setup {
    proxy: Proxy,
    authority: Authority,
}

impl Setup {
    fn start(alter: impl FnOnce(&mut Config)) -> Setup {
        let authority = Authority::new();
        let pem = authority.sign(&["proxy.example"]);
        let proxy = Proxy::start(|config| {
            config.socks5.tls = settings(&[&pem], TlsVersion::Tls12);
            config.socks5.tls.listen = vec!["127.0.0.1:0".parse().unwrap()];
            alter(config);
        });
        Setup { proxy, authority }
    }

    fn address(&self) -> SocketAddr {
        self.proxy.workers.socks5_tls_addresses()[0]
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> Stream {
        StreamOwned::new(self.authority.client(&[version], "proxy.example"), self.tcp())
    }

    /// A tunnel to a listener of the test; greeting, request and payload in one record.
    fn tunnel(
        &self,
        version: &'static SupportedProtocolVersion,
        target: &TcpListener,
        payload: &[u8],
    ) -> (Stream, TcpStream) {
        let mut client = self.client(version);
        let port = target.local_addr().unwrap().port();
        let asked = [&[5, 1, 0], &request(1, "127.0.0.1", port)[..], payload].concat();
        client.write_all(&asked).unwrap();
        let mut told = [0; 12];
        client.read_exact(&mut told).unwrap();
        assert_eq!(told[..4], [5, 0, 5, 0]);
        let (far, _) = target.accept().unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        far.set_write_timeout(Some(PATIENCE)).unwrap();
        (client, far)
    }

    fn handshakes(&self, result: TlsResult) -> u64 {
        self.proxy.cells.iter().map(|cells| cells.tls_handshakes.of(TlsService::Socks5, result).get()).sum()
    }
}

fn target() -> TcpListener {
    let ([listener], _) = listeners(["127.0.0.1"]);
    listener
}

/// `len` bytes that no shift or swap leaves as they are, and their digest.
fn send_pattern(to: &mut impl Write, len: usize) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut piece = vec![0; 100_000];
    let mut left = len;
    while left > 0 {
        for word in piece.chunks_exact_mut(8) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            word.copy_from_slice(&seed.to_le_bytes());
        }
        let part = &piece[..left.min(piece.len())];
        hasher.update(part);
        to.write_all(part).unwrap();
        left -= part.len();
    }
    hasher.finalize()
}

/// What comes until the clean end, digested.
fn digest_to_the_end(from: &mut impl Read) -> (usize, blake3::Hash) {
    let (mut hasher, mut len, mut piece) = (blake3::Hasher::new(), 0, vec![0; 100_000]);
    loop {
        match from.read(&mut piece).unwrap() {
            0 => return (len, hasher.finalize()),
            count => {
                hasher.update(&piece[..count]);
                len += count;
            }
        }
    }
}

fn end_of_sending(client: &mut Stream) {
    client.conn.send_close_notify();
    client.flush().unwrap();
}

/// One side sends all and says so; then the other one does.
fn carry(setup: &Setup, version: &'static SupportedProtocolVersion, len: usize) {
    let listener = target();
    let (mut client, mut far) = setup.tunnel(version, &listener, b"");
    let server = std::thread::spawn(move || {
        let got = digest_to_the_end(&mut far);
        (got, send_pattern(&mut far, len / 2))
    });
    let sent = send_pattern(&mut client, len);
    end_of_sending(&mut client);
    // rustls' reader says an end without close_notify is an error: this one is clean.
    let got = digest_to_the_end(&mut client);
    let (up, down) = server.join().unwrap();
    assert_eq!((up, got), ((len, sent), (len / 2, down)));
    let end = setup.proxy.end();
    assert_eq!(
        (end.reason, end.sent_bytes, end.received_bytes),
        (Reason::Finished, len as u64, len as u64 / 2)
    );
}

#[test]
fn bulk_and_half_close_survive_both_ways() {
    let setup = Setup::start(|_| {});
    carry(&setup, &TLS13, 64 << 20);
    carry(&setup, &TLS12, 4 << 20);
    assert_eq!(setup.handshakes(TlsResult::Succeeded), 2);
}

#[test]
fn the_epoll_driver_serves_as_well() {
    let setup = Setup::start(|config| config.workers.driver = DriverChoice::Epoll);
    carry(&setup, &TLS13, 1 << 20);
}

#[test]
fn a_target_that_sends_more_than_the_client_reads_waits() {
    let setup = Setup::start(|_| {});
    let listener = target();
    let (mut client, mut far) = setup.tunnel(&TLS13, &listener, b"payload");
    let mut payload = [0; 7];
    far.read_exact(&mut payload).unwrap();
    assert_eq!(&payload, b"payload");
    let server = std::thread::spawn(move || {
        let sent = send_pattern(&mut far, 32 << 20);
        far.shutdown(Shutdown::Write).unwrap();
        (sent, digest_to_the_end(&mut far).0)
    });
    // The target's sender stands still: what is on its way is bounded by sockets and the relay.
    let mut before = 0;
    until(|| {
        let now: u64 = setup.proxy.cells.iter().map(|cells| cells.received_bytes.get()).sum();
        let still = now > 0 && now == before && now < 32 << 20;
        before = now;
        std::thread::sleep(Duration::from_millis(20));
        still.then_some(())
    });
    let (len, got) = digest_to_the_end(&mut client);
    end_of_sending(&mut client);
    let (sent, up) = server.join().unwrap();
    assert_eq!((len, got, up), (32 << 20, sent, 0));
}

#[test]
fn a_cut_is_passed_on_as_a_cut() {
    let setup = Setup::start(|_| {});
    // The target resets: the client is not told of an end.
    let listener = target();
    let (mut client, far) = setup.tunnel(&TLS13, &listener, b"");
    socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
    drop(far);
    let told = client.read(&mut [0; 16]).unwrap_err().kind();
    assert!(matches!(told, ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{told}");
    assert_eq!(setup.proxy.end().reason, Reason::TargetReset);

    // The client resets, or ends without close_notify: the target sees a reset.
    for linger in [true, false] {
        let (client, mut far) = setup.tunnel(&TLS13, &listener, b"half a messa");
        let mut got = [0; 12];
        far.read_exact(&mut got).unwrap();
        if linger {
            socket2::SockRef::from(&client.sock).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
        } else {
            client.sock.shutdown(Shutdown::Write).unwrap();
        }
        let told = far.read(&mut [0; 16]).unwrap_err().kind();
        assert_eq!(told, ErrorKind::ConnectionReset);
        assert_eq!(setup.proxy.end().reason, Reason::ClientReset);
    }
}

#[test]
fn what_is_no_tls_is_refused_and_said() {
    let setup = Setup::start(|_| {});
    let mut stream = setup.tcp();
    stream.write_all(b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50").unwrap();
    let mut told = Vec::new();
    stream.read_to_end(&mut told).unwrap();
    // An alert: fatal, decode_error or its like.
    assert_eq!((told.len(), told[0], told[5]), (7, 21, 2), "{told:?}");
    drop(stream);
    let end = setup.proxy.end();
    assert_eq!(end.reason, Reason::TlsFailed);
    assert_eq!(end.hint.as_deref(), Some("the TLS handshake failed: not_tls"));
    assert_eq!(setup.handshakes(TlsResult::NotTls), 1);
    drop(setup.tcp());
    assert_eq!(setup.proxy.end().reason, Reason::ClientGone);
    assert_eq!(setup.handshakes(TlsResult::ClientGone), 1);
}

#[test]
fn a_byte_now_and_then_does_not_stretch_the_handshake() {
    let limit = Duration::from_millis(600);
    let setup = Setup::start(|config| config.socks5.timeouts.handshake = limit);
    let mut hello = Vec::new();
    setup.authority.client(&[&TLS13], "proxy.example").write_tls(&mut hello).unwrap();
    let mut stream = setup.tcp();
    let begun = Instant::now();
    for byte in hello.iter().cycle() {
        // The pace of the attack, not a wait for something.
        std::thread::sleep(Duration::from_millis(5));
        if stream.write_all(&[*byte]).is_err() || begun.elapsed() > PATIENCE {
            break;
        }
    }
    assert!(begun.elapsed() >= limit && begun.elapsed() < PATIENCE);
    assert_eq!(setup.proxy.end().reason, Reason::HandshakeTimeout);
    assert_eq!(setup.handshakes(TlsResult::TimedOut), 1);
}

#[test]
fn a_greeting_that_never_comes_is_timed_behind_tls_too() {
    let setup = Setup::start(|config| config.socks5.timeouts.greeting = Duration::from_millis(200));
    let mut client = setup.client(&TLS13);
    client.conn.complete_io(&mut client.sock).unwrap();
    // A cut, which is not said to be an end.
    let told = client.read(&mut [0; 16]).unwrap_err().kind();
    assert_eq!(told, ErrorKind::UnexpectedEof);
    drop(client);
    assert_eq!(setup.proxy.end().reason, Reason::GreetingTimeout);
}

fn alice(config: &mut Config, alter: impl FnOnce(&mut User)) {
    let mut user = User::unlimited("alice".into(), Password::Plain(b"secret".as_slice().into()));
    alter(&mut user);
    config.socks5.users = Some(Arc::new(Users { entries: vec![Arc::new(user)] }));
}

#[test]
fn a_login_and_its_rate_hold_over_tls() {
    let setup = Setup::start(|config| alice(config, |user| user.rate_up = Some(1 << 20)));
    let listener = target();
    let port = listener.local_addr().unwrap().port();
    let mut client = setup.client(&TLS13);
    let login = [&[5, 1, 2, 1, 5], &b"alice"[..], &[6], b"secret"].concat();
    client.write_all(&[&login[..], &request(1, "127.0.0.1", port)].concat()).unwrap();
    let mut told = [0; 14];
    client.read_exact(&mut told).unwrap();
    assert_eq!(told[..6], [5, 2, 1, 0, 5, 0]);
    let (mut far, _) = listener.accept().unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = std::thread::spawn(move || digest_to_the_end(&mut far));
    let begun = Instant::now();
    let sent = send_pattern(&mut client, 2 << 20);
    end_of_sending(&mut client);
    assert_eq!(server.join().unwrap(), (2 << 20, sent));
    assert!(begun.elapsed() > Duration::from_millis(500), "the rate did not hold: {:?}", begun.elapsed());
}

#[test]
fn http_connect_and_a_refusal_are_heard_whole() {
    let setup = Setup::start(|_| {});
    let listener = target();
    let port = listener.local_addr().unwrap().port();
    let mut client = setup.client(&TLS12);
    write!(client, "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut told = [0; 12];
    client.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 200");
    drop(listener.accept().unwrap());

    let mut client = setup.client(&TLS13);
    client.write_all(&[5, 1, 2]).unwrap();
    let mut told = Vec::new();
    client.read_to_end(&mut told).unwrap();
    assert_eq!(told, [5, 0xff]);
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let setup =
        Setup::start(|config| config.socks5.proxy_protocol.from = vec!["127.0.0.0/8".parse().unwrap()]);
    let mut stream = setup.tcp();
    let mut hello = b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 1443\r\n".to_vec();
    let mut conn = setup.authority.client(&[&TLS13], "proxy.example");
    conn.write_tls(&mut hello).unwrap();
    stream.write_all(&hello).unwrap();
    let mut client = StreamOwned::new(conn, stream);
    client.write_all(&[5, 1, 2]).unwrap();
    let mut told = Vec::new();
    client.read_to_end(&mut told).unwrap();
    assert_eq!(told, [5, 0xff]);
    drop(client);
    let end = setup.proxy.end();
    assert_eq!((end.client, end.reason), ("192.0.2.77:4711".parse().unwrap(), Reason::NoAcceptableMethod));
}

#[test]
fn an_association_ends_with_its_connection_said_in_tls() {
    let setup = Setup::start(|_| {});
    let mut client = setup.client(&TLS13);
    client.write_all(&[&[5, 1, 0], &request(3, "0.0.0.0", 0)[..]].concat()).unwrap();
    let mut told = [0; 12];
    client.read_exact(&mut told).unwrap();
    assert_eq!(told[..4], [5, 0, 5, 0]);
    client.write_all(b"stray bytes").unwrap();
    end_of_sending(&mut client);
    assert_eq!(setup.proxy.end().reason, Reason::Finished);
}

#[test]
fn renewed_certificates_are_shown_from_the_next_handshake_on() {
    let setup = Setup::start(|_| {});
    let shown = || {
        let mut client = setup.client(&TLS13);
        client.conn.complete_io(&mut client.sock).unwrap();
        client.conn.peer_certificates().unwrap()[0].to_vec()
    };
    let listener = target();
    let (mut old, mut far) = setup.tunnel(&TLS13, &listener, b"");
    let before = shown();
    let renewed = setup.authority.sign(&["proxy.example"]).loaded();
    setup.proxy.workers.renew_certificates(TlsService::Socks5, std::slice::from_ref(&renewed));
    assert_ne!(before, renewed.certified.cert[0].to_vec());
    assert_eq!(shown(), renewed.certified.cert[0].to_vec());
    // Who is connected stays so.
    old.write_all(b"still here").unwrap();
    let mut got = [0; 10];
    far.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"still here");
}

#[test]
fn plain_listeners_are_as_before() {
    let setup = Setup::start(|_| {});
    let listener = target();
    let answer = setup.proxy.connect("127.0.0.1", listener.local_addr().unwrap().port());
    assert_eq!(answer.reply, 0);
}
