"""Rules: who may go where, when, by which command; and that `ringway acl test` says what the proxy does."""

import datetime
import json
from dataclasses import dataclass, field

import pytest

import socks5
from ringway import run, set_arguments
from socks5 import BIND, CONNECT, NOT_ALLOWED, SUCCEEDED
from targets import echo
from waiting import eventually

ALICE, BOB = ("alice", "secret"), ("bob", "secret")
COMMANDS = {CONNECT: "connect", BIND: "bind"}
# Stands for the port of the test's server.
PORT = "PORT"
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

NAMES = {
    "open.example": ["127.0.0.1"],
    "blocked.example": ["127.0.0.1"],
    "deep.below.blocked.example": ["127.0.0.1"],
    "notblocked.example": ["127.0.0.1"],
    "second.example": ["127.0.0.2"],
    "mapped.example": ["::ffff:127.0.0.1"],
}


def allow(**criteria):
    return {"action": "allow", **criteria}


def deny(**criteria):
    return {"action": "deny", **criteria}


def clock(minutes):
    """The local time so many minutes from now."""
    return (datetime.datetime.now() + datetime.timedelta(minutes=minutes)).strftime("%H:%M")


def around_now():
    return f"{clock(-120)}-{clock(120)}"


def not_now():
    return f"{clock(120)}-{clock(-120)}"


def today():
    return DAYS[datetime.date.today().weekday()]


def other_days():
    """Not today, and not the days beside it: a test may run at midnight."""
    weekday = datetime.date.today().weekday()
    return [DAYS[(weekday + ahead) % 7] for ahead in (2, 3, 4, 5)]


@dataclass
class Case:
    """Rules, one connection, and what becomes of it. `rule`: who decides; None: nobody, so it is allowed."""

    rules: list
    allowed: bool
    rule: str | None = None
    host: str = "127.0.0.1"
    client: str = "127.0.0.1"
    user: tuple = ALICE
    command: int = CONNECT
    users: dict = field(default_factory=dict)


FIRST, SECOND, THIRD = "socks5.acl[0]", "socks5.acl[1]", "socks5.acl[2]"
EVERYWHERE = ["0.0.0.0/0", "::/0"]
CASES = {
    "no rule": Case([], True),
    "a rule without criteria": Case([deny()], False, FIRST),
    "the first match wins, allowing": Case([allow(to=["127.0.0.0/8"]), deny()], True, FIRST),
    "the first match wins, denying": Case([deny(to=["127.0.0.0/8"]), allow()], False, FIRST),
    "a rule that does not match is passed over": Case([deny(to=["127.0.0.2/32"]), deny(ports=[1]), deny()], False, THIRD),
    "no rule matches": Case([deny(to=["127.0.0.2/32"])], True),
    "all criteria must match": Case([deny(to=["127.0.0.0/8"], ports=[1])], True),
    "client network": Case([deny(**{"from": ["127.0.0.2/32"]})], False, FIRST, client="127.0.0.2"),
    "another client network": Case([deny(**{"from": ["127.0.0.2/32"]})], True, client="127.0.0.3"),
    "one of several client networks": Case([deny(**{"from": ["10.0.0.0/8", "127.0.0.0/24"]})], False, FIRST),
    "user": Case([deny(users=["bob"])], False, FIRST, user=BOB),
    "another user": Case([deny(users=["bob"])], True),
    "one of several users": Case([allow(users=["bob", "alice"]), deny()], True, FIRST),
    "network": Case([deny(to=["127.0.0.0/8"])], False, FIRST),
    "another network": Case([deny(to=["128.0.0.0/8"])], True),
    "one address": Case([deny(to=["127.0.0.1/32"])], False, FIRST),
    "one address without a length": Case([deny(to=["127.0.0.1"])], False, FIRST),
    "a network of the other family": Case([deny(to=["::/0"])], True),
    "a mapped address is its ipv4": Case([deny(to=["127.0.0.0/8"])], False, FIRST, host="::ffff:127.0.0.1"),
    "a name's address is judged": Case([deny(to=["127.0.0.0/8"])], False, FIRST, host="open.example"),
    "a name's mapped address is judged": Case([deny(to=["127.0.0.0/8"])], False, FIRST, host="mapped.example"),
    "domain": Case([deny(to=["blocked.example"])], False, FIRST, host="blocked.example"),
    "below the domain": Case([deny(to=["blocked.example"])], False, FIRST, host="deep.below.blocked.example"),
    "a name that ends alike": Case([deny(to=["blocked.example"])], True, host="notblocked.example"),
    "another domain": Case([deny(to=["blocked.example"])], True, host="open.example"),
    "a top-level domain": Case([deny(to=["example"])], False, FIRST, host="open.example"),
    "an address has no domain": Case([deny(to=["blocked.example"])], True),
    "case in the request": Case([deny(to=["blocked.example"])], False, FIRST, host="BLOCKED.eXample"),
    "a final dot in the request": Case([deny(to=["blocked.example"])], False, FIRST, host="blocked.example."),
    "both, below": Case([deny(to=["blocked.example"])], False, FIRST, host="Deep.Below.Blocked.Example."),
    "case in the rule": Case([deny(to=["BLOCKED.Example"])], False, FIRST, host="blocked.example"),
    "domain or network": Case([deny(to=["blocked.example", "127.0.0.0/8"])], False, FIRST),
    "port": Case([deny(ports=[PORT])], False, FIRST),
    "another port": Case([deny(ports=[1])], True),
    "a range of ports": Case([deny(ports=["1-65535"])], False, FIRST),
    "another range of ports": Case([deny(ports=[25, "1-1023"])], True),
    "command": Case([deny(commands=["connect"])], False, FIRST),
    "another command": Case([deny(commands=["bind", "udp_associate"])], True),
    "bind": Case([deny(commands=["bind"])], False, FIRST, command=BIND),
    "hours": Case([deny(hours=around_now())], False, FIRST),
    "other hours": Case([deny(hours=not_now())], True),
    "days": Case([deny(days=DAYS)], False, FIRST),
    "a span of days": Case([deny(days=["mon-sun"])], False, FIRST),
    "other days": Case([deny(days=other_days())], True),
    "a user's own rule": Case([], False, "users[alice].acl[0]", users={"alice": [deny(to=EVERYWHERE)]}),
    "a user's own rule comes first, denying": Case([allow()], False, "users[alice].acl[0]", users={"alice": [deny()]}),
    "a user's own rule comes first, allowing": Case([deny()], True, "users[alice].acl[0]", users={"alice": [allow()]}),
    "where a user's own rules say nothing": Case([deny()], False, FIRST, users={"alice": [deny(ports=[1])]}),
    "another user's own rule": Case([], True, users={"bob": [deny()]}),
}


def with_port(rules, port):
    return json.loads(json.dumps(rules).replace(f'"{PORT}"', str(port)))


def options(case, users_file, names, port):
    users = {name: {"acl": with_port(case.users.get(name, []), port)} for name in ("alice", "bob")}
    return {
        **users_file([(name, {**user, "password": "secret"}) for name, user in users.items()]),
        "socks5.acl": with_port(case.rules, port),
        "socks5.allow_targets": "[loopback]",
        "socks5.dns.servers": f"[{names.text}]",
    }


def code(proxy, host, port, user=None, client="127.0.0.1", command=CONNECT):
    connection = proxy.connect((client, 0))
    socks5.handshake(connection, user)
    connection.sendall(socks5.request(host, port, command))
    reply = socks5.read_reply(connection)
    connection.close()
    return reply.code


@pytest.mark.parametrize("name", CASES)
def test_the_proxy_obeys_and_the_access_line_names_the_rule(ringway, target, dns, users_file, name):
    case, server = CASES[name], target(echo)
    proxy = ringway(options(case, users_file, dns(NAMES), server.address[1]))
    answer = code(proxy, case.host, server.address[1], case.user, case.client, case.command)
    assert answer == (SUCCEEDED if case.allowed else NOT_ALLOWED)
    line = proxy.eventually_logs("reason=")
    if case.rule:
        assert f"rule={case.rule}" in line.replace('"', "")
    else:
        assert "rule=" not in line
    if not case.allowed:
        assert proxy.closed() == {"denied_acl": 1}
        assert server.accepted == 0


ALLOWED, DENIED, UNDECIDED_OR_WRONG = 0, 1, 2


def acl_test(options_, host, port, user=None, client="127.0.0.1", command=CONNECT, address=None, at=None):
    """What `ringway acl test` says of one connection."""
    named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    words = ["--client", client, "--target", named, "--command", COMMANDS[command]]
    for word, value in [("--user", user and user[0]), ("--address", address), ("--at", at)]:
        words += [word, value] if value else []
    return run(*set_arguments(options_), "acl", "test", *words)


@pytest.mark.parametrize("name", CASES)
def test_acl_test_says_the_same_and_why(dns, users_file, name):
    case, port = CASES[name], 4321
    addresses = NAMES.get(case.host.lower().rstrip("."), [None])
    settings = options(case, users_file, dns(NAMES), port)
    said = acl_test(settings, case.host, port, case.user, case.client, case.command, addresses[0])
    assert said.returncode == (ALLOWED if case.allowed else DENIED), said.stdout + said.stderr
    first, *steps = said.stdout.splitlines()
    assert first == ("allow" if case.allowed else "deny")
    assert steps[-1].split()[0] == (case.rule or "no"), "the last step is the one that decides"


def test_acl_test_speaks_of_classes_too(users_file):
    said = acl_test({"socks5.acl": [allow()]}, "open.example", 80, address="127.0.0.1")
    assert said.returncode == DENIED, said.stdout + said.stderr
    assert "loopback" in said.stdout and "socks5.allow_targets" in said.stdout


def test_acl_test_says_when_it_hangs_on_the_address():
    settings = {"socks5.acl": [deny(to=["192.0.2.0/24"])]}
    assert acl_test(settings, "some.example", 80).returncode == UNDECIDED_OR_WRONG
    assert acl_test(settings, "some.example", 80, address="192.0.2.1").returncode == DENIED
    assert acl_test(settings, "some.example", 80, address="198.51.100.1").returncode == ALLOWED


@pytest.mark.parametrize(("at", "expected"), [("mon 23:30", DENIED), ("tue 05:59", DENIED), ("tue 06:00", ALLOWED), ("mon 21:59", ALLOWED)])
def test_acl_test_takes_a_time(at, expected):
    said = acl_test({"socks5.acl": [deny(hours="22:00-06:00")]}, "198.51.100.1", 80, at=at)
    assert said.returncode == expected, said.stdout


@pytest.mark.parametrize(("at", "expected"), [("sat 12:00", DENIED), ("sun 12:00", DENIED), ("fri 12:00", ALLOWED), ("mon 12:00", ALLOWED)])
def test_acl_test_takes_a_day(at, expected):
    said = acl_test({"socks5.acl": [deny(days=["sat", "sun"])]}, "198.51.100.1", 80, at=at)
    assert said.returncode == expected, said.stdout


def test_acl_test_names_the_way():
    proxy = {"name": "a", "group": "exits", "protocol": "socks5", "address": "192.0.2.1:1080"}
    settings = {"socks5.acl": [allow(ports=[443], via="exits")], "socks5.upstream.proxies": [proxy]}
    assert "via exits" in acl_test(settings, "198.51.100.1", 443).stdout.splitlines()[0]
    assert "via" not in acl_test(settings, "198.51.100.1", 80).stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("settings", "hint"), [({"socks5.acl": [{"action": "perhaps"}]}, "socks5.acl"), ({}, "alice")], ids=["faulty rule", "no such user"]
)
def test_acl_test_with_a_faulty_question_says_so(settings, hint):
    said = acl_test(settings, "127.0.0.1", 80, ALICE)
    assert said.returncode == UNDECIDED_OR_WRONG
    assert hint in said.stderr


def test_a_rule_cannot_allow_what_targets_forbid(ringway, listener):
    server = listener()
    proxy = ringway({"socks5.allow_targets": None, "socks5.acl": [allow(to=["127.0.0.0/8"])]})
    assert code(proxy, *server.address) == NOT_ALLOWED
    proxy.eventually_closed("denied_target")
    assert server.nobody_came()


def test_of_a_names_addresses_only_the_allowed_are_dialled(ringway, target, dns):
    allowed = target(echo, "127.0.0.2")
    denied = target(echo, "127.0.0.1", allowed.address[1])
    names = dns({"both.example": ["127.0.0.1", "127.0.0.2"]})
    proxy = ringway({"socks5.acl": [deny(to=["127.0.0.1/32"])], "socks5.dns.servers": f"[{names.text}]"})
    for _ in range(5):
        assert code(proxy, "both.example", allowed.address[1]) == SUCCEEDED
    eventually(lambda: allowed.accepted == 5)
    assert denied.accepted == 0


def test_a_denied_domain_is_not_even_looked_up(ringway, dns):
    names = dns(NAMES)
    proxy = ringway({"socks5.acl": [deny(to=["blocked.example"])], "socks5.dns.servers": f"[{names.text}]"})
    assert code(proxy, "deep.below.blocked.example", 80) == NOT_ALLOWED
    assert not names.asked


@pytest.mark.parametrize(
    ("rule", "hint"),
    [
        ({"action": "perhaps"}, "action"),
        ({"to": ["10.0.0.0/8"]}, "action"),
        ({"action": "deny", "from": ["localhost"]}, "from"),
        ({"action": "deny", "to": ["10.0.0.0/33"]}, "to"),
        ({"action": "deny", "to": ["a b"]}, "to"),
        ({"action": "deny", "ports": [65536]}, "ports"),
        ({"action": "deny", "ports": ["9-1"]}, "ports"),
        ({"action": "deny", "commands": ["listen"]}, "commands"),
        ({"action": "deny", "days": ["someday"]}, "days"),
        ({"action": "deny", "hours": "25:00-26:00"}, "hours"),
        ({"action": "deny", "hours": "noon"}, "hours"),
        ({"action": "deny", "form": ["10.0.0.0/8"]}, "from"),
        ({"action": "allow", "via": "nowhere"}, "via"),
        ({"action": "deny", "via": "direct"}, "via"),
    ],
)
def test_a_faulty_rule_does_not_start_and_is_named(rule, hint):
    checked = run(*set_arguments({"socks5.acl": [deny(), rule]}), "check")
    assert checked.returncode == 2, checked.stdout
    assert "socks5.acl[1]" in checked.stderr and hint in checked.stderr
