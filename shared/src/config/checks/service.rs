//! Rules between the keys of the SOCKS5 service.

use super::{Check, Complaint, about, beyond_loopback, repeated};
use crate::config::draft::{Auth, Draft};
use crate::config::fault::FAULTS_MAX;
use crate::config::read::{listed, quote};
use crate::config::rules::{WrittenRule, no_such_group};
use crate::config::suggest;
use crate::config::yaml::Wrong;
use crate::config::{Action, Commands, HostFacts, Prefer, Protocols, Users, Via};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

const ACL: &str = "socks5.acl";
const PROXIES: &str = "socks5.upstream.proxies";

pub const CHECKS: &[Check] = &[
    Check { keys: &["socks5.listen", "socks5.protocols", "socks5.commands"], run: somebody_is_served },
    Check { keys: &[ACL, "socks5.auth"], run: users_of_rules_can_be_known },
    Check { keys: &[ACL, PROXIES], run: groups_of_rules_exist },
    Check { keys: &["socks5.upstream.default", PROXIES], run: default_group_exists },
    Check { keys: &[PROXIES], run: proxies_have_names_of_their_own },
    Check { keys: &[PROXIES], run: groups_have_a_share_to_give },
    Check { keys: &["socks5.logins.delay", "socks5.logins.delay_max"], run: delays_grow },
    Check {
        keys: &["socks5.udp.advertise"],
        run: |draft, _| {
            advertises_one_of_each_family("socks5.udp.advertise", &draft.config.socks5.udp.advertise)
        },
    },
    Check {
        keys: &["socks5.bind.advertise"],
        run: |draft, _| {
            advertises_one_of_each_family("socks5.bind.advertise", &draft.config.socks5.bind.advertise)
        },
    },
    Check { keys: &["socks5.egress.addresses"], run: sources_are_distinct },
    Check { keys: &["socks5.egress.addresses", "socks5.egress.prefer"], run: sources_can_be_used },
    Check {
        keys: &["socks5.listen", "socks5.tls.listen", "socks5.proxy_protocol.from"],
        run: not_everybody_is_believed,
    },
];

fn somebody_is_served(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let socks5 = &draft.config.socks5;
    if socks5.listen.is_empty() && socks5.tls.listen.is_empty() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let remedy = "name at least one, or set socks5.listen: [] to switch the service off";
    if socks5.protocols == Protocols::default() {
        complaints.push(about("socks5.protocols", format!("is empty, so nobody would be served: {remedy}")));
    }
    if socks5.commands == Commands::default() {
        complaints.push(about("socks5.commands", format!("is empty, so nothing would be served: {remedy}")));
    }
    complaints
}

/// Such a rule would never match, and what it was to deny would be allowed.
fn users_of_rules_can_be_known(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    if draft.auth == Auth::Password {
        return Vec::new();
    }
    let named = draft.rules.iter().enumerate().filter(|(_, written)| !written.rule.users.is_empty());
    let complaint = |(index, written): (usize, &WrittenRule)| {
        let message = "nobody is asked for a name: set socks5.auth: password, or remove it";
        (ACL, Wrong::at(written.users_span, message).below(&format!("[{index}].users")))
    };
    named.map(complaint).collect()
}

/// Nor would a rule for a name that nobody has: a slip of the hand must not switch it off in silence. Asked of the
/// users file, which is read after all other checks.
pub fn users_of_rules_exist(draft: &Draft, users: &Users) -> Vec<Complaint> {
    let known: HashSet<&str> = users.entries.iter().map(|user| &*user.name).collect();
    let named = draft.rules.iter().enumerate().flat_map(|(index, written)| {
        written.rule.users.iter().enumerate().map(move |(place, name)| (index, place, name, written))
    });
    let complaint = |(index, place, name, written): (usize, usize, &Arc<str>, &WrittenRule)| {
        let message = no_such_user(name, users);
        (ACL, Wrong::at(written.users_span, message).below(&format!("[{index}].users[{place}]")))
    };
    // Each costs a look at all names for the one that was meant.
    named.filter(|(_, _, name, _)| !known.contains(&***name)).take(FAULTS_MAX).map(complaint).collect()
}

fn no_such_user(name: &str, users: &Users) -> String {
    let remedy = match suggest::nearest(name, users.entries.iter().map(|user| &*user.name)) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => "add the user, or remove the name".to_owned(),
    };
    format!("the users file names nobody {}; {remedy}", quote(name))
}

fn groups_of_rules_exist(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let groups = draft.groups();
    let lost = draft.rules.iter().enumerate().filter_map(|(index, written)| {
        let Action::Allow { via: Some(Via::Group(group)) } = &written.rule.action else { return None };
        let message = no_such_group(group, &groups)?;
        Some((ACL, Wrong::at(written.via_span, message).below(&format!("[{index}].via"))))
    });
    lost.collect()
}

fn default_group_exists(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let Some(default) = &draft.config.socks5.upstream.default else { return Vec::new() };
    let message = no_such_group(default, &draft.groups());
    message.into_iter().map(|message| about("socks5.upstream.default", message)).collect()
}

fn proxies_have_names_of_their_own(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (index, written) in draft.proxies.iter().enumerate() {
        let first = draft.proxies.iter().position(|other| other.proxy.name == written.proxy.name);
        if let Some(first) = first.filter(|first| *first < index) {
            let message = format!("{PROXIES}[{first}] has this name too: choose another");
            complaints
                .push((PROXIES, Wrong::at(written.name_span, message).below(&format!("[{index}].name"))));
        }
    }
    complaints
}

fn groups_have_a_share_to_give(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let mut groups = draft.groups();
    groups.sort_unstable();
    groups.dedup();
    let of = |group: &std::sync::Arc<str>| {
        let group = group.clone();
        draft.proxies.iter().filter(move |written| written.proxy.group == group)
    };
    groups.retain(|group| of(group).all(|written| written.proxy.weight == 0));
    let complaint = |group| {
        let message = format!(
            "every proxy of the group {group:?} has weight 0, which is for those that wait: give one of them 1"
        );
        about(PROXIES, message)
    };
    groups.into_iter().map(complaint).collect()
}

fn delays_grow(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let logins = &draft.config.socks5.logins;
    if logins.delay <= logins.delay_max {
        return Vec::new();
    }
    let message = "is longer than socks5.logins.delay_max: lower it, or raise the other";
    vec![about("socks5.logins.delay", message)]
}

fn advertises_one_of_each_family(key: &'static str, addresses: &[IpAddr]) -> Vec<Complaint> {
    let of = |is_ipv4: bool| addresses.iter().filter(move |ip| ip.is_ipv4() == is_ipv4);
    let crowded = [of(true).collect::<Vec<_>>(), of(false).collect()].into_iter().filter(|ips| ips.len() > 1);
    let complaint = |ips: Vec<&IpAddr>| {
        about(key, format!("names {} of one family: a client is told one address, keep one", listed(ips)))
    };
    crowded.map(complaint).collect()
}

fn sources_are_distinct(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let twice = repeated(&draft.config.socks5.egress.addresses);
    if twice.is_empty() {
        return Vec::new();
    }
    vec![about("socks5.egress.addresses", format!("names {} more than once: keep one", listed(twice)))]
}

fn sources_can_be_used(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let egress = &draft.config.socks5.egress;
    let idle = |ip: &&IpAddr| match egress.prefer {
        Prefer::Ipv4Only => ip.is_ipv6(),
        Prefer::Ipv6Only => ip.is_ipv4(),
        Prefer::Ipv4 | Prefer::Ipv6 => false,
    };
    let idle: Vec<_> = egress.addresses.iter().filter(idle).collect();
    if idle.is_empty() {
        return Vec::new();
    }
    let remedy = "remove it, or let socks5.egress.prefer dial both families";
    vec![about("socks5.egress.addresses", format!("{} would never be used: {remedy}", listed(idle)))]
}

/// A PROXY protocol header is believed: whoever may send one is whoever it says.
fn not_everybody_is_believed(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let socks5 = &draft.config.socks5;
    let all: Vec<_> = socks5.proxy_protocol.from.iter().filter(|network| network.prefix_len() == 0).collect();
    let listeners = [&socks5.listen[..], &socks5.tls.listen].concat();
    if all.is_empty() || beyond_loopback(&listeners).is_empty() {
        return Vec::new();
    }
    let remedy = "name the networks of the load balancers alone";
    let message = format!(
        "{} lets everybody who reaches socks5.listen say who they are, past every rule, limit and ban: {remedy}",
        listed(all)
    );
    vec![about("socks5.proxy_protocol.from", message)]
}
