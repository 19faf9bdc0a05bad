//! Silent clients: some say nothing, or a byte at a time; meanwhile others want to be served as quickly as ever.

use super::{Setting, rate};
use crate::failure::Failure;
use crate::poller::{EventFlags, Poller, Ready};
use crate::report::Report;
use crate::route::Route;
use crate::socket::{self, Moved};
use crate::target::{Behaviour, Target};
use std::net::SocketAddr;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const LOOK: Duration = Duration::from_millis(10);

pub struct Options {
    pub connections: usize,
    /// Say a valid greeting, but one byte at a time, this long apart. Otherwise say nothing.
    pub drip: Option<Duration>,
    /// Ordinary connections made meanwhile.
    pub ordinary: u64,
    pub parallel: usize,
    /// How long to wait for the server to end the silent ones.
    pub patience: Duration,
}

pub fn run(setting: &Setting, options: &Options) -> Result<Report, Failure> {
    let target = Target::start(setting.target_port, Behaviour::Echo, 4096)?;
    setting.route.dial(target.address)?;
    let crowd = Crowd::gather(&setting.route, target.address, options)?;
    let ended = crowd.ended.clone();
    let watch = thread::spawn(move || crowd.watch());
    let storm =
        rate::Options { connections: Some(options.ordinary), duration: None, parallel: options.parallel };
    let tally = rate::storm(&setting.route, target.address, &storm)?;
    let ended_meanwhile = ended.load(Relaxed);
    let lives =
        watch.join().unwrap_or_else(|_| Err(Failure::own("watching")(std::io::Error::other("a panic"))))?;

    let mut report = setting.report("silent");
    report.text("manner", if options.drip.is_some() { "drip" } else { "silent" });
    report.count("silent", options.connections as u64);
    report.count("silent_ended_meanwhile", ended_meanwhile as u64);
    describe(&lives, options, &mut report);
    report.count("ordinary", tally.total.count());
    tally.describe(&mut report);
    Ok(report)
}

fn describe(lives: &[Duration], options: &Options, report: &mut Report) {
    report.count("silent_ended", lives.len() as u64);
    report.count("silent_alive_at_the_end", (options.connections - lives.len()) as u64);
    if let (Some(shortest), Some(longest)) = (lives.iter().min(), lives.iter().max()) {
        report.measure("silent_life_min_seconds", shortest.as_secs_f64());
        report.measure("silent_life_max_seconds", longest.as_secs_f64());
    }
}

/// The silent clients.
struct Crowd {
    poller: Poller,
    members: Vec<Option<Member>>,
    drip: Option<Duration>,
    until: Instant,
    ended: Arc<AtomicUsize>,
}

struct Member {
    stream: TcpStream,
    since: Instant,
    dripped: usize,
}

impl Crowd {
    fn gather(route: &Route, target: SocketAddr, options: &Options) -> Result<Crowd, Failure> {
        let poller = Poller::new()?;
        let mut members = Vec::with_capacity(options.connections);
        for index in 0..options.connections {
            let stream = route.dial_first_hop(target)?;
            poller.add(&stream, index, EventFlags::IN | EventFlags::RDHUP)?;
            members.push(Some(Member { stream, since: Instant::now(), dripped: 0 }));
        }
        let until = Instant::now() + options.patience;
        Ok(Crowd { poller, members, drip: options.drip, until, ended: Arc::default() })
    }

    /// Holds them until the server has ended all, or patience has. How long each lived that was ended.
    fn watch(mut self) -> Result<Vec<Duration>, Failure> {
        let mut lives = Vec::new();
        let mut ready = Ready::new();
        let mut next_drip = Instant::now();
        while lives.len() < self.members.len() && Instant::now() < self.until {
            self.poller.wait(LOOK, &mut ready)?;
            for (index, _) in &ready {
                let ended = self.members[*index].take_if(|member| member.has_ended());
                lives.extend(ended.map(|member| member.since.elapsed()));
                self.ended.store(lives.len(), Relaxed);
            }
            if let Some(drip) = self.drip
                && Instant::now() >= next_drip
            {
                next_drip += drip;
                self.members.iter_mut().flatten().for_each(Member::drip);
            }
        }
        Ok(lives)
    }
}

impl Member {
    fn has_ended(&self) -> bool {
        !matches!(socket::read(&self.stream, &mut [0; 16]), Ok(Moved::Bytes(_) | Moved::NotNow))
    }

    /// The next byte of a greeting that offers 255 methods. A server that has gone is noticed when it is read from.
    fn drip(&mut self) {
        let byte = match self.dripped {
            0 => 5,
            1 => 255,
            _ => 0,
        };
        if self.dripped < 2 + 255 {
            let _ = socket::write(&self.stream, &[byte]);
            self.dripped += 1;
        }
    }
}
