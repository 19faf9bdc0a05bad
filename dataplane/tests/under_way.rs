//! What happens to things under way: logins, pauses, lookups, health checks, while a ban, a reload or a cut comes.
#![allow(clippy::unwrap_used, dead_code)]

mod proxy;
mod udp_client;

use proxy::{PATIENCE, Proxy, answer, config, request, until};
use ringway_dataplane::WorkerState;
use ringway_shared::command::Command;
use ringway_shared::config::{
    Action, Commands, Days, Password, Rule, UpstreamNames, UpstreamProtocol, UpstreamProxy, User, Users,
};
use ringway_shared::session::{Command as Asked, Host};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn users(list: Vec<User>) -> Option<Arc<Users>> {
    Some(Arc::new(Users { entries: list.into_iter().map(Arc::new).collect() }))
}

fn plain(name: &str) -> User {
    User::unlimited(name.into(), Password::Plain(b"secret"[..].into()))
}

fn login(name: &str, password: &str) -> Vec<u8> {
    let of = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    [&[1], &of(name)[..], &of(password)].concat()
}

fn greeted(proxy: &Proxy) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.workers.socks5_addresses()[0]).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[5, 1, 2]).unwrap();
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [5, 2]);
    stream
}

/// Who was accepted before a reload logs in after it, though the user is gone.
#[test]
fn a_removed_user_cannot_log_in_on_an_older_connection() {
    let proxy = Proxy::start(|config| config.socks5.users = users(vec![plain("alice"), plain("bob")]));
    let mut stream = greeted(&proxy);
    let next = config(1, |config| config.socks5.users = users(vec![plain("bob")]));
    proxy.reload(next);
    stream.write_all(&login("alice", "secret")).unwrap();
    let mut status = [0; 2];
    stream.read_exact(&mut status).unwrap();
    assert_ne!(status[1], 0, "the removed user has logged in");
}

/// A rule that refuses the command refuses the association.
#[test]
fn a_rule_against_udp_associate_is_answered_02() {
    let rule = Rule {
        label: "socks5.acl[0]".into(),
        action: Action::Deny,
        from: Vec::new(),
        users: Vec::new(),
        to: Vec::new(),
        ports: Vec::new(),
        commands: Some(Commands::default().with(Asked::UdpAssociate)),
        days: Days::ALL,
        hours: None,
    };
    let proxy = Proxy::start(|config| config.socks5.acl = vec![rule].into());
    let mut client = proxy.client(None);
    client.write_all(&request(3, "0.0.0.0", 0)).unwrap();
    assert_eq!(answer(client).reply, 2);
}

/// What is wrong on our side of an upstream is not the upstream's fault.
#[test]
fn one_users_egress_takes_no_upstream_down_for_all() {
    let exit = Proxy::start(|_| {});
    let address = exit.workers.socks5_addresses()[0];
    let upstream = UpstreamProxy {
        name: "a".into(),
        group: "exits".into(),
        protocol: UpstreamProtocol::Socks5,
        host: Host::Address(address.ip()),
        port: address.port(),
        login: None,
        weight: 1,
        names: UpstreamNames::Local,
    };
    let mut alice = plain("alice");
    alice.egress = vec!["::1".parse().unwrap()];
    let proxy = Proxy::start(|config| {
        config.socks5.users = users(vec![alice, plain("bob")]);
        config.socks5.upstream.proxies = vec![upstream];
        config.socks5.upstream.default = Some("exits".into());
        config.socks5.upstream.health_interval = Duration::from_secs(3_600);
    });
    for _ in 0..3 {
        let mut client = proxy.client(Some(("alice", "secret")));
        client.write_all(&request(1, "127.0.0.1", 9)).unwrap();
        assert_ne!(answer(client).reply, 0);
    }
    assert!(proxy.workers.upstreams()[0].up, "alice's egress has taken bob's upstream down");
}

/// Guesses that were in the queue when the ban began do not get in.
#[test]
fn a_ban_holds_for_guesses_under_way() {
    let hash = bcrypt::hash("secret", 10).unwrap();
    let proxy = Proxy::start(|config| {
        config.socks5.users =
            users(vec![User::unlimited("alice".into(), Password::Bcrypt(hash.as_str().into()))]);
        config.socks5.logins.failures_max = Some(3);
        config.socks5.logins.delay = Duration::ZERO;
        config.socks5.timeouts.authentication = Duration::from_secs(60);
        config.socks5.timeouts.handshake = Duration::from_secs(60);
    });
    let mut guesses: Vec<_> = (0..7).map(|_| greeted(&proxy)).collect();
    let mut right = greeted(&proxy);
    for guess in &mut guesses {
        guess.write_all(&login("alice", "guess")).unwrap();
    }
    // Two are verified at once: there is no ban yet, and four stand in line before this one.
    until(|| (proxy.cells[0].logins_failed.get() > 0).then_some(()));
    right.write_all(&login("alice", "secret")).unwrap();
    let mut status = [0; 2];
    right.read_exact(&mut status).unwrap();
    let banned: u64 = proxy.cells.iter().map(|cells| cells.clients_banned.get()).sum();
    assert!(banned > 0, "the ban came first");
    assert_ne!(status[1], 0, "the right guess got in after the ban");
}

/// A cut ends a login whose answer is being kept back.
#[test]
fn a_cut_does_not_wait_for_a_delayed_answer() {
    let proxy = Proxy::start(|config| {
        config.socks5.users = users(vec![plain("alice")]);
        config.socks5.logins.delay = Duration::from_secs(15);
        config.socks5.logins.delay_max = Duration::from_secs(15);
    });
    let mut stream = greeted(&proxy);
    stream.write_all(&login("alice", "guess")).unwrap();
    until(|| (proxy.cells[0].logins_failed.get() == 1).then_some(()));
    let begun = Instant::now();
    assert!(proxy.workers.tell(0, Command::Drain));
    assert!(proxy.workers.tell(0, Command::Cut));
    until(|| matches!(proxy.workers.state(0), WorkerState::Ended { .. }).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(4), "the cut took {:?}", begun.elapsed());
}

/// A raised rate holds at once, whatever was owed at the old one.
#[test]
fn a_raised_rate_forgives_what_was_owed_at_the_old_one() {
    let with_rate = |rate: u64| {
        let mut alice = plain("alice");
        alice.rate_up = Some(rate);
        users(vec![alice])
    };
    let proxy = Proxy::start(|config| config.socks5.users = with_rate(100));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = |payload: &[u8]| {
        let mut client = proxy.client(Some(("alice", "secret")));
        client.write_all(&[&request(1, "127.0.0.1", port)[..], payload].concat()).unwrap();
        let answer = answer(client);
        assert_eq!(answer.reply, 0);
        let (target, _) = listener.accept().unwrap();
        target.set_read_timeout(Some(PATIENCE)).unwrap();
        (answer.stream, target)
    };
    let (old, mut old_target) = connect(&[b'x'; 900]);
    old_target.read_exact(&mut [0; 900]).unwrap();
    drop((old, old_target));
    let next = config(1, |config| config.socks5.users = with_rate(100_000_000));
    proxy.reload(next);
    let (mut client, mut target) = connect(b"");
    let begun = Instant::now();
    client.write_all(&[b'y'; 200_000]).unwrap();
    target.read_exact(&mut vec![0; 200_000]).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "200 kB at 100 MB/s took {:?}", begun.elapsed());
}

/// What has ended on both sides does not wait for its user's rate.
#[test]
fn a_pause_ends_with_the_stream() {
    let proxy = Proxy::start(|config| {
        let mut alice = plain("alice");
        alice.rate_up = Some(100);
        config.socks5.users = users(vec![alice]);
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for _ in 0..3 {
        let mut client = proxy.client(Some(("alice", "secret")));
        client.write_all(&[&request(1, "127.0.0.1", port)[..], &[b'x'; 900]].concat()).unwrap();
        let answer = answer(client);
        let (mut target, _) = listener.accept().unwrap();
        target.read_exact(&mut [0; 900]).unwrap();
        drop((answer.stream, target));
    }
    let begun = Instant::now();
    until(|| (proxy.cells[0].clients_now.get() == 0).then_some(()));
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
}

/// Names that nobody waits for any more hold no descriptors.
#[test]
fn an_association_that_is_over_asks_no_names() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = silent.local_addr().unwrap();
    let proxy = Proxy::start(|config| config.socks5.dns.servers = vec![server]);
    let mut worst = Duration::ZERO;
    for round in 0..15 {
        let client = udp_client::Client::associate(&proxy);
        for number in 0..16 {
            let name = format!("n{number}.r{round}.test");
            let header = [&[0, 0, 0, 3, name.len() as u8], name.as_bytes(), &[0, 80]].concat();
            client.say_raw(&header);
        }
        drop(client);
        proxy.end();
        let begun = Instant::now();
        until(|| (proxy.targets_now() == 0).then_some(()));
        worst = worst.max(begun.elapsed());
    }
    assert!(worst < Duration::from_secs(1), "sockets stayed for {worst:?} after their association");
}
