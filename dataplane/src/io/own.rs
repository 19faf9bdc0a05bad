//! Which addresses reach ringway's own listeners: a fact that policy judges by.

use rustix::io::Errno;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// ringway's own listeners, which are no targets unless the class `own` is named.
pub struct Own(pub Vec<SocketAddr>);

impl Own {
    /// Whether connecting to `address` would reach one of ringway's listeners.
    #[must_use]
    pub fn contains(&self, address: SocketAddr) -> bool {
        // A name may have `::ffff:a.b.c.d`, which is dialled as the IPv4 address it stands for.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let reaches = |listener: &SocketAddr| {
            let same = listener.ip() == address.ip();
            // Linux takes the unspecified address for "this host".
            let through_any = address.ip().is_unspecified()
                && (listener.ip().is_loopback() || listener.ip().is_unspecified());
            same || through_any || (listener.ip().is_unspecified() && is_local(address.ip()))
        };
        self.0.iter().filter(|listener| listener.port() == address.port()).any(reaches)
    }
}

/// Whether this host has the address: only then can a socket be bound to it.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || may_be_local(UdpSocket::bind((ip, 0)))
}

/// Only the kernel's word counts for a no: without a descriptor or a port nothing is known, and a target is
/// refused rather than taken for somebody else's. EINVAL: a link-local address without an interface.
fn may_be_local(bound: io::Result<UdpSocket>) -> bool {
    let no = |error: io::Error| {
        matches!(Errno::from_io_error(&error), Some(Errno::ADDRNOTAVAIL | Errno::INVAL | Errno::AFNOSUPPORT))
    };
    !bound.is_err_and(no)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_foreign_only_if_the_kernel_says_so() {
        for (errno, local) in [
            (Errno::ADDRNOTAVAIL, false),
            (Errno::INVAL, false),
            (Errno::MFILE, true),
            (Errno::ADDRINUSE, true),
        ] {
            assert_eq!(may_be_local(Err(errno.into())), local, "{errno}");
        }
    }

    #[test]
    fn own_listeners_are_recognised_by_every_address_that_reaches_them() {
        let own = Own(vec!["127.0.0.1:1080".parse().unwrap(), "0.0.0.0:9003".parse().unwrap()]);
        for reached in [
            "127.0.0.1:1080",
            "0.0.0.0:1080",
            "127.0.0.1:9003",
            "127.0.0.9:9003",
            "[::ffff:127.0.0.1]:1080",
            "[::ffff:0.0.0.0]:1080",
            "[::ffff:127.0.0.9]:9003",
        ] {
            assert!(own.contains(reached.parse().unwrap()), "{reached}");
        }
        for other in ["127.0.0.1:80", "127.0.0.2:1080", "192.0.2.1:9003", "[::ffff:127.0.0.2]:1080"] {
            assert!(!own.contains(other.parse().unwrap()), "{other}");
        }
    }
}
