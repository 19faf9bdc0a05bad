//! The configuration while it is being filled in: what the keys say, before it is known to make sense.

use super::read::Target;
use super::{
    AccessLog, Bind, Commands, Config, Control, Denied, Dns, DriverChoice, Egress, Fragments, Limits, Log,
    LogFormat, LogLevel, Logins, Prefer, Protocols, ProxyProtocol, ProxyVersion, Relay, Socks5, TargetClass,
    TargetClasses, Timeouts, Udp, UdpFilter, Upstream, Users, Workers,
};
use crate::session::Protocol;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The most worker threads.
pub const WORKERS_MAX: usize = 1024;

/// A [`Config`] in the making, and the keys that are no part of one.
pub struct Draft {
    pub config: Config,
    /// `None`: auto.
    pub workers_count: Option<usize>,
    pub auth: Auth,
    pub users_file: PathBuf,
    pub socks5_open_proxy: bool,
    pub websocket_listen: Vec<SocketAddr>,
    pub control_open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    None,
    Password,
}

impl Draft {
    /// Blank: the defaults are the table's, and are written in like any other layer.
    pub fn blank() -> Draft {
        Draft {
            config: blank_config(),
            workers_count: None,
            auth: Auth::None,
            users_file: PathBuf::new(),
            socks5_open_proxy: false,
            websocket_listen: Vec::new(),
            control_open: false,
        }
    }

    pub fn deny(&mut self, targets: Vec<Target>) {
        let denied = &mut self.config.socks5.deny_targets;
        *denied = Denied::default();
        for target in targets {
            match target {
                Target::Class(class) => denied.classes = denied.classes.with(class),
                Target::Network(network) => denied.networks.push(network),
            }
        }
    }

    /// Fills in what follows from other values.
    pub fn finish(mut self, cpus_allowed: usize, users: Option<Arc<Users>>) -> Config {
        self.config.workers.count = self.worker_count(cpus_allowed);
        let socks5 = &mut self.config.socks5;
        socks5.users = users;
        // A proxy that only this host can reach gives nobody a way into its private networks.
        if socks5.listen.iter().all(|address| address.ip().to_canonical().is_loopback()) {
            socks5.allow_targets = socks5.allow_targets.with(TargetClass::Private);
        }
        self.config
    }

    /// The worker threads wanted: as many as named, else one for each CPU named, else for each allowed.
    pub fn worker_count(&self, cpus_allowed: usize) -> usize {
        let pinned = self.config.workers.cpus.len();
        let automatic = if pinned > 0 { pinned } else { cpus_allowed.clamp(1, WORKERS_MAX) };
        self.workers_count.unwrap_or(automatic)
    }
}

fn blank_config() -> Config {
    Config {
        workers: Workers {
            count: 0,
            cpus: Vec::new(),
            driver: DriverChoice::Auto,
            stalled_after: Duration::ZERO,
            wedged_after: Duration::ZERO,
        },
        socks5: blank_socks5(),
        control: Control { listen: Vec::new(), test_endpoints: false, connections_max: 0 },
        log: Log {
            level: LogLevel::Info,
            format: LogFormat::Text,
            access: AccessLog::Off,
            access_format: LogFormat::Text,
        },
    }
}

fn blank_socks5() -> Socks5 {
    Socks5 {
        listen: Vec::new(),
        protocols: Protocol::ALL.into_iter().fold(Protocols::default(), Protocols::with),
        commands: Commands::all(),
        users: None,
        allow_targets: TargetClasses::default(),
        deny_targets: Denied::default(),
        acl: Arc::new([]),
        limits: Limits {
            connections: None,
            backlog: 0,
            connections_per_client: None,
            connections_per_user: None,
            new_connections_per_second: None,
            new_connections_per_second_per_client: None,
            udp_associations: None,
        },
        logins: Logins {
            delay: Duration::from_millis(200),
            delay_max: Duration::from_secs(5),
            failures_max: Some(10),
            ban: Duration::from_secs(300),
            forget_after: Duration::from_secs(900),
        },
        timeouts: blank_timeouts(),
        dns: Dns {
            servers: Vec::new(),
            cache_entries: 0,
            ttl_max: Duration::ZERO,
            negative_ttl_max: Duration::ZERO,
        },
        relay: Relay { pipes_per_worker: 0, pipe_bytes: 0 },
        udp: Udp {
            filter: UdpFilter::FullCone,
            fragments: Fragments::Reassemble,
            advertise: Vec::new(),
            ports: None,
            honour_dst: true,
        },
        bind: Bind { advertise: Vec::new(), ports: None },
        egress: Egress {
            addresses: Vec::new(),
            interface: None,
            mark: 0,
            prefer: Prefer::Ipv6,
            fast_open: false,
        },
        upstream: Upstream {
            proxies: Vec::new(),
            default: None,
            health_interval: Duration::from_secs(5),
            failures_max: 3,
        },
        proxy_protocol: ProxyProtocol { from: Vec::new(), to: Vec::new(), version: ProxyVersion::V2 },
        quota_file: PathBuf::new(),
    }
}

fn blank_timeouts() -> Timeouts {
    Timeouts {
        proxy_header: Duration::from_secs(5),
        handshake: Duration::ZERO,
        greeting: Duration::ZERO,
        authentication: Duration::ZERO,
        request: Duration::ZERO,
        name_lookup: Duration::ZERO,
        connect: Duration::ZERO,
        bind: Duration::from_secs(60),
        idle: Duration::ZERO,
        half_closed: Duration::ZERO,
        udp_idle: Duration::from_secs(300),
        fragments: Duration::from_secs(10),
        drain: Duration::ZERO,
    }
}
