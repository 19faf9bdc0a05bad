//! One request: conversation, name lookup, policy, dial, reply.
//!
//! Moves bytes between the socket and the protocol, and asks policy; decides nothing itself.

use crate::core::Core;
use crate::io::conversation::{converse, farewell, note_reply};
use crate::io::dial::{self, Dialled, Order};
use crate::io::questions::{LookupError, Reply as Answer};
use crate::io::sessions::{Phase, Session};
use crate::policy::targets::{Facts, Permit, Verdict};
use crate::proto::socks5::{Auth, Command, Handshake, Reply, Request, UNBOUND};
use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, Target};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// From the first byte to the success reply. A failure has been answered, as far as an answer is due.
pub async fn establish(core: &Core, session: &Session) -> Result<(Dialled, Vec<u8>), Reason> {
    let demanded = if session.service.login.is_some() { Auth::Password } else { Auth::None };
    let mut handshake = Handshake::new(demanded);
    let request = match converse(core, session, &mut handshake).await {
        Ok(request) => request,
        Err(reason) => {
            note_reply(session, &handshake);
            farewell(core, session, reason).await;
            return Err(reason);
        }
    };
    let outcome = fulfil(core, session, &request).await;
    let (reply, bound) = match &outcome {
        Ok(dialled) => (Reply::Succeeded, dialled.bound),
        Err(reason) => (Reply::of(*reason).unwrap_or(Reply::GeneralFailure), UNBOUND),
    };
    handshake.reply(reply, bound);
    note_reply(session, &handshake);
    let payload = handshake.take_payload();
    let sent = session.client.send_all(&handshake.take_output()).await;
    match outcome {
        Ok(dialled) if sent.is_ok() => Ok((dialled, payload)),
        Ok(dialled) => {
            dialled.target.abort();
            Err(session.cut_reason().unwrap_or(Reason::ClientGone))
        }
        Err(reason) => {
            farewell(core, session, reason).await;
            Err(reason)
        }
    }
}

/// Does what the request asks, up to an established connection.
async fn fulfil(core: &Core, session: &Session, request: &Request) -> Result<Dialled, Reason> {
    session.facts.borrow_mut().target = Some(request.target.clone());
    if request.command != Command::Connect {
        return Err(Reason::CommandNotSupported);
    }
    let addresses = addresses_of(core, session, &request.target).await?;
    let permits = permitted(core, session, &addresses, request.target.port)?;
    let order = Order { target: &request.target, permits: &permits, payload: &[] };
    dial::dial(core, session, order).await
}

async fn addresses_of(core: &Core, session: &Session, target: &Target) -> Result<Vec<IpAddr>, Reason> {
    let name = match &target.host {
        Host::Address(ip) => return Ok(vec![ip.to_canonical()]),
        Host::Name(name) => name,
    };
    let begun = Instant::now();
    let question = core.questions.open();
    session.set_question(Some(question.ticket()));
    core.sessions.enter(session, Phase::NameLookup);
    core.wiring.resolver.ask(name, core.return_address(&question)).map_err(|_| Reason::ResolverBusy)?;
    let answer = question.await;
    session.set_question(None);
    core.cells.dns.record(begun.elapsed().as_micros() as u64);
    match answer {
        Some(Answer::Resolved(Ok(addresses))) => Ok(addresses),
        Some(Answer::Resolved(Err(LookupError::NotFound))) => Err(Reason::NameNotFound),
        Some(Answer::Resolved(Err(LookupError::Failed))) => Err(Reason::NameLookupFailed),
        Some(Answer::Resolved(Err(LookupError::Timeout))) => Err(Reason::NameLookupTimeout),
        _ => Err(session.cut_reason().unwrap_or(Reason::NameLookupTimeout)),
    }
}

/// Judges every address; what is refused is never dialled. All refused: the request is.
fn permitted(core: &Core, session: &Session, addresses: &[IpAddr], port: u16) -> Result<Vec<Permit>, Reason> {
    let mut permits = Vec::with_capacity(addresses.len());
    let mut refusal = None;
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        match session.service.targets.judge(Facts { address, own: core.wiring.own.contains(address) }) {
            Verdict::Allow(permit) => permits.push(permit),
            Verdict::Deny(denial) => {
                let mut facts = session.facts.borrow_mut();
                facts.address = Some(address);
                facts.notes().hint = Some(denial.hint);
                refusal = Some(denial.reason);
            }
        }
    }
    match refusal {
        Some(reason) if permits.is_empty() => Err(reason),
        _ => Ok(permits),
    }
}
