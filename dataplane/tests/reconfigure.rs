//! What a new configuration swaps under open connections, seen through a whole data plane.

#![allow(clippy::unwrap_used)]

mod proxy;

use proxy::{PATIENCE, Proxy, answer, config, request, until};
use ringway_dataplane::WorkerState;
use ringway_shared::command::Command;
use ringway_shared::config::{
    Action, Config, Days, Destination, Password, Protocols, Quota, QuotaPeriod, Rule, User, Users,
};
use ringway_shared::reason::Reason;
use ringway_shared::session::Protocol;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const WORKERS: usize = 2;

fn user(name: &str, password: &str, limits: impl FnOnce(&mut User)) -> Arc<User> {
    let mut user = User::unlimited(name.into(), Password::Plain(password.as_bytes().into()));
    limits(&mut user);
    Arc::new(user)
}

fn users(entries: Vec<Arc<User>>) -> impl FnOnce(&mut Config) {
    move |config| config.socks5.users = Some(Arc::new(Users { entries }))
}

/// A relayed connection: the client's end and the target's.
fn relayed(proxy: &Proxy, login: Option<(&str, &str)>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = proxy.client(login);
    client.write_all(&request(1, "127.0.0.1", listener.local_addr().unwrap().port())).unwrap();
    let answer = answer(client);
    assert_eq!(answer.reply, 0);
    let (target, _) = listener.accept().unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    (answer.stream, target)
}

fn assert_relays((client, target): &mut (TcpStream, TcpStream)) {
    let mut said = [0; 5];
    client.write_all(b"hello").unwrap();
    target.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"hello");
}

#[test]
fn a_removed_user_loses_its_connections_and_nobody_else_does() {
    let alice = user("alice", "one", |_| {});
    let bob = user("bob", "two", |_| {});
    let proxy = Proxy::try_start(WORKERS, users(vec![alice.clone(), bob])).unwrap();
    let mut of_alice: Vec<_> = (0..4).map(|_| relayed(&proxy, Some(("alice", "one")))).collect();
    let of_bob: Vec<_> = (0..4).map(|_| relayed(&proxy, Some(("bob", "two")))).collect();
    proxy.reload(config(WORKERS, users(vec![alice])));
    for (mut client, mut target) in of_bob {
        for end in [&mut client, &mut target] {
            assert_eq!(end.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        assert_eq!(proxy.end().reason, Reason::UserRemoved);
    }
    of_alice.iter_mut().for_each(assert_relays);
    let accounts = proxy.workers.accounts();
    assert_eq!(accounts.iter().map(|account| &*account.user.name).collect::<Vec<_>>(), ["alice"]);
    assert_eq!(accounts[0].usage.connections.load(Relaxed), 4);
}

#[test]
fn a_user_keeps_what_it_has_used_and_gets_its_new_limits() {
    let with_quota = |bytes| {
        user("alice", "one", move |user| user.quota = Some(Quota { bytes, period: QuotaPeriod::Total }))
    };
    let proxy = Proxy::try_start(WORKERS, users(vec![with_quota(5)])).unwrap();
    assert_relays(&mut relayed(&proxy, Some(("alice", "one"))));
    let refused = || {
        let mut client = proxy.client(Some(("alice", "one")));
        client.write_all(&request(1, "127.0.0.1", 1)).unwrap();
        answer(client).reply
    };
    assert_eq!(refused(), 2, "the quota is used up");
    proxy.reload(config(WORKERS, users(vec![with_quota(10)])));
    assert_relays(&mut relayed(&proxy, Some(("alice", "one"))));
    assert_eq!(refused(), 2, "what was used before counts");
}

#[test]
fn new_rules_hold_for_new_connections_and_open_ones_go_on() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let mut open = relayed(&proxy, None);
    let rule = Rule {
        label: "socks5.acl[0]".into(),
        action: Action::Deny,
        from: Vec::new(),
        users: Vec::new(),
        to: vec![Destination::Network("127.0.0.0/8".parse().unwrap())],
        ports: Vec::new(),
        commands: None,
        days: Days::ALL,
        hours: None,
    };
    proxy.reload(config(WORKERS, |config| config.socks5.acl = [rule].into()));
    assert_eq!(proxy.connect("127.0.0.1", 1).reply, 2);
    let end = proxy.end();
    assert_eq!((end.reason, end.rule.as_deref()), (Reason::DeniedAcl, Some("socks5.acl[0]")));
    assert_relays(&mut open);
}

#[test]
fn a_proxy_that_was_open_asks_for_passwords_from_now_on() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let mut open = relayed(&proxy, None);
    proxy.reload(config(WORKERS, |config| {
        users(vec![user("alice", "one", |_| {})])(config);
        config.socks5.protocols = Protocols::default().with(Protocol::Socks5);
    }));
    let mut stranger = TcpStream::connect(proxy.workers.socks5_addresses()[0]).unwrap();
    stranger.write_all(&[5, 1, 0]).unwrap();
    let mut said = Vec::new();
    stranger.read_to_end(&mut said).unwrap();
    assert_eq!(said, [5, 0xff]);
    assert_relays(&mut relayed(&proxy, Some(("alice", "one"))));
    assert_relays(&mut open);
}

#[test]
fn where_one_worker_has_ended_none_takes_anything_over() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    assert!(proxy.workers.tell(0, Command::Cut));
    until(|| matches!(proxy.workers.state(0), WorkerState::Ended { .. }).then_some(()));
    let alice = user("alice", "one", |_| {});
    assert!(proxy.prepare(config(WORKERS, users(vec![alice]))).is_err());
    assert_relays(&mut relayed(&proxy, None));
    assert!(proxy.workers.accounts().is_empty());
}

#[test]
fn a_configuration_that_cannot_be_served_changes_nothing() {
    let proxy = Proxy::try_start(WORKERS, |_| {}).unwrap();
    let foreign = config(WORKERS, |config| {
        config.socks5.egress.addresses = vec!["192.0.2.1".parse().unwrap()];
    });
    assert!(proxy.prepare(foreign).err().unwrap().contains("192.0.2.1"));
    assert_relays(&mut relayed(&proxy, None));
}
