//! The fuzzers' executions on the stable toolchain, without their feedback: edited conversations by the thousand.
//!
//! The long run, so many executions for each target:
//! `RINGWAY_SOAK_RUNS=1000000 cargo test -p ringway-dataplane --test soak`.

// A test file is all test, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod play;

use ringway_shared::session::Protocol;

const RUNS_DEFAULT: u64 = 20_000;

/// What an edit starts from: how the other side behaves, chunk sizes, conversation (see `play::Script`).
type Seeds = [&'static [u8]];

const SOCKS5: &Seeds = &[
    b"\x00\x02\x03\x07\x05\x01\x00\x05\x01\x00\x03\x0bexample.org\x00\x50GET /",
    b"\x01\x03\x01\x09\x02\x05\x02\x00\x02\x01\x05alice\x06secret\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50payload",
    b"\x0b\x00\x05\x01\x02\x01\x00\x00\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50",
    b"\x0c\x01\x04\x05\x01\x00\x05\x03\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01\xbb",
    b"\x00\x00\x05\x01\x00\x05\x02\x00\x03\x0a0x7f000001\x00\x50",
    b"\x20\x01\x05\x05\x01\x00\x05\x02\x00\x01\xc0\x00\x02\x01\x00\x50early",
];

const SOCKS4: &Seeds = &[
    b"\x00\x02\x03\x07\x04\x01\x00\x50\xc0\x00\x02\x01alice\0payload",
    b"\x00\x01\x09\x04\x01\x00\x50\x00\x00\x00\x01\0example.org\0payload",
    b"\x08\x00\x04\x02\x01\xbb\x00\x00\x00\xffsome user\0[2001:db8::1]\0",
    b"\x21\x00\x04\x02\x00\x50\xc0\x00\x02\x01\0",
    b"\x00\x00\x04\x03\x00\x50\xc0\x00\x02\x01\0",
];

const HTTP_CONNECT: &Seeds = &[
    b"\x00\x02\x03\x07CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\npayload",
    b"\x01\x01\x20CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Basic YWxpY2U6c2VjcmV0\r\n\r\npayload",
    b"\x03\x00CONNECT 192.0.2.1:80 HTTP/1.0\r\nproxy-authorization: basic OmE6Yg==\r\n\r\n",
    b"\x00\x00GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n",
    b"\x04\x00CONNECT x:1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
    b"\x00\x00PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

const PROXY_PROTOCOL: &Seeds = &[
    b"\x00\x02\x03\x07PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n\x05\x01\x00",
    b"\x00\x01\x20PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 65535 0\r\n",
    b"\x00\x00PROXY UNKNOWN what ever\r\nGET /",
    b"\x00\x01\x05\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xdc\x04\x01\xbbrest",
    b"\x00\x00\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x27\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\xdc\x04\x01\xbb\x04\x00\x00",
    b"\x00\x00\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00\x05",
];

const UPSTREAM: &Seeds = &[
    b"\x00\x01\x03\x05\x00\x05\x00\x00\x01\xc6\x33\x64\x07\x12\x34payload",
    b"\x02\x02\x01\x04\x05\x02\x01\x00\x05\x00\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x12\x34SSH-2.0",
    b"\x06\x00\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00",
    b"\x00\x00\x05\x00\x05\x00\x00\x03\x04host\x00\x50",
    b"\x01\x01\x10HTTP/1.1 200 Connection established\r\n\r\npayload",
    b"\x03\x00HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nSSH-2.0",
    b"\x07\x00HTTP/1.1 502 Bad Gateway\r\nProxy-Status: ringway; error=connection_refused\r\n\r\nbody",
];

const UDP: &Seeds = &[
    b"\x00\x0e\0\0\0\x01\xc0\0\x02\x01\0\x50data\x01\x16\0\0\0\x03\x0bexample.org\0\x50data",
    b"\x00\x0b\0\0\x01\x01\xc0\0\x02\x01\0\x50a\x01\x0b\0\0\x02\x01\xc0\0\x02\x01\0\x50b\x01\x0b\0\0\x83\x01\xc0\0\x02\x01\0\x50c",
    b"\x00\x16\0\0\x81\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb",
    b"\x05\x0b\0\0\x01\x01\xc0\0\x02\x01\0\x50a\x06\xff\0\0\x02\x01\xc0\0\x02\x01\0\x50b",
];

#[test]
fn datagrams_lose_nothing_and_are_put_together_exactly() {
    soak(UDP, play::datagrams::play_bytes);
}

#[test]
fn socks5_stays_lawful_in_any_chunking() {
    soak(SOCKS5, |data| play::server::play_bytes(Protocol::Socks5, data));
}

#[test]
fn socks4_stays_lawful_in_any_chunking() {
    soak(SOCKS4, |data| play::server::play_bytes(Protocol::Socks4, data));
}

#[test]
fn http_connect_stays_lawful_in_any_chunking() {
    soak(HTTP_CONNECT, |data| play::server::play_bytes(Protocol::HttpConnect, data));
}

#[test]
fn proxy_headers_stay_lawful_in_any_chunking() {
    soak(PROXY_PROTOCOL, play::proxy_header::play_bytes);
}

#[test]
fn upstreams_stay_lawful_in_any_chunking() {
    soak(UPSTREAM, play::upstream::play_bytes);
}

fn soak(seeds: &Seeds, execute: impl Fn(&[u8])) {
    let runs =
        std::env::var("RINGWAY_SOAK_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(RUNS_DEFAULT);
    let mut dice = Dice(1);
    for _ in 0..runs {
        let mut data = seeds[dice.below(seeds.len())].to_vec();
        for _ in 0..dice.below(5) {
            edit(&mut data, &mut dice);
        }
        execute(&data);
    }
}

/// Bytes that mean something in one protocol or another.
const MEANT: &[u8] = b"\x00\x01\x02\x03\x04\x05\x7f\xff\r\n :.[]A";

fn edit(data: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(data.len());
    match dice.below(6) {
        0 => data[at] = dice.below(256) as u8,
        1 => data[at] = MEANT[dice.below(MEANT.len())],
        2 => data.truncate(at + 1),
        3 => data.extend_from_within(at..),
        4 => data.insert(at, MEANT[dice.below(MEANT.len())]),
        // Now and then beyond any limit.
        _ => {
            let run = [20, 300, 1200, 9000][dice.below(10).saturating_sub(6)];
            data.splice(at..at, std::iter::repeat_n(b'x', dice.below(run)));
        }
    }
}

/// SplitMix64: the same throws in every run, so that a failure comes back.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}
