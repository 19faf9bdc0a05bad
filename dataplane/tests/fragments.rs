//! Datagrams in fragments: RFC 1928 section 7.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod proxy;
mod udp_client;

use proxy::{Proxy, until};
use ringway_shared::config::Fragments;
use ringway_shared::datagram::Drop as Dropped;
use std::time::Duration;
use udp_client::{Client, dropped, header, receive, socket};

#[test]
fn fragments_are_put_together_or_dropped_as_configured() {
    let proxy = Proxy::start(|_| {});
    let client = Client::associate(&proxy);
    let peer = socket("127.0.0.1");
    let to = peer.local_addr().unwrap();
    let fragment = |frag: u8, payload: &[u8]| client.say_raw(&[&header(frag, to)[..], payload].concat());
    fragment(1, b"one ");
    fragment(2, b"two ");
    fragment(0x83, b"three");
    assert_eq!(receive(&peer).0, b"one two three");
    fragment(0x82, b"lost");
    client.round_trip(&peer);
    assert_eq!(dropped(&proxy, Dropped::Fragment), 1);
    // FRAG 0 is less than what came before it: the sequence is over, its end fits nothing.
    fragment(1, b"never ");
    client.round_trip(&peer);
    fragment(0x82, b"finished");
    client.round_trip(&peer);
    assert_eq!(dropped(&proxy, Dropped::Fragment), 3);

    let proxy = Proxy::start(|config| config.socks5.udp.fragments = Fragments::Drop);
    let client = Client::associate(&proxy);
    client.say_raw(&header(0x81, to));
    client.round_trip(&peer);
    assert_eq!(dropped(&proxy, Dropped::Fragment), 1);
}

#[test]
fn an_unfinished_sequence_goes_when_its_time_is_over_though_no_fragment_follows() {
    let proxy = Proxy::start(|config| config.socks5.timeouts.fragments = Duration::from_millis(50));
    let client = Client::associate(&proxy);
    let peer = socket("127.0.0.1");
    let to = peer.local_addr().unwrap();
    client.say(to, b"round");
    let (_, outside) = receive(&peer);
    client.say_raw(&[&header(1, to)[..], b"held"].concat());
    // Only the peer says something from now on.
    until(|| {
        peer.send_to(b"more", outside).unwrap();
        client.hear();
        (dropped(&proxy, Dropped::Fragment) == 1).then_some(())
    });
}
