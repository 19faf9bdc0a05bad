//! Where a request may go: policy asked by name, then by each address, and the way it names.
//!
//! What is refused is noted for the access log, with the rule or key that refuses it. Decides nothing itself.

use crate::core::Core;
use crate::io::lookup;
use crate::io::sessions::Session;
use crate::policy::acl::{Case, Ruling};
use crate::policy::targets::{Facts, Permit, Verdict};
use crate::policy::upstreams;
use ringway_shared::config::Via;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Command, Host, Target};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A way to a target.
pub enum Route {
    /// To one of these addresses.
    Direct(Vec<Permit>),
    /// Through an upstream proxy of this group, which is told one of these addresses.
    Upstream { group: Arc<str>, permits: Vec<Permit> },
    /// Through an upstream proxy of this group, which looks the name up itself.
    UpstreamByName { group: Arc<str> },
}

/// Why one address or name is refused.
pub struct Refusal {
    pub reason: Reason,
    pub rule: Option<Arc<str>>,
    /// What would allow it.
    pub hint: Box<str>,
}

/// What policy says of one address.
pub struct Judgement {
    pub permit: Permit,
    pub via: Via,
    pub rule: Option<Arc<str>>,
}

/// The way to a request's target; names are looked up on the way there, unless an upstream does that.
pub async fn route(
    core: &Core,
    session: &Session,
    command: Command,
    target: &Target,
) -> Result<Route, Reason> {
    if let Some(group) = by_name(core, session, command, target)? {
        return Ok(Route::UpstreamByName { group });
    }
    let addresses = lookup::addresses_of(core, session, &target.host).await?;
    let mut refusal = None;
    let mut chosen: Option<Via> = None;
    let mut permits = Vec::with_capacity(addresses.len());
    for ip in addresses {
        let address = SocketAddr::new(ip, target.port);
        match judge(core, session, command, &target.host, address) {
            Err(refused) => refusal = Some((address, refused)),
            // One request goes one way: that of its first address.
            Ok(judgement) if *chosen.get_or_insert_with(|| judgement.via.clone()) == judgement.via => {
                note_rule(session, judgement.rule);
                permits.push(judgement.permit);
            }
            Ok(_) => {}
        }
    }
    match (chosen, refusal) {
        (Some(Via::Direct), _) => Ok(Route::Direct(permits)),
        (Some(Via::Group(group)), _) => Ok(Route::Upstream { group, permits }),
        (None, Some((address, refused))) => Err(note(session, Some(address), refused)),
        // A name has at least one address.
        (None, None) => Err(Reason::NameNotFound),
    }
}

/// Whether the client may ask for BIND or UDP ASSOCIATE at all, whatever its target: refused only if no target is left.
pub fn may_ask(core: &Core, session: &Session, command: Command) -> Result<(), Reason> {
    match ruling(core, session, command, None, 0, None) {
        Ruling::Deny { rule } => Err(note(session, None, refused_by(rule))),
        // Everything goes through upstream proxies, which serve CONNECT alone.
        Ruling::Allow { via: Via::Group(group), rule } => {
            let hint = format!("it goes through the proxies of {group}, which serve CONNECT alone").into();
            Err(note(session, None, Refusal { reason: Reason::DeniedAcl, rule, hint }))
        }
        Ruling::Allow { .. } | Ruling::Open { .. } => Ok(()),
    }
}

/// Judges one address that is about to be dialled or sent to: its class and network first, then the user's own
/// rules, then everybody's.
pub fn judge(
    core: &Core,
    session: &Session,
    command: Command,
    host: &Host,
    address: SocketAddr,
) -> Result<Judgement, Refusal> {
    let facts = Facts { address, own: core.is_own(address) };
    let permit = match session.service.targets.judge(facts) {
        Verdict::Allow(permit) => permit,
        Verdict::Deny(denial) => {
            return Err(Refusal { reason: denial.reason, rule: None, hint: denial.hint });
        }
    };
    match ruling(core, session, command, Some(host), address.port(), Some(address.ip())) {
        Ruling::Allow { via, rule } => Ok(Judgement { permit, via, rule }),
        Ruling::Deny { rule } | Ruling::Open { rule } => Err(refused_by(rule)),
    }
}

/// Refuses a name that a rule refuses whatever its address, and finds the upstream group that takes it by name.
fn by_name(
    core: &Core,
    session: &Session,
    command: Command,
    target: &Target,
) -> Result<Option<Arc<str>>, Reason> {
    let Host::Name(_) = target.host else { return Ok(None) };
    let proxies = &session.service.config.socks5.upstream.proxies;
    match ruling(core, session, command, Some(&target.host), target.port, None) {
        Ruling::Deny { rule } => Err(note(session, None, refused_by(rule))),
        Ruling::Allow { via: Via::Group(group), rule } if upstreams::take_names(proxies, &group) => {
            note_rule(session, rule);
            Ok(Some(group))
        }
        Ruling::Allow { .. } | Ruling::Open { .. } => Ok(None),
    }
}

fn ruling(
    core: &Core,
    session: &Session,
    command: Command,
    host: Option<&Host>,
    port: u16,
    address: Option<IpAddr>,
) -> Ruling {
    let facts = session.facts.borrow();
    let user = facts.account.as_ref().map(|account| &account.user);
    let case = Case {
        client: session.peer().ip(),
        user: user.map(|user| &*user.name),
        command,
        host,
        port,
        address,
        at: core.local_time(),
    };
    session.service.acl.judge(user.map_or(&[], |user| &*user.acl), &case)
}

fn refused_by(rule: Arc<str>) -> Refusal {
    let hint = format!("{rule} refuses it").into();
    Refusal { reason: Reason::DeniedAcl, rule: Some(rule), hint }
}

/// Notes a refusal for the access log.
pub fn note(session: &Session, address: Option<SocketAddr>, refused: Refusal) -> Reason {
    let mut facts = session.facts.borrow_mut();
    facts.address = address.or(facts.address);
    let notes = facts.notes();
    notes.rule = refused.rule;
    notes.hint = Some(refused.hint);
    refused.reason
}

fn note_rule(session: &Session, rule: Option<Arc<str>>) {
    if rule.is_some() {
        session.facts.borrow_mut().notes().rule = rule;
    }
}
