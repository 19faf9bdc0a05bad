"""Real clients, as people use them."""

import asyncio
import shutil
import subprocess

import pytest
import socks as pysocks
from python_socks.async_.asyncio import Proxy
from python_socks.sync import Proxy as SyncProxy

from ringway import REPOSITORY, environment
from targets import PAGE, echo

ALICE = {"alice": "correct horse"}


def command(*words, stdin=b""):
    return subprocess.run(words, input=stdin, capture_output=True, timeout=30)


def curl(proxy_option, proxy, url, *more):
    return command("curl", "--silent", "--show-error", "--max-time", "10", "--noproxy", "", proxy_option, proxy, *more, url)


def at(address):
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@pytest.mark.parametrize("option", ["--socks5", "--socks5-hostname"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_curl_fetches_a_page_by_address(ringway, page, option, host):
    answer = curl(option, at(ringway().socks), page(host).url())
    assert answer.stdout == PAGE, answer.stderr


@pytest.mark.parametrize("option", ["--socks5", "--socks5-hostname"])
def test_curl_fetches_a_page_by_name(ringway, page, option):
    answer = curl(option, at(ringway().socks), page().url("localhost"))
    assert answer.stdout == PAGE, answer.stderr


def test_curl_reaches_the_proxy_over_ipv6(ringway, page):
    proxy = ringway({"socks5.listen": "['[::1]:0']"})
    answer = curl("--socks5-hostname", at(proxy.socks), page().url())
    assert answer.stdout == PAGE, answer.stderr


def test_curl_logs_in_with_name_and_password(ringway, page, users_file):
    proxy = ringway(users_file(**ALICE))
    answer = curl("--socks5-hostname", at(proxy.socks), page().url(), "--proxy-user", "alice:correct horse")
    assert answer.stdout == PAGE, answer.stderr


@pytest.mark.parametrize("login", [("--proxy-user", "alice:wrong"), ("--proxy-user", "bob:correct horse"), ()])
def test_curl_is_refused_without_the_right_login(ringway, page, users_file, login):
    server = page()
    answer = curl("--socks5-hostname", at(ringway(users_file(**ALICE)).socks), server.url(), *login)
    assert answer.returncode == 97, "CURLE_PROXY"
    assert answer.stdout == b""


@pytest.mark.parametrize("remote_names", [True, False])
@pytest.mark.parametrize("user", [None, ("alice", "correct horse")])
def test_pysocks_talks_to_an_echo(ringway, target, users_file, remote_names, user):
    proxy = ringway(users_file(**ALICE) if user else {})
    connection = pysocks.socksocket()
    connection.settimeout(10)
    connection.set_proxy(pysocks.SOCKS5, *proxy.socks, rdns=remote_names, username=user and user[0], password=user and user[1])
    with connection:
        connection.connect(("localhost", target(echo).address[1]))
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


def test_pysocks_is_refused_with_a_wrong_password(ringway, target, users_file):
    connection = pysocks.socksocket()
    connection.set_proxy(pysocks.SOCKS5, *ringway(users_file(**ALICE)).socks, username="alice", password="wrong")
    with connection, pytest.raises(pysocks.ProxyError, match="authentication failed"):
        connection.connect(target(echo).address)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_python_socks_talks_to_an_echo(ringway, target, users_file, host):
    proxy = SyncProxy.from_url("socks5://alice:correct%20horse@{}:{}".format(*ringway(users_file(**ALICE)).socks))
    with proxy.connect(*target(echo, host).address, timeout=10) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


def test_python_socks_talks_to_an_echo_from_asyncio(ringway, target):
    proxy_address, echo_address = ringway().socks, target(echo).address

    async def talk():
        proxy = Proxy.from_url("socks5://{}:{}".format(*proxy_address))
        connection = await proxy.connect(*echo_address, timeout=10)
        reader, writer = await asyncio.open_connection(sock=connection)
        writer.write(b"hello")
        answer = await asyncio.wait_for(reader.readexactly(5), 10)
        writer.close()
        await writer.wait_closed()
        return answer

    assert asyncio.run(talk()) == b"hello"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_ncat_pipes_through(ringway, target, host):
    proxy, server = ringway(), target(echo, host)
    answer = command(
        "ncat", "--proxy-type", "socks5", "--proxy", at(proxy.socks), host, str(server.address[1]), stdin=b"hello\n"
    )
    assert answer.stdout == b"hello\n", answer.stderr


def test_ncat_logs_in(ringway, target, users_file):
    proxy, server = ringway(users_file(**ALICE)), target(echo)
    words = ["ncat", "--proxy-type", "socks5", "--proxy", at(proxy.socks), "--proxy-auth", "alice:correct horse"]
    assert command(*words, *map(str, server.address), stdin=b"hello\n").stdout == b"hello\n"
    words[-1] = "alice:wrong"
    assert command(*words, *map(str, server.address), stdin=b"hello\n").returncode != 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_openbsd_netcat_pipes_through(ringway, target, host):
    netcat = shutil.which("nc.openbsd") or "nc"
    server = target(echo, "127.0.0.1" if host == "localhost" else host)
    answer = command(netcat, "-N", "-X", "5", "-x", at(ringway().socks), host, str(server.address[1]), stdin=b"hello\n")
    assert answer.stdout == b"hello\n", answer.stderr


def test_the_smoke_script_fetches_health_through_the_proxy():
    answer = subprocess.run(
        ["scripts/smoke.sh"], cwd=REPOSITORY, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "served itself through itself" in answer.stdout
