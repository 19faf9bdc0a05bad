"""Fixtures: `ringway(...)` starts the program, `target(...)` a server behind it. Both are gone after the test."""

import json
import resource

import pytest

from fake_dns import FakeDns
from ringway import Ringway
from targets import Listener, PageServer, Server, UdpServer
from udp import Association
from websocket_client import WebSocket

# Tests hold thousands of clients: the process that drives them needs the descriptors.
HARD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (HARD_LIMIT, HARD_LIMIT))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.when == "call":
        item.call_failed = report.failed
    return report


@pytest.fixture
def closing():
    """Registers things to close after the test, last first."""
    things = []

    def register(thing):
        things.append(thing)
        return thing

    yield register
    for thing in reversed(things):
        thing.close()


@pytest.fixture
def ringway(request, tmp_path):
    """Starts a ringway: `ringway({"workers.count": 1})`."""
    started = []

    def start(options=None, **how):
        started.append(Ringway(tmp_path, options, **how))
        return started[-1]

    yield start
    faults = []
    for instance in reversed(started):
        instance.failed = getattr(request.node, "call_failed", True)
        try:
            instance.close()
        except AssertionError as fault:
            faults.append(str(fault))
    assert not faults, "\n".join(faults)


@pytest.fixture
def websocket(ringway):
    """An upgraded connection: `websocket(proxy, "/echo")`."""

    def open_one(proxy, path="/ws", **how):
        proxy.sockets.append(WebSocket(proxy.websocket, path, **how))
        return proxy.sockets[-1]

    return open_one


@pytest.fixture
def target(closing):
    """Starts a server behind the proxy: `target(echo)`."""
    return lambda serve, host="127.0.0.1", port=0: closing(Server(serve, host, port))


@pytest.fixture
def listener(closing):
    """A target whose connections the test accepts itself: `listener()`."""
    return lambda host="127.0.0.1", **how: closing(Listener(host, **how))


@pytest.fixture
def udp_target(closing):
    """A UDP server behind the proxy: `udp_target()` echoes."""
    return lambda *answer, host="127.0.0.1": closing(UdpServer(*answer, host=host))


@pytest.fixture
def associate(closing):
    """A client's UDP association: `associate(proxy)`."""
    return lambda proxy, **how: closing(Association(proxy, **how))


@pytest.fixture
def page(closing):
    """A web page behind the proxy: `page("::1")`."""
    return lambda host="127.0.0.1": closing(PageServer(host))


@pytest.fixture
def dns(closing):
    """A name server: `dns({"name.example": ["127.0.0.1"]})`."""
    return lambda names=None, **how: closing(FakeDns(names, **how))


@pytest.fixture
def users_file(tmp_path):
    """Writes a users file: `users_file(alice="secret")` with plain passwords, `users_file(alice={"rate_up": "1MiB"})` with limits."""

    def write(entries=None, **users):
        entries = entries or [(name, user) for name, user in users.items()]
        path = tmp_path / "users.yaml"
        path.write_text("users:\n" + "".join(f"  - {json.dumps(entry(*user), ensure_ascii=False)}\n" for user in entries))
        return {"socks5.auth": "password", "socks5.users_file": str(path)}

    return write


PASSWORD = "secret"


def entry(name, user):
    """An entry of the users file. A user who is more than a password has `PASSWORD`."""
    more = user if isinstance(user, dict) else {"password": user}
    password = more.get("password", PASSWORD)
    whole = password.startswith(("$", "{plain}"))
    return {**more, "name": name, "password": password if whole else "{plain}" + password}
