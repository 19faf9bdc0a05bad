//! Health checks of the upstream proxies: worker 0 asks each in turn whether it serves, spread over the interval.

use crate::core::Core;
use crate::io::dial::attempt::{Attempt, Counted, Failure};
use crate::io::dial::egress;
use crate::io::questions::Reply;
use crate::policy::targets::Permit;
use crate::policy::upstreams::Upstream;
use crate::proto::upstream::Client;
use crate::rt::{self, Ready};
use crate::service::Service;
use futures_util::future::{Either, select};
use ringway_shared::config::UpstreamProtocol;
use ringway_shared::reason::Reason;
use ringway_shared::session::{Host, Target};
use rustix::io::Errno;
use socket2::Socket;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How often to look whether a reload has brought proxies.
const IDLE: Duration = Duration::from_secs(1);
/// Checks at most so often, however many proxies share a short interval.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Checks the proxies of whatever service is the current one, until the drain.
pub async fn watch(core: Rc<Core>) {
    let mut turn = 0;
    while !core.draining.get() {
        let service = core.service();
        let count = service.upstreams.all().len();
        if count == 0 {
            rt::sleep(IDLE).await;
            continue;
        }
        turn = (turn + 1) % count;
        begin(&core, &service, turn);
        let pause = service.config.socks5.upstream.health_interval / count as u32;
        drop(service);
        rt::sleep(pause.max(PAUSE_MIN)).await;
    }
}

/// Begins a check, unless the last one of that proxy is still under way.
fn begin(core: &Rc<Core>, service: &Rc<Service>, index: usize) {
    if service.upstreams.all()[index].usage.checking.swap(true, Relaxed) {
        return;
    }
    let (counting, check) = (core.clone(), Check { core: core.clone(), service: service.clone(), index });
    rt::spawn(move || counting.count_panic(), async move { check.run().await });
}

/// One check under way.
struct Check {
    core: Rc<Core>,
    service: Rc<Service>,
    index: usize,
}

impl Drop for Check {
    fn drop(&mut self) {
        self.upstream().usage.checking.store(false, Relaxed);
    }
}

impl Check {
    async fn run(&self) {
        let socks5 = &self.service.config.socks5;
        let limit = socks5.upstream.health_interval.min(socks5.timeouts.connect);
        // Whichever loses is only a wait on a socket or an answer: nothing is lost with it.
        let outcome = match select(pin!(self.ask()), pin!(rt::sleep(limit))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Err(Reason::ConnectTimeout.into()),
        };
        let (upstream, upstreams) = (self.upstream(), &self.service.upstreams);
        let name = &*upstream.proxy.name;
        match outcome {
            Ok(()) if upstreams.serves(upstream) => {
                tracing::info!(upstream = name, "an upstream proxy is up again");
            }
            Err(failure) if !failure.is_ours() && upstreams.fails(upstream) => {
                tracing::warn!(upstream = name, reason = failure.reason.label(), "an upstream proxy is down");
            }
            _ => {}
        }
    }

    fn upstream(&self) -> &Upstream {
        &self.service.upstreams.all()[self.index]
    }

    /// Whether one of its addresses serves.
    async fn ask(&self) -> Result<(), Failure> {
        let mut failure = Failure::from(Reason::NameNotFound);
        for ip in self.addresses().await? {
            match self.ask_at(SocketAddr::new(ip, self.upstream().proxy.port)).await {
                Ok(()) => return Ok(()),
                Err(fell) => failure = fell,
            }
        }
        Err(failure)
    }

    async fn addresses(&self) -> Result<Vec<IpAddr>, Failure> {
        let name = match &self.upstream().proxy.host {
            Host::Address(ip) => return Ok(vec![*ip]),
            Host::Name(name) => name,
        };
        let question = self.core.questions.open();
        let back = self.core.return_address(&question);
        self.core.wiring.resolver.ask(name, back).map_err(|_| Failure::from(Reason::ResolverBusy))?;
        match question.await {
            Some(Reply::Resolved(Ok(addresses))) => Ok(addresses),
            _ => Err(Reason::NameLookupFailed.into()),
        }
    }

    /// Connects; of SOCKS5 it also wants to hear a method we can meet. HTTP has no greeting.
    async fn ask_at(&self, address: SocketAddr) -> Result<(), Failure> {
        let _counted = Counted::one(&self.core)?;
        let egress = &self.service.config.socks5.egress;
        let prepare = |socket: &Socket| egress::prepare_own(socket, address.is_ipv6(), egress);
        let attempt = Attempt::begin(Permit::for_upstream(address), &[], prepare)?;
        attempt.settle().await?;
        let socket = attempt.outcome()?.socket;
        match self.upstream().proxy.protocol {
            UpstreamProtocol::Socks5 => self.greet(&socket).await,
            UpstreamProtocol::HttpConnect => Ok(()),
        }
    }

    async fn greet(&self, socket: &Ready) -> Result<(), Failure> {
        // Never said: the greeting comes first, and its answer is all that is asked for.
        let nowhere = Target { host: Host::Address(Ipv4Addr::UNSPECIFIED.into()), port: 0 };
        let proxy = &self.upstream().proxy;
        let mut client = Client::new(proxy.protocol, proxy.login.as_ref(), &nowhere);
        socket.send_all(&client.take_output()).await?;
        let refused = Failure::from(Reason::UpstreamRefused);
        loop {
            if client.poll().is_some() {
                return Err(refused);
            }
            if !client.take_output().is_empty() {
                return Ok(());
            }
            socket.readable().await?;
            let mut scratch = self.core.scratch.borrow_mut();
            match socket.receive(&mut scratch[..client.room()]) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Ok(0) | Err(_) => return Err(refused),
                Ok(count) => client.receive(&scratch[..count]),
            }
        }
    }
}
