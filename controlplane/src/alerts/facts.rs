//! What is known of this second, and what rules are held against: from totals to rates and shares.
//!
//! Pure: the time is an argument. A measure that is not known (yet) has no samples at all, which neither fires nor resolves.

use super::windows::{Baseline, Totals, Window};
use ringway_shared::config::Measure;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Failures are no share of fewer ended connections than this.
const ENDED_MIN: f64 = 20.0;
/// Rates of what is rare.
const MINUTE: Duration = Duration::from_secs(60);
/// Rates of what is steady.
const SECONDS_10: Duration = Duration::from_secs(10);

/// This second, as it was seen. Totals only grow.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub connections: u64,
    /// Of the most there may be, 0 to 1.
    pub connections_share: f64,
    /// Connections that ended, and those of them that failed.
    pub ended: Option<(u64, u64)>,
    /// Both directions.
    pub traffic_bytes: u64,
    /// CPU time of the process.
    pub cpu: Option<Duration>,
    /// Of one CPU, 0 to 1.
    pub worker_busy: f64,
    pub memory_bytes: Option<u64>,
    pub memory_max_bytes: Option<u64>,
    /// Open, and how many may be.
    pub descriptors: Option<(u64, u64)>,
    /// Those that stall or died.
    pub stalled_workers: Vec<usize>,
    /// What each user has used of its quota, 0 to 1 and beyond.
    pub quotas: Vec<(Arc<str>, f64)>,
    pub upstreams_down: Vec<Arc<str>>,
    pub reload_failed: bool,
    /// Until the first certificate of each service ends; negative: it has.
    pub certificates_days: Vec<(&'static str, f64)>,
    pub loop_lag_p99: Option<Duration>,
    pub websocket_dropped: u64,
}

/// One value of a measure.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The label that tells it from others of its measure.
    pub label: Option<(&'static str, Arc<str>)>,
    pub value: f64,
    /// What people should know besides, e.g. which workers; empty: nothing.
    pub detail: String,
}

impl Sample {
    #[must_use]
    pub fn plain(value: f64) -> Sample {
        Sample { label: None, value, detail: String::new() }
    }
}

/// Turns seconds into samples; remembers what rates need.
#[derive(Default)]
pub struct Meters {
    window: Window,
    traffic: Baseline,
    /// As of the last second.
    traffic_change: Option<f64>,
    facts: Facts,
}

impl Meters {
    /// Takes in one second.
    pub fn take(&mut self, facts: Facts, now: Instant) {
        self.window.push(
            now,
            Totals {
                ended: facts.ended.map_or(0, |(ended, _)| ended),
                failed: facts.ended.map_or(0, |(_, failed)| failed),
                traffic_bytes: facts.traffic_bytes,
                cpu_us: facts.cpu.map_or(0, |cpu| cpu.as_micros() as u64),
                websocket_dropped: facts.websocket_dropped,
            },
        );
        if let Some(rate) = self.window.rate(SECONDS_10, |totals| totals.traffic_bytes) {
            self.traffic_change = self.traffic.take(rate, now);
        }
        self.facts = facts;
    }

    /// The samples of a measure; `None`: it is not known.
    #[must_use]
    pub fn samples(&self, of: Measure) -> Option<Vec<Sample>> {
        let facts = &self.facts;
        let each = |values: &[(Arc<str>, f64)]| {
            let sample = |(name, value): &(Arc<str>, f64)| Sample {
                label: of.subject().map(|label| (label, name.clone())),
                ..Sample::plain(*value)
            };
            Some(values.iter().map(sample).collect())
        };
        let value = match of {
            Measure::Connections => facts.connections as f64,
            Measure::ConnectionsShare => 100.0 * facts.connections_share,
            Measure::FailedPerSecond => {
                facts.ended?;
                self.window.rate(MINUTE, |totals| totals.failed)?
            }
            Measure::FailedShare => self.failed_share()?,
            Measure::TrafficChange => self.traffic_change?,
            Measure::CpuPercent => {
                facts.cpu?;
                self.window.rate(SECONDS_10, |totals| totals.cpu_us)? / 10_000.0
            }
            Measure::WorkerBusyShare => 100.0 * facts.worker_busy,
            Measure::MemoryBytes => facts.memory_bytes? as f64,
            Measure::MemoryShare => percent(facts.memory_bytes?, facts.memory_max_bytes?),
            Measure::DescriptorsShare => {
                let (open, most) = facts.descriptors?;
                percent(open, most)
            }
            Measure::StalledWorkers => {
                let workers = facts.stalled_workers.iter().map(ToString::to_string);
                return counted("worker", workers.collect());
            }
            Measure::QuotaShare => {
                let quotas: Vec<_> =
                    facts.quotas.iter().map(|(name, share)| (name.clone(), 100.0 * share)).collect();
                return each(&quotas);
            }
            Measure::UpstreamsDown => {
                return counted("upstream", facts.upstreams_down.iter().map(ToString::to_string).collect());
            }
            Measure::ConfigReloadFailed => f64::from(u8::from(facts.reload_failed)),
            Measure::CertificatesExpireDays => {
                let days = facts.certificates_days.iter().map(|(service, days)| ((*service).into(), *days));
                return each(&days.collect::<Vec<_>>());
            }
            Measure::LoopLagMs => facts.loop_lag_p99?.as_secs_f64() * 1000.0,
            Measure::WebsocketDroppedPerSecond => {
                self.window.rate(MINUTE, |totals| totals.websocket_dropped)?
            }
        };
        Some(vec![Sample::plain(value)])
    }

    fn failed_share(&self) -> Option<f64> {
        self.facts.ended?;
        let per_minute = |of: fn(&Totals) -> u64| Some(self.window.rate(MINUTE, of)? * 60.0);
        let (ended, failed) = (per_minute(|totals| totals.ended)?, per_minute(|totals| totals.failed)?);
        Some(if ended.round() < ENDED_MIN { 0.0 } else { 100.0 * failed / ended })
    }
}

/// How many there are, and which.
fn counted(what: &str, names: Vec<String>) -> Option<Vec<Sample>> {
    let detail = if names.is_empty() { String::new() } else { format!("{what} {}", names.join(", ")) };
    Some(vec![Sample { detail, ..Sample::plain(names.len() as f64) }])
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::config::MEASURES;

    fn value(meters: &Meters, of: Measure) -> Option<f64> {
        meters.samples(of).map(|samples| samples[0].value)
    }

    /// Lets so many seconds pass, `change` making each of the one before.
    fn pass(meters: &mut Meters, at: &mut Instant, seconds: u64, change: impl Fn(&mut Facts)) {
        for _ in 0..seconds {
            let mut facts = meters.facts.clone();
            change(&mut facts);
            *at += Duration::from_secs(1);
            meters.take(facts, *at);
        }
    }

    #[test]
    fn every_measure_has_a_value_once_all_is_known() {
        let (mut meters, mut at) = (Meters::default(), Instant::now());
        pass(&mut meters, &mut at, 700, |facts| {
            *facts = Facts {
                cpu: Some(facts.cpu.unwrap_or_default() + Duration::from_millis(500)),
                memory_bytes: Some(1),
                memory_max_bytes: Some(4),
                descriptors: Some((1, 2)),
                loop_lag_p99: Some(Duration::from_micros(1_500)),
                quotas: vec![("alice".into(), 0.5)],
                certificates_days: vec![("websocket", 13.0)],
                stalled_workers: vec![0, 3],
                connections_share: 0.25,
                ended: Some((1, 0)),
                ..facts.clone()
            }
        });
        for (measure, name, ..) in MEASURES {
            assert!(value(&meters, measure).is_some(), "{name}");
        }
        for (measure, wanted) in [
            (Measure::CpuPercent, 50.0),
            (Measure::MemoryShare, 25.0),
            (Measure::DescriptorsShare, 50.0),
            (Measure::QuotaShare, 50.0),
            (Measure::CertificatesExpireDays, 13.0),
            (Measure::LoopLagMs, 1.5),
            (Measure::StalledWorkers, 2.0),
            (Measure::ConnectionsShare, 25.0),
        ] {
            let found = value(&meters, measure).unwrap();
            assert!((found - wanted).abs() < 1e-6, "{}: {found}", measure.label());
        }
        let stalled = meters.samples(Measure::StalledWorkers).unwrap();
        assert_eq!(stalled[0].detail, "worker 0, 3");
    }

    #[test]
    fn failures_are_a_share_of_many_ended_connections_only() {
        let (mut meters, mut at) = (Meters::default(), Instant::now());
        meters.take(Facts { ended: Some((0, 0)), ..Facts::default() }, at);
        pass(&mut meters, &mut at, 60, |_| ());
        pass(&mut meters, &mut at, 1, |facts| facts.ended = Some((19, 19)));
        assert_eq!(value(&meters, Measure::FailedShare), Some(0.0));
        pass(&mut meters, &mut at, 1, |facts| facts.ended = Some((40, 20)));
        assert_eq!(value(&meters, Measure::FailedShare).map(f64::round), Some(50.0));
        let per_second = value(&meters, Measure::FailedPerSecond).unwrap();
        assert!((per_second - 20.0 / 60.0).abs() < 1e-9, "{per_second}");
        pass(&mut meters, &mut at, 61, |_| ());
        assert_eq!(value(&meters, Measure::FailedShare), Some(0.0), "a minute later it is forgotten");
    }

    #[test]
    fn what_a_minute_is_like_is_not_known_before_it_has_passed() {
        let (mut meters, mut at) = (Meters::default(), Instant::now());
        let calm = |facts: &mut Facts| facts.ended = Some((0, 0));
        let rates = [Measure::FailedPerSecond, Measure::FailedShare, Measure::WebsocketDroppedPerSecond];
        // The first of these seconds is the minute's beginning.
        for second in 0..=60 {
            assert_eq!(rates.map(|of| value(&meters, of)), [None; 3], "second {second}");
            pass(&mut meters, &mut at, 1, calm);
        }
        assert_eq!(rates.map(|of| value(&meters, of)), [Some(0.0); 3]);
    }

    #[test]
    fn traffic_is_held_against_its_own_level() {
        let (mut meters, mut at) = (Meters::default(), Instant::now());
        let mib = |facts: &mut Facts| facts.traffic_bytes += 1 << 20;
        pass(&mut meters, &mut at, 600, mib);
        assert_eq!(value(&meters, Measure::TrafficChange), None, "not known while it warms up");
        pass(&mut meters, &mut at, 30, mib);
        let steady = value(&meters, Measure::TrafficChange).unwrap();
        assert!(steady.abs() < 1.0, "{steady}");
        pass(&mut meters, &mut at, 15, |facts| facts.traffic_bytes += 5 << 20);
        let surge = value(&meters, Measure::TrafficChange).unwrap();
        assert!((300.0..=400.0).contains(&surge), "{surge}");
        pass(&mut meters, &mut at, 15, |_| ());
        let dry = value(&meters, Measure::TrafficChange).unwrap();
        assert!((-100.0..-90.0).contains(&dry), "{dry}");
        pass(&mut meters, &mut at, 3600, |_| ());
        let usual = value(&meters, Measure::TrafficChange).unwrap();
        assert!(usual.abs() < 1.0, "what lasts becomes usual: {usual}");
    }

    #[test]
    fn an_idle_host_has_no_change_of_traffic() {
        let (mut meters, mut at) = (Meters::default(), Instant::now());
        pass(&mut meters, &mut at, 620, |_| ());
        for bytes in [1_000, 60_000, 0, 50_000] {
            pass(&mut meters, &mut at, 20, |facts| facts.traffic_bytes += bytes);
            assert_eq!(value(&meters, Measure::TrafficChange), Some(0.0), "{bytes}");
        }
    }
}
