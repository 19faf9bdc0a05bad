//! What a configuration means to the workers: policy made ready to be asked. A reload swaps it whole, and each
//! connection keeps the one it was accepted under.

use crate::io::dial::egress;
use crate::io::tls::{ALPN_HTTP, Acceptor};
use crate::io::verify::{self, Verifier};
use crate::policy::acl::Acl;
use crate::policy::admission::Admission;
use crate::policy::auth::Directory;
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
    /// WebSocket connections at once, over all workers.
    pub websocket_connections_max: u64,
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

/// What outlives a service: the next one takes it over.
pub struct Stock {
    workers: usize,
    /// Descriptors that clients and targets may have.
    sockets_max: u64,
    /// Started when first needed.
    verifier: Option<Verifier>,
    /// By name, of every user there ever was: who is removed and comes back finds its quota as it was.
    usages: HashMap<Arc<str>, Arc<Usage>>,
    /// Those of the last service: their counts go on.
    upstreams: Option<Arc<Upstreams>>,
    /// The users of the last service.
    directory: Option<Arc<Directory>>,
    /// The gate of the last service: its keys go on.
    admission: Option<Arc<Admission>>,
}

impl Stock {
    #[must_use]
    pub fn new(workers: usize, sockets_max: u64) -> Stock {
        Stock {
            workers,
            sockets_max,
            verifier: None,
            usages: HashMap::new(),
            upstreams: None,
            directory: None,
            admission: None,
        }
    }

    /// Makes a configuration ready. Errors are for the operator.
    pub fn prepare(&mut self, config: &Arc<Config>) -> Result<Service, String> {
        let socks5 = &config.socks5;
        egress::try_out(config)?;
        let carried = |descriptors: u64| (self.sockets_max / descriptors).max(1);
        let connections_max =
            socks5.limits.connections.map_or(carried(DESCRIPTORS_PER_CONNECTION), |limit| limit as u64);
        let associations_max =
            socks5.limits.udp_associations.map_or(carried(DESCRIPTORS_PER_ASSOCIATION), |limit| limit as u64);
        let login = match &socks5.users {
            None => None,
            Some(users) => Some(self.login(users)?),
        };
        let websocket = &config.websocket;
        let mut listen = websocket.listen.iter().chain(&websocket.tls.listen);
        let loopback = listen.all(|address| address.ip().to_canonical().is_loopback());
        let admission = Arc::new(Admission::new(&websocket.admission, loopback, self.admission.as_deref())?);
        self.admission = Some(admission.clone());
        let upstreams = Arc::new(Upstreams::new(&socks5.upstream, self.upstreams.as_deref()));
        self.upstreams = Some(upstreams.clone());
        let tls = Tls {
            socks5: Acceptor::new(&socks5.tls, &[])?,
            websocket: Acceptor::new(&websocket.tls, ALPN_HTTP)?,
        };
        Ok(Service {
            config: config.clone(),
            targets: Arc::new(Targets::new(socks5.allow_targets, socks5.deny_targets.clone())),
            acl: Arc::new(Acl::new(socks5.acl.clone(), socks5.upstream.default.clone())),
            upstreams,
            login,
            tls,
            connections_max,
            associations_max,
            admission,
            websocket_connections_max: websocket
                .limits
                .connections
                .map_or(self.sockets_max, |limit| limit as u64),
        })
    }

    fn login(&mut self, users: &Users) -> Result<Login, String> {
        let verifier = match &self.verifier {
            Some(verifier) => verifier.clone(),
            None => {
                let (verifier, _end_with_their_askers) = verify::start()
                    .map_err(|error| format!("cannot start the password verifiers: {error}"))?;
                self.verifier.insert(verifier).clone()
            }
        };
        let accounts = users.entries.iter().map(|user| {
            let usage = self.usages.entry(user.name.clone());
            let usage = usage.or_insert_with(|| Arc::new(Usage::for_workers(self.workers)));
            let before = self.directory.as_ref().and_then(|before| before.user(&user.name));
            if before
                .is_some_and(|before| (before.rate_up, before.rate_down) != (user.rate_up, user.rate_down))
            {
                // What is owed is kept as time, and at another rate it would be another time.
                usage.up_due_ns.store(0, Relaxed);
                usage.down_due_ns.store(0, Relaxed);
            }
            Account { user: user.clone(), usage: usage.clone() }
        });
        let directory = Arc::new(Directory::new(accounts.collect()));
        self.directory = Some(directory.clone());
        Ok(Login { directory, verifier })
    }
}
