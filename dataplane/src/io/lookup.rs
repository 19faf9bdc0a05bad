//! A name's addresses, asked of the resolver's thread.

use crate::core::Core;
use crate::io::questions::{LookupError, Reply};
use crate::io::sessions::{Phase, Session};
use ringway_shared::reason::Reason;
use ringway_shared::session::Host;
use std::net::IpAddr;
use std::time::Instant;

/// The addresses of a host, at least one.
pub async fn addresses_of(core: &Core, session: &Session, host: &Host) -> Result<Vec<IpAddr>, Reason> {
    let name = match host {
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
    let taken = begun.elapsed();
    core.cells.dns.record(taken.as_micros() as u64);
    session.facts.borrow_mut().phases.name_lookup = Some(taken);
    match answer {
        Some(Reply::Resolved(Ok(addresses))) => Ok(addresses),
        Some(Reply::Resolved(Err(LookupError::NotFound))) => Err(Reason::NameNotFound),
        Some(Reply::Resolved(Err(LookupError::Failed))) => Err(Reason::NameLookupFailed),
        Some(Reply::Resolved(Err(LookupError::Timeout))) => Err(Reason::NameLookupTimeout),
        _ => Err(session.cut_reason().unwrap_or(Reason::NameLookupTimeout)),
    }
}
