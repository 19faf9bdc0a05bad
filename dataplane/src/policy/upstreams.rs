//! Which upstream proxy of a group serves next, and which of them are fit to.
//!
//! Among those that are up it is smooth weighted round robin, as nginx does it: each gains its weight, the one with
//! the most is chosen and pays the sum of all. The sums are atomics that all workers share; two that choose at the
//! same moment may choose alike, but what is gained and paid stays even, and so do the shares.

use ringway_shared::config::{self, UpstreamNames, UpstreamProxy};
use ringway_shared::upstream::{UpstreamState, UpstreamUsage};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The upstream proxies of a configuration.
pub struct Upstreams {
    proxies: Box<[Upstream]>,
    /// So many failures in a row and a proxy is down.
    failures_max: u32,
}

/// One of them.
pub struct Upstream {
    pub proxy: UpstreamProxy,
    pub usage: Arc<UpstreamUsage>,
}

/// A choice among a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub index: usize,
    /// How many of the group are left to try, this one among them.
    pub left: u32,
    /// It is down, and so is all that is left.
    pub last_resort: bool,
}

/// Whether every proxy of the group looks names up itself.
#[must_use]
pub fn take_names(proxies: &[UpstreamProxy], group: &str) -> bool {
    let mut members = proxies.iter().filter(|proxy| *proxy.group == *group);
    members.all(|proxy| proxy.names == UpstreamNames::Remote)
}

impl Upstreams {
    /// `before`: those of the configuration until now, whose counts go on by name.
    #[must_use]
    pub fn new(config: &config::Upstream, before: Option<&Upstreams>) -> Upstreams {
        let upstream = |proxy: &UpstreamProxy| {
            let known =
                before.and_then(|before| before.proxies.iter().find(|old| old.proxy.name == proxy.name));
            let usage = known.map_or_else(Arc::default, |old| old.usage.clone());
            Upstream { proxy: proxy.clone(), usage }
        };
        Upstreams {
            proxies: config.proxies.iter().map(upstream).collect(),
            failures_max: config.failures_max.max(1),
        }
    }

    /// A proxy that is elsewhere than `before` is another server, which has failed at nothing yet.
    pub fn forgive_moved(&self, before: &Upstreams) {
        for Upstream { proxy, usage } in &self.proxies {
            let known = before.proxies.iter().find(|old| old.proxy.name == proxy.name);
            if known.is_some_and(|old| (&old.proxy.host, old.proxy.port) != (&proxy.host, proxy.port)) {
                usage.failures.store(0, Relaxed);
            }
        }
    }

    #[must_use]
    pub fn all(&self) -> &[Upstream] {
        &self.proxies
    }

    /// The next proxy of the group that is not among `tried`: one that is up, by weight; else one that is up and
    /// only stands by (weight 0); else one that is down, for it may be the check that errs.
    #[must_use]
    pub fn choose(&self, group: &str, tried: &[usize]) -> Option<Choice> {
        let left: Vec<usize> = (0..self.proxies.len())
            .filter(|index| *self.proxies[*index].proxy.group == *group && !tried.contains(index))
            .collect();
        let weight = |index: usize| self.proxies[index].proxy.weight;
        let those = |up: bool, serving: bool| {
            left.iter().copied().filter(move |index| {
                self.is_up(&self.proxies[*index]) == up && (weight(*index) > 0) == serving
            })
        };
        let up = self.in_turn(those(true, true)).or_else(|| self.in_turn(those(true, false)));
        let chosen = up.or_else(|| self.in_turn(left.iter().copied()))?;
        Some(Choice { index: chosen, left: left.len() as u32, last_resort: up.is_none() })
    }

    fn in_turn(&self, among: impl Iterator<Item = usize>) -> Option<usize> {
        let (mut sum, mut best) = (0, None);
        for index in among {
            let Upstream { proxy, usage } = &self.proxies[index];
            // Those that only stand by take equal turns.
            let gain = i64::from(proxy.weight.max(1));
            let due = usage.due.fetch_add(gain, Relaxed) + gain;
            sum += gain;
            if best.is_none_or(|(_, most)| due > most) {
                best = Some((index, due));
            }
        }
        let (index, _) = best?;
        self.proxies[index].usage.due.fetch_sub(sum, Relaxed);
        Some(index)
    }

    /// Notes that a proxy does its work. True: it was down.
    pub fn serves(&self, upstream: &Upstream) -> bool {
        upstream.usage.failures.swap(0, Relaxed) >= self.failures_max
    }

    /// Notes a failure of a proxy's own. True: it is down from now on.
    pub fn fails(&self, upstream: &Upstream) -> bool {
        upstream.usage.failures.fetch_add(1, Relaxed) + 1 == self.failures_max
    }

    fn is_up(&self, upstream: &Upstream) -> bool {
        upstream.usage.failures.load(Relaxed) < self.failures_max
    }

    #[must_use]
    pub fn states(&self) -> Vec<UpstreamState> {
        let state = |upstream: &Upstream| UpstreamState {
            name: upstream.proxy.name.clone(),
            up: self.is_up(upstream),
            usage: upstream.usage.clone(),
        };
        self.proxies.iter().map(state).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ringway_shared::config::{UpstreamNames, UpstreamProtocol};
    use ringway_shared::session::Host;
    use std::time::Duration;

    fn config(weights: &[u32]) -> config::Upstream {
        let proxy = |(index, weight): (usize, &u32)| UpstreamProxy {
            name: format!("p{index}").into(),
            group: "exits".into(),
            protocol: UpstreamProtocol::Socks5,
            host: Host::Address([192, 0, 2, index as u8].into()),
            port: 1080,
            login: None,
            weight: *weight,
            names: UpstreamNames::Local,
        };
        config::Upstream {
            proxies: weights.iter().enumerate().map(proxy).collect(),
            default: None,
            health_interval: Duration::from_secs(5),
            failures_max: 3,
        }
    }

    fn upstreams(weights: &[u32]) -> Upstreams {
        Upstreams::new(&config(weights), None)
    }

    fn next(upstreams: &Upstreams, tried: &[usize]) -> Option<usize> {
        upstreams.choose("exits", tried).map(|choice| choice.index)
    }

    fn take_down(upstreams: &Upstreams, index: usize) {
        let downs = (0..3).filter(|_| upstreams.fails(&upstreams.all()[index])).count();
        assert_eq!(downs, 1, "told once, by the failure that did it");
    }

    #[test]
    fn turns_go_by_weight_and_smoothly() {
        let upstreams = upstreams(&[5, 1, 1]);
        let turns: Vec<_> = (0..7).filter_map(|_| next(&upstreams, &[])).collect();
        assert_eq!(turns, [0, 0, 1, 0, 2, 0, 0], "as nginx's own example has it");
    }

    #[test]
    fn who_stands_by_serves_only_when_nobody_else_is_up() {
        let upstreams = upstreams(&[1, 0]);
        assert!((0..5).all(|_| next(&upstreams, &[]) == Some(0)));
        assert_eq!(next(&upstreams, &[0]), Some(1));
        take_down(&upstreams, 0);
        assert_eq!(upstreams.choose("exits", &[]), Some(Choice { index: 1, left: 2, last_resort: false }));
    }

    #[test]
    fn too_many_failures_in_a_row_take_a_proxy_out_until_it_serves_again() {
        let upstreams = upstreams(&[1, 1]);
        let flaky = &upstreams.all()[0];
        assert!(!upstreams.fails(flaky) && !upstreams.fails(flaky));
        assert!(!upstreams.serves(flaky), "it was not down");
        take_down(&upstreams, 0);
        assert!((0..5).all(|_| next(&upstreams, &[]) == Some(1)));
        assert!(!upstreams.states()[0].up);
        assert!(upstreams.serves(flaky));
        assert!((0..2).any(|_| next(&upstreams, &[]) == Some(0)));
    }

    #[test]
    fn where_all_are_down_each_is_tried_once_all_the_same() {
        let upstreams = upstreams(&[1, 1]);
        take_down(&upstreams, 0);
        take_down(&upstreams, 1);
        let first = upstreams.choose("exits", &[]).unwrap();
        assert!(first.last_resort);
        let second = upstreams.choose("exits", &[first.index]).unwrap();
        assert_ne!(first.index, second.index);
        assert_eq!(upstreams.choose("exits", &[first.index, second.index]), None);
        assert_eq!(upstreams.choose("nobody's", &[]), None);
    }

    #[test]
    fn a_reload_keeps_the_counts_by_name_and_forgives_a_proxy_that_moved() {
        let before = upstreams(&[1, 1]);
        take_down(&before, 0);
        take_down(&before, 1);
        let mut config = config(&[2, 1]);
        config.proxies[1].port = 1081;
        let after = Upstreams::new(&config, Some(&before));
        assert_eq!([after.states()[0].up, after.states()[1].up], [false, false], "only prepared");
        after.forgive_moved(&before);
        assert!(Arc::ptr_eq(&after.all()[0].usage, &before.all()[0].usage));
        assert_eq!([after.states()[0].up, after.states()[1].up], [false, true]);
    }

    proptest! {
        #[test]
        fn shares_are_exact_over_a_round(weights in prop::collection::vec(1u32..20, 1..8)) {
            let upstreams = upstreams(&weights);
            let mut turns = vec![0; weights.len()];
            for _ in 0..weights.iter().sum() {
                turns[next(&upstreams, &[]).unwrap()] += 1;
            }
            prop_assert_eq!(turns, weights);
        }
    }
}
