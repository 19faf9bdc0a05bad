//! What single values cannot tell: rules between keys, and between keys and this host.
//!
//! A rule is left out while one of its keys is at fault already: its verdict would mislead. Those about what the
//! SOCKS5 service does for whom stand in `service`, those about who may come to the gateway in `admission`, those about TLS in `tls`, those about the control port in `control`, those about what is kept of traffic in `history`.

mod admission;
mod control;
mod history;
mod service;
mod tls;

use super::draft::{Auth, Draft};
use super::form::Form;
use super::place::Span;
use super::read::listed;
use super::yaml::Wrong;
use super::{HostFacts, Users};
use std::net::SocketAddr;
use std::time::Duration;

/// A key and what is wrong with its value, or with something in it.
type Complaint = (&'static str, Wrong);

struct Check {
    keys: &'static [&'static str],
    run: fn(&Draft, &HostFacts) -> Vec<Complaint>,
}

const CHECKS: &[Check] = &[
    Check { keys: &["workers.count", "workers.cpus"], run: one_cpu_each },
    Check { keys: &["workers.cpus"], run: cpus_are_distinct },
    Check { keys: &["workers.cpus"], run: cpus_are_allowed },
    Check { keys: &["workers.stalled_after", "workers.wedged_after"], run: stalled_before_wedged },
    Check { keys: LISTENERS, run: listeners_are_distinct },
    Check {
        keys: &["socks5.listen", "socks5.tls.listen", "socks5.auth", "socks5.open_proxy"],
        run: proxy_is_not_open_by_chance,
    },
    Check { keys: &["socks5.relay.pipe_size"], run: pipe_size_is_a_power_of_two },
];

const LISTENERS: &[&str] = &[
    "socks5.listen",
    "socks5.tls.listen",
    "websocket.listen",
    "websocket.tls.listen",
    "control.listen",
    "control.tls.listen",
];

/// Runs every check that can be run.
pub fn run(form: &mut Form, host: &HostFacts) {
    let complaints: Vec<Complaint> = CHECKS
        .iter()
        .chain(service::CHECKS)
        .chain(admission::CHECKS)
        .chain(tls::CHECKS)
        .chain(control::CHECKS)
        .chain(history::CHECKS)
        .filter(|check| !check.keys.iter().any(|key| form.faults.touch(key)))
        .flat_map(|check| (check.run)(&form.draft, host))
        .collect();
    for (key, wrong) in complaints {
        form.fault_at_key(key, wrong);
    }
}

/// The check that can be run once the users file has been read as well.
pub fn run_with_users(form: &mut Form, users: &Users) {
    if form.faults.touch("socks5.acl") {
        return;
    }
    for (key, wrong) in service::users_of_rules_exist(&form.draft, users) {
        form.fault_at_key(key, wrong);
    }
}

/// A complaint of a key's whole value.
fn about(key: &'static str, message: impl Into<String>) -> Complaint {
    (key, Wrong::at(Span::default(), message))
}

fn one_cpu_each(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let cpus = draft.config.workers.cpus.len();
    match draft.workers_count {
        Some(count) if cpus > 0 && cpus != count => {
            let remedy =
                format!("name {count}, set workers.count to {cpus} or auto, or leave the list empty");
            vec![about("workers.cpus", format!("names {cpus} CPUs for {count} workers: {remedy}"))]
        }
        _ => Vec::new(),
    }
}

fn cpus_are_distinct(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let twice = repeated(&draft.config.workers.cpus);
    if twice.is_empty() {
        return Vec::new();
    }
    vec![about(
        "workers.cpus",
        format!("names CPU {} more than once: give each worker its own", listed(twice)),
    )]
}

fn cpus_are_allowed(draft: &Draft, host: &HostFacts) -> Vec<Complaint> {
    let allowed = &host.cpus_allowed;
    let strangers: Vec<_> = draft.config.workers.cpus.iter().filter(|cpu| !allowed.contains(cpu)).collect();
    if strangers.is_empty() || allowed.is_empty() {
        return Vec::new();
    }
    let (strangers, allowed) = (listed(strangers), listed(allowed));
    vec![about("workers.cpus", format!("this process may not use CPU {strangers}: choose among {allowed}"))]
}

fn stalled_before_wedged(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let workers = &draft.config.workers;
    if workers.wedged_after == Duration::ZERO || workers.stalled_after < workers.wedged_after {
        return Vec::new();
    }
    vec![about(
        "workers.wedged_after",
        "must be longer than workers.stalled_after: raise it, or write 0s for never",
    )]
}

fn listeners_are_distinct(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let config = &draft.config;
    let lists = config.listen_addresses();
    let mut complaints = Vec::new();
    for (index, (key, list)) in lists.into_iter().enumerate() {
        let twice: Vec<_> = repeated(list).into_iter().filter(|address| address.port() != 0).collect();
        if !twice.is_empty() {
            complaints.push(about(key, format!("names {} more than once: keep one", listed(twice))));
        }
        for (other, taken) in &lists[..index] {
            let shared: Vec<_> =
                list.iter().filter(|address| address.port() != 0 && taken.contains(address)).collect();
            if !shared.is_empty() {
                let message = format!("{} is in {other} as well: choose another port", listed(shared));
                complaints.push(about(key, message));
            }
        }
    }
    complaints
}

fn proxy_is_not_open_by_chance(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    if draft.auth == Auth::Password || draft.socks5_open_proxy {
        return Vec::new();
    }
    let socks5 = &draft.config.socks5;
    // TLS says who the server is, not who the client is.
    let lists = [("socks5.listen", &socks5.listen), ("socks5.tls.listen", &socks5.tls.listen)];
    let complaint = |(key, list): (&'static str, &Vec<SocketAddr>)| {
        let exposed = beyond_loopback(list);
        let remedy =
            "set socks5.auth: password, or, to serve anybody who reaches it, socks5.open_proxy: true";
        let message = format!(
            "{} is not loopback and nobody would be asked for a password: {remedy}",
            listed(&exposed)
        );
        (!exposed.is_empty()).then(|| about(key, message))
    };
    lists.into_iter().filter_map(complaint).collect()
}

fn pipe_size_is_a_power_of_two(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let bytes = draft.config.socks5.relay.pipe_bytes;
    if bytes.is_power_of_two() {
        return Vec::new();
    }
    let shown = |bytes: usize| super::units::show_bytes(bytes as u64);
    let (below, above) = (shown(bytes.next_power_of_two() / 2), shown(bytes.next_power_of_two()));
    let message = format!("{} is not a power of two: write {below} or {above}", shown(bytes));
    vec![about("socks5.relay.pipe_size", message)]
}

fn beyond_loopback(list: &[SocketAddr]) -> Vec<&SocketAddr> {
    list.iter().filter(|address| !address.ip().to_canonical().is_loopback()).collect()
}

/// Items that stand in the list before already, each once.
fn repeated<T: PartialEq>(items: &[T]) -> Vec<&T> {
    let mut twice = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if items[..index].contains(item) && !twice.contains(&item) {
            twice.push(item);
        }
    }
    twice
}
