//! How much of everything: descriptors, pipes, memory, tracked connections.

use super::{Case, mib};
use crate::doctor::finding::{Finding, Level};
use crate::doctor::host::Capability;
use ringway_dataplane::connections_carried;

/// Descriptors below which `auto` is so small a number that somebody should have chosen it.
const DESCRIPTORS_FOR_AUTO: u64 = 65_536;
const PAGE_BYTES: u64 = 4096;
/// What ringway holds besides bounded queues: code, rings, scratch buffers.
const BASE_BYTES: u64 = 64 << 20;

pub fn descriptors(case: &Case) -> Vec<Finding> {
    let needed = case.needs.descriptors.unwrap_or(DESCRIPTORS_FOR_AUTO);
    let wanted = match case.needs.descriptors {
        Some(_) => format!("{needed} or more, for the configured limits"),
        None => format!("{needed} or more: limits that say auto follow it"),
    };
    let why = "a relayed connection holds 2 descriptors, a WebSocket 1; who finds none is refused (limit_connections). \
               ringway raises its soft limit to the hard one";
    let Some(found) = case.host.descriptors else {
        return vec![Finding::new("descriptors", "no limit", wanted, why)];
    };
    let carries = format!("{found}: {} relayed connections", connections_carried(found));
    let fix = || {
        let most = case.sysctl_number("fs.nr_open").unwrap_or(u64::MAX);
        let ceiling =
            format!(" (first fs.nr_open, which is {most}: tuning/apply.sh --set fs.nr_open={needed})");
        format!(
            "LimitNOFILE= in tuning/ringway.service, tuning/apply.sh for logins, --ulimit nofile=1048576 \
                for a container{}",
            if needed > most { ceiling } else { String::new() }
        )
    };
    vec![Finding::new("descriptors", carries, wanted, why).unless(found >= needed, Level::Warning, fix)]
}

pub fn relay_pipes(case: &Case) -> Vec<Finding> {
    let (needed, rights) = (case.needs.pipe_bytes, &case.host.rights);
    let key = "fs.pipe-user-pages-soft";
    let Some(pages) = case.sysctl_number(key).filter(|_| needed > 0) else { return Vec::new() };
    let each = case.config.socks5.relay.pipe_bytes as u64;
    let why = "bulk transfers move through pipes without being copied; those that get none are copied, \
        which costs CPU";
    let wanted = format!("{} for socks5.relay", mib(needed));
    if rights.may(Capability::SysResource) || rights.may(Capability::SysAdmin) {
        return vec![Finding::new("relay_pipes", "no limit (CAP_SYS_RESOURCE)", wanted, why)];
    }
    let found =
        if pages == 0 { "no limit".into() } else { format!("{key} {pages} ({})", mib(pages * PAGE_BYTES)) };
    let finding = Finding::new("relay_pipes", found, wanted, why);
    if pages != 0 && pages * PAGE_BYTES < needed {
        return vec![case.asks_for(finding, Level::Note, key, "0".into())];
    }
    let largest = "fs.pipe-max-size";
    match case.sysctl_number(largest).filter(|most| *most < each) {
        None => vec![finding],
        Some(most) => {
            let finding = Finding { found: format!("{largest} {most}"), ..finding };
            vec![case.asks_for(finding, Level::Note, largest, each.to_string())]
        }
    }
}

pub fn memory(case: &Case) -> Vec<Finding> {
    let Some(found) = case.host.memory_bytes else { return Vec::new() };
    let needed = case.needs.queue_bytes + BASE_BYTES;
    let why = "with every queue and history full ringway would be killed for want of memory: their limits \
        are no promise that there is so much";
    let wanted = format!("{} for full queues and history", mib(needed));
    let fix = || {
        "give the container or service more, or lower websocket.max_queued_size_per_worker, \
            websocket.max_history_size_per_worker or workers.count"
            .into()
    };
    vec![Finding::new("memory", mib(found), wanted, why).unless(found >= needed, Level::Note, fix)]
}

pub fn conntrack(case: &Case) -> Vec<Finding> {
    let (connections, chosen) = case.connections();
    if !case.has_socks5() {
        return Vec::new();
    }
    let level = if chosen { Level::Warning } else { Level::Note };
    let needed = connections.saturating_mul(2).min(u64::from(u32::MAX));
    let why = "connection tracking counts both halves of a relayed connection; when its table is full the \
        kernel drops packets of new ones";
    case.at_least("conntrack", "net.netfilter.nf_conntrack_max", needed, level, why).into_iter().collect()
}
