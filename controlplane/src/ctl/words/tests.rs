//! Every route has its word, and every word its route.

use super::super::Ctl;
use super::super::verbs::WITHOUT_VERB;
use super::*;
use crate::cli::Arguments;
use crate::server::routes;
use clap::{CommandFactory, Parser};

fn parse(line: &str) -> Result<Call, Error> {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        ctl: Ctl,
    }
    Line::try_parse_from(std::iter::once("ctl").chain(line.split(' '))).map(|line| line.ctl.call)
}

fn asked(line: &str) -> (String, String, Option<String>) {
    let call = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    (call.method, call.target, call.body)
}

#[test]
fn every_route_is_reached_by_a_command() {
    for route in routes().filter(|route| !route.test_only) {
        let reached = |verb: &Verb| verb.routes().iter().any(|known| std::ptr::eq(*known, route));
        let needs_none = WITHOUT_VERB.contains(&(route.method, route.path));
        assert!(
            needs_none || VERBS.iter().any(reached),
            "{} {} has no command: add one to VERBS",
            route.method,
            route.path
        );
    }
}

#[test]
fn the_command_line_holds_together() {
    Arguments::command().debug_assert();
}

#[test]
fn what_is_given_by_place_is_there_to_be_given() {
    for verb in VERBS.iter().filter(|verb| !verb.routes().is_empty()) {
        let routes = verb.routes();
        let fields = routes.iter().find_map(|route| fields_of(route)).unwrap_or_default();
        for name in verb.placed {
            let known = parameters(&routes).iter().any(|(known, _)| known.name == *name)
                || fields.iter().any(|field| field.name == *name);
            assert!(known, "{}: {name}", verb.words);
        }
    }
}

#[test]
fn a_parameter_is_not_taken_for_an_option_of_the_same_name() {
    let (method, target, _) = asked("override clear log.level --key /its.pem");
    assert_eq!((&*method, &*target), ("DELETE", "/admin/override?key=log.level"));
}

#[test]
fn one_connection_is_killed_by_its_id() {
    let (method, target, body) = asked("connections kill 0-s-1 --reason spam");
    assert_eq!((&*method, &*target, body), ("DELETE", "/api/v1/connections/0-s-1?reason=spam", None));
}

#[test]
fn words_become_requests() {
    let (get, post) = ("GET".to_owned(), "POST".to_owned());
    for (line, method, target, body) in [
        ("status", &get, "/health", None),
        ("get /stats?x=1", &get, "/stats?x=1", None),
        ("post /api/info {}", &post, "/api/info", Some("{}")),
        ("publish news hello", &post, "/api/publish", Some(r#"{"channel":"news","data":"hello"}"#)),
        (
            r#"publish news {"a":[1]} --skip-history --idempotency-key k"#,
            &post,
            "/api/publish",
            Some(r#"{"channel":"news","data":{"a":[1]},"skip_history":true,"idempotency_key":"k"}"#),
        ),
        ("broadcast 7 a b", &post, "/api/broadcast", Some(r#"{"channels":["a","b"],"data":7}"#)),
        (
            "history news --limit -1 --reverse",
            &post,
            "/api/history",
            Some(r#"{"channel":"news","limit":-1,"reverse":true}"#),
        ),
        ("unsubscribe --user 7", &post, "/api/unsubscribe", Some(r#"{"user":"7"}"#)),
        ("channels", &post, "/api/channels", Some("{}")),
        (
            "override set log.level=debug socks5.limits.connections=7 --for 10m",
            &post,
            "/admin/override",
            Some(r#"{"set":{"log.level":"debug","socks5.limits.connections":7},"for":"10m"}"#),
        ),
        ("rollback 3 --dry-run", &post, "/admin/config/rollback?generation=3&dry_run=1", None),
        (
            r#"command publish {"channel":"a=b","data":1}"#,
            &post,
            "/api",
            Some(r#"{"method":"publish","params":{"channel":"a=b","data":1}}"#),
        ),
        ("drain --for 10m", &post, "/admin/drain", Some(r#"{"for":"10m"}"#)),
        ("drain status", &get, "/admin/drain", None),
        ("connections list --user a/b --limit 5", &get, "/api/v1/connections?user=a%2Fb&limit=5", None),
        (
            "connections kill --filter user=a --filter service=socks5 --dry-run",
            &post,
            "/api/v1/connections/kill",
            Some(r#"{"filter":{"user":"a","service":"socks5"},"dry_run":true}"#),
        ),
        ("traffic --from -7d --to -1d", &get, "/api/v1/history?from=-7d&to=-1d", None),
        ("hist", &get, "/debug/hist", None),
        ("hist connect", &get, "/debug/hist/connect", None),
        ("command info", &post, "/api", Some(r#"{"method":"info"}"#)),
    ] {
        assert_eq!(asked(line), (method.clone(), target.to_owned(), body.map(str::to_owned)), "{line}");
    }
}

#[test]
fn what_is_missing_or_unknown_is_told_before_anything_is_asked() {
    for line in [
        "publish news",
        "publish",
        "fly",
        "get stats",
        "history a --limit x",
        "stats --limit 7",
        "command fly",
        "connections kill 0-s-1 --all",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn segments_are_written_so_that_they_stay_one() {
    assert_eq!(segment("0-s-7"), "0-s-7");
    assert_eq!(segment("a/b?c d%ü"), "a%2Fb%3Fc%20d%25%C3%BC");
}
