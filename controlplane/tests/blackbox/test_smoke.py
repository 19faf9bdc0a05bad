"""The endpoints of smoke tests (control.test_endpoints): a number and a message go all the way that real ones go."""

import itertools

import pytest

from waiting import eventually

TESTING = {"control.test_endpoints": "true", "workers.count": 2}
PATHS = [("POST", "/api/v1/metrics/test"), ("GET", "/api/v1/metrics/stats"), ("POST", "/api/v1/websocket/test-data")]


@pytest.mark.parametrize("method, path", PATHS)
def test_they_are_off_unless_asked_for(ringway, method, path):
    proxy = ringway()
    assert proxy.http(method, path).status == 404
    assert path not in proxy.get("/openapi.json").json["paths"]


def test_what_every_worker_counted_stands_in_the_metrics(ringway):
    proxy = ringway(TESTING)
    assert proxy.get("/api/v1/metrics/stats").json["test_events"] == 0
    counted = proxy.http("POST", "/api/v1/metrics/test?events=5")
    assert counted.status == 200
    assert counted.json == {"test_events": 10, "workers": [{"worker": 0, "test_events": 5}, {"worker": 1, "test_events": 5}]}
    assert proxy.http("POST", "/api/v1/metrics/test").json["test_events"] == 12
    assert proxy.get("/api/v1/metrics/stats").json["test_events"] == 12

    def scraped():
        return [proxy.metrics()("worker_test_events_total", worker=worker) for worker in ("0", "1")]

    eventually(lambda: scraped() == [6, 6], what=scraped)


def test_a_worker_that_does_not_count_is_named(ringway):
    proxy = ringway(TESTING)
    assert proxy.http("POST", "/api/v1/drill?kind=stall&worker=1&ms=3000").status == 202
    silent = proxy.http("POST", "/api/v1/metrics/test")
    assert silent.status == 503 and "worker 1" in silent.json["detail"]
    eventually(lambda: proxy.get("/api/v1/metrics/stats").json["workers"] == [{"worker": n, "test_events": 1} for n in (0, 1)])


@pytest.mark.parametrize("query, says", [("events=0", "events must be"), ("events=x", "events must be"), ("event=1", "no such parameter")])
def test_a_wrong_number_counts_nothing(ringway, query, says):
    proxy = ringway(TESTING)
    refused = proxy.http("POST", f"/api/v1/metrics/test?{query}")
    assert refused.status == 400 and says in refused.json["detail"]
    assert proxy.get("/api/v1/metrics/stats").json["test_events"] == 0


def messages_of_tests(client, count):
    """The next ones; the feed's own snapshots may come in between."""
    heard = (client.heard()["data"] for _ in range(100))
    return list(itertools.islice((data for data in heard if "test" in data), count))


def test_messages_reach_who_is_subscribed(ringway, websocket):
    proxy = ringway({**TESTING, "websocket.namespaces": '[{prefix: "", publish: server}, {prefix: kept., history: {size: 10, ttl: 1m}}]'})
    first, second = websocket(proxy).subscribe("traffic_data"), websocket(proxy).subscribe("traffic_data")
    said = proxy.http("POST", "/api/v1/websocket/test-data?count=3").json
    assert (said["topic"], said["published"], said["subscribers"]) == ("traffic_data", 3, 2) and said["home"] in (0, 1)
    for client in (first, second):
        heard = messages_of_tests(client, 3)
        assert [message["number"] for message in heard] == [1, 2, 3]
        assert all(message["test"] is True and message["published_ms"] > 1_700_000_000_000 for message in heard)
    kept = proxy.http("POST", "/api/v1/websocket/test-data?topic=kept.a&count=2").json
    assert (kept["offset"], kept["subscribers"]) == (2, 0) and kept["epoch"]


@pytest.mark.parametrize("topic", ["", "a%20b", "news.*", "x" * 256])
def test_what_is_no_topic_is_refused(ringway, topic):
    refused = ringway(TESTING).http("POST", f"/api/v1/websocket/test-data?topic={topic}")
    assert refused.status == 422 and "topic" in refused.json["detail"]
