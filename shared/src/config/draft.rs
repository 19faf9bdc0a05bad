//! The configuration while it is being filled in: what the keys say, before it is known to make sense.

use super::admission::written::WrittenAdmission;
use super::alerts::webhooks::WrittenWebhook;
use super::control::written::WrittenControl;
use super::nets::Target;
use super::proxies::{Keeper, WrittenProxy};
use super::rules::WrittenRule;
use super::tls::WrittenCertificate;
use super::{
    AccessLog, Alerts, Batching, Bind, Commands, Compression, Config, Control, ControlTls, Denied, Dns,
    DriverChoice, Egress, Fragments, GatewayAuth, History, Keep, Limits, Log, LogFormat, LogLevel, Logins,
    Prefer, Protocols, ProxyProtocol, ProxyVersion, Relay, Socks5, TargetClass, TargetClasses, Timeouts, Tls,
    Udp, UdpFilter, Upstream, Users, WebSocket, WebSocketLimits, WebSocketTimeouts, Workers,
};
use crate::session::{Command, Protocol};
use std::path::{Path, PathBuf};
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
    pub rules: Vec<WrittenRule>,
    pub proxies: Vec<WrittenProxy>,
    pub socks5_certificates: Vec<WrittenCertificate>,
    pub websocket_certificates: Vec<WrittenCertificate>,
    /// `None`: as the log's other lines.
    pub access_format: Option<LogFormat>,
    pub admission: WrittenAdmission,
    pub socks5_open_proxy: bool,
    pub control: WrittenControl,
    pub webhooks: Vec<WrittenWebhook>,
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
            rules: Vec::new(),
            proxies: Vec::new(),
            socks5_certificates: Vec::new(),
            websocket_certificates: Vec::new(),
            access_format: None,
            admission: WrittenAdmission::blank(),
            socks5_open_proxy: false,
            control: WrittenControl::blank(),
            webhooks: Vec::new(),
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

    pub fn serve(&mut self, protocol: Protocol) {
        self.config.socks5.protocols = self.config.socks5.protocols.with(protocol);
    }

    pub fn obey(&mut self, command: Command) {
        self.config.socks5.commands = self.config.socks5.commands.with(command);
    }

    /// The groups that upstream proxies are in.
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.proxies.iter().map(|written| written.proxy.group.clone()).collect()
    }

    /// Where the paths of the configuration start, if they are relative.
    pub fn resolve_paths(&mut self, folder: &Path) {
        let Draft {
            users_file,
            control,
            config,
            proxies,
            socks5_certificates,
            websocket_certificates,
            admission,
            webhooks,
            ..
        } = self;
        let certificates = socks5_certificates.iter_mut().chain(websocket_certificates);
        let certificates = certificates.chain(&mut control.certificates);
        certificates.for_each(|written| written.resolve(folder));
        let keepers = proxies.iter_mut().filter_map(|written| match &mut written.secret.as_mut()?.keeper {
            Keeper::File(path) => Some(path),
            Keeper::Environment(_) => None,
        });
        let Log { access, audit, control: requests, .. } = &mut config.log;
        let logs = [access, audit, requests].into_iter().filter_map(|log| match log {
            AccessLog::File(path) => Some(path),
            AccessLog::Off | AccessLog::Stderr => None,
        });
        let own = [users_file, &mut config.socks5.quota_file].into_iter().chain(control.paths());
        let hooks = webhooks.iter_mut().flat_map(WrittenWebhook::paths);
        let own = own
            .chain(&mut config.history.file)
            .chain(logs)
            .chain(keepers)
            .chain(admission.paths())
            .chain(hooks);
        own.for_each(|path| *path = folder.join(&path));
    }

    /// Fills in what follows from other values.
    pub fn finish(
        mut self,
        cpus_allowed: usize,
        users: Option<Arc<Users>>,
        gateway_auth: GatewayAuth,
    ) -> Config {
        self.config.workers.count = self.worker_count(cpus_allowed);
        self.config.log.access_format = self.access_format.unwrap_or(self.config.log.format);
        self.config.websocket.admission = self.admission.finish(gateway_auth);
        self.control.finish(&mut self.config.control);
        let socks5 = &mut self.config.socks5;
        socks5.users = users;
        socks5.acl = self.rules.into_iter().map(|written| written.rule).collect();
        socks5.upstream.proxies = self.proxies.into_iter().map(|written| written.proxy).collect();
        // A proxy that only this host can reach gives nobody a way into its private networks.
        let mut listeners = socks5.listen.iter().chain(&socks5.tls.listen);
        if listeners.all(|address| address.ip().to_canonical().is_loopback()) {
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
            ready_within: Duration::ZERO,
        },
        socks5: blank_socks5(),
        websocket: blank_websocket(),
        control: blank_control(),
        alerts: Alerts {
            rules: Arc::new([]),
            webhooks: Vec::new(),
            instance: None,
            group_wait: Duration::ZERO,
            group_interval: Duration::ZERO,
            repeat_interval: Duration::ZERO,
        },
        history: History { enabled: false, file: None, keep: Keep::default(), users_max: 0 },
        log: Log {
            level: LogLevel::Info,
            format: LogFormat::Text,
            access: AccessLog::Off,
            access_format: LogFormat::Text,
            audit: AccessLog::Off,
            control: AccessLog::Off,
        },
    }
}

fn blank_control() -> Control {
    Control {
        listen: Vec::new(),
        tls: ControlTls::default(),
        unix: None,
        test_endpoints: false,
        connections_max: 0,
        feed: super::control::Feed::default(),
        api_keys: Arc::new([]),
        tokens: Arc::new([]),
        metrics_open: false,
        insecure: false,
        allowed_hosts: Vec::new(),
        allowed_origins: Vec::new(),
    }
}

fn blank_socks5() -> Socks5 {
    Socks5 {
        listen: Vec::new(),
        protocols: Protocols::default(),
        commands: Commands::default(),
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
            delay: Duration::ZERO,
            delay_max: Duration::ZERO,
            failures_max: None,
            ban: Duration::ZERO,
            forget_after: Duration::ZERO,
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
            honour_dst: false,
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
            health_interval: Duration::ZERO,
            failures_max: 0,
        },
        proxy_protocol: ProxyProtocol { from: Vec::new(), to: Vec::new(), version: ProxyVersion::V2 },
        tls: Tls::default(),
        quota_file: PathBuf::new(),
    }
}

fn blank_websocket() -> WebSocket {
    WebSocket {
        listen: Vec::new(),
        backlog: 0,
        echo: false,
        limits: WebSocketLimits {
            connections: None,
            connections_per_client: None,
            subscriptions_per_client: 0,
            message_bytes: 0,
            queued_messages: 0,
            queued_bytes: 0,
            queued_bytes_per_worker: 0,
            messages_per_second: None,
            bytes_per_second: None,
            topics_per_worker: 0,
            history_bytes_per_worker: 0,
        },
        timeouts: WebSocketTimeouts {
            handshake: Duration::ZERO,
            heartbeat: Duration::ZERO,
            pong: Duration::ZERO,
            idle: Duration::ZERO,
            close: Duration::ZERO,
            drain: Duration::ZERO,
        },
        compression: Compression {
            enabled: false,
            threshold_bytes: 0,
            level: 0,
            window_bits: 0,
            context_takeover: false,
        },
        batching: Batching { enabled: false, messages: 0, timeout: Duration::ZERO },
        namespaces: Arc::new([]),
        tls: Tls::default(),
        admission: WrittenAdmission::blank().finish(GatewayAuth::None),
    }
}

fn blank_timeouts() -> Timeouts {
    Timeouts {
        proxy_header: Duration::ZERO,
        handshake: Duration::ZERO,
        greeting: Duration::ZERO,
        authentication: Duration::ZERO,
        request: Duration::ZERO,
        name_lookup: Duration::ZERO,
        connect: Duration::ZERO,
        bind: Duration::ZERO,
        idle: Duration::ZERO,
        half_closed: Duration::ZERO,
        udp_idle: Duration::ZERO,
        fragments: Duration::ZERO,
        drain: Duration::ZERO,
    }
}
