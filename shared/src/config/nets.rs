//! Addresses, networks, names and ports: from a node to a typed value.

use super::read::{Read, listed, quote, scalar, wrong};
use super::yaml::Node;
use super::{Destination, TargetClass, suggest};
use crate::session::Host;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// Bytes of a domain, and of one label of it (RFC 1035 section 2.3.4).
const DOMAIN_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A network or a class of targets, as `socks5.deny_targets` names them.
pub enum Target {
    Class(TargetClass),
    Network(IpNet),
}

/// An IP address with a port; without one where `default_port` fills it in.
pub fn address(node: &Node, default_port: Option<u16>) -> Read<SocketAddr> {
    let text = scalar(node, "an address")?;
    let bare = text.parse::<IpAddr>().ok();
    match (text.parse::<SocketAddr>(), bare, default_port) {
        (Ok(address), ..) if address.port() == 0 && default_port.is_some() => {
            wrong(node.span, format!("{}: port 0 cannot be asked", quote(text)))
        }
        (Ok(address), ..) => Ok(address),
        (_, Some(ip), Some(port)) => Ok(SocketAddr::new(ip, port)),
        (_, Some(IpAddr::V4(ip)), None) => {
            wrong(node.span, format!("{} has no port: write {ip}:PORT", quote(text)))
        }
        (_, Some(IpAddr::V6(ip)), None) => {
            wrong(node.span, format!("{} has no port: write [{ip}]:PORT", quote(text)))
        }
        (_, None, Some(_)) => {
            wrong(node.span, format!("{} is not an IP address: a name cannot stand here", quote(text)))
        }
        (_, None, None) => {
            let remedy = "is not an IP address with a port: write for example 127.0.0.1:1080 or [::1]:1080";
            wrong(node.span, format!("{} {remedy}", quote(text)))
        }
    }
}

pub fn class(node: &Node) -> Read<TargetClass> {
    let text = scalar(node, "a target class")?;
    if let Some(class) = class_named(text) {
        return Ok(class);
    }
    let names = || TargetClass::ALL.iter().map(|class| class.label());
    let remedy = match network_of(text) {
        Ok(_) => "; networks can be denied by socks5.deny_targets, not allowed".to_owned(),
        Err(_) => suggest::sentence(text, names()),
    };
    wrong(node.span, format!("{} is not a target class ({}){remedy}", quote(text), listed(names())))
}

pub fn target(node: &Node) -> Read<Target> {
    let text = scalar(node, "a target class or a network")?;
    if let Some(class) = class_named(text) {
        return Ok(Target::Class(class));
    }
    network_of(text).map(Target::Network).or_else(|why| {
        let names = TargetClass::ALL.iter().map(|class| class.label());
        let remedy = why.unwrap_or_else(|| {
            let meant = suggest::sentence(text, names.clone());
            format!("is neither a network such as 10.0.0.0/8 nor a target class ({}){meant}", listed(names))
        });
        wrong(node.span, format!("{} {remedy}", quote(text)))
    })
}

/// The address of an interface: a source, or what is told to clients.
pub fn unicast(node: &Node) -> Read<IpAddr> {
    let text = scalar(node, "an IP address")?;
    let remedy = match text.parse::<IpAddr>() {
        Err(_) => "is not an IP address: write for example 192.0.2.1 or 2001:db8::1".to_owned(),
        Ok(ip) if ip.to_canonical() != ip => {
            format!("is an IPv4 address in IPv6 clothes: write {}", ip.to_canonical())
        }
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
            "is nobody's address: write one that this host, or the way to it, has".to_owned()
        }
        Ok(ip) => return Ok(ip),
    };
    wrong(node.span, format!("{} {remedy}", quote(text)))
}

pub fn network(node: &Node) -> Read<IpNet> {
    let text = scalar(node, "a network")?;
    network_of(text).or_else(|why| {
        let remedy = why.unwrap_or_else(|| "is not a network: write for example 10.0.0.0/8".to_owned());
        wrong(node.span, format!("{} {remedy}", quote(text)))
    })
}

/// A network, or a domain with all below it.
pub fn destination(node: &Node) -> Read<Destination> {
    let text = scalar(node, "a network or a domain")?;
    let remedy = match network_of(text) {
        Ok(network) => return Ok(Destination::Network(network)),
        Err(Some(remedy)) => remedy,
        Err(None) if class_named(text).is_some() => {
            "is a target class: those stand in socks5.allow_targets and socks5.deny_targets alone".to_owned()
        }
        Err(None) => match domain_of(text) {
            Ok(domain) => return Ok(Destination::Domain(domain.into())),
            Err(remedy) => remedy,
        },
    };
    wrong(node.span, format!("{} {remedy}", quote(text)))
}

/// A host with a port: `192.0.2.1:1080`, `[2001:db8::1]:1080`, `proxy.example.org:1080`.
pub fn host_and_port(node: &Node) -> Read<(Host, u16)> {
    let text = scalar(node, "a host and a port")?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            0 => wrong(node.span, format!("{}: port 0 cannot be asked", quote(text))),
            port => Ok((Host::Address(address.ip().to_canonical()), port)),
        };
    }
    let (name, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let remedy = match (domain_of(name), port.parse::<u16>()) {
        (Ok(name), Ok(port @ 1..)) => return Ok((Host::Name(name.into()), port)),
        (Ok(name), _) => format!("has no port: write {name}:PORT"),
        (Err(_), _) if text.parse::<IpAddr>().is_ok() => {
            "has no port: write IP:PORT, or [IP]:PORT for IPv6".to_owned()
        }
        (Err(remedy), _) => remedy,
    };
    wrong(node.span, format!("{} {remedy}", quote(text)))
}

/// One port or a range of them, within `bounds`.
pub fn ports(node: &Node, bounds: &RangeInclusive<u16>) -> Read<RangeInclusive<u16>> {
    let text = scalar(node, "a port or a range of ports")?;
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && bounds.contains(port))
    };
    let remedy = match (number(low.trim()), number(high.trim())) {
        (Some(low), Some(high)) if low <= high => return Ok(low..=high),
        (Some(low), Some(high)) => format!("begins above its end: write {high}-{low}"),
        _ => {
            let (from, to) = (bounds.start(), bounds.end());
            format!("is not a port or a range of ports: write {from} to {to}, or for example 40000-49999")
        }
    };
    wrong(node.span, format!("{} {remedy}", quote(text)))
}

/// A range of ports; `auto` is `None`.
pub fn ports_or_auto(node: &Node) -> Read<Option<RangeInclusive<u16>>> {
    match scalar(node, "auto or a range of ports")? {
        "auto" => Ok(None),
        _ => ports(node, &(1..=u16::MAX)).map(Some),
    }
}

fn class_named(text: &str) -> Option<TargetClass> {
    TargetClass::ALL.into_iter().find(|class| class.label().eq_ignore_ascii_case(text))
}

/// The network written in `text`; an error holds the remedy if `text` is nearly one.
fn network_of(text: &str) -> Result<IpNet, Option<String>> {
    let network = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(network), _) => network,
        (_, Ok(address)) => IpNet::from(address),
        _ => return Err(None),
    };
    if network.trunc() != network {
        return Err(Some(format!("has bits beyond its mask: write {}", network.trunc())));
    }
    // Targets are compared with their embedded IPv4 address unfolded, so this would match nothing.
    match network.network() {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(Some("is an IPv4 network in IPv6 clothes: write the IPv4 one".to_owned()))
        }
        _ => Ok(network),
    }
}

/// The domain written in `text`, in the one spelling that is compared. The error is a remedy.
fn domain_of(text: &str) -> Result<String, String> {
    if !text.is_ascii() {
        return Err("is not ASCII: write its xn-- form, as a name server knows it".to_owned());
    }
    if let Some(rest) = text.strip_prefix("*.") {
        return Err(format!("needs no star: {} means itself and all below it", quote(rest)));
    }
    let name = text.strip_prefix('.').unwrap_or(text);
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let label = |label: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(fits)
    };
    // A name that ends in a number is a broken address: no such domain exists (RFC 3696 section 2).
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if name.len() > DOMAIN_BYTES_MAX || !name.split('.').all(label) || last_is_number {
        return Err(
            "is neither an address or network such as 10.0.0.0/8 nor a domain such as example.org".to_owned()
        );
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::place::Span;

    fn plain(text: &str) -> Node {
        Node::plain(Span::default(), text)
    }

    fn why<T>(read: Read<T>) -> String {
        read.err().map(|wrongs| wrongs[0].message.clone()).unwrap_or_else(|| "nothing".to_owned())
    }

    #[test]
    fn a_domain_has_one_spelling() {
        for text in ["example.org", "EXAMPLE.org.", ".Example.Org", ".example.org."] {
            assert_eq!(
                destination(&plain(text)).unwrap(),
                Destination::Domain("example.org".into()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_destination_says_how_to_write_one() {
        for (text, told) in [
            ("*.example.org", "needs no star"),
            ("b\u{fc}cher.example", "xn--"),
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("10.0.0", "is neither"),
            ("300.1.1.1", "is neither"),
            ("a..b", "is neither"),
            ("", "has no value"),
            (".", "is neither"),
            ("exa mple.org", "is neither"),
            ("private", "is a target class"),
            ("::ffff:10.0.0.0/104", "write the IPv4 one"),
        ] {
            assert!(
                why(destination(&plain(text))).contains(told),
                "{text}: {}",
                why(destination(&plain(text)))
            );
        }
    }

    #[test]
    fn ports_are_read_with_their_order_and_bounds() {
        assert_eq!(ports(&plain("25"), &(0..=u16::MAX)).unwrap(), 25..=25);
        assert_eq!(ports(&plain("6000-6063"), &(0..=u16::MAX)).unwrap(), 6000..=6063);
        assert_eq!(ports_or_auto(&plain("auto")).unwrap(), None);
        for (text, told) in [
            ("9-1", "write 1-9"),
            ("0-9", "write 1 to 65535"),
            ("1-65536", "write 1 to 65535"),
            ("+1-2", "is not a port"),
            ("-", "is not a port"),
            ("1-2-3", "is not a port"),
        ] {
            assert!(why(ports_or_auto(&plain(text))).contains(told), "{text}");
        }
    }

    #[test]
    fn a_host_comes_with_its_port() {
        for (text, host, port) in [
            ("192.0.2.1:1080", Host::Address([192, 0, 2, 1].into()), 1080),
            ("[::ffff:192.0.2.1]:1", Host::Address([192, 0, 2, 1].into()), 1),
            ("Proxy.Example.org.:8080", Host::Name("proxy.example.org".into()), 8080),
        ] {
            assert_eq!(host_and_port(&plain(text)).unwrap(), (host, port));
        }
        for (text, told) in [
            ("proxy.example.org", "write proxy.example.org:PORT"),
            ("proxy:0", "write proxy:PORT"),
            ("192.0.2.1", "has no port"),
            ("::1", "has no port"),
            ("192.0.2.1:0", "port 0"),
            ("http://proxy:1", "is neither"),
        ] {
            assert!(
                why(host_and_port(&plain(text))).contains(told),
                "{text}: {}",
                why(host_and_port(&plain(text)))
            );
        }
    }

    #[test]
    fn nobodys_addresses_are_no_sources() {
        for text in ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:192.0.2.1", "host", "192.0.2.1/32"] {
            assert!(unicast(&plain(text)).is_err(), "{text}");
        }
        assert!(unicast(&plain("2001:db8::1")).is_ok());
    }
}
