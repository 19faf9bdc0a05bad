"""The access log: one line for each connection, whole and true, in each of its forms."""

import json
import os
import re
import signal
import socket

import pytest

import http_connect
import socks4
import socks5
from targets import echo
from waiting import eventually

ALICE = ("alice", "correct-horse")
FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)')


def text_fields(line):
    return {key: value.strip('"') for key, value in FIELD.findall(line)}


def json_fields(line):
    entry = json.loads(line)
    return {key: str(value) for key, value in entry.get("fields", entry).items()}


READERS = {"text": text_fields, "json": json_fields}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "access.log"


def lines(file):
    return file.read_text().splitlines() if file.exists() else []


def eventually_lines(file, count):
    eventually(lambda: len(lines(file)) >= count, what=lambda: f"{count} lines; {lines(file)}")
    assert len(lines(file)) == count
    return lines(file)


def exchange(connection):
    """Seven bytes there, two bytes back."""
    connection.sendall(b"sevenup")
    assert socks5.receive_exactly(connection, 2) == b"ok"
    connection.shutdown(socket.SHUT_WR)
    connection.close()


def two_bytes(connection):
    socks5.receive_exactly(connection, 7)
    connection.sendall(b"ok")


@pytest.mark.parametrize("form", READERS)
def test_a_line_tells_who_went_where_how_long_and_how_it_ended(ringway, target, users_file, dns, file, form):
    server, names = target(two_bytes), dns({"there.example": ["127.0.0.1"]})
    options = {"log.access": str(file), "log.access_format": form, "socks5.dns.servers": f"[{names.text}]"}
    proxy = ringway({**options, **users_file(alice=ALICE[1])})
    connection = proxy.tunnel(("there.example", server.address[1]), ALICE)
    client = "{}:{}".format(*connection.getsockname())
    exchange(connection)
    (line,) = eventually_lines(file, 1)
    told = READERS[form](line)
    assert told["client"] == client
    assert told["user"] == "alice"
    assert told["protocol"] == "socks5" and told["command"] == "connect"
    assert told["target"] == f"there.example:{server.address[1]}"
    assert told["address"] == "127.0.0.1:{}".format(server.address[1])
    assert (told["sent"], told["received"]) == ("7", "2")
    assert (told["reply"], told["reason"]) == ("0", "finished")
    phases = [float(told[phase]) for phase in ("handshake_ms", "dns_ms", "connect_ms")]
    assert all(0 < phase < 10_000 for phase in phases)
    assert sum(phases) <= float(told["duration_ms"]) + 1
    assert "errno" not in told and "rule" not in told


@pytest.mark.parametrize("form", READERS)
def test_a_failure_tells_its_error(ringway, listener, file, form):
    server = listener()
    server.close()
    proxy = ringway({"log.access": str(file), "log.access_format": form})
    proxy.refusal(*server.address)
    told = READERS[form](eventually_lines(file, 1)[0])
    assert (told["reply"], told["reason"], told["errno"]) == ("5", "connect_refused", "111")
    assert (told["sent"], told["received"]) == ("0", "0")


def test_each_protocol_tells_its_own_reply(ringway, target, file):
    server = target(two_bytes)
    proxy = ringway({"log.access": str(file), "log.access_format": "json"})
    for tunnel in (proxy.tunnel, lambda to: socks4.tunnel(proxy, to), lambda to: http_connect.tunnel(proxy, to)):
        exchange(tunnel(server.address))
    told = [json_fields(line) for line in eventually_lines(file, 3)]
    replies = {entry["protocol"]: entry["reply"] for entry in told}
    assert replies == {"socks5": "0", "socks4": "90", "http_connect": "200"}


def test_one_that_never_said_a_byte_has_a_line_too(ringway, file):
    proxy = ringway({"log.access": str(file), "log.access_format": "json"})
    proxy.connect().close()
    told = json_fields(eventually_lines(file, 1)[0])
    assert told["reason"] == "client_gone"
    assert told.get("protocol") in (None, "None")


@pytest.mark.parametrize("as_log", ["text", "json"])
def test_by_default_it_goes_to_the_log_in_the_logs_form(ringway, target, as_log):
    proxy = ringway({"log.format": as_log})
    exchange(proxy.tunnel(target(two_bytes).address))
    line = proxy.eventually_logs("finished")
    assert READERS[as_log](line)["reason"] == "finished"


@pytest.mark.parametrize("value", ["stderr", "true", True])
def test_it_can_be_wished_there_in_words(ringway, target, value):
    proxy = ringway({"log.access": value})
    exchange(proxy.tunnel(target(two_bytes).address))
    proxy.eventually_logs("reason=finished")


@pytest.mark.parametrize("value", ["off", "false", False])
def test_it_can_be_switched_off(ringway, target, value):
    proxy = ringway({"log.access": value})
    exchange(proxy.tunnel(target(two_bytes).address))
    proxy.eventually_closed("finished")
    proxy.stop()
    assert "reason=" not in proxy.log()


def test_in_a_file_it_is_not_in_the_log(ringway, target, file):
    proxy = ringway({"log.access": str(file)})
    exchange(proxy.tunnel(target(two_bytes).address))
    eventually_lines(file, 1)
    proxy.stop()
    assert "reason=" not in proxy.log()


def test_a_file_is_appended_to(ringway, target, file):
    file.write_text("what was there\n")
    server = target(two_bytes)
    for _ in range(2):
        proxy = ringway({"log.access": str(file)})
        exchange(proxy.tunnel(server.address))
        eventually(lambda: proxy.active() == 0)
        proxy.stop()
    assert lines(file)[0] == "what was there" and len(lines(file)) == 3


def test_it_is_reopened_on_sigusr1(ringway, target, file):
    """As logrotate does it: rename, then the signal."""
    server, moved = target(two_bytes), file.with_suffix(".1")
    proxy = ringway({"log.access": str(file)})
    exchange(proxy.tunnel(server.address))
    eventually_lines(file, 1)
    file.rename(moved)
    exchange(proxy.tunnel(server.address))
    eventually_lines(moved, 2)
    proxy.signal(signal.SIGUSR1)
    eventually(file.exists)
    exchange(proxy.tunnel(server.address))
    eventually_lines(file, 1)
    assert len(lines(moved)) == 2


def test_sigusr1_where_there_is_no_file_does_no_harm(ringway, target):
    proxy = ringway()
    proxy.signal(signal.SIGUSR1)
    exchange(proxy.tunnel(target(two_bytes).address))
    proxy.eventually_logs("reason=finished")


def test_a_file_that_cannot_be_reopened_keeps_the_old_one(ringway, target, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    file, server = folder / "access.log", target(two_bytes)
    proxy = ringway({"log.access": str(file)})
    folder.rename(tmp_path / "elsewhere")
    proxy.signal(signal.SIGUSR1)
    proxy.eventually_logs(str(file))
    exchange(proxy.tunnel(server.address))
    eventually_lines(tmp_path / "elsewhere" / "access.log", 1)


def test_a_file_that_cannot_be_opened_is_said_at_start(ringway, tmp_path):
    proxy = ringway({"log.access": str(tmp_path / "absent" / "access.log")}, ready=False)
    assert proxy.exit_code() != 0
    assert "absent" in proxy.log()


def test_no_line_is_lost_in_a_rotation_under_load(ringway, target, file):
    proxy, server, rotations = ringway({"log.access": str(file)}), target(two_bytes), 5
    for number in range(rotations):
        for _ in range(20):
            exchange(proxy.tunnel(server.address))
        os.rename(file, f"{file}.{number}")
        proxy.signal(signal.SIGUSR1)
        eventually(file.exists)
    eventually(lambda: proxy.active() == 0)
    proxy.stop()
    parts = [file, *(file.with_name(f"{file.name}.{number}") for number in range(rotations))]
    assert sum(len(lines(part)) for part in parts) == 20 * rotations


# What must never be in it

SECRET = "hunter2-do-not-print"
FORGERY = "x\n2026-01-01T00:00:00Z client=192.0.2.99:1 reason=forged"


def test_no_secret_is_in_it(ringway, target, users_file, file):
    server = target(two_bytes)
    options = {"log.access": str(file), "log.level": "trace", "socks5.logins.delay": "1ms"}
    proxy = ringway({**options, **users_file(alice=SECRET)})
    exchange(proxy.tunnel(server.address, ("alice", SECRET)))
    exchange(http_connect.ask(proxy, *server.address, ("alice", SECRET))[0])
    assert http_connect.ask(proxy, *server.address, ("alice", SECRET + "x"))[1].status == 407
    assert http_connect.ask(proxy, *server.address, (SECRET, "alice"))[1].status == 407
    told = "\n".join(eventually_lines(file, 4))
    proxy.stop()
    encoded = http_connect.basic(("alice", SECRET)).split()[-1]
    for text in (told.replace(f"claimed={SECRET}", "").replace(f'claimed="{SECRET}"', ""), proxy.log()):
        assert encoded not in text
        assert SECRET + "x" not in text


@pytest.mark.parametrize("form", READERS)
def test_nothing_a_client_says_forges_a_line_or_a_field(ringway, users_file, dns, file, form):
    names = dns()
    options = {"log.access": str(file), "log.access_format": form, "socks5.dns.servers": f"[{names.text}]"}
    proxy = ringway({**options, "socks5.logins.delay": "1ms", **users_file(alice="secret")})
    claims = [FORGERY, FORGERY.replace("\n", "\r\n"), 'x" reason="forged', "x reason=forged", "x\u2028y", "\x1b[2Jx", "\x00"]
    for claim in claims:
        connection = proxy.connect()
        connection.sendall(socks5.greeting(socks5.PASSWORD) + socks5.credentials(claim, "wrong"))
        assert socks5.receive_exactly(connection, 4) == b"\x05\x02\x01\x01"
        connection.close()
    for name in (b"x\nreason=forged", b'x" reason="forged'):
        assert proxy.refusal(name, 80, ("alice", "secret")) != socks5.SUCCEEDED
    raw = eventually_lines(file, len(claims) + 2)
    for line in raw:
        told = READERS[form](line)
        assert told["reason"] in ("auth_failed", "bad_name")
        assert told["client"].startswith("127.0.0.1:")
        assert line.isprintable(), "no control character, no line separator"


def test_an_http_header_forges_nothing_either(ringway, dns, file):
    proxy = ringway({"log.access": str(file), "socks5.dns.servers": f"[{dns().text}]"})
    for head in ("CONNECT a\rreason=forged:80 HTTP/1.1", 'CONNECT a"reason=forged:80 HTTP/1.1', "CONNECT a\x1b[2J:80 HTTP/1.1"):
        connection = proxy.connect()
        connection.sendall(head.encode() + b"\r\n\r\n")
        assert http_connect.read_response(connection).status >= 400
        connection.close()
    for line in eventually_lines(file, 3):
        assert text_fields(line)["reason"] in ("malformed", "bad_name", "name_not_found")
        assert line.isprintable()


def test_a_connection_through_an_upstream_names_it(ringway, target, file):
    server, exit_ = target(two_bytes), ringway()
    host, port = exit_.socks
    proxy = ringway(
        {
            "log.access": str(file),
            "log.access_format": "json",
            "socks5.upstream.default": "exits",
            "socks5.upstream.proxies": [{"name": "paris", "group": "exits", "protocol": "socks5", "address": f"{host}:{port}"}],
        }
    )
    exchange(proxy.tunnel(server.address))
    assert json_fields(eventually_lines(file, 1)[0])["upstream"] == "paris"


def test_every_connection_has_exactly_one_line(ringway, target, file):
    server, proxy = target(echo), ringway({"log.access": str(file)})
    for _ in range(200):
        proxy.tunnel(server.address).close()
    proxy.sockets.clear()
    eventually(lambda: proxy.active() == 0)
    proxy.stop()
    assert len(lines(file)) == 200
