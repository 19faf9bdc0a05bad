//! The configuration from outside: texts in; a configuration or exactly these faults out.
//!
//! `RINGWAY_BLESS=1 cargo test -p ringway-shared` writes the expected texts and docs/configuration.md anew.

#![allow(clippy::unwrap_used)] // also in the helpers, which clippy does not take for tests

use ringway_shared::config::{self, Config, KEYS, Source, TargetClass, Value, print};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

mod loading;

use loading::{debug, load, load_with};

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

fn config(sets: &[&str]) -> Config {
    load(None, &[], sets).unwrap_or_else(|faults| panic!("{faults}")).config
}

fn faults(env: &[(&str, &str)], sets: &[&str]) -> String {
    load(None, env, sets).unwrap_err().to_string()
}

fn hold_fresh(path: &Path, text: &str) {
    if std::env::var_os("RINGWAY_BLESS").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let held = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, held, "{} is stale: run with RINGWAY_BLESS=1", path.display());
}

#[test]
fn fixtures_give_exactly_these_results() {
    let mut fixtures = 0;
    for entry in std::fs::read_dir(DIRECTORY).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".yaml") || name.ends_with(".users.yaml") {
            continue;
        }
        fixtures += 1;
        let files = |asked: &Path| match asked {
            asked if asked.file_stem().unwrap() == "nowhere" => Err(io::Error::from(ErrorKind::NotFound)),
            asked if asked.extension().unwrap() == "password" => {
                std::fs::read_to_string(path.with_extension("password"))
            }
            asked if asked.extension().unwrap() == "keys" => {
                Ok("# of a file\nhunter2-of-a-file\n".to_owned())
            }
            asked if asked.extension().unwrap() == "pem" || asked.extension().unwrap() == "key" => {
                std::fs::read_to_string(path.with_extension(asked.extension().unwrap()))
            }
            _ => std::fs::read_to_string(path.with_extension("users.yaml")),
        };
        let text = std::fs::read_to_string(&path).unwrap();
        let env = [("B_PASSWORD", "hunter2")];
        let (expected, result) = match load_with(Some(&text), &env, &[], &files) {
            Ok(loaded) => ("config", debug(&loaded.config)),
            Err(faults) => ("faults", format!("{faults}\n")),
        };
        assert!(!result.contains("hunter2"), "{name} tells a secret:\n{result}");
        hold_fresh(&path.with_extension(expected), &result);
    }
    assert!(fixtures >= 12);
}

#[test]
fn the_document_is_fresh() {
    hold_fresh(Path::new(DOCUMENT), &print::markdown());
}

#[test]
fn without_any_source_the_defaults_run() {
    let defaults = config(&[]);
    hold_fresh(&PathBuf::from(DIRECTORY).join("defaults.config"), &debug(&defaults));
    assert_eq!(defaults.workers.count, 4);
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let text = print::default_yaml();
    let loaded = load(Some(&text), &[], &[]).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(debug(&loaded.config), debug(&load(Some(""), &[], &[]).unwrap().config));
    assert!(loaded.effective.settings.iter().all(|setting| !setting.is_default()), "a key is not printed");
}

#[test]
fn every_key_can_be_set_by_file_environment_and_command_line() {
    for key in KEYS {
        let words: Vec<&str> = key.path.split('.').collect();
        let file: String = words[..words.len() - 1]
            .iter()
            .enumerate()
            .map(|(depth, word)| format!("{:width$}{word}:\n", "", width = depth * 2))
            .chain([format!("{:width$}{}: {}\n", "", key.name(), key.default, width = 2 * words.len() - 2)])
            .collect();
        let variable = format!("RINGWAY_{}", key.path.to_uppercase().replace('.', "__"));
        let set = format!("{}={}", key.path, key.default);
        let ways = [
            load(Some(&file), &[], &[]),
            load(None, &[(&variable, key.default)], &[]),
            load(None, &[], &[&set]),
        ];
        for way in ways {
            let loaded = way.unwrap_or_else(|faults| panic!("{faults}"));
            let set: Vec<_> = loaded.effective.settings.iter().filter(|s| !s.is_default()).collect();
            assert_eq!(set.len(), 1, "{}", key.path);
            assert_eq!(set[0].key.path, key.path);
        }
    }
}

#[test]
fn the_stronger_source_wins() {
    let file = "log: {level: error}\n";
    let named = ("RINGWAY_LOG__LEVEL", "debug");
    for (file, env, sets, wins, origin) in [
        (None, vec![], vec![], "info", "default"),
        (Some(file), vec![], vec![], "error", "etc/ringway.yaml:1:14"),
        (Some(file), vec![("LOG_LEVEL", "WARN")], vec![], "warn", "environment LOG_LEVEL"),
        (Some(file), vec![named, ("LOG_LEVEL", "warn")], vec![], "debug", "environment RINGWAY_LOG__LEVEL"),
        (Some(file), vec![named], vec!["log.level=info", "log.level=trace"], "trace", "--set log.level=…"),
    ] {
        let loaded = load(file, &env, &sets).unwrap();
        let setting = loaded.effective.get("log.level").unwrap();
        assert_eq!(setting.value, Value::Text(wins.to_owned()));
        assert_eq!(setting.origin(), origin);
    }
}

#[test]
fn lists_may_be_written_in_several_ways_in_overrides() {
    for value in [
        "127.0.0.1:1,[::1]:2",
        "127.0.0.1:1, [::1]:2",
        r#"["127.0.0.1:1", "[::1]:2"]"#,
        "- 127.0.0.1:1\n- '[::1]:2'",
    ] {
        let listen = config(&[&format!("socks5.listen={value}")]).socks5.listen;
        assert_eq!(listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()], "{value}");
    }
    assert_eq!(config(&["socks5.listen=[::1]:2"]).socks5.listen.len(), 1);
    assert_eq!(config(&[r#"socks5.listen="[::1]:2""#]).socks5.listen.len(), 1);
    assert!(config(&["socks5.listen=[]"]).socks5.listen.is_empty());
}

#[test]
fn a_section_can_be_set_at_once() {
    let config = config(&["socks5.timeouts={idle: 1m, drain: 0s}"]);
    assert_eq!(config.socks5.timeouts.idle.as_secs(), 60);
    assert_eq!(config.socks5.timeouts.drain.as_secs(), 0);
}

#[test]
fn faults_of_overrides_name_the_override() {
    for (env, sets, told) in [
        (vec![], vec!["socks5.listn=x"], r#"--set socks5.listn=…: unknown key; did you mean "listen"?"#),
        (
            vec![],
            vec!["log.level"],
            "--set log.level=…: is not KEY=VALUE: write for example --set log.level=debug",
        ),
        (vec![], vec!["log.level="], "--set log.level=…: is empty: give a value"),
        (
            vec![("RINGWAY_SOCKS5__LISTN", "x")],
            vec![],
            "environment RINGWAY_SOCKS5__LISTN: sets no key; did you mean RINGWAY_SOCKS5__LISTEN?",
        ),
        (
            vec![("RINGWAY_SOCKS5__LISTEN", "")],
            vec![],
            "environment RINGWAY_SOCKS5__LISTEN: socks5.listen: is empty: give a value, or [] for an empty list",
        ),
        (
            vec![("RINGWAY_CONTROL__OPEN", "true")],
            vec![],
            "environment RINGWAY_CONTROL__OPEN: control.open: unknown key: it is called control.insecure now; did you mean \"control.insecure\"?",
        ),
        (
            vec![("RINGWAY_SOCKS5__UDP", "x")],
            vec![],
            "environment RINGWAY_SOCKS5__UDP: socks5.udp: is a section: write keys with values below it",
        ),
        (
            vec![("RINGWAY_SOCKS5__ACL", "deny")],
            vec![],
            r#"environment RINGWAY_SOCKS5__ACL: socks5.acl: must be a list: write ["deny"]"#,
        ),
        (
            vec![],
            vec!["socks5.acl=[{action: deny, to: [10.0.0.1/8]}]"],
            r#"--set socks5.acl=…: socks5.acl[0].to[0]: "10.0.0.1/8" has bits beyond its mask: write 10.0.0.0/8"#,
        ),
        (
            vec![("LOG_LEVEL", "warning")],
            vec![],
            r#"environment LOG_LEVEL: log.level: "warning" is not one of error, warn, info, debug, trace"#,
        ),
    ] {
        assert_eq!(faults(&env, &sets), told);
    }
}

#[test]
fn what_concerns_others_is_left_alone() {
    let env = [
        ("PATH", "/bin"),
        ("RINGWAY_PORT", "tcp://10.0.0.1:1080"),
        ("RINGWAYS", "x"),
        ("RINGWAY_BLESS", "1"),
    ];
    load(None, &env, &[]).unwrap();
}

#[test]
fn all_faults_are_told_in_the_order_of_their_places() {
    let found =
        load(Some("log: {level: loud}\nsocks5: {auth: x}\n"), &[("LOG_LEVEL", "x")], &["a=b"]).unwrap_err();
    let origins: Vec<_> = found.iter().map(|fault| fault.place.source.clone()).collect();
    let file = || Source::File("etc/ringway.yaml".into());
    assert_eq!(origins, [file(), file(), Source::Environment("LOG_LEVEL".into()), Source::Set("a".into())]);
}

#[test]
fn a_flood_of_faults_is_counted() {
    let text: String = (0..5000).map(|n| format!("key{n}: 1\n")).collect();
    let found = load(Some(&text), &[], &["a=b"]).unwrap_err();
    assert_eq!(found.iter().count(), 100);
    assert!(found.to_string().ends_with("… and 1 more"));
}

#[test]
fn large_files_are_refused() {
    let text = format!("#{}", " ".repeat(config::FILE_BYTES_MAX));
    let told = load(Some(&text), &[], &[]).unwrap_err().to_string();
    assert_eq!(told, "etc/ringway.yaml: is larger than 1048576 bytes: this is no configuration file");
}

#[test]
fn private_targets_are_allowed_only_while_every_listener_is_loopback() {
    let open = "socks5.open_proxy=true";
    for (sets, allowed) in [
        (vec![], true),
        (vec!["socks5.listen=127.0.0.1:1,[::1]:1,[::ffff:127.0.0.1]:1"], true),
        (vec!["socks5.listen=127.0.0.1:1,192.0.2.1:1", open], false),
        (vec!["socks5.listen=0.0.0.0:1", open], false),
        (vec!["socks5.listen=0.0.0.0:1", open, "socks5.allow_targets=private"], true),
    ] {
        assert_eq!(config(&sets).socks5.allow_targets.contains(TargetClass::Private), allowed, "{sets:?}");
    }
    assert!(
        config(&["socks5.deny_targets=private"]).socks5.deny_targets.classes.contains(TargetClass::Private)
    );
}

#[test]
fn workers_follow_the_cpus_named_and_allowed() {
    for (sets, count) in [
        (vec![], 4),
        (vec!["workers.count=9"], 9),
        (vec!["workers.cpus=1,3"], 2),
        (vec!["workers.cpus=1,3", "workers.count=2"], 2),
    ] {
        assert_eq!(config(&sets).workers.count, count, "{sets:?}");
    }
}

#[test]
fn the_users_file_lies_beside_the_configuration_file() {
    let asked = std::cell::RefCell::new(Vec::new());
    let users = |path: &Path| {
        asked.borrow_mut().push(path.to_owned());
        Ok("users: []".to_owned())
    };
    load_with(Some("socks5: {auth: password}"), &[], &[], &users).unwrap();
    load_with(None, &[], &["socks5.auth=password"], &users).unwrap();
    load_with(Some(""), &[], &["socks5.auth=password", "socks5.users_file=/srv/u.yaml"], &users).unwrap();
    load_with(Some(""), &[], &[], &users).unwrap();
    assert_eq!(*asked.borrow(), ["etc/users.yaml", "users.yaml", "/srv/u.yaml"].map(PathBuf::from));
}

#[test]
fn the_effective_configuration_tells_who_set_what_and_loads_again() {
    let file = "socks5:\n  timeouts:\n    idle: 5m\n";
    let env = [("RINGWAY_SOCKS5__DENY_TARGETS", "private,10.0.0.0/8")];
    let loaded = load(Some(file), &env, &["socks5.listen=127.0.0.1:0"]).unwrap();
    let text = print::effective_yaml(&loaded.effective);
    assert!(text.contains("\n    idle: 5m  # etc/ringway.yaml:3:11\n"), "{text}");
    let denied = "\n  deny_targets: [private, 10.0.0.0/8]  # environment RINGWAY_SOCKS5__DENY_TARGETS\n";
    assert!(text.contains(denied), "{text}");
    assert!(text.contains("\n  listen: [\"127.0.0.1:0\"]  # --set socks5.listen=…\n"), "{text}");
    assert_eq!(debug(&load(Some(&text), &[], &[]).unwrap().config), debug(&loaded.config));

    let json = loaded.effective.to_json();
    assert_eq!(json["socks5.timeouts.idle"]["value"], "5m");
    assert_eq!(json["socks5.timeouts.idle"]["origin"], "etc/ringway.yaml:3:11");
    assert_eq!(json["socks5.timeouts.idle"]["reload"], "new_connections");
    assert_eq!(json["log.level"]["origin"], "default");
}

#[test]
fn mappings_are_shown_one_below_the_other_and_load_again_from_every_source() {
    let rules = "[{action: deny, to: [Example.org., 10.0.0.0/8], ports: [25, 6000-6063], hours: '22:00-6:00'}, {action: allow, via: exits}]";
    let proxies = "[{name: a, group: exits, address: 'x.example:1', username: u, password_env: SECRET}]";
    let secret = ("SECRET", "hunter2");
    let file = format!("socks5:\n  acl: {rules}\n  upstream: {{proxies: {proxies}}}\n");
    let env = [("RINGWAY_SOCKS5__ACL", rules), ("RINGWAY_SOCKS5__UPSTREAM__PROXIES", proxies), secret];
    let sets = [format!("socks5.acl={rules}"), format!("socks5.upstream.proxies={proxies}")];
    let sets: Vec<_> = sets.iter().map(String::as_str).collect();
    for loaded in
        [load(Some(&file), &[secret], &[]), load(Some(""), &env, &[]), load(Some(""), &[secret], &sets)]
    {
        let loaded = loaded.unwrap_or_else(|faults| panic!("{faults}"));
        let text = print::effective_yaml(&loaded.effective);
        let rule = "    - {action: deny, to: [example.org, 10.0.0.0/8], ports: [25, \"6000-6063\"], hours: \"22:00-06:00\"}\n";
        assert!(text.contains(rule), "{text}");
        assert!(!text.contains("hunter2") && !loaded.effective.to_json().to_string().contains("hunter2"));
        let login = loaded.config.socks5.upstream.proxies[0].login.as_ref().unwrap();
        assert_eq!(&*login.password, b"hunter2");
        let again = load(Some(&text), &[secret], &[]).unwrap_or_else(|faults| panic!("{faults}"));
        assert_eq!(debug(&again.config), debug(&loaded.config));
    }
}

#[test]
fn the_schema_knows_every_key_and_its_default() {
    let schema: serde_json::Value = serde_json::from_str(&print::schema_json()).unwrap();
    for key in KEYS {
        let pointer: String = key.path.split('.').map(|word| format!("/properties/{word}")).collect();
        let property =
            schema.pointer(&pointer).unwrap_or_else(|| panic!("{} is not in the schema", key.path));
        assert!(property.get("default").is_some(), "{}", key.path);
        assert_eq!(property["description"], key.doc);
    }
}
