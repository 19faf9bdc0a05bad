"""The live feed at the gateway's own port: for whom it is open, what it is closed to, and when it closes."""

import json

import pytest

from reloading import Reloading
from test_control_auth import hashed
from test_websocket_admission import SECRET, by_secret, in_an_hour
from waiting import eventually
from websocket_client import CLOSE, close_payload

TOPICS = ["traffic_data", "proxy_health", "system_performance", "user_activity", "alerts"]
TESTING = {"control.test_endpoints": "true", "workers.count": 2}
TOKENS = [{"name": "reader", "scope": "read", "token": hashed("a token of a reader")}]
DENIED, NOT_AVAILABLE = 103, 108


def denied(client, **request):
    """What is said to a request that is not permitted."""
    answer = client.ask(**request)
    assert (answer["type"], answer.get("code")) == ("error", DENIED), answer
    return answer["message"]


def closed_to(client):
    for topic in TOPICS:
        assert "control port's /ws" in denied(client, type="subscribe", topic=topic)
    return client.subscribe("news")


def post(proxy, method, **params):
    answer = proxy.http("POST", f"/api/{method}", {"Content-Type": "application/json"}, json.dumps(params))
    assert answer.status == 200, answer.text
    return answer.json


def publish_test_data(proxy):
    assert proxy.http("POST", "/api/v1/websocket/test-data").status == 200


def hears_test_data(client):
    """The feed's own snapshots may come first."""
    return any("test" in client.heard()["data"] for _ in range(100))


def test_on_loopback_without_tokens_it_is_open(ringway, websocket):
    proxy = ringway({**TESTING, "websocket.namespaces": '[{prefix: "", publish: anyone, presence: true, history: {size: 9}}]'})
    clients = [websocket(proxy) for _ in range(4)]
    for client in clients:
        for topic in TOPICS:
            client.tell(type="subscribe", topic=topic)
        # Snapshots may come in between.
        heard = []
        while sum(message["type"] == "subscribed" for message in heard) < len(TOPICS):
            heard.append(client.heard())
        assert not [message for message in heard if message["type"] == "error"]
    eventually(lambda: [proxy.metrics()("websocket_feed_subscriptions", topic=topic) for topic in TOPICS] == [4] * 5)
    publish_test_data(proxy)
    for client in clients:
        assert hears_test_data(client)
    clients[0].send(CLOSE, close_payload(1000))
    eventually(lambda: proxy.metrics()("websocket_feed_subscriptions", topic="alerts") == 3)


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "https://app.example"},
        {"Origin": "null"},
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"Via": "1.1 front"},
        {"X-Forwarded-Proto": "https"},
        {"CF-Connecting-IP": "203.0.113.7"},
    ],
    ids=str,
)
def test_foreign_pages_and_proxies_do_not_read_it(ringway, websocket, header):
    proxy = ringway({"websocket.allowed_origins": "['*']"})
    closed_to(websocket(proxy, **{name.replace("-", "_"): value for name, value in header.items()}))


def test_a_page_of_the_gateways_own_host_reads_it(ringway, websocket):
    proxy = ringway()
    page = websocket(proxy, Origin="http://{}:{}".format(*proxy.websocket))
    assert page.ask(type="subscribe", topic="alerts")["type"] == "subscribed"


def test_where_the_control_port_asks_for_a_token_it_is_closed(ringway, websocket):
    proxy = ringway({"control.tokens": json.dumps(TOKENS), "control.metrics_open": "true"})
    closed_to(websocket(proxy))


def test_nobody_publishes_there(ringway, websocket):
    proxy = ringway({**TESTING, "websocket.namespaces": '[{prefix: "", publish: anyone}]'})
    client = websocket(proxy)
    for topic in TOPICS:
        denied(client, type="publish", topic=topic, data=1)
        said = [
            post(proxy, "publish", channel=topic, data=1),
            post(proxy, "subscribe", user="alice", channel=topic),
            post(proxy, "broadcast", channels=[topic, "news"], data=1)["result"]["responses"][0],
            post(proxy, "batch", commands=[{"publish": {"channel": topic, "data": 1}}])["replies"][0],
        ]
        assert [answer["error"]["code"] for answer in said] == [DENIED] * 4, said
        assert all(answer["error"]["hint"] for answer in said)
        kept = [post(proxy, "history", channel=topic, limit=-1), post(proxy, "presence", channel=topic)]
        assert [answer["error"]["code"] for answer in kept] == [NOT_AVAILABLE] * 2
    # Ringway itself does.
    client.ask(type="subscribe", topic="traffic_data")
    publish_test_data(proxy)
    assert hears_test_data(client)


def test_a_token_of_the_gateway_subscribes_nobody_to_it(ringway, websocket, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    proxy = ringway({"websocket.auth": "jwt", "websocket.jwt.secret_file": str(secret)})
    token = by_secret({"sub": "alice", "exp": in_an_hour(), "channels": [*TOPICS, "news"]})
    client = websocket(proxy, f"/ws?token={token}")
    eventually(lambda: proxy.metrics()("websocket_subscriptions") == 1)
    assert post(proxy, "channels")["result"]["channels"] == {"news": {"num_clients": 1}}
    assert client.heard() == {"type": "subscribed", "topic": "news"}
    client.silent()


def test_a_reload_that_asks_for_tokens_ends_the_subscriptions(ringway, websocket, tmp_path):
    server = Reloading(ringway, tmp_path)
    client = websocket(server.proxy)
    client.tell(type="subscribe", topic="alerts")
    client.tell(type="subscribe", topic="news")
    server.set(control__tokens=TOKENS, control__metrics_open=True)
    assert server.reload().status == 200
    while client.heard() != {"type": "unsubscribed", "topic": "alerts"}:
        pass
    denied(client, type="subscribe", topic="alerts")
    assert client.ask(type="unsubscribe", topic="news")["type"] == "unsubscribed"
