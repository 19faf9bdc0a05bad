//! Names that are answered without asking a name server: addresses written out, `localhost`, /etc/hosts.

use super::watched::Watched;
use hickory_resolver::Hosts;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// /etc/hosts, read again when it changes.
pub(super) struct HostsFile {
    file: Watched,
    hosts: Hosts,
}

impl HostsFile {
    pub(super) fn system() -> Self {
        HostsFile { file: Watched::new("/etc/hosts"), hosts: Hosts::default() }
    }

    /// The addresses of `name`, if it is one of those that need no name server.
    pub(super) fn addresses(&mut self, name: &str) -> Option<Vec<IpAddr>> {
        if let Ok(address) = name.parse() {
            return Some(vec![address]);
        }
        if is_localhost(name) {
            return Some(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
        }
        if self.file.changed() {
            self.hosts = File::open(self.file.path()).map(parse).unwrap_or_default();
        }
        find(&self.hosts, name)
    }
}

/// RFC 6761 section 6.3: `localhost` and all names under it are the loopback addresses, whatever
/// the hosts file or a name server would say.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// What can be read of a hosts file: a line that is none ends it.
fn parse(text: impl Read) -> Hosts {
    let mut hosts = Hosts::default();
    if let Err(error) = hosts.read_hosts_conf(text) {
        tracing::warn!(%error, "/etc/hosts is read in part only");
    }
    hosts
}

/// Both families are looked for here, and one found is enough: a name with an IPv4 line only is
/// not asked for in the DNS, where its inner name has no business.
fn find(hosts: &Hosts, name: &str) -> Option<Vec<IpAddr>> {
    let name = Name::from_ascii(name).ok()?;
    let addresses: Vec<IpAddr> = [RecordType::AAAA, RecordType::A]
        .into_iter()
        .filter_map(|family| hosts.lookup_static_host(&Query::query(name.clone(), family)))
        .flat_map(|found| {
            found.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
        })
        .collect();
    (!addresses.is_empty()).then_some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# a comment
10.0.0.5   db.internal DB
2001:db8::5 db.internal
10.0.0.6   only-four   # another
nonsense   line
10.0.0.7   under_score.internal xn--bcher-kva.internal
";

    fn addresses(name: &str) -> Option<Vec<String>> {
        find(&parse(FILE.as_bytes()), name).map(|found| found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_line_answers_for_each_of_its_names() {
        assert_eq!(addresses("db.internal").unwrap(), ["2001:db8::5", "10.0.0.5"]);
        assert_eq!(addresses("db").unwrap(), ["10.0.0.5"]);
        assert_eq!(addresses("under_score.internal").unwrap(), ["10.0.0.7"]);
        assert_eq!(addresses("xn--bcher-kva.internal").unwrap(), ["10.0.0.7"]);
    }

    #[test]
    fn one_family_is_an_answer() {
        assert_eq!(addresses("only-four").unwrap(), ["10.0.0.6"]);
    }

    #[test]
    fn a_name_may_end_in_a_dot_and_others_are_unknown() {
        assert_eq!(addresses("only-four.").unwrap(), ["10.0.0.6"]);
        assert_eq!(addresses("internal"), None);
        assert_eq!(addresses("a..b"), None);
    }

    #[test]
    fn localhost_is_a_zone() {
        for name in ["localhost", "localhost.", "a.localhost", "a.b.localhost."] {
            assert!(is_localhost(name), "{name}");
        }
        for name in ["notlocalhost", "localhost.example", ".", "localdomain"] {
            assert!(!is_localhost(name), "{name}");
        }
    }
}
