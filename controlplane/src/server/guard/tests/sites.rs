//! Requests that came from other sites, or were meant for them.

use super::*;
use ringway_shared::config::{AllowedHost, AllowedOrigin};
use ringway_shared::origin::Origin;

#[test]
fn a_name_that_is_not_configured_is_refused_whatever_is_asked() {
    let listed = Control {
        allowed_hosts: vec![
            AllowedHost::Exactly("ops.example".into()),
            AllowedHost::Below("example.org".into()),
        ],
        ..open()
    };
    for (host, fixed, listed_too) in [
        ("127.0.0.1:9003", true, true),
        ("localhost", true, true),
        ("LOCALHOST:9003", true, true),
        ("a.localhost:1", true, true),
        ("[::1]:9003", true, true),
        ("192.0.2.1", true, true),
        ("localhost.:1", true, true),
        ("ops.example:9003", false, true),
        ("OPS.example.", false, true),
        ("a.example.org", false, true),
        ("example.org", false, false),
        ("evil.example", false, false),
        ("evil.example:9003", false, false),
        ("localhost.evil.example", false, false),
        ("127.0.0.1.evil.example", false, false),
        ("evil.example@127.0.0.1", false, false),
        ("127.0.0.1:9003, evil.example", false, false),
        ("[::1]evil.example", false, false),
        ("[evil]:1", false, false),
        ("[::1", false, false),
        ("", false, false),
    ] {
        for route in [route("GET", Scope::Open), route("GET", Scope::Read), route("POST", Scope::Admin)] {
            for (control, fits) in [(&open(), fixed), (&listed, listed_too)] {
                let told = verdict(control, &route, &[("host", host)]);
                assert_eq!(told != "403 host", fits, "{host} {} {told}", route.method);
            }
        }
        // Keys and tokens can be known to no page, so the publish API asks for one of the two.
        assert_eq!(verdict(&open(), &push(), &[("host", host), JSON]) != "403 host", fixed, "{host}");
        assert_eq!(
            verdict(&with_keys(), &push(), &[("host", host), ("x-api-key", "a-long-key")]),
            "api-key operate"
        );
    }
    let both = [("host", "127.0.0.1"), ("host", "evil.example")];
    assert_eq!(verdict(&open(), &route("GET", Scope::Read), &both), "403 host");
}

#[test]
fn no_other_page_acts_or_looks() {
    let listed = Control {
        allowed_origins: vec![AllowedOrigin::Exactly(Origin::parse("https://ops.example").unwrap())],
        ..open()
    };
    let (get, post) = (route("GET", Scope::Read), route("POST", Scope::Admin));
    let link: &[Header<'_>] = &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let frame: &[Header<'_>] = &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    for (headers, looks, acts) in [
        (&[][..], true, true),
        (&[("origin", "http://127.0.0.1:9003")], true, true),
        (&[("origin", "http://127.0.0.1")], false, false),
        (&[("origin", "http://127.0.0.1:80")], false, false),
        (&[("origin", "https://127.0.0.1:9003")], true, true),
        (&[("origin", "ws://127.0.0.1.evil.example:9003")], false, false),
        (&[("origin", "http://evil.example")], false, false),
        (&[("origin", "http://evil.example:9003")], false, false),
        (&[("origin", "null")], false, false),
        (&[("origin", "")], false, false),
        (&[("origin", "http://127.0.0.1:9003"), ("origin", "http://evil.example")], false, false),
        (&[("sec-fetch-site", "none")], true, true),
        (&[("sec-fetch-site", "same-origin")], true, true),
        (&[("sec-fetch-site", "same-site")], false, false),
        (&[("sec-fetch-site", "cross-site")], false, false),
        (&[("sec-fetch-site", "something-new")], false, false),
        (&[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")], false, false),
        (&[("sec-fetch-site", "cross-site"), link[0], link[1]], true, false),
        (&[("sec-fetch-site", "cross-site"), frame[0], frame[1]], false, false),
        (&[("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:9003")], false, false),
    ] {
        for control in [open(), listed.clone()] {
            assert_eq!(verdict(&control, &get, headers) != "403 origin", looks, "GET {headers:?}");
            assert_eq!(verdict(&control, &post, headers) != "403 origin", acts, "POST {headers:?}");
        }
    }
    let ops = [("origin", "https://ops.example"), ("sec-fetch-site", "cross-site")];
    assert_eq!(verdict(&listed, &post, &ops), "anybody admin");
    assert_eq!(verdict(&open(), &post, &ops), "403 origin");
    // A token does not make a page one of ours.
    let evil = [("origin", "http://evil.example"), ("authorization", "Bearer rw_own")];
    assert_eq!(verdict(&with_tokens(), &post, &evil), "403 origin");
    let evil = [("origin", "http://evil.example"), ("x-api-key", "a-long-key")];
    assert_eq!(verdict(&with_keys(), &push(), &evil), "403 origin");
}

#[test]
fn a_page_that_guesses_by_links_locks_no_program_out() {
    let (guard, control, look) = (Guard::default(), with_tokens(), route("GET", Scope::Read));
    let followed = |value: &str| {
        let headers = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("authorization", value),
        ];
        verdict_of(&guard, &control, &look, &tcp(), &headers)
    };
    let right = basic("owner", "rw_own");
    for number in 0..5 {
        assert_eq!(followed(&basic("x", &number.to_string())), "401 wrong_token");
    }
    assert_eq!(followed(&right), "429 throttled", "who says to be a browser guesses no faster");
    assert_eq!(verdict_of(&guard, &control, &look, &tcp(), &[("authorization", &right)]), "owner admin");
}

#[test]
fn what_comes_with_a_body_to_change_something_is_json() {
    let (get, post) = (route("GET", Scope::Read), route("POST", Scope::Admin));
    let sent: Header<'_> = ("content-length", "2");
    for (headers, passes) in [
        (&[][..], true),
        (&[("content-length", "0")], true),
        (&[("content-length", "0"), ("content-type", "text/plain")], true),
        (&[sent, JSON], true),
        (&[sent, ("content-type", "application/json; charset=utf-8")], true),
        (&[sent, ("content-type", "Application/JSON")], true),
        (&[sent, ("content-type", "application/merge-patch+json")], true),
        (&[sent], false),
        (&[("transfer-encoding", "chunked")], false),
        (&[sent, ("content-type", "")], false),
        (&[sent, ("content-type", "application/x-www-form-urlencoded")], false),
        (&[sent, ("content-type", "multipart/form-data; boundary=application/json")], false),
        (&[sent, ("content-type", "text/plain;application/json")], false),
        (&[sent, JSON, ("content-type", "text/plain")], false),
    ] {
        assert_eq!(verdict(&open(), &post, headers) == "anybody admin", passes, "{headers:?}");
        assert_eq!(verdict(&open(), &post, headers) == "415 content_type", !passes, "{headers:?}");
        assert_eq!(verdict(&open(), &get, headers), "anybody admin", "{headers:?}");
    }
    assert_eq!(verdict(&open(), &push(), &[]), "415 content_type", "a form sends an empty body as well");
    assert_eq!(verdict(&open(), &push(), &[JSON]), "anybody admin");
}
