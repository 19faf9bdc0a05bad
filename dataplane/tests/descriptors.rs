//! What is tried in vain leaves nothing behind: alone in its process, so that all descriptors are its own.
#![allow(clippy::unwrap_used)] // a test that cannot go on should end

mod dns_server;
mod proxy;

use dns_server::{DnsServer, Reply};
use proxy::{BlackHole, Proxy, listeners, request, until};
use ringway_shared::config::DriverChoice;
use std::io::Write;
use std::net::IpAddr;

const ROUNDS: usize = 50;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn losers_of_races_and_waits_for_peers_free_their_descriptors() {
    let addresses: [IpAddr; 2] = [[127, 0, 0, 2].into(), [127, 0, 0, 3].into()];
    let dns = DnsServer::start("127.0.0.1", move |_, _| Reply::Addresses(60, addresses.to_vec()));
    let (target, _hole, port) = loop {
        let ([target], port) = listeners(["127.0.0.3"]);
        if let Some(hole) = BlackHole::at("127.0.0.2", port) {
            break (target, hole, port);
        }
    };
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let server = dns.address;
        let proxy = Proxy::start(|config| {
            config.workers.driver = driver;
            config.socks5.dns.servers = vec![server];
        });
        assert_eq!(proxy.connect("warm.test", port).reply, 0);
        drop(target.accept().unwrap());
        proxy.end();
        let before = open_descriptors();

        // Names of their own, so that no winner is remembered: each race has a loser.
        let clients: Vec<_> = (0..ROUNDS)
            .map(|round| {
                let mut client = proxy.client(None);
                client.write_all(&request(1, &format!("n{round}.test"), port)).unwrap();
                client
            })
            .collect();
        for client in clients {
            assert_eq!(proxy::answer(client).reply, 0);
            drop(target.accept().unwrap());
        }
        for _ in 0..ROUNDS {
            let mut client = proxy.client(None);
            client.write_all(&request(2, "0.0.0.0", 0)).unwrap();
            assert_eq!(proxy::answer(client).reply, 0);
        }
        for _ in 0..2 * ROUNDS {
            proxy.end();
        }
        assert_eq!(proxy.targets_now(), 0);
        until(|| (open_descriptors() == before).then_some(()));
    }
}
