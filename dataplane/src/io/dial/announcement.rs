//! The PROXY protocol header that targets in `socks5.proxy_protocol.to` get: whom the connection is for.

use crate::io::dial::attempt::{Failure, Stands};
use crate::io::sessions::Session;
use crate::policy::acl;
use crate::proto::proxy_protocol;
use ringway_shared::session::Target;
use std::net::SocketAddr;

/// Whether the target gets a header when reached at this address.
pub(super) fn is_due(session: &Session, target: &Target, address: SocketAddr) -> bool {
    let listed = &session.service.config.socks5.proxy_protocol.to;
    !listed.is_empty() && acl::reach(listed, &target.host, address.ip())
}

/// Sends the header, if one is due, before any other byte.
pub(super) async fn make(session: &Session, target: &Target, stands: Stands) -> Result<Stands, Failure> {
    let Some(address) = session.facts.borrow().address else { return Ok(stands) };
    if is_due(session, target, address) {
        let version = session.service.config.socks5.proxy_protocol.version;
        stands.socket.send_all(&proxy_protocol::write(version, session.peer(), address)).await?;
    }
    Ok(stands)
}
