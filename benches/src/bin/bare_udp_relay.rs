//! The least a relay of datagrams can do, to measure others by: recvmmsg(2), the header off or on, sendmmsg(2). It
//! knows one client (the last that sent) and IPv4 alone, judges nothing and counts nothing. Listens on its only argument; with `trains` behind
//! it, what the kernel lines up (UDP_GRO) goes on as one train (UDP_SEGMENT).

use ringway_benches::datagrams::{self, Receiver, Sender, send_each};
use ringway_benches::failure::Failure;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

type Never = Result<Infallible, Failure>;

/// RSV, FRAG, ATYP, an IPv4 address, the port.
const HEADER_BYTES: usize = 10;
const PATIENCE: Duration = Duration::from_secs(3600);
/// Datagrams of the longest train: of 1,500 B each, as many as one call may send (64 KiB).
const TRAIN: usize = 40;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (listen, relay): (_, fn(SocketAddr) -> Never) = match &words[..] {
        [listen] => (listen, relay),
        [listen, word] if word == "trains" => (listen, relay_trains),
        _ => return usage(),
    };
    let Ok(listen) = listen.parse() else { return usage() };
    match relay(listen) {
        Ok(never) => match never {},
        Err(failure) => {
            eprintln!("bare_udp_relay: {failure}");
            ExitCode::from(1)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: bare_udp_relay ADDRESS:PORT [trains]");
    ExitCode::from(2)
}

fn relay(listen: SocketAddr) -> Never {
    let inside = datagrams::open(listen)?;
    let outside = datagrams::open((Ipv4Addr::UNSPECIFIED, 0).into())?;
    let mut receiver = Receiver::new()?;
    let mut client = None;
    loop {
        let [from_client, from_peers] = datagrams::wait([&inside, &outside], PATIENCE)?;
        if from_client {
            forward(&inside, &outside, &mut receiver, &mut client);
        }
        if from_peers && let Some(client) = client {
            bring_back(&outside, &inside, &mut receiver, client);
        }
    }
}

fn forward(
    inside: &UdpSocket,
    outside: &UdpSocket,
    receiver: &mut Receiver,
    client: &mut Option<SocketAddr>,
) {
    let mut batch = Vec::new();
    for (from, datagram) in receiver.receive(inside) {
        *client = Some(from);
        if let Some((header, payload)) = datagram.split_first_chunk() {
            batch.push((target(*header), [payload, &[]]));
        }
    }
    send_each(outside, &batch);
}

fn bring_back(outside: &UdpSocket, inside: &UdpSocket, receiver: &mut Receiver, client: SocketAddr) {
    let received: Vec<_> = receiver.receive(outside).map(|(from, payload)| (header(from), payload)).collect();
    let batch: Vec<_> =
        received.iter().map(|(header, payload)| (client, [&header[..], &**payload])).collect();
    send_each(inside, &batch);
}

/// As [`relay`], for trains: what arrived in one goes on in one, to where its first datagram goes.
fn relay_trains(listen: SocketAddr) -> Never {
    let inside = datagrams::open(listen)?;
    let outside = datagrams::open((Ipv4Addr::UNSPECIFIED, 0).into())?;
    let (mut from_clients, mut from_peers) = (Receiver::lined_up(&inside)?, Receiver::lined_up(&outside)?);
    let sender = Sender::new(TRAIN)?;
    let (mut client, mut train) = (None, Vec::new());
    loop {
        let [is_forward, is_back] = datagrams::wait([&inside, &outside], PATIENCE)?;
        if is_forward {
            let (mut to, mut size) = (None, 0);
            train.clear();
            for (from, datagram) in from_clients.receive(&inside) {
                client = Some(from);
                if let Some((header, payload)) = datagram.split_first_chunk() {
                    to.get_or_insert(target(*header));
                    size = size.max(payload.len());
                    train.extend_from_slice(payload);
                }
            }
            to.map(|to| sender.send(&outside, to, &train, size));
        }
        if is_back && let Some(client) = client {
            let mut size = 0;
            train.clear();
            for (from, payload) in from_peers.receive(&outside) {
                size = size.max(HEADER_BYTES + payload.len());
                train.extend_from_slice(&header(from));
                train.extend_from_slice(payload);
            }
            sender.send(&inside, client, &train, size);
        }
    }
}

fn target([.., a, b, c, d, high, low]: [u8; HEADER_BYTES]) -> SocketAddr {
    SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])))
}

fn header(from: SocketAddr) -> [u8; HEADER_BYTES] {
    let SocketAddr::V4(from) = from else { return [0; HEADER_BYTES] };
    let [a, b, c, d] = from.ip().octets();
    let [high, low] = from.port().to_be_bytes();
    [0, 0, 0, 1, a, b, c, d, high, low]
}
