//! The checks: facts and a configuration to findings. Nothing here looks at the host itself.

mod cpus;
mod files;
mod limits;
mod network;
mod rings;
#[cfg(test)]
mod tests;

use super::finding::{Finding, Level};
use super::host::Host;
use ringway_dataplane::{Needs, connections_carried};
use ringway_shared::config::Config;

/// What is judged.
pub struct Case<'a> {
    pub host: &'a Host,
    pub config: &'a Config,
    pub needs: Needs,
}

/// Looks at one thing. Nothing to tell: it does not matter here, or the host does not say.
type Check = fn(&Case) -> Vec<Finding>;

/// In the order they are told.
const CHECKS: &[Check] = &[
    rings::kernel,
    rings::io_uring,
    rings::locked_memory,
    limits::descriptors,
    limits::relay_pipes,
    limits::memory,
    limits::conntrack,
    network::backlog,
    network::syn_cookies,
    network::port_range,
    network::port_reuse,
    network::listen_ports,
    network::udp_buffers,
    network::fast_open,
    network::egress,
    cpus::workers,
    cpus::quota,
    cpus::pinning,
    cpus::clock,
    cpus::huge_pages,
    files::addresses,
    files::writable,
    files::certificates,
    files::time_zone,
];

/// What all checks find.
#[must_use]
pub fn all(case: &Case) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check(case)).collect()
}

/// The sysctls that tuning/apply.sh sets: doctor asks for no less, and for more only where a configuration does.
const SHIPPED: &str = include_str!("../../../tuning/90-ringway.conf");

/// What the shipped file sets a sysctl to.
fn shipped(key: &str) -> Option<&'static str> {
    SHIPPED.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}

impl Case<'_> {
    fn sysctl(&self, key: &str) -> Option<&str> {
        self.host.sysctls.get(key).map(String::as_str)
    }

    fn sysctl_number(&self, key: &str) -> Option<u64> {
        self.sysctl(key)?.parse().ok()
    }

    /// Asks for a sysctl, in a finding whose fault it is. What the shipped file has is set by tuning/apply.sh alone.
    fn asks_for(&self, finding: Finding, level: Level, key: &'static str, value: String) -> Finding {
        let applied = if shipped(key) == Some(&*value) {
            "tuning/apply.sh".to_owned()
        } else {
            format!("tuning/apply.sh --set '{key}={value}'")
        };
        let mut fix = format!("{applied}, or until the next boot: sysctl -w '{key}={value}'");
        if let (Some(container), true) = (self.host.container, key.starts_with("net.")) {
            fix += &format!(
                "; in {container} the container has its own: there set it where it is started (--sysctl, or \
                    securityContext.sysctls)"
            );
        } else if let Some(container) = self.host.container {
            fix += &format!("; outside of {container}, on the host");
        }
        Finding { sysctl: Some((key, value)), ..finding.amiss(level, fix) }
    }

    /// A sysctl that must be at least so much. `None`: this kernel does not have it.
    fn at_least(
        &self,
        check: &'static str,
        key: &'static str,
        needed: u64,
        level: Level,
        why: &'static str,
    ) -> Option<Finding> {
        let found = self.sysctl_number(key)?;
        let finding = Finding::new(check, format!("{key} {found}"), format!("{needed} or more"), why);
        if found >= needed {
            return Some(finding);
        }
        let shipped = shipped(key).and_then(|value| value.parse().ok()).unwrap_or(0);
        Some(self.asks_for(finding, level, key, needed.max(shipped).to_string()))
    }

    /// Relayed connections that there may be, and whether the configuration says how many.
    fn connections(&self) -> (u64, bool) {
        match self.config.socks5.limits.connections {
            Some(most) => (most as u64, true),
            None => (self.host.descriptors.map_or(u64::MAX, connections_carried), false),
        }
    }

    fn has_socks5(&self) -> bool {
        !(self.config.socks5.listen.is_empty() && self.config.socks5.tls.listen.is_empty())
    }

    fn has_gateway(&self) -> bool {
        !(self.config.websocket.listen.is_empty() && self.config.websocket.tls.listen.is_empty())
    }
}

/// Bytes as people say them.
fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
