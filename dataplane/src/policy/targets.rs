//! Where a client may go: the class of an address, and the verdict on dialling it.
//!
//! Judged is the very address that is about to be dialled, after name resolution: what a name pointed to a
//! moment ago proves nothing (DNS rebinding). Only [`Targets::judge`] makes a [`Permit`], and only a permit
//! can be dialled.

use TargetClass::{LinkLocal, Loopback, Metadata, Multicast, Own, Private, Unspecified};
use ipnet::IpNet;
use ringway_shared::config::{Denied, TargetClass, TargetClasses};
use ringway_shared::reason::Reason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Network, prefix length and class; the first match wins, so the most specific stands first.
///
/// `Metadata` is cut out of the class around it: naming `link_local` (or `private`) does not open it, only
/// naming `metadata` does.
#[rustfmt::skip]
const IPV4_CLASSES: [(Ipv4Addr, u32, TargetClass); 17] = [
    (Ipv4Addr::new(169, 254, 169, 254), 32, Metadata),    // AWS, Azure, Google, Oracle and most others
    (Ipv4Addr::new(169, 254, 170, 2), 32, Metadata),      // AWS ECS task credentials
    (Ipv4Addr::new(169, 254, 170, 23), 32, Metadata),     // AWS EKS pod identity
    (Ipv4Addr::new(100, 100, 100, 200), 32, Metadata),    // Alibaba
    (Ipv4Addr::new(192, 0, 0, 192), 32, Metadata),        // Oracle, the older one
    (Ipv4Addr::new(0, 0, 0, 0), 8, Unspecified),          // RFC 1122 section 3.2.1.3; Linux dials it as loopback
    (Ipv4Addr::new(127, 0, 0, 0), 8, Loopback),           // RFC 1122 section 3.2.1.3
    (Ipv4Addr::new(169, 254, 0, 0), 16, LinkLocal),       // RFC 3927
    (Ipv4Addr::new(224, 0, 0, 0), 4, Multicast),          // RFC 5771
    (Ipv4Addr::new(255, 255, 255, 255), 32, Multicast),   // RFC 919: limited broadcast, one to many as well
    (Ipv4Addr::new(10, 0, 0, 0), 8, Private),             // RFC 1918
    (Ipv4Addr::new(172, 16, 0, 0), 12, Private),          // RFC 1918
    (Ipv4Addr::new(192, 168, 0, 0), 16, Private),         // RFC 1918
    // Not private by name, but routed inside networks only, so whoever answers there is an insider.
    (Ipv4Addr::new(100, 64, 0, 0), 10, Private),          // RFC 6598: behind a carrier's NAT; overlay networks
    (Ipv4Addr::new(192, 0, 0, 0), 24, Private),           // RFC 6890: DS-Lite and other protocol assignments
    (Ipv4Addr::new(198, 18, 0, 0), 15, Private),          // RFC 2544: benchmark networks; fake-IP resolvers
    (Ipv4Addr::new(240, 0, 0, 0), 4, Private),            // RFC 1112 section 4: reserved; some data centres use it
];

#[rustfmt::skip]
const IPV6_CLASSES: [(Ipv6Addr, u32, TargetClass); 11] = [
    (ipv6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254]), 128, Metadata),          // AWS
    (ipv6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23]), 128, Metadata),           // AWS EKS pod identity
    (ipv6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254]), 128, Metadata),          // Google
    (ipv6([0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe]), 128, Metadata),    // Oracle
    (Ipv6Addr::UNSPECIFIED, 128, Unspecified),                              // Linux dials it as loopback
    (Ipv6Addr::LOCALHOST, 128, Loopback),
    (ipv6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10, LinkLocal),                   // RFC 4291 section 2.5.6
    (ipv6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8, Multicast),                    // RFC 4291 section 2.7
    (ipv6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7, Private),                      // RFC 4193
    (ipv6([0xfec0, 0, 0, 0, 0, 0, 0, 0]), 10, Private),                     // RFC 3879: site-local, still routed
    // RFC 8215: an operator's own NAT64. Where in it an IPv4 address stands only the operator knows.
    (ipv6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]), 48, Private),
];

const fn ipv6([a, b, c, d, e, f, g, h]: [u16; 8]) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// The IPv4 address inside an IPv6 address, where there is one; otherwise the address itself.
///
/// Some router or kernel on the way may turn each of these into the IPv4 address it holds.
#[must_use]
pub fn unfold(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if v6.is_unspecified() || v6.is_loopback() {
        return ip;
    }
    let inner = match v6.segments() {
        // ::a.b.c.d (RFC 4291 section 2.5.5.1), ::ffff:a.b.c.d (section 2.5.5.2), ::ffff:0:a.b.c.d (RFC 2765)
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => (high, low),
        // NAT64, RFC 6052 section 2.1
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => (high, low),
        // 6to4, RFC 3056 section 2
        [0x2002, high, low, ..] => (high, low),
        _ => return ip,
    };
    IpAddr::from((u32::from(inner.0) << 16 | u32::from(inner.1)).to_be_bytes())
}

/// Whether an address lies in a network, whichever way either is written: `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
///
/// `ip` is [canonical](IpAddr::to_canonical). `::/0` means IPv6, and holds no IPv4 address.
#[must_use]
pub fn covers(network: &IpNet, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpNet::V6(network), IpAddr::V4(ip)) => {
            network.prefix_len() >= 96 && network.contains(&ip.to_ipv6_mapped())
        }
        _ => network.contains(&ip),
    }
}

/// The class of an address, an IPv4 address inside it unfolded. `None`: public.
#[must_use]
pub fn classify(ip: IpAddr) -> Option<TargetClass> {
    match unfold(ip) {
        IpAddr::V4(ip) => IPV4_CLASSES
            .iter()
            .find(|(network, prefix, _)| (ip.to_bits() ^ network.to_bits()) >> (32 - prefix) == 0)
            .map(|(.., class)| *class),
        IpAddr::V6(ip) => IPV6_CLASSES
            .iter()
            .find(|(network, prefix, _)| (ip.to_bits() ^ network.to_bits()) >> (128 - prefix) == 0)
            .map(|(.., class)| *class),
    }
}

/// What `socks5.allow_targets` and `socks5.deny_targets` say.
#[derive(Clone, Debug)]
pub struct Targets {
    allow: TargetClasses,
    denied: Denied,
}

/// What is known of an address before it is dialled.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub address: SocketAddr,
    /// It is one of ringway's own listeners.
    pub own: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allow(Permit),
    Deny(Denial),
}

/// Leave to dial one address. For a client's target nobody but [`Targets::judge`] can make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit(SocketAddr);

impl Permit {
    /// Leave to dial an upstream proxy: the operator named it, no client did, so no rule for clients holds.
    #[must_use]
    pub fn for_upstream(address: SocketAddr) -> Permit {
        Permit(unmapped(address))
    }

    /// The address to dial: an IPv4-mapped one as the IPv4 address it stands for.
    #[must_use]
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

/// Why not, and what the operator would have to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub reason: Reason,
    /// Names the key, for the access log. Not for the client.
    pub hint: Box<str>,
}

impl Targets {
    /// `allow` is what the configuration says once its default is worked out (`private` is in it while every
    /// SOCKS5 listener is loopback).
    #[must_use]
    pub fn new(allow: TargetClasses, denied: Denied) -> Self {
        Targets { allow, denied }
    }

    /// Denied networks first, then denied classes, then the classes that nobody allowed.
    #[must_use]
    pub fn judge(&self, facts: Facts) -> Verdict {
        let ip = facts.address.ip().to_canonical();
        // Both ways to write a network in `deny_targets` must bite: as IPv6, and as the IPv4 inside.
        let denied = |ip: IpAddr| self.denied.networks.iter().find(|network| covers(network, ip));
        if let Some(network) = denied(ip).or_else(|| denied(unfold(ip))) {
            return deny(format!("target network {network}: socks5.deny_targets names it"));
        }
        let classes = [classify(ip), facts.own.then_some(Own)];
        let mut classes = classes.into_iter().flatten();
        if let Some(class) = classes.clone().find(|class| self.denied.classes.contains(*class)) {
            return deny(format!("target class {}: socks5.deny_targets names it", class.label()));
        }
        match classes.find(|class| !self.allow.contains(*class)) {
            Some(class) => deny(format!("target class {}: name it in socks5.allow_targets", class.label())),
            None => Verdict::Allow(Permit(unmapped(facts.address))),
        }
    }
}

fn deny(hint: String) -> Verdict {
    Verdict::Deny(Denial { reason: Reason::DeniedTarget, hint: hint.into() })
}

/// `::ffff:a.b.c.d` means IPv4 by definition (RFC 4291 section 2.5.5.2); other embeddings are routed as IPv6.
fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some() => {
            SocketAddr::new(address.ip().to_canonical(), address.port())
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every way to write an IPv4 address as IPv6 that something on the way may undo.
    fn embeddings(v4: Ipv4Addr) -> [Ipv6Addr; 5] {
        let bits = u128::from(v4.to_bits());
        [
            v4.to_ipv6_mapped(),
            (0x0064_ff9b_u128 << 96 | bits).into(),
            (0x2002_u128 << 112 | bits << 80 | 0x1234).into(),
            (0xffff_u128 << 48 | bits).into(),
            bits.into(),
        ]
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn facts(ip: IpAddr) -> Facts {
        Facts { address: SocketAddr::new(ip, 80), own: false }
    }

    fn nothing_allowed() -> Targets {
        Targets::new(TargetClasses::default(), Denied::default())
    }

    fn allowing(classes: &[TargetClass]) -> Targets {
        Targets::new(set(classes), Denied::default())
    }

    fn set(classes: &[TargetClass]) -> TargetClasses {
        classes.iter().fold(TargetClasses::default(), |set, class| set.with(*class))
    }

    fn hint(verdict: Verdict) -> String {
        let Verdict::Deny(Denial { reason: Reason::DeniedTarget, hint }) = verdict else {
            panic!("expected a denial, found {verdict:?}")
        };
        hint.into()
    }

    #[test]
    fn every_address_has_the_class_of_its_most_specific_network() {
        #[rustfmt::skip]
        let table: &[(Option<TargetClass>, &[&str])] = &[
            (None, &["1.1.1.1", "11.0.0.0", "172.15.255.255", "172.32.0.0", "169.253.255.255", "169.255.0.0", "223.255.255.255",
                "100.63.255.255", "100.128.0.0", "192.0.1.0", "198.17.255.255", "198.20.0.0", "126.255.255.255", "128.0.0.0",
                "2606:4700::1111", "64:ff9c::7f00:1", "64:ff9b:2::", "fe00::", "::2:0:0:1"]),
            (Some(Metadata), &["169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"]),
            (Some(Unspecified), &["0.0.0.0", "0.0.0.1", "0.255.255.255", "::"]),
            (Some(Loopback), &["127.0.0.1", "127.255.255.255", "::1"]),
            (Some(LinkLocal), &["169.254.0.0", "169.254.169.253", "169.254.255.255", "fe80::1", "febf::1"]),
            (Some(Multicast), &["224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1"]),
            (Some(Private), &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.1", "100.64.0.0",
                "100.127.255.255", "192.0.0.1", "198.18.0.1", "198.19.255.255", "240.0.0.1", "255.255.255.254",
                "fc00::1", "fdff::1", "fd00:ec2::255", "fec0::1", "64:ff9b:1::1"]),
        ];
        for (class, addresses) in table {
            for address in *addresses {
                assert_eq!(classify(ip(address)), *class, "{address}");
            }
        }
    }

    #[test]
    fn unspecified_and_loopback_ipv6_are_not_taken_for_embedded_ipv4() {
        for address in ["::", "::1", "fe80::7f00:1", "64:ff9b:0:1::7f00:1", "::fffe:7f00:1"] {
            assert_eq!(unfold(ip(address)), ip(address), "{address}");
        }
    }

    #[test]
    fn a_public_address_is_allowed_and_each_class_only_when_named() {
        assert!(matches!(nothing_allowed().judge(facts(ip("1.1.1.1"))), Verdict::Allow(_)));
        let samples = [
            (Loopback, "127.0.0.1"),
            (Private, "10.1.2.3"),
            (LinkLocal, "fe80::1"),
            (Metadata, "169.254.169.254"),
            (Unspecified, "0.0.0.0"),
            (Multicast, "ff02::1"),
        ];
        for (class, address) in samples {
            let told = hint(nothing_allowed().judge(facts(ip(address))));
            assert_eq!(told, format!("target class {}: name it in socks5.allow_targets", class.label()));
            assert!(matches!(allowing(&[class]).judge(facts(ip(address))), Verdict::Allow(_)), "{address}");
        }
    }

    #[test]
    fn metadata_is_not_opened_by_the_classes_around_it() {
        let targets = allowing(&[LinkLocal, Private]);
        assert!(hint(targets.judge(facts(ip("169.254.169.254")))).contains("class metadata"));
        assert!(hint(targets.judge(facts(ip("fd00:ec2::254")))).contains("class metadata"));
        assert!(matches!(targets.judge(facts(ip("169.254.1.1"))), Verdict::Allow(_)));
    }

    #[test]
    fn an_own_listener_needs_both_its_class_and_own() {
        let own = |targets: Targets| targets.judge(Facts { own: true, ..facts(ip("127.0.0.1")) });
        assert!(hint(own(allowing(&[Own]))).contains("class loopback"));
        assert!(hint(own(allowing(&[Loopback]))).contains("class own"));
        assert!(matches!(own(allowing(&[Loopback, Own])), Verdict::Allow(_)));
    }

    #[test]
    fn denial_wins_over_allowance() {
        let denied = Denied { classes: set(&[Private]), networks: vec!["1.1.1.0/24".parse().unwrap()] };
        let targets = Targets::new(set(&[Private, Loopback]), denied);
        assert_eq!(
            hint(targets.judge(facts(ip("10.0.0.1")))),
            "target class private: socks5.deny_targets names it"
        );
        for address in ["1.1.1.1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"] {
            let told = hint(targets.judge(facts(ip(address))));
            assert_eq!(told, "target network 1.1.1.0/24: socks5.deny_targets names it", "{address}");
        }
        assert!(matches!(targets.judge(facts(ip("127.0.0.1"))), Verdict::Allow(_)));
    }

    #[test]
    fn a_denied_network_bites_in_every_spelling() {
        let denied = Denied { networks: vec!["::ffff:1.1.0.0/112".parse().unwrap()], ..Denied::default() };
        let targets = Targets::new(TargetClasses::default(), denied);
        for address in ["1.1.1.1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"] {
            assert!(hint(targets.judge(facts(ip(address)))).contains("deny_targets"), "{address}");
        }
        let denied = Denied { networks: vec!["::/0".parse().unwrap()], ..Denied::default() };
        let targets = Targets::new(TargetClasses::default(), denied);
        assert!(hint(targets.judge(facts(ip("2606:4700::1111")))).contains("::/0"));
        for address in ["1.1.1.1", "::ffff:1.1.1.1"] {
            assert!(matches!(targets.judge(facts(ip(address))), Verdict::Allow(_)), "{address}");
        }
    }

    #[test]
    fn an_ipv6_network_that_is_denied_is_denied_though_its_ipv4_is_public() {
        let denied = Denied { networks: vec!["64:ff9b::/96".parse().unwrap()], ..Denied::default() };
        let targets = Targets::new(TargetClasses::default(), denied);
        assert!(hint(targets.judge(facts(ip("64:ff9b::1.1.1.1")))).contains("64:ff9b::/96"));
        assert!(matches!(targets.judge(facts(ip("1.1.1.1"))), Verdict::Allow(_)));
    }

    #[test]
    fn an_ipv4_mapped_address_is_dialled_as_ipv4_and_no_other_embedding_is() {
        let dialled = |text: &str| match nothing_allowed().judge(facts(ip(text))) {
            Verdict::Allow(permit) => permit.address().ip(),
            Verdict::Deny(denial) => panic!("{text}: {denial:?}"),
        };
        assert_eq!(dialled("::ffff:1.1.1.1"), ip("1.1.1.1"));
        assert_eq!(dialled("64:ff9b::1.1.1.1"), ip("64:ff9b::1.1.1.1"));
        assert_eq!(dialled("2606:4700::1111"), ip("2606:4700::1111"));
    }

    proptest! {
        #[test]
        fn no_embedding_changes_what_an_ipv4_address_is(bits: u32, corner in 0..IPV4_CLASSES.len(), near in 0u32..3) {
            // Half of the samples lie at the edges of the classes' networks.
            for v4 in [Ipv4Addr::from(bits), (IPV4_CLASSES[corner].0.to_bits().wrapping_add(near).wrapping_sub(1)).into()] {
                let class = classify(v4.into());
                // The IPv4-compatible forms of 0.0.0.0 and 0.0.0.1 are IPv6's own :: and ::1.
                let embedded = embeddings(v4).map(IpAddr::V6).into_iter().filter(|e| *e != ip("::1"));
                for v6 in embedded {
                    prop_assert_eq!(classify(v6), class, "{} as {}", v4, v6);
                    let judged = matches!(nothing_allowed().judge(facts(v6)), Verdict::Allow(_));
                    prop_assert_eq!(judged, class.is_none(), "{} as {}", v4, v6);
                }
            }
        }
    }
}
