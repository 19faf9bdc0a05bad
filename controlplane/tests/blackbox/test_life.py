"""How it ends: what SIGTERM promises to connections, and what the exit code says."""

import hashlib
import random
import signal
import socket
import threading
import time

import pytest

import socks5
from targets import echo
from waiting import eventually

TRANSFER_BYTES = 24 << 20
PIECE_BYTES = 1 << 16
ENDED_AT_ONCE = 130
MANY_CLIENTS = 16_000
SOURCES = 4


def refuses(where):
    try:
        socket.create_connection(where, 1).close()
        return False
    except ConnectionRefusedError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_ringway_ends_at_once_and_cleanly(ringway, number):
    proxy = ringway()
    begun = time.monotonic()
    proxy.signal(number)
    assert proxy.exit_code() == 0
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("driver", ["auto", "epoll"])
def test_a_transfer_in_flight_completes_to_the_byte_while_new_clients_are_refused(ringway, listener, driver):
    server = listener()
    proxy = ringway({"workers.driver": driver})
    client, accepted = proxy.tunnel(server.address), server.accept()
    data = random.Random(7).randbytes(TRANSFER_BYTES)
    go_on = threading.Event()

    def send():
        accepted.sendall(data[: len(data) // 2])
        assert go_on.wait(20)
        accepted.sendall(data[len(data) // 2 :])
        accepted.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    heard = socks5.receive_exactly(client, PIECE_BYTES)
    proxy.signal(signal.SIGTERM)
    eventually(lambda: refuses(proxy.socks), 5)
    go_on.set()
    heard += socks5.receive_until_closed(client)
    sender.join()
    assert hashlib.sha256(heard).digest() == hashlib.sha256(data).digest()
    client.close()
    accepted.close()
    assert proxy.exit_code() == 0


def test_while_it_drains_it_is_alive_but_not_ready(ringway, target):
    proxy = ringway()
    client = proxy.tunnel(target(echo).address)
    proxy.signal(signal.SIGTERM)
    eventually(lambda: proxy.get("/readyz").status == 503, 5)
    assert proxy.get("/livez").status == 200
    client.sendall(b"still")
    assert client.recv(5) == b"still"
    client.close()
    assert proxy.exit_code() == 0


def test_the_deadline_cuts_what_is_left_with_a_reset_and_says_why(ringway, listener):
    server = listener()
    proxy = ringway({"socks5.timeouts.drain": "1s"})
    client, accepted = proxy.tunnel(server.address), server.accept()
    accepted.sendall(b"half a trans")
    assert socks5.receive_exactly(client, 12) == b"half a trans"
    begun = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert socks5.is_reset(client) and socks5.is_reset(accepted), "a cut transfer never looks complete"
    assert 0.8 < time.monotonic() - begun < 5
    assert proxy.exit_code() == 0
    assert "reason=drained" in proxy.log()


def test_clients_that_have_not_said_what_they_want_do_not_hold_up_the_end(ringway):
    proxy = ringway()
    silent = [proxy.connect() for _ in range(20)]
    eventually(lambda: proxy.active() == 20)
    begun = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.exit_code() == 0
    assert time.monotonic() - begun < 5
    assert len(silent) == 20


def test_each_of_many_connections_cut_at_the_end_has_its_access_line(ringway):
    proxy = ringway({"socks5.limits.backlog": 4096, "socks5.limits.connections": MANY_CLIENTS})
    sources = [f"127.0.0.{1 + number % SOURCES}" for number in range(MANY_CLIENTS)]
    clients = [proxy.connect(source=(source, 0)) for source in sources]
    eventually(lambda: proxy.active() == MANY_CLIENTS, 20)
    proxy.signal(signal.SIGTERM)
    assert proxy.exit_code() == 0
    assert len(proxy.access_lines()) == len(clients)


def test_a_second_sigterm_ends_at_once(ringway, target):
    proxy = ringway()
    proxy.tunnel(target(echo).address)
    proxy.signal(signal.SIGTERM)
    eventually(lambda: refuses(proxy.socks), 5)
    assert proxy.process.poll() is None
    begun = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.exit_code() == ENDED_AT_ONCE
    assert time.monotonic() - begun < 2


def test_sighup_does_not_end_it(ringway, target):
    proxy = ringway()
    connection = proxy.tunnel(target(echo).address)
    for _ in range(3):
        proxy.signal(signal.SIGHUP)
    connection.sendall(b"still")
    assert connection.recv(5) == b"still"
    assert proxy.get("/livez").status == 200


def test_the_ports_are_free_again_after_the_end(ringway, target):
    first = ringway()
    first.tunnel(target(echo).address).close()
    first.stop()
    second = ringway({"socks5.listen": "['{}:{}']".format(*first.socks), "control.listen": "['{}:{}']".format(*first.control)})
    assert second.socks == first.socks


@pytest.mark.parametrize("service", ["socks5", "websocket", "control"])
def test_a_service_can_be_switched_off(ringway, service):
    proxy = ringway({f"{service}.listen": "[]"}, ready=False)
    line = proxy.eventually_logs("ready socks5=")
    assert f" {service}=off" in line and line.count("=off") == 1
    proxy.stop()


def test_several_listeners_serve_alike(ringway, target):
    proxy = ringway({"socks5.listen": "['127.0.0.1:0', '[::1]:0']"})
    server = target(echo)
    addresses = proxy.socks5_text.split(",")
    assert len(addresses) == 2
    for text in addresses:
        host, port = text.rsplit(":", 1)
        connection = socket.create_connection((host.strip("[]"), int(port)), 10)
        proxy.sockets.append(connection)
        socks5.handshake(connection)
        connection.sendall(socks5.request(*server.address))
        assert socks5.read_reply(connection).code == socks5.SUCCEEDED
