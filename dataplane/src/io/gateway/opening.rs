//! The upgrade: from the first byte of a request to an open connection, or to a refusal that says why.

use super::State;
use super::slot::{ECHO_PATH, JSON_PATH, Path};
use crate::core::Core;
use crate::hub::Format;
use crate::policy::admission::{self, Facts, Identity, Refusal};
use crate::policy::feed::{Sender, Way};
use crate::policy::online::{self, UserLimits};
use crate::proto::deflate::{self, Inflater, Negotiated};
use crate::proto::upgrade::{Request, Upgrade, accept, refuse};
use crate::proto::websocket::Incoming;
use ringway_shared::closing::Closing;
use ringway_shared::feed::Grant;
use ringway_shared::gateway::Refused;
use ringway_shared::origin::{authority, is_fixed_host};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

/// An upgrade request under way.
pub type Opening = Upgrade;

/// What a drain and a full house ask clients to wait, in seconds.
const RETRY_AFTER: &str = "5";
/// Characters of a requested path that the access log keeps.
const PATH_CHARS_MAX: usize = 128;

/// A refusal: what it counts as, its HTTP status, and what the client is told.
struct No {
    refused: Refused,
    status: u16,
    headers: Vec<(&'static str, String)>,
    hint: &'static str,
}

impl No {
    fn new(refused: Refused, status: u16, hint: &'static str) -> No {
        No { refused, status, headers: Vec::new(), hint }
    }

    fn later(refused: Refused, hint: &'static str, seconds: impl ToString) -> No {
        No { headers: vec![("Retry-After", seconds.to_string())], ..No::new(refused, 503, hint) }
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> No {
        let refused = match refusal {
            Refusal::Rate => Refused::Rate,
            Refusal::ClientConnections => Refused::ClientLimit,
            Refusal::UserConnections | Refusal::SessionExists => Refused::UserLimit,
            Refusal::Origin => Refused::Origin,
            _ => Refused::Unauthorized,
        };
        let challenge = refusal.challenge().map(|challenge| ("WWW-Authenticate", challenge.to_owned()));
        // A session that has just ended may not have been seen to: a second later it has.
        let retry = (refusal.status() == 429).then(|| ("Retry-After", "1".to_owned()));
        No {
            headers: challenge.into_iter().chain(retry).collect(),
            ..No::new(refused, refusal.status(), refusal.text())
        }
    }
}

/// As much of a text as the access log keeps.
fn cut(text: &str) -> String {
    text.chars().take(PATH_CHARS_MAX).collect()
}

/// A name that nobody guesses: a random UUID (RFC 9562 section 5.4).
fn client_id() -> u128 {
    let mut bytes = [0u8; 16];
    // Cannot fail once the kernel has its randomness, which the process has asked for at its start.
    let _ = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty());
    u128::from_be_bytes(bytes) & !(0xF << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62
}

impl State {
    /// Takes more of an upgrade request; what stands behind it are the first frames.
    pub(super) fn open(&mut self, core: &Rc<Core>, conn: u32, bytes: &mut [u8]) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        let Some(opening) = &mut slot.opening else { return };
        let Some(outcome) = opening.receive(bytes) else { return };
        let taken = opening.taken();
        slot.opening = None;
        match outcome {
            Err(refusal) => {
                refusal.write(self.answers.out());
                self.refused(core, conn, refusal.refused, refusal.status, refusal.hint);
            }
            Ok(request) => match self.judge(core, conn, &request) {
                Ok((path, identity)) => {
                    self.accept(core, conn, &request, path, identity);
                    self.frames(core, conn, &mut bytes[taken..]);
                }
                Err(no) => {
                    self.note_wish(conn, &request);
                    let headers: Vec<_> = no.headers.iter().map(|(name, value)| (*name, &**value)).collect();
                    refuse(no.status, &headers, no.hint, self.answers.out());
                    let origin = request.origin.as_deref().filter(|_| no.refused == Refused::Origin);
                    match origin.map(cut) {
                        Some(origin) => {
                            let hint = format!("{} (it was {origin:?})", no.hint);
                            self.refused(core, conn, no.refused, no.status, &hint);
                        }
                        None => self.refused(core, conn, no.refused, no.status, no.hint),
                    }
                }
            },
        }
    }

    /// Whether the client may come in, and as whom. What costs least is asked first.
    fn judge(&mut self, core: &Rc<Core>, conn: u32, request: &Request) -> Result<(Path, Identity), No> {
        let Some(slot) = self.slots.get_mut(conn as usize) else {
            return Err(No::new(Refused::BadRequest, 400, ""));
        };
        // It may have been accepted long before it asks.
        let service = core.service();
        slot.about.service = service.clone();
        let websocket = &service.config.websocket;
        let path = match &*request.path {
            JSON_PATH => Path::Json,
            ECHO_PATH if websocket.echo && !slot.about.is_guest() => Path::Echo,
            _ => return Err(No::new(Refused::NotFound, 404, "there is nothing here: connect to /ws")),
        };
        // With a successor there is no other server to go to: who came in before it did is let in, and told to come again.
        let rests = core.resting.get() && !slot.about.is_guest();
        if (core.draining.get() || rests) && !core.retiring.get() {
            return Err(No::later(
                Refused::Draining,
                "this server is going down: connect to another",
                RETRY_AFTER,
            ));
        }
        if let Some(grant) = slot.about.grant().cloned() {
            return self.guest(conn, &grant).map(|identity| (path, identity));
        }
        if core.websocket_connections() >= service.websocket_connections_max {
            return Err(No::later(
                Refused::ConnectionLimit,
                "too many connections: try again later",
                RETRY_AFTER,
            ));
        }
        let now_ns = core.now_ns();
        let gate = &core.wiring.gate;
        if let Err(seconds) = gate.arrivals.admit(websocket.admission.connection_rate.as_ref(), now_ns) {
            return Err(No { status: 503, ..No::later(Refused::Rate, Refusal::Rate.text(), seconds) });
        }
        let limits = admission::client_limits(&websocket.limits);
        match gate.clients.admit(slot.about.peer.address().ip(), &limits, now_ns) {
            Ok(admitted) => slot.about.admission = Some(admitted),
            Err(_) => return Err(Refusal::ClientConnections.into()),
        }
        let sender = Sender {
            host: &request.host,
            origin: request.origin.as_deref(),
            tls: slot.tls.is_some(),
            forwarded: request.forwarded,
        };
        let foreign = service.readers.are_foreign(&sender);
        slot.about.way = Way::Gateway { near: slot.is_near(), foreign };
        let by_name = authority(&request.host).is_some_and(|(name, _)| !is_fixed_host(&name));
        if by_name && !foreign {
            slot.about.learn().named_host = Some(request.host.as_str().into());
        }
        let facts = Facts {
            host: &request.host,
            origin: request.origin.as_deref(),
            tls: slot.tls.is_some(),
            authorization: request.authorization.as_deref(),
            query: request.query.as_deref(),
        };
        let unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let identity = service.admission.judge(&facts, unix_s)?;
        self.enter(core, conn, &identity)?;
        Ok((path, identity))
    }

    /// The control port has judged it, and counts it: the gateway's limits are not for it.
    fn guest(&mut self, conn: u32, grant: &Grant) -> Result<Identity, No> {
        if grant.is_revoked() {
            return Err(No::new(Refused::Unauthorized, 403, Closing::LeaveRevoked.text()));
        }
        if let Some(slot) = self.slots.get_mut(conn as usize) {
            slot.about.learn().user = grant.holder.clone();
            slot.about.set_client(client_id());
        }
        Ok(Identity::of_user(grant.holder.clone()))
    }

    /// Counts the session among its user's.
    fn enter(&mut self, core: &Rc<Core>, conn: u32, identity: &Identity) -> Result<(), No> {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return Ok(()) };
        let admission = &slot.about.service.config.websocket.admission;
        let limits = UserLimits {
            connections_max: admission.connections_per_user,
            one_session: admission.one_session,
        };
        let client = client_id();
        slot.about.set_client(client);
        if identity.user.is_empty() {
            return Ok(());
        }
        slot.about.learn().user = identity.user.clone();
        let session =
            online::Session { worker: core.wiring.index as u32, connection: slot.key(conn), client };
        let entered = core.wiring.gate.online.enter(identity.user.clone(), session, limits)?;
        slot.about.learn().seat = Some(entered.presence);
        for other in entered.replaced {
            self.replace(core, other);
        }
        Ok(())
    }

    /// The answer leaves with those to the first frames.
    fn accept(&mut self, core: &Rc<Core>, conn: u32, request: &Request, path: Path, identity: Identity) {
        let Some(slot) = self.slots.get_mut(conn as usize) else { return };
        let compression = &slot.about.service.config.websocket.compression;
        let settings = deflate::Settings {
            window_bits: compression.window_bits,
            context_takeover: compression.context_takeover,
        };
        let offers: Vec<&str> = request.extensions.iter().map(String::as_str).collect();
        let agreed = compression.enabled.then(|| deflate::negotiate(&offers, &settings)).flatten();
        let extensions = agreed.as_ref().map(|(_, answer)| &**answer);
        accept(&request.key, None, extensions, self.answers.out());
        let negotiated: Option<Negotiated> = agreed.map(|(negotiated, _)| negotiated);
        slot.opened(core);
        slot.path = path;
        slot.due_tick = 0;
        slot.active_tick = core.now_tick();
        slot.incoming = Incoming::new(negotiated);
        slot.inflater = negotiated
            .filter(|agreed| !agreed.client_no_context_takeover)
            .map(|_| Box::new(Inflater::new(true)));
        slot.about.deflate = negotiated.map(|agreed| agreed.server_window_bits);
        if identity.expires_at.is_some() || identity.info.is_some() {
            let known = slot.about.learn();
            known.expires_at = identity.expires_at;
            known.info = identity.info;
        }
        core.cells.websocket.by_control_port.add(slot.about.is_guest().into());
        core.cells.websocket.upgraded.add(1);
        self.hub.join(
            conn,
            Format { deflate: negotiated.map(|agreed| agreed.server_window_bits), ..Format::default() },
        );
        for channel in &identity.channels {
            self.subscribe_to(core, conn, channel, None);
        }
    }

    /// Keeps what was asked for and is not granted.
    fn note_wish(&mut self, conn: u32, request: &Request) {
        if let Some(slot) = self.slots.get_mut(conn as usize) {
            slot.about.end().path = Some(cut(&request.path).into());
        }
    }

    /// Says no: the answer goes out, then the connection ends in order.
    fn refused(&mut self, core: &Rc<Core>, conn: u32, refused: Refused, status: u16, hint: &str) {
        core.cells.websocket.refused[refused as usize].add(1);
        if let Some(slot) = self.slots.get_mut(conn as usize) {
            let end = slot.about.end();
            end.closing = Some(Closing::UpgradeRefused);
            end.refused = Some((refused, status));
            end.hint = Some(hint.into());
            // A few hundred bytes into an empty socket: they fit.
            let _ = slot.send(core, self.answers.own());
            self.answers.clear();
            slot.linger(core);
        }
    }
}
