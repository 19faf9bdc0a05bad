//! Which of a target's addresses are dialled, and in which order.

use crate::policy::targets::Permit;
use ringway_shared::config::Prefer;
use std::net::IpAddr;

/// The order to dial in: the families take turns, the preferred one first (RFC 8305 section 4), each family's
/// addresses as the name server gave them; before all of them `winner`, the one that answered last time.
/// Empty: `prefer` leaves none.
#[must_use]
pub fn arrange(permits: &[Permit], prefer: Prefer, winner: Option<IpAddr>) -> Vec<Permit> {
    let of = |ipv6: bool| {
        permits.iter().copied().filter(move |permit| {
            let ip = permit.address().ip();
            ip.is_ipv6() == ipv6 && serves(prefer, ip)
        })
    };
    let ipv6_leads = matches!(prefer, Prefer::Ipv6 | Prefer::Ipv6Only);
    let (mut leading, mut other) = (of(ipv6_leads), of(!ipv6_leads));
    let mut ordered = Vec::with_capacity(permits.len());
    loop {
        let turn = [leading.next(), other.next()];
        if turn == [None, None] {
            break;
        }
        ordered.extend(turn.into_iter().flatten());
    }
    let won = |permit: &Permit| Some(permit.address().ip()) == winner;
    if let Some(place) = ordered.iter().position(won) {
        ordered[..=place].rotate_right(1);
    }
    ordered
}

/// Whether an address of this family may be dialled at all.
#[must_use]
pub fn serves(prefer: Prefer, ip: IpAddr) -> bool {
    match prefer {
        Prefer::Ipv6 | Prefer::Ipv4 => true,
        Prefer::Ipv6Only => ip.is_ipv6(),
        Prefer::Ipv4Only => ip.is_ipv4(),
    }
}

/// What the operator should know when `prefer` left no address. For the access log.
#[must_use]
pub fn hint(prefer: Prefer) -> &'static str {
    match prefer {
        Prefer::Ipv6Only => "no IPv6 address: socks5.egress.prefer is ipv6_only",
        _ => "no IPv4 address: socks5.egress.prefer is ipv4_only",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::targets::{Facts, Targets, Verdict};
    use ringway_shared::config::{Denied, TargetClasses};

    fn permits(addresses: &str) -> Vec<Permit> {
        let targets = Targets::new(TargetClasses::default(), Denied::default());
        let permit = |text: &str| {
            let address = std::net::SocketAddr::new(text.parse().unwrap(), 443);
            match targets.judge(Facts { address, own: false }) {
                Verdict::Allow(permit) => permit,
                Verdict::Deny(denial) => panic!("{denial:?}"),
            }
        };
        addresses.split_whitespace().map(permit).collect()
    }

    fn arranged(addresses: &str, prefer: Prefer, winner: Option<&str>) -> String {
        let ordered = arrange(&permits(addresses), prefer, winner.map(|ip| ip.parse().unwrap()));
        let texts: Vec<_> = ordered.iter().map(|permit| permit.address().ip().to_string()).collect();
        texts.join(" ")
    }

    const MIXED: &str = "2a00::1 2a00::2 2a00::3 1.1.1.1 1.1.1.2";

    #[test]
    fn families_take_turns_and_the_preferred_one_leads() {
        assert_eq!(arranged(MIXED, Prefer::Ipv6, None), "2a00::1 1.1.1.1 2a00::2 1.1.1.2 2a00::3");
        assert_eq!(arranged(MIXED, Prefer::Ipv4, None), "1.1.1.1 2a00::1 1.1.1.2 2a00::2 2a00::3");
    }

    #[test]
    fn an_exclusive_family_leaves_the_other_out() {
        assert_eq!(arranged(MIXED, Prefer::Ipv6Only, None), "2a00::1 2a00::2 2a00::3");
        assert_eq!(arranged(MIXED, Prefer::Ipv4Only, None), "1.1.1.1 1.1.1.2");
        assert_eq!(arranged("2a00::1", Prefer::Ipv4Only, None), "");
    }

    #[test]
    fn the_last_winner_goes_first_if_it_is_still_among_the_answers() {
        assert_eq!(arranged(MIXED, Prefer::Ipv6, Some("1.1.1.2")), "1.1.1.2 2a00::1 1.1.1.1 2a00::2 2a00::3");
        assert_eq!(arranged(MIXED, Prefer::Ipv6, Some("1.1.1.9")), "2a00::1 1.1.1.1 2a00::2 1.1.1.2 2a00::3");
        assert_eq!(arranged(MIXED, Prefer::Ipv4Only, Some("2a00::1")), "1.1.1.1 1.1.1.2");
    }
}
