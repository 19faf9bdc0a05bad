//! One listening socket: bound, or inherited; TCP, or in a file.

use super::Place;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType, sockopt};
use std::cell::Cell;
use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 128;

/// A listening socket and where it was wanted. Dropped, it takes its file along.
pub struct Listener {
    place: Place,
    socket: Socket,
}

enum Socket {
    Tcp(TcpListener),
    /// The file goes after the socket: fields are dropped in their order.
    Unix(UnixListener, Rc<SocketFile>),
}

/// A connection as it came.
pub enum Accepted {
    Http(TcpStream, SocketAddr),
    Https(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// The one among `inherited` that is bound there, which is taken out, or else a new one.
    pub fn open(place: Place, inherited: &mut Vec<OwnedFd>) -> io::Result<Listener> {
        let socket = match &place {
            Place::Http(address) | Place::Https(address) => {
                let socket = match take(inherited, |bound| is_at(bound, *address)) {
                    Some(socket) => socket,
                    None => bind_tcp(*address, inherited)?,
                };
                Socket::Tcp(TcpListener::from_std(nonblocking(socket)?.into())?)
            }
            Place::Unix { path, mode } => {
                let there = take(inherited, |bound| is_in(bound, path)).filter(|_| is_socket(path));
                // Whoever it came from may listen on it still, or again.
                let stays = there.is_some();
                let socket = match there {
                    Some(socket) => socket,
                    None => bind_unix(path, *mode)?,
                };
                let file = SocketFile::of(path, stays)?;
                Socket::Unix(UnixListener::from_std(nonblocking(socket)?.into())?, file)
            }
        };
        Ok(Listener { place, socket })
    }

    /// The same socket in another role.
    pub fn share(&self, place: Place) -> io::Result<Listener> {
        let copy = self.duplicate()?;
        let socket = match &self.socket {
            Socket::Tcp(_) => Socket::Tcp(TcpListener::from_std(copy.into())?),
            Socket::Unix(_, file) => Socket::Unix(UnixListener::from_std(copy.into())?, file.clone()),
        };
        Ok(Listener { place, socket })
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().ok(),
            Socket::Unix(..) => None,
        }
    }

    /// The next connection. Dropping the future loses none.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(match self.place {
                    Place::Https(_) => Accepted::Https(stream, address),
                    _ => Accepted::Http(stream, address),
                })
            }
            Socket::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
        }
    }

    /// Another descriptor of the same socket.
    pub fn duplicate(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// Whether its file stays when the last of this process closes it: somebody else listens on it.
    pub fn leave_file(&self, leave: bool) {
        if let Socket::Unix(_, file) = &self.socket {
            file.stays.set(leave);
        }
    }

    /// Whether both have the same file.
    pub fn has_file_of(&self, other: &Listener) -> bool {
        match (&self.socket, &other.socket) {
            (Socket::Unix(_, own), Socket::Unix(_, file)) => Rc::ptr_eq(own, file),
            _ => false,
        }
    }

    /// Gives its file the permissions that are configured: one that was taken over had others.
    pub fn set_permissions(&self) {
        let Place::Unix { path, mode } = &self.place else { return };
        if let Err(error) = rustix::fs::chmod(path, Mode::from_raw_mode(*mode)) {
            tracing::error!("control.unix {}: its permissions cannot be set: {error}", path.display());
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Tcp(listener) => listener.as_fd(),
            Socket::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// A socket that listens there, be it that one of `inherited` does with a wider or a narrower address. These share for that
/// moment only: two ringways that were started apart never do.
fn bind_tcp(address: SocketAddr, inherited: &[OwnedFd]) -> io::Result<OwnedFd> {
    let overlaps = |socket: &OwnedFd| is_in_the_way(socket, address);
    let lone = |socket: &&OwnedFd| overlaps(socket) && sockopt::socket_reuseport(socket) == Ok(false);
    let in_the_way: Vec<_> = inherited.iter().filter(lone).collect();
    let is_shared = inherited.iter().any(overlaps);
    let share = |sharing: bool| {
        in_the_way.iter().try_for_each(|socket| sockopt::set_socket_reuseport(socket, sharing))
    };
    share(true)?;
    let bound = bind_beside(address, is_shared);
    share(false)?;
    bound
}

fn bind_beside(address: SocketAddr, others: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, others)?;
    if address.is_ipv6() {
        // As the SOCKS5 listener: `[::]` leaves 0.0.0.0 to an entry of its own.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    sockopt::set_socket_reuseport(&socket, false)?;
    Ok(socket)
}

fn is_in_the_way(socket: &OwnedFd, wanted: SocketAddr) -> bool {
    let bound = rustix::net::getsockname(socket).ok().and_then(|any| SocketAddr::try_from(any).ok());
    bound.is_some_and(|bound| {
        let any = bound.ip().is_unspecified() || wanted.ip().is_unspecified();
        bound.port() == wanted.port() && bound.is_ipv4() == wanted.is_ipv4() && any
    })
}

/// Until listen(2) nobody can connect: the permissions are set before it, so there is no moment with others.
fn bind_unix(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    clear(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::from_raw_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// Takes the Unix sockets out, and closes them; the paths of their files.
pub fn paths_of(sockets: &mut Vec<OwnedFd>) -> Vec<PathBuf> {
    let path = |socket: &OwnedFd| {
        let bound = SocketAddrUnix::try_from(rustix::net::getsockname(socket).ok()?).ok()?;
        bound.path_bytes().map(|bytes| PathBuf::from(OsStr::from_bytes(bytes)))
    };
    let paths = sockets.iter().filter_map(path).collect();
    sockets.retain(|socket| path(socket).is_none());
    paths
}

/// Takes away a socket that a process left behind: one that nobody answers on. Whatever else is there stays, and is in
/// the way.
pub fn clear(path: &Path) -> io::Result<()> {
    let in_the_way = || io::Error::from(Errno::ADDRINUSE);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(there) if !there.file_type().is_socket() => return Err(in_the_way()),
        Ok(_) => {}
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&probe, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => std::fs::remove_file(path),
        Err(Errno::NOENT) => Ok(()),
        // Accepted, or its backlog is full, or it is somebody's to whom we may not speak.
        _ => Err(in_the_way()),
    }
}

fn nonblocking(socket: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// Takes the first socket out that is bound where `fits` says.
fn take(sockets: &mut Vec<OwnedFd>, fits: impl Fn(&SocketAddrAny) -> bool) -> Option<OwnedFd> {
    let there = |socket: &OwnedFd| rustix::net::getsockname(socket).is_ok_and(|bound| fits(&bound));
    sockets.iter().position(there).map(|index| sockets.remove(index))
}

/// Port 0 wants any port of the address.
fn is_at(bound: &SocketAddrAny, wanted: SocketAddr) -> bool {
    let Ok(bound) = SocketAddr::try_from(bound.clone()) else { return false };
    bound.ip() == wanted.ip() && (wanted.port() == 0 || bound.port() == wanted.port())
}

fn is_in(bound: &SocketAddrAny, wanted: &Path) -> bool {
    let Ok(bound) = SocketAddrUnix::try_from(bound.clone()) else { return false };
    bound.path_bytes().is_some_and(|bytes| bytes == wanted.as_os_str().as_bytes())
}

fn is_socket(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|there| there.file_type().is_socket())
}

/// The file of a Unix socket; removed with the last who listens on it, unless another socket has taken its place.
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    /// Somebody else listens on it.
    stays: Cell<bool>,
}

impl SocketFile {
    fn of(path: &Path, stays: bool) -> io::Result<Rc<SocketFile>> {
        let identity = identity(path)?;
        Ok(Rc::new(SocketFile { path: path.to_owned(), identity, stays: Cell::new(stays) }))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !self.stays.get() && identity(&self.path).is_ok_and(|there| there == self.identity) {
            // Whoever starts next replaces one that stays.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}
