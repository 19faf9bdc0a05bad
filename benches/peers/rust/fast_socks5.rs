//! fast-socks5 as a peer: the crate's own server example (its own relay of streams and of datagrams), without a login. The
//! multi-thread runtime takes as many threads as there are CPUs to it: one when it is pinned.

use fast_socks5::server::{DnsResolveHelper as _, Socks5ServerProtocol, run_tcp_proxy, run_udp_proxy};
use fast_socks5::{ReplyError, Socks5Command, SocksError};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

const TO_CONNECT: Duration = Duration::from_secs(10);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::main]
async fn main() {
    let port: u16 = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("usage: ... PORT");
    let listener = TcpListener::bind((HERE, port)).await.expect("the port is free");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(serve(stream));
    }
}

async fn serve(stream: TcpStream) -> Result<(), SocksError> {
    stream.set_nodelay(true)?;
    let (proto, command, target) =
        Socks5ServerProtocol::accept_no_auth(stream).await?.read_command().await?.resolve_dns().await?;
    match command {
        Socks5Command::TCPConnect => _ = run_tcp_proxy(proto, &target, TO_CONNECT, true).await?,
        Socks5Command::UDPAssociate => _ = run_udp_proxy(proto, &target, Some(HERE), HERE, Some(HERE)).await?,
        _ => proto.reply_error(&ReplyError::CommandNotSupported).await?,
    }
    Ok(())
}
