//! Every reason a UDP datagram is dropped for, once.

macro_rules! drops {
    ($( $(#[$doc:meta])* $name:ident = $label:literal; )*) => {
        /// Why a datagram of a UDP association was dropped. The association lives on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Drop { $( $(#[$doc])* $name, )* }

        impl Drop {
            /// All of them, in the order of their discriminants.
            pub const ALL: &'static [Drop] = &[ $( Drop::$name, )* ];
            const LABELS: &'static [&'static str] = &[ $( $label, )* ];
        }
    };
}

drops! {
    /// Its header breaks RFC 1928 section 7, or its target is no name.
    Malformed = "malformed";
    /// Not from the client's address and latched port.
    ForeignSource = "foreign_source";
    /// From a peer that the filter mode does not let through.
    Filtered = "filtered";
    /// The target is refused by class, network or ACL.
    DeniedTarget = "denied_target";
    /// A fragment, where reassembly is off, or one that fits no sequence.
    Fragment = "fragment";
    /// The name has no address, or nobody could say in time.
    NameLookup = "name_lookup";
    /// Too many names are being looked up for this association, or too much waits for them.
    LookupsFull = "lookups_full";
    /// The association has no socket for the target's address family.
    NoRoute = "no_route";
    /// The user's rate is exceeded.
    RateLimited = "rate_limited";
    /// The user's quota is used up.
    QuotaExhausted = "quota_exhausted";
    /// With its header it is larger than a datagram can be (65,507 bytes of payload over IPv4).
    TooLarge = "too_large";
    /// The kernel's send buffer is full.
    SendBufferFull = "send_buffer_full";
    /// The kernel refused to send it (an ICMP error came before, the route is gone).
    SendFailed = "send_failed";
    /// It came from outside before the client had sent anything.
    NoClientYet = "no_client_yet";
}

impl Drop {
    pub const COUNT: usize = Self::ALL.len();

    /// The one name of this reason, in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self as usize]
    }
}
