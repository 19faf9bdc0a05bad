"""`ringway ctl`: each command against a running ringway, as tables and as JSON, and what it says when the answer is no or there is none."""

import hashlib
import http.server
import json
import re
import socket
import threading

import pytest

from ringway import run
from targets import echo
from tls_files import Authority
from waiting import eventually

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
NAMESPACES = '[{prefix: "", publish: anyone, history: {size: 10, ttl: 1m}, presence: true}]'


@pytest.fixture
def ctl(ringway):
    """A ringway and its client: `ctl("status")`."""
    proxy = ringway({"websocket.namespaces": NAMESPACES, "workers.count": 2})

    def ask(*words, **how):
        return run("ctl", "--control", proxy.control_text, *words, **how)

    ask.proxy = proxy
    return ask


def of(proxy, *words, **how):
    return run("ctl", "--control", proxy.control_text, *words, **how)


def done(answer):
    assert answer.returncode == DONE and answer.stderr == "", f"{answer.returncode}: {answer.stdout}{answer.stderr}"
    return answer.stdout


# What it shows


@pytest.mark.parametrize("command", ["health", "stats", "live", "ready", "config", "info", "channels", "openapi"])
def test_json_is_what_the_control_port_answered(ctl, command):
    said = json.loads(done(ctl(command, "--json")))
    assert isinstance(said, dict) and said
    table = done(ctl(command))
    assert table and "\x1b" not in table
    if command == "openapi":
        assert json.loads(table) == said, "a document for programs is never a table"
    else:
        assert not table.startswith("{")


def test_status_tells_the_most_asked_in_few_lines(ctl, target):
    ctl.proxy.tunnel(target(echo).address)

    def lines():
        return dict(line.split(None, 1) for line in done(ctl("status")).splitlines())

    assert lines()["status"] == "ok" and lines()["workers"] == "2" and lines()["generation"] == "1"
    eventually(lambda: lines()["socks5"].startswith("1 open, 1 in all"), what=lines)


def test_metrics_and_keys_are_found_by_a_part_of_their_name(ctl):
    lines = done(ctl("metrics", "worker_busy_sec")).splitlines()
    assert len(lines) == 2 and all(line.startswith('worker_busy_seconds_total{worker="') for line in lines)
    assert "# HELP" in done(ctl("metrics"))
    keys = [line.split()[0] for line in done(ctl("config", "socks5.auth")).splitlines()]
    assert keys[0] == "NAME" and keys[1] == "socks5.auth"


def test_lists_are_tables_with_a_row_for_each(ctl):
    table = done(ctl("info")).splitlines()
    assert table[0] == "nodes:" and table[1].split()[:2] == ["UID", "NAME"] and len(table) == 3


def test_the_index_and_any_path_can_be_asked_for(ctl):
    assert "/livez" in done(ctl("routes"))
    assert json.loads(done(ctl("get", "/livez", "--json"))) == {"status": "ok"}
    assert done(ctl("post", "/api/info", "{}")).startswith("nodes:")
    assert json.loads(done(ctl("post", "/api/info", "{}", "--json")))["result"]


def test_an_answer_goes_to_a_file(ctl, tmp_path):
    done(ctl("stats", "-o", tmp_path / "stats.json"))
    assert json.loads((tmp_path / "stats.json").read_text())["connections"]


# What it does


def test_messages_are_published_and_asked_for(ctl, websocket):
    client = websocket(ctl.proxy).subscribe("news.a")
    done(ctl("publish", "news.a", '{"title": "Hello"}'))
    assert client.heard()["data"] == {"title": "Hello"}
    done(ctl("publish", "news.a", "plain words"))
    assert client.heard()["data"] == "plain words"
    done(ctl("broadcast", "7", "news.a", "news.b"))
    assert client.heard()["data"] == 7
    history = json.loads(done(ctl("history", "news.a", "--limit", "-1", "--json")))["result"]
    assert [entry["data"] for entry in history["publications"]] == [{"title": "Hello"}, "plain words", 7]
    assert json.loads(done(ctl("presence-stats", "news.a", "--json")))["result"]["num_clients"] == 1
    assert len(json.loads(done(ctl("presence", "news.a", "--json")))["result"]["presence"]) == 1
    assert "news.a" in done(ctl("channels", "news.*"))
    batch = json.dumps([{"publish": {"channel": "news.a", "data": 1}}, {"info": {}}])
    assert len(json.loads(done(ctl("batch", batch, "--json")))["replies"]) == 2
    assert json.loads(done(ctl("command", "info", "--json")))["result"]["nodes"]
    for command in (("unsubscribe", "--user", "nobody"), ("disconnect", "--user", "nobody"), ("subscribe", "news.a", "--user", "nobody")):
        done(ctl(*command))
    done(ctl("history-remove", "news.a"))
    assert json.loads(done(ctl("history", "news.a", "--limit", "-1", "--json")))["result"]["publications"] == []


def test_what_others_wrote_cannot_steer_the_terminal(ctl):
    done(ctl("publish", "news.a", '"\\u001b[2J\\u009b31m\\u202eevil"'))
    table = ctl("history", "news.a", "--limit", "1").stdout
    assert "\\u{1b}[2J" in table and not any(ord(c) < 32 and c != "\n" or ord(c) in (0x9B, 0x202E) for c in table)


# What it says when the answer is no


def test_a_refusal_is_told_with_its_detail_and_hint(ctl):
    refused = ctl("get", "/no/such/path")
    assert refused.returncode == REFUSED and refused.stdout == ""
    assert refused.stderr.splitlines() == ["ringway ctl: 404 Not Found: no such path: /no/such/path", "hint: GET / lists the paths"]
    told = ctl("publish", "a b", "1")
    assert told.returncode == REFUSED and "code 107" in told.stderr and "hint:" in told.stderr
    raw = ctl("get", "/no/such/path", "--json")
    assert raw.returncode == REFUSED and json.loads(raw.stdout)["status"] == 404


def test_a_command_line_that_is_wrong_asks_nobody(ctl):
    for words in ([], ["fly"], ["publish", "a"], ["history", "a", "--limit", "x"], ["get", "stats"], ["--control", "ftp://x", "live"], ["--timeout", "0", "live"]):
        wrong = run("ctl", *words)
        assert wrong.returncode == USAGE and wrong.stderr, words


def test_what_is_ill_is_shown_and_is_not_0(ringway):
    proxy = ringway({"control.test_endpoints": "true", "workers.count": 2, "workers.stalled_after": "200ms"})
    run("ctl", "--control", proxy.control_text, "post", "/api/v1/drill?kind=stall&worker=1&ms=1500")
    ill = eventually(lambda: (answer := of(proxy, "status")).returncode == REFUSED and answer)
    assert "stalled" in ill.stdout and '"worker":1' in ill.stdout
    eventually(lambda: of(proxy, "live").returncode == DONE)


# Where it asks


def test_nobody_there_is_an_exit_code_of_its_own(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        nobody = run("ctl", "--control", f"127.0.0.1:{port}", "status")
    assert nobody.returncode == UNREACHABLE
    assert f"127.0.0.1:{port}" in nobody.stderr and "hint: is ringway running" in nobody.stderr
    missing = run("ctl", "--control", f"unix:{tmp_path}/none.sock", "status")
    assert missing.returncode == UNREACHABLE and "none.sock" in missing.stderr


def test_silence_is_waited_for_as_long_as_was_said():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = run("ctl", "--control", "127.0.0.1:{}".format(silent.getsockname()[1]), "--timeout", "1", "live")
    assert answer.returncode == UNREACHABLE and "within 1 s" in answer.stderr


def test_something_else_that_answers_is_not_taken_for_ringway():
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer_in_another_tongue():
            connection, _ = other.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
            connection.close()

        thread = threading.Thread(target=answer_in_another_tongue)
        thread.start()
        answer = run("ctl", "--control", "127.0.0.1:{}".format(other.getsockname()[1]), "live")
        thread.join()
    assert answer.returncode == UNREACHABLE and "is this a control port?" in answer.stderr


def test_the_control_port_is_found_by_environment_and_by_configuration(ringway, tmp_path):
    proxy = ringway()
    assert run("ctl", "live", env={"RINGWAY_CONTROL": f"http://{proxy.control_text}/"}).returncode == DONE
    file = tmp_path / "ringway.yaml"
    file.write_text(f"control: {{listen: ['0.0.0.0:{proxy.control[1]}'], insecure: true}}\n")
    assert run("ctl", "-c", file, "live").returncode == DONE
    assert run("ctl", "live", "--config", file).returncode == DONE
    assert run("ctl", "live", env={"CONFIG_FILE": str(file)}).returncode == DONE
    assert run("ctl", "--set", f"control.listen={proxy.control_text}", "live").returncode == DONE
    file.write_text("control: {listen: []}\n")
    none = run("ctl", "-c", file, "live")
    assert none.returncode == USAGE and "--control" in none.stderr
    assert run("ctl", "-c", file, "--control", proxy.control_text, "live").returncode == DONE
    # The variables are the client's: a ringway that finds them in its environment starts all the same.
    ringway(env={"RINGWAY_CONTROL": "http://127.0.0.1:1", "RINGWAY_TOKEN": "secret"})


def test_a_unix_socket_is_spoken_to_and_preferred_where_it_may_be(ringway, tmp_path):
    path = tmp_path / "ringway.sock"
    proxy = ringway({"control.unix": str(path)})
    assert done(run("ctl", "--control", f"unix:{path}", "live")).split() == ["status", "ok"]
    file = tmp_path / "ringway.yaml"
    file.write_text(f"control: {{unix: '{path}', listen: ['127.0.0.1:1']}}\n")
    done(run("ctl", "-c", file, "live"))
    file.write_text(f"control: {{unix: '{tmp_path}/none', listen: ['{proxy.control_text}']}}\n")
    done(run("ctl", "-c", file, "live"))


def test_over_tls_the_authority_decides(ringway, tmp_path):
    authority = Authority(tmp_path)
    certificate, key = authority.sign("control", "localhost")
    listeners = {"control.tls.listen": "[127.0.0.1:0]", "control.tls.certificates": f"[{{certificate: {certificate}, key: {key}}}]"}
    log = ringway(listeners).eventually_logs("control_tls=")
    url = "https://" + re.search(r"control_tls=(\S+)", log)[1]
    done(run("ctl", "--control", url, "--ca", authority.certificate, "live"))
    strange = run("ctl", "--control", url, "live")
    assert strange.returncode == UNREACHABLE and "--ca" in strange.stderr
    half = run("ctl", "--control", url, "--ca", authority.certificate, "--cert", certificate, "live")
    assert half.returncode == USAGE and "belong together" in half.stderr
    none = run("ctl", "--control", url, "--ca", key, "live")
    assert none.returncode == USAGE and "no certificate" in none.stderr


# Who asks


@pytest.fixture
def listening(closing):
    """A server that keeps the headers of what it is asked: `address, heard = listening()`."""

    def start():
        heard = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                heard.append(self.headers)
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_GET

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        class Closing:
            def close(self):
                server.shutdown()
                server.server_close()

        closing(Closing())
        return "127.0.0.1:{}".format(server.server_address[1]), heard

    return start


def test_the_token_comes_from_a_file_or_the_environment_and_never_from_the_command_line(listening, tmp_path):
    address, heard = listening()
    file = tmp_path / "token"
    file.write_text("from-the-file\n")
    done(run("ctl", "--control", address, "live"))
    done(run("ctl", "--control", address, "live", env={"RINGWAY_TOKEN": "from-the-environment"}))
    done(run("ctl", "--control", address, "--token-file", file, "live", env={"RINGWAY_TOKEN": "from-the-environment"}))
    assert [said.get("Authorization") for said in heard] == [None, "Bearer from-the-environment", "Bearer from-the-file"]
    file.write_text("two words\n")
    wrong = run("ctl", "--control", address, "--token-file", file, "live")
    assert wrong.returncode == USAGE and "one word" in wrong.stderr and "two words" not in wrong.stderr
    assert run("ctl", "--control", address, "--token-file", tmp_path / "none", "live").returncode == USAGE
    evil = run("ctl", "--control", address, "live", env={"RINGWAY_TOKEN": "a\r\nHost: b"})
    assert evil.returncode == USAGE and len(heard) == 3


def test_who_may_not_is_refused_with_a_hint(ringway, tmp_path):
    digest = hashlib.sha256(b"a-token-that-only-looks-on").hexdigest()
    proxy = ringway({"control.tokens": f"[{{name: looker, scope: read, token: '{{sha256}}{digest}'}}]", "control.metrics_open": "true"})
    here = ("ctl", "--control", proxy.control_text)
    nobody = run(*here, "stats")
    assert nobody.returncode == REFUSED and "401" in nobody.stderr and "hint:" in nobody.stderr
    wrong = run(*here, "stats", env={"RINGWAY_TOKEN": "another-token-that-is-none"})
    assert wrong.returncode == REFUSED and "401" in wrong.stderr
    looker = {"RINGWAY_TOKEN": "a-token-that-only-looks-on"}
    done(run(*here, "stats", env=looker))
    too_low = run(*here, "reload", env=looker)
    assert too_low.returncode == REFUSED and "403" in too_low.stderr
    document = json.loads(done(run(*here, "openapi", env=looker)))
    assert {} not in document["paths"]["/stats"]["get"]["security"]


def test_connections_are_listed_shown_and_killed(ctl, target):
    ctl.proxy.tunnel(target(echo).address)
    table = done(ctl("connections", "list", "--service", "socks5")).splitlines()
    assert any(line.strip().startswith("ID") for line in table)
    one = json.loads(done(ctl("connections", "list", "--json")))["connections"][0]["id"]
    assert json.loads(done(ctl("connections", "show", one, "--json")))["id"] == one
    done(ctl("connections", "kill", "--filter", "service=socks5", "--dry-run"))
    assert json.loads(done(ctl("connections", "list", "--json")))["connections"]
    done(ctl("connections", "kill", one, "--reason", "enough"))
    eventually(lambda: json.loads(done(ctl("connections", "list", "--json")))["connections"] == [])
    assert ctl("connections", "kill", one).returncode == REFUSED
    done(ctl("top"))


def test_a_configuration_is_changed_for_a_time_and_rolled_back(ctl):
    done(ctl("reload", "--dry-run"))
    done(ctl("override", "set", "log.level=debug", "--for", "10m"))
    assert "log.level" in done(ctl("override", "list"))
    assert "debug" in done(ctl("config", "log.level"))
    done(ctl("override", "clear", "log.level"))
    assert "generation" in done(ctl("generations")).lower()
    done(ctl("rollback", "1", "--dry-run"))
    stale = ctl("reload", "--if-match", '"old"')
    assert stale.returncode == REFUSED and "412" in stale.stderr
    done(ctl("log", "set", "debug", "--for", "1m"))
    done(ctl("log", "clear"))


@pytest.mark.parametrize("command", ["memory", "collect", "flight", "hist", "generations"])
def test_what_goes_on_within_is_shown(ctl, command):
    assert done(ctl(command))
    assert json.loads(done(ctl(command, "--json")))


def test_a_drain_is_begun_watched_and_taken_back(ctl):
    done(ctl("drain", "--for", "10m"))
    assert ctl("ready").returncode == REFUSED
    assert json.loads(done(ctl("drain", "status", "--json")))["state"] in ("grace", "draining")
    done(ctl("undrain"))
    done(ctl("ready"))


def test_help_tells_every_command(ctl):
    text = done(run("ctl", "--help"))
    for word in ("status", "config", "metrics", "publish", "openapi", "--control", "--token-file", "Exit code"):
        assert word in text
