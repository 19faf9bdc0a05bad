//! What a client cannot do to the control port, and how it stops.

use super::*;

const GET: &str = "GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n";

#[test]
fn one_connection_carries_many_requests() {
    let port = Port::open(Fake::default());
    let mut stream = port.connect();
    for _ in 0..3 {
        stream.write_all(GET.as_bytes()).unwrap();
        assert_eq!(Reply::read_one(&mut stream).status, 200);
    }
}

#[test]
fn requests_are_counted_by_names_clients_cannot_invent() {
    let port = Port::open(Fake::default());
    for (method, path, counted) in [
        ("GET", "/livez?x=1", ("GET", "/livez", 200)),
        ("HEAD", "/stats", ("HEAD", "/stats", 200)),
        ("GET", "/secret", ("GET", "other", 404)),
        ("BREW", "/livez", ("other", "/livez", 405)),
        ("POST", "/api/v1/drill", ("POST", "other", 404)),
    ] {
        port.ask(method, path, "");
        assert_eq!(port.ended.recv_timeout(PATIENCE).unwrap(), counted);
    }
    assert_eq!(port.begun.try_iter().count(), 5);
}

#[test]
fn a_client_that_leaves_before_its_answer_is_counted_too() {
    let port = Port::open(Fake::default());
    let mut stream = port.connect();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\n1234").unwrap();
    port.begun.recv_timeout(PATIENCE).unwrap();
    drop(stream);
    let (method, path, status) = port.ended.recv_timeout(PATIENCE).unwrap();
    assert_eq!((method, path), ("GET", "/livez"));
    assert!([400, 499].contains(&status), "{status}");
}

#[test]
fn what_is_not_http_is_answered_400() {
    let port = Port::open(Fake::default());
    for garbage in ["\x05\x01\0\r\n\r\n", "HELO ringway\r\n\r\n", "GET /livez HTTP/9.9\r\n\r\n"] {
        assert_eq!(port.say(garbage).status, 400, "{garbage:?}");
    }
    assert_eq!(port.get("/livez").status, 200);
}

#[test]
fn a_header_beyond_the_limit_is_answered_431() {
    let port = Port::open(Fake::default());
    let line = |bytes: usize| format!("x-long: {}\r\n", "y".repeat(bytes));
    assert_eq!(port.ask("GET", "/livez", &line(8 * 1024)).status, 200);
    assert_eq!(port.ask("GET", "/livez", &line(17 * 1024)).status, 431);
    assert_eq!(port.ask("GET", "/livez", &"a: b\r\n".repeat(200)).status, 431);
}

#[test]
fn a_body_beyond_the_limit_is_answered_413_however_it_is_sent() {
    let port = Port::open(Fake::default());
    let declared = port.ask("GET", "/livez", "content-length: 70000\r\n");
    assert_eq!((declared.status, &declared.json()["status"]), (413, &413.into()));
    let chunk = format!("12000\r\n{}\r\n0\r\n\r\n", "y".repeat(0x12000));
    let chunked =
        format!("GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
    assert_eq!(port.say(&chunked).status, 413);
    let fits = "GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody";
    assert_eq!(port.say(fits).status, 200);
}

#[test]
fn slow_headers_and_idle_connections_are_cut() {
    let port = Port::open(Fake::default());
    let began = Instant::now();
    let (mut slow, mut silent, mut kept) = (port.connect(), port.connect(), port.connect());
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost:").unwrap();
    kept.write_all(GET.as_bytes()).unwrap();
    assert_eq!(Reply::read_one(&mut kept).status, 200);
    for stream in [&mut slow, &mut silent, &mut kept] {
        let reply = Reply::read(stream);
        assert!(reply.status != 200, "{}", reply.head);
        assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    }
}

#[test]
fn a_connection_beyond_the_cap_is_told_so_and_the_next_seat_serves() {
    let port = Port::open(Fake { connections_max: 1, ..Fake::default() });
    let mut seated = port.connect();
    seated.write_all(GET.as_bytes()).unwrap();
    assert_eq!(Reply::read_one(&mut seated).status, 200);
    let refused = port.get("/livez");
    assert_eq!((refused.status, refused.header("connection")), (503, Some("close")));
    let message = refused.json()["hint"].to_string();
    assert!(message.contains("control.connections_max"), "{message}");
    seated.write_all(GET.replace("host", "connection: close\r\nhost").as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut seated).status, 200);
    assert_eq!(port.get("/livez").status, 200);
}

#[test]
fn stopping_closes_the_listener_and_finishes_what_was_begun() {
    let mut port = Port::open(Fake::default());
    let (mut idle, mut busy) = (port.connect(), port.connect());
    idle.write_all(GET.as_bytes()).unwrap();
    assert_eq!(Reply::read_one(&mut idle).status, 200);
    busy.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 4\r\n\r\nbo").unwrap();
    for _ in 0..2 {
        port.begun.recv_timeout(PATIENCE).unwrap();
    }
    port.stop.send(true).unwrap();
    let mut rest = Vec::new();
    assert_eq!(idle.read_to_end(&mut rest).unwrap(), 0, "the idle connection was closed");
    busy.write_all(b"dy").unwrap();
    assert_eq!(Reply::read(&mut busy).status, 200);
    port.thread.take().unwrap().join().unwrap();
    assert!(TcpStream::connect(port.address).is_err());
    port.thread = Some(std::thread::spawn(|| {}));
}

#[test]
fn who_was_accepted_just_before_the_end_is_still_answered() {
    let port = Port::open(Fake::default());
    let mut fresh = port.connect();
    // It came before this one, and was accepted before it.
    assert_eq!(port.get("/livez").status, 200);
    port.stop.send(true).unwrap();
    fresh.write_all(GET.as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut fresh).status, 200);
}

#[test]
fn a_taken_port_is_refused_with_the_key_and_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _within = runtime.enter();
    let address = taken.local_addr().unwrap();
    let control = config(&[&format!("control.listen=[{address}]")]).control.clone();
    let fault = Prepared::open(&control, &mut Vec::new()).map(drop).unwrap_err();
    for part in ["control.listen", &address.to_string(), "ss -ltnp"] {
        assert!(fault.contains(part), "{fault}");
    }
}
