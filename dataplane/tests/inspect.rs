//! What workers answer when they are asked about their connections: names that are for ever, slices, and kills that hit who is meant.
#![allow(clippy::unwrap_used, dead_code)]

mod proxy;

use proxy::{PATIENCE, Proxy, until};
use ringway_shared::command::Command;
use ringway_shared::connection::{ConnectionId, Service};
use ringway_shared::inspect::{
    Answer, Ask, By, Details, FIELDS, Filter, KillOrder, Of, OfService, Place, ROWS_MAX, Row, SCANNED_MAX,
    Sketch,
};
use ringway_shared::reason::Reason;
use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

fn ask(proxy: &Proxy, ask: Ask) -> Answer {
    let (to, answer) = channel();
    proxy.workers.inspect(0, ask, Box::new(move |answer| to.send(answer).unwrap())).unwrap();
    answer.recv_timeout(PATIENCE).unwrap()
}

fn filter(conditions: &[(&str, &str)]) -> Arc<Filter> {
    let mut filter = Filter::default();
    for (name, text) in conditions {
        filter.set(FIELDS.iter().find(|field| field.name == *name).unwrap(), text).unwrap();
    }
    Arc::new(filter)
}

/// Follows the slices to the end: the rows, and how many slices they were.
fn list(proxy: &Proxy, conditions: &[(&str, &str)], rows_max: usize) -> (Vec<Row>, usize) {
    let (mut all, mut slices, mut from) = (Vec::new(), 0, Some(Place::START));
    while let Some(place) = from {
        let Answer::Rows { rows, next } =
            ask(proxy, Ask::List { filter: filter(conditions), from: place, rows_max })
        else {
            panic!("another answer")
        };
        assert!(rows.len() <= rows_max.min(ROWS_MAX));
        assert!(next.is_none_or(|next| next > place), "{next:?} after {place:?}");
        all.extend(rows);
        (slices, from) = (slices + 1, next);
    }
    (all, slices)
}

fn only(id: ConnectionId) -> Arc<Filter> {
    Arc::new(Filter::only(0, &[id.connection]))
}

fn show(proxy: &Proxy, id: ConnectionId) -> Option<Box<Details>> {
    match ask(proxy, Ask::Show { filter: only(id), from: Place::START }) {
        Answer::Details { details, next: None } => details,
        other => panic!("{other:?}"),
    }
}

fn kill_one(proxy: &Proxy, id: ConnectionId, order: KillOrder) -> Answer {
    let (filter, from) = (only(id), Place::START);
    ask(proxy, Ask::Kill { filter, from, most: 1, dry_run: false, order })
}

fn order(reason: &str) -> KillOrder {
    KillOrder { reason: reason.into(), until: Instant::now() + PATIENCE }
}

fn killed(answer: Answer) -> (u64, u64) {
    match answer {
        Answer::Killed { matched, killed, .. } => (matched, killed),
        other => panic!("{other:?}"),
    }
}

fn is_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// A client of the gateway that is through its upgrade.
fn websocket(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.workers.websocket_addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .unwrap();
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

fn with_gateway() -> Proxy {
    Proxy::start(|config| config.websocket.listen = vec!["127.0.0.1:0".parse().unwrap()])
}

fn say(stream: &mut TcpStream, text: &str) {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame).unwrap();
}

/// The next frame: its first byte and its payload.
fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    assert!(head[1] < 126);
    let mut payload = vec![0; head[1].into()];
    stream.read_exact(&mut payload).unwrap();
    (head[0], payload)
}

#[test]
fn a_row_tells_what_is_known() {
    let proxy = Proxy::start(|_| {});
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let mut client = proxy.connect_saying("127.0.0.1", port, b"hello").stream;
    let (mut other, _) = target.accept().unwrap();
    other.write_all(b"hi").unwrap();
    client.read_exact(&mut [0; 2]).unwrap();
    let rows = list(&proxy, &[("target", &format!("127.0.0.1:{port}"))], 10).0;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.phase, row.sent_bytes, row.received_bytes), ("relay", 5, 2));
    assert_eq!((row.client, row.tls, row.user.clone()), (client.local_addr().unwrap(), false, None));
    assert!(row.age < PATIENCE && row.idle <= row.age + Duration::from_millis(100));
    let OfService::Socks5 { target: asked, address, .. } = &row.of else { panic!("{row:?}") };
    assert_eq!(asked.as_ref().unwrap().to_string(), format!("127.0.0.1:{port}"));
    assert_eq!(*address, Some(target.local_addr().unwrap()));
    assert_eq!(show(&proxy, row.id).unwrap().row.id, row.id);
    for nobody in [[("user", "alice")], [("service", "websocket")], [("target", ":1")], [("min_bytes", "8")]]
    {
        assert_eq!(list(&proxy, &nobody, 10).0, []);
    }
}

#[test]
fn an_ended_connections_id_is_nobody_elses() {
    let proxy = with_gateway();
    for (service, open) in
        [("socks5", (&|| proxy.client(None)) as &dyn Fn() -> TcpStream), ("websocket", &|| websocket(&proxy))]
    {
        let of_service = || list(&proxy, &[("service", service)], 10).0;
        let first = open();
        let old = of_service()[0].id;
        drop(first);
        until(|| of_service().is_empty().then_some(()));
        let mut second = open();
        let new = of_service()[0].id;
        assert_eq!(old.connection.service, new.connection.service);
        assert!(new.connection.serial > old.connection.serial, "the place is taken again, the name is not");
        assert_eq!(show(&proxy, old), None);
        assert_eq!(killed(kill_one(&proxy, old, order("old"))), (0, 0));
        assert_eq!(show(&proxy, new).unwrap().row.id, new, "the other one stands");
        assert_eq!(killed(kill_one(&proxy, new, order("new"))), (1, 1));
        assert!(second.read(&mut [0; 1]).is_ok_and(|count| count <= 1));
        drop(second);
        until(|| of_service().is_empty().then_some(()));
    }
}

#[test]
fn a_large_table_is_told_of_in_slices_and_each_connection_once() {
    let count = SCANNED_MAX + 500;
    let proxy = Proxy::start(|config| {
        config.socks5.timeouts.greeting = 10 * PATIENCE;
        config.socks5.timeouts.handshake = 10 * PATIENCE;
        config.socks5.limits.connections = Some(count);
    });
    let address = proxy.workers.socks5_addresses()[0];
    let clients: Vec<_> = (0..count).map(|_| TcpStream::connect(address).unwrap()).collect();
    until(|| (proxy.cells[0].clients_now.get() == count as u64).then_some(()));
    let (rows, slices) = list(&proxy, &[], usize::MAX);
    assert_eq!(rows.len(), count);
    assert!(slices >= count / ROWS_MAX, "{slices}");
    let ids: HashSet<_> = rows.iter().map(|row| row.id).collect();
    let peers: HashSet<_> = rows.iter().map(|row| row.client).collect();
    assert_eq!((ids.len(), peers.len()), (count, count));
    // A filter that nobody fits costs no more than a slice's looks.
    let (rows, slices) = list(&proxy, &[("user", "nobody")], 10);
    assert!(rows.is_empty() && slices >= 2, "{slices}");
    let (some, _) = list(&proxy, &[("phase", "greeting")], 7);
    assert_eq!(some.len(), count);
    drop(clients);
    until(|| (proxy.cells[0].clients_now.get() == 0).then_some(()));
}

#[test]
fn a_killed_relay_is_reset_on_both_sides_and_says_why() {
    let proxy = Proxy::start(|_| {});
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let mut pairs: Vec<_> =
        (0..3).map(|_| (proxy.connect("127.0.0.1", port).stream, target.accept().unwrap().0)).collect();
    let kill = |most, dry_run| {
        let filter = filter(&[("target", "127.0.0.0/8")]);
        killed(ask(
            &proxy,
            Ask::Kill { filter, from: Place::START, most, dry_run, order: order("tidying up") },
        ))
    };
    assert_eq!(kill(100, true), (3, 0));
    assert_eq!(kill(1, false), (1, 1));
    let end = proxy.end();
    assert_eq!(end.reason, Reason::Killed);
    assert_eq!(end.hint.as_deref(), Some("ended by the operator: tidying up"));
    assert_eq!(list(&proxy, &[], 10).0.len(), 2);
    assert_eq!(kill(100, false), (2, 2));
    for (client, other) in &mut pairs {
        is_reset(client);
        is_reset(other);
    }
}

#[test]
fn an_order_that_comes_too_late_is_left() {
    let proxy = Proxy::start(|_| {});
    let _client = proxy.client(None);
    let late = KillOrder { until: Instant::now() - Duration::from_millis(1), ..order("late") };
    let (filter, from) = (filter(&[]), Place::START);
    let answer = ask(&proxy, Ask::Kill { filter, from, most: 10, dry_run: false, order: late.clone() });
    assert!(matches!(answer, Answer::TooLate));
    let id = list(&proxy, &[], 10).0[0].id;
    assert!(matches!(kill_one(&proxy, id, late), Answer::TooLate));
    assert!(show(&proxy, id).is_some());
}

/// Whoever is being connected has more than one address to try: the kill is for all of them.
#[test]
fn a_connection_under_way_is_killed_once_and_for_all() {
    let proxy = Proxy::start(|config| config.socks5.timeouts.connect = PATIENCE);
    let (_, port) = proxy::listeners(["127.0.0.1"]);
    let Some(_hole) = proxy::BlackHole::at("127.0.0.2", port) else { return };
    let mut client = proxy.client(None);
    client.write_all(&proxy::request(1, "127.0.0.2", port)).unwrap();
    let row = until(|| list(&proxy, &[("phase", "connect")], 10).0.pop());
    assert_eq!(killed(kill_one(&proxy, row.id, order("enough"))), (1, 1));
    assert_eq!(proxy::answer(client).reply, 1);
    assert_eq!(proxy.end().reason, Reason::Killed);
}

#[test]
fn a_killed_websocket_client_is_told_why() {
    let proxy = with_gateway();
    let mut client = websocket(&proxy);
    say(&mut client, r#"{"type":"subscribe","topic":"news"}"#);
    frame(&mut client);
    let mut stranger = websocket(&proxy);
    let rows = list(&proxy, &[("topic", "news")], 10).0;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.phase, row.client), ("open", client.local_addr().unwrap()));
    let details = show(&proxy, row.id).unwrap();
    assert_eq!(details.topics.iter().map(|topic| &**topic).collect::<Vec<_>>(), ["news"]);
    let reason = "x".repeat(123);
    let kill = Ask::Kill {
        filter: filter(&[("topic", "news")]),
        from: Place::START,
        most: 10,
        dry_run: false,
        order: order(&reason),
    };
    assert_eq!(killed(ask(&proxy, kill)), (1, 1));
    assert_eq!(frame(&mut client), (0x88, [&3503u16.to_be_bytes()[..], reason.as_bytes()].concat()));
    say(&mut stranger, r#"{"type":"subscribe","topic":"news"}"#);
    assert_eq!(frame(&mut stranger).0, 0x81, "the other one stands");
}

#[test]
fn the_largest_are_added_up() {
    let proxy = with_gateway();
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let _pairs: Vec<_> = (0..3)
        .map(|_| (proxy.connect_saying("127.0.0.1", port, b"12345").stream, target.accept().unwrap().0))
        .collect();
    let _clients: Vec<_> = (0..2)
        .map(|number| {
            let mut client = websocket(&proxy);
            for topic in ["all", &format!("t{number}")] {
                say(&mut client, &format!(r#"{{"type":"subscribe","topic":"{topic}"}}"#));
                frame(&mut client);
            }
            client
        })
        .collect();
    let top = |by, of| {
        let (mut from, mut sketch) = (Some(Place::START), Box::new(Sketch::new(10)));
        while let Some(place) = from {
            let Answer::Tops { sketch: more, next } = ask(&proxy, Ask::Top { by, of, from: place, sketch })
            else {
                panic!("another answer")
            };
            (sketch, from) = (more, next);
        }
        sketch
    };
    let by_target = format!("127.0.0.1:{port}");
    assert_eq!(top(By::Target, Of::Connections).leaders().collect::<Vec<_>>(), [(&*by_target, 3)]);
    until(|| (top(By::Target, Of::Bytes).of(&by_target) == Some(15)).then_some(()));
    assert_eq!(top(By::User, Of::Connections).of(""), Some(5));
    let topics = top(By::Topic, Of::Subscribers);
    assert_eq!((topics.of("all"), topics.of("t0"), topics.len()), (Some(2), Some(1), 3));
    assert_eq!(Service::ALL.len(), 2);
}

/// Who is being served goes on; who comes is refused, until the worker serves again.
#[test]
fn a_resting_worker_takes_no_new_clients_and_cuts_nobody() {
    let proxy = Proxy::start(|config| {
        config.websocket.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.websocket.timeouts.drain = Duration::ZERO;
    });
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = target.local_addr().unwrap().port();
    let mut client = proxy.connect("127.0.0.1", port).stream;
    let (mut other, _) = target.accept().unwrap();
    let mut greeted = proxy.client(None);
    let mut told = websocket(&proxy);
    assert!(proxy.workers.tell(0, Command::Rest));
    assert_eq!(frame(&mut told), (0x88, [&1012u16.to_be_bytes()[..], b"service restart"].concat()));
    let mut late = TcpStream::connect(proxy.workers.socks5_addresses()[0]).unwrap();
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    is_reset(&mut late);
    assert_eq!(proxy.end().reason, Reason::Draining);
    client.write_all(b"still here").unwrap();
    other.read_exact(&mut [0; 10]).unwrap();
    greeted.write_all(&proxy::request(1, "127.0.0.1", port)).unwrap();
    assert_eq!(proxy::answer(greeted).reply, 0, "whoever was in is served");
    assert!(proxy.workers.tell(0, Command::Resume));
    // The worker obeys in order: this is answered after it.
    list(&proxy, &[], 1);
    assert_eq!(proxy.connect("127.0.0.1", port).reply, 0);
    say(&mut websocket(&proxy), "{}");
}
