//! `ws://` and `http://` URLs, as far as loads need them.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Ws,
    Http,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub scheme: Scheme,
    /// Name or address and port, as the Host header says it.
    pub host: String,
    pub address: SocketAddr,
    /// Path and query, `/` at least.
    pub path: String,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Url, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it must begin with ws:// or http://")?;
        let scheme = match scheme {
            "ws" => Scheme::Ws,
            "http" => Scheme::Http,
            other => return Err(format!("{other}:// is not known: only ws:// and http:// are")),
        };
        let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
        let mut addresses = with_port.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{host} has no address"))?;
        Ok(Url { scheme, host: host.into(), address, path: path.into() })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.scheme == Scheme::Ws { "ws" } else { "http" };
        write!(to, "{scheme}://{}{}", self.host, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_put_together() {
        let url: Url = "ws://127.0.0.1:8765/ws?a=b".parse().unwrap();
        assert_eq!((url.scheme, url.path.as_str(), url.address.port()), (Scheme::Ws, "/ws?a=b", 8765));
        assert_eq!(url.to_string(), "ws://127.0.0.1:8765/ws?a=b");
        let url: Url = "http://[::1]".parse().unwrap();
        assert_eq!((url.scheme, url.path.as_str(), url.address.port()), (Scheme::Http, "/", 80));
        assert!("wss://127.0.0.1/".parse::<Url>().is_err());
        assert!("127.0.0.1:80".parse::<Url>().is_err());
    }
}
