"""The bytes between client and target: all of them, in order, once, and their ends."""

import contextlib
import hashlib
import random
import selectors
import socket
import statistics
import subprocess
import threading
import time
from pathlib import Path

import pytest

import socks5
from ringway import REPOSITORY
from targets import answer_after_end, echo, end_at_once, swallow
from waiting import eventually

MIB = 1 << 20
HOW_TO_RELAY = {
    "splice": {},
    "copy": {"socks5.relay.pipes_per_worker": 0},
    "one_pipe": {"socks5.relay.pipes_per_worker": 1},
    "epoll": {"workers.driver": "epoll"},
    "epoll_copy": {"workers.driver": "epoll", "socks5.relay.pipes_per_worker": 0},
}


@pytest.fixture(params=HOW_TO_RELAY, ids=str)
def relaying(request, ringway):
    """A ringway that relays in one of the ways it can."""
    return ringway(HOW_TO_RELAY[request.param])


def test_the_target_still_answers_a_client_that_has_ended(relaying, target):
    connection = relaying.tunnel(target(answer_after_end).address)
    connection.sendall(b"question")
    connection.shutdown(socket.SHUT_WR)
    assert socks5.receive_until_closed(connection).decode() == hashlib.sha256(b"question").hexdigest()
    relaying.eventually_closed("finished")


def test_the_client_may_still_send_to_a_target_that_has_ended(relaying, target):
    server = target(end_at_once)
    connection = relaying.tunnel(server.address)
    assert socks5.receive_until_closed(connection) == b"goodbye"
    for _ in range(10):
        connection.sendall(b"more " * 1000)
    connection.shutdown(socket.SHUT_WR)
    eventually(lambda: server.results == [b"more " * 10_000])
    relaying.eventually_closed("finished")


def test_a_client_that_resets_is_a_reset_to_the_target(relaying, listener):
    server = listener()
    connection = relaying.tunnel(server.address)
    accepted = server.accept()
    connection.sendall(b"half a trans")
    assert socks5.receive_exactly(accepted, 12) == b"half a trans"
    socks5.reset(connection)
    assert socks5.is_reset(accepted)
    relaying.eventually_closed("client_reset")


def test_a_target_that_resets_is_a_reset_to_the_client(relaying, listener):
    server = listener()
    connection = relaying.tunnel(server.address)
    accepted = server.accept()
    accepted.sendall(b"half a trans")
    assert socks5.receive_exactly(connection, 12) == b"half a trans"
    socks5.reset(accepted)
    assert socks5.is_reset(connection)
    relaying.eventually_closed("target_reset")


def test_a_reset_in_the_middle_of_bulk_never_looks_complete(relaying, listener):
    server = listener()
    for sender_is_client in (True, False):
        client = relaying.tunnel(server.address)
        sender, receiver = (client, server.accept()) if sender_is_client else (server.accept(), client)
        received = threading.Thread(target=lambda: socks5.receive_exactly(receiver, 8 * MIB))
        received.start()
        sender.sendall(bytes(8 * MIB))
        received.join()
        socks5.reset(sender)
        assert socks5.is_reset(receiver)


def test_a_client_that_half_closes_and_then_resets_is_a_reset_to_a_silent_target(relaying, listener):
    server = listener()
    connection, accepted = relaying.tunnel(server.address), server.accept()
    connection.shutdown(socket.SHUT_WR)
    assert accepted.recv(1) == b"", "the half-close has arrived, so nobody reads the client any more"
    socks5.reset(connection)
    relaying.eventually_closed("client_reset")
    # Behind an end of stream a read says nothing of the reset; a write does.
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        accepted.sendall(b"anybody there?")


def test_a_client_that_resets_behind_unread_bytes_is_a_reset_to_the_target(relaying, listener):
    server = listener()
    connection, accepted = relaying.tunnel(server.address), server.accept()
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while connection.send(bytes(MIB)):
            pass
    socks5.reset(connection)
    relaying.eventually_closed("client_reset")
    accepted.close()


def test_a_reset_after_a_half_close_is_still_a_reset(relaying, listener):
    server = listener()
    connection = relaying.tunnel(server.address)
    accepted = server.accept()
    connection.shutdown(socket.SHUT_WR)
    assert accepted.recv(1) == b""
    accepted.sendall(b"begun")
    assert socks5.receive_exactly(connection, 5) == b"begun"
    socks5.reset(accepted)
    assert socks5.is_reset(connection)


def pseudo_random(size, seed):
    return random.Random(seed).randbytes(size)


def test_both_directions_at_once_arrive_whole(relaying, listener):
    server = listener()
    there, back = pseudo_random(32 * MIB, 1), pseudo_random(32 * MIB, 2)
    client = relaying.tunnel(server.address)
    accepted = server.accept()
    heard = {}

    def send(connection, data):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    def hear(name, connection):
        heard[name] = socks5.receive_until_closed(connection)

    jobs = [(send, client, there), (send, accepted, back), (hear, "client", client), (hear, "target", accepted)]
    threads = [threading.Thread(target=job, args=arguments) for job, *arguments in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert heard["target"] == there and heard["client"] == back
    relaying.eventually_closed("finished")
    metrics = relaying.metrics()
    assert metrics("socks5_traffic_bytes_sent_total") == len(there)
    assert metrics("socks5_traffic_bytes_received_total") == len(back)


def test_sizes_around_every_buffer_arrive_whole(relaying, target):
    server = target(swallow)
    for size in [0, 1, 16_383, 16_384, 65_535, 65_536, 65_537, 8 * 65_536, 8 * 65_536 + 1, MIB, MIB + 1]:
        data = pseudo_random(size, size)
        connection = relaying.tunnel(server.address)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        connection.close()
        eventually(lambda: server.results)
        assert server.results.pop() == (size, hashlib.sha256(data).hexdigest())


def test_bulk_that_turns_to_chat_and_back_is_not_delayed_or_lost(relaying, target):
    connection = relaying.tunnel(target(echo).address)
    for turn in range(3):
        data = pseudo_random(4 * MIB, turn)
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        assert socks5.receive_exactly(connection, len(data)) == data
        sender.join()
        for number in range(50):
            connection.sendall(b"%d\n" % number)
            assert socks5.receive_exactly(connection, len(b"%d\n" % number)) == b"%d\n" % number


SLOW_CONNECTIONS = 8
GROWTH_LIMIT_BYTES = 16 * MIB
QUIET_SECONDS = 0.5


def socket_buffers_bytes():
    """What the kernel may hold on the way: a send and a receive buffer on each leg."""
    limits = [Path(f"/proc/sys/net/ipv4/tcp_{kind}mem").read_text().split()[2] for kind in "rw"]
    return 2 * sum(map(int, limits))


@pytest.mark.parametrize("how", HOW_TO_RELAY)
@pytest.mark.parametrize("slow", ["client", "target"])
def test_a_reader_that_stops_holds_its_writer_up_and_costs_no_memory(ringway, listener, how, slow):
    proxy, server = ringway(HOW_TO_RELAY[how]), listener()
    before = proxy.resident_bytes()
    pairs = [(proxy.tunnel(server.address), server.accept()) for _ in range(SLOW_CONNECTIONS)]
    pairs = [(client, accepted) if slow == "client" else (accepted, client) for client, accepted in pairs]
    offered = socket_buffers_bytes() + 4 * MIB
    pushed = push_until_blocked([writer for _, writer in pairs], offered)
    assert max(pushed.values()) < offered, "the writer was held up"
    growth = proxy.resident_bytes() - before
    assert growth < GROWTH_LIMIT_BYTES, f"{growth / MIB:.1f} MiB for {SLOW_CONNECTIONS} stopped readers"
    for reader, writer in pairs:
        writer.settimeout(20)
        writer.shutdown(socket.SHUT_WR)
        assert len(socks5.receive_until_closed(reader)) == pushed[writer], "what was taken arrives"


def push_until_blocked(writers, offered):
    """Sends until every way has been full for a while; the bytes that went, by writer."""
    sent = dict.fromkeys(writers, 0)
    piece = bytes(256 * 1024)
    with selectors.DefaultSelector() as selector:
        for writer in writers:
            writer.setblocking(False)
            selector.register(writer, selectors.EVENT_WRITE)
        while (ready := selector.select(QUIET_SECONDS)) and max(sent.values()) < offered:
            for key, _ in ready:
                sent[key.fileobj] += key.fileobj.send(piece)
    return sent


WRITE_WRITE_READ_ROUNDS = 50
DELAYED_ACK_SECONDS = 0.040


def test_two_small_writes_are_not_held_back_by_nagle(relaying, listener):
    """Where TCP_NODELAY is missing on a leg, the second write waits for a delayed ACK: 40 ms."""
    server = listener()
    client = relaying.tunnel(server.address)
    accepted = server.accept()
    times = []
    for _ in range(WRITE_WRITE_READ_ROUNDS):
        begun = time.perf_counter()
        client.sendall(b"a")
        assert socks5.receive_exactly(accepted, 1) == b"a"
        client.sendall(b"b")
        assert socks5.receive_exactly(accepted, 1) == b"b"
        accepted.sendall(b"c")
        accepted.sendall(b"d")
        assert socks5.receive_exactly(client, 2) == b"cd"
        times.append(time.perf_counter() - begun)
    assert statistics.median(times) < DELAYED_ACK_SECONDS / 2


def test_an_idle_relay_is_cut_with_a_reset(ringway, listener):
    server = listener()
    proxy = ringway({"socks5.timeouts.idle": "1s"})
    client, accepted = proxy.tunnel(server.address), server.accept()
    begun = time.monotonic()
    assert socks5.is_reset(client) and socks5.is_reset(accepted)
    assert 0.8 < time.monotonic() - begun < 4
    proxy.eventually_closed("idle_timeout")


def test_a_relay_that_speaks_now_and_then_is_not_idle(ringway, target):
    proxy = ringway({"socks5.timeouts.idle": "1s"})
    connection = proxy.tunnel(target(echo).address)
    for _ in range(8):
        time.sleep(0.3)  # The pause is what is tested.
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"


def test_a_half_closed_relay_without_traffic_is_cut(ringway, listener):
    server = listener()
    proxy = ringway({"socks5.timeouts.half_closed": "1s"})
    client, accepted = proxy.tunnel(server.address), server.accept()
    client.shutdown(socket.SHUT_WR)
    assert accepted.recv(1) == b""
    assert socks5.is_reset(client)
    proxy.eventually_closed("half_closed_timeout")


def test_a_half_closed_relay_with_traffic_is_not_cut(ringway, listener):
    server = listener()
    proxy = ringway({"socks5.timeouts.half_closed": "1s"})
    client, accepted = proxy.tunnel(server.address), server.accept()
    client.shutdown(socket.SHUT_WR)
    for _ in range(8):
        time.sleep(0.3)  # The pause is what is tested.
        accepted.sendall(b"x")
        assert client.recv(1) == b"x"


@pytest.mark.parametrize(
    ("key", "sent", "reason"),
    [
        ("greeting", b"", "greeting_timeout"),
        ("greeting", b"\x05", "greeting_timeout"),
        ("authentication", b"\x05\x01\x02", "authentication_timeout"),
        ("request", b"\x05\x01\x02\x01\x01a\x01b", "request_timeout"),
        ("handshake", b"\x05\x01\x02", "handshake_timeout"),
    ],
)
def test_each_phase_of_the_handshake_has_its_deadline(ringway, users_file, key, sent, reason):
    proxy = ringway({f"socks5.timeouts.{key}": "1s", **users_file(a="b")})
    connection = proxy.connect()
    begun = time.monotonic()
    connection.sendall(sent)
    try:
        socks5.receive_until_closed(connection)
    except ConnectionResetError:
        pass
    assert 0.8 < time.monotonic() - begun < 4
    proxy.eventually_closed(reason)


SOCKS_LOAD = REPOSITORY / "target/release/socks_load"
# Each connection says first which one it is.
SOCKS_LOAD_ANNOUNCES_BYTES = 8
needs_socks_load = pytest.mark.skipif(not SOCKS_LOAD.exists(), reason="socks_load is not built")


@needs_socks_load
@pytest.mark.parametrize("how", HOW_TO_RELAY)
@pytest.mark.parametrize(("connections", "bytes_each"), [(1, 1 << 30), (256, 4 * MIB)], ids=["1x1GiB", "256x4MiB"])
def test_socks_load_finds_every_byte_where_it_belongs(ringway, how, connections, bytes_each):
    proxy = ringway(HOW_TO_RELAY[how])
    outcome = integrity(proxy, connections, bytes_each)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    proxy.eventually_closed("finished", connections)
    metrics = proxy.metrics()
    assert metrics("socks5_traffic_bytes_sent_total") == connections * (bytes_each + SOCKS_LOAD_ANNOUNCES_BYTES)
    assert metrics("socks5_traffic_bytes_received_total") == connections * bytes_each
    spliced = metrics("worker_splice_starts_total") > 0
    assert spliced, "the transfer was long enough to ask for pipes, whether or not there are any"


def integrity(proxy, connections, bytes_each):
    return subprocess.run(
        [SOCKS_LOAD, "integrity", "--proxy", "{}:{}".format(*proxy.socks), "--connections", str(connections), "--bytes", str(bytes_each)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
