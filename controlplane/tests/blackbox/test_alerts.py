"""Alerts: what fires is shown and sent to webhooks once, through outages, silences and reloads."""

import http.server
import json
import re
import threading

import pytest
from jsonschema import Draft202012Validator

from ringway import run, set_arguments
from succession import Succession
from targets import echo
from waiting import eventually
from websocket_client import WebSocket

SECRET = "hunter2-of-the-pager"
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
STATUS = {"enum": ["firing", "resolved"]}


def exactly(**members):
    return {"type": "object", "additionalProperties": False, "required": list(members), "properties": members}


# https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
MESSAGE = exactly(
    version={"const": "4"},
    groupKey={"type": "string", "pattern": r'^\{\}:\{alertname="[^"]+"\}$'},
    truncatedAlerts={"type": "integer", "minimum": 0},
    status=STATUS,
    receiver={"type": "string", "minLength": 1},
    groupLabels=exactly(alertname={"type": "string"}),
    commonLabels=TEXTS,
    commonAnnotations=TEXTS,
    externalURL={"type": "string", "pattern": "^https?://"},
    alerts={
        "type": "array",
        "minItems": 1,
        "items": exactly(
            status=STATUS,
            labels={**TEXTS, "required": ["alertname", "severity", "instance"]},
            annotations=exactly(summary={"type": "string", "minLength": 1}, description={"type": "string", "minLength": 1}),
            startsAt=TIME,
            endsAt=TIME,
            generatorURL={"type": "string", "pattern": "^https?://"},
            fingerprint={"type": "string", "pattern": "^[0-9a-f]{16}$"},
        ),
    },
)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        hook = self.server
        hook.attempts += 1
        hook.paths.add(self.path)
        status = hook.status
        if status == 200:
            hook.messages.append(json.loads(body))
            hook.headers.append(dict(self.headers.items()))
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


class Webhook(http.server.ThreadingHTTPServer):
    """A receiver of messages: away until `open()`, answering `status` from then on."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
        # The port is taken, and nobody listens: connections are refused.
        self.server_bind()
        self.status, self.attempts, self.messages, self.headers, self.paths = 200, 0, [], [], set()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/hook"
        self.opened = False

    def open(self):
        self.server_activate()
        self.opened = True
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def statuses(self):
        for message in self.messages:
            faults = [error.message for error in Draft202012Validator(MESSAGE).iter_errors(message)]
            assert not faults, f"{faults}\n{message}"
        return [message["status"] for message in self.messages]

    def close(self):
        if self.opened:
            self.shutdown()
        self.server_close()


@pytest.fixture
def webhook(closing):
    return lambda: closing(Webhook())


def rule(**more):
    return {"name": "busy", "of": "connections", "above": 1, "severity": "critical", **more}


def watching(hook, *rules, **more):
    hook = {"name": "pager", "url": hook.url} if isinstance(hook, Webhook) else hook
    return {
        "alerts.rules": list(rules),
        "alerts.webhooks": [hook] if hook else [],
        "alerts.instance": "proxy1",
        "alerts.group_wait": "0s",
        "alerts.group_interval": "1s",
        "workers.count": 1,
        **more,
    }


def alerts(proxy):
    return proxy.get("/api/v1/alerts").json


def states(proxy):
    return {alert["name"]: alert["state"] for alert in alerts(proxy)["alerts"]}


def eventually_is(proxy, name, state, seconds=10):
    eventually(lambda: states(proxy).get(name) == state, seconds, lambda: f"{name} is {state}: {alerts(proxy)}")


def pager(proxy):
    return alerts(proxy)["webhooks"][0]


def all_sent(proxy):
    """Nothing waits for the webhook, and a second that was judged after that has brought nothing."""
    eventually(lambda: pager(proxy)["queued"] == 0, 20, lambda: pager(proxy))


@pytest.fixture
def crowd(target):
    """Brings the connections to two, and back to none."""
    server = target(echo)

    class Crowd:
        def come(self, proxy):
            self.guests = [proxy.tunnel(server.address) for _ in range(2)]

        def leave(self):
            for guest in self.guests:
                guest.close()

    return Crowd()


@pytest.mark.parametrize("hold", ["0s", "1s"])
def test_through_an_outage_firing_and_resolved_arrive_once_each_and_in_order(ringway, webhook, crowd, hold):
    hook = webhook()
    proxy = ringway(watching(hook, rule(**{"for": hold, "labels": {"team": "net"}})))
    crowd.come(proxy)
    eventually_is(proxy, "busy", "firing")
    # Nobody is there, then somebody who is not well.
    eventually(lambda: pager(proxy)["failed"] >= 1, what=lambda: pager(proxy))
    assert "cannot connect" in pager(proxy)["last_error"]
    hook.status = 500
    hook.open()
    eventually(lambda: hook.attempts >= 1, 20)
    eventually(lambda: pager(proxy)["last_error"] == "answered 500", what=lambda: pager(proxy))
    # It is over before anybody could be told of it.
    crowd.leave()
    eventually_is(proxy, "busy", "resolved")
    eventually(lambda: pager(proxy)["queued"] == 2, what=lambda: pager(proxy))
    assert hook.messages == []
    hook.status = 200
    all_sent(proxy)
    assert hook.statuses() == ["firing", "resolved"]
    firing, resolved = (message["alerts"] for message in hook.messages)
    labels = {"alertname": "busy", "severity": "critical", "instance": "proxy1", "team": "net"}
    assert [one["labels"] for one in firing + resolved] == [labels] * 2
    assert firing[0]["endsAt"] == "0001-01-01T00:00:00Z" < firing[0]["startsAt"] == resolved[0]["startsAt"] <= resolved[0]["endsAt"]
    assert firing[0]["fingerprint"] == resolved[0]["fingerprint"] == alerts(proxy)["alerts"][0]["fingerprint"]
    assert firing[0]["annotations"]["summary"] == "connections is 2, above 1"
    assert hook.messages[0]["receiver"] == "pager" and hook.messages[0]["commonLabels"] == labels
    shown = pager(proxy)
    assert shown["delivered"] == 2 and shown["dropped"] == 0 and shown["last_error"] is None
    counted = proxy.metrics().by("alert_webhook_deliveries_total", "result")
    assert counted["delivered"] == 2 and counted["failed"] == shown["failed"] >= 2
    # It fires anew: that is another alert.
    crowd.come(proxy)
    eventually(lambda: hook.statuses() == ["firing", "resolved", "firing"], what=lambda: hook.messages)
    assert hook.messages[2]["alerts"][0]["startsAt"] > resolved[0]["startsAt"]
    for line in ("alert busy fires (critical): connections is 2, above 1", "alert busy is resolved", "webhook pager: it takes messages again"):
        proxy.eventually_logs(line)


def test_pending_is_not_firing_and_what_goes_by_leaves_no_trace(ringway, webhook, crowd):
    hook = webhook().open()
    proxy = ringway(watching(hook, rule(**{"for": "1h"})))
    crowd.come(proxy)
    eventually_is(proxy, "busy", "pending")
    metrics = proxy.metrics()
    assert metrics.by("alerts_pending", "severity")["critical"] == 1 and metrics.by("alerts_firing", "severity")["critical"] == 0
    crowd.leave()
    eventually(lambda: alerts(proxy)["alerts"] == [])
    assert hook.attempts == 0


def test_who_only_looks_on_is_no_connection(ringway, webhook, crowd, closing):
    hook = webhook().open()
    proxy = ringway(watching(hook, rule(above=0), {"name": "few", "of": "connections", "below": 1}))
    eventually_is(proxy, "few", "firing")
    looking = closing(WebSocket(proxy.control, "/ws"))
    eventually(lambda: proxy.metrics()("websocket_feed_connections") == 1)
    crowd.come(proxy)
    eventually_is(proxy, "few", "resolved")
    eventually_is(proxy, "busy", "firing")
    # With its eyes still open.
    crowd.leave()
    eventually_is(proxy, "busy", "resolved")
    eventually_is(proxy, "few", "firing")
    assert looking.ask(type="ping")["type"] == "pong" and proxy.metrics()("websocket_feed_connections") == 1


def test_a_silenced_alert_is_told_to_nobody_until_the_silence_ends(ringway, webhook, crowd):
    hook = webhook().open()
    proxy = ringway(watching(hook, rule(), rule(name="also", severity="info"), **{"log.audit": "stderr"}))
    body = {"matchers": {"name": "busy", "severity": "critical"}, "for": "1h", "comment": "a test"}
    made = proxy.http("POST", "/api/v1/alerts/silences", {"Content-Type": "application/json"}, json.dumps(body))
    assert made.status == 201 and made.json["matchers"] == {"alertname": "busy", "severity": "critical"}, made.text
    assert alerts(proxy)["silences"] == [made.json] and made.json["comment"] == "a test"
    proxy.eventually_logs("silenced ")
    crowd.come(proxy)
    # The other one is heard in the same second.
    eventually(lambda: hook.statuses() == ["firing"], what=lambda: hook.messages)
    shown = {alert["name"]: alert["silenced_by"] for alert in alerts(proxy)["alerts"]}
    assert shown == {"busy": made.json["id"], "also": None} and states(proxy)["busy"] == "firing"
    assert hook.messages[0]["groupLabels"] == {"alertname": "also"}
    gone = proxy.http("DELETE", f"/api/v1/alerts/silences/{made.json['id']}")
    assert (gone.status, gone.body, alerts(proxy)["silences"]) == (204, b"", [])
    eventually(lambda: len(hook.messages) == 2, what=lambda: hook.messages)
    assert hook.messages[1]["groupLabels"] == {"alertname": "busy"}
    assert proxy.http("DELETE", f"/api/v1/alerts/silences/{made.json['id']}").status == 404


def test_what_cannot_be_silenced_is_told(ringway):
    proxy = ringway(watching(None, rule()))
    for body, status, told in (
        ("{", 400, "cannot be understood"),
        ('{"matchers": {"name": "a"}}', 400, "missing field"),
        ('{"matchers": {"name": 1}, "for": "1h"}', 400, "invalid type"),
        ('{"matchers": {}, "for": "1h"}', 422, "silence everything"),
        ('{"matchers": {"name": "a"}, "for": "soon"}', 422, "is not a duration"),
        ('{"matchers": {"name": "a"}, "for": "90d"}', 422, "out of range"),
        (json.dumps({"matchers": {"name": "a" * 301}, "for": "1h"}), 422, "300 bytes"),
        (json.dumps({"matchers": {"%0299d" % i: "a" for i in range(14)}, "for": "1h"}), 422, "4096 bytes together"),
        (json.dumps({"matchers": {"\x01" * 9: "a"}, "for": "1h"}), 422, "control character"),
        (json.dumps({"matchers": {"name": "a\x1b[m"}, "for": "1h"}), 422, "control character"),
        (json.dumps({"matchers": {"name": "a"}, "for": "1h", "comment": "a\r\nforged"}), 422, "control character"),
    ):
        answer = proxy.http("POST", "/api/v1/alerts/silences", {"Content-Type": "application/json"}, body)
        assert answer.status == status and told in answer.json["detail"], answer.text
    assert alerts(proxy)["silences"] == []


def test_ctl_shows_alerts_and_makes_and_ends_silences(ringway):
    proxy = ringway(watching(None, rule(above=1000)))
    ctl = lambda *words: run("ctl", "--control", proxy.control_text, *words)
    shown = ctl("alerts")
    assert shown.returncode == 0 and "busy" in shown.stdout and "1000" in shown.stdout, shown
    made = ctl("silence", "add", "name=busy", "severity=critical", "--for", "2h", "--comment", "rebuilt")
    assert made.returncode == 0, made
    silence = alerts(proxy)["silences"][0]
    assert silence["matchers"] == {"alertname": "busy", "severity": "critical"} and silence["comment"] == "rebuilt"
    assert ctl("silence", "rm", silence["id"]).returncode == 0
    assert alerts(proxy)["silences"] == []


def test_a_rule_that_a_reload_removes_is_resolved_and_one_it_keeps_is_not_told_again(tmp_path, ringway, webhook, crowd):
    hook = webhook().open()
    path = tmp_path / "ringway.yaml"

    def write(*rules):
        path.write_text(json.dumps({"alerts": {"rules": list(rules)}}))

    write(rule(), rule(name="kept"))
    options = watching(hook)
    del options["alerts.rules"]
    proxy = ringway(options, arguments=("-c", str(path)))
    crowd.come(proxy)
    eventually(lambda: hook.statuses() == ["firing"] * 2, what=lambda: hook.messages)
    write(rule(name="kept", summary="Changed."))
    reloaded = proxy.http("POST", "/admin/reload-config")
    assert reloaded.status == 200, reloaded.text
    eventually(lambda: len(hook.messages) == 3, what=lambda: hook.messages)
    eventually_is(proxy, "busy", "resolved")
    all_sent(proxy)
    last = hook.messages[-1]
    assert hook.statuses()[2:] == ["resolved"] and last["groupLabels"] == {"alertname": "busy"}
    assert [alert["summary"] for alert in alerts(proxy)["alerts"] if alert["name"] == "kept"] == ["Changed."]


def test_a_wedged_worker_fires_the_built_in_rule(ringway, webhook):
    hook = webhook().open()
    options = watching(hook, **{"control.test_endpoints": "true", "workers.count": 2, "workers.stalled_after": "1s", "workers.wedged_after": "0s"})
    del options["alerts.rules"]
    proxy = ringway(options)
    assert proxy.http("POST", "/api/v1/drill?kind=stall&worker=1&ms=4000").status == 202
    eventually(lambda: any(message["groupLabels"] == {"alertname": "worker_stalled"} for message in hook.messages), 15)
    message = next(message for message in hook.messages if message["groupLabels"] == {"alertname": "worker_stalled"})
    assert hook.statuses() and message["alerts"][0]["labels"]["severity"] == "critical"
    assert message["alerts"][0]["annotations"]["summary"] == "stalled_workers is 1 (worker 1), above 0"
    eventually_is(proxy, "worker_stalled", "resolved")


def test_a_quota_near_its_end_fires_for_its_user(ringway, webhook, target, users_file):
    hook = webhook().open()
    limits = users_file(alice={"quota": "10KiB", "quota_period": "total"}, bob={"quota": "10KiB", "quota_period": "total"})
    options = watching(hook, {"name": "quota", "of": "quota_share", "above": "90%"}, **limits)
    proxy = ringway(options)
    tunnel = proxy.tunnel(target(echo).address, user=("alice", "secret"))
    for _ in range(5):
        tunnel.sendall(b"x" * 1000)
        left = 1000
        while left:
            left -= len(tunnel.recv(left))
    eventually(lambda: hook.statuses() == ["firing"], what=lambda: (hook.messages, alerts(proxy)))
    alert = hook.messages[0]["alerts"][0]
    assert len(hook.messages[0]["alerts"]) == 1 and alert["labels"]["user"] == "alice"
    assert re.search(r"quota_share of alice is 9\d(\.\d)?%, above 90%", alert["annotations"]["description"])
    value = [row["value"] for row in alerts(proxy)["rules"]]
    assert 90 < value[0] <= 100
    tunnel.close()


@pytest.mark.parametrize("status", [404, 302])
def test_what_a_receiver_refuses_is_told_again_while_it_fires_and_no_redirect_is_followed(ringway, webhook, crowd, status):
    hook = webhook()
    hook.status = status
    hook.open()
    proxy = ringway(watching(hook, rule()))
    crowd.come(proxy)
    eventually(lambda: pager(proxy)["dropped"] >= 2, what=lambda: pager(proxy))
    assert pager(proxy)["last_error"] == f"answered {status}" and hook.paths == {"/hook"}
    assert proxy.metrics().by("alert_webhook_deliveries_total", "result")["refused"] >= 2
    hook.status = 200
    eventually(lambda: hook.statuses() == ["firing"], what=lambda: (hook.messages, alerts(proxy)))
    crowd.leave()
    eventually(lambda: hook.statuses() == ["firing", "resolved"], what=lambda: (hook.messages, alerts(proxy)))


def test_secrets_reach_the_receiver_and_nobody_else(tmp_path, ringway, webhook, crowd):
    hook = webhook().open()
    (tmp_path / "pager.token").write_text(f"Bearer {SECRET}\n")
    (tmp_path / "pager.url").write_text(f"{hook.url}/{SECRET}?key={SECRET}\n")
    secret = {
        "name": "pager",
        "url_file": str(tmp_path / "pager.url"),
        "headers": {"X-Team": "net"},
        "header_files": {"Authorization": str(tmp_path / "pager.token")},
    }
    options = watching(secret, rule(), **{"log.level": "debug", "log.control": "stderr", "log.audit": "stderr"})
    proxy = ringway(options)
    crowd.come(proxy)
    eventually(lambda: hook.statuses() == ["firing"], what=lambda: pager(proxy))
    headers = {name.lower(): value for name, value in hook.headers[0].items()}
    assert headers["authorization"] == f"Bearer {SECRET}" and headers["x-team"] == "net"
    assert headers["content-type"] == "application/json" and headers["user-agent"].startswith("ringway/")
    hook.status = 500
    crowd.leave()
    eventually(lambda: pager(proxy)["failed"] >= 1, what=lambda: pager(proxy))
    effective = run("config", "effective", *set_arguments(options))
    for text in (proxy.get("/config").text, proxy.get("/api/v1/alerts").text, proxy.get("/metrics").text, proxy.log(), effective.stdout):
        assert text and SECRET not in text
    assert pager(proxy)["url"].endswith("/<redacted>")
    # Another secret is a change, though the configuration reads the same.
    (tmp_path / "pager.token").write_text("Bearer another\n")
    reloaded = proxy.http("POST", "/admin/reload-config")
    assert reloaded.json["changed"] and "alerts.webhooks" in reloaded.text, reloaded.text
    hook.status = 200
    eventually(lambda: len(hook.headers) == 2, 20, what=lambda: pager(proxy))
    assert "Bearer another" in hook.headers[1].values()


def test_a_hot_restart_hands_alerts_on_and_tells_nobody_twice(tmp_path, webhook, closing):
    away, there = webhook(), webhook().open()
    options = {
        **watching(None, rule(of="config_reload_failed", above=0), rule(name="lasting", of="memory_bytes", above="1B")),
        "alerts.webhooks": [{"name": "away", "url": away.url}, {"name": "there", "url": there.url}],
    }

    def told(hook, name):
        statuses = hook.statuses()
        return [status for status, message in zip(statuses, hook.messages) if message["groupLabels"]["alertname"] == name]

    path = tmp_path / "ringway.yaml"
    path.write_text("{}")
    proxy = closing(Succession(tmp_path, options, arguments=("-c", str(path))))
    path.write_text("nonsense: 1")
    assert proxy.http("POST", "/admin/reload-config").status == 422
    eventually(lambda: told(there, "busy") == told(there, "lasting") == ["firing"], what=lambda: alerts(proxy))
    eventually(lambda: pager(proxy)["failed"] >= 1)
    silence = {"matchers": {"name": "else"}, "for": "1h"}
    proxy.http("POST", "/api/v1/alerts/silences", {"Content-Type": "application/json"}, json.dumps(silence))
    before = alerts(proxy)
    path.write_text("{}")
    proxy.upgrade()
    # A new process has read its configuration: what was wrong is over. Who was told of it hears that; who was away, both.
    eventually_is(proxy, "busy", "resolved")
    after = alerts(proxy)
    assert after["silences"] == before["silences"] != []
    since = lambda shown: {alert["name"]: (alert["fingerprint"], alert["since"]) for alert in shown["alerts"]}
    assert since(after)["lasting"] == since(before)["lasting"] and since(after)["busy"][0] == since(before)["busy"][0]
    away.open()
    for hook in (there, away):
        eventually(lambda: told(hook, "busy") == ["firing", "resolved"], 20, lambda: (hook.messages, alerts(proxy)))
    eventually(lambda: told(away, "lasting") == ["firing"], what=lambda: (away.messages, alerts(proxy)))
    for hook in (there, away):
        firing, resolved = (message["alerts"][0] for message in hook.messages if message["groupLabels"]["alertname"] == "busy")
        assert firing["startsAt"] == resolved["startsAt"] and firing["fingerprint"] == resolved["fingerprint"]
    assert told(there, "lasting") == ["firing"] and len(there.messages) == len(away.messages) == 3
    assert "alert lasting fires" not in proxy.log().split("handing over")[1]
    assert proxy.metrics().by("alert_webhook_deliveries_total", "result")["delivered"] == 6
