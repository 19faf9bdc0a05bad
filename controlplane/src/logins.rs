//! The lines about failed logins, in one fixed form: fail2ban and its like act upon them (tuning/fail2ban/).

use crate::logs::LOGIN;
use ringway_shared::config::Logins;
use ringway_shared::reason::Reason;
use ringway_shared::session::SessionEnd;

/// Says of an ended connection whose login failed that it did, and if that banned the client.
pub fn tell(end: &SessionEnd, logins: &Logins) {
    if let Some(line) = failure(end) {
        tracing::warn!(target: LOGIN, "{line}");
    }
    if end.banned {
        let (client, seconds) = (end.client.ip().to_canonical(), logins.ban.as_secs());
        tracing::warn!(target: LOGIN, "client banned client={client} seconds={seconds}");
    }
}

/// `login failed client=192.0.2.7 port=40000 user="alice" protocol=socks5`. The client's address comes first: what a
/// client made up comes after it, quoted and escaped.
fn failure(end: &SessionEnd) -> Option<String> {
    // Who hangs up before the answer has failed as well.
    if end.reason != Reason::AuthFailed && end.claimed.is_none() {
        return None;
    }
    let (client, port) = (end.client.ip().to_canonical(), end.client.port());
    let user = end.claimed.as_deref().unwrap_or_default();
    let protocol = end.protocol.map_or("unknown", |protocol| protocol.label());
    Some(format!("login failed client={client} port={port} user={user:?} protocol={protocol}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::session::{Phases, Protocol};
    use std::time::Duration;

    fn ended(reason: Reason, claimed: Option<&str>) -> SessionEnd {
        SessionEnd {
            worker: 0,
            accepted_at_ms: 0,
            client: "[::ffff:192.0.2.7]:40000".parse().unwrap(),
            tls: false,
            protocol: Some(Protocol::Socks5),
            command: None,
            user: None,
            claimed: claimed.map(Into::into),
            banned: false,
            target: None,
            address: None,
            upstream: None,
            reply: None,
            errno: None,
            reason,
            rule: None,
            hint: None,
            sent_bytes: 0,
            received_bytes: 0,
            phases: Phases::default(),
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn a_failed_login_is_told_in_its_fixed_form() {
        let told = failure(&ended(Reason::AuthFailed, Some("alice"))).unwrap();
        assert_eq!(told, r#"login failed client=192.0.2.7 port=40000 user="alice" protocol=socks5"#);
        assert!(failure(&ended(Reason::ClientGone, Some("alice"))).is_some(), "it hung up early");
        assert!(failure(&ended(Reason::Finished, None)).is_none());
    }

    #[test]
    fn a_name_cannot_forge_another_clients_failure() {
        let name = "x\"\nlogin failed client=198.51.100.1 port=1 user=\"";
        let told = failure(&ended(Reason::AuthFailed, Some(name))).unwrap();
        assert!(told.starts_with("login failed client=192.0.2.7 port=40000 user=\"x\\\"\\nlogin"), "{told}");
        assert_eq!(told.lines().count(), 1);
    }
}
