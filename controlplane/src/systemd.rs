//! What a service manager is told, and what it hands over: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).
//!
//! Outside of systemd all of this does nothing. A notification is one datagram, and never waited for: a manager that
//! does not read must not hold up the control plane, which is why the `sd-notify` package is not used.

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, sendmsg_addr, socket_with,
};
use rustix::time::{ClockId, clock_gettime};
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

/// Where notifications go. Not for children: whom the manager listens to is the main process alone.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
pub const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// The name of our listeners in the manager's store.
const STORED_AS: &str = "ringway";
/// SCM_MAX_FD of the kernel.
const DESCRIPTORS_PER_MESSAGE: usize = 253;

/// The service manager.
pub struct Manager {
    address: Option<(OwnedFd, SocketAddrUnix)>,
    /// How often it wants to hear that all is well; `None`: it does not ask.
    watchdog: Option<Duration>,
    /// When it was last told.
    told: Option<Instant>,
}

impl Manager {
    /// As the environment names it.
    #[must_use]
    pub fn of_environment() -> Manager {
        let named = std::env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty());
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let asks_us = number(WATCHDOG_PID).is_none_or(|pid| pid == u64::from(std::process::id()));
        let interval = number(WATCHDOG_USEC).filter(|usec| asks_us && *usec > 0).map(Duration::from_micros);
        Manager {
            address: named.and_then(|name| open(&name).ok()),
            // sd_watchdog_enabled(3) recommends half of it.
            watchdog: interval.map(|interval| interval / 2),
            told: None,
        }
    }

    /// All listeners are up; or a reload is over.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", line(status)), &[]);
    }

    /// A reload begins; [`Manager::ready`] ends it.
    pub fn reloading(&self) {
        // sd_notify(3) wants the time it began, by the same clock as the manager's.
        let now = clock_gettime(ClockId::Monotonic);
        let usec = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"), &[]);
    }

    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}", line(status)), &[]);
    }

    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", line(status)), &[]);
    }

    /// Another process is the service from now on.
    pub fn handed_to(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}\nSTATUS=handed over to process {pid}"), &[]);
    }

    /// Says that all is well, if it is and it is time. A manager that does not hear it restarts the service.
    pub fn watch(&mut self, is_well: bool, now: Instant) {
        let Some(interval) = self.watchdog else { return };
        let is_due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= interval);
        if is_well && is_due {
            self.tell("WATCHDOG=1", &[]);
            self.told = Some(now);
        }
    }

    /// Says nothing more: another process is the service.
    pub fn leave(&mut self) {
        self.address = None;
    }

    /// Whether there is one: then it may keep our listeners, and shares them.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.address.is_some()
    }

    /// Has these listeners kept over a crash (FileDescriptorStoreMax=), in the place of those before.
    pub fn store(&self, listeners: &[BorrowedFd<'_>]) {
        // Those of the process before, too.
        self.forget();
        for part in listeners.chunks(DESCRIPTORS_PER_MESSAGE) {
            self.tell(&format!("FDSTORE=1\nFDNAME={STORED_AS}"), part);
        }
    }

    /// Has none kept any more.
    pub fn forget(&self) {
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={STORED_AS}"), &[]);
    }

    /// What cannot be told is not: no manager depends on one message, and the watchdog's is sent again.
    fn tell(&self, text: &str, descriptors: &[BorrowedFd<'_>]) {
        let Some((socket, address)) = &self.address else { return };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_PER_MESSAGE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = sendmsg_addr(socket, address, &[IoSlice::new(text.as_bytes())], &mut control, flags);
        if let Err(error) = sent {
            tracing::debug!("the service manager was not told {text:?}: {error}");
        }
    }
}

fn open(name: &OsStr) -> io::Result<(OwnedFd, SocketAddrUnix)> {
    let name = name.as_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        None => SocketAddrUnix::new(name)?,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    Ok((socket, address))
}

/// A value must not begin another assignment.
fn line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// The listeners a service manager opened for us (a `.socket` unit), or kept for us. To be called before there are
/// threads. The error is for the operator.
pub fn listeners() -> Result<Vec<OwnedFd>, String> {
    let mut given = listenfd::ListenFd::from_env();
    let mut listeners = Vec::with_capacity(given.len());
    for index in 0..given.len() {
        let stream = given.take_tcp_listener(index).map(|taken| taken.map(OwnedFd::from));
        let taken = stream.or_else(|_| given.take_unix_listener(index).map(|taken| taken.map(OwnedFd::from)));
        let socket = taken.map_err(|error| {
            format!("a descriptor of socket activation (LISTEN_FDS) is no listener of a stream: {error}")
        })?;
        if let Some(socket) = socket {
            rustix::io::ioctl_fionbio(&socket, true)
                .map_err(|error| format!("a listener of socket activation cannot be used: {error}"))?;
            listeners.push(socket);
        }
    }
    Ok(listeners)
}

/// Borrows all of them.
pub fn borrowed(sockets: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    sockets.iter().map(AsFd::as_fd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn manager(watchdog: Option<Duration>) -> (Manager, UnixDatagram) {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("ringway-test-{}-{number}", std::process::id());
        let heard = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        heard.set_nonblocking(true).unwrap();
        let address = Some(open(OsStr::new(&format!("@{name}"))).unwrap());
        (Manager { address, watchdog, told: None }, heard)
    }

    fn next(heard: &UnixDatagram) -> Option<String> {
        let mut text = [0; 1024];
        let length = heard.recv(&mut text).ok()?;
        Some(String::from_utf8(text[..length].to_vec()).unwrap())
    }

    #[test]
    fn states_are_told_as_sd_notify_wants_them() {
        let (manager, heard) = manager(None);
        manager.ready("serving\nREADY=0");
        assert_eq!(next(&heard).unwrap(), "READY=1\nSTATUS=serving READY=0");
        manager.reloading();
        assert!(next(&heard).unwrap().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        manager.handed_to(7);
        assert!(next(&heard).unwrap().starts_with("MAINPID=7\n"));
        manager.stopping("draining");
        assert!(next(&heard).unwrap().starts_with("STOPPING=1\n"));
    }

    #[test]
    fn the_watchdog_hears_at_its_times_and_only_good_news() {
        let (mut manager, heard) = manager(Some(Duration::from_secs(5)));
        let begin = Instant::now();
        manager.watch(false, begin);
        assert_eq!(next(&heard), None);
        for (seconds, told) in [(0, true), (4, false), (5, true), (6, false), (10, true)] {
            manager.watch(true, begin + Duration::from_secs(seconds));
            assert_eq!(next(&heard).is_some(), told, "{seconds}");
        }
    }

    #[test]
    fn stored_listeners_replace_those_before() {
        let (manager, heard) = manager(None);
        let socket: OwnedFd = std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
        manager.store(&[socket.as_fd()]);
        let told: Vec<_> = std::iter::from_fn(|| next(&heard)).collect();
        assert_eq!(told, ["FDSTOREREMOVE=1\nFDNAME=ringway", "FDSTORE=1\nFDNAME=ringway"]);
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let (manager, heard) = manager(None);
        for _ in 0..10_000 {
            manager.ready("again");
        }
        assert!(next(&heard).is_some());
    }
}
