//! What each route answers.

use super::super::routes;
use super::*;

fn drills() -> Port {
    Port::open(Fake { test_endpoints: true, ..Fake::default() })
}

#[test]
fn every_page_answers_and_head_answers_like_it_without_a_body() {
    let port = drills();
    // Those with a place in their path have tests of their own, as has the bundle, which is an archive.
    let pages = routes::all().filter(|route| route.method == "GET" && !route.path.contains('{'));
    for route in pages.filter(|route| route.path != "/debug/bundle") {
        let (got, head) = (port.get(route.path), port.ask("HEAD", route.path, ""));
        // What speaks another protocol says so to who asks in this one.
        let expected = if route.path == "/ws" { 426 } else { 200 };
        assert_eq!((got.status, head.status), (expected, expected), "{}", route.path);
        assert_eq!(head.body, "", "{}", route.path);
        assert_eq!(got.header("content-length"), Some(&*got.body_bytes.to_string()), "{}", route.path);
        for name in ["content-type", "cache-control", "x-content-type-options", "etag"] {
            assert_eq!(got.header(name), head.header(name), "{} {name}", route.path);
        }
        assert_eq!(got.header("cache-control"), Some("no-store"));
        assert_eq!(got.header("x-content-type-options"), Some("nosniff"));
    }
    assert!(port.ask("HEAD", "/livez", "").header("content-length").is_some_and(|length| length != "0"));
}

#[test]
fn the_index_lists_what_is_served() {
    let (plain, testing) = (Port::open(Fake::default()), drills());
    let (short, long) = (plain.get("/").body, testing.get("/").body);
    assert!(routes::all().all(|route| long.contains(route.path) && long.contains(route.summary)), "{long}");
    assert!(!short.contains("/api/v1/drill"), "{short}");
}

#[test]
fn metrics_come_in_the_format_that_accept_prefers() {
    let port = Port::open(Fake::default());
    for (accept, open) in [
        ("", false),
        ("accept: */*\r\n", false),
        ("accept: application/openmetrics-text\r\n", true),
        ("accept: application/openmetrics-text;version=1.0.0;q=0.6, text/plain;q=0.5\r\n", true),
        ("accept: application/openmetrics-text;q=0.4\r\naccept: text/plain;version=0.0.4;q=0.5\r\n", false),
        ("accept: application/openmetrics-text;q=0\r\n", false),
    ] {
        let reply = port.ask("GET", "/metrics", accept);
        let content_type = reply.header("content-type").unwrap();
        assert_eq!(content_type.starts_with("application/openmetrics-text; version=1.0.0"), open, "{accept}");
        assert_eq!(content_type.starts_with("text/plain; version=0.0.4"), !open, "{accept}");
        assert_eq!(reply.body.ends_with("# EOF\n"), open, "{accept}");
        assert!(reply.body.starts_with("opened_total 4\nworkers 2\n"), "{}", reply.body);
    }
}

#[test]
fn a_storm_of_scrapes_writes_four_pages_a_second_at_most() {
    let port = Port::open(Fake::default());
    let written = |headers| {
        let body = port.ask("GET", "/metrics", headers).body;
        body.lines().find_map(|line| line.strip_prefix("written ")?.parse::<u128>().ok()).unwrap()
    };
    let (begun, first) = (Instant::now(), written(""));
    let last = (0..50).map(|_| written("")).max().unwrap();
    assert!(last - first <= begun.elapsed().as_millis() / 250 + 1, "{} pages", last - first);
    // Who must see what has just happened says so.
    for _ in 0..3 {
        let before = written("");
        assert!(written("cache-control: no-cache\r\n") > before);
    }
    let (begun, first) = (Instant::now(), written(""));
    let last = (0..30).map(|_| written("cache-control: no-cache\r\n")).max().unwrap();
    assert!(last - first <= begun.elapsed().as_millis() / 20 + 1, "{} pages", last - first);
    assert!(last - first >= 30, "each of them was written after it was asked for");
}

#[test]
fn healthy_workers_make_every_probe_green() {
    let port = Port::open(Fake::default());
    assert_eq!(port.get("/livez").json(), serde_json::json!({"status": "ok"}));
    let ready = port.get("/readyz").json();
    assert_eq!(ready["status"], "ready");
    assert_eq!(ready["notices"][0], "epoll, because io_uring is refused");
    let health = port.get("/health").json();
    assert_eq!((&health["status"], &health["version"]), (&"ok".into(), &"1.2.3".into()));
    assert_eq!((&health["workers"], &health["generation"]), (&2.into(), &1.into()));
    assert!(health["uptime_seconds"].as_u64().unwrap() >= 10);
}

#[test]
fn a_stalled_worker_is_named() {
    let port = Port::open(Fake { heartbeat_ms: 0, ..Fake::default() });
    for path in ["/livez", "/health"] {
        let reply = port.get(path);
        assert_eq!((reply.status, &reply.json()["status"]), (503, &"stalled".into()), "{path}");
    }
    let workers = &port.get("/livez").json()["workers"];
    assert_eq!(workers.as_array().unwrap().len(), 1, "{workers}");
    assert_eq!((&workers[0]["worker"], &workers[0]["state"]), (&1.into(), &"stalled".into()));
    assert!(workers[0]["heartbeat_age_ms"].as_u64().unwrap() >= 10_000);
    assert_eq!(port.get("/readyz").status, 200);
    assert_eq!(port.get("/stats").json()["workers"][1]["state"], "stalled");
}

#[test]
fn a_dead_worker_is_named_with_its_cause_and_one_that_ended_is_well() {
    let died = WorkerState::Died { cause: "a drill".to_owned() };
    let dead = Port::open(Fake { state: died, heartbeat_ms: 0, ..Fake::default() });
    let reply = dead.get("/livez");
    assert_eq!((reply.status, &reply.json()["status"]), (503, &"died".into()));
    assert_eq!(reply.json()["workers"][0]["cause"], "a drill");
    let ended = WorkerState::Ended { cut: 0 };
    let port = Port::open(Fake { state: ended, heartbeat_ms: 0, draining: true, ..Fake::default() });
    assert_eq!(port.get("/livez").status, 200);
    assert_eq!(port.get("/readyz").status, 503);
    assert_eq!(port.get("/readyz").json(), serde_json::json!({"status": "draining"}));
    assert_eq!(port.get("/health").json()["status"], "draining");
}

#[test]
fn stats_tell_what_the_cells_hold() {
    let port = Port::open(Fake::default());
    let stats = port.get("/stats").json();
    for (pointer, value) in [
        ("/connections/active_connections", 2),
        ("/connections/total", 4),
        ("/connections/closed/finished", 2),
        ("/connections/closed/client_gone", 0),
        ("/traffic/sent_bytes", 200),
        ("/traffic/received_bytes", 0),
        ("/message_queue/inbox_messages", 6),
        ("/message_queue/queued_messages", 14),
        ("/websocket/active_connections", 4),
        ("/websocket/online_users", 3),
        ("/websocket/received_messages", 6),
        ("/websocket/dropped/drop_oldest", 2),
        ("/websocket/closed/kicked", 0),
        ("/quantiles/session/count", 2),
        ("/quantiles/dns/count", 0),
        ("/workers/1/worker", 1),
        ("/workers/1/connections", 3),
    ] {
        assert_eq!(stats.pointer(pointer), Some(&value.into()), "{pointer} in {stats}");
    }
    let p50 = stats["quantiles"]["session"]["p50_ms"].as_f64().unwrap();
    assert!((p50 - 2.0).abs() < 0.05, "{p50}");
    assert!(stats["memory"]["resident_bytes"].as_u64().unwrap() > 0);
    for key in ["heartbeat_age_ms", "driver", "busy_seconds", "state"] {
        assert!(!stats["workers"][0][key].is_null(), "{key}");
    }
}

#[test]
fn the_configuration_has_a_tag_by_which_it_is_not_sent_twice() {
    let port = Port::open(Fake::default());
    let first = port.get("/config");
    assert_eq!(first.json()["socks5.listen"]["origin"], "default");
    let tag = first.header("etag").unwrap();
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"old\", {tag}"), "*".to_owned()] {
        let again = port.ask("GET", "/config", &format!("if-none-match: {known}\r\n"));
        assert_eq!((again.status, &*again.body), (304, ""), "{known}");
        assert_eq!(again.header("etag"), Some(tag));
    }
    assert_eq!(port.ask("GET", "/config", "if-none-match: \"old\"\r\n").status, 200);
}

#[test]
fn wrong_paths_and_methods_are_told_what_is_right() {
    let port = drills();
    let lost = port.get("/x\"y");
    assert_eq!((lost.status, lost.header("content-type")), (404, Some("application/problem+json")));
    assert_eq!(lost.json()["status"], 404);
    assert_eq!(lost.json()["detail"], "no such path: /x\"y");
    assert_eq!(lost.json()["hint"], "GET / lists the paths");
    for (method, path, allow) in [
        ("POST", "/livez", "GET, HEAD"),
        ("OPTIONS", "/", "GET, HEAD"),
        ("BREW", "/stats", "GET, HEAD"),
        ("GET", "/api/v1/drill", "POST"),
    ] {
        let reply = port.ask(method, path, "");
        assert_eq!((reply.status, reply.header("allow")), (405, Some(&*allow.to_lowercase())), "{path}");
        assert_eq!(reply.json()["status"], 405);
    }
}

#[test]
fn a_path_of_its_own_is_none_that_stands_in_a_place() {
    let port = drills();
    for method in ["GET", "DELETE"] {
        let reply = port.ask(method, "/api/v1/connections/kill", "");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("post")), "{method}");
    }
}

#[test]
fn drills_reach_the_worker_they_name() {
    let port = drills();
    for (query, told) in [
        ("kind=panic&worker=0&tasks=100000", "0: Drill(Panic { tasks: 100000 })"),
        ("kind=stall&worker=1&ms=3000", "1: Drill(Stall(3s))"),
        ("worker=1&kind=die", "1: Drill(Die)"),
    ] {
        let reply = port.ask("POST", &format!("/api/v1/drill?{query}"), "");
        assert_eq!((reply.status, reply.json()), (202, serde_json::json!({"told": true})), "{query}");
        assert_eq!(port.told.recv_timeout(PATIENCE).unwrap(), told);
    }
}

#[test]
fn drills_with_wrong_parameters_tell_nobody() {
    let port = drills();
    for (query, says) in [
        ("", "kind is missing"),
        ("kind=flood&worker=0", "one of panic, stall, die"),
        ("kind=die", "worker is missing"),
        ("kind=die&worker=2", "worker must be a number from 0 to 1"),
        ("kind=die&worker=-1", "worker must be"),
        ("kind=die&worker=0&worker=1", "worker is given twice"),
        ("kind=die&worker=0&ms=1", "ms: kind=die has no such parameter"),
        ("kind=panic&worker=0", "tasks is missing"),
        ("kind=panic&worker=0&tasks=0", "tasks must be a number from 1 to 1000000"),
        ("kind=panic&worker=0&tasks=1000001", "tasks must be"),
        ("kind=stall&worker=0&ms=60001", "ms must be a number from 1 to 60000"),
    ] {
        let reply = port.ask("POST", &format!("/api/v1/drill?{query}"), "");
        let message = reply.json()["detail"].to_string();
        assert!(reply.status == 400 && message.contains(says), "{query}: {} {message}", reply.status);
    }
    assert!(port.told.try_recv().is_err());
}

#[test]
fn drills_are_refused_by_full_inboxes_by_web_pages_and_when_switched_off() {
    let die = "/api/v1/drill?kind=die&worker=0";
    let full = Port::open(Fake { test_endpoints: true, inboxes_full: true, ..Fake::default() });
    assert_eq!(full.ask("POST", die, "").status, 503);
    let open = drills();
    assert_eq!(open.ask("POST", die, "origin: http://evil.example\r\n").status, 403);
    assert!(open.told.try_recv().is_err());
    let off = Port::open(Fake::default());
    assert_eq!(off.ask("POST", die, "").status, 404);
}

#[test]
fn the_flight_recorder_tells_the_newest_first_of_all_workers_one_or_one_connection() {
    let port = Port::open(Fake::default());
    let told = |query: &str| {
        let body = port.get(&format!("/debug/flight{query}")).json();
        let of = |event: &Json| format!("{} {}", event["worker"], event["event"].as_str().unwrap());
        body["events"].as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(told(""), ["0 closed", "1 closed", "0 began", "1 began"]);
    assert_eq!(told("?worker=1"), ["1 closed", "1 began"]);
    assert_eq!(told("?limit=3"), ["0 closed", "1 closed", "0 began"]);
    assert_eq!(told("?connection=1-s-7"), ["1 closed"]);
    assert!(told("?connection=1-w-7").is_empty());
    let whole = port.get("/debug/flight?worker=0&limit=1").json();
    assert_eq!(whole["noted"], 2);
    let event = &whole["events"][0];
    assert_eq!((&event["connection"], &event["reason"]), (&"0-s-7".into(), &"finished".into()));
    assert_eq!(event["since_start_us"], 2);
    for (query, status) in [("?worker=2", 404), ("?worker=x", 400), ("?limit=0", 400), ("?connection=7", 400)]
    {
        assert_eq!(port.get(&format!("/debug/flight{query}")).status, status, "{query}");
    }
}

#[test]
fn a_histogram_is_told_whole_of_all_workers_or_one() {
    let port = Port::open(Fake::default());
    let listed = port.get("/debug/hist").json();
    let session = listed["histograms"].as_array().unwrap().iter().find(|it| it["name"] == "session").unwrap();
    assert_eq!((&session["count"], &session["unit"]), (&2.into(), &"microseconds".into()));
    let (all, one) = (port.get("/debug/hist/session"), port.get("/debug/hist/session?worker=1"));
    assert_eq!(all.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(all.body.starts_with(
        "#ringway session (socks5_session_duration_seconds), all workers, values in microseconds\n"
    ));
    assert!(one.body.contains(", worker 1, ") && one.body.lines().last() != all.body.lines().last());
    for (path, status) in
        [("/debug/hist/none", 404), ("/debug/hist/session?worker=2", 404), ("/debug/hist/", 404)]
    {
        assert_eq!(port.get(path).status, status, "{path}");
    }
}
