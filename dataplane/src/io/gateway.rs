//! The WebSocket gateway of one core.

use crate::core::Core;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Takes in an accepted connection.
pub fn begin(core: &Rc<Core>, socket: OwnedFd, peer: SocketAddr) {
    let _ = (core, socket, peer);
}
