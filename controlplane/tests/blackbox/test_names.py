"""Target names: looked up off the workers, every address tried, nobody else delayed."""

import statistics
import time

import pytest

import socks5
from fake_dns import NXDOMAIN, SERVFAIL, SILENCE
from targets import echo
from waiting import eventually


def resolving(dns_server, **options):
    return {"socks5.dns.servers": f"[{dns_server.text}]", **{key.replace("__", "."): value for key, value in options.items()}}


def talks(connection):
    connection.sendall(b"hello")
    return socks5.receive_exactly(connection, 5) == b"hello"


def test_localhost_is_found_in_the_hosts_file_without_a_name_server(ringway, target, dns):
    names = dns()
    assert talks(ringway(resolving(names)).tunnel(("localhost", target(echo).address[1])))
    assert not names.asked


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_name_is_reached_in_the_family_it_has(ringway, target, dns, host):
    server = target(echo, host)
    proxy = ringway(resolving(dns({"target.example": [host]})))
    assert talks(proxy.tunnel(("target.example", server.address[1])))


@pytest.mark.parametrize("name", ["TARGET.Example", "target.example."])
def test_case_and_a_final_dot_do_not_matter(ringway, target, dns, name):
    server = target(echo)
    proxy = ringway(resolving(dns({"target.example": ["127.0.0.1"]})))
    assert talks(proxy.tunnel((name, server.address[1])))


@pytest.mark.parametrize("alive", ["127.0.0.1", "127.0.0.3", "::1"])
def test_every_address_of_a_name_is_tried(ringway, target, dns, alive):
    server = target(echo, alive)
    names = dns({"several.example": ["127.0.0.1", "127.0.0.2", "127.0.0.3", "::1"]})
    assert talks(ringway(resolving(names)).tunnel(("several.example", server.address[1])))


def test_when_every_address_refuses_the_reply_is_refused(ringway, listener, dns):
    server = listener()
    server.close()
    proxy = ringway(resolving(dns({"dead.example": ["127.0.0.1", "127.0.0.2", "::1"]})))
    assert proxy.refusal("dead.example", server.address[1]) == socks5.REFUSED


@pytest.mark.parametrize(
    ("answer", "reason"), [(NXDOMAIN, "name_not_found"), ([], "name_not_found"), (SERVFAIL, "name_lookup_failed")]
)
def test_a_name_without_an_address_is_host_unreachable(ringway, dns, answer, reason):
    proxy = ringway(resolving(dns({"nowhere.example": answer})))
    assert proxy.refusal("nowhere.example", 80) == socks5.HOST_UNREACHABLE
    proxy.eventually_closed(reason)


def test_a_truncated_answer_is_asked_again_by_tcp(ringway, target, dns):
    server, names = target(echo), dns({"long.example": ["127.0.0.1"]})
    names.truncate_udp = True
    assert talks(ringway(resolving(names)).tunnel(("long.example", server.address[1])))
    assert names.asked_by_tcp


def test_an_answer_is_believed_as_long_as_it_says(ringway, target, dns):
    server, names = target(echo), dns({"short.example": ["127.0.0.1"]}, ttl=2)
    proxy = ringway(resolving(names))
    for _ in range(5):
        assert talks(proxy.tunnel(("short.example", server.address[1])))
    first = names.questions_about("short.example")
    assert set(first.values()) == {1}, "asked once for each record type"

    def asked_again():
        proxy.tunnel(("short.example", server.address[1])).close()
        return sum(names.questions_about("short.example").values()) > sum(first.values())

    begun = time.monotonic()
    eventually(asked_again, 10)
    assert time.monotonic() - begun > 0.5, "not before its time"


def test_without_a_cache_every_connection_asks(ringway, target, dns):
    server, names = target(echo), dns({"fresh.example": ["127.0.0.1"]})
    proxy = ringway(resolving(names, socks5__dns__cache_entries=0))
    for _ in range(3):
        assert talks(proxy.tunnel(("fresh.example", server.address[1])))
    assert max(names.questions_about("fresh.example").values()) == 3


LOOKUPS_STUCK = 50
ECHOES = 200


def test_a_dead_name_server_costs_its_askers_their_time_and_nobody_else_anything(ringway, target, dns):
    server = target(echo)
    names = dns({f"silent{number}.example": SILENCE for number in range(LOOKUPS_STUCK)})
    proxy = ringway(resolving(names, workers__count=1, socks5__timeouts__name_lookup="2s"))
    neighbour = proxy.tunnel(server.address)
    begun = time.monotonic()
    stuck = [proxy.connect() for _ in range(LOOKUPS_STUCK)]
    for number, connection in enumerate(stuck):
        socks5.handshake(connection)
        connection.sendall(socks5.request(f"silent{number}.example", 80))
    delays = []
    for _ in range(ECHOES):
        sent = time.perf_counter()
        assert talks(neighbour)
        delays.append(time.perf_counter() - sent)
    assert statistics.median(delays) < 0.010 and max(delays) < 0.5
    assert proxy.tunnel(server.address), "new connections are served meanwhile"
    assert {socks5.read_reply(connection).code for connection in stuck} == {socks5.HOST_UNREACHABLE}
    assert time.monotonic() - begun < 5, "answered when the time-out says so"


def test_a_name_server_that_comes_back_is_used_again(ringway, target, dns):
    server, names = target(echo), dns({"back.example": SILENCE})
    proxy = ringway(resolving(names, socks5__timeouts__name_lookup="500ms"))
    assert proxy.refusal("back.example", server.address[1]) == socks5.HOST_UNREACHABLE
    names.names["back.example"] = ["127.0.0.1"]
    eventually(lambda: proxy.refusal("back.example", server.address[1]) == socks5.SUCCEEDED, 10)
