//! The door to hickory: a name to its addresses, by asking the name servers.
//!
//! A name with a dot is absolute and asked for as it stands, whatever `ndots` says: a proxy's client
//! means the public name, and a search list would send it (and its failures) elsewhere. A name without
//! a dot is tried under each search domain of /etc/resolv.conf, then alone.

use super::watched::Watched;
use super::{Answer, LookupError};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RecordType};
use ringway_shared::config;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

/// Queries under way at once; each holds a socket or two. More wait, and their time runs.
const QUERIES_MAX: usize = 512;

/// Search domains tried for a name without a dot.
const SEARCH_MAX: usize = 6;

/// How long AAAA is waited for once A is here (RFC 8305 section 3, "Resolution Delay").
const AAAA_GRACE: Duration = Duration::from_millis(50);

/// A query is tried twice, each time with up to two servers at once and this part of the whole
/// lookup's time. What failed the first time goes last the second, so that dead servers leave room.
const TRIES: u32 = 2;
const TRY_PERCENT: u32 = 45;
const _: () = assert!(TRIES * TRY_PERCENT < 100, "hickory gives up before the lookup does");

/// The name servers now in force: as configured, or as /etc/resolv.conf says at this moment.
pub(super) struct Servers {
    settings: config::Dns,
    lookup_timeout: Duration,
    resolv_conf: Watched,
    dns: Arc<Dns>,
}

impl Servers {
    pub(super) fn new(settings: config::Dns, lookup_timeout: Duration) -> Self {
        let mut resolv_conf = Watched::new("/etc/resolv.conf");
        resolv_conf.changed();
        let dns = Arc::new(Dns::new(&settings, lookup_timeout));
        Servers { settings, lookup_timeout, resolv_conf, dns }
    }

    /// Lookups under way keep the servers they began with. A change empties the cache.
    pub(super) fn current(&mut self) -> Arc<Dns> {
        if self.settings.servers.is_empty() && self.resolv_conf.changed() {
            self.dns = Arc::new(Dns::new(&self.settings, self.lookup_timeout));
        }
        self.dns.clone()
    }
}

/// One set of name servers and its cache.
pub(super) struct Dns {
    /// First all servers together, then, if they are several, each alone. hickory believes the first
    /// that answers, so one that refuses everything would hide the others. Empty: there is no server.
    resolvers: Vec<TokioResolver>,
    search: Vec<Name>,
    places: Semaphore,
}

impl Dns {
    fn new(settings: &config::Dns, lookup_timeout: Duration) -> Self {
        let (servers, search) = servers_and_search(settings);
        let options = options(settings, lookup_timeout);
        let mut sets = vec![servers.clone()];
        if servers.len() > 1 {
            sets.extend(servers.into_iter().map(|server| vec![server]));
        }
        let resolvers = sets.into_iter().filter_map(|servers| resolver(servers, &options)).collect();
        Dns { resolvers, search, places: Semaphore::new(QUERIES_MAX) }
    }

    /// The addresses of `name`, in no useful order, at the latest at `until`.
    pub(super) async fn addresses(self: &Arc<Self>, name: &str, until: Instant) -> Answer {
        for candidate in self.candidates(name) {
            let answer = self.both_families(candidate, until).await;
            if answer != Err(LookupError::NotFound) {
                return answer;
            }
        }
        Err(LookupError::NotFound)
    }

    /// The absolute names that `name` may stand for. None: it is the root or no name at all (an empty or long label).
    fn candidates(&self, name: &str) -> Vec<Name> {
        // from_utf8 would refuse underscores, which exist in the wild.
        let parsed = if name.is_ascii() { Name::from_ascii(name) } else { Name::from_utf8(name) };
        let Some(own) = parsed.ok().filter(|own| !own.is_root()) else {
            return Vec::new();
        };
        let search = if name.contains('.') { &[] } else { self.search.as_slice() };
        let mut candidates: Vec<Name> =
            search.iter().filter_map(|domain| own.clone().append_domain(domain).ok()).collect();
        candidates.push(own);
        candidates.iter_mut().for_each(|name| name.set_fqdn(true));
        candidates
    }

    /// Asks for A and AAAA at once. A server that swallows AAAA costs a moment, not the lookup: the
    /// AAAA query then goes on by itself, for the cache. A missing A is waited for: many hosts have no IPv6.
    async fn both_families(self: &Arc<Self>, name: Name, until: Instant) -> Answer {
        let (dns, v6_name) = (self.clone(), name.clone());
        let v6 = tokio::spawn(async move { dns.family(v6_name, RecordType::AAAA, until).await });
        let v4 = self.family(name, RecordType::A, until).await;
        let patience = if v4.is_ok() { AAAA_GRACE } else { until - Instant::now() };
        let v6 = match timeout(patience, v6).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => Err(LookupError::Failed),
            Err(_elapsed) => Err(LookupError::Timeout),
        };
        together(v6, v4)
    }

    async fn family(&self, name: Name, family: RecordType, until: Instant) -> Answer {
        let asking = async {
            let _place = self.places.acquire().await;
            if Instant::now() >= until {
                // The place came with the deadline: timeout_at would let one more query out first.
                return Err(LookupError::Timeout);
            }
            let mut answer = Err(LookupError::Failed);
            for resolver in &self.resolvers {
                answer = ask(resolver, name.clone(), family).await;
                if answer != Err(LookupError::Failed) {
                    break;
                }
            }
            answer
        };
        timeout_at(until, asking).await.unwrap_or(Err(LookupError::Timeout))
    }
}

async fn ask(resolver: &TokioResolver, name: Name, family: RecordType) -> Answer {
    let lookup = resolver.lookup(name, family).await.map_err(|error| cause(&error))?;
    let addresses: Vec<_> = lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect();
    if addresses.is_empty() { Err(LookupError::NotFound) } else { Ok(addresses) }
}

/// Addresses of either family are an answer; without any, the less certain failure is.
fn together(v6: Answer, v4: Answer) -> Answer {
    use LookupError::{Failed, NotFound, Timeout};
    match (v6, v4) {
        (Ok(mut v6), Ok(v4)) => {
            v6.extend(v4);
            Ok(v6)
        }
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(NotFound), Err(NotFound)) => Err(NotFound),
        (Err(Timeout), _) | (_, Err(Timeout)) => Err(Timeout),
        _ => Err(Failed),
    }
}

fn cause(error: &NetError) -> LookupError {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => LookupError::NotFound,
        NetError::Timeout => LookupError::Timeout,
        NetError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => LookupError::Timeout,
        _ => LookupError::Failed,
    }
}

/// Whom to ask and the search domains. No server at all is a warning: names in /etc/hosts still work.
fn servers_and_search(settings: &config::Dns) -> (Vec<NameServerConfig>, Vec<Name>) {
    if !settings.servers.is_empty() {
        return (settings.servers.iter().map(|&address| server(address)).collect(), Vec::new());
    }
    match hickory_resolver::system_conf::read_system_conf() {
        Ok((system, _)) => {
            // As the C library: the host's own domain only where no `search` is given.
            let own_domain = system.domain().filter(|_| system.search().is_empty());
            let search = system.search().iter().chain(own_domain).take(SEARCH_MAX).cloned().collect();
            (system.name_servers().to_vec(), search)
        }
        Err(error) => {
            tracing::warn!(%error, "no name server: only /etc/hosts resolves. Mend /etc/resolv.conf or set socks5.dns.servers");
            (Vec::new(), Vec::new())
        }
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn resolver(servers: Vec<NameServerConfig>, options: &ResolverOpts) -> Option<TokioResolver> {
    if servers.is_empty() {
        return None;
    }
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options.clone())
        .build()
        .inspect_err(|error| tracing::error!(%error, "a name server cannot be used"))
        .ok()
}

fn options(settings: &config::Dns, lookup_timeout: Duration) -> ResolverOpts {
    // Without room in the cache nothing may be believed for later either.
    let cached = |ttl_max| if settings.cache_entries == 0 { Duration::ZERO } else { ttl_max };
    let mut options = ResolverOpts::default();
    options.timeout = lookup_timeout * TRY_PERCENT / 100;
    options.attempts = (TRIES - 1) as usize; // hickory counts what comes after the first
    options.cache_size = settings.cache_entries;
    options.positive_max_ttl = Some(cached(settings.ttl_max));
    options.negative_max_ttl = Some(cached(settings.negative_ttl_max));
    options.max_active_requests = QUERIES_MAX;
    options.preserve_intermediates = false;
    options.use_hosts_file = ResolveHosts::Never; // `hosts` does it
    options
}
