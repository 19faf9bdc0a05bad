//! Every way a connection can end, once.
//!
//! One `Reason` has one label (metrics and logs), one blamed side and, in the data plane, one SOCKS reply.

/// Whose doing an end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nobody's: the work was done.
    Nobody,
    /// The client that connected to ringway.
    Client,
    /// The target, or the network or name service on the way to it.
    Upstream,
    /// ringway or its operator: limits, policy, drain, faults.
    Us,
}

macro_rules! reasons {
    ($( $(#[$doc:meta])* $name:ident = $label:literal, $blame:ident; )*) => {
        /// Every way a connection can end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $( $(#[$doc])* $name, )* }

        impl Reason {
            /// All reasons, in the order of their discriminants.
            pub const ALL: &'static [Reason] = &[ $( Reason::$name, )* ];
            const LABELS: &'static [&'static str] = &[ $( $label, )* ];
            const BLAMES: &'static [Blame] = &[ $( Blame::$blame, )* ];
        }
    };
}

reasons! {
    /// Both directions reached their end and every byte was handed over.
    Finished = "finished", Nobody;

    /// The client closed before its request was answered.
    ClientGone = "client_gone", Client;
    /// The client reset the connection while it was relayed.
    ClientReset = "client_reset", Client;
    /// The first byte is not a SOCKS version this listener serves.
    BadVersion = "bad_version", Client;
    /// A message breaks RFC 1928 or RFC 1929.
    Malformed = "malformed", Client;
    /// No offered method is acceptable (answered `05 FF`).
    NoAcceptableMethod = "no_acceptable_method", Client;
    /// Name or password are wrong.
    AuthFailed = "auth_failed", Client;
    /// A command this build does not serve (reply 07).
    CommandNotSupported = "command_not_supported", Client;
    /// An address type outside RFC 1928 (reply 08).
    AddressTypeNotSupported = "address_type_not_supported", Client;
    /// A target name that is empty or holds a NUL.
    BadName = "bad_name", Client;
    /// `socks5.timeouts.greeting` ran out.
    GreetingTimeout = "greeting_timeout", Client;
    /// `socks5.timeouts.authentication` ran out.
    AuthTimeout = "authentication_timeout", Client;
    /// `socks5.timeouts.request` ran out.
    RequestTimeout = "request_timeout", Client;
    /// `socks5.timeouts.handshake`, the total budget, ran out.
    HandshakeTimeout = "handshake_timeout", Client;
    /// A password is demanded and none was shown (HTTP 407, SOCKS4 91).
    AuthRequired = "auth_required", Client;
    /// An HTTP method other than CONNECT (405).
    MethodNotAllowed = "method_not_allowed", Client;
    /// A header section beyond its limit (431).
    HeaderTooLarge = "header_too_large", Client;
    /// No valid PROXY protocol header from a network that must send one.
    BadProxyHeader = "bad_proxy_header", Client;
    /// `socks5.timeouts.proxy_header` ran out.
    ProxyHeaderTimeout = "proxy_header_timeout", Client;
    /// The TLS handshake failed.
    TlsFailed = "tls_failed", Client;
    /// Too many failed logins from this address: it is banned for a while.
    ClientBanned = "client_banned", Client;

    /// The target reset the connection while it was relayed.
    TargetReset = "target_reset", Upstream;
    /// The name does not exist or has no address.
    NameNotFound = "name_not_found", Upstream;
    /// The name servers failed.
    NameLookupFailed = "name_lookup_failed", Upstream;
    /// `socks5.timeouts.name_lookup` ran out.
    NameLookupTimeout = "name_lookup_timeout", Upstream;
    /// ECONNREFUSED.
    ConnectRefused = "connect_refused", Upstream;
    /// ENETUNREACH and its kind.
    NetworkUnreachable = "network_unreachable", Upstream;
    /// EHOSTUNREACH and its kind.
    HostUnreachable = "host_unreachable", Upstream;
    /// `socks5.timeouts.connect` ran out, or the kernel's own time-out did.
    ConnectTimeout = "connect_timeout", Upstream;
    /// EACCES or EPERM: this host's firewall or sandbox forbids the connection.
    ConnectForbidden = "connect_forbidden", Upstream;
    /// Any other error of connect(2).
    ConnectFailed = "connect_failed", Upstream;

    /// BIND: `socks5.timeouts.bind` ran out before the expected peer came.
    BindTimeout = "bind_timeout", Upstream;
    /// BIND: too many peers other than the expected one came.
    BindPeerRefused = "bind_peer_refused", Upstream;
    /// No upstream proxy of the group could be reached.
    UpstreamUnreachable = "upstream_unreachable", Upstream;
    /// The upstream proxy refused us: authentication, protocol, or its own fault.
    UpstreamRefused = "upstream_refused", Upstream;

    /// The target's class or network is refused by `socks5.allow_targets` / `socks5.deny_targets`.
    DeniedTarget = "denied_target", Us;
    /// A rule of `socks5.acl`, or of the user's own, refuses it.
    DeniedAcl = "denied_acl", Us;
    /// `socks5.timeouts.idle` ran out.
    IdleTimeout = "idle_timeout", Us;
    /// `socks5.timeouts.half_closed` ran out.
    HalfClosedTimeout = "half_closed_timeout", Us;
    /// `socks5.limits.connections` is reached.
    LimitConnections = "limit_connections", Us;
    /// `socks5.limits.connections_per_client` is reached.
    LimitClientConnections = "limit_client_connections", Us;
    /// The user's `connections`, or `socks5.limits.connections_per_user`, is reached.
    LimitUserConnections = "limit_user_connections", Us;
    /// `socks5.limits.new_connections_per_second` is exceeded.
    LimitNewConnections = "limit_new_connections", Us;
    /// `socks5.limits.new_connections_per_second_per_client` is exceeded.
    LimitClientNewConnections = "limit_client_new_connections", Us;
    /// `socks5.limits.udp_associations` is reached.
    LimitUdpAssociations = "limit_udp_associations", Us;
    /// The user's quota is used up.
    QuotaExhausted = "quota_exhausted", Us;
    /// `socks5.timeouts.udp_idle` ran out.
    UdpIdleTimeout = "udp_idle_timeout", Us;
    /// The user was removed from the users file.
    UserRemoved = "user_removed", Us;
    /// No file descriptor or memory for the outgoing socket.
    NoResources = "no_resources", Us;
    /// The resolver's queue is full.
    ResolverBusy = "resolver_busy", Us;
    /// The password verifiers' queue is full.
    VerifierBusy = "verifier_busy", Us;
    /// The drain deadline cut it.
    Drained = "drained", Us;
    /// It came while ringway takes no new clients (`POST /admin/drain`).
    Draining = "draining", Us;
    /// The operator ended it (`DELETE /api/v1/connections/{id}`, `POST /api/v1/connections/kill`).
    Killed = "killed", Us;
    /// Its task panicked; the worker and its neighbours went on.
    Panicked = "panicked", Us;
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The one name of this reason, in metrics and in logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }

    /// Whose doing it was.
    #[must_use]
    pub fn blame(self) -> Blame {
        Self::BLAMES[self as usize]
    }

    /// Whether the connection failed: its client did not get what it asked for, or lost it, by nobody's wish. What pages, metrics
    /// and history call `failed` is how many did.
    ///
    /// | ends | failures |
    /// | --- | --- |
    /// | the work was done | no |
    /// | the client left, said nothing in time or was idle; neither side spoke any more | no |
    /// | HTTP clients are asked for a password, which they show with their next connection | no |
    /// | the operator ended it: drain, kill, a user removed | no |
    /// | what the client said breaks its protocol | yes |
    /// | refused: login, ban, target, rule, limit, quota; ringway takes no new clients | yes |
    /// | the target, the name service or an upstream proxy failed | yes |
    /// | ringway failed: resources, queues, a panic | yes |
    #[must_use]
    pub fn is_failure(self) -> bool {
        use Reason as R;
        match self {
            R::Finished => false,
            R::ClientGone | R::ClientReset => false,
            R::GreetingTimeout | R::AuthTimeout | R::RequestTimeout | R::HandshakeTimeout => false,
            R::ProxyHeaderTimeout | R::IdleTimeout | R::HalfClosedTimeout | R::UdpIdleTimeout => false,
            R::AuthRequired => false,
            R::UserRemoved | R::Drained | R::Killed => false,

            R::BadVersion | R::Malformed | R::NoAcceptableMethod | R::CommandNotSupported => true,
            R::AddressTypeNotSupported | R::BadName | R::MethodNotAllowed | R::HeaderTooLarge => true,
            R::BadProxyHeader | R::TlsFailed => true,
            R::AuthFailed | R::ClientBanned | R::DeniedTarget | R::DeniedAcl => true,
            R::LimitConnections | R::LimitClientConnections | R::LimitUserConnections => true,
            R::LimitNewConnections | R::LimitClientNewConnections | R::LimitUdpAssociations => true,
            R::QuotaExhausted | R::Draining => true,
            R::TargetReset | R::NameNotFound | R::NameLookupFailed | R::NameLookupTimeout => true,
            R::ConnectRefused | R::NetworkUnreachable | R::HostUnreachable | R::ConnectTimeout => true,
            R::ConnectForbidden | R::ConnectFailed | R::BindTimeout | R::BindPeerRefused => true,
            R::UpstreamUnreachable | R::UpstreamRefused => true,
            R::NoResources | R::ResolverBusy | R::VerifierBusy | R::Panicked => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_and_fit_prometheus() {
        let labels: HashSet<_> = Reason::ALL.iter().map(|r| r.label()).collect();
        assert_eq!(labels.len(), Reason::COUNT);
        assert!(labels.iter().all(|l| l.bytes().all(|b| b == b'_' || b.is_ascii_lowercase())));
    }

    /// Every reason stands on one side: a new one has to be put somewhere.
    #[test]
    fn who_left_or_was_sent_away_by_the_operator_has_not_failed_and_all_others_have() {
        const NO_FAILURES: &[&str] = &[
            "finished",
            "client_gone",
            "client_reset",
            "greeting_timeout",
            "authentication_timeout",
            "request_timeout",
            "handshake_timeout",
            "auth_required",
            "proxy_header_timeout",
            "idle_timeout",
            "half_closed_timeout",
            "udp_idle_timeout",
            "user_removed",
            "drained",
            "killed",
        ];
        let calm = |reason: &&Reason| !reason.is_failure();
        let calm: Vec<_> = Reason::ALL.iter().filter(calm).map(|reason| reason.label()).collect();
        assert_eq!(calm, NO_FAILURES);
        // What an upstream or nobody did is clear by itself.
        for reason in Reason::ALL {
            match reason.blame() {
                Blame::Upstream => assert!(reason.is_failure(), "{reason:?}"),
                Blame::Nobody => assert!(!reason.is_failure(), "{reason:?}"),
                Blame::Client | Blame::Us => {}
            }
        }
    }

    #[test]
    fn discriminants_index_the_tables() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
    }
}
