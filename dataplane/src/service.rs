//! What a configuration means to the workers: policy made ready to be asked. A reload swaps it whole, and each
//! connection keeps the one it was accepted under.

use crate::io::dial::egress;
use crate::io::tls::{ALPN_HTTP, Acceptor};
use crate::io::verify::{self, Verifier};
use crate::policy::acl::Acl;
use crate::policy::admission::Admission;
use crate::policy::auth::Directory;
use crate::policy::feed::Readers;
use crate::policy::targets::Targets;
use crate::policy::upstreams::Upstreams;
use ringway_shared::account::{Account, Usage};
use ringway_shared::config::{Config, Users};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A relayed connection's sockets.
pub const DESCRIPTORS_PER_CONNECTION: u64 = 2;
/// A UDP association's sockets: the control connection, the client's side, one for each family outside.
pub const DESCRIPTORS_PER_ASSOCIATION: u64 = 4;

/// One configuration at work.
#[derive(Clone)]
pub struct Service {
    pub config: Arc<Config>,
    pub targets: Arc<Targets>,
    pub acl: Arc<Acl>,
    pub upstreams: Arc<Upstreams>,
    /// `None`: nobody has to say who they are.
    pub login: Option<Login>,
    pub tls: Tls,
    /// Client connections at once, over all workers.
    pub connections_max: u64,
    /// UDP associations at once, over all workers.
    pub associations_max: u64,
    /// Whether a WebSocket client may come in.
    pub admission: Arc<Admission>,
    /// WebSocket connections at once, over all workers; those that came by the control port do not count.
    pub websocket_connections_max: u64,
    /// Who may read the feed at the gateway.
    pub readers: Arc<Readers>,
}

/// What it takes to tell users apart.
#[derive(Clone)]
pub struct Login {
    pub directory: Arc<Directory>,
    pub verifier: Verifier,
}

/// Who accepts TLS connections; `None` where there is no certificate.
#[derive(Clone)]
pub struct Tls {
    pub socks5: Option<Acceptor>,
    pub websocket: Option<Acceptor>,
}

impl Service {
    /// Whether the account's user is still one.
    #[must_use]
    pub fn knows(&self, account: &Account) -> bool {
        self.login.as_ref().is_none_or(|login| login.directory.holds(&account.user.name))
    }
}

/// What outlives a service: the next one takes it over. Preparing changes nothing of it, so that a service that is never
/// put to work leaves no trace.
pub struct Stock {
    workers: usize,
    /// Descriptors that clients and targets may have.
    sockets_max: u64,
    /// Started when first needed.
    verifier: Option<Verifier>,
    /// By name, of every user there ever was: who is removed and comes back finds its quota as it was.
    usages: HashMap<Arc<str>, Arc<Usage>>,
}

impl Stock {
    #[must_use]
    pub fn new(workers: usize, sockets_max: u64) -> Stock {
        Stock { workers, sockets_max, verifier: None, usages: HashMap::new() }
    }

    /// Makes a configuration ready; `before`: the one at work until now. Errors are for the operator.
    pub fn prepare(&self, config: &Arc<Config>, before: Option<&Service>) -> Result<Service, String> {
        let socks5 = &config.socks5;
        egress::try_out(config)?;
        let carried = |descriptors: u64| (self.sockets_max / descriptors).max(1);
        let connections_max =
            socks5.limits.connections.map_or(carried(DESCRIPTORS_PER_CONNECTION), |limit| limit as u64);
        let associations_max =
            socks5.limits.udp_associations.map_or(carried(DESCRIPTORS_PER_ASSOCIATION), |limit| limit as u64);
        let login = socks5.users.as_ref().map(|users| self.login(users)).transpose()?;
        let websocket = &config.websocket;
        let mut listen = websocket.listen.iter().chain(&websocket.tls.listen);
        let loopback = listen.all(|address| address.ip().to_canonical().is_loopback());
        let gate_before = before.map(|before| &*before.admission);
        let upstreams_before = before.map(|before| &*before.upstreams);
        let tls_before = before.map(|before| &before.tls);
        let tls = Tls {
            socks5: Acceptor::new(&socks5.tls, &[], tls_before.and_then(|tls| tls.socks5.as_ref()))?,
            websocket: Acceptor::new(
                &websocket.tls,
                ALPN_HTTP,
                tls_before.and_then(|tls| tls.websocket.as_ref()),
            )?,
        };
        Ok(Service {
            config: config.clone(),
            targets: Arc::new(Targets::new(socks5.allow_targets, socks5.deny_targets.clone())),
            acl: Arc::new(Acl::new(socks5.acl.clone(), socks5.upstream.default.clone())),
            upstreams: Arc::new(Upstreams::new(&socks5.upstream, upstreams_before)),
            login,
            tls,
            connections_max,
            associations_max,
            admission: Arc::new(Admission::new(&websocket.admission, loopback, gate_before)?),
            websocket_connections_max: websocket
                .limits
                .connections
                .map_or(self.sockets_max, |limit| limit as u64),
            readers: Arc::new(Readers::new(&config.control)),
        })
    }

    fn login(&self, users: &Users) -> Result<Login, String> {
        let verifier = match &self.verifier {
            Some(verifier) => verifier.clone(),
            None => {
                let (verifier, _end_with_their_askers) = verify::start()
                    .map_err(|error| format!("cannot start the password verifiers: {error}"))?;
                verifier
            }
        };
        let accounts = users.entries.iter().map(|user| {
            let usage = self.usages.get(&user.name).cloned();
            let usage = usage.unwrap_or_else(|| Arc::new(Usage::for_workers(self.workers)));
            Account { user: user.clone(), usage }
        });
        Ok(Login { directory: Arc::new(Directory::new(accounts.collect())), verifier })
    }

    /// `next` is at work from now on, in the place of `before`.
    pub fn commit(&mut self, next: &Service, before: Option<&Service>) {
        if let Some(login) = &next.login {
            self.verifier.get_or_insert_with(|| login.verifier.clone());
            for account in login.directory.accounts() {
                self.usages.entry(account.user.name.clone()).or_insert_with(|| account.usage.clone());
            }
        }
        let Some(before) = before else { return };
        next.upstreams.forgive_moved(&before.upstreams);
        next.admission.take_over(&before.admission);
        if let (Some(next), Some(before)) = (&next.login, &before.login) {
            forgive_changed(&next.directory, &before.directory);
        }
    }
}

/// What is owed is kept as time, and at another rate it would be another time.
fn forgive_changed(next: &Directory, before: &Directory) {
    for Account { user, usage } in next.accounts() {
        let rates = before.user(&user.name).map(|before| (before.rate_up, before.rate_down));
        if rates.is_some_and(|rates| rates != (user.rate_up, user.rate_down)) {
            usage.up_due_ns.store(0, Relaxed);
            usage.down_due_ns.store(0, Relaxed);
        }
    }
}
