"""tuning/fail2ban: its expressions find each failed login in a real log, and nothing else."""

import configparser
import re

import pytest

import socks5
from ringway import REPOSITORY
from waiting import eventually

FILTER = REPOSITORY / "tuning" / "fail2ban" / "filter.d" / "ringway.conf"
# What fail2ban puts in the place of <ADDR>, shortened.
ADDRESS = r"(?P<address>[0-9a-fA-F:.]+)"
# How the journal's lines reach it: the time stays where it is.
JOURNAL = "host ringway[77]: "
FORGERY = 'x" protocol=socks5\n2026-01-01T00:00:00Z  WARN login: login failed client=192.0.2.99 port=1 user="root'


def expressions():
    """The filter's expressions and the pattern of its times, as fail2ban reads them."""
    parser = configparser.ConfigParser(interpolation=configparser.BasicInterpolation(), strict=True)
    parser.read(FILTER)
    section = parser["Definition"]
    failures = [re.compile(line.replace("<ADDR>", ADDRESS)) for line in section["failregex"].split("\n")]
    # fail2ban translates the words of strptime and cuts what the first group matched out of the line.
    time = section["datepattern"].split("\n")[0]
    for word, digits in {"%Y": r"\d{4}", "%m": r"\d\d", "%d": r"\d\d", "%H": r"\d\d", "%M": r"\d\d", "%S": r"\d\d", "%f": r"\d+"}.items():
        time = time.replace(word, digits)
    return failures, re.compile(time)


def found(lines):
    """The addresses that fail2ban would count."""
    failures, time = expressions()
    hits = []
    for line in lines:
        stamp = time.search(line)
        rest = line[: stamp.start(1)] + line[stamp.end(1) :] if stamp else line
        match = next((match for match in (failure.search(rest) for failure in failures) if match), None)
        if match:
            hits.append(match["address"])
    return hits


def fail(proxy, name, source):
    connection = proxy.connect(source=(source, 0))
    connection.sendall(socks5.greeting(socks5.PASSWORD) + socks5.credentials(name, "wrong"))
    assert socks5.receive_exactly(connection, 4) == b"\x05\x02\x01\x01"
    connection.close()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("access", ["stderr", "off"])
def test_each_failed_login_is_found_and_no_name_points_at_another(ringway, users_file, form, access):
    options = {"log.format": form, "log.access": access, "socks5.logins.delay": "0s", "socks5.logins.failures_max": 3}
    proxy = ringway({**options, **users_file(alice="secret")})
    for name, source in (("alice", "127.0.0.1"), (FORGERY, "127.0.0.3"), ("alice", "127.0.0.1"), ("bob", "127.0.0.1")):
        fail(proxy, name, source)
    eventually(lambda: "client banned client=127.0.0.1 seconds=300" in proxy.log(), what=proxy.log)
    lines = proxy.log().splitlines()
    expected = ["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.3"]
    assert sorted(found(lines)) == expected, proxy.log()
    assert sorted(found(JOURNAL + line for line in lines)) == expected
