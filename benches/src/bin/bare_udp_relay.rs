//! The least a relay of datagrams can do, to measure others by: recvmmsg(2), the header off or on, sendmmsg(2). It
//! knows one client (the last that sent) and IPv4 alone, judges nothing and counts nothing. Listens on its only argument.

use ringway_benches::datagrams::{self, Receiver, send_each};
use ringway_benches::failure::Failure;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

/// RSV, FRAG, ATYP, an IPv4 address, the port.
const HEADER_BYTES: usize = 10;
const PATIENCE: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let Some(Ok(listen)) = std::env::args().nth(1).map(|address| address.parse()) else {
        eprintln!("usage: bare_udp_relay ADDRESS:PORT");
        return ExitCode::from(2);
    };
    match relay(listen) {
        Ok(never) => match never {},
        Err(failure) => {
            eprintln!("bare_udp_relay: {failure}");
            ExitCode::from(1)
        }
    }
}

fn relay(listen: SocketAddr) -> Result<std::convert::Infallible, Failure> {
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
        if let Some((header, payload)) = datagram.split_first_chunk::<HEADER_BYTES>() {
            let [.., a, b, c, d, high, low] = *header;
            let target = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
            batch.push((target, [payload, &[]]));
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

fn header(from: SocketAddr) -> [u8; HEADER_BYTES] {
    let SocketAddr::V4(from) = from else { return [0; HEADER_BYTES] };
    let [a, b, c, d] = from.ip().octets();
    let [high, low] = from.port().to_be_bytes();
    [0, 0, 0, 1, a, b, c, d, high, low]
}
