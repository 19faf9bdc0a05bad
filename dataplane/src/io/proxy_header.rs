//! The PROXY protocol header that clients in `socks5.proxy_protocol.from` must send before anything else.

use crate::core::Core;
use crate::io::sessions::{Phase, Session};
use crate::policy::targets::covers;
use crate::proto::proxy_protocol::{HEADER_BYTES_MAX, Progress, read};
use ringway_shared::reason::Reason;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

/// Whether this peer must send a header.
#[must_use]
pub fn is_due(session: &Session) -> bool {
    let peer = session.peer().ip().to_canonical();
    session.service.config.socks5.proxy_protocol.from.iter().any(|network| covers(network, peer))
}

/// Reads the header; from then on the client is whom it names.
///
/// Looks before it takes: what stands behind the header is the handshake's.
pub async fn take(core: &Core, session: &Session) -> Result<(), Reason> {
    core.sessions.enter(session, Phase::ProxyHeader);
    let mut header = Vec::new();
    loop {
        let ready = session.client.socket().readable().await;
        if let Some(reason) = session.cut_reason() {
            return Err(reason);
        }
        let mut scratch = core.scratch.borrow_mut();
        let room = &mut scratch[..HEADER_BYTES_MAX - header.len()];
        let seen = match recv(&session.client, &mut *room, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) if ready.is_ok() => continue,
            Ok((0, _)) | Err(_) => return Err(Reason::ClientGone),
            Ok((seen, _)) => seen,
        };
        let before = header.len();
        header.extend_from_slice(&room[..seen]);
        let progress = read(&header);
        let wanted = match progress {
            Progress::Invalid => return Err(Reason::BadProxyHeader),
            Progress::More if header.len() == HEADER_BYTES_MAX => return Err(Reason::BadProxyHeader),
            Progress::More => seen,
            Progress::Header { length, .. } => length - before,
        };
        // They are there: this takes what was just seen.
        session.client.socket().receive(&mut room[..wanted]).map_err(|_| Reason::ClientGone)?;
        if let Progress::Header { source, .. } = progress {
            if let Some(source) = source {
                session.set_peer(source);
            }
            core.sessions.enter(session, Phase::Greeting);
            return Ok(());
        }
    }
}
