//! How a socket leaves this host: source address, interface and mark, as the operator says.
//!
//! The source address is sticky: a client (and user) keeps its own while the pool keeps it.
//! IP_BIND_ADDRESS_NO_PORT, which would give each target its own ephemeral ports, has no safe binding: a source
//! address carries as many connections as `net.ipv4.ip_local_port_range` has ports.

use crate::io::sessions::Session;
use ringway_shared::config::{Config, Egress};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

/// Makes a new socket leave as configured for the session's client; `ipv6` is the socket's family. Call it before
/// connect(2) or the first datagram. What went wrong is noted for the access log.
pub fn prepare(socket: &impl AsFd, ipv6: bool, session: &Session) -> io::Result<()> {
    let egress = &session.service.config.socks5.egress;
    let (outcome, subject) = match source_for(session, ipv6) {
        Err(hint) => (Err(Errno::AFNOSUPPORT.into()), hint.to_owned()),
        Ok(None) => (leave(&SockRef::from(socket), egress, None), "socks5.egress".to_owned()),
        Ok(Some(ip)) => (leave(&SockRef::from(socket), egress, Some(ip)), format!("egress address {ip}")),
    };
    outcome.inspect_err(|error: &io::Error| {
        session.facts.borrow_mut().notes().hint = Some(format!("{subject}: {error}").into());
    })
}

/// The same for a socket of our own, which no client has asked for.
pub fn prepare_own(socket: &Socket, ipv6: bool, egress: &Egress) -> io::Result<()> {
    leave(socket, egress, choose(&egress.addresses, ipv6, Ipv4Addr::UNSPECIFIED.into(), ""))
}

fn leave(socket: &Socket, egress: &Egress, source: Option<IpAddr>) -> io::Result<()> {
    mark(socket, egress)?;
    source.map_or(Ok(()), |ip| socket.bind(&SocketAddr::new(ip, 0).into()))
}

/// This host's address towards `peer`, as routes and egress settings have it: no packet is sent for the answer.
pub fn local_address_towards(peer: SocketAddr, session: &Session) -> io::Result<IpAddr> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    prepare(&socket, peer.is_ipv6(), session)?;
    let socket = UdpSocket::from(socket);
    // Port 0 is no destination; which one it is does not matter for a route.
    socket.connect((peer.ip(), peer.port().max(1)))?;
    Ok(socket.local_addr()?.ip())
}

/// Tries every address, the interface and the mark once, so that the operator hears at the start what else would
/// fail each connection.
pub fn try_out(config: &Config) -> Result<(), String> {
    let egress = &config.socks5.egress;
    let common = egress.addresses.iter().map(|ip| (*ip, "socks5.egress.addresses".to_owned()));
    let users = config.socks5.users.iter().flat_map(|users| &users.entries);
    let own = users.flat_map(|user| {
        user.egress.iter().map(|ip| (*ip, format!("socks5.users_file: egress of user {}", user.name)))
    });
    let mut tried = HashSet::new();
    for (ip, key) in common.chain(own).filter(|(ip, _)| tried.insert(*ip)) {
        try_address(ip).map_err(|error| {
            format!("{key}: {ip} cannot be a source address ({error}): give it to an interface of this host, or take it out")
        })?;
    }
    let socket = Socket::new(Domain::IPV4, Type::STREAM.cloexec(), Some(Protocol::TCP))
        .map_err(|error| format!("socks5.egress cannot be tried: {error}; raise `ulimit -n`"))?;
    mark(&socket, egress).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NODEV) => {
            "socks5.egress.interface: this host has no interface of that name (`ip link`)".into()
        }
        Some(Errno::PERM) => {
            format!("socks5.egress: {error}: mark needs CAP_NET_ADMIN, interface CAP_NET_RAW")
        }
        _ => format!("socks5.egress: interface or mark: {error}"),
    })
}

fn try_address(ip: IpAddr) -> io::Result<()> {
    let address = SocketAddr::new(ip, 0);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.bind(&address.into())
}

fn mark(socket: &Socket, egress: &Egress) -> io::Result<()> {
    if let Some(interface) = &egress.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if egress.mark != 0 {
        socket.set_mark(egress.mark)?;
    }
    Ok(())
}

/// The source address for a target of this family; `None`: the kernel chooses. Errors: the user has addresses of
/// the other family only, and must not leave by any other.
fn source_for(session: &Session, ipv6: bool) -> Result<Option<IpAddr>, &'static str> {
    let facts = session.facts.borrow();
    let user = facts.account.as_ref().map(|account| &account.user);
    let client = session.peer().ip();
    match user.filter(|user| !user.egress.is_empty()) {
        Some(user) => match choose(&user.egress, ipv6, client, &user.name) {
            None => Err("the user's egress has no address of the target's family"),
            chosen => Ok(chosen),
        },
        None => {
            let name = user.map_or("", |user| &user.name);
            Ok(choose(&session.service.config.socks5.egress.addresses, ipv6, client, name))
        }
    }
}

/// One of the addresses of a family: the one whose hash with client and user is the highest, so that a pool which
/// grows or shrinks moves as few clients as can be.
fn choose(addresses: &[IpAddr], ipv6: bool, client: IpAddr, user: &str) -> Option<IpAddr> {
    let weight = |address: &IpAddr| {
        let mut hasher = DefaultHasher::new();
        (client, user, address).hash(&mut hasher);
        hasher.finish()
    };
    addresses.iter().copied().filter(|address| address.is_ipv6() == ipv6).max_by_key(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(size: u8) -> Vec<IpAddr> {
        let addresses = (1..=size).flat_map(|last| {
            [IpAddr::from([192, 0, 2, last]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)])]
        });
        addresses.collect()
    }

    fn clients() -> impl Iterator<Item = IpAddr> {
        (0..=255).flat_map(|third| (0..4).map(move |last| IpAddr::from([198, 51, third, last])))
    }

    #[test]
    fn a_client_keeps_its_address_and_the_pool_is_shared_evenly() {
        let pool = pool(4);
        let mut counts = std::collections::HashMap::new();
        for client in clients() {
            let chosen = choose(&pool, false, client, "alice").unwrap();
            assert!(chosen.is_ipv4());
            assert_eq!(choose(&pool, false, client, "alice"), Some(chosen));
            *counts.entry(chosen).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 4);
        assert!(counts.values().all(|count| (200..320).contains(count)), "{counts:?}");
        assert!(
            clients()
                .any(|client| choose(&pool, false, client, "alice") != choose(&pool, false, client, "bob"))
        );
    }

    #[test]
    fn a_new_address_in_the_pool_moves_only_its_share_of_clients() {
        let (before, after) = (pool(4), pool(5));
        let moved = |client: &IpAddr| choose(&before, true, *client, "") != choose(&after, true, *client, "");
        let moved = clients().filter(moved).count();
        assert!((120..300).contains(&moved), "{moved} of 1024");
    }

    #[test]
    fn a_pool_without_the_family_gives_none() {
        assert_eq!(choose(&[[192, 0, 2, 1].into()], true, [198, 51, 100, 1].into(), ""), None);
        assert_eq!(choose(&[], false, [198, 51, 100, 1].into(), ""), None);
    }
}
