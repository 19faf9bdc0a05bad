//! What is told and counted of the gateway's traffic: kinds of frames, refusals of upgrades, dropped deliveries.

macro_rules! labels {
    ($( #[$enum_doc:meta] )* $enum:ident: $( $(#[$doc:meta])* $name:ident = $label:literal; )*) => {
        $( #[$enum_doc] )*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $enum { $( $(#[$doc])* $name, )* }

        impl $enum {
            /// All of them, in the order of their discriminants.
            pub const ALL: &'static [$enum] = &[ $( $enum::$name, )* ];
            /// How many there are.
            pub const COUNT: usize = $enum::ALL.len();
            const LABELS: &'static [&'static str] = &[ $( $label, )* ];

            /// The name used in metrics and logs.
            #[must_use]
            pub fn label(self) -> &'static str {
                Self::LABELS[self as usize]
            }
        }
    };
}

labels! {
    /// What goes over a WebSocket connection: whole messages and control frames.
    Frame:
    Text = "text";
    Binary = "binary";
    Ping = "ping";
    Pong = "pong";
    Close = "close";
}

labels! {
    /// Why an upgrade was refused.
    Refused:
    /// Not HTTP, or no request of RFC 6455 section 4.2.1 (400).
    BadRequest = "bad_request";
    /// Plain HTTP, or another version of WebSocket (426).
    UpgradeRequired = "upgrade_required";
    /// A method other than GET (405).
    Method = "method";
    /// A header section beyond its limit (431).
    HeaderTooLarge = "header_too_large";
    /// No such path (404).
    NotFound = "not_found";
    /// The origin is not allowed (403).
    Origin = "origin";
    /// No token, or one that is not valid (401).
    Unauthorized = "unauthorized";
    /// `websocket.max_connections`, or descriptors ran short (503).
    ConnectionLimit = "connection_limit";
    /// `websocket.max_connections_per_client` (429).
    ClientLimit = "client_limit";
    /// The user has as many connections as it may (429).
    UserLimit = "user_limit";
    /// `websocket.connection_rate`, or its ramp after the start (503).
    Rate = "rate";
    /// The process drains (503).
    Draining = "draining";
}

labels! {
    /// Why a delivery was dropped.
    Dropped:
    /// Its connection was closed for being slow.
    SlowDisconnected = "slow_disconnected";
    /// A newer one needed its place (`overflow: drop_oldest`).
    DropOldest = "drop_oldest";
    /// There was no place for it (`overflow: drop_newest`).
    DropNewest = "drop_newest";
    /// A newer one of its topic took its place (`overflow: conflate_latest`).
    Conflated = "conflated";
    /// It was waiting when its connection ended.
    ConnectionClosed = "connection_closed";
    /// `websocket.max_queued_size_per_worker` was reached.
    WorkerFull = "worker_full";
}
