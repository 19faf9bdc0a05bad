//! Which connections are meant.

use super::PHASES;
use crate::config::units;
use crate::connection::{Connection, Service};
use crate::session::{Host, Target};
use ipnet::IpNet;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a connection must have. All that is asked must be so; nothing asked fits all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub worker: Option<usize>,
    pub service: Option<Service>,
    user: Option<Box<str>>,
    target: Option<Wanted>,
    client: Option<IpNet>,
    min_age: Option<Duration>,
    min_idle: Option<Duration>,
    min_bytes: Option<u64>,
    phase: Option<&'static str>,
    /// Subscribers of it by this name, a topic's or a pattern's.
    pub topic: Option<Box<str>>,
    /// These and no others; of `worker`.
    connections: Option<HashSet<Connection>>,
}

/// A target, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    host: Option<Hosts>,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Name(Box<str>),
    /// A domain and all below it.
    Domain(Box<str>),
    /// Asked for, or dialled.
    Network(IpNet),
}

/// What of a connection decides whether it fits; but for its topics.
pub struct Seen<'a> {
    pub connection: Connection,
    pub user: Option<&'a str>,
    pub target: Option<&'a Target>,
    pub address: Option<SocketAddr>,
    pub client: IpAddr,
    pub phase: &'static str,
    pub age: Duration,
    pub idle: Duration,
    pub bytes: u64,
}

/// One condition by its name.
pub struct Field {
    pub name: &'static str,
    /// As JSON Schema.
    pub schema: &'static str,
    pub summary: &'static str,
    read: fn(&mut Filter, &str) -> Result<(), String>,
}

/// Every condition there is.
pub const FIELDS: &[Field] = &[
    Field {
        name: "service",
        schema: r#"{"type":"string","enum":["socks5","websocket"]}"#,
        summary: "The service it came to.",
        read: |filter, text| {
            let found = Service::ALL.into_iter().find(|service| service.label() == text);
            filter.service = Some(found.ok_or("must be socks5 or websocket")?);
            Ok(())
        },
    },
    Field {
        name: "user",
        schema: r#"{"type":"string"}"#,
        summary: "The user's name; nothing: those without one.",
        read: |filter, text| {
            filter.user = Some(text.into());
            Ok(())
        },
    },
    Field {
        name: "target",
        schema: r#"{"type":"string"}"#,
        summary: "HOST, .DOMAIN (it and all below it), a network, each with :PORT or without, or :PORT.",
        read: |filter, text| {
            filter.target = Some(wanted(text)?);
            Ok(())
        },
    },
    Field {
        name: "client",
        schema: r#"{"type":"string"}"#,
        summary: "The client's address, or a network such as 10.0.0.0/8.",
        read: |filter, text| {
            filter.client = Some(network(text).ok_or("is not an address, nor a network such as 10.0.0.0/8")?);
            Ok(())
        },
    },
    Field {
        name: "min_age",
        schema: r#"{"type":"string"}"#,
        summary: "Accepted so long ago at least, e.g. 5m.",
        read: |filter, text| {
            filter.min_age = Some(units::duration(text)?);
            Ok(())
        },
    },
    Field {
        name: "min_idle",
        schema: r#"{"type":"string"}"#,
        summary: "Silent for so long at least, e.g. 30s.",
        read: |filter, text| {
            filter.min_idle = Some(units::duration(text)?);
            Ok(())
        },
    },
    Field {
        name: "min_bytes",
        schema: r#"{"type":"string"}"#,
        summary: "So much both ways together at least, e.g. 1GiB; a bare number is bytes.",
        read: |filter, text| {
            let bare = text.parse::<u64>().ok();
            filter.min_bytes = Some(bare.map_or_else(|| units::bytes(text), Ok)?);
            Ok(())
        },
    },
    Field {
        name: "worker",
        schema: r#"{"type":"integer","minimum":0,"maximum":1023}"#,
        summary: "The worker that serves it.",
        read: |filter, text| {
            filter.worker = Some(text.parse().map_err(|_| "is not a worker's number")?);
            Ok(())
        },
    },
    Field {
        name: "phase",
        schema: r#"{"type":"string"}"#,
        summary: "What it is doing: relay, connect, open, …",
        read: |filter, text| {
            let known = PHASES.iter().find(|phase| **phase == text);
            filter.phase = Some(known.ok_or_else(|| format!("must be one of {}", PHASES.join(", ")))?);
            Ok(())
        },
    },
    Field {
        name: "topic",
        schema: r#"{"type":"string"}"#,
        summary: "The topic, or the pattern, that it is subscribed to by this name.",
        read: |filter, text| {
            if text.is_empty() {
                return Err("is empty".into());
            }
            filter.topic = Some(text.into());
            Ok(())
        },
    },
];

impl Filter {
    /// Adds one condition. The error says what is wrong with it.
    pub fn set(&mut self, field: &Field, text: &str) -> Result<(), String> {
        (field.read)(self, text).map_err(|why| format!("{}: {text:?} {why}", field.name))
    }

    /// These of a worker's connections and no others.
    #[must_use]
    pub fn only(worker: usize, connections: &[Connection]) -> Filter {
        let mut services = connections.iter().map(|connection| connection.service);
        let service = services.next().filter(|first| services.all(|service| service == *first));
        let connections = Some(connections.iter().copied().collect());
        Filter { worker: Some(worker), service, connections, ..Filter::default() }
    }

    /// How many connections it names, if it names them.
    #[must_use]
    pub fn named(&self) -> Option<usize> {
        self.connections.as_ref().map(HashSet::len)
    }

    /// Whether it fits every connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Whether a service's connections can fit at all.
    #[must_use]
    pub fn admits(&self, service: Service) -> bool {
        let of_websocket = self.topic.is_none() || service == Service::WebSocket;
        let of_socks5 = self.target.is_none() || service == Service::Socks5;
        of_websocket && of_socks5 && self.service.is_none_or(|wanted| wanted == service)
    }

    /// Whether a connection fits, its topics aside. What costs least is asked first.
    #[must_use]
    pub fn fits(&self, seen: &Seen<'_>) -> bool {
        self.admits(seen.connection.service)
            && self.connections.as_ref().is_none_or(|wanted| wanted.contains(&seen.connection))
            && self.min_bytes.is_none_or(|least| seen.bytes >= least)
            && self.min_age.is_none_or(|least| seen.age >= least)
            && self.min_idle.is_none_or(|least| seen.idle >= least)
            && self.phase.is_none_or(|wanted| seen.phase == wanted)
            && self.client.is_none_or(|network| network.contains(&seen.client.to_canonical()))
            && self.user.as_deref().is_none_or(|wanted| seen.user.unwrap_or_default() == wanted)
            && self.target.as_ref().is_none_or(|wanted| wanted.fits(seen))
    }
}

impl Wanted {
    fn fits(&self, seen: &Seen<'_>) -> bool {
        let Some(target) = seen.target else { return false };
        if self.port.is_some_and(|port| port != target.port) {
            return false;
        }
        let name = match &target.host {
            Host::Name(name) => Some(name.strip_suffix('.').unwrap_or(name)),
            Host::Address(_) => None,
        };
        match &self.host {
            None => true,
            Some(Hosts::Name(wanted)) => name.is_some_and(|name| name.eq_ignore_ascii_case(wanted)),
            Some(Hosts::Domain(domain)) => name.is_some_and(|name| is_within(name, domain)),
            Some(Hosts::Network(network)) => {
                let asked = match &target.host {
                    Host::Address(ip) => Some(*ip),
                    Host::Name(_) => None,
                };
                let mut addresses = asked.into_iter().chain(seen.address.map(|address| address.ip()));
                addresses.any(|ip| network.contains(&ip.to_canonical()))
            }
        }
    }
}

fn is_within(name: &str, domain: &str) -> bool {
    let Some(start) = name.len().checked_sub(domain.len()) else { return false };
    let (head, tail) = name.as_bytes().split_at(start);
    tail.eq_ignore_ascii_case(domain.as_bytes()) && head.last().is_none_or(|last| *last == b'.')
}

fn wanted(text: &str) -> Result<Wanted, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let host = IpNet::from(address.ip().to_canonical());
        return Ok(Wanted { host: Some(Hosts::Network(host)), port: Some(address.port()) });
    }
    if let Some(network) = network(text) {
        return Ok(Wanted { host: Some(Hosts::Network(network)), port: None });
    }
    let (host, port) = match text.rsplit_once(':') {
        None => (text, None),
        Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| "has a bad port".to_owned())?)),
    };
    let host = match (host, host.strip_prefix('.')) {
        ("", _) if port.is_some() => None,
        ("" | ".", _) => return Err("is empty: write HOST, .DOMAIN, a network or :PORT".into()),
        (_, Some(domain)) => Some(Hosts::Domain(domain.trim_end_matches('.').into())),
        (name, None) => {
            let network = network(name.trim_start_matches('[').trim_end_matches(']'));
            Some(network.map_or_else(|| Hosts::Name(name.trim_end_matches('.').into()), Hosts::Network))
        }
    };
    Ok(Wanted { host, port })
}

fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(|ip| IpNet::from(ip.to_canonical()));
    text.parse::<IpNet>().ok().or_else(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(conditions: &[(&str, &str)]) -> Result<Filter, String> {
        let mut filter = Filter::default();
        for (name, text) in conditions {
            filter.set(FIELDS.iter().find(|field| field.name == *name).unwrap(), text)?;
        }
        Ok(filter)
    }

    fn target(host: &str, port: u16) -> Target {
        let name = || Host::Name(host.into());
        Target { host: host.parse().map_or_else(|_| name(), Host::Address), port }
    }

    fn seen(target: &Target) -> Seen<'_> {
        Seen {
            connection: Connection::socks5(17),
            user: Some("alice"),
            target: Some(target),
            address: Some("10.1.2.3:443".parse().unwrap()),
            client: "::ffff:192.0.2.7".parse().unwrap(),
            phase: "relay",
            age: Duration::from_secs(60),
            idle: Duration::from_secs(5),
            bytes: 1000,
        }
    }

    #[test]
    fn each_condition_fits_and_refuses() {
        let target = target("www.Example.com", 443);
        for (name, fits, refuses) in [
            ("service", "socks5", "websocket"),
            ("user", "alice", "bob"),
            ("user", "alice", ""),
            ("target", "www.example.com", "example.com"),
            ("target", ".example.com", ".ample.com"),
            ("target", ".example.com:443", ".example.com:80"),
            ("target", ":443", ":80"),
            ("target", "10.0.0.0/8", "11.0.0.0/8"),
            ("target", "10.0.0.0/8:443", "10.0.0.0/8:80"),
            ("target", "10.1.2.3:443", "10.1.2.3:80"),
            ("client", "192.0.2.7", "192.0.2.8"),
            ("client", "192.0.2.0/24", "2001:db8::/32"),
            ("min_age", "1m", "61s"),
            ("min_idle", "5s", "6s"),
            ("min_bytes", "1000", "1KiB"),
            ("phase", "relay", "connect"),
        ] {
            assert!(filter(&[(name, fits)]).unwrap().fits(&seen(&target)), "{name}={fits}");
            assert!(!filter(&[(name, refuses)]).unwrap().fits(&seen(&target)), "{name}={refuses}");
        }
        assert!(Filter::default().is_empty() && Filter::default().fits(&seen(&target)));
        assert!(!filter(&[("user", "")]).unwrap().is_empty());
    }

    #[test]
    fn nonsense_is_named() {
        for (name, text) in [
            ("service", "ftp"),
            ("target", ""),
            ("target", "."),
            ("target", "host:port"),
            ("client", "here"),
            ("min_age", "5"),
            ("min_bytes", "many"),
            ("worker", "-1"),
            ("phase", "sleeping"),
            ("topic", ""),
        ] {
            let fault = filter(&[(name, text)]).unwrap_err();
            assert!(fault.starts_with(name), "{fault}");
        }
    }

    #[test]
    fn what_only_one_service_has_admits_that_one() {
        assert!(!filter(&[("topic", "news")]).unwrap().admits(Service::Socks5));
        assert!(!filter(&[("target", ":80")]).unwrap().admits(Service::WebSocket));
    }
}
