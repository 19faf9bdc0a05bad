//! A name server on loopback, UDP and TCP, that answers by a function and remembers what it was asked.

#![allow(dead_code)] // each test file uses its part of this

pub mod desk;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

/// What the server says to one question.
pub enum Reply {
    /// Addresses of either family (those of the one asked for are sent) and their TTL.
    Addresses(u32, Vec<IpAddr>),
    /// The same, but over UDP only the hint to come back over TCP.
    OnlyByTcp(u32, Vec<IpAddr>),
    /// No such name, and for how long (without: no SOA, not to be cached).
    NoName(Option<u32>),
    /// A name without this kind of record.
    NoData,
    Code(ResponseCode),
    Silence,
}

/// Runs until the process ends: a test's servers are few.
pub struct DnsServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<HashSet<(String, RecordType, u16)>>>,
}

impl DnsServer {
    /// `ip` is a loopback address: two servers of one test differ in it.
    pub fn start(ip: &str, replies: impl Fn(&str, RecordType) -> Reply + Send + Sync + 'static) -> DnsServer {
        let (udp, tcp) = same_port(ip);
        let address = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(HashSet::new()));
        let replies = Arc::new(replies);
        let seen = asked.clone();
        let answer = move |question: &[u8], by_tcp| {
            let question = Message::from_vec(question).unwrap();
            let query = &question.queries[0];
            let name = query.name().to_ascii().to_ascii_lowercase();
            // A retransmission carries the same number and is the same question.
            seen.lock().unwrap().insert((name.clone(), query.query_type(), question.id));
            encode(&question, replies(&name, query.query_type()), by_tcp)
        };
        let answer_tcp = answer.clone();
        std::thread::spawn(move || serve_udp(&udp, answer));
        std::thread::spawn(move || serve_tcp(&tcp, answer_tcp));
        DnsServer { address, asked }
    }

    /// How many different questions came for this name (absolute, lower case), A and AAAA together.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(asked, _, _)| asked == name).count()
    }

    pub fn asked_anything(&self) -> bool {
        !self.asked.lock().unwrap().is_empty()
    }
}

fn same_port(ip: &str) -> (UdpSocket, TcpListener) {
    loop {
        let tcp = TcpListener::bind((ip, 0)).unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &UdpSocket, answer: impl Fn(&[u8], bool) -> Option<Vec<u8>>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        if let Some(answer) = answer(&buffer[..length], false) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// As many questions per connection as its client likes: hickory sends A and AAAA over one.
fn serve_tcp(
    listener: &TcpListener,
    answer: impl Fn(&[u8], bool) -> Option<Vec<u8>> + Clone + Send + 'static,
) {
    loop {
        let (stream, _) = listener.accept().unwrap();
        let answer = answer.clone();
        std::thread::spawn(move || while answer_by_tcp(&stream, &answer).is_ok() {});
    }
}

/// Waits for one question and answers it; an error is the connection's end.
fn answer_by_tcp(mut stream: &TcpStream, answer: impl Fn(&[u8], bool) -> Option<Vec<u8>>) -> io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question)?;
    if let Some(answer) = answer(&question, true) {
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length[..], &answer].concat())?;
    }
    Ok(())
}

fn encode(question: &Message, reply: Reply, by_tcp: bool) -> Option<Vec<u8>> {
    let query = question.queries[0].clone();
    let mut answer = Message::response(question.id, question.op_code);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    let (name, family) = (query.name().clone(), query.query_type());
    answer.add_query(query);
    match reply {
        Reply::Silence => return None,
        Reply::Code(code) => answer.metadata.response_code = code,
        Reply::NoData => {
            answer.add_authority(soa(60));
        }
        Reply::NoName(ttl) => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            answer.add_authorities(ttl.map(soa));
        }
        Reply::OnlyByTcp(..) if !by_tcp => answer.metadata.truncation = true,
        Reply::Addresses(ttl, addresses) | Reply::OnlyByTcp(ttl, addresses) => {
            let records = addresses
                .into_iter()
                .map(|address| Record::from_rdata(name.clone(), ttl, RData::from(address)));
            answer.add_answers(records.filter(|record| record.record_type() == family));
        }
    }
    Some(answer.to_vec().unwrap())
}

/// RFC 2308 section 3: an SOA's own TTL and its minimum say how long "no" may be believed.
fn soa(ttl: u32) -> Record {
    let zone = Name::from_ascii("test.").unwrap();
    let data = SOA::new(zone.clone(), zone.clone(), 1, 60, 60, 60, ttl);
    Record::from_rdata(zone, ttl, RData::SOA(data))
}
