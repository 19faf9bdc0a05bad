//! Whether the configuration's addresses can be had.

use procfs::net::TcpState;
use procfs::process::{FDTarget, Process, all_processes};
use ringway_shared::config::Config;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use std::net::SocketAddr;

/// An address to listen on.
#[derive(Clone, Debug)]
pub struct Address {
    /// The key that names it.
    pub key: &'static str,
    pub address: SocketAddr,
    pub held: Held,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    Free,
    /// By a process, named as far as we may see it.
    By {
        name: Option<String>,
        pid: i32,
    },
    /// It cannot be bound at all.
    Refused {
        error: String,
        forbidden: bool,
    },
}

/// Binds each address for a moment, without listening: no client can come in.
#[must_use]
pub fn try_all(config: &Config) -> Vec<Address> {
    let lists = config.listen_addresses();
    let addresses = lists.into_iter().flat_map(|(key, list)| list.iter().map(move |address| (key, *address)));
    addresses.map(|(key, address)| Address { key, address, held: held(address) }).collect()
}

fn held(address: SocketAddr) -> Held {
    match try_to_bind(address) {
        Ok(()) => Held::Free,
        Err(Errno::ADDRINUSE) => match holder(address) {
            Some((name, pid)) => Held::By { name: Some(name), pid },
            None => Held::By { name: None, pid: 0 },
        },
        Err(error) => Held::Refused {
            error: std::io::Error::from(error).to_string(),
            forbidden: error == Errno::ACCESS,
        },
    }
}

/// As the listeners do it.
fn try_to_bind(address: SocketAddr) -> rustix::io::Result<()> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)
}

/// Who listens on an address, or on its port at all addresses: name and process. Others' descriptors are root's to see.
fn holder(address: SocketAddr) -> Option<(String, i32)> {
    let table = if address.is_ipv6() { procfs::net::tcp6() } else { procfs::net::tcp() };
    let takes = |local: SocketAddr| {
        local.port() == address.port()
            && (local.ip() == address.ip() || local.ip().is_unspecified() || address.ip().is_unspecified())
    };
    let rows = table.ok()?.into_iter();
    let listening = rows.filter(|row| row.state == TcpState::Listen && takes(row.local_address));
    let inodes: Vec<u64> = listening.map(|row| row.inode).collect();
    let holds = |process: &Process| {
        let targets = process.fd().into_iter().flatten().flatten().map(|info| info.target);
        targets.into_iter().any(|target| matches!(target, FDTarget::Socket(inode) if inodes.contains(&inode)))
    };
    // Ourselves first: a running ringway that asks need not look at everybody's descriptors.
    let others = std::iter::once_with(all_processes).flatten().flatten().flatten();
    let found = Process::myself().into_iter().chain(others).find(holds)?;
    Some((found.stat().ok()?.comm, found.pid()))
}
