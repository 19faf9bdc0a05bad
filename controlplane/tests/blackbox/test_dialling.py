"""How targets are reached: by which address first (RFC 8305), from which address, directly or through another proxy."""

import hashlib
import socket
import statistics
import threading
import time
from collections import Counter

import pytest

import http_connect
import socks4
import socks5
from ports import free_port
from ringway import run, set_arguments
from targets import answer_after_end, echo, listening
from test_wire import fill_the_backlog
from upstreams import HttpProxy
from waiting import eventually

# A racer waits so long for those before it (RFC 8305 section 5), and two busy cores add theirs.
HEAD_START_SECONDS = 0.25
QUICK_SECONDS = 1.5
CONNECT_SECONDS = 10


def talks(connection, word=b"hello"):
    connection.sendall(word)
    return socks5.receive_exactly(connection, len(word)) == word


def timed_tunnel(proxy, target):
    begun = time.monotonic()
    assert talks(proxy.tunnel(target))
    return time.monotonic() - begun


def resolving(names, **options):
    return {"socks5.dns.servers": f"[{names.text}]", "socks5.timeouts.connect": f"{CONNECT_SECONDS}s", **options}


@pytest.fixture
def both(target, listener, closing, dns):
    """A name with two addresses, one port: `both("::1")` answers on IPv6 only and is a black hole on IPv4."""

    class Dead:
        def __init__(self, host, port):
            self.socket = closing(listening(host, port, backlog=0))
            self.address = (host, port)
            self.accepted = 0
            fill_the_backlog(self, closing)

    def start(*alive):
        hosts = ("::1", "127.0.0.1")
        port = free_port()
        servers = {host: target(echo, host, port) if host in alive else Dead(host, port) for host in hosts}
        servers["port"] = port
        servers["names"] = dns({"both.example": ["::1", "127.0.0.1"]})
        return servers

    return start


# Racing


def test_a_black_hole_before_a_live_address_costs_a_head_start_and_no_more(ringway, both):
    servers = both("127.0.0.1")
    proxy = ringway(resolving(servers["names"]))
    assert timed_tunnel(proxy, ("both.example", servers["port"])) < QUICK_SECONDS


def test_the_winner_is_remembered(ringway, both):
    servers = both("127.0.0.1")
    proxy = ringway(resolving(servers["names"], **{"workers.count": 1}))
    timed_tunnel(proxy, ("both.example", servers["port"]))
    times = [timed_tunnel(proxy, ("both.example", servers["port"])) for _ in range(9)]
    assert statistics.median(times) < HEAD_START_SECONDS * 0.6, "no head start for the loser any more"


def test_where_both_answer_ipv6_is_taken_and_ipv4_left_alone(ringway, both):
    servers = both("::1", "127.0.0.1")
    proxy = ringway(resolving(servers["names"]))
    for _ in range(5):
        assert talks(proxy.tunnel(("both.example", servers["port"])))
    assert (servers["::1"].accepted, servers["127.0.0.1"].accepted) == (5, 0)


@pytest.mark.parametrize(
    ("prefer", "winner"), [("ipv4", "127.0.0.1"), ("ipv6", "::1"), ("ipv4_only", "127.0.0.1"), ("ipv6_only", "::1")]
)
def test_the_preferred_family_is_taken(ringway, both, prefer, winner):
    servers = both("::1", "127.0.0.1")
    proxy = ringway(resolving(servers["names"], **{"socks5.egress.prefer": prefer}))
    assert talks(proxy.tunnel(("both.example", servers["port"])))
    assert {host: servers[host].accepted for host in ("::1", "127.0.0.1")} == {host: int(host == winner) for host in ("::1", "127.0.0.1")}


@pytest.mark.parametrize(("prefer", "alive"), [("ipv4", "::1"), ("ipv6", "127.0.0.1")])
def test_the_other_family_is_the_fallback_of_a_preference(ringway, both, prefer, alive):
    servers = both(alive)
    proxy = ringway(resolving(servers["names"], **{"socks5.egress.prefer": prefer}))
    assert timed_tunnel(proxy, ("both.example", servers["port"])) < QUICK_SECONDS


@pytest.mark.parametrize(("only", "alive"), [("ipv4_only", "::1"), ("ipv6_only", "127.0.0.1")])
def test_only_means_only(ringway, both, only, alive):
    servers = both(alive)
    options = resolving(servers["names"], **{"socks5.egress.prefer": only, "socks5.timeouts.connect": "1s"})
    proxy = ringway(options)
    assert proxy.refusal("both.example", servers["port"]) == socks5.TTL_EXPIRED
    assert servers[alive].accepted == 0


def test_a_refusal_does_not_wait_for_the_head_start(ringway, target, dns):
    server = target(echo, "127.0.0.9")
    names = dns({"many.example": ["::1", *(f"127.0.0.{number}" for number in range(1, 10))]})
    proxy = ringway(resolving(names))
    # Nine refusals: nine head starts, were they waited for.
    assert timed_tunnel(proxy, ("many.example", server.address[1])) < HEAD_START_SECONDS * 4


def test_the_losers_of_a_race_are_closed(ringway, both):
    servers = both("127.0.0.1")
    proxy = ringway(resolving(servers["names"]))
    proxy.tunnel(("both.example", servers["port"])).close()
    eventually(lambda: proxy.active() == 0)
    before = proxy.descriptors()
    for _ in range(20):
        proxy.tunnel(("both.example", servers["port"])).close()
    eventually(lambda: proxy.active() == 0)
    eventually(lambda: proxy.descriptors() <= before + 1, what=lambda: f"{proxy.descriptors()} descriptors, {before} before")


def test_a_client_that_leaves_during_a_race_is_forgotten(ringway, both):
    servers = both()
    proxy = ringway(resolving(servers["names"]))
    connection = proxy.connect()
    socks5.handshake(connection)
    connection.sendall(socks5.request("both.example", servers["port"]))
    eventually(lambda: servers["names"].asked)
    socks5.reset(connection)  # A mere end of stream may be a half-close.
    proxy.eventually_closed("client_gone", seconds=5)


# Leaving


def test_sockets_leave_from_the_configured_address_of_their_family(ringway, target):
    fourth, sixth = target(echo), target(echo, "::1")
    proxy = ringway({"socks5.egress.addresses": ["127.0.0.5", "::1"]})
    connection, reply = proxy.ask(*fourth.address)
    assert talks(connection)
    assert fourth.peers[0][0] == reply.address == "127.0.0.5"
    assert talks(proxy.tunnel(sixth.address))
    assert sixth.peers[0][0] == "::1"


def test_with_addresses_of_one_family_the_other_leaves_as_the_kernel_chooses(ringway, target):
    server = target(echo, "::1")
    assert talks(ringway({"socks5.egress.addresses": ["127.0.0.5"]}).tunnel(server.address))


@pytest.mark.parametrize(("key", "value"), [("addresses", ["127.0.0.1", "192.0.2.1"]), ("interface", "absent0")])
def test_what_this_host_does_not_have_is_said_at_start(ringway, key, value):
    proxy = ringway({f"socks5.egress.{key}": value}, ready=False)
    assert proxy.exit_code() != 0
    assert f"socks5.egress.{key}" in proxy.log()


POOL = [f"127.0.5.{number}" for number in range(1, 9)]


def test_of_a_pool_a_client_keeps_its_address_and_clients_are_spread(ringway, target):
    server, proxy = target(echo), ringway({"workers.count": 2, "socks5.egress.addresses": POOL})
    seen = {}
    for _ in range(4):
        for number in range(1, 17):
            connection = proxy.connect((f"127.0.6.{number}", 0))
            socks5.handshake(connection)
            connection.sendall(socks5.request(*server.address))
            assert socks5.read_reply(connection).code == socks5.SUCCEEDED
            assert talks(connection)
            seen.setdefault(number, set()).add(server.peers[-1][0])
            connection.close()
    assert all(len(sources) == 1 for sources in seen.values()), "sticky"
    assert len(set.union(*seen.values())) >= 4, "spread"


def test_an_interface_binds_every_socket(ringway, target, udp_target, associate):
    proxy = ringway({"socks5.egress.interface": "lo"})
    assert talks(proxy.tunnel(target(echo).address))
    assert associate(proxy).echoes(udp_target())


def test_a_mark_does_not_hinder(ringway, target):
    """Whether it may be set at all is the kernel's to say (CAP_NET_ADMIN)."""
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 7)
        except PermissionError:
            pytest.skip("marks need CAP_NET_ADMIN")
    assert talks(ringway({"socks5.egress.mark": 7}).tunnel(target(echo).address))


@pytest.mark.parametrize("payload", [b"", b"payload", bytes(60_000)], ids=len)
def test_fast_open_changes_no_byte(ringway, listener, payload):
    server = listener()
    proxy = ringway({"socks5.egress.fast_open": True})
    for _ in range(3):
        connection = proxy.connect()
        connection.sendall(socks5.greeting(socks5.NO_AUTH) + socks5.request(*server.address) + payload)
        connection.shutdown(socket.SHUT_WR)
        assert socks5.receive_until_closed(server.accept()) == payload
        assert socks5.receive_exactly(connection, 2) == b"\x05\x00"
        assert socks5.read_reply(connection).code == socks5.SUCCEEDED
        connection.close()


def test_fast_open_says_no_success_to_a_closed_port(ringway, listener):
    server = listener()
    server.close()
    proxy = ringway({"socks5.egress.fast_open": True})
    connection = proxy.connect()
    connection.sendall(socks5.greeting(socks5.NO_AUTH) + socks5.request(*server.address) + b"payload")
    assert socks5.receive_exactly(connection, 2) == b"\x05\x00"
    assert socks5.read_reply(connection).code == socks5.REFUSED


# Through other proxies


def upstream(name, address, protocol="socks5", **more):
    host, port = address
    return {"name": name, "group": "exits", "protocol": protocol, "address": f"{host}:{port}", **more}


def through(*proxies, **options):
    more = {f"socks5.upstream.{key}": value for key, value in options.items()}
    return {"socks5.upstream.proxies": list(proxies), "socks5.upstream.default": "exits", **more}


@pytest.fixture
def http_proxy(closing):
    return lambda *arguments, **how: closing(HttpProxy(*arguments, **how))


@pytest.mark.parametrize("ask", [lambda proxy, to: proxy.tunnel(to), socks4.tunnel, http_connect.tunnel], ids=["socks5", "socks4", "http"])
@pytest.mark.parametrize("protocol", ["socks5", "http_connect"])
def test_every_protocol_goes_through_either(ringway, target, http_proxy, ask, protocol):
    server = target(answer_after_end)
    exit_ = ringway().socks if protocol == "socks5" else http_proxy().address
    connection = ask(ringway(through(upstream("a", exit_, protocol))), server.address)
    data = bytes(range(256)) * 4_000
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    assert socks5.receive_until_closed(connection).decode() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("protocol", ["socks5", "http_connect"])
def test_what_the_target_says_first_arrives_behind_the_upstreams_answer(ringway, target, http_proxy, protocol):
    server = target(lambda connection: connection.sendall(b"welcome"))
    exit_ = ringway().socks if protocol == "socks5" else http_proxy().address
    connection = ringway(through(upstream("a", exit_, protocol))).tunnel(server.address)
    assert socks5.receive_until_closed(connection) == b"welcome"


@pytest.mark.parametrize("who_resets", ["client", "target"])
def test_a_reset_is_passed_on_through_a_chain(ringway, listener, who_resets):
    server = listener()
    exit_ = ringway()
    connection = ringway(through(upstream("a", exit_.socks))).tunnel(server.address)
    accepted = server.accept()
    one, other = (connection, accepted) if who_resets == "client" else (accepted, connection)
    one.sendall(b"half a trans")
    assert socks5.receive_exactly(other, 12) == b"half a trans"
    socks5.reset(one)
    assert socks5.is_reset(other)


@pytest.mark.parametrize("names_at", ["local", "remote"])
def test_a_name_is_looked_up_here_or_there(ringway, target, http_proxy, dns, names_at):
    server, exit_, names = target(echo), http_proxy(), dns({"localhost.example": ["127.0.0.1"], "localhost": ["127.0.0.1"]})
    name = "localhost.example" if names_at == "local" else "localhost"
    proxy = ringway({**through(upstream("a", exit_.address, "http_connect", names=names_at)), "socks5.dns.servers": f"[{names.text}]"})
    assert talks(proxy.tunnel((name, server.address[1])))
    assert exit_.asked == [f"{'127.0.0.1' if names_at == 'local' else name}:{server.address[1]}"]


def test_a_name_sent_on_is_not_looked_up(ringway, dns, http_proxy):
    names, exit_ = dns(), http_proxy(None, b"HTTP/1.1 200 OK\r\n\r\n")
    options = {**through(upstream("a", exit_.address, "http_connect", names="remote")), "socks5.dns.servers": f"[{names.text}]"}
    assert ringway(options).refusal("only.there.example", 80) == socks5.SUCCEEDED
    assert exit_.asked == ["only.there.example:80"]
    assert not names.asked


def test_an_address_is_sent_with_brackets_where_it_needs_them(ringway, target, http_proxy):
    server, exit_ = target(echo, "::1"), http_proxy()
    assert talks(ringway(through(upstream("a", exit_.address, "http_connect"))).tunnel(server.address))
    assert exit_.asked == [f"[::1]:{server.address[1]}"]


SECRET = "upstream-secret"


@pytest.mark.parametrize("where", ["file", "environment"])
@pytest.mark.parametrize("protocol", ["socks5", "http_connect"])
def test_it_logs_in(ringway, target, http_proxy, users_file, tmp_path, protocol, where):
    server = target(echo)
    exit_ = ringway(users_file(exit=SECRET)).socks if protocol == "socks5" else http_proxy(("exit", SECRET)).address
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    login = {"username": "exit", **({"password_file": str(file)} if where == "file" else {"password_env": "EXIT_PASSWORD"})}
    proxy = ringway(through(upstream("a", exit_, protocol, **login)), env={"EXIT_PASSWORD": SECRET})
    assert talks(proxy.tunnel(server.address))
    assert SECRET not in proxy.log() + proxy.get("/config").text


@pytest.mark.parametrize("protocol", ["socks5", "http_connect"])
def test_a_login_that_the_upstream_refuses_is_told(ringway, target, http_proxy, users_file, protocol):
    exit_ = ringway(users_file(exit=SECRET)).socks if protocol == "socks5" else http_proxy(("exit", SECRET)).address
    proxy = ringway(through(upstream("a", exit_, protocol)))
    assert proxy.refusal(*target(echo).address) != socks5.SUCCEEDED
    proxy.eventually_closed("upstream_refused")
    assert proxy.metrics()("socks5_upstream_connections_total", upstream="a") == 1


def test_what_an_upstream_socks5_says_of_the_target_is_passed_on(ringway, listener):
    server = listener()
    server.close()
    proxy = ringway(through(upstream("a", ringway().socks)))
    assert proxy.refusal(*server.address) == socks5.REFUSED


USELESS_ANSWERS = {
    "502": b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\n\r\n",
    "rubbish": b"rubbish\r\n\r\n",
    "socks": b"\x05\x00",
    "endless": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
}


@pytest.mark.parametrize("answer", USELESS_ANSWERS)
def test_an_upstream_that_does_not_do_it_is_no_success(ringway, target, http_proxy, answer):
    exit_ = http_proxy(None, USELESS_ANSWERS[answer])
    proxy = ringway({**through(upstream("a", exit_.address, "http_connect")), "socks5.timeouts.connect": "2s"})
    assert proxy.refusal(*target(echo).address) != socks5.SUCCEEDED


def test_an_upstream_that_hangs_up_is_no_success(ringway, target):
    exit_ = target(lambda connection: connection.recv(1))
    proxy = ringway(through(upstream("a", exit_.address, "http_connect")))
    assert proxy.refusal(*target(echo).address) == socks5.GENERAL_FAILURE


def test_a_silent_upstream_is_a_connect_timeout(ringway, listener, target):
    silent = listener()
    proxy = ringway({**through(upstream("a", silent.address)), "socks5.timeouts.connect": "1s"})
    begun = time.monotonic()
    assert proxy.refusal(*target(echo).address) != socks5.SUCCEEDED
    assert 0.8 < time.monotonic() - begun < 4


def test_rules_choose_the_way(ringway, target, http_proxy, dns):
    server, exit_ = target(echo), http_proxy()
    names = dns({"far.example": ["127.0.0.1"], "near.example": ["127.0.0.1"]})
    proxy = ringway(
        {
            "socks5.upstream.proxies": [upstream("a", exit_.address, "http_connect")],
            "socks5.acl": [{"action": "allow", "to": ["far.example"], "via": "exits"}],
            "socks5.dns.servers": f"[{names.text}]",
        }
    )
    assert talks(proxy.tunnel(("near.example", server.address[1])))
    assert len(exit_.asked) == 0, "no default: direct"
    assert talks(proxy.tunnel(("far.example", server.address[1])))
    assert len(exit_.asked) == 1


def test_a_rule_may_go_direct_where_others_do_not(ringway, target, http_proxy):
    server, other, exit_ = target(echo), target(echo), http_proxy()
    direct = {"action": "allow", "ports": [server.address[1]], "via": "direct"}
    proxy = ringway({**through(upstream("a", exit_.address, "http_connect")), "socks5.acl": [direct]})
    assert talks(proxy.tunnel(server.address)) and not exit_.asked
    assert talks(proxy.tunnel(other.address)) and len(exit_.asked) == 1


@pytest.mark.parametrize("command", [socks5.BIND, socks5.UDP_ASSOCIATE], ids=["bind", "udp_associate"])
def test_what_cannot_be_chained_is_refused_and_never_goes_directly(ringway, http_proxy, udp_target, associate, command):
    """Whoever said `via` did not want this host's address to be seen."""
    server, exit_ = udp_target(), http_proxy()
    rule = {"action": "allow", "commands": ["bind", "udp_associate"], "via": "exits"}
    proxy = ringway({"socks5.upstream.proxies": [upstream("a", exit_.address, "http_connect")], "socks5.acl": [rule]})
    host, port = ("0.0.0.0", 0) if command == socks5.UDP_ASSOCIATE else ("127.0.0.1", 0)
    connection, reply = proxy.ask(host, port, command=command)
    if reply.code == socks5.SUCCEEDED and command == socks5.UDP_ASSOCIATE:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(socks5.datagram(*server.address, b"x"), ("127.0.0.1", reply.port))
            eventually(lambda: proxy.metrics()("socks5_udp_datagrams_dropped_total") == 1)
        assert not server.heard
    else:
        assert reply.code == socks5.NOT_ALLOWED
    connection.close()


def test_forbidden_targets_are_forbidden_through_an_upstream_too(ringway, listener, http_proxy, dns):
    server, exit_, names = listener(), http_proxy(), dns({"inside.example": ["127.0.0.1"]})
    options = {**through(upstream("a", exit_.address, "http_connect")), "socks5.dns.servers": f"[{names.text}]"}
    proxy = ringway({**options, "socks5.allow_targets": None})
    for host in ("127.0.0.1", "inside.example"):
        assert proxy.refusal(host, server.address[1]) == socks5.NOT_ALLOWED
    assert not exit_.asked


def test_names_are_judged_before_they_are_sent_on(ringway, http_proxy):
    exit_ = http_proxy(None, b"HTTP/1.1 200 OK\r\n\r\n")
    options = through(upstream("a", exit_.address, "http_connect", names="remote"))
    proxy = ringway({**options, "socks5.acl": [{"action": "deny", "to": ["blocked.example"]}]})
    assert proxy.refusal("www.Blocked.example.", 80) == socks5.NOT_ALLOWED
    assert proxy.refusal("open.example", 80) == socks5.SUCCEEDED
    assert exit_.asked == ["open.example:80"]


# Several of them

WEIGHTED_CONNECTIONS = 80


def test_weights_share_the_connections_out(ringway, target, http_proxy):
    server, heavy, light, spare = target(echo), http_proxy(), http_proxy(), http_proxy()
    proxy = ringway(
        through(
            upstream("heavy", heavy.address, "http_connect", weight=3),
            upstream("light", light.address, "http_connect", weight=1),
            upstream("spare", spare.address, "http_connect", weight=0),
        )
    )
    for _ in range(WEIGHTED_CONNECTIONS):
        connection = proxy.tunnel(server.address)
        assert talks(connection)
        connection.close()
    shares = Counter(heavy=len(heavy.asked), light=len(light.asked), spare=len(spare.asked))
    assert shares["heavy"] + shares["light"] == WEIGHTED_CONNECTIONS and not shares["spare"]
    assert 0.6 < shares["heavy"] / WEIGHTED_CONNECTIONS < 0.9, shares


def test_when_one_dies_no_connection_fails_and_when_it_is_back_it_is_used(ringway, target, http_proxy):
    server, steady, frail = target(echo), http_proxy(), http_proxy()
    proxy = ringway(
        through(
            upstream("steady", steady.address, "http_connect"),
            upstream("frail", frail.address, "http_connect"),
            health_interval="200ms",
            failures_max=2,
        )
    )

    def one():
        connection = proxy.tunnel(server.address)
        assert talks(connection)
        connection.close()

    for _ in range(10):
        one()
    assert frail.asked and steady.asked
    frail.close()
    for _ in range(20):
        one()
    eventually(lambda: proxy.metrics()("socks5_upstream_up", upstream="frail") == 0)
    assert proxy.metrics()("socks5_upstream_up", upstream="steady") == 1
    back = http_proxy(port=frail.address[1])
    eventually(lambda: proxy.metrics()("socks5_upstream_up", upstream="frail") == 1)

    def used_again():
        one()
        return back.asked

    eventually(used_again)


def test_the_spare_takes_over_when_no_other_is_left(ringway, target, http_proxy):
    server, main, spare = target(echo), http_proxy(), http_proxy()
    proxy = ringway(
        through(
            upstream("main", main.address, "http_connect"),
            upstream("spare", spare.address, "http_connect", weight=0),
            health_interval="200ms",
        )
    )
    assert talks(proxy.tunnel(server.address)) and not spare.asked
    main.close()
    for _ in range(5):
        assert talks(proxy.tunnel(server.address))
    assert len(spare.asked) == 5


def test_when_all_are_dead_it_says_so_and_never_goes_direct(ringway, target, http_proxy):
    server, exit_ = target(echo), http_proxy()
    exit_.close()
    proxy = ringway(through(upstream("a", exit_.address, "http_connect"), health_interval="200ms"))
    for _ in range(5):
        assert proxy.refusal(*server.address) == socks5.GENERAL_FAILURE
    proxy.eventually_closed("upstream_unreachable", 5)
    assert server.accepted == 0


def test_health_checks_find_a_dead_one_without_any_client(ringway, http_proxy):
    exit_ = http_proxy()
    proxy = ringway(through(upstream("a", exit_.address, "http_connect"), health_interval="200ms", failures_max=2))
    assert proxy.metrics()("socks5_upstream_up", upstream="a") == 1
    exit_.close()
    eventually(lambda: proxy.metrics()("socks5_upstream_up", upstream="a") == 0)


def test_many_at_once_through_a_chain(ringway, target):
    server = target(echo)
    proxy = ringway({**through(upstream("a", ringway().socks)), "workers.count": 2})
    results = []

    def one(number):
        word = b"%d" % number * 100
        results.append(talks(proxy.tunnel(server.address), word))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [True] * 50
    assert proxy.metrics()("socks5_upstream_connections_total", upstream="a") == 50


GOOD = {"name": "a", "group": "exits", "protocol": "socks5", "address": "h:1"}


@pytest.mark.parametrize(
    ("proxies", "default", "hint"),
    [
        ([], "exits", "upstream.default"),
        ([{**GOOD, "protocol": "socks6"}], "", "protocol"),
        ([{**GOOD, "address": "h"}], "", "address"),
        ([GOOD, GOOD], "", "name"),
        ([{**GOOD, "username": "u"}], "", "password"),
        ([{**GOOD, "username": "u", "password_file": "/absent"}], "", "/absent"),
    ],
)
def test_faulty_upstreams_do_not_start_and_are_named(proxies, default, hint):
    checked = run(*set_arguments({"socks5.upstream.proxies": proxies, "socks5.upstream.default": default}), "check")
    assert checked.returncode == 2, checked.stdout
    assert hint in checked.stderr
