"""Failed logins: slower and slower, then banned. What fail2ban reads of them: test_fail2ban.py."""

import time

import pytest

import http_connect
import socks5
from targets import echo
from test_fail2ban import found
from waiting import eventually

ALICE = ("alice", "secret")
WRONG = ("alice", "wrong")
QUICK = {"socks5.logins.delay": "1ms", "socks5.logins.delay_max": "1ms"}


def login(proxy, user, source="127.0.0.1"):
    """The answer to a login: its status, or None where the connection ended instead."""
    try:
        with proxy.connect((source, 0)) as connection:
            connection.sendall(socks5.greeting(socks5.PASSWORD) + socks5.credentials(*user))
            assert socks5.receive_exactly(connection, 2) == b"\x05\x02"
            return socks5.receive_exactly(connection, 2)[1]
    except (AssertionError, ConnectionError):
        return None


def succeeds(proxy, source="127.0.0.1"):
    return login(proxy, ALICE, source) == 0


def seconds_to_fail(proxy, source="127.0.0.1"):
    begun = time.monotonic()
    assert login(proxy, WRONG, source) == 1
    return time.monotonic() - begun


def test_each_failure_makes_the_next_answer_later_up_to_a_limit(ringway, users_file):
    options = {"socks5.logins.delay": "100ms", "socks5.logins.delay_max": "800ms", "socks5.logins.failures_max": "none"}
    proxy = ringway({**options, **users_file(alice="secret")})
    taken = [seconds_to_fail(proxy) for _ in range(7)]
    for failures, seconds in enumerate(taken[1:], 1):
        assert seconds >= min(0.1 * 2 ** (failures - 1), 0.8) * 0.95, taken
    assert max(taken) < 1.6, taken
    assert seconds_to_fail(proxy, "127.0.0.2") < 0.5, "another client is not delayed"


def test_a_delayed_answer_delays_nobody_else(ringway, users_file, target):
    proxy = ringway({"workers.count": 1, "socks5.logins.delay": "3s", **users_file(alice="secret")})
    server = target(echo)
    assert login(proxy, WRONG) == 1
    slow = proxy.connect()
    slow.sendall(socks5.greeting(socks5.PASSWORD) + socks5.credentials(*WRONG))
    begun = time.monotonic()
    connection = proxy.connect(("127.0.0.2", 0))
    socks5.handshake(connection, ALICE)
    connection.sendall(socks5.request(*server.address) + b"x")
    assert socks5.read_reply(connection).code == socks5.SUCCEEDED
    assert connection.recv(1) == b"x"
    assert time.monotonic() - begun < 1.5


FAILURES = 4


def test_too_many_failures_ban_the_client_for_a_while(ringway, users_file):
    proxy = ringway({**QUICK, "socks5.logins.failures_max": FAILURES, "socks5.logins.ban": "2s", **users_file(alice="secret")})
    for _ in range(FAILURES):
        assert login(proxy, WRONG) == 1
    banned = time.monotonic()
    assert not succeeds(proxy), "not even with the right password"
    proxy.eventually_closed("client_banned")
    metrics = proxy.metrics()
    assert metrics("socks5_logins_failed_total") == FAILURES
    assert metrics("socks5_clients_banned_total") == 1
    assert succeeds(proxy, "127.0.0.2"), "others are not banned"
    assert eventually(lambda: succeeds(proxy), 10), "the ban ends"
    assert time.monotonic() - banned > 1.5


def test_a_banned_client_is_banned_from_every_worker_and_protocol(ringway, users_file, target):
    server = target(echo)
    proxy = ringway({**QUICK, "workers.count": 2, "socks5.logins.failures_max": 2, "socks5.logins.ban": "60s", **users_file(alice="secret")})
    for _ in range(2):
        assert login(proxy, WRONG) == 1
    assert not any(succeeds(proxy) for _ in range(20))
    with pytest.raises((AssertionError, ConnectionError)):
        http_connect.ask(proxy, *server.address, ALICE)
    assert server.accepted == 0


def test_a_ban_does_not_cut_what_is_relayed(ringway, users_file, target):
    proxy = ringway({**QUICK, "socks5.logins.failures_max": 2, **users_file(alice="secret")})
    connection = proxy.tunnel(target(echo).address, ALICE)
    for _ in range(2):
        login(proxy, WRONG)
    assert not succeeds(proxy)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"


def test_http_logins_count_the_same(ringway, users_file, target):
    server = target(echo)
    proxy = ringway({**QUICK, "socks5.logins.failures_max": 2, "socks5.logins.ban": "60s", **users_file(alice="secret")})
    assert http_connect.ask(proxy, *server.address)[1].status == 407, "no login is no failed login"
    for _ in range(2):
        assert http_connect.ask(proxy, *server.address, WRONG)[1].status == 407
    assert not succeeds(proxy)
    assert proxy.metrics()("socks5_logins_failed_total") == 2


def test_a_success_in_between_does_not_let_a_guesser_on_for_ever(ringway, users_file):
    """Who has one password of his own must not guess others' with it."""
    proxy = ringway({**QUICK, "socks5.logins.failures_max": FAILURES, "socks5.logins.ban": "60s", **users_file(alice="secret")})
    for _ in range(FAILURES):
        assert succeeds(proxy)
        assert login(proxy, WRONG) == 1
    assert not succeeds(proxy)


def test_without_a_limit_nobody_is_banned(ringway, users_file):
    proxy = ringway({**QUICK, "socks5.logins.failures_max": "none", **users_file(alice="secret")})
    for _ in range(30):
        assert login(proxy, WRONG) == 1
    assert succeeds(proxy)
    assert proxy.metrics()("socks5_clients_banned_total") == 0


def test_after_a_while_failures_are_forgotten(ringway, users_file):
    options = {**QUICK, "socks5.logins.failures_max": 2, "socks5.logins.ban": "60s", "socks5.logins.forget_after": "1s"}
    proxy = ringway({**options, **users_file(alice="secret")})
    assert login(proxy, WRONG) == 1
    time.sleep(1.5)  # The pause is what is tested.
    assert login(proxy, WRONG) == 1
    assert succeeds(proxy)


def test_success_is_nothing_to_fail2ban(ringway, users_file, target):
    proxy = ringway(users_file(alice="secret"))
    proxy.tunnel(target(echo).address, ALICE).close()
    proxy.eventually_logs("reason=")
    assert not found(proxy.log().splitlines())


FORGERY = 'x"\n2026-01-01T00:00:00Z  WARN login: login failed client=192.0.2.99 port=1 user="root"'


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_name_forges_a_line(ringway, users_file, form):
    proxy = ringway({**QUICK, "log.format": form, **users_file(alice="secret")})
    claims = [FORGERY, FORGERY.replace("\n", "\r"), FORGERY.replace("\n", "\u2028"), '" client=192.0.2.99', "\x1b[2J"]
    claims.append('x"}}\n' + '{"timestamp":"2026","level":"WARN","fields":{"message":"login failed client=192.0.2.99 port=1 user=\\"')
    for claim in claims:
        assert login(proxy, (claim, "wrong")) == 1
    proxy.eventually_closed("auth_failed", len(claims))
    eventually(lambda: len(proxy.log().split("\n")) > 2 * len(claims))
    eventually(lambda: found(proxy.log().splitlines()) == ["127.0.0.1"] * len(claims), what=proxy.log)
    for line in proxy.log().splitlines():
        assert "ready" in line or "client=127.0.0.1" in line or '"client":"127.0.0.1' in line, line
    assert "\x1b" not in proxy.log()
