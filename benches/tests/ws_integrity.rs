//! The WebSocket loads must notice what a bad server does: here is one that is bad in each way, once.

use ringway_benches::failure::Failures;
use ringway_benches::report::Report;
use ringway_benches::socket::listen_on;
use ringway_benches::ws::crowd::{self, Wish};
use ringway_benches::ws::dialect::Dialect;
use ringway_benches::ws::echo::{self, Pace};
use ringway_benches::ws::fanout;
use ringway_benches::ws::frame::{self, Header};
use ringway_benches::ws::upgrade::ACCEPT;
use ringway_benches::ws::{Setting, slow};
use rustix::net::sockopt::tcp_quickack;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What the server does to the third message that it sends on its first connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    Lose,
    Repeat,
    /// It comes after the fourth.
    Delay,
    /// One bit is turned.
    Flip,
    /// Its last byte is missing.
    Cut,
    /// A close frame comes instead.
    Close,
}

const AT: usize = 2;

#[test]
fn an_honest_echo_passes() {
    for pace in [Pace::Pipelined(1), Pace::Pipelined(16), Pace::PerSecond(2_000)] {
        let report = echoed(Fault::None, 3, pace);
        assert!(!report.is_amiss(), "{}", report.table());
        assert!(count(&report, "messages") > 10, "{}", report.table());
    }
}

#[test]
fn a_bad_echo_is_found_out() {
    at_once(|fault| echoed(fault, 2, Pace::Pipelined(8)));
}

#[test]
fn an_honest_fan_out_passes() {
    for (burst, rate) in [(1, None), (10, None), (1, Some(500)), (5, Some(500))] {
        let report = fanned_out(Fault::None, Dialect::Raw, burst, rate);
        assert!(!report.is_amiss(), "{}", report.table());
        assert_eq!(count(&report, "deliveries"), count(&report, "publications") * 3, "{}", report.table());
    }
}

#[test]
fn a_bad_fan_out_is_found_out() {
    at_once(|fault| fanned_out(fault, Dialect::Raw, 10, Some(1_000)));
}

/// Messages inside JSON are found and judged as well.
#[test]
fn a_fan_out_in_json_is_judged_as_strictly() {
    let report = fanned_out(Fault::None, Dialect::Ringway, 10, None);
    assert!(!report.is_amiss(), "{}", report.table());
    // The first message on a connection is the answer to the subscription, the second and third are publications.
    let report = fanned_out(Fault::Lose, Dialect::Ringway, 10, Some(1_000));
    assert_eq!(count(&report, "lost"), 1, "{}", report.table());
    let report = fanned_out(Fault::Flip, Dialect::Ringway, 10, Some(1_000));
    assert_eq!(count(&report, "corrupt"), 1, "{}", report.table());
}

/// Whether it has to ask for its topic or not: or else the work is divided otherwise between the cores (docs/decisions/0034).
#[test]
fn subscribers_acknowledge_as_they_read_whatever_the_dialect() {
    for dialect in [Dialect::Raw, Dialect::Ringway] {
        let wish = Wish { connections: 3, topic: Some("t"), ..Wish::default() };
        let opened = crowd::open(&setting(Fault::None, dialect), wish, &mut Failures::default()).unwrap();
        let promptly: Vec<bool> = opened.iter().map(|one| tcp_quickack(one).unwrap()).collect();
        assert_eq!(promptly, [true; 3], "{dialect:?}");
    }
}

#[test]
fn slow_readers_miss_nothing_that_the_server_keeps_for_them() {
    let setting = setting(Fault::None, Dialect::Raw);
    let options = slow::Options {
        fanout: fanout_options(1, Some(200)),
        readers: 4,
        receive_buffer: 4096,
        metrics: None,
    };
    let report = slow::run(&setting, &options).unwrap();
    assert!(!report.is_amiss(), "{}", report.table());
    assert_eq!(count(&report, "slow_delivered"), count(&report, "with_publications") * 4);
    assert_eq!(count(&report, "slow_undelivered"), 0);
}

/// Each fault is found, once and under its name. Together, because what never comes is awaited for a while.
fn at_once(load: impl Fn(Fault) -> Report + Sync) {
    thread::scope(|scope| {
        for (fault, key) in [
            (Fault::Lose, "lost"),
            (Fault::Repeat, "duplicates"),
            (Fault::Delay, "reordered"),
            (Fault::Flip, "corrupt"),
            (Fault::Cut, "corrupt"),
            (Fault::Close, "failures_closed_1001"),
        ] {
            let load = &load;
            scope.spawn(move || {
                let report = load(fault);
                assert_eq!(count(&report, key), 1, "{fault:?}: {}", report.table());
                assert!(report.is_amiss());
            });
        }
    });
}

fn echoed(fault: Fault, connections: usize, pace: Pace) -> Report {
    let duration = Duration::from_millis(50);
    let options = echo::Options { connections, size: 125, binary: false, duration, pace };
    let mut setting = setting(fault, Dialect::Raw);
    setting.url.path = "/echo".into();
    echo::run(&setting, &options).unwrap()
}

fn fanned_out(fault: Fault, dialect: Dialect, burst: u32, rate: Option<u64>) -> Report {
    fanout::run(&setting(fault, dialect), &fanout_options(burst, rate)).unwrap()
}

fn fanout_options(burst: u32, rate: Option<u64>) -> fanout::Options {
    let (topic, duration) = ("t".into(), Duration::from_millis(50));
    fanout::Options { subscribers: 3, topic, size: 200, burst, rate, duration }
}

fn setting(fault: Fault, dialect: Dialect) -> Setting {
    let port = start_server(fault);
    let url = format!("ws://127.0.0.1:{port}/").parse().unwrap();
    Setting {
        url,
        dialect,
        publish_url: None,
        headers: Vec::new(),
        sources: 1,
        server_pid: None,
        kernel_acks: false,
    }
}

fn count(report: &Report, key: &str) -> u64 {
    let figures: serde_json::Value = serde_json::from_str(&report.json_line()).unwrap();
    figures[key].as_u64().unwrap_or(0)
}

type Crowd = Arc<Mutex<Vec<Outgoing>>>;

/// The server's side of one connection.
struct Outgoing {
    socket: TcpStream,
    fault: Fault,
    sent: usize,
    delayed: Vec<u8>,
}

/// A server with a thread a connection: `/echo`, and a broadcast elsewhere, raw or to those that subscribe in JSON.
fn start_server(fault: Fault) -> u16 {
    let listener = listen_on(0).unwrap();
    let port = listener.local_addr().unwrap().port();
    let crowd = Crowd::default();
    thread::spawn(move || {
        let mut fault = fault;
        while let Ok((socket, _)) = listener.accept() {
            let of_this = std::mem::replace(&mut fault, Fault::None);
            let crowd = crowd.clone();
            thread::spawn(move || serve(socket, of_this, &crowd));
        }
    });
    port
}

fn serve(mut socket: TcpStream, fault: Fault, crowd: &Crowd) -> Option<()> {
    let mut input = Vec::new();
    let path_is_echo = is_for_echo(&mut socket, &mut input)?;
    let copy = socket.try_clone().ok()?;
    let outgoing = Outgoing { socket: copy, fault, sent: 0, delayed: Vec::new() };
    // Who only publishes in JSON is no subscriber.
    let own = Crowd::new(Mutex::new(vec![outgoing]));
    {
        // Under the lock: who has its answer is one of the crowd, and gets nothing before it.
        let mut crowd = crowd.lock().unwrap();
        accept(&mut socket)?;
        if !path_is_echo {
            crowd.append(&mut own.lock().unwrap());
        }
    }
    let to = if path_is_echo { &own } else { crowd };
    let mut buffer = [0; 4096];
    loop {
        while let Some(message) = take_message(&mut input) {
            let answer = match message.as_slice() {
                [b'{', ..] if message.starts_with(br#"{"type":"subscribe""#) => {
                    let peer = socket.peer_addr().ok()?;
                    let mut crowd = crowd.lock().unwrap();
                    let of = |one: &&mut Outgoing| one.socket.peer_addr().is_ok_and(|of| of == peer);
                    if let Some(own) = crowd.iter_mut().find(of) {
                        own.send(br#"{"type":"subscribed"}"#);
                    }
                    continue;
                }
                [b'{', ..] => String::from_utf8(message).unwrap().replace("publish", "message").into_bytes(),
                _ => message,
            };
            to.lock().unwrap().iter_mut().for_each(|one| one.send(&answer));
        }
        match socket.read(&mut buffer) {
            Ok(received @ 1..) => input.extend_from_slice(&buffer[..received]),
            _ => return None,
        }
    }
}

/// Reads the request; true if it is for /echo.
fn is_for_echo(socket: &mut TcpStream, input: &mut Vec<u8>) -> Option<bool> {
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        match socket.read(&mut buffer) {
            Ok(received @ 1..) => input.extend_from_slice(&buffer[..received]),
            _ => return None,
        }
    };
    let head: Vec<u8> = input.drain(..end).collect();
    Some(head.starts_with(b"GET /echo "))
}

fn accept(socket: &mut TcpStream) -> Option<()> {
    let lines = ["HTTP/1.1 101 Switching Protocols", &format!("Sec-WebSocket-Accept: {ACCEPT}"), "", ""];
    socket.write_all(lines.join("\r\n").as_bytes()).ok()
}

fn take_message(input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let header = Header::parse(input).unwrap().filter(|header| header.end() <= input.len())?;
    let frame: Vec<u8> = input.drain(..header.end()).collect();
    let mask = header.mask.unwrap();
    Some(frame[header.payload_at..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect())
}

impl Outgoing {
    fn send(&mut self, message: &[u8]) {
        let mut message = message.to_vec();
        let mut bytes = std::mem::take(&mut self.delayed);
        let fault = if self.sent == AT { self.fault } else { Fault::None };
        self.sent += 1;
        let last = message.len() - 1;
        match fault {
            Fault::Flip => message[last - 20] ^= 1,
            Fault::Cut => message.truncate(last),
            _ => {}
        }
        let mut framed = Vec::new();
        match fault {
            Fault::Close => frame::push_unmasked(frame::CLOSE, &1001u16.to_be_bytes(), &mut framed),
            _ => frame::push_unmasked(frame::TEXT, &message, &mut framed),
        }
        match fault {
            Fault::Lose => {}
            Fault::Repeat => bytes = [framed.as_slice(), &framed].concat(),
            Fault::Delay => self.delayed = framed,
            _ => bytes = [framed, bytes].concat(),
        }
        // Who is gone is not missed.
        let _ = self.socket.write_all(&bytes);
    }
}
