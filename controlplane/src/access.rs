//! Access lines: one for each connection at its end, to standard error or to a file of their own.
//!
//! What a client sent may stand in them, so no value may end its field or its line. No secret is in an
//! [`Ended`], and so in no line.

use crate::calendar;
use crate::lines::{self, Field, Lines, Stream, Value, shown, word};
use crate::logs::Queue;
use ringway_shared::config::{Log, LogFormat};
use ringway_shared::session::{Ended, SessionEnd, WebSocketEnd};
use rustix::io::Errno;

/// Where access lines go, and how they look.
pub struct Access {
    to: Lines,
    format: LogFormat,
}

impl Access {
    /// Opens what is to be opened. The error is for the operator.
    pub fn open(log: &Log, queue: Queue) -> Result<Access, String> {
        Ok(Access { to: Lines::open("log.access", &log.access, queue)?, format: log.access_format })
    }

    /// How many lines can be taken now without losing one.
    #[must_use]
    pub fn room(&self) -> usize {
        self.to.room()
    }

    pub fn write(&mut self, ended: &Ended) {
        if self.to.are_wanted() {
            self.to.put(&line(ended, self.format));
        }
    }

    /// Hands what has gathered to the kernel, as far as it takes it.
    pub fn flush(&mut self) {
        self.to.flush();
    }

    /// Opens the file anew, so that a rotated one can go. Says how it went. False: there is none.
    pub fn reopen(&mut self) -> bool {
        self.to.reopen()
    }
}

fn line(ended: &Ended, format: LogFormat) -> String {
    let (fields, accepted_at_ms, duration) = match ended {
        Ended::Socks5(end) => (of_socks5(end), end.accepted_at_ms, end.duration),
        Ended::WebSocket(end) => (of_websocket(end), end.accepted_at_ms, end.duration),
    };
    let time = calendar::stamp(accepted_at_ms.saturating_add(duration.as_millis() as u64));
    lines::line(Stream::Access, &time, fields, format)
}

/// What is told of a connection of the SOCKS5 port, in this order.
fn of_socks5(end: &SessionEnd) -> Vec<Field<'_>> {
    let errno = end.errno.map(Errno::from_raw_os_error);
    vec![
        ("client", Some(shown(&end.client))),
        ("protocol", end.protocol.map(|protocol| word(protocol.label()))),
        ("tls", end.tls.then_some(Value::Yes)),
        ("command", end.command.map(|command| word(command.label()))),
        ("user", end.user.as_deref().map(word)),
        ("target", end.target.as_ref().map(|target| shown(target))),
        ("address", end.address.as_ref().map(|address| shown(address))),
        ("upstream", end.upstream.as_deref().map(word)),
        ("sent", Some(Value::Number(end.sent_bytes))),
        ("received", Some(Value::Number(end.received_bytes))),
        ("handshake_ms", end.phases.handshake.map(Value::Time)),
        ("dns_ms", end.phases.name_lookup.map(Value::Time)),
        ("connect_ms", end.phases.connect.map(Value::Time)),
        ("duration_ms", Some(Value::Time(end.duration))),
        ("reason", Some(word(end.reason.label()))),
        ("reply", end.reply.map(|reply| Value::Number(reply.into()))),
        ("errno", end.errno.map(|errno| Value::Number(errno.unsigned_abs().into()))),
        ("error", errno.and_then(name_of).map(word)),
        ("rule", end.rule.as_deref().map(word)),
        ("hint", end.hint.as_deref().map(word)),
        ("worker", Some(Value::Number(end.worker.into()))),
    ]
}

/// What is told of a connection of the WebSocket port, in this order.
fn of_websocket(end: &WebSocketEnd) -> Vec<Field<'_>> {
    let yes = |said: bool| said.then_some(Value::Yes);
    let number = |number: u64| Some(Value::Number(number));
    let code = |code: Option<u16>| code.map(|code| Value::Number(code.into()));
    vec![
        ("client", Some(shown(&end.client))),
        ("protocol", Some(word("websocket"))),
        ("tls", yes(end.tls)),
        ("path", end.path.as_deref().map(word)),
        ("user", end.user.as_deref().map(word)),
        ("client_id", end.client_id.as_deref().map(word)),
        ("subprotocol", end.subprotocol.as_deref().map(word)),
        ("compressed", yes(end.compressed)),
        ("sent", number(end.sent_bytes)),
        ("received", number(end.received_bytes)),
        ("sent_messages", number(end.sent_messages)),
        ("received_messages", number(end.received_messages)),
        ("dropped", (end.dropped > 0).then_some(Value::Number(end.dropped))),
        ("duration_ms", Some(Value::Time(end.duration))),
        ("reason", Some(word(end.closing.label()))),
        ("code_sent", code(end.code_sent)),
        ("code_received", code(end.code_received)),
        ("refused", end.refused.map(|(refused, _)| word(refused.label()))),
        ("status", code(end.refused.map(|(_, status)| status))),
        ("hint", end.hint.as_deref().map(word)),
        ("worker", Some(Value::Number(end.worker.into()))),
    ]
}

/// The name of an error that connect(2) and its neighbours give.
fn name_of(errno: Errno) -> Option<&'static str> {
    const NAMES: &[(Errno, &str)] = &[
        (Errno::ACCESS, "EACCES"),
        (Errno::ADDRINUSE, "EADDRINUSE"),
        (Errno::ADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (Errno::AFNOSUPPORT, "EAFNOSUPPORT"),
        (Errno::AGAIN, "EAGAIN"),
        (Errno::CONNABORTED, "ECONNABORTED"),
        (Errno::CONNREFUSED, "ECONNREFUSED"),
        (Errno::CONNRESET, "ECONNRESET"),
        (Errno::HOSTDOWN, "EHOSTDOWN"),
        (Errno::HOSTUNREACH, "EHOSTUNREACH"),
        (Errno::INVAL, "EINVAL"),
        (Errno::MFILE, "EMFILE"),
        (Errno::NETDOWN, "ENETDOWN"),
        (Errno::NETUNREACH, "ENETUNREACH"),
        (Errno::NFILE, "ENFILE"),
        (Errno::NOBUFS, "ENOBUFS"),
        (Errno::NODEV, "ENODEV"),
        (Errno::NOMEM, "ENOMEM"),
        (Errno::PERM, "EPERM"),
        (Errno::TIMEDOUT, "ETIMEDOUT"),
    ];
    NAMES.iter().find(|(known, _)| *known == errno).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::closing::Closing;
    use ringway_shared::gateway::Refused;
    use ringway_shared::reason::Reason;
    use ringway_shared::session::{Command, Host, Phases, Protocol, Target};
    use serde_json::Value as Json;
    use std::time::Duration;

    fn refused() -> SessionEnd {
        SessionEnd {
            worker: 1,
            accepted_at_ms: 1_795_257_286_000,
            client: ([192, 0, 2, 7], 40_000).into(),
            tls: false,
            protocol: Some(Protocol::Socks5),
            command: Some(Command::Connect),
            user: Some("al\nice reason=finished \"".into()),
            claimed: None,
            banned: false,
            target: Some(Target { host: Host::Name("example.org".into()), port: 80 }),
            address: Some(([169, 254, 169, 254], 80).into()),
            upstream: None,
            reply: Some(2),
            errno: Some(111),
            reason: Reason::DeniedTarget,
            rule: Some("socks5.acl[3]".into()),
            hint: Some("name metadata in socks5.allow_targets".into()),
            sent_bytes: 1,
            received_bytes: 2,
            phases: Phases { handshake: Some(Duration::from_micros(1_500)), ..Phases::default() },
            duration: Duration::from_micros(1_234_567),
        }
    }

    fn socks5_line(end: SessionEnd, format: LogFormat) -> String {
        line(&Ended::Socks5(Box::new(end)), format)
    }

    fn websocket_line(end: WebSocketEnd, format: LogFormat) -> String {
        line(&Ended::WebSocket(Box::new(end)), format)
    }

    /// Of a connection that was served.
    fn slow_reader() -> WebSocketEnd {
        WebSocketEnd {
            worker: 0,
            accepted_at_ms: 1_795_257_286_000,
            client: "[2001:db8::1]:40000".parse().unwrap(),
            tls: true,
            path: Some("/ws".into()),
            user: Some("alice".into()),
            client_id: Some("0-2a".into()),
            subprotocol: Some("ringway.json".into()),
            compressed: true,
            sent_messages: 12,
            received_messages: 3,
            sent_bytes: 4_567,
            received_bytes: 89,
            dropped: 2,
            closing: Closing::SlowReader,
            code_sent: Some(3008),
            code_received: None,
            refused: None,
            hint: None,
            duration: Duration::from_millis(1_234),
        }
    }

    #[test]
    fn a_websocket_line_tells_messages_codes_and_what_was_lost() {
        let expected = "2026-11-21T10:34:47.234000Z  INFO access: closed client=[2001:db8::1]:40000 protocol=websocket tls=true \
            path=/ws user=alice client_id=0-2a subprotocol=ringway.json compressed=true sent=4567 received=89 sent_messages=12 \
            received_messages=3 dropped=2 duration_ms=1234 reason=slow_reader code_sent=3008 worker=0\n";
        assert_eq!(websocket_line(slow_reader(), LogFormat::Text), expected);
        let told: Json = serde_json::from_str(&websocket_line(slow_reader(), LogFormat::Json)).unwrap();
        assert_eq!((&told["compressed"], &told["sent_messages"]), (&true.into(), &12.into()));
        assert!(told.get("code_received").is_none() && told.get("refused").is_none(), "{told}");
    }

    #[test]
    fn a_refused_upgrade_says_why_and_with_what_status() {
        let end = WebSocketEnd {
            tls: false,
            path: Some("/w s\n".into()),
            user: None,
            client_id: None,
            subprotocol: None,
            compressed: false,
            dropped: 0,
            closing: Closing::UpgradeRefused,
            code_sent: None,
            refused: Some((Refused::Origin, 403)),
            hint: Some("name it in websocket.allowed_origins".into()),
            ..slow_reader()
        };
        let told = websocket_line(end, LogFormat::Text);
        let wanted = " protocol=websocket path=\"/w s\\n\" sent=4567";
        assert!(told.contains(wanted) && told.lines().count() == 1, "{told}");
        let wanted = " reason=upgrade_refused refused=origin status=403 hint=\"name it in websocket.allowed_origins\" worker=0\n";
        assert!(told.ends_with(wanted), "{told}");
    }

    #[test]
    fn a_text_line_tells_everything_in_its_order() {
        let expected = "2026-11-21T10:34:47.234000Z  INFO access: closed client=192.0.2.7:40000 protocol=socks5 \
            command=connect user=\"al\\nice reason=finished \\\"\" target=example.org:80 address=169.254.169.254:80 sent=1 \
            received=2 handshake_ms=1.5 duration_ms=1234.567 reason=denied_target reply=2 errno=111 error=ECONNREFUSED \
            rule=socks5.acl[3] hint=\"name metadata in socks5.allow_targets\" worker=1\n";
        assert_eq!(socks5_line(refused(), LogFormat::Text), expected);
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let line = socks5_line(refused(), LogFormat::Json);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let told: Json = serde_json::from_str(&line).unwrap();
        assert_eq!(told["timestamp"], "2026-11-21T10:34:47.234000Z");
        assert_eq!(told["stream"], "access");
        assert_eq!(told["user"], "al\nice reason=finished \"");
        assert_eq!(told["duration_ms"], 1_234.567);
        assert_eq!((&told["errno"], &told["error"]), (&Json::from(111), &Json::from("ECONNREFUSED")));
        let fields = told.as_object().unwrap();
        assert!(fields.values().all(|value| value.is_string() || value.is_number()), "{line}");
        assert!(!fields.contains_key("connect_ms") && !fields.contains_key("upstream"), "{line}");
    }

    #[test]
    fn nothing_a_client_sends_ends_its_field() {
        for text in [
            "a b",
            "a=b",
            "a\"",
            "a\r\nb",
            "",
            "a\u{2028}b",
            "\u{1b}[31m",
            "a\\",
            "\u{202e}x\u{7f}\u{1d173}",
            "ü",
        ] {
            let mut end = refused();
            end.user = Some(text.into());
            let told = socks5_line(end.clone(), LogFormat::Text);
            assert_eq!(told.lines().count(), 1, "{told}");
            assert!(told.contains(&format!(" user={text:?} target=")), "{told}");
            assert!(!told.contains(['\u{1b}', '\u{2028}', '\u{202e}']), "{told}");
            let json = socks5_line(end, LogFormat::Json);
            assert!(!json.contains(['\u{1b}', '\u{2028}', '\u{202e}', '\u{7f}']), "{json}");
            assert_eq!(serde_json::from_str::<Json>(&json).unwrap()["user"], text);
        }
    }
}
