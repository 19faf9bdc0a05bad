"""Real WebSocket clients, as people use them, over ws and wss."""

import asyncio
import json
import signal
import ssl
import subprocess

import pytest
from websockets.asyncio.client import connect as connect_asyncio
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from ringway import HERE, REPOSITORY, environment
from waiting import eventually
from websocket_client import TEXT, WebSocket, frame

ANYONE = {"websocket.namespaces": '[{prefix: "", publish: anyone}]', "websocket.echo": "true", "workers.count": 2}
# scripts/test.sh puts npm's packages there.
NODE_MODULES = REPOSITORY / "target/node/node_modules"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed one for localhost, by openssl: (certificate, key)."""
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "localhost.pem", folder / "localhost.key"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*words, *names, "-keyout", key, "-out", made], check=True, capture_output=True, timeout=30)
    return made, key


class Gateway:
    """A ringway and how its clients reach it."""

    def __init__(self, proxy, secure, certificate):
        self.proxy = proxy
        self.secure = secure
        self.address = proxy.websocket_tls if secure else proxy.websocket
        self.base = "{}://{}:{}".format("wss" if secure else "ws", *self.address)
        self.tls = ssl.create_default_context(cafile=certificate[0]) if secure else None

    def connect(self, path="/ws", **how):
        # Without `proxy=None` it asks the environment.
        return connect(self.base + path, ssl=self.tls, proxy=None, **how)


@pytest.fixture(params=["ws", "wss"])
def gateway(request, ringway, certificate):
    """Starts a ringway that speaks ws and wss: `gateway({...})`; what comes back speaks one of the two."""

    def start(options=None):
        made, key = certificate
        tls = {"websocket.tls.listen": "[127.0.0.1:0]", "websocket.tls.certificates": f"[{{certificate: {made}, key: {key}}}]"}
        proxy = ringway({**ANYONE, **tls, **(options or {})})
        return Gateway(proxy, request.param == "wss", certificate)

    return start


def asked(client, **request):
    client.send(json.dumps(request))
    return json.loads(client.recv(20))


# Python's websockets


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_subscribes_and_publishes(gateway, compression):
    server = gateway()
    with server.connect(compression=compression) as client, server.connect(compression=compression) as publisher:
        assert asked(client, type="subscribe", topic="t", id=1) == {"type": "subscribed", "topic": "t", "id": 1}
        for data in ("short", "x" * 100_000):
            assert asked(publisher, type="publish", topic="t", data=data) == {"type": "published", "topic": "t"}
            assert json.loads(client.recv(20)) == {"type": "message", "topic": "t", "data": data}


@pytest.mark.parametrize("compression", ["deflate", None])
def test_websockets_echoes_messages_of_all_sizes(gateway, compression):
    with gateway().connect("/echo", compression=compression, max_size=None) as client:
        for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
            for message in ("é" * (size // 2), bytes(index * 7919 & 255 for index in range(size))):
                client.send(message)
                assert client.recv(20) == message


def test_websockets_sends_fragments_and_pings(gateway):
    with gateway().connect("/echo") as client:
        client.send(iter(["frag", "men", "ts €"]))
        assert client.recv(20) == "fragments €"
        assert client.ping(b"hello").wait(20)


@pytest.mark.parametrize("takeover", [False, True])
@pytest.mark.parametrize("bits", [None, 9, 12])
def test_websockets_negotiates_compression(ringway, takeover, bits):
    proxy = ringway({**ANYONE, "websocket.compression_context_takeover": str(takeover).lower(), "websocket.compression_threshold": "0B"})
    offer = ClientPerMessageDeflateFactory(server_max_window_bits=bits, client_max_window_bits=bits or True)
    with connect("ws://{}:{}/echo".format(*proxy.websocket), extensions=[offer], compression=None, proxy=None) as client:
        assert client.protocol.extensions, client.response.headers
        for _ in range(5):
            client.send("abcdefgh" * 5_000)
            assert client.recv(20) == "abcdefgh" * 5_000


def test_websockets_closes_with_its_code_and_hears_the_servers(gateway):
    server = gateway({"websocket.max_message_size": "1KiB"})
    with server.connect("/echo") as client:
        client.close(4000, "enough")
        assert client.close_code == 4000 and client.protocol.close_rcvd.code == 4000
    with server.connect("/echo") as client:
        client.send("x" * 2_000)
        with pytest.raises(ConnectionClosedError) as ended:
            client.recv(20)
        assert ended.value.rcvd.code == 1009


@pytest.mark.parametrize(("path", "origin", "status"), [("/nowhere", None, 404), ("/ws", "https://evil.example", 403)])
def test_websockets_is_told_why_it_is_refused(gateway, path, origin, status):
    with pytest.raises(InvalidStatus) as refused, gateway().connect(path, origin=origin):
        pass
    assert refused.value.response.status_code == status


def test_websockets_from_asyncio_hears_a_hundred_publications_in_order(gateway):
    server = gateway()

    async def talk():
        url, how = server.base + "/ws", {"ssl": server.tls, "proxy": None}
        async with connect_asyncio(url, **how) as publisher:
            subscribers = [await connect_asyncio(url, **how) for _ in range(10)]
            for subscriber in subscribers:
                await subscriber.send('{"type":"subscribe","topic":"t"}')
                await subscriber.recv()
            for number in range(100):
                await publisher.send(json.dumps({"type": "publish", "topic": "t", "data": number}))
                await publisher.recv()
            heard = [[json.loads(await subscriber.recv())["data"] for _ in range(100)] for subscriber in subscribers]
            for subscriber in subscribers:
                await subscriber.close()
            return heard

    assert asyncio.run(asyncio.wait_for(talk(), 60)) == [list(range(100))] * 10


# npm's ws and wscat


def node(script, *words):
    answer = subprocess.run(
        ["node", str(HERE / script), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        env=environment({"NODE_PATH": str(NODE_MODULES)}),
    )
    assert answer.returncode == 0, answer.stderr.decode()
    return json.loads(answer.stdout)


def npm_ws(url, task, **more):
    """What npm's `ws` makes of a task: see npm_ws.js."""
    return node("npm_ws.js", task, json.dumps({"url": url, **more}))


@pytest.mark.parametrize("compression", [True, False], ids=["deflate", "plain"])
def test_npm_ws_echoes_messages_of_all_sizes(gateway, compression):
    answer = npm_ws(gateway().base + "/echo", "echo", options={"perMessageDeflate": compression})
    assert all(answer["same"]) and len(answer["same"]) == 17
    assert answer["extensions"] == ("permessage-deflate" if compression else "")


def test_npm_ws_pings_and_closes(gateway):
    assert npm_ws(gateway().base + "/echo", "control") == {"pong": "are you there", "code": 4321}


def test_npm_ws_subscribes_and_publishes(gateway):
    assert npm_ws(gateway().base + "/ws", "subscribe", topic="t") == [
        {"type": "subscribed", "topic": "t", "id": 1},
        {"type": "published", "topic": "t"},
        {"type": "message", "topic": "t", "data": {"from": "ws"}},
    ]


def test_npm_ws_is_told_why_it_is_refused(ringway):
    base = "ws://{}:{}".format(*ringway().websocket)
    assert npm_ws(base + "/ws", "refused", options={"origin": "https://evil.example"}) == {"status": 403}
    assert npm_ws(base + "/nowhere", "refused") == {"status": 404}


def test_wscat_is_enough_to_try_it(gateway):
    requests = ['{"type":"subscribe","topic":"t"}', '{"type":"publish","topic":"t","data":{"a":1}}', '{"type":"ping"}', "ping"]
    words = [str(NODE_MODULES / ".bin/wscat"), "--no-color", "--no-check", "--wait", "20", "--connect", gateway().base + "/ws"]
    # It ends with its input, and does not say what came.
    with subprocess.Popen(
        [*words, *(word for request in requests for word in ("--execute", request))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as wscat:
        heard = sorted(wscat.stdout.readline().strip() for _ in range(5))
        wscat.terminate()
    # In no order: pongs need not wait for other workers.
    assert heard == sorted(
        [
            '{"type":"subscribed","topic":"t"}',
            '{"type":"published","topic":"t"}',
            '{"type":"message","topic":"t","data":{"a":1}}',
            '{"type":"pong"}',
            "pong",
        ]
    )


# Chromium's own


@pytest.fixture
def chromium(page, tmp_path):
    """Runs the script of chromium_websocket.js on a page of 127.0.0.1."""

    def run(gateway, server):
        asked = {"page": server.url(), "ws": gateway.base, "profile": str(tmp_path / "profile")}
        return node("chromium_websocket.js", json.dumps(asked))

    return run


def test_a_page_in_chromium_subscribes_publishes_and_closes(gateway, page, chromium):
    server = page()
    allowed = gateway({"websocket.allowed_origins": json.dumps([server.url().rstrip("/")])})
    told = chromium(allowed, server)
    assert told["answers"] == [{"type": "subscribed", "topic": "page", "id": "a"}, {"type": "pong"}]
    assert told["heard"] and told["same"]
    assert told["extensions"].startswith("permessage-deflate")
    assert told["closed"] == {"code": 4000, "wasClean": True}


def test_a_page_of_another_origin_is_refused_in_chromium(gateway, page, chromium):
    """The page is of another port, so of another origin."""
    assert chromium(gateway(), page()) == {"refused": 1006}


# A client of bytes


def test_a_client_of_bytes_speaks_in_both_ways(gateway):
    server = gateway()
    client = WebSocket(server.address, tls=server.tls)
    client.subscribe("t")
    client.tell(type="publish", topic="t", data="x" * 500_000)
    assert {client.heard()["type"], client.heard()["type"]} == {"published", "message"}
    client.close()


def test_thousands_of_frames_in_one_write_come_back_in_order(gateway):
    server = gateway()
    client = WebSocket(server.address, "/echo", tls=server.tls)
    client.raw(b"".join(frame(TEXT, b"%d" % number) for number in range(5_000)))
    assert [client.text() for _ in range(5_000)] == [str(number) for number in range(5_000)]
    for byte in frame(TEXT, b"byte by byte"):
        client.raw(bytes([byte]))
    assert client.text() == "byte by byte"
    client.close()


def test_a_slow_reader_loses_the_oldest_and_delays_nobody(gateway):
    server = gateway({"websocket.namespaces": '[{prefix: "", publish: anyone, overflow: drop_oldest}]', "websocket.max_queued_messages": 50})
    slow, reader, publisher = (WebSocket(server.address, tls=server.tls) for _ in range(3))
    slow.subscribe("t")
    reader.subscribe("t")
    for number in range(3_000):
        publisher.tell(type="publish", topic="t", data=[number, "x" * 4_000])
        assert publisher.heard()["type"] == "published"
        assert reader.heard()["data"][0] == number
    heard = []
    while not heard or heard[-1] != 2_999:
        heard.append(slow.heard()["data"][0])
    assert heard == sorted(set(heard)) and len(heard) < 3_000
    eventually(lambda: server.proxy.metrics()("websocket_dropped_total", reason="drop_oldest") == 3_000 - len(heard))
    for client in (slow, reader, publisher):
        client.close()


def test_a_drain_reaches_everybody(gateway):
    server = gateway({"websocket.drain_window": "500ms"})
    clients = [WebSocket(server.address, tls=server.tls) for _ in range(20)]
    server.proxy.signal(signal.SIGTERM)
    for client in clients:
        client.ended(1012)
        client.close()
    assert server.proxy.exit_code() == 0
