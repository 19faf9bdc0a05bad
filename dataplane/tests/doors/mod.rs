//! The doors: which packages may be named where.

/// A package and the only files that may name it. `x.rs` opens the folder `x/` as well; `x/` is any file in it.
pub struct Door {
    pub package: &'static str,
    pub files: &'static [&'static str],
}

pub const DOORS: &[Door] = &[
    Door { package: "monoio", files: &["dataplane/src/rt.rs"] },
    Door { package: "io_uring", files: &["dataplane/src/rt.rs"] },
    Door {
        package: "socket2",
        files: &["dataplane/src/io/listener.rs", "dataplane/src/io/dial.rs", "benches/"],
    },
    Door {
        package: "crossbeam_channel",
        files: &[
            "dataplane/src/io/inbox.rs",
            "dataplane/src/io/records.rs",
            "dataplane/src/io/verify.rs",
            "dataplane/src/workers.rs",
        ],
    },
    Door { package: "quinn_udp", files: &["dataplane/src/io/udp.rs", "benches/"] },
    // Three system calls that rustix has not, or only as unsafe code: UDP_SEGMENT, close(2) of what gives up its number, another process's clock.
    Door {
        package: "nix",
        files: &["dataplane/src/io/udp.rs", "dataplane/src/rt/ready.rs", "benches/src/server.rs"],
    },
    Door { package: "simdutf8", files: &["dataplane/src/proto/websocket.rs"] },
    Door { package: "hickory_resolver", files: &["dataplane/src/io/resolve.rs"] },
    Door { package: "tokio", files: &["dataplane/src/io/resolve.rs", "controlplane/"] },
    Door {
        package: "hdrhistogram",
        files: &["shared/src/histogram.rs", "controlplane/src/observe.rs", "benches/"],
    },
    Door {
        package: "rustls",
        files: &[
            "dataplane/src/io/tls.rs",
            "shared/src/config/tls.rs",
            "controlplane/src/fetch.rs",
            "controlplane/src/jwks.rs",
            "controlplane/src/ctl.rs",
            "controlplane/src/server/ports/tls.rs",
        ],
    },
    Door { package: "rusqlite", files: &["controlplane/src/history/store.rs"] },
    Door { package: "x509_cert", files: &["shared/src/config/tls.rs"] },
    Door {
        package: "flate2",
        files: &["dataplane/src/proto/deflate.rs", "controlplane/src/server/bundle.rs"],
    },
    Door { package: "tar", files: &["controlplane/src/server/bundle.rs"] },
    Door { package: "idna", files: &["dataplane/src/policy/acl.rs"] },
    Door { package: "jiff", files: &["dataplane/src/io/local_time.rs", "controlplane/src/calendar.rs"] },
    Door { package: "jsonwebtoken", files: &["dataplane/src/policy/jwt.rs"] },
    Door {
        package: "ring",
        files: &[
            "dataplane/src/policy/jwt.rs",
            "dataplane/src/policy/tokens.rs",
            // As the provider of rustls.
            "dataplane/src/io/tls.rs",
            "shared/src/config/tls.rs",
            "controlplane/src/fetch.rs",
            "controlplane/src/jwks.rs",
            "controlplane/src/ctl.rs",
            "controlplane/src/server/ports/tls.rs",
        ],
    },
    Door {
        package: "tokio_rustls",
        files: &[
            "controlplane/src/fetch.rs",
            "controlplane/src/jwks.rs",
            "controlplane/src/ctl.rs",
            "controlplane/src/server/ports/tls.rs",
        ],
    },
    Door { package: "rustls_native_certs", files: &["controlplane/src/fetch.rs", "controlplane/src/ctl.rs"] },
    Door { package: "metrics", files: &["controlplane/src/export.rs"] },
    Door { package: "metrics_exporter_prometheus", files: &["controlplane/src/export.rs"] },
    Door { package: "metrics_process", files: &["controlplane/src/export.rs"] },
    Door {
        package: "hyper",
        files: &["controlplane/src/server.rs", "controlplane/src/fetch.rs", "controlplane/src/ctl.rs"],
    },
    Door {
        package: "tungstenite",
        files: &["dataplane/src/proto/websocket.rs", "dataplane/src/proto/upgrade.rs"],
    },
    Door { package: "clap_complete", files: &["controlplane/src/manual.rs"] },
    Door { package: "clap_mangen", files: &["controlplane/src/manual.rs"] },
    Door { package: "mimalloc", files: &["controlplane/src/allocator.rs"] },
    Door { package: "libmimalloc_sys", files: &["controlplane/src/allocator.rs"] },
    Door { package: "listenfd", files: &["controlplane/src/systemd.rs"] },
    Door { package: "argon2", files: &["dataplane/src/io/verify.rs", "controlplane/src/passwd.rs"] },
    Door { package: "bcrypt", files: &["dataplane/src/io/verify.rs", "controlplane/src/passwd.rs"] },
];
