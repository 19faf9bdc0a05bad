//! What browsers get.

use super::*;

const TOKENS: &[&str] = &[
    "control.tokens=[{name: a, scope: read, token: '{sha256}0000000000000000000000000000000000000000000000000000000000000000'}]",
];
const BROWSER: &str = "accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

#[test]
fn browsers_get_the_page_and_programs_the_list() {
    let port = Port::open(Fake::default());
    let (page, list) = (port.ask("GET", "/", BROWSER), port.get("/"));
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.starts_with("<!doctype html>"), "{}", page.body);
    assert_eq!((list.status, list.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert_eq!((page.header("vary"), list.header("vary")), (Some("accept"), Some("accept")));
    let head = port.ask("HEAD", "/", BROWSER);
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(head.header("content-length"), Some(&*page.body_bytes.to_string()));
}

#[test]
fn the_page_may_do_nothing_but_talk_to_its_own_port() {
    let port = Port::open(Fake::default());
    for path in ["/", "/dashboard/main.js", "/dashboard/panels/traffic.js", "/dashboard/style.css"] {
        let reply = port.ask("GET", path, BROWSER);
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    }
}

#[test]
fn a_file_that_is_known_is_not_sent_again() {
    let port = Port::open(Fake::default());
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard/main.js", "text/javascript; charset=utf-8"),
        ("/dashboard/style.css", "text/css; charset=utf-8"),
        ("/dashboard/icon.svg", "image/svg+xml"),
        ("/dashboard/panels/top.js", "text/javascript; charset=utf-8"),
    ] {
        let first = port.ask("GET", path, BROWSER);
        assert_eq!((first.status, first.header("content-type")), (200, Some(kind)), "{path}");
        assert_eq!(first.header("cache-control"), Some("no-cache"));
        let tag = first.header("etag").unwrap();
        let again = port.ask("GET", path, &format!("{BROWSER}if-none-match: \"other\", W/{tag}\r\n"));
        assert_eq!((again.status, &*again.body, again.header("etag")), (304, "", Some(tag)), "{path}");
        let other = port.ask("GET", path, &format!("{BROWSER}if-none-match: \"other\"\r\n"));
        assert_eq!(other.status, 200, "{path}");
    }
}

#[test]
fn no_other_name_is_a_file() {
    let port = Port::open(Fake::default());
    for path in [
        "/dashboard/nothing.js",
        "/dashboard/index.html",
        "/dashboard/..%2fmain.js",
        "/dashboard/%2f",
        "/dashboard/",
    ] {
        assert_eq!(port.get(path).status, 404, "{path}");
    }
}

#[test]
fn where_tokens_are_asked_for_the_page_is_open_and_the_list_is_not() {
    let port = Port::open(Fake { sets: TOKENS, ..Fake::default() });
    assert_eq!((port.get("/").status, port.ask("GET", "/", BROWSER).status), (401, 200));
    assert_eq!(port.get("/dashboard/main.js").status, 200);
    assert_eq!(port.ask("GET", "/stats", BROWSER).status, 401);
    let elsewhere = "GET / HTTP/1.1\r\nhost: evil.example\r\naccept: text/html\r\nconnection: close\r\n\r\n";
    assert_eq!(port.say(elsewhere).status, 403);
}

/// A file that is forgotten in the table would be missing in the page alone.
#[test]
fn every_file_of_the_folder_is_served() {
    let port = Port::open(Fake::default());
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard");
    let names = |folder: std::path::PathBuf| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let own =
        names(folder.clone()).into_iter().filter(|name| name != "index.html" && name != "vendored.json");
    let panels = names(folder.join("panels")).into_iter().map(|name| format!("panels/{name}"));
    let missing: Vec<_> =
        own.chain(panels).filter(|name| port.get(&format!("/dashboard/{name}")).status != 200).collect();
    assert_eq!(missing, Vec::<String>::new());
}
