//! The kernel's network settings.

use super::{Case, shipped};
use crate::doctor::finding::{Finding, Level};

/// The largest backlog of our listeners.
fn backlog_wanted(case: &Case) -> Option<u64> {
    let socks5 = case.has_socks5().then_some(case.config.socks5.limits.backlog);
    let websocket = case.has_gateway().then_some(case.config.websocket.backlog);
    socks5.into_iter().chain(websocket).max().map(u64::from)
}

pub fn backlog(case: &Case) -> Vec<Finding> {
    let Some(needed) = backlog_wanted(case) else { return Vec::new() };
    let why = "it caps the backlogs of the configuration: beyond it the kernel drops new connections of a \
        burst, and they try again a second later";
    case.at_least("backlog", "net.core.somaxconn", needed, Level::Warning, why).into_iter().collect()
}

/// `net.ipv4.tcp_max_syn_backlog` is not asked for: the kernel looks at it only where cookies are off
/// (tuning/README.md has the figures).
pub fn syn_cookies(case: &Case) -> Vec<Finding> {
    let key = "net.ipv4.tcp_syncookies";
    let listens = case.has_socks5() || case.has_gateway();
    let Some(found) = case.sysctl(key).filter(|_| listens) else { return Vec::new() };
    let why = "who sends connection requests and never answers fills a listener's backlog; with cookies the kernel \
        needs no room there for everybody else's, without them they may be kept out";
    let finding = Finding::new("syn_cookies", format!("{key} {found}"), "1", why);
    vec![if found == "0" { case.asks_for(finding, Level::Warning, key, "1".into()) } else { finding }]
}

/// First and last of the ports that outgoing sockets are given.
fn local_ports(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once(' ')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

pub fn port_range(case: &Case) -> Vec<Finding> {
    let key = "net.ipv4.ip_local_port_range";
    let Some((first, last)) = case.sysctl(key).and_then(local_ports).filter(|_| case.has_socks5()) else {
        return Vec::new();
    };
    let (Some(best), (connections, chosen)) = (shipped(key).and_then(local_ports), case.connections()) else {
        return Vec::new();
    };
    let sources = case.config.socks5.egress.addresses.len().max(1) as u64;
    let ports = |(first, last): (u16, u16)| u64::from(last.saturating_sub(first)) + 1;
    let found = ports((first, last));
    let wanted = connections.min(ports(best) * sources).div_ceil(sources);
    let why = "each connection to the same address and port takes one of these, for each egress address; \
        without one the client is answered no_resources";
    let finding = Finding::new(
        "port_range",
        format!("{first} to {last}: {found}"),
        format!("{wanted} or more for {connections} connections to one target"),
        why,
    );
    if found >= wanted {
        return vec![finding];
    }
    // Behind an upstream proxy all targets are one.
    let level =
        if chosen && !case.config.socks5.upstream.proxies.is_empty() { Level::Warning } else { Level::Note };
    vec![case.asks_for(finding, level, key, format!("{} {}", best.0.min(first), best.1.max(last)))]
}

pub fn port_reuse(case: &Case) -> Vec<Finding> {
    let key = "net.ipv4.tcp_tw_reuse";
    let Some(found) = case.sysctl(key).filter(|_| case.has_socks5()) else { return Vec::new() };
    let why = "a connection that has ended keeps its outgoing port from its target for a minute; with 1 the next one to \
        that target may have it after a second (timestamps tell the two apart), so that the port range bounds what is \
        open at once and not what comes in a minute";
    let finding = Finding::new("port_reuse", format!("{key} {found}"), "1", why);
    // Behind an upstream proxy all targets are one.
    let level = if case.config.socks5.upstream.proxies.is_empty() { Level::Note } else { Level::Warning };
    vec![if found == "1" { finding } else { case.asks_for(finding, level, key, "1".into()) }]
}

pub fn listen_ports(case: &Case) -> Vec<Finding> {
    let key = "net.ipv4.ip_local_reserved_ports";
    let range = case.sysctl("net.ipv4.ip_local_port_range").and_then(local_ports);
    let (Some((first, last)), Some(reserved)) = (range, case.sysctl(key)) else { return Vec::new() };
    let kept = |port: u16| {
        reserved.split(',').any(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            from.parse().is_ok_and(|from: u16| from <= port) && to.parse().is_ok_and(|to: u16| port <= to)
        })
    };
    let ours = case.host.addresses.iter().map(|listener| listener.address.port());
    let mut taken: Vec<u16> =
        ours.filter(|port| *port != 0 && (first..=last).contains(port) && !kept(*port)).collect();
    taken.sort_unstable();
    taken.dedup();
    let listed = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    let why = "a port that the kernel gives to outgoing connections may be in use when ringway wants to \
        listen on it";
    let wanted = "none that outgoing connections are given";
    if taken.is_empty() {
        return vec![Finding::new("listen_ports", "none", wanted, why)];
    }
    let before = if reserved.is_empty() { String::new() } else { format!("{reserved},") };
    let finding =
        Finding::new("listen_ports", format!("{} of {first} to {last}", listed(&taken)), wanted, why);
    vec![case.asks_for(finding, Level::Note, key, before + &listed(&taken))]
}

pub fn udp_buffers(case: &Case) -> Vec<Finding> {
    let needed = case.needs.udp_buffer_bytes;
    let why = "each UDP association asks for such buffers; smaller ones lose datagrams of a burst (2 ms of \
        a fast QUIC stream fill the kernel's default)";
    let sides = [("udp_receive_buffer", "net.core.rmem_max"), ("udp_send_buffer", "net.core.wmem_max")];
    let asked = sides.into_iter().filter(|_| needed > 0);
    asked.filter_map(|(check, key)| case.at_least(check, key, needed, Level::Warning, why)).collect()
}

pub fn fast_open(case: &Case) -> Vec<Finding> {
    let key = "net.ipv4.tcp_fastopen";
    let asked = case.config.socks5.egress.fast_open && case.has_socks5();
    let Some(found) = case.sysctl_number(key).filter(|_| asked) else { return Vec::new() };
    let why = "socks5.egress.fast_open sends a client's first bytes with the connection request, if the \
        kernel lets clients";
    let finding = Finding::new("fast_open", format!("{key} {found}"), "bit 1 set", why);
    vec![if found & 1 == 1 {
        finding
    } else {
        case.asks_for(finding, Level::Warning, key, (found | 1).to_string())
    }]
}

pub fn egress(case: &Case) -> Vec<Finding> {
    let why = "sockets towards targets leave by socks5.egress and the users' own addresses; what cannot be \
        used is refused at the start";
    let finding =
        |found: &str| Finding::new("egress", found, "addresses, interface and mark that can be used", why);
    case.host.egress_fault.iter().map(|fault| finding("unusable").amiss(Level::Failure, fault)).collect()
}
