//! Through an upstream proxy: connect to one of the group, ask it for the target, and ask the next one if it cannot.
//!
//! An upstream is blamed for what goes wrong until the request has been said to it; from then on the target, and
//! so the client that chose it, may be the cause.

use crate::core::Core;
use crate::io::dial::attempt::Failure;
use crate::io::dial::{Dialled, Order, connect, in_order, is_over};
use crate::io::lookup;
use crate::io::sessions::{Phase, Session};
use crate::policy::targets::Permit;
use crate::policy::upstreams::{Upstream, Upstreams};
use crate::proto::upstream::Client;
use crate::rt::Ready;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, Target};
use ringway_shared::upstream::UpstreamResult;
use rustix::io::Errno;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// An upstream gets at least this, however many share the budget.
const SHARE_MIN: Duration = Duration::from_millis(500);

/// Why an upstream gave no connection.
enum Trouble {
    /// It is the target's: the client's answer, whoever is asked.
    Target(Failure),
    /// It is the upstream's; `blamed` where no target can be the cause.
    Upstream { result: UpstreamResult, failure: Failure, blamed: bool },
}

/// Connects to the order's target through the group, within `limit`.
///
/// The group is told one of the permitted addresses, the next one if the target cannot be reached by it; without
/// any it is told the name.
pub(super) async fn through(
    core: &Core,
    session: &Session,
    order: Order<'_>,
    group: &str,
    limit: Duration,
) -> Result<Dialled, Failure> {
    let deadline = Instant::now() + limit;
    if order.permits.is_empty() {
        return by_one_of(core, session, order.target, group, deadline).await.map_err(Trouble::failure);
    }
    let mut failure = Failure::from(Reason::NetworkUnreachable);
    for permit in in_order(session, order, None)? {
        let address = permit.address();
        let target = Target { host: Host::Address(address.ip()), port: address.port() };
        match by_one_of(core, session, &target, group, deadline).await {
            Ok(dialled) => return Ok(dialled),
            Err(Trouble::Target(fell)) if session.cut_reason().is_none() => {
                failure = failure.or_more_telling(fell);
            }
            Err(trouble) => return Err(trouble.failure()),
        }
    }
    Err(failure)
}

/// Asks one proxy after the other, each at most once.
async fn by_one_of(
    core: &Core,
    session: &Session,
    target: &Target,
    group: &str,
    deadline: Instant,
) -> Result<Dialled, Trouble> {
    let upstreams = &session.service.upstreams;
    let (mut tried, mut all_down) = (Vec::new(), false);
    let mut last = Trouble::unreachable(Reason::UpstreamUnreachable.into());
    while let Some(choice) = upstreams.choose(group, &tried) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        tried.push(choice.index);
        let upstream = &upstreams.all()[choice.index];
        session.facts.borrow_mut().notes().upstream = Some(upstream.proxy.name.clone());
        all_down |= choice.last_resort;
        let share = (left / choice.left).max(SHARE_MIN).min(left);
        let asked = Ask { core, session, upstream, deadline }.ask(target, share).await;
        if is_over(session) {
            // That says nothing of the upstream.
            return asked;
        }
        settle(upstreams, upstream, &asked);
        match asked {
            Err(trouble @ Trouble::Upstream { .. }) => last = trouble,
            answered => return answered,
        }
        core.set_target(session, None);
        core.sessions.forgive(session);
    }
    if all_down {
        let hint = "every upstream proxy of the group is down: tried all the same";
        session.facts.borrow_mut().notes().hint.get_or_insert(hint.into());
    }
    Err(last)
}

/// Notes what came of asking it.
fn settle(upstreams: &Upstreams, upstream: &Upstream, asked: &Result<Dialled, Trouble>) {
    upstream.usage.count(asked.as_ref().map_or_else(Trouble::result, |_| UpstreamResult::Connected));
    let name = &*upstream.proxy.name;
    match asked {
        Ok(_) | Err(Trouble::Target(_)) if upstreams.serves(upstream) => {
            tracing::info!(upstream = name, "an upstream proxy is up again");
        }
        Err(Trouble::Upstream { blamed: true, failure, .. }) if upstreams.fails(upstream) => {
            tracing::warn!(upstream = name, reason = failure.reason.label(), "an upstream proxy is down");
        }
        _ => {}
    }
}

/// One upstream being asked.
struct Ask<'a> {
    core: &'a Core,
    session: &'a Session,
    upstream: &'a Upstream,
    deadline: Instant,
}

impl Ask<'_> {
    /// Connects and says who we are within `share`; what the upstream then does for the target may take all that is
    /// left.
    async fn ask(&self, target: &Target, share: Duration) -> Result<Dialled, Trouble> {
        let Ask { core, session, upstream, .. } = self;
        let proxy = &upstream.proxy;
        let begun = Instant::now();
        let unreachable = |reason: Reason| Trouble::unreachable(reason.into());
        let addresses = lookup::addresses_of(core, session, &proxy.host).await.map_err(unreachable)?;
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, proxy.port));
        // Asking ourselves would ask ourselves, until no descriptor is left.
        let others = addresses.filter(|address| !core.is_own(*address));
        let permits: Vec<Permit> = others.map(Permit::for_upstream).collect();
        if permits.is_empty() {
            session.facts.borrow_mut().notes().hint =
                Some(format!("upstream {}: that is this very proxy", proxy.name).into());
            return Err(unreachable(Reason::UpstreamUnreachable));
        }
        let place = Target { host: proxy.host.clone(), port: proxy.port };
        let order = Order { target: &place, permits: &permits, payload: &[], via: None };
        let left = share.saturating_sub(begun.elapsed());
        let stands = connect(core, session, order, left).await.map_err(Trouble::unreachable)?;

        core.sessions.enter_for(session, Phase::Connect, share.saturating_sub(begun.elapsed()));
        let mut client = Client::new(proxy.protocol, proxy.login.as_ref(), target);
        let told = self.converse(&stands.socket, &mut client).await?;
        core.sessions.enter(session, Phase::Relay);
        Ok(Dialled { target: stands.socket, told, sent: 0, early: client.take_payload() })
    }

    /// Leads the handshake to its end.
    async fn converse(&self, socket: &Ready, client: &mut Client) -> Result<SocketAddr, Trouble> {
        let Ask { core, session, deadline, .. } = self;
        let mut has_asked = false;
        loop {
            match client.poll() {
                Some(Ok(told)) => return Ok(told),
                Some(Err(reason)) => return Err(self.refused(reason, has_asked)),
                None => {}
            }
            let output = client.take_output();
            socket.send_all(&output).await.map_err(|_| self.fell_silent(has_asked))?;
            if client.has_asked() && !has_asked {
                has_asked = true;
                let left = deadline.saturating_duration_since(Instant::now());
                core.sessions.enter_for(session, Phase::Connect, left);
            }
            let ready = socket.readable().await;
            if session.cut_reason().is_some() {
                return Err(self.fell_silent(has_asked));
            }
            let mut scratch = core.scratch.borrow_mut();
            match socket.receive(&mut scratch[..client.room()]) {
                Err(Errno::AGAIN | Errno::INTR) if ready.is_ok() => {}
                Ok(0) | Err(_) => return Err(self.fell_silent(has_asked)),
                Ok(count) => client.receive(&scratch[..count]),
            }
        }
    }

    fn refused(&self, reason: Reason, has_asked: bool) -> Trouble {
        match reason {
            Reason::UpstreamRefused => Trouble::refused(has_asked),
            reason => Trouble::Target(reason.into()),
        }
    }

    /// It hung up, or its time is over.
    fn fell_silent(&self, has_asked: bool) -> Trouble {
        match self.session.cut_reason() {
            // By then all time is over: there is no next one.
            Some(reason) if has_asked => Trouble::Upstream {
                result: UpstreamResult::Unreachable,
                failure: reason.into(),
                blamed: false,
            },
            Some(reason) => Trouble::unreachable(reason.into()),
            None => Trouble::refused(has_asked),
        }
    }
}

impl Trouble {
    fn unreachable(failure: Failure) -> Trouble {
        let blamed = !failure.is_ours();
        let reason = if blamed { Reason::UpstreamUnreachable } else { failure.reason };
        Trouble::Upstream {
            result: UpstreamResult::Unreachable,
            failure: Failure { reason, ..failure },
            blamed,
        }
    }

    fn refused(has_asked: bool) -> Trouble {
        let failure = Reason::UpstreamRefused.into();
        Trouble::Upstream { result: UpstreamResult::Refused, failure, blamed: !has_asked }
    }

    fn result(&self) -> UpstreamResult {
        match self {
            Trouble::Target(_) => UpstreamResult::TargetFailed,
            Trouble::Upstream { result, .. } => *result,
        }
    }

    fn failure(self) -> Failure {
        match self {
            Trouble::Target(failure) | Trouble::Upstream { failure, .. } => failure,
        }
    }
}
