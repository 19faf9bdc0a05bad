//! Where the control port is that `ringway ctl` speaks to.

use crate::settings::{self, SettingsArguments};
use ringway_shared::config::Control;
use rustix::fs::Access;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

const DEFAULT: &str = "http://127.0.0.1:9003";
const DEFAULT_PORT: u16 = 9003;

/// A control port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp { host: String, port: u16, tls: bool },
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp { tls, .. } => {
                write!(f, "{}://{}", if *tls { "https" } else { "http" }, self.authority())
            }
        }
    }
}

impl Address {
    /// Reads `unix:/path`, `http://host:port`, `https://host:port` or `host:port`.
    pub fn parse(text: &str) -> Result<Address, String> {
        let wrong = || {
            format!(
                "{text:?} is no control address: write http://127.0.0.1:9003, https://host:9003 or unix:/run/ringway.sock"
            )
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(wrong()) } else { Ok(Address::Unix(path.into())) };
        }
        if text.starts_with('/') {
            return Ok(Address::Unix(text.into()));
        }
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(wrong()),
            None => (false, text),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of a bare IPv6 address is no port's.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong())?)
            }
            _ => (authority, DEFAULT_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
            return Err(wrong());
        }
        Ok(Address::Tcp { host: host.to_owned(), port, tls })
    }

    /// What the Host header says.
    pub fn authority(&self) -> String {
        match self {
            Address::Unix(_) => "localhost".to_owned(),
            Address::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp { host, port, .. } => format!("{host}:{port}"),
        }
    }

    /// A listener's address as a client may call it.
    fn of_listener(listener: SocketAddr, tls: bool) -> Address {
        let ip = match listener.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Address::Tcp { host: ip.to_string(), port: listener.port(), tls }
    }

    /// The control port of a configuration: its Unix socket where this user may write to it, for that needs no token;
    /// else its first listener.
    fn of_configuration(control: &Control) -> Option<Address> {
        let writable = |path: &PathBuf| rustix::fs::access(path, Access::WRITE_OK).is_ok();
        let unix = control.unix.as_ref().map(|unix| unix.path.clone()).filter(writable);
        let plain = control.listen.first().map(|listener| Address::of_listener(*listener, false));
        let over_tls = control.tls.tls.listen.first().map(|listener| Address::of_listener(*listener, true));
        unix.map(Address::Unix).or(plain).or(over_tls)
    }

    /// The one that was named, or RINGWAY_CONTROL, or that of the configuration, or the default.
    pub fn find(named: Option<&str>, arguments: &SettingsArguments) -> Result<Address, String> {
        let set = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        if let Some(text) = named.map(str::to_owned).or_else(|| set("RINGWAY_CONTROL")) {
            return Address::parse(&text);
        }
        if arguments.config.is_none() && arguments.sets.is_empty() && set("CONFIG_FILE").is_none() {
            return Address::parse(DEFAULT);
        }
        let hint = "name the control port by --control";
        let loaded = settings::load(arguments).map_err(|faults| format!("{faults}\n{hint}"))?;
        Address::of_configuration(&loaded.config.control)
            .ok_or_else(|| format!("the configuration has no control port; {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, wanted) in [
            ("127.0.0.1:9003", "http://127.0.0.1:9003"),
            ("http://localhost", "http://localhost:9003"),
            ("https://ringway.internal:443/", "https://ringway.internal:443"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("::1", "http://[::1]:9003"),
            ("unix:/run/ringway.sock", "unix:/run/ringway.sock"),
            ("unix:///run/ringway.sock", "unix:/run/ringway.sock"),
            ("/run/ringway.sock", "unix:/run/ringway.sock"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), wanted, "{text}");
        }
        for text in ["", "unix:", "ftp://host", "http://", "host:port", "http://host/path", "http://u@host"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_listener_on_all_addresses_is_called_by_loopback() {
        let of = |text: &str| Address::of_listener(text.parse().unwrap(), false).to_string();
        assert_eq!(of("0.0.0.0:9003"), "http://127.0.0.1:9003");
        assert_eq!(of("[::]:1"), "http://[::1]:1");
        assert_eq!(of("192.0.2.1:2"), "http://192.0.2.1:2");
    }
}
