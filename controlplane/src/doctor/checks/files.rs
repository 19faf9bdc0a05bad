//! Addresses, files and certificates.

use super::Case;
use crate::certificates::Condition;
use crate::doctor::finding::{Finding, Level};
use crate::doctor::host::{Address, Held};
use ringway_shared::config::Days;

pub fn addresses(case: &Case) -> Vec<Finding> {
    case.host.addresses.iter().map(address).collect()
}

fn address(listener: &Address) -> Finding {
    let Address { key, address, held } = listener;
    let why = "every listener must be bound, or ringway does not start";
    let finding = |found: String| Finding::new("listen", format!("{key} {address}: {found}"), "free", why);
    match held {
        Held::Free => finding("free".into()),
        Held::By { name: Some(name), pid } if name.starts_with("ringway") => {
            finding(format!("held by a running {name}, process {pid}"))
        }
        Held::By { name: Some(name), pid } => finding(format!("held by {name}, process {pid}"))
            .amiss(Level::Failure, format!("stop process {pid}, or choose another port for {key}")),
        Held::By { name: None, .. } => finding("held by another process".into()).amiss(
            Level::Failure,
            format!(
                "`ss -ltnp` as root names it: stop it, or choose another port \
                for {key}"
            ),
        ),
        Held::Refused { error, forbidden: true } => finding(error.clone()).amiss(
            Level::Failure,
            "ports below 1024 need CAP_NET_BIND_SERVICE (tuning/ringway.service gives it) or a lower \
                net.ipv4.ip_unprivileged_port_start",
        ),
        Held::Refused { error, forbidden: false } => finding(error.clone()).amiss(
            Level::Failure,
            format!(
                "{key}: choose an address that an \
                interface of this host has"
            ),
        ),
    }
}

pub fn writable(case: &Case) -> Vec<Finding> {
    let findings = case.host.files.iter().map(|file| {
        let why = "it is opened at the start, and written while ringway runs";
        let found = file.fault.as_deref().unwrap_or("can be written");
        let finding = Finding::new(
            "files",
            format!("{} {}: {found}", file.key, file.path.display()),
            "can \
            be written",
            why,
        );
        let fix = || {
            format!(
                "let ringway's user write there, or set {} to a path where it may (under \
            systemd: LogsDirectory=, StateDirectory=)",
                file.key
            )
        };
        finding.unless(file.fault.is_none(), Level::Failure, fix)
    });
    findings.collect()
}

pub fn certificates(case: &Case) -> Vec<Finding> {
    let why = "clients refuse a certificate outside of its time";
    let (socks5, websocket, control) = (&case.config.socks5, &case.config.websocket, &case.config.control);
    let listeners = [("socks5", &socks5.tls), ("websocket", &websocket.tls), ("control", &control.tls.tls)];
    let all =
        listeners.into_iter().flat_map(|(name, tls)| tls.certificates.iter().map(move |one| (name, one)));
    let findings = all.map(|(listener, certificate)| {
        let condition = Condition::of(certificate, case.host.now);
        let file = certificate.files.certificate.display();
        let found = format!("{listener} {file}: {condition}");
        let finding = Finding::new("certificates", found, "valid for two weeks or more", why);
        let level = match condition {
            Condition::Good { .. } => Level::Ok,
            Condition::EndsSoon { .. } => Level::Warning,
            Condition::Ended { .. } | Condition::NotYet { .. } => Level::Failure,
        };
        finding.unless(level == Level::Ok, level, || {
            "renew it: ringway shows the new one without a restart".into()
        })
    });
    findings.collect()
}

pub fn time_zone(case: &Case) -> Vec<Finding> {
    let users = case.config.socks5.users.iter().flat_map(|users| &users.entries);
    let rules = case.config.socks5.acl.iter().chain(users.flat_map(|user| user.acl.iter()));
    if !rules.into_iter().any(|rule| rule.hours.is_some() || rule.days != Days::ALL) {
        return Vec::new();
    }
    let why = "rules with days or hours go by local time; without a zone that is UTC";
    let found = case.host.time_zone.as_deref().unwrap_or("no zone file");
    let fix = || "install tzdata and set TZ or /etc/localtime; a container needs both inside".into();
    vec![Finding::new("time_zone", found, "a zone", why).unless(
        case.host.time_zone.is_some(),
        Level::Warning,
        fix,
    )]
}
