"""Another configuration while running: everything of it on every worker, or nothing at all."""

import contextlib
import itertools
import json
import os
import socket
import threading
import time

import pytest

import socks5
from reloading import Reloading
from ringway import address
from targets import echo, listening
from test_openapi import document_of, hold
from test_users import gets_in, works
from tls_files import Authority, serial, serial_of
from waiting import eventually
from websocket_client import WebSocket

ALICE, BOB = ("alice", "secret"), ("bob", "secret")


@pytest.fixture
def reloading(ringway, tmp_path):
    return lambda settings=None, **how: Reloading(ringway, tmp_path, settings, **how)


@pytest.fixture
def standing(reloading, target):
    """A reloading ringway, a server, and a connection that stands between them."""
    file, server = reloading(), target(echo)
    return file, server, file.proxy.tunnel(server.address)


def keys(changes):
    return [change["key"] for change in changes]


# What a reload answers


def test_nothing_changed_is_no_new_generation(standing):
    file, _, connection = standing
    tag = file.tag()
    file.path.write_text("# a comment\n" + file.path.read_text())
    answer = file.reload()
    assert answer.status == 200 and answer.headers["ETag"] == tag == file.tag()
    assert answer.json == {
        "generation": 1, "changed": False, "dry_run": False, "applied": [], "new_connections": [],
        "restart_required": [], "opened": [], "closed": [], "notices": [],
    }  # fmt: skip
    assert file.generations() == {1} and works(connection)


def test_each_key_is_told_with_what_it_was_and_is_by_what_becomes_of_it(reloading):
    file = reloading()
    document = document_of(file.proxy)
    file.set(socks5__limits__connections=50, socks5__timeouts__idle="1m", workers__count=3, log__format="json")
    answer = file.reload()
    hold(document, "POST", "/admin/reload-config", answer)
    told = answer.json
    assert told["changed"] and told["generation"] == 2
    assert told["applied"] == [{"key": "socks5.limits.connections", "from": "auto", "to": 50}]
    assert told["new_connections"] == [{"key": "socks5.timeouts.idle", "from": "15m", "to": "1m"}]
    assert told["restart_required"] == [
        {"key": "workers.count", "running": 2, "configured": 3},
        {"key": "log.format", "running": "text", "configured": "json"},
    ]
    assert answer.headers["ETag"] == file.tag()
    file.all_serve(2)
    assert len(file.proxy.stats()["workers"]) == 2
    # What needs a restart is told again as long as it waits for one, and is shown as it is.
    again = file.reload().json
    assert not again["changed"] and keys(again["restart_required"]) == ["workers.count", "log.format"]
    shown = file.proxy.get("/config").json["workers.count"]
    assert shown == {"value": 2, "origin": "in force until a restart", "reload": "restart"}
    file.proxy.eventually_logs("a restart is needed for (workers.count, log.format)")


def test_a_dry_run_tells_the_same_and_changes_nothing(standing):
    file, server, connection = standing
    tag = file.tag()
    port = listening().getsockname()[1]
    file.set(socks5__deny_targets=["loopback"], socks5__listen=["127.0.0.1:0", f"127.0.0.1:{port}"], workers__count=3)
    answer = file.reload("?dry_run=1")
    assert answer.status == 200 and answer.headers["ETag"] == tag == file.tag()
    told = answer.json
    assert told["dry_run"] and told["changed"] and told["generation"] == 1
    assert keys(told["applied"]) == ["socks5.listen"] and keys(told["new_connections"]) == ["socks5.deny_targets"]
    assert told["opened"] == [] and "would" not in told["notices"][0] and "dry run" in told["notices"][0]
    assert works(file.proxy.tunnel(server.address)) and works(connection)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    file.write("socks5: {listen: 5}\n")
    assert file.faults(file.reload("?dry_run=1"))[0]["key"].startswith("socks5.listen")
    assert file.reload("?dry_rum=1").status == 400
    assert file.generation() == 1


def test_a_reload_can_insist_on_what_it_was_decided_upon(reloading):
    file = reloading()
    first = file.tag()
    file.set(log__level="debug")
    assert file.reload(If_Match=first).status == 200
    file.set(log__level="warn")
    stale = file.reload(If_Match=first)
    assert stale.status == 412 and stale.headers["ETag"] == file.tag() != first
    assert file.value("log.level") == "debug"
    assert file.reload(If_Match=f'"other", {file.tag()}').status == 200
    assert file.value("log.level") == "warn"
    assert file.reload(If_Match="*").status == 200


# Each class of key


def test_live_keys_hold_for_standing_connections(reloading):
    file = reloading()
    client = WebSocket(file.proxy.websocket)
    file.proxy.sockets.append(client)
    assert client.ask(type="ping") == {"type": "pong"}
    told = file.reloaded(websocket__idle_timeout="1s")
    assert keys(told["applied"]) == ["websocket.idle_timeout"]
    client.ended()


def test_limits_hold_at_once_and_cut_nobody(standing):
    file, server, connection = standing
    assert keys(file.reloaded(socks5__limits__connections=1)["applied"]) == ["socks5.limits.connections"]
    assert works(connection)
    assert not gets_in(file.proxy, server, user=None)
    file.reloaded(socks5__limits__connections=2)
    assert gets_in(file.proxy, server, user=None)


def test_new_connections_go_by_the_new_rules_and_standing_ones_by_theirs(standing):
    file, server, connection = standing
    assert keys(file.reloaded(socks5__deny_targets=["loopback"])["new_connections"]) == ["socks5.deny_targets"]
    assert file.proxy.refusal(*server.address) == socks5.NOT_ALLOWED
    assert works(connection)
    file.reloaded(socks5__deny_targets=None)
    assert works(file.proxy.tunnel(server.address)) and works(connection)


def test_listeners_open_and_close_and_their_connections_live_on(standing):
    file, server, connection = standing
    told = file.reloaded(socks5__listen=["127.0.0.1:0", "[::1]:0"])
    assert keys(told["applied"]) == ["socks5.listen"] and told["closed"] == []
    assert [place["key"] for place in told["opened"]] == ["socks5.listen"]
    old, new = file.proxy.socks, address(told["opened"][0]["address"])
    assert works(file.proxy.tunnel(server.address))
    file.proxy.socks = new
    late = file.proxy.tunnel(server.address)
    told = file.reloaded(socks5__listen=["[::1]:0"])
    assert told["opened"] == [] and told["closed"] == [{"key": "socks5.listen", "address": "{}:{}".format(*old)}]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(old)
    assert works(connection) and works(late) and works(file.proxy.tunnel(server.address))


def test_every_service_listens_elsewhere(reloading, tmp_path):
    file = reloading()
    path = str(tmp_path / "control.socket")
    told = file.reloaded(websocket__listen=["[::1]:0"], control__listen=["127.0.0.1:0", "[::1]:0"], control__unix=path)
    opened = {place["key"]: place["address"] for place in told["opened"]}
    assert set(opened) == {"websocket.listen", "control.listen", "control.unix"} and opened["control.unix"] == path
    assert [place["key"] for place in told["closed"]] == ["websocket.listen"]
    client = WebSocket(address(opened["websocket.listen"]))
    assert client.ask(type="ping") == {"type": "pong"}
    client.close()
    former, file.proxy.control = file.proxy.control, address(opened["control.listen"])
    assert file.generation() == 2
    # The answer comes by the listener that closes.
    file.proxy.control = former
    file.set(control__listen=["[::1]:0"])
    told = file.reload().json
    assert {place["key"] for place in told["closed"]} == {"control.listen"}
    eventually(lambda: refuses(former), 5, "the control port is closed")
    file.proxy.control = address(opened["control.listen"])
    assert file.generation() == 3


def refuses(where):
    try:
        socket.create_connection(where, 5).close()
        return False
    except ConnectionRefusedError:
        return True


def test_what_the_control_port_reads_is_live(reloading):
    file = reloading()
    publish = {"channel": "news", "data": 1}
    assert file.post("POST", "/api/publish", publish).status == 200
    file.reloaded(control__test_endpoints=False, control__api_keys=["hunter2-hunter2"], control__connections_max=30)
    assert file.proxy.http("POST", "/api/v1/drill").status == 404
    assert file.post("POST", "/api/publish", publish).status == 401
    assert file.post("POST", "/api/publish", publish, X_API_Key="hunter2-hunter2").status == 200
    told = file.reloaded(control__api_keys=["hunter3-hunter3"])
    assert told["applied"] == [
        {"key": "control.api_keys", "from": ["<redacted>"], "to": ["<redacted>"], "note": "its contents have changed"}
    ]
    assert file.post("POST", "/api/publish", publish, X_API_Key="hunter2-hunter2").status == 401
    assert file.post("POST", "/api/publish", publish, X_API_Key="hunter3-hunter3").status == 200
    assert "hunter" not in file.proxy.log() + file.proxy.get("/config").text + file.proxy.get("/admin/config/generations").text


def test_the_access_log_goes_where_it_is_sent(standing, tmp_path):
    file, server, connection = standing
    lines = tmp_path / "access.log"
    file.reloaded(log__access=str(lines), log__access_format="json")
    connection.close()
    eventually(lambda: lines.exists() and "reason" in lines.read_text(), 5, "a line in the file")
    assert json.loads(lines.read_text())["reason"]
    file.reloaded(log__access="off")
    file.proxy.tunnel(server.address).close()
    file.proxy.eventually_closed("finished", 2)
    assert len(lines.read_text().splitlines()) == 1 and file.proxy.access_lines() == []


def test_users_who_come_go_and_change_are_told_by_name(reloading, target, users_file):
    file, server = reloading(users_file(alice="secret", bob="secret", carol={})), target(echo)
    alice, bob = (gets_in(file.proxy, server, user) for user in (ALICE, BOB))
    assert works(alice) and works(bob)
    users_file(bob="secret", carol={"connections": 3}, dave="secret")
    told = file.reloaded()
    (change,) = told["new_connections"]
    assert change["key"] == "socks5.users_file" and change["from"] == change["to"]
    assert change["note"] == 'users: added "dave"; removed "alice"; changed "carol"'
    file.proxy.eventually_closed("user_removed")
    assert works(bob) and not gets_in(file.proxy, server, ALICE)
    assert gets_in(file.proxy, server, ("dave", "secret"))


def test_certificates_come_with_a_listener_and_follow_their_files_whatever_is_rolled_back(reloading, tmp_path):
    file, authority = reloading(), Authority(tmp_path)
    certificate, key = authority.sign("proxy", "proxy.example")
    pairs = [{"certificate": str(certificate), "key": str(key)}]
    told = file.reloaded(socks5__tls__listen=["127.0.0.1:0"], socks5__tls__certificates=pairs)
    (opened,) = told["opened"]
    where, first = address(opened["address"]), serial_of(certificate)
    assert opened["key"] == "socks5.tls.listen" and serial(where) == first
    authority.sign("proxy", "proxy.example")
    second = serial_of(certificate)
    (change,) = file.reloaded()["new_connections"]
    assert (change["key"], change["note"]) == ("socks5.tls.certificates", "its contents have changed")
    assert serial(where) == second != first
    assert file.post("POST", "/admin/override", {"set": {"log.level": "debug"}}).status == 200
    assert serial(where) == second
    assert file.post("POST", "/admin/config/rollback?generation=2").status == 200
    assert serial(where) == second
    assert file.post("POST", "/admin/config/rollback?generation=1").json["closed"] == [opened]


# What must change nothing


def unreadable_users(file, folder):
    file.set(socks5__auth="password", socks5__users_file=str(folder / "nobody.yaml"))


def bad_users(file, folder):
    (folder / "bad.yaml").write_text("users:\n  - {name: alice}\n")
    file.set(socks5__auth="password", socks5__users_file=str(folder / "bad.yaml"))


def taken_port(file, folder):
    folder.taken = listening()
    file.set(socks5__listen=["127.0.0.1:0", "127.0.0.1:{}".format(folder.taken.getsockname()[1])])


def taken_control_port(file, folder):
    folder.taken = listening()
    file.set(control__listen=["127.0.0.1:0", "127.0.0.1:{}".format(folder.taken.getsockname()[1])])


FAULTS = {
    "no YAML": (lambda file, _: file.write("socks5: {\n"), None, 2),
    "unknown keys and bad values": (
        lambda file, _: file.write("socks5: {lisen: 1}\nlog: {level: loud}\nworkers: {count: no}\n"), "log.level", 2,
    ),
    "keys that contradict each other": (
        lambda file, _: file.set(workers__stalled_after="10s", workers__wedged_after="5s"), "workers.wedged_after", 1,
    ),
    "an open proxy by chance": (lambda file, _: file.set(socks5__listen=["0.0.0.0:0"]), "socks5.listen", 2),
    "a users file that is not there": (unreadable_users, "socks5.users_file", 2),
    "a users file at fault": (bad_users, "users[0].password", 2),
    "a certificate that is not there": (
        lambda file, _: file.set(socks5__tls__certificates=[{"certificate": "no.pem", "key": "no.key"}]),
        "socks5.tls.certificates[0].certificate", 2,
    ),
    "an address that is taken": (taken_port, "socks5.listen", None),
    "a control address that is taken": (taken_control_port, "control.listen", None),
    "a source address that is not ours": (lambda file, _: file.set(socks5__egress__addresses=["192.0.2.1"]), "socks5.egress.addresses", None),
    "an access log that cannot be written": (lambda file, _: file.set(log__access="/nowhere/access.log"), "log.access", None),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_configuration_at_fault_leaves_the_old_one_in_force(standing, tmp_path, name):
    file, server, connection = standing
    document, tag = document_of(file.proxy), file.tag()
    spoil, key, _ = FAULTS[name]

    class Folder(type(tmp_path)):
        taken = None

    folder = Folder(tmp_path)
    good = dict(file.settings)
    # Something that would be applied, were all well.
    file.settings.update({"socks5.deny_targets": ["loopback"]})
    spoil(file, folder)
    answer = file.reload()
    faults = file.faults(answer)
    hold(document, "POST", "/admin/reload-config", answer)
    assert any(fault["key"] == key for fault in faults), faults
    if name == "unknown keys and bad values":
        assert len(faults) == 3 and {fault["line"] for fault in faults} == {1, 2, 3}
        assert all(fault["source"] == str(file.path) and fault["column"] for fault in faults)
    assert file.tag() == tag and file.generation() == 1 and file.generations() == {1}
    assert works(connection) and works(file.proxy.tunnel(server.address))
    metrics = file.proxy.metrics()
    assert metrics("config_last_reload_successful") == 0
    assert metrics("config_reloads_total", result="failed") == 1
    file.settings = good
    assert file.reloaded(log__level="debug")["generation"] == 2
    assert file.proxy.metrics()("config_last_reload_successful") == 1
    if folder.taken:
        folder.taken.close()


def test_a_pipe_is_not_waited_for(reloading, tmp_path):
    file = reloading()
    pipe = tmp_path / "users.pipe"
    os.mkfifo(pipe)
    file.set(socks5__auth="password", socks5__users_file=str(pipe))
    assert "no regular file" in file.faults()[0]["message"]
    file.path.unlink()
    os.mkfifo(file.path)
    (fault,) = file.faults()
    assert fault["source"] == str(file.path) and "no regular file" in fault["message"] and fault["line"] is None


def test_a_worker_that_does_not_answer_keeps_all_on_the_old_one(standing):
    file, server, connection = standing
    document = document_of(file.proxy)
    assert file.proxy.http("POST", "/api/v1/drill?kind=stall&worker=1&ms=4000").status == 202
    file.set(socks5__deny_targets=["loopback"])
    answer = file.reload()
    hold(document, "POST", "/admin/reload-config", answer)
    assert answer.status == 503 and answer.json["workers"] == [1] and "nothing has changed" in answer.json["detail"]
    assert file.generation() == 1
    eventually(lambda: file.proxy.get("/livez").status == 200, 10, "the worker is back")
    assert file.generations() == {1} and works(connection) and works(file.proxy.tunnel(server.address))
    assert file.reload().status == 200
    file.all_serve(2)
    assert file.proxy.refusal(*server.address) == socks5.NOT_ALLOWED


def test_a_drain_is_not_reloaded(standing):
    file, _, connection = standing
    file.proxy.process.terminate()
    eventually(lambda: file.proxy.get("/readyz").status == 503, 5, "draining")
    assert file.reload().status == 409
    connection.close()
    assert file.proxy.exit_code() == 0


# By a signal


def test_sighup_reloads_and_says_in_the_log_what_came_of_it(standing):
    file, server, connection = standing
    file.set(socks5__deny_targets=["loopback"], workers__count=3)
    file.hang_up()
    file.proxy.eventually_logs("reload by SIGHUP: generation 2, 0 keys applied, 1 for new connections (socks5.deny_targets)")
    file.all_serve(2)
    file.write("socks5: {lisen: 1}\nlog: {level: loud}\n")
    file.hang_up()
    file.proxy.eventually_logs('log.level: "loud" is not one of')
    assert f"{file.path}:1:10: socks5.lisen: unknown key" in file.proxy.log()
    assert file.generation() == 2 and works(connection)


def test_many_signals_at_once_end_with_the_last_file(reloading):
    file = reloading()
    for count in range(1, 30):
        file.set(socks5__limits__connections=count)
        file.hang_up()
    eventually(lambda: file.value("socks5.limits.connections") == 29, 10, "the last one")
    file.all_serve(file.generation())


# Back again


def test_generations_are_kept_and_rolled_back_to(reloading, target, users_file):
    file, server = reloading(users_file(alice="secret")), target(echo)
    document = document_of(file.proxy)
    users_file(bob="secret")
    file.reloaded(socks5__timeouts__idle="5m")
    for level in ("debug", "warn"):
        file.reloaded(log__level=level)
    answer = file.proxy.get("/admin/config/generations")
    hold(document, "GET", "/admin/config/generations", answer)
    listed = answer.json["generations"]
    assert [(one["generation"], one["in_force"]) for one in listed] == [(4, True), (3, False), (2, False), (1, False)]
    assert keys(listed[2]["changes"]) == ["socks5.users_file", "socks5.timeouts.idle"] and listed[3]["by"] == "start"

    # The users file of then, which is no longer there.
    back = file.post("POST", "/admin/config/rollback?generation=1")
    hold(document, "POST", "/admin/config/rollback", back)
    assert back.status == 200 and back.json["generation"] == 5
    assert set(keys(back.json["applied"]) + keys(back.json["new_connections"])) == {"log.level", "socks5.users_file", "socks5.timeouts.idle"}
    file.all_serve(5)
    assert gets_in(file.proxy, server, ALICE) and not gets_in(file.proxy, server, BOB)
    # Without a number: what was before.
    assert file.post("POST", "/admin/config/rollback?dry_run=1").json["changed"]
    assert file.post("POST", "/admin/config/rollback").json["generation"] == 6
    assert file.value("log.level") == "warn" and gets_in(file.proxy, server, BOB)
    for number, status in ((99, 404), (0, 400), ("x", 400)):
        assert file.post("POST", f"/admin/config/rollback?generation={number}").status == status
    # The file is as it was.
    assert file.reload().json["changed"] is False


def test_the_last_ten_generations_are_kept(reloading):
    file = reloading()
    assert file.post("POST", "/admin/config/rollback").status == 404
    for count in range(1, 14):
        file.reloaded(socks5__limits__connections=count)
    numbers = [one["generation"] for one in file.proxy.get("/admin/config/generations").json["generations"]]
    assert numbers == list(range(14, 3, -1))
    assert file.post("POST", "/admin/config/rollback?generation=4").status == 200
    assert file.value("socks5.limits.connections") == 3
    assert file.post("POST", "/admin/config/rollback?generation=3").status == 404


# For a time


def test_a_key_is_set_for_a_time_and_returns(standing):
    file, server, connection = standing
    document = document_of(file.proxy)
    answer = file.post("POST", "/admin/override", {"set": {"socks5.limits.connections": 1, "socks5.commands": ["connect"]}, "for": "2s"})
    hold(document, "POST", "/admin/override", answer)
    assert answer.status == 200 and keys(answer.json["applied"]) == ["socks5.limits.connections"]
    file.all_serve(2)
    listed = file.proxy.get("/admin/override")
    hold(document, "GET", "/admin/override", listed)
    assert {one["key"]: one["value"] for one in listed.json["overrides"]} == {
        "socks5.limits.connections": 1,
        "socks5.commands": ["connect"],
    }
    shown = file.proxy.get("/config").json["socks5.limits.connections"]
    assert shown["origin"] == f"override until {shown['until']}" and shown["value"] == 1
    hold(document, "GET", "/config", file.proxy.get("/config"))
    # A reload keeps it, and what it says of other keys holds.
    told = file.reloaded(socks5__limits__connections=7, log__level="debug")
    assert keys(told["applied"]) == ["log.level"]
    assert not gets_in(file.proxy, server, user=None) and works(connection)
    eventually(lambda: file.value("socks5.limits.connections") == 7, 10, "its time is over")
    assert file.proxy.get("/admin/override").json == {"overrides": []}
    assert file.value("socks5.commands") == ["connect", "bind", "udp_associate"]
    file.proxy.eventually_logs("end of an override by clock")
    file.all_serve(file.generation())
    assert gets_in(file.proxy, server, user=None)


def test_what_holds_only_while_a_key_is_set_for_a_time_is_told(reloading, users_file):
    file = reloading(users_file(alice="secret"))
    assert file.post("POST", "/admin/override", {"set": {"socks5.auth": "none"}, "for": "2s"}).status == 200
    told = file.reloaded(socks5__users_file="missing.yaml")
    assert len(told["notices"]) == 1 and "socks5.users_file" in told["notices"][0], told
    refusal = "end of an override by clock refused"
    file.proxy.eventually_logs(refusal)
    # It is tried again after 5 s, and not told again.
    tried_again = time.monotonic() + 6
    eventually(lambda: time.monotonic() > tried_again, 10)
    assert file.proxy.log().count(refusal) == 1 and file.value("socks5.auth") == "none"
    assert file.reloaded(**users_file(alice="secret"))["notices"] == []
    eventually(lambda: file.value("socks5.auth") == "password", 10)


def test_what_is_set_for_a_time_can_return_sooner(reloading):
    file = reloading()
    document = document_of(file.proxy)
    values = {"socks5.limits.connections": 5, "log.level": "debug", "socks5.timeouts.idle": "1m"}
    assert file.post("POST", "/admin/override", {"set": values, "for": "1h"}).status == 200
    # What does not change anything by itself is set as well.
    assert file.post("POST", "/admin/override", {"set": {"websocket.echo": False}}).json["generation"] == 3
    answer = file.post("DELETE", "/admin/override?key=log.level")
    hold(document, "DELETE", "/admin/override", answer)
    assert answer.status == 200 and file.value("log.level") == "info"
    assert file.post("DELETE", "/admin/override?key=log.level").status == 404
    assert len(file.proxy.get("/admin/override").json["overrides"]) == 3
    assert file.post("DELETE", "/admin/override").status == 200
    assert file.proxy.get("/admin/override").json["overrides"] == [] and file.value("socks5.timeouts.idle") == "15m"
    # A rollback brings them back, for what is left of their time.
    assert file.post("POST", "/admin/config/rollback?generation=3").status == 200
    assert len(file.proxy.get("/admin/override").json["overrides"]) == 4


@pytest.mark.parametrize(
    "body, status, told",
    [
        ({"set": {"socks5.listen": ["127.0.0.1:1"]}}, 422, "listeners"),
        ({"set": {"workers.count": 1}}, 422, "restart"),
        ({"set": {"socks5.colour": 1, "workers.count": 1}}, 422, "unknown key"),
        ({"set": {"socks5.limits.connections": "many"}}, 422, "write a number"),
        ({"set": {"socks5.limits.connections": None}}, 422, "null"),
        ({"set": {"workers.stalled_after": "1m"}}, 422, "workers.wedged_after"),
        ({"set": {"log.level": "debug"}, "for": "8d"}, 422, "too long"),
        ({"set": {"log.level": "debug"}, "for": "soon"}, 422, "for: "),
        ({"set": {}}, 400, "no key"),
        ({"set": {"log.level": "debug"}, "four": "1h"}, 400, "four"),
        ([1], 400, "cannot be understood"),
    ],
)
def test_what_cannot_be_set_for_a_time_changes_nothing(reloading, body, status, told):
    file = reloading()
    document = document_of(file.proxy)
    answer = file.post("POST", "/admin/override", body)
    hold(document, "POST", "/admin/override", answer)
    assert answer.status == status and told in answer.text, answer.text
    assert file.generation() == 1 and file.proxy.metrics()("config_last_reload_successful") == 1


@pytest.mark.parametrize("key, value", [("log.control", "{}/x"), ("socks5.users_file", "{}/pipe"), ("control.insecure", "true"), ("control.tokens", "[]")])
def test_no_request_names_files_or_widens_the_control_port(reloading, tmp_path, key, value):
    os.mkfifo(tmp_path / "pipe")
    file = reloading()
    answer = file.post("POST", "/admin/override", {"set": {key: value.format(tmp_path)}})
    assert answer.status == 422 and "write it in the file" in answer.text, answer.text
    assert file.proxy.get("/livez").status == 200 and not (tmp_path / "x").exists()


# Log levels


def test_a_module_is_listened_to_for_a_time(standing):
    file, server, _ = standing
    document = document_of(file.proxy)
    answer = file.post("PUT", "/admin/log", {"level": "debug", "module": "ringway_dataplane::io", "for": "1h"})
    hold(document, "PUT", "/admin/log", answer)
    assert answer.status == 200
    listed = file.proxy.get("/admin/log")
    hold(document, "GET", "/admin/log", listed)
    (one,) = listed.json["set"]
    assert (one["module"], one["level"], listed.json["level"]) == ("ringway_dataplane::io", "debug", "info")
    assert file.post("DELETE", "/admin/log?module=hub").status == 404
    answer = file.post("DELETE", "/admin/log?module=ringway_dataplane::io")
    hold(document, "DELETE", "/admin/log", answer)
    assert answer.json["set"] == []


def test_the_log_level_returns_on_time_and_follows_a_reload(reloading):
    file = reloading()
    file.reloaded(log__level="error")
    assert "reload by" not in file.proxy.log(), "it holds for the line that tells of it, which is information"
    assert file.post("PUT", "/admin/log", {"level": "info", "for": "1s"}).status == 200
    file.reloaded(socks5__limits__connections=6)
    file.proxy.eventually_logs("reload by anybody: generation 3")
    eventually(lambda: file.proxy.get("/admin/log").json["set"] == [], 5, "its time is over")
    file.reloaded(socks5__limits__connections=7)
    assert "reload by anybody: generation 4" not in file.proxy.log()
    file.reloaded(log__level="info")
    file.proxy.eventually_logs("reload by anybody: generation 5")


@pytest.mark.parametrize(
    "body, status",
    [
        ({"level": "loud"}, 422),
        ({"level": "debug", "module": "a=trace,b"}, 422),
        ({"level": "debug", "for": "1y"}, 422),
        ({"module": "x"}, 400),
        ({"level": "debug", "modul": "x"}, 400),
    ],
)
def test_log_levels_that_make_no_sense_are_refused(reloading, body, status):
    file = reloading()
    answer = file.post("PUT", "/admin/log", body)
    assert answer.status == status, answer.text
    assert file.proxy.get("/admin/log").json == {"level": "info", "set": []}


# All of it under load


class Clients(threading.Thread):
    """Connects, echoes and closes, over and over; what failed."""

    def __init__(self, proxy, server, stop):
        super().__init__(daemon=True)
        self.proxy, self.server, self.stop, self.served, self.failed = proxy, server, stop, 0, []
        self.start()

    def run(self):
        while not self.stop.is_set():
            try:
                with contextlib.closing(socket.create_connection(self.proxy.socks, 20)) as connection:
                    socks5.handshake(connection, None)
                    connection.sendall(socks5.request(*self.server.address))
                    reply = socks5.read_reply(connection)
                    assert reply.code == socks5.SUCCEEDED, reply
                    connection.sendall(b"ping")
                    assert socks5.receive_exactly(connection, 4) == b"ping"
                self.served += 1
            except (OSError, AssertionError) as fault:
                self.failed.append(repr(fault))
                if len(self.failed) > 10:
                    return


def test_200_reloads_good_and_bad_lose_nobody_and_leave_all_workers_alike(reloading, target):
    file, server = reloading(), target(echo)
    held, stop = [file.proxy.tunnel(server.address) for _ in range(16)], threading.Event()
    clients = [Clients(file.proxy, server, stop) for _ in range(4)]
    taken = listening()
    port = taken.getsockname()[1]
    first = dict(file.settings)
    bad = itertools.cycle(
        [
            lambda: file.write("socks5: {"),
            lambda: file.set(workers__stalled_after="10s", workers__wedged_after="5s"),
            lambda: file.set(socks5__auth="password", socks5__users_file="nobody.yaml"),
            lambda: file.set(socks5__listen=["127.0.0.1:0", f"127.0.0.1:{port}"]),
            lambda: file.set(log__access="/nowhere/access.log"),
        ]
    )
    good, statuses = 0, []
    for turn in range(200):
        file.settings = dict(first)
        if turn % 2:
            next(bad)()
        else:
            good += 1
            listen = ["127.0.0.1:0", "[::1]:0"] if good % 2 else ["127.0.0.1:0"]
            file.set(socks5__limits__connections=1000 + turn, socks5__timeouts__idle=f"{600 + turn}s", socks5__listen=listen)
        statuses.append(file.reload().status)
    stop.set()
    for client in clients:
        client.join(30)
    assert statuses == [200, 422] * 100
    assert not [fault for client in clients for fault in client.failed]
    assert sum(client.served for client in clients) > 200
    assert file.generation() == good + 1
    file.all_serve(good + 1)
    assert all(map(works, held))
    metrics = file.proxy.metrics()
    assert metrics("config_generation") == good + 1
    assert (metrics("config_reloads_total", result="succeeded"), metrics("config_reloads_total", result="failed")) == (100, 100)
    taken.close()


def test_who_hangs_up_at_once_is_written_down_with_what_they_changed(reloading, tmp_path):
    audit = tmp_path / "audit.log"
    file = reloading({"log.audit": str(audit), "log.access_format": "json"})
    body = json.dumps({"set": {"socks5.limits.connections": 12}, "for": "1h"})
    with socket.create_connection(file.proxy.control) as client:
        client.sendall(
            f"POST /admin/override HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
    lines = eventually(lambda: "generation 2" in audit.read_text() and audit.read_text().splitlines(), what=audit.read_text)
    told = [json.loads(line) for line in lines]
    assert "socks5.limits.connections" in told[-1]["difference"] and told[-1]["result"] == "done"
    assert all(line["by"] == told[0]["by"] for line in told) and file.value("socks5.limits.connections") == 12


@pytest.mark.parametrize("onward", ["off", "stderr", "/dev/null"])
def test_an_audit_log_that_is_left_says_by_whom_and_where_it_goes_on(reloading, tmp_path, onward):
    audit = tmp_path / "audit.log"
    file = reloading({"log.audit": str(audit), "log.access_format": "json"})
    file.set(log__audit=onward)
    assert file.reload().status == 200
    [left] = [json.loads(line) for line in audit.read_text().splitlines()]
    assert (left["action"], left["result"], left["difference"]) == ("log.audit", "done", f"goes on in {onward}")
    assert left["by"] == file.proxy.get("/admin/config/generations").json["generations"][0]["by"]
