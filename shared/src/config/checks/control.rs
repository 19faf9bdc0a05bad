//! Rules between the keys of the control port.

use super::{Check, Complaint, about, beyond_loopback};
use crate::config::control::written::ClientAuth;
use crate::config::draft::Draft;
use crate::config::read::listed;
use crate::config::{AllowedOrigin, HostFacts};

/// Bytes of `sun_path` (unix(7)), its ending zero left out.
const SOCKET_PATH_BYTES_MAX: usize = 107;

pub const CHECKS: &[Check] = &[
    Check {
        keys: &["control.listen", "control.tokens", "control.tokens_file", "control.insecure"],
        run: strangers_are_asked,
    },
    Check {
        keys: &[
            "control.tls.listen",
            "control.tls.client_auth",
            "control.tokens",
            "control.tokens_file",
            "control.insecure",
        ],
        run: strangers_by_tls_are_asked,
    },
    Check {
        keys: &["control.tls.client_auth", "control.tls.client_ca_file"],
        run: certificates_can_be_judged,
    },
    Check { keys: &["control.allowed_origins"], run: origins_are_somebodys },
    Check { keys: &["control.unix"], run: socket_path_fits },
];

fn strangers_are_asked(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let exposed = beyond_loopback(&draft.config.control.listen);
    if exposed.is_empty() || draft.control.has_tokens() || draft.config.control.insecure {
        return Vec::new();
    }
    let message = format!(
        "{} is not loopback and nobody would be asked for a token: add control.tokens (`ringway token` makes one), listen on 127.0.0.1, or, to let anybody who reaches it do everything, set control.insecure: true",
        listed(exposed)
    );
    vec![about("control.listen", message)]
}

fn strangers_by_tls_are_asked(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let exposed = beyond_loopback(&draft.config.control.tls.tls.listen);
    let asked = draft.control.has_tokens() || draft.control.client_auth != ClientAuth::None;
    if exposed.is_empty() || asked || draft.config.control.insecure {
        return Vec::new();
    }
    let message = format!(
        "{} is not loopback and nobody would be asked who they are: add control.tokens (`ringway token` makes one) or control.tls.client_auth: required, or, to let anybody who reaches it do everything, set control.insecure: true",
        listed(exposed)
    );
    vec![about("control.tls.listen", message)]
}

fn certificates_can_be_judged(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    if draft.control.client_auth == ClientAuth::None || draft.control.client_ca_file.is_some() {
        return Vec::new();
    }
    let message = "needs control.tls.client_ca_file: name the PEM file of the authorities that sign client certificates";
    vec![about("control.tls.client_auth", message)]
}

/// An entry for everybody would let every page a browser opens steer ringway.
fn origins_are_somebodys(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let origins = &draft.config.control.allowed_origins;
    if !origins.iter().any(|origin| matches!(origin, AllowedOrigin::Any | AllowedOrigin::Null)) {
        return Vec::new();
    }
    let message =
        "\"*\" and \"null\" would let every web page act here: name the origins, such as https://ops.example";
    vec![about("control.allowed_origins", message)]
}

/// The folder of the configuration comes before a relative path later: what is too long by itself is told here, the rest at the start.
fn socket_path_fits(draft: &Draft, _: &HostFacts) -> Vec<Complaint> {
    let Some(path) = &draft.control.unix else { return Vec::new() };
    let bytes = path.as_os_str().len();
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Vec::new();
    }
    let message = format!(
        "has {bytes} bytes: the kernel takes {SOCKET_PATH_BYTES_MAX} for a socket, choose a shorter path"
    );
    vec![about("control.unix", message)]
}
