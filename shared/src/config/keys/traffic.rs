//! Keys of what SOCKS5 connections are made of: names, bytes, datagrams, and the way out.

use super::Reload::{Live, NewConnections};
use super::{DAY, HOUR, Key, MILLISECOND_100, WEEK, key};
use crate::config::kind::Kind;
use crate::config::rules::{DIRECT, GROUP_BYTES_MAX, GROUP_CHARACTERS};
use crate::config::{Fragments, Prefer, ProxyVersion, UdpFilter};
use std::time::Duration;

const PIPE_SIZE_MIN: u64 = 64 << 10;
const PIPE_SIZE_MAX: u64 = 16 << 20;
/// Bytes of an interface's name (IFNAMSIZ less its NUL).
const INTERFACE_BYTES_MAX: usize = 15;

pub const KEYS: &[Key] = &[
    key(
        "socks5.dns.servers",
        "[]",
        Live,
        Kind::Addresses { default_port: Some(53), put: |d, list| d.config.socks5.dns.servers = list },
        "Name servers to ask. Empty: those of `/etc/resolv.conf`.",
    ),
    key(
        "socks5.dns.cache_entries",
        "4096",
        Live,
        Kind::Integer(0..=1 << 24, |d, n| d.config.socks5.dns.cache_entries = n),
        "Names kept in the cache. `0`: none.",
    ),
    key(
        "socks5.dns.ttl_max",
        "1h",
        Live,
        Kind::Duration(Duration::ZERO..=WEEK, |d, t| d.config.socks5.dns.ttl_max = t),
        "An answer is believed as long as it says, but no longer than this.",
    ),
    key(
        "socks5.dns.negative_ttl_max",
        "30s",
        Live,
        Kind::Duration(Duration::ZERO..=DAY, |d, t| d.config.socks5.dns.negative_ttl_max = t),
        "The same for the answer that there is no such name.",
    ),
    key(
        "socks5.relay.pipes_per_worker",
        "256",
        Live,
        Kind::Integer(0..=1 << 16, |d, n| d.config.socks5.relay.pipes_per_worker = n as usize),
        "Pipes a worker may lend to directions that splice. `0`: copy only. `fs.pipe-user-pages-soft` \
         bounds them as well.",
    ),
    key(
        "socks5.relay.pipe_size",
        "1MiB",
        Live,
        Kind::Bytes(PIPE_SIZE_MIN..=PIPE_SIZE_MAX, |d, n| d.config.socks5.relay.pipe_bytes = n as usize),
        "Wanted size of a pipe, a power of two. Without privileges the kernel caps it at \
         `fs.pipe-max-size`.",
    ),
    key(
        "socks5.udp.filter",
        "full_cone",
        NewConnections,
        Kind::Word(&[
            ("full_cone", |d| d.config.socks5.udp.filter = UdpFilter::FullCone),
            ("address", |d| d.config.socks5.udp.filter = UdpFilter::Address),
            ("address_port", |d| d.config.socks5.udp.filter = UdpFilter::AddressPort),
        ]),
        "Whose datagrams an association lets in: everybody's, or those from addresses (and ports) the client has sent to. A user's entry may say otherwise.",
    ),
    key(
        "socks5.udp.fragments",
        "reassemble",
        NewConnections,
        Kind::Word(&[
            ("reassemble", |d| d.config.socks5.udp.fragments = Fragments::Reassemble),
            ("drop", |d| d.config.socks5.udp.fragments = Fragments::Drop),
        ]),
        "What happens to datagrams that come in fragments (RFC 1928 section 7).",
    ),
    key(
        "socks5.udp.advertise",
        "[]",
        NewConnections,
        Kind::Ips(|d, list| d.config.socks5.udp.advertise = list),
        "The address told to clients instead of the socket's own, where they see this host behind another one (NAT, cloud): at most one of each family.",
    ),
    key(
        "socks5.udp.ports",
        "auto",
        NewConnections,
        Kind::Ports(|d, ports| d.config.socks5.udp.ports = ports),
        "Ports of the sockets that clients send to. `auto`: the kernel chooses.",
    ),
    key(
        "socks5.udp.honour_dst",
        "true",
        NewConnections,
        Kind::Bool(|d, yes| d.config.socks5.udp.honour_dst = yes),
        "Whether an address or port in the request, if it is not zero, restricts who may send (RFC 1928 section 6). `false` helps clients that name an address they have behind NAT.",
    ),
    key(
        "socks5.bind.advertise",
        "[]",
        NewConnections,
        Kind::Ips(|d, list| d.config.socks5.bind.advertise = list),
        "As `socks5.udp.advertise`.",
    ),
    key(
        "socks5.bind.ports",
        "auto",
        NewConnections,
        Kind::Ports(|d, ports| d.config.socks5.bind.ports = ports),
        "Ports to listen on for peers. `auto`: the kernel chooses.",
    ),
    key(
        "socks5.egress.addresses",
        "[]",
        NewConnections,
        Kind::Ips(|d, list| d.config.socks5.egress.addresses = list),
        "Source addresses towards targets and upstream proxies. One of the target's family is chosen by client and user, always the same; where there is none the kernel chooses. A user's entry may name others.",
    ),
    key(
        "socks5.egress.interface",
        r#""""#,
        NewConnections,
        Kind::OptionalText {
            bytes_max: INTERFACE_BYTES_MAX,
            allowed: (|c| c.is_ascii_graphic() && c != '/', "visible ASCII characters but /"),
            put: |d, name| d.config.socks5.egress.interface = name.map(Into::into),
        },
        "The interface to leave by (SO_BINDTODEVICE). `\"\"`: as the routes say.",
    ),
    key(
        "socks5.egress.mark",
        "0",
        NewConnections,
        Kind::Integer(0..=u32::MAX as u64, |d, n| d.config.socks5.egress.mark = n as u32),
        "The mark of outgoing sockets, for routing rules and firewalls (SO_MARK, needs CAP_NET_ADMIN). `0`: none.",
    ),
    key(
        "socks5.egress.prefer",
        "ipv6",
        NewConnections,
        Kind::Word(&[
            ("ipv6", |d| d.config.socks5.egress.prefer = Prefer::Ipv6),
            ("ipv4", |d| d.config.socks5.egress.prefer = Prefer::Ipv4),
            ("ipv6_only", |d| d.config.socks5.egress.prefer = Prefer::Ipv6Only),
            ("ipv4_only", |d| d.config.socks5.egress.prefer = Prefer::Ipv4Only),
        ]),
        "The family a name's addresses are tried in first; the other one joins the race after 250 ms (RFC 8305). `…_only`: the other one never.",
    ),
    key(
        "socks5.egress.fast_open",
        "false",
        NewConnections,
        Kind::Bool(|d, yes| d.config.socks5.egress.fast_open = yes),
        "TCP Fast Open towards targets (RFC 7413) where the client's first bytes came with its request.",
    ),
    key(
        "socks5.upstream.default",
        r#""""#,
        NewConnections,
        Kind::OptionalText {
            bytes_max: GROUP_BYTES_MAX,
            allowed: GROUP_CHARACTERS,
            put: |d, name| {
                d.config.socks5.upstream.default = name.filter(|name| name != DIRECT).map(Into::into)
            },
        },
        "The group of proxies that connections go through where no rule says otherwise. `\"\"` or `direct`: none.",
    ),
    key(
        "socks5.upstream.health_interval",
        "5s",
        Live,
        Kind::Duration(MILLISECOND_100..=HOUR, |d, t| d.config.socks5.upstream.health_interval = t),
        "How often each proxy is looked after.",
    ),
    key(
        "socks5.upstream.failures_max",
        "3",
        Live,
        Kind::Integer(1..=1000, |d, n| d.config.socks5.upstream.failures_max = n as u32),
        "So many failures in a row and a proxy is left alone until it answers again.",
    ),
    key(
        "socks5.upstream.proxies",
        "[]",
        NewConnections,
        Kind::Proxies(|d, proxies| d.proxies = proxies),
        "The upstream proxies, each of one group.",
    ),
    key(
        "socks5.proxy_protocol.from",
        "[]",
        NewConnections,
        Kind::Networks(|d, list| d.config.socks5.proxy_protocol.from = list),
        "Clients in these networks must begin with a PROXY protocol header (version 1 or 2), which is then believed: name load balancers alone.",
    ),
    key(
        "socks5.proxy_protocol.to",
        "[]",
        NewConnections,
        Kind::Destinations(|d, list| d.config.socks5.proxy_protocol.to = list),
        "Targets that are sent such a header.",
    ),
    key(
        "socks5.proxy_protocol.version",
        "v2",
        NewConnections,
        Kind::Word(&[
            ("v2", |d| d.config.socks5.proxy_protocol.version = ProxyVersion::V2),
            ("v1", |d| d.config.socks5.proxy_protocol.version = ProxyVersion::V1),
        ]),
        "The version that is sent.",
    ),
];
