//! Any chunking of the same bytes gives the same events, the same output and the same payload.
//!
//! `PROPTEST_CASES` says how many are tried; tests/soak.rs is the quicker way to a million.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod play;

use play::server::{BOUND4, BOUND6, Owner};
use play::{in_any_chunking, proxy_header, server, upstream};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use ringway_dataplane::proto::handshake::Auth;
use ringway_shared::config::Commands;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Protocol};

type Bytes = BoxedStrategy<Vec<u8>>;

fn owner(protocol: Protocol) -> impl Strategy<Value = Owner> {
    let bound = select(vec![BOUND4, BOUND6]).prop_map(|bound| bound.parse().unwrap());
    let well = prop::bool::weighted(0.8);
    (any::<bool>(), well, well, well, well, bound).prop_map(
        move |(password, served, accepted, first, second, bound)| Owner {
            protocol,
            auth: if password { Auth::Password } else { Auth::None },
            commands: if served { Commands::all() } else { Commands::default().with(Command::UdpAssociate) },
            verdict: if accepted { Ok(()) } else { Err(Reason::AuthFailed) },
            answers: [
                if first { Ok(bound) } else { Err(Reason::HostUnreachable) },
                if second { Ok(bound) } else { Err(Reason::BindTimeout) },
            ],
        },
    )
}

/// Bytes led by their length.
fn field(length: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), length).prop_map(|bytes| [&[bytes.len() as u8][..], &bytes].concat())
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{1,60}", "[0-9.]{1,20}", "0x[0-9a-f]{8}"]
}

fn socks5_greeting() -> impl Strategy<Value = Vec<u8>> {
    let methods = prop_oneof![4 => Just(vec![2, 0, 2]), 1 => field(0..=255)];
    methods.prop_map(|methods| [&[5][..], &methods].concat())
}

fn socks5_credentials() -> impl Strategy<Value = Vec<u8>> {
    (field(0..=255), field(0..=255)).prop_map(|(name, password)| [&[1][..], &name, &password].concat())
}

fn socks5_request() -> impl Strategy<Value = Vec<u8>> {
    let host = prop_oneof![
        vec(any::<u8>(), 4).prop_map(|ip| [&[1][..], &ip].concat()),
        vec(any::<u8>(), 16).prop_map(|ip| [&[4][..], &ip].concat()),
        name().prop_map(|name| [&[3, name.len() as u8][..], name.as_bytes()].concat()),
        field(0..=255).prop_map(|name| [&[3][..], &name].concat()),
    ];
    (0u8..5, any::<u8>(), host, any::<[u8; 2]>())
        .prop_map(|(command, reserved, host, port)| [&[5, command, reserved][..], &host, &port].concat())
}

/// With the credentials, and with no place for them.
fn socks5_handshakes() -> (Bytes, Bytes) {
    let parts = || (socks5_greeting(), socks5_credentials(), socks5_request());
    (
        parts()
            .prop_map(|(greeting, credentials, request)| [greeting, credentials, request].concat())
            .boxed(),
        parts().prop_map(|(greeting, _, request)| [greeting, request].concat()).boxed(),
    )
}

fn socks4_handshake() -> Bytes {
    let text = |length| vec(1u8.., length).prop_map(|text| [&text[..], &[0]].concat());
    let address = prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| (ip, vec![])),
        (1u8.., name()).prop_map(|(last, name)| ([0, 0, 0, last], [name.as_bytes(), &[0]].concat())),
        (1u8.., text(0..260)).prop_map(|(last, name)| ([0, 0, 0, last], name)),
    ];
    (0u8..4, any::<[u8; 2]>(), address, text(0..260))
        .prop_map(|(command, port, (ip, name), user)| [&[4, command][..], &port, &ip, &user, &name].concat())
        .boxed()
}

fn http_handshake() -> Bytes {
    let method = prop_oneof![8 => Just("CONNECT"), 1 => Just("GET"), 1 => Just("CONNECTED")];
    let host =
        prop_oneof![name(), Just("192.0.2.1".into()), Just("[2001:db8::1]".into()), Just("::1".into())];
    let version = prop_oneof![8 => Just("HTTP/1.1"), 2 => Just("HTTP/1.0"), 1 => Just("HTTP/2.0"), 1 => Just("HTTP/1.")];
    let field = prop_oneof![
        Just("Proxy-Authorization: Basic YWxpY2U6c2VjcmV0".to_owned()),
        Just("proxy-authorization:BASIC YTo=".into()),
        Just("Proxy-Authorization: Basic !".into()),
        Just("Content-Length: 7".into()),
        Just(" folded".into()),
        "X-[A-Za-z]{1,9}: [ -~]{0,200}",
    ];
    (
        method,
        host,
        any::<u16>(),
        version,
        vec(field, 0..60),
        prop_oneof![8 => Just("Host: example.org\r\n"), 1 => Just("")],
    )
        .prop_map(|(method, host, port, version, fields, named)| {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            format!("{method} {host}:{port} {version}\r\n{named}{fields}\r\n").into_bytes()
        })
        .boxed()
}

fn proxy_header_of_any_kind() -> Bytes {
    let address = || select(vec!["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "1.2.3", ""]);
    let text = (select(vec!["TCP4", "TCP6", "UNKNOWN"]), address(), address(), any::<u16>(), "[0-9]{0,6}");
    let command = prop_oneof![4 => Just(0x21u8), 1 => Just(0x20), 1 => any::<u8>()];
    let family = prop_oneof![3 => Just(0x11u8), 3 => Just(0x21), 1 => any::<u8>()];
    let length = prop_oneof![4 => 12u16..60, 1 => 0u16..12, 1 => 4000u16..4200];
    prop_oneof![
        text.prop_map(|(family, from, to, port, digits)| {
            format!("PROXY {family} {from} {to} {port} {digits}\r\n").into_bytes()
        }),
        (command, family, length, vec(any::<u8>(), 0..100)).prop_map(|(command, family, length, block)| {
            let start =
                [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length.to_be_bytes(), &block].concat();
            [start, vec![7; usize::from(length).saturating_sub(block.len())]].concat()
        }),
    ]
    .boxed()
}

fn upstream_answers(http: bool) -> Bytes {
    let status = prop_oneof![3 => Just(200u16), 1 => select(vec![100, 299, 403, 407, 502, 504])];
    let head = (status, vec("X-[A-Za-z]{1,9}: [ -~]{0,200}", 0..50)).prop_map(|(status, fields)| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("HTTP/1.1 {status} Phrase\r\n{fields}\r\n").into_bytes()
    });
    let selection = prop_oneof![select(vec![vec![5, 0], vec![5, 2, 1, 0], vec![5, 2, 1, 1], vec![5, 0xff]])];
    // A request's answer has a request's shape, and codes from 0.
    let reply =
        (socks5_request(), prop_oneof![3 => Just(0u8), 1 => 0u8..10]).prop_map(|(mut reply, code)| {
            reply[1] = code;
            reply
        });
    if http {
        vec(head, 1..3).prop_map(|heads| heads.concat()).boxed()
    } else {
        (selection, reply).prop_map(|(selection, reply)| [selection, reply].concat()).boxed()
    }
}

/// What goes well until chance puts a wrong byte in it or cuts it, with payload behind it.
fn conversation(start: Bytes) -> Bytes {
    let flaw = prop::option::of((any::<Index>(), any::<u8>()));
    let cut = prop::option::weighted(0.3, any::<Index>());
    (start, vec(any::<u8>(), 0..3000), flaw, cut)
        .prop_map(|(mut start, payload, flaw, cut)| {
            if let Some((index, byte)) = flaw {
                let at = index.index(start.len());
                start[at] = byte;
            }
            let mut bytes = [start, payload].concat();
            if let Some(index) = cut {
                bytes.truncate(index.index(bytes.len()));
            }
            bytes
        })
        .boxed()
}

fn noise(starts: &'static [&'static [u8]]) -> Bytes {
    let noise = vec(prop_oneof![0u8..6, select(b"\r\n :0.".to_vec()), any::<u8>()], 0..600);
    (select(starts), noise).prop_map(|(start, noise)| [start, &noise].concat()).boxed()
}

fn chunks() -> impl Strategy<Value = Vec<usize>> {
    vec(0usize..40, 0..200)
}

fn serve(owner: Owner, bytes: &[u8], chunks: Vec<usize>) {
    let seen = in_any_chunking(chunks.into_iter(), |chunks| server::play(owner, bytes, chunks));
    server::assert_lawful(owner, bytes, &seen);
}

proptest! {
    #[test]
    fn any_chunking_of_a_socks5_handshake_is_the_same(
        owner in owner(Protocol::Socks5),
        with_password in conversation(socks5_handshakes().0),
        without in prop_oneof![
            conversation(socks5_handshakes().1),
            noise(&[b"", b"\x05\x02\x00\x02", b"\x05\x02\x00\x02\x01\x00\x00", b"\x05\x01\x00\x05"]),
        ],
        chunks in chunks(),
    ) {
        let bytes = if owner.auth == Auth::Password { with_password } else { without };
        serve(owner, &bytes, chunks);
    }

    #[test]
    fn any_chunking_of_a_socks4_handshake_is_the_same(
        owner in owner(Protocol::Socks4),
        bytes in prop_oneof![4 => conversation(socks4_handshake()), 1 => noise(&[b"", b"\x04\x01", b"\x04\x01\x00\x50\x00\x00\x00\x01"])],
        chunks in chunks(),
    ) {
        serve(owner, &bytes, chunks);
    }

    #[test]
    fn any_chunking_of_an_http_handshake_is_the_same(
        owner in owner(Protocol::HttpConnect),
        bytes in prop_oneof![4 => conversation(http_handshake()), 1 => noise(&[b"", b"CONNECT ", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n"])],
        chunks in chunks(),
    ) {
        serve(owner, &bytes, chunks);
    }

    #[test]
    fn any_chunking_of_a_proxy_header_is_the_same(
        bytes in prop_oneof![4 => conversation(proxy_header_of_any_kind()), 1 => noise(&[b"", b"PROXY TCP4 1.1.1.1 ", b"\r\n\r\n\0\r\nQUIT\n\x21"])],
        chunks in chunks(),
    ) {
        let found = in_any_chunking(chunks.into_iter(), |chunks| proxy_header::play(&bytes, chunks));
        proxy_header::assert_lawful(&bytes, found);
    }

    #[test]
    fn any_chunking_of_an_upstreams_answers_is_the_same(
        (http, with_login, by_name) in any::<(bool, bool, bool)>(),
        socks5 in prop_oneof![4 => conversation(upstream_answers(false)), 1 => noise(&[b"", b"\x05\x00", b"\x05\x02\x01\x00"])],
        heads in prop_oneof![4 => conversation(upstream_answers(true)), 1 => noise(&[b"", b"HTTP/1.1 200 OK\r\n"])],
        chunks in chunks(),
    ) {
        let (asked, bytes) = (upstream::asked(http, with_login, by_name), if http { heads } else { socks5 });
        let seen = in_any_chunking(chunks.into_iter(), |chunks| upstream::play(&asked, &bytes, chunks));
        upstream::assert_lawful(&asked, &bytes, &seen);
    }
}
