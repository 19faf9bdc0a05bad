"""Real clients, as people use them."""

import asyncio
import json
import shutil
import socket
import subprocess

import pytest
import socks as pysocks
from python_socks import ProxyError
from python_socks.async_.asyncio import Proxy
from python_socks.sync import Proxy as SyncProxy

from ringway import HERE, REPOSITORY, environment
from targets import PAGE, echo

ALICE = {"alice": "correct horse"}


# A datagram to a name goes to one of its addresses: `localhost` has two.
PREFER_IPV4 = {"socks5.egress.prefer": "ipv4"}
# scripts/test.sh puts npm's packages there.
NODE_MODULES = REPOSITORY / "target/node/node_modules"


def command(*words, stdin=b"", env=None):
    return subprocess.run(words, input=stdin, capture_output=True, timeout=30, env=environment(env))


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


@pytest.mark.parametrize("option", ["--socks4", "--socks4a"])
def test_curl_speaks_socks4(ringway, page, option):
    proxy, server = ringway(), page()
    assert curl(option, at(proxy.socks), server.url()).stdout == PAGE
    assert curl(option, at(proxy.socks), server.url("localhost")).stdout == PAGE


def test_curl_is_refused_by_socks4_where_a_password_is_wanted(ringway, page, users_file):
    answer = curl("--socks4a", at(ringway(users_file(**ALICE)).socks), page().url())
    assert answer.returncode == 97, "CURLE_PROXY"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
@pytest.mark.parametrize("version", ["--proxy", "--proxy1.0"])
def test_curl_tunnels_by_http_connect(ringway, page, host, version):
    url = page("::1" if host == "::1" else "127.0.0.1").url(host)
    answer = curl(version, "http://" + at(ringway().socks) if version == "--proxy" else at(ringway().socks), url, "--proxytunnel")
    assert answer.stdout == PAGE, answer.stderr


def test_curl_logs_in_by_http(ringway, page, users_file):
    proxy, server = ringway(users_file(**ALICE)), page()
    at_proxy = "http://" + at(proxy.socks)
    right = ("--proxytunnel", "--proxy-user", "alice:correct horse")
    assert curl("--proxy", at_proxy, server.url(), *right).stdout == PAGE
    asked_first = curl("--proxy", at_proxy, server.url(), *right, "--proxy-anyauth")
    assert asked_first.stdout == PAGE, "curl asks without, is told 407 with its challenge, and comes again"
    for login in [("--proxy-user", "alice:wrong"), ("--proxy-user", "bob:correct horse"), ()]:
        answer = curl("--proxy", at_proxy, server.url(), "--proxytunnel", "--write-out", "%{http_connect}", *login)
        assert answer.returncode == 56 and answer.stdout == b"407", answer


def test_curl_without_a_tunnel_is_told_405(ringway, page):
    answer = curl("--proxy", "http://" + at(ringway().socks), page().url(), "--write-out", "%{http_code}", "--output", "/dev/null")
    assert answer.stdout == b"405"


@pytest.fixture
def socksify(tmp_path):
    """Runs a program under dante's socksify: its calls of connect(2) go through the proxy."""

    def run(proxy, *words, protocol="socks_v5", user=None):
        host, port = proxy.socks
        file = tmp_path / "socks.conf"
        file.write_text(
            "logoutput: stderr\n"
            "route {\n"
            f"from: 0.0.0.0/0 to: 0.0.0.0/0 via: {host} port = {port}\n"
            f"proxyprotocol: {protocol}\n"
            f"method: {'username' if user else 'none'}\n"
            "}\n"
        )
        login = {"SOCKS_USERNAME": user[0], "SOCKS_PASSWORD": user[1]} if user else {}
        # Else it goes directly to whatever this host's interfaces reach.
        return command("socksify", *words, env={"SOCKS_CONF": str(file), "SOCKS_AUTOADD_LANROUTES": "no", **login})

    return run


def fetch(url):
    return ["curl", "--silent", "--show-error", "--max-time", "10", "--noproxy", "*", url]


@pytest.mark.parametrize("protocol", ["socks_v5", "socks_v4", "http_v1.0"])
def test_socksify_makes_curl_a_client(ringway, page, socksify, protocol):
    proxy, server = ringway(), page()
    answer = socksify(proxy, *fetch(server.url()), protocol=protocol)
    assert answer.stdout == PAGE, answer.stderr
    proxy.eventually_closed("finished")


def test_socksify_logs_in(ringway, page, users_file, socksify):
    proxy, server = ringway(users_file(alice="secret")), page()
    answer = socksify(proxy, *fetch(server.url()), user=("alice", "secret"))
    assert answer.stdout == PAGE, answer.stderr
    assert "user=\"alice\"" in proxy.eventually_logs("reason=finished").replace("user=alice", 'user="alice"')
    assert socksify(proxy, *fetch(server.url()), user=("alice", "wrong")).stdout == b""


SENDS_ONE_DATAGRAM = """
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(10)
client.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
print(client.recvfrom(100)[0].decode())
"""


def test_socksify_relays_datagrams(ringway, udp_target, socksify):
    proxy, server = ringway(), udp_target()
    answer = socksify(proxy, shutil.which("python3"), "-c", SENDS_ONE_DATAGRAM, *map(str, server.address))
    assert answer.stdout == b"hello\n", answer.stderr
    assert proxy.metrics()("socks5_udp_associations_total") == 1


@pytest.fixture
def proxychains(tmp_path):
    def run(proxies, *words):
        file = tmp_path / "proxychains.conf"
        file.write_text("strict_chain\nquiet_mode\nproxy_dns\n[ProxyList]\n" + "\n".join(proxies) + "\n")
        return command("proxychains4", "-f", str(file), *words)

    return run


@pytest.mark.parametrize("protocol", ["socks5", "socks4", "http"])
def test_proxychains_makes_curl_a_client(ringway, page, proxychains, protocol):
    proxy, server = ringway(), page()
    answer = proxychains(["{} {} {}".format(protocol, *proxy.socks)], *fetch(server.url()))
    assert answer.stdout == PAGE, answer.stderr
    proxy.eventually_closed("finished")


@pytest.mark.parametrize("protocol", ["socks5", "http"])
def test_proxychains_logs_in(ringway, page, users_file, proxychains, protocol):
    proxy, server = ringway(users_file(alice="secret")), page()
    answer = proxychains(["{} {} {} alice secret".format(protocol, *proxy.socks)], *fetch(server.url()))
    assert answer.stdout == PAGE, answer.stderr


def test_proxychains_goes_through_two_of_them(ringway, page, proxychains):
    first, second = ringway({"socks5.allow_targets": "[loopback, own]"}), ringway()
    answer = proxychains(["socks5 {} {}".format(*first.socks), "http {} {}".format(*second.socks)], *fetch(page().url()))
    assert answer.stdout == PAGE, answer.stderr


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


@pytest.mark.parametrize(("kind", "user"), [(pysocks.SOCKS4, None), (pysocks.HTTP, None), (pysocks.HTTP, ("alice", "correct horse"))])
def test_pysocks_talks_in_the_other_protocols(ringway, target, users_file, kind, user):
    proxy = ringway(users_file(**ALICE) if user else {})
    with pysocks.socksocket() as connection:
        connection.settimeout(10)
        connection.set_proxy(kind, *proxy.socks, username=user and user[0], password=user and user[1])
        connection.connect(("localhost", target(echo).address[1]))
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


@pytest.mark.parametrize("by_name", [False, True])
def test_pysocks_relays_datagrams(ringway, udp_target, by_name):
    server = udp_target()
    with pysocks.socksocket(type=socket.SOCK_DGRAM) as connection:
        connection.settimeout(10)
        connection.set_proxy(pysocks.SOCKS5, *ringway(PREFER_IPV4).socks)
        for number in range(10):
            connection.sendto(b"%d" % number, ("localhost" if by_name else "127.0.0.1", server.address[1]))
            assert connection.recvfrom(100) == (b"%d" % number, server.address)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_python_socks_talks_to_an_echo(ringway, target, users_file, host):
    proxy = SyncProxy.from_url("socks5://alice:correct%20horse@{}:{}".format(*ringway(users_file(**ALICE)).socks))
    with proxy.connect(*target(echo, host).address, timeout=10) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


@pytest.mark.parametrize("scheme", ["socks4", "socks5", "http"])
@pytest.mark.parametrize("remote_names", [True, False])
def test_python_socks_talks_in_every_protocol(ringway, target, scheme, remote_names):
    server = target(echo)
    proxy = SyncProxy.from_url("{}://{}:{}".format(scheme, *ringway().socks), rdns=remote_names)
    with proxy.connect("localhost", server.address[1], timeout=10) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"


def test_python_socks_logs_in_by_http(ringway, target, users_file):
    at_proxy = ringway(users_file(**ALICE)).socks
    server = target(echo)
    with SyncProxy.from_url("http://alice:correct%20horse@{}:{}".format(*at_proxy)).connect(*server.address, timeout=10) as connection:
        connection.sendall(b"hello")
        assert connection.recv(5) == b"hello"
    with pytest.raises(ProxyError, match="407"):
        SyncProxy.from_url("http://alice:wrong@{}:{}".format(*at_proxy)).connect(*server.address, timeout=10)


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


@pytest.mark.parametrize("protocol", ["socks4", "http"])
def test_ncat_pipes_through_by_the_other_protocols(ringway, target, protocol):
    server = target(echo)
    words = ["ncat", "--proxy-type", protocol, "--proxy", at(ringway().socks)]
    assert command(*words, *map(str, server.address), stdin=b"hello\n").stdout == b"hello\n"


@pytest.mark.parametrize("protocol", ["4", "connect"])
def test_openbsd_netcat_pipes_through_by_the_other_protocols(ringway, target, protocol):
    netcat = shutil.which("nc.openbsd") or "nc"
    server = target(echo)
    answer = command(netcat, "-N", "-X", protocol, "-x", at(ringway().socks), *map(str, server.address), stdin=b"hello\n")
    assert answer.stdout == b"hello\n", answer.stderr


def npm_socks(proxy, task, target, **how):
    """What npm's `socks` makes of a task: see npm_socks.js."""
    host, port = proxy.socks
    asked = {"proxy": {"host": host, "port": port, **how}, "target": {"host": target[0], "port": target[1]}}
    answer = command("node", str(HERE / "npm_socks.js"), task, json.dumps(asked), env={"NODE_PATH": str(NODE_MODULES)})
    assert answer.returncode == 0, answer.stderr.decode()
    return json.loads(answer.stdout)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_npm_socks_connects(ringway, target, host):
    server = target(echo, "::1" if host == "::1" else "127.0.0.1")
    assert npm_socks(ringway(), "connect", (host, server.address[1]), type=5) == {"heard": "hello"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_npm_socks_connects_by_socks4(ringway, target, host):
    assert npm_socks(ringway(), "connect", (host, target(echo).address[1]), type=4) == {"heard": "hello"}


def test_npm_socks_logs_in(ringway, target, users_file):
    proxy = ringway(users_file(**ALICE))
    heard = npm_socks(proxy, "connect", target(echo).address, type=5, userId="alice", password="correct horse")
    assert heard == {"heard": "hello"}


@pytest.mark.parametrize("kind", [4, 5])
@pytest.mark.parametrize("expected", ["127.0.0.1", "0.0.0.0"])
def test_npm_socks_binds(ringway, kind, expected):
    """It names the peer it expects, or 0.0.0.0 for anybody; the peer is then the script itself."""
    told = npm_socks(ringway(), "bind", (expected, 0), type=kind)
    assert told["heard"] == "hello"
    assert told["peer"] == told["came"], "the second reply names who came"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_npm_socks_associates(ringway, udp_target, host):
    server = udp_target(host="::1" if host == "::1" else "127.0.0.1")
    assert npm_socks(ringway(PREFER_IPV4), "associate", (host, server.address[1]), type=5)["heard"] == "hello"


def test_the_smoke_script_fetches_health_through_the_proxy():
    answer = subprocess.run(
        ["scripts/smoke.sh"], cwd=REPOSITORY, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "served itself through itself" in answer.stdout
