//! A whole data plane in this process, and a SOCKS5 client of a few lines, for tests.

#![allow(clippy::unwrap_used, dead_code)] // each test file uses its part of this

use ringway_dataplane::{Committed, Plan, Prepared, Readiness, StartError, Workers, start};
use ringway_shared::config::{self, Config, HostFacts, SourceFile, Sources};
use ringway_shared::metrics::Cells;
use ringway_shared::session::{Ended, SessionEnd};
use socket2::{Domain, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Long enough for a loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Proxy {
    pub workers: Workers,
    pub cells: Vec<Arc<Cells>>,
}

/// What a request came to.
pub struct Answer {
    pub reply: u8,
    pub bound: SocketAddr,
    pub stream: TcpStream,
}

/// A configuration of `workers` workers on loopback that may reach loopback, altered by the test.
pub fn config(workers: usize, alter: impl FnOnce(&mut Config)) -> Config {
    let text = format!(
        "workers: {{count: {workers}}}\nsocks5: {{listen: ['127.0.0.1:0'], allow_targets: [loopback]}}\nwebsocket: {{listen: []}}\nlog: {{access: true}}\n"
    );
    let sources = Sources {
        file: Some(SourceFile { name: "test.yaml".into(), text }),
        env: Vec::new(),
        sets: Vec::new(),
        overrides: Vec::new(),
        held: Vec::new(),
        host: HostFacts { cpus_allowed: vec![0, 1] },
        read_file: &|_| Err(io::ErrorKind::NotFound.into()),
    };
    let mut config = config::load(&sources).unwrap_or_else(|faults| panic!("{faults:?}")).config;
    alter(&mut config);
    config
}

impl Proxy {
    pub fn start(alter: impl FnOnce(&mut Config)) -> Proxy {
        Self::try_start(1, alter).unwrap()
    }

    pub fn try_start(workers: usize, alter: impl FnOnce(&mut Config)) -> Result<Proxy, StartError> {
        Self::start_as(workers, alter, |_| {})
    }

    /// With another plan than that of a process of its own.
    pub fn start_as(
        workers: usize,
        alter: impl FnOnce(&mut Config),
        plan_for: impl FnOnce(&mut Plan),
    ) -> Result<Proxy, StartError> {
        let proxy = Self::unopened(workers, alter, plan_for)?;
        proxy.workers.open()?;
        Ok(proxy)
    }

    /// One that could serve, and does not yet.
    pub fn unopened(
        workers: usize,
        alter: impl FnOnce(&mut Config),
        plan_for: impl FnOnce(&mut Plan),
    ) -> Result<Proxy, StartError> {
        let cells: Vec<Arc<Cells>> = (0..workers).map(|_| Arc::default()).collect();
        let mut plan = Plan {
            config: Arc::new(config(workers, alter)),
            cells: cells.clone(),
            epoch: Instant::now(),
            control_addresses: Vec::new(),
            descriptors_max: 4_096,
            inherited: Vec::new(),
            listeners_are_shared: false,
        };
        plan_for(&mut plan);
        Ok(Proxy { workers: start(plan)?, cells })
    }

    /// The generation that a configuration taken over next would have.
    pub fn next_generation(&self) -> u64 {
        self.cells.iter().map(|cells| cells.generation.get()).max().unwrap() + 1
    }

    /// Prepares all workers for a configuration, and waits until they are ready.
    pub fn prepare(&self, config: Config) -> Result<Prepared, String> {
        let prepared = self.workers.prepare(&Arc::new(config), &[], self.next_generation())?;
        until(|| match prepared.readiness() {
            Readiness::Waiting { .. } => None,
            Readiness::Ready => Some(Ok(())),
            Readiness::Failed(why) => Some(Err(why)),
        })?;
        Ok(prepared)
    }

    /// Takes over a configuration; all workers serve under it then.
    pub fn reload(&self, config: Config) -> Committed {
        let committed = self.workers.commit(self.prepare(config).unwrap()).unwrap();
        let serves = |worker: usize| self.workers.generation_of(worker) == committed.generation;
        until(|| (0..self.cells.len()).all(serves).then_some(()));
        committed
    }

    /// A client that has greeted, and logged in where a login is given.
    pub fn client(&self, login: Option<(&str, &str)>) -> TcpStream {
        let mut stream = TcpStream::connect(self.workers.socks5_addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = [0; 2];
        match login {
            None => stream.write_all(&[5, 1, 0]).unwrap(),
            Some((name, password)) => {
                stream.write_all(&[5, 1, 2]).unwrap();
                stream.read_exact(&mut answer).unwrap();
                let of = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
                stream.write_all(&[&[1], &of(name)[..], &of(password)].concat()).unwrap();
            }
        }
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer[1], 0, "{answer:?}");
        stream
    }

    /// Asks for a target, `payload` in the same segment.
    pub fn connect_saying(&self, host: &str, port: u16, payload: &[u8]) -> Answer {
        let mut stream = self.client(None);
        stream.write_all(&[&request(1, host, port)[..], payload].concat()).unwrap();
        answer(stream)
    }

    pub fn connect(&self, host: &str, port: u16) -> Answer {
        self.connect_saying(host, port, b"")
    }

    /// The record of the next connection that ends.
    pub fn end(&self) -> SessionEnd {
        let mut ends = Vec::new();
        until(|| {
            self.workers.take_session_ends(&mut ends, 1);
            ends.pop().and_then(|ended| match ended {
                Ended::Socks5(end) => Some(*end),
                Ended::WebSocket(_) => None,
            })
        })
    }

    /// Sockets towards targets, as counted.
    pub fn targets_now(&self) -> u64 {
        self.cells.iter().map(|cells| cells.targets_now.get()).sum()
    }
}

/// A SOCKS5 request.
pub fn request(command: u8, host: &str, port: u16) -> Vec<u8> {
    let address = match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => [&[1], &v4.octets()[..]].concat(),
        Ok(IpAddr::V6(v6)) => [&[4], &v6.octets()[..]].concat(),
        Err(_) => [&[3, host.len() as u8], host.as_bytes()].concat(),
    };
    [&[5, command, 0], &address[..], &port.to_be_bytes()].concat()
}

/// Reads one reply.
pub fn answer(mut stream: TcpStream) -> Answer {
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut rest = vec![0; if head[3] == 4 { 18 } else { 6 }];
    stream.read_exact(&mut rest).unwrap();
    let (ip, port) = rest.split_at(rest.len() - 2);
    let ip = match <[u8; 4]>::try_from(ip) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(ip).unwrap()),
    };
    let bound = SocketAddr::new(ip, u16::from_be_bytes(port.try_into().unwrap()));
    Answer { reply: head[1], bound, stream }
}

/// Asks until there is something.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it did not come about");
        std::thread::yield_now();
    }
}

/// Listeners on one port of all these addresses.
pub fn listeners<const N: usize>(ips: [&str; N]) -> ([TcpListener; N], u16) {
    loop {
        let first = TcpListener::bind((ips[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let mut all = vec![first];
        all.extend(ips[1..].iter().map_while(|ip| TcpListener::bind((*ip, port)).ok()));
        if let Ok(all) = all.try_into() {
            return (all, port);
        }
    }
}

/// An address that answers no SYN: its backlog is full. Kept so while it lives.
pub struct BlackHole {
    _listener: Socket,
    _fill: Vec<Socket>,
}

impl BlackHole {
    /// `None`: the port is taken there.
    pub fn at(ip: &str, port: u16) -> Option<BlackHole> {
        let address = SocketAddr::new(ip.parse().unwrap(), port);
        let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        listener.bind(&address.into()).ok()?;
        listener.listen(0).unwrap();
        let fill: Vec<_> = (0..4)
            .map(|_| {
                let filler = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
                filler.set_nonblocking(true).unwrap();
                let _ = filler.connect(&address.into());
                filler
            })
            .collect();
        Some(BlackHole { _listener: listener, _fill: fill })
    }
}
