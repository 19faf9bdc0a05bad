//! What a reload asks of the configuration: which keys differ, which are held, what is set for a time.

#![allow(clippy::unwrap_used)]

use ringway_shared::config::{
    self, Change, Faults, HostFacts, KEYS, Loaded, Override, Reload, SourceFile, Sources, Value, difference,
};
use std::io;
use std::path::Path;

/// A configuration and the files it names, by their names.
#[derive(Clone, Default)]
struct Written {
    text: String,
    files: Vec<(&'static str, String)>,
    overrides: Vec<Override>,
    held: Vec<(&'static str, Value)>,
}

impl Written {
    fn of(text: &str) -> Written {
        Written { text: text.to_owned(), ..Written::default() }
    }

    fn with(mut self, name: &'static str, text: &str) -> Written {
        self.files.push((name, text.to_owned()));
        self
    }

    fn load(&self) -> Result<Loaded, Faults> {
        let read_file = |path: &Path| {
            let found = self.files.iter().find(|(name, _)| path == Path::new("etc").join(name));
            found.map(|(_, text)| text.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
        };
        config::load(&Sources {
            file: Some(SourceFile { name: "etc/ringway.yaml".to_owned(), text: self.text.clone() }),
            env: Vec::new(),
            sets: Vec::new(),
            overrides: self.overrides.clone(),
            held: self.held.clone(),
            host: HostFacts { cpus_allowed: vec![0, 1, 2, 3] },
            read_file: &read_file,
        })
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|faults| panic!("{faults}"))
    }
}

fn between(before: &Written, after: &Written) -> Vec<Change> {
    let (before, after) = (before.loaded(), after.loaded());
    difference((&before.config, &before.effective), (&after.config, &after.effective))
}

/// The changes, a line each.
fn told(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| {
        let note = change.note.as_ref().map_or(String::new(), |note| format!(" ({note})"));
        format!("{}: {} -> {}{note}", change.key.path, change.from, change.to)
    };
    changes.iter().map(line).collect()
}

#[test]
fn keys_that_differ_are_told_with_both_values() {
    let before = Written::of("socks5: {limits: {connections: 10}}\n");
    let after = Written::of("# moved\n\nsocks5:\n  limits: {connections: 20}\nlog: {level: debug}\n");
    assert_eq!(
        told(&between(&before, &after)),
        ["socks5.limits.connections: 10 -> 20", "log.level: info -> debug"]
    );
    assert!(between(&before, &before).is_empty());
    // Where it stands, and saying what is so anyway, is no difference.
    let moved = Written::of("\n\nsocks5: {limits: {connections: 10}}\nlog: {level: info}\n");
    assert!(between(&before, &moved).is_empty());
}

const AUTH: &str = "socks5: {auth: password, users_file: users.yaml}\n";

#[test]
fn the_contents_of_a_file_are_part_of_the_key_that_names_it() {
    let users = |entries: &[(&str, &str)]| {
        let lines: String = entries
            .iter()
            .map(|(name, rest)| format!("  - {{name: {name}, password: '{{plain}}hunter2'{rest}}}\n"))
            .collect();
        Written::of(AUTH).with("users.yaml", &format!("users:\n{lines}"))
    };
    let before = users(&[("alice", ""), ("bob", ""), ("carol", "")]);
    let after = users(&[("bob", ", connections: 3"), ("carol", ""), ("dave", "")]);
    assert_eq!(
        told(&between(&before, &after)),
        [
            r#"socks5.users_file: users.yaml -> users.yaml (users: added "dave"; removed "alice"; changed "bob")"#
        ]
    );
    let mut comment = before.clone();
    comment.files[0].1 += "# nothing but a comment\n";
    assert_eq!(
        told(&between(&before, &comment)),
        ["socks5.users_file: users.yaml -> users.yaml (its contents have changed)"]
    );
}

#[test]
fn secrets_tell_that_they_have_changed_and_nothing_else() {
    let keys = |key: &str| Written::of(&format!("control: {{api_keys: [{key}]}}\n"));
    let changes = between(&keys("hunter2hunter2"), &keys("hunter3hunter3"));
    assert_eq!(
        told(&changes),
        [r#"control.api_keys: ["<redacted>"] -> ["<redacted>"] (its contents have changed)"#]
    );
    let moved = Written::of("control:\n  api_keys:\n    - hunter2hunter2\n");
    assert!(between(&keys("hunter2hunter2"), &moved).is_empty());

    let file = |key: &str| Written::of("control: {api_keys_file: keys}\n").with("keys", key);
    assert_eq!(
        told(&between(&file("hunter2hunter2\n"), &file("hunter3hunter3\n"))),
        ["control.api_keys_file: keys -> keys (its contents have changed)"]
    );

    let proxy = "socks5: {upstream: {proxies: [{name: a, address: 'a.example:1', username: u, password_file: pw}]}}\n";
    let changes =
        between(&Written::of(proxy).with("pw", "hunter2"), &Written::of(proxy).with("pw", "hunter3"));
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].key.path, "socks5.upstream.proxies");
    assert!(!told(&changes)[0].contains("hunter"));
}

#[test]
fn tokens_and_secrets_of_the_gateway_count_as_well() {
    let tokens = "websocket: {auth: token, tokens_file: tokens}\n";
    let token = |token: &str| {
        Written::of(tokens).with("tokens", &format!("tokens: [{{user: alice, token: {token}}}]\n"))
    };
    assert_eq!(
        told(&between(&token("hunter2-hunter2-hunter2-hunter2"), &token("hunter3-hunter3-hunter3-hunter3"))),
        ["websocket.tokens_file: tokens -> tokens (its contents have changed)"]
    );
    let jwt = "websocket: {auth: jwt, jwt: {secret_file: secret}}\n";
    let secret = |digit: &str| Written::of(jwt).with("secret", &digit.repeat(40));
    assert_eq!(
        told(&between(&secret("2"), &secret("3"))),
        ["websocket.jwt.secret_file: secret -> secret (its contents have changed)"]
    );
}

#[test]
fn what_needs_a_restart_can_be_held_while_the_rest_moves_on() {
    let running = Written::of("workers: {count: 2}\n").loaded();
    let wanted = Written::of("workers: {count: 3}\nlog: {level: debug, format: json}\n");
    let new = wanted.loaded();
    let changes =
        difference((&running.config, &running.effective), (&new.config, &new.effective)).into_iter();
    let held: Vec<_> = changes
        .filter(|change| change.key.reload == Reload::Restart)
        .map(|change| (change.key.path, change.from))
        .collect();
    assert_eq!(held.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["workers.count", "log.format"]);
    let next = Written { held, ..wanted }.loaded();
    assert_eq!((next.config.workers.count, running.config.workers.count), (2, 2));
    assert_eq!(next.config.log.access_format, running.config.log.access_format);
    assert_eq!(next.effective.get("workers.count").unwrap().origin(), "in force until a restart");
    assert_eq!(
        told(&difference((&running.config, &running.effective), (&next.config, &next.effective))),
        ["log.level: info -> debug"]
    );
}

#[test]
fn checks_between_keys_see_what_is_held() {
    let held = vec![("workers.cpus", Value::List(vec![Value::Number(0), Value::Number(1)]))];
    let faults = Written { held, ..Written::of("workers: {count: 3}\n") }.load().unwrap_err();
    assert!(faults.to_string().contains("workers.c"), "{faults}");
}

#[test]
fn every_key_that_needs_a_restart_can_be_held_at_its_value() {
    let loaded = Written::of("workers: {count: 3, cpus: [0, 1, 2]}\nsocks5: {dns: {servers: ['192.0.2.1:5353', '2001:db8::1']}, quota_file: a b/quotas.json}\nlog: {format: json}\n").loaded();
    let restart = KEYS.iter().filter(|key| key.reload == Reload::Restart);
    let held: Vec<_> =
        restart.map(|key| (key.path, loaded.effective.get(key.path).unwrap().value.clone())).collect();
    assert!(held.len() > 3);
    let again = Written { held: held.clone(), ..Written::of("") }.loaded();
    for (key, value) in held {
        assert_eq!(again.effective.get(key).unwrap().value, value, "{key}");
    }
}

#[test]
fn an_override_wins_over_everything_and_says_until_when() {
    let set = |key: &str, value: &str| Override {
        key: key.to_owned(),
        value: value.to_owned(),
        until: "2026-11-21T18:00:00Z".to_owned(),
    };
    let overrides = vec![set("socks5.limits.connections", "5"), set("socks5.commands", r#"["connect"]"#)];
    let loaded = Written { overrides, ..Written::of("socks5: {limits: {connections: 10}}\n") }.loaded();
    assert_eq!(loaded.config.socks5.limits.connections, Some(5));
    let setting = loaded.effective.get("socks5.limits.connections").unwrap();
    assert_eq!(setting.origin(), "override until 2026-11-21T18:00:00Z");
    assert_eq!(loaded.effective.to_json()["socks5.limits.connections"]["until"], "2026-11-21T18:00:00Z");
    let faults = Written { overrides: vec![set("log.level", "loud")], ..Written::of("") }.load().unwrap_err();
    assert!(faults.to_string().starts_with("override until 2026-11-21T18:00:00Z: log.level: "), "{faults}");
}
