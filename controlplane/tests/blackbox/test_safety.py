"""What ringway must refuse, and what it must never tell."""

import signal
import socket

import pytest

import socks5
from ringway import FREE_PORTS, run, set_arguments
from targets import echo

STARTED_WRONG = 2


def refused_with_hint(proxy, host, port, hint):
    """Asks for a target that policy forbids; the access log must name what would allow it."""
    assert proxy.refusal(host, port) == socks5.NOT_ALLOWED
    line = proxy.eventually_logs("denied_target")
    assert hint in line
    proxy.eventually_closed("denied_target")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost"])
def test_by_default_loopback_is_refused_and_never_dialled(ringway, listener, host):
    server = listener("::1" if host == "::1" else "127.0.0.1")
    proxy = ringway({"socks5.allow_targets": None})
    refused_with_hint(proxy, host, server.address[1], "socks5.allow_targets")
    assert server.nobody_came()


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("127.8.9.10", "loopback"),
        ("169.254.169.254", "metadata"),
        ("::ffff:169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("192.0.0.192", "metadata"),
        ("64:ff9b::a9fe:a9fe", "metadata"),
        ("2002:7f00:1::", "loopback"),
        ("169.254.1.1", "link_local"),
        ("fe80::1", "link_local"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("224.0.0.251", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "multicast"),
    ],
)
def test_by_default_special_addresses_are_refused(ringway, host, label):
    proxy = ringway({"socks5.allow_targets": None})
    refused_with_hint(proxy, host, 80, label)
    assert "socks5.allow_targets" in proxy.eventually_logs("denied_target")


@pytest.mark.parametrize("host", ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "::ffff:10.0.0.1"])
def test_private_networks_are_refused_with_a_listener_that_strangers_reach(ringway, host):
    proxy = ringway({"socks5.listen": "['0.0.0.0:0']", "socks5.open_proxy": "true", "socks5.allow_targets": None})
    proxy.socks = ("127.0.0.1", proxy.socks[1])
    refused_with_hint(proxy, host, 80, "private")


def test_private_networks_are_not_refused_while_every_listener_is_loopback(ringway):
    proxy = ringway({"socks5.allow_targets": None, "socks5.timeouts.connect": "200ms"})
    assert proxy.refusal("10.255.255.1", 9) != socks5.NOT_ALLOWED


def test_denied_networks_win_over_allowed_classes(ringway, target):
    server = target(echo)
    proxy = ringway({"socks5.deny_targets": "['127.0.0.0/8']"})
    refused_with_hint(proxy, *server.address, "socks5.deny_targets")
    assert server.accepted == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "self.example"])
@pytest.mark.parametrize("listener_name", ["socks", "control"])
def test_its_own_listeners_are_no_targets(ringway, dns, host, listener_name):
    names = dns({"self.example": ["127.0.0.1"]})
    proxy = ringway(
        {"socks5.allow_targets": "[loopback, unspecified]", "socks5.dns.servers": f"[{names.text}]", "control.connections_max": 8}
    )
    port = getattr(proxy, listener_name)[1]
    before = proxy.metrics()("socks5_proxy_connections_total")
    refused_with_hint(proxy, host, port, "own")
    assert proxy.metrics()("socks5_proxy_connections_total") == before + 1, "it did not connect to itself"


def test_its_own_listeners_are_no_targets_by_a_name_with_a_mapped_address(ringway, dns):
    names = dns({"mapped.example": ["::ffff:127.0.0.1"]})
    proxy = ringway({"socks5.allow_targets": "[loopback]", "socks5.dns.servers": f"[{names.text}]"})
    refused_with_hint(proxy, "mapped.example", proxy.control[1], "own")


def test_its_own_control_port_is_a_target_once_own_is_named(ringway):
    proxy = ringway({"socks5.allow_targets": "[loopback, own]"})
    connection = proxy.tunnel(proxy.control)
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert socks5.receive_until_closed(connection).startswith(b"HTTP/1.1 200")


def test_a_name_that_turns_to_loopback_is_refused_at_the_address(ringway, dns, listener):
    server = listener()
    names = dns({"rebinding.example": ["192.0.2.1"]}, ttl=0)
    proxy = ringway(
        {
            "socks5.allow_targets": None,
            "socks5.dns.servers": f"[{names.text}]",
            "socks5.timeouts.connect": "200ms",
        }
    )
    assert proxy.refusal("rebinding.example", server.address[1]) != socks5.NOT_ALLOWED
    names.names["rebinding.example"] = ["127.0.0.1"]
    refused_with_hint(proxy, "rebinding.example", server.address[1], "socks5.allow_targets")
    assert server.nobody_came()


def test_a_name_with_one_forbidden_address_is_served_by_the_others(ringway, dns, target):
    server = target(echo)
    names = dns({"mixed.example": ["169.254.169.254", "127.0.0.1"]})
    proxy = ringway({"socks5.dns.servers": f"[{names.text}]"})
    connection = proxy.tunnel(("mixed.example", server.address[1]))
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"


def refused_start(options, **how):
    ended = run(*set_arguments({**FREE_PORTS, **options}), **how)
    assert ended.returncode == STARTED_WRONG, ended.stderr
    return ended.stderr


def test_a_listener_for_strangers_without_passwords_must_be_wished_in_as_many_words():
    assert "socks5.open_proxy" in refused_start({"socks5.listen": "['0.0.0.0:0']"})


def test_a_listener_for_strangers_with_passwords_starts(ringway, users_file):
    ringway({"socks5.listen": "['0.0.0.0:0']", **users_file(alice="secret")})


def test_a_control_port_for_strangers_must_be_wished_in_as_many_words():
    assert "control." in refused_start({"control.listen": "['0.0.0.0:0']"})


SECRET = "hunter2-do-not-print"


def test_no_secret_is_in_logs_config_or_answers(ringway, users_file, target):
    server = target(echo)
    users = users_file(alice=SECRET)
    proxy = ringway({**users, "log.level": "trace"})
    proxy.tunnel(server.address, ("alice", SECRET)).close()
    with pytest.raises(AssertionError):
        proxy.tunnel(server.address, ("alice", SECRET + "x"))
    proxy.eventually_closed("auth_failed")
    shown = [proxy.get(path).text for path in ("/config", "/stats", "/metrics", "/health")]
    proxy.sockets[-1].close()
    shown.append(run("config", "effective", *set_arguments({**FREE_PORTS, **users})).stdout)
    shown.append(proxy.log())
    assert "alice" in proxy.log(), "the access log tells who"
    for text in shown:
        assert SECRET not in text


def test_a_users_file_with_a_fault_does_not_print_passwords(tmp_path, users_file):
    users = users_file(alice=SECRET)
    path = tmp_path / "users.yaml"
    path.write_text(path.read_text() + f"  - {{name: alice, pasword: '{{plain}}{SECRET}'}}\n")
    assert SECRET not in refused_start(users)


def test_sigpipe_and_stray_bytes_on_the_control_port_do_no_harm(ringway):
    proxy = ringway()
    for rubbish in [b"\x05\x01\x00", b"\0" * 100, b"GET / HTTP/9.9\r\n\r\n", b"A" * 200_000]:
        with socket.create_connection(proxy.control, 5) as connection:
            try:
                connection.sendall(rubbish)
                connection.shutdown(socket.SHUT_WR)
                socks5.receive_until_closed(connection)
            except OSError:
                pass
    proxy.signal(signal.SIGPIPE)
    assert proxy.get("/livez").status == 200
