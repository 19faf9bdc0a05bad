//! The TLS handshake of a SOCKS5 client, before anything else is understood.

use crate::core::Core;
use crate::io::sessions::{Phase, Session};
use ringway_shared::reason::Reason;
use ringway_shared::tls::{TlsResult, TlsService};

/// Leads the handshake to its end. An alert that explains its failure has been sent.
pub async fn shake_hands(core: &Core, session: &Session) -> Result<(), Reason> {
    core.sessions.enter(session, Phase::TlsHandshake);
    let outcome = until_done(session).await;
    let fault = session.client.fault();
    let result = match (&outcome, fault) {
        (Ok(()), _) => TlsResult::Succeeded,
        (Err(Reason::HandshakeTimeout), _) => TlsResult::TimedOut,
        (Err(_), Some(fault)) => fault.into(),
        (Err(_), None) => TlsResult::ClientGone,
    };
    core.cells.tls_handshakes.of(TlsService::Socks5, result).add(1);
    if outcome == Err(Reason::TlsFailed) {
        let hint = format!("the TLS handshake failed: {}", result.label());
        session.facts.borrow_mut().notes().hint = Some(hint.into());
    }
    outcome.inspect(|()| core.sessions.enter(session, Phase::Greeting))
}

async fn until_done(session: &Session) -> Result<(), Reason> {
    let client = &session.client;
    loop {
        let done = client.shake_hands();
        if let Some(reason) = session.cut_reason() {
            return Err(reason);
        }
        let failed = |_| match client.fault() {
            Some(fault) if TlsResult::from(fault) != TlsResult::ClientGone => Reason::TlsFailed,
            _ => Reason::ClientGone,
        };
        if done.map_err(failed)? {
            return Ok(());
        }
        // The client answers what it has read: while something is left to send there is nothing to hear.
        let woken = match client.flush() {
            Ok(true) => client.socket().readable().await,
            Ok(false) => client.socket().writable().await,
            Err(_) => return Err(Reason::ClientGone),
        };
        if let Some(reason) = session.cut_reason() {
            return Err(reason);
        }
        woken.map_err(|_| Reason::ClientGone)?;
    }
}
