//! The configuration against texts made to hurt: nothing panics, nothing takes long, nothing is read without limit.

#![allow(clippy::unwrap_used)]

mod loading;

use loading::{debug, load, load_with};
use proptest::prelude::*;
use ringway_shared::config::{self, KEYS, print};
use std::path::Path;

/// Texts made to be slow: the time must grow with the length, not with its square.
#[test]
fn no_text_within_the_limits_takes_long() {
    for piece in [
        "[", "{", "- ", "? ", "a: ", "&a ", "!a ", "a\n", "\"a\" ", "a: [\n", "#\n", "- a\n", "{a: ", "'",
        "[a, ", "|\n",
    ] {
        let text = piece.repeat(config::FILE_BYTES_MAX / piece.len());
        #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
        let began = std::time::Instant::now();
        let _ = load(Some(&text), &[], &[]).map_err(|faults| faults.to_string());
        assert!(began.elapsed().as_secs() < 10, "{piece:?}");
    }
}

/// Mappings inside lists are read in pieces of their own.
#[test]
fn no_mapping_within_the_limits_takes_long() {
    for (head, piece, tail) in [
        ("socks5: {acl: [{", "x: 1, ", "}]}"),
        ("socks5: {acl: [", "{x: 1}, ", "]}"),
        ("socks5: {acl: [{to: [", "x!, ", "]}]}"),
        ("socks5: {upstream: {proxies: [{", "names: 1, ", "}]}}"),
        ("socks5: {acl: [", "{action: deny, to: [a.b, c.d], days: [mon]}, ", "]}"),
    ] {
        let text = head.to_owned() + &piece.repeat((config::FILE_BYTES_MAX - 64) / piece.len()) + tail;
        #[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
        let began = std::time::Instant::now();
        let told = load(Some(&text), &[], &[]).map(|_| ()).unwrap_err();
        assert!(began.elapsed().as_secs() < 60, "{piece:?}");
        assert!(told.iter().count() <= 100);
    }
}

#[test]
fn the_most_users_can_be_read_and_no_more() {
    for (count, fits) in [(config::USERS_MAX, true), (config::USERS_MAX + 1, false)] {
        let line = |n: usize| format!("  - {{name: u{n}, password: \"{{plain}}{n}\"}}\n");
        let text: String = std::iter::once("users:\n".to_owned()).chain((0..count).map(line)).collect();
        let result = load_with(None, &[], &["socks5.auth=password"], &|_| Ok(text.clone()));
        assert_eq!(result.is_ok(), fits);
    }
}

/// Texts near enough to a configuration to get past the first line.
fn nearly_yaml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        (0..KEYS.len()).prop_map(|index| KEYS[index].path.to_owned()),
        (0..KEYS.len()).prop_map(|index| format!("{}: {}", KEYS[index].name(), KEYS[index].default)),
        prop::sample::select(vec![
            "socks5:",
            "timeouts:",
            "\n",
            "\n  ",
            "\n    ",
            "\t",
            "[",
            "]",
            "{",
            "}",
            ", ",
            "- ",
            "\"",
            "'",
            "&a ",
            "*a",
            "!!x ",
            "? ",
            ": ",
            "|\n",
            ">-\n",
            "---\n",
            "...\n",
            "%YAML 1.2\n",
            "#",
            "\r\n",
            "\0",
            "\u{feff}",
            "ü",
            "9999999999999999999",
            "users:",
            "name:",
            "password: $argon2id$v=19$",
            "$2b$",
            "{plain}",
            "acl:",
            "proxies:",
            "{action: deny, ",
            "via: exits",
            "to: [10.0.0.0/8, a.example]",
            "ports: [1-2]",
            "days: [sat-mon]",
            "hours: 22:00-06:00",
            "{name: a, address: 'x:1', ",
            "password_env: X",
            "quota: 1GiB",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(
        file in nearly_yaml(),
        users in nearly_yaml(),
        set in nearly_yaml(),
        value in nearly_yaml(),
        key in 0..KEYS.len(),
    ) {
        let users = |_: &Path| Ok(users.clone());
        let set_one = format!("{}={value}", KEYS[key].path);
        let ways = [
            load_with(Some(&file), &[], &[&set], &users),
            load_with(None, &[], &[&set_one], &users),
            load_with(None, &[], &["socks5.auth=password"], &users),
        ];
        for faults in ways.into_iter().filter_map(Result::err) {
            prop_assert!(!faults.to_string().is_empty());
        }
    }

    #[test]
    fn whatever_loads_can_be_printed_and_loaded_again(file in nearly_yaml()) {
        if let Ok(loaded) = load(Some(&file), &[], &[]) {
            let again = load(Some(&print::effective_yaml(&loaded.effective)), &[], &[]);
            prop_assert_eq!(debug(&again.unwrap().config), debug(&loaded.config));
        }
    }
}
