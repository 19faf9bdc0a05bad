//! `proxy_health`: what is well and what is not.

use super::Publisher;
use crate::calendar;
use crate::certificates::{ENDS_SOON, SHOWN_BY};
use crate::server::{sick_workers, verdict};
use ringway_shared::config::Severity;
use ringway_shared::upstream::{UpstreamResult, UpstreamState};
use serde_json::{Map, Value as Json, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How far back ends of connections are told; looked at every second.
const MINUTE: usize = 60;

/// What had ended for each reason at each of the last seconds.
#[derive(Default)]
pub struct LastMinute(VecDeque<Vec<u64>>);

impl LastMinute {
    /// How many have ended since a minute ago, or since the start if that is later, for the reasons that have come. `now`: of every reason,
    /// always in the same order.
    pub fn grown(&mut self, now: impl Iterator<Item = (&'static str, u64)>) -> Json {
        let (labels, counts): (Vec<_>, Vec<_>) = now.unzip();
        // What was before the first look has not ended in this minute, as far as anybody knows.
        let before = self.0.front().unwrap_or(&counts);
        let grown = labels
            .iter()
            .zip(counts.iter().zip(before))
            .map(|(label, (now, before))| (label, now.saturating_sub(*before)));
        let grown: Map<_, _> = grown
            .filter(|(_, grown)| *grown > 0)
            .map(|(label, grown)| ((*label).to_owned(), json!(grown)))
            .collect();
        self.0.push_back(counts);
        if self.0.len() > MINUTE {
            self.0.pop_front();
        }
        Json::Object(grown)
    }
}

impl Publisher {
    /// What is told. Call it once a second.
    pub(super) fn proxy_health(&self) -> Json {
        let sick = sick_workers(&self.state);
        let upstreams = self.workers.upstreams();
        let (certificates, alerts) = (self.certificates_told(), self.state.alerts.counts());
        let reasons = self.reasons(&sick, &upstreams);
        let status = match (verdict(&sick), self.state.is_draining(), reasons.is_empty()) {
            (Some(_), ..) => "stalled",
            (None, true, _) => "draining",
            (None, false, false) => "degraded",
            (None, false, true) => "ok",
        };
        let snapshot = self.state.snapshot();
        let closed = snapshot.closed.iter().map(|(reason, count)| (reason.label(), *count));
        json!({
            "status": status,
            "reasons": reasons,
            "stalled_workers": sick.iter().map(|row| row["worker"].clone()).collect::<Vec<_>>(),
            "draining": self.state.is_draining(),
            "listeners": self.listeners(),
            "upstreams": upstreams.iter().map(upstream).collect::<Vec<_>>(),
            "closed_last_minute": self.last_minute.borrow_mut().grown(closed),
            "configuration": self.configuration(),
            "certificates": certificates,
            "notices": self.state.facts.notices,
            "version": self.state.facts.version,
            "alerts": {"firing": alerts.firing(), "pending": alerts.pending()},
        })
    }

    /// Everything that is not as it should be, a sentence each.
    fn reasons(&self, sick: &[Json], upstreams: &[UpstreamState]) -> Vec<String> {
        let mut reasons = Vec::new();
        for row in sick {
            let (worker, state) = (&row["worker"], row["state"].as_str().unwrap_or_default());
            reasons.push(match state {
                "died" => format!("worker {worker} died"),
                _ => format!("worker {worker} has given no sign of life for {} ms", row["heartbeat_age_ms"]),
            });
        }
        if self.state.is_draining() {
            reasons.push("no new clients are taken: ringway is draining".to_owned());
        }
        for upstream in upstreams.iter().filter(|upstream| !upstream.up) {
            let failures = upstream.usage.failures.load(Relaxed);
            reasons.push(format!("upstream {} is out after {failures} failures in a row", upstream.name));
        }
        // Those that only inform are no fault.
        let grave = self.state.alerts.counts().firing[Severity::Warning as usize..].iter().sum::<u64>();
        match grave {
            0 => {}
            1 => reasons.push("an alert is firing".to_owned()),
            firing => reasons.push(format!("{firing} alerts are firing")),
        }
        if self.state.running.last_reload.borrow().as_ref().is_some_and(|last| !last.ok) {
            reasons.push("the last reload failed: the configuration before it is in force".to_owned());
        }
        for (name, ends) in self.ends_of_certificates() {
            let left = ends.checked_sub(since_1970());
            match left {
                None => reasons.push(format!("the certificate of {name} has expired")),
                Some(left) if left < ENDS_SOON => {
                    let days = left.as_secs() / (24 * 3600);
                    reasons.push(format!("the certificate of {name} expires in {days} days"));
                }
                Some(_) => {}
            }
        }
        reasons
    }

    /// Where clients come in, ports resolved.
    fn listeners(&self) -> Vec<Json> {
        let control = self.ports.addresses();
        let kinds: [(&str, bool, Vec<SocketAddr>); 6] = [
            ("socks5", false, self.workers.socks5_addresses()),
            ("socks5", true, self.workers.socks5_tls_addresses()),
            ("websocket", false, self.workers.websocket_addresses()),
            ("websocket", true, self.workers.websocket_tls_addresses()),
            ("control", false, control.http),
            ("control", true, control.https),
        ];
        let listener = |service: &str, tls: bool, address: String| json!({"service": service, "address": address, "tls": tls});
        let tcp = kinds.into_iter().flat_map(|(service, tls, addresses)| {
            addresses.into_iter().map(move |address| listener(service, tls, address.to_string()))
        });
        let unix = control.unix.map(|path| listener("control", false, path.display().to_string()));
        tcp.chain(unix).collect()
    }

    fn configuration(&self) -> Json {
        let running = &self.state.running;
        let current = running.current();
        let last = running.last_reload.borrow();
        let last =
            last.as_ref().map(|last| json!({"ok": last.ok, "at": moment(last.at), "message": last.message}));
        json!({
            "generation": current.number,
            "etag": current.tag,
            "loaded_at": moment(current.since),
            "last_reload": last,
        })
    }

    /// When the first certificate of each service ends, since 1970.
    fn ends_of_certificates(&self) -> Vec<(&'static str, Duration)> {
        let expiries = self.certificates.get().expiries;
        SHOWN_BY.iter().zip(expiries).filter_map(|(shown_by, ends)| Some((shown_by.label(), ends?))).collect()
    }

    fn certificates_told(&self) -> Vec<Json> {
        let ends = self.ends_of_certificates().into_iter();
        ends.map(|(name, ends)| json!({"name": name, "expires_at": calendar::moment(ends)})).collect()
    }
}

fn upstream(one: &UpstreamState) -> Json {
    let results =
        UpstreamResult::ALL.map(|result| (result.label().to_owned(), json!(one.usage.counted(result))));
    json!({
        "name": &*one.name,
        "healthy": one.up,
        "failures_in_a_row": one.usage.failures.load(Relaxed),
        "results": Json::Object(results.into_iter().collect()),
    })
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn moment(at: SystemTime) -> String {
    calendar::moment(at.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_is_told_for_a_minute() {
        let mut last = LastMinute::default();
        let mut at = |finished, idle| last.grown([("finished", finished), ("idle", idle)].into_iter());
        assert_eq!(at(7, 0), json!({}), "nobody knows when those ended");
        assert_eq!(at(9, 1), json!({"finished": 2, "idle": 1}));
        for _ in 2..60 {
            assert_eq!(at(9, 1), json!({"finished": 2, "idle": 1}));
        }
        assert_eq!(at(10, 1), json!({"finished": 3, "idle": 1}), "since the first look");
        assert_eq!(at(10, 1), json!({"finished": 1}), "what came next is over");
        assert_eq!(at(10, 1), json!({"finished": 1}));
    }
}
