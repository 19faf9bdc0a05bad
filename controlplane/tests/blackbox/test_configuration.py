"""The configuration as its writer meets it: files, --set, environment, and what faults are told."""

import json
import re

import pytest

from ringway import FREE_PORTS, run, set_arguments
from targets import echo

FAULTY = 2
FREE = set_arguments(FREE_PORTS)

FAULTY_FILE = """\
workers:
  count: many
socks5:
  lissten: ["127.0.0.1:1080"]
  auth: pasword
  timeouts:
    handshake: 10 parsecs
control:
  listen: ["nowhere"]
"""


@pytest.fixture
def file(tmp_path):
    """Writes a configuration file."""

    def write(text):
        path = tmp_path / "ringway.yaml"
        path.write_text(text)
        return path

    return write


def test_check_shows_every_fault_at_its_place_with_a_suggestion(file):
    path = file(FAULTY_FILE)
    checked = run("check", "-c", path)
    said = checked.stdout + checked.stderr
    assert checked.returncode == FAULTY, said
    for line in (2, 4, 5, 7, 9):
        assert re.search(rf"(\b|:){line}:\d+", said), f"the fault of line {line} is missing:\n{said}"
    assert "listen" in said and "did you mean" in said.lower()
    assert "password" in said


def test_check_accepts_a_good_file_silently_enough(file):
    checked = run("check", "-c", file("socks5: {limits: {connections: 10}}\n"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "panicked" not in checked.stderr


def test_a_faulty_file_does_not_start(file):
    started = run("-c", file(FAULTY_FILE), *FREE)
    assert started.returncode == FAULTY
    assert "did you mean" in started.stderr.lower()


def test_a_missing_file_is_said_by_its_name(tmp_path):
    started = run("-c", tmp_path / "absent.yaml", *FREE)
    assert started.returncode == FAULTY
    assert "absent.yaml" in started.stderr


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("socks5.lissten=[]", 'did you mean "listen"'),
        ("socks5.auth=maybe", "password"),
        ("workers.count=-1", "workers.count"),
        ("nonsense", "nonsense"),
        ("socks5.timeouts.idle=fast", "socks5.timeouts.idle"),
    ],
)
def test_a_wrong_set_is_refused_with_a_hint(argument, hint):
    started = run(*FREE, "--set", argument)
    assert started.returncode == FAULTY, started.stderr
    assert hint in started.stderr


def test_an_unknown_option_is_refused():
    assert run("--no-such-option").returncode == FAULTY


def test_a_users_file_that_is_missing_is_said_by_its_name():
    started = run(*FREE, "--set", "socks5.auth=password", "--set", "socks5.users_file=absent-users.yaml")
    assert started.returncode == FAULTY
    assert "absent-users.yaml" in started.stderr


def test_a_users_file_that_is_faulty_is_said_with_its_place(users_file, tmp_path):
    options = users_file(alice="secret")
    (tmp_path / "users.yaml").write_text("users:\n  - {name: alice}\n  - {name: '', password: '{plain}x'}\n")
    started = run(*set_arguments({**FREE_PORTS, **options}))
    assert started.returncode == FAULTY
    assert re.search(r"\b2:\d+", started.stderr) and re.search(r"\b3:\d+", started.stderr)


def test_the_environment_overrides_the_file_and_set_overrides_both(file):
    path = file("socks5: {limits: {connections: 1}, timeouts: {idle: 1m}}\nlog: {level: warn}\n")
    env = {"RINGWAY_SOCKS5__LIMITS__CONNECTIONS": "2", "RINGWAY_LOG__LEVEL": "debug"}
    shown = run("config", "effective", "-c", path, "--set", "log.level=error", env=env).stdout
    assert re.search(r"connections:\s*2\b", shown)
    assert re.search(r"level:\s*\"?error", shown)
    assert re.search(r"idle:\s*\"?(1m|60s)", shown)


def test_an_unknown_environment_name_is_told(tmp_path):
    ended = run(*FREE, env={"RINGWAY_SOCKS5__LISSTEN": "[]"}, cwd=tmp_path)
    assert ended.returncode == FAULTY
    assert "RINGWAY_SOCKS5__LISSTEN" in ended.stderr


def test_the_environment_sets_the_listener(ringway, target):
    options = {"socks5.listen": None, "socks5.allow_targets": None}
    env = {"RINGWAY_SOCKS5__LISTEN": '["127.0.0.1:0"]', "RINGWAY_SOCKS5__ALLOW_TARGETS": "[loopback]"}
    connection = ringway(options, env=env).tunnel(target(echo).address)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"


def test_the_schema_is_json_and_knows_the_keys():
    schema = json.loads(run("config", "schema").stdout)
    assert "socks5" in schema["properties"]


def test_the_printed_default_is_accepted_and_runs(ringway, file, target):
    path = file(run("config", "default").stdout)
    assert run("check", "-c", path).returncode == 0
    proxy = ringway(arguments=["-c", str(path)])
    connection = proxy.tunnel(target(echo).address)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"


def test_what_is_effective_can_be_read_back(file):
    shown = run("config", "effective", "--set", "socks5.timeouts.idle=7m").stdout
    again = run("config", "effective", "-c", file(shown)).stdout
    assert "7m" in shown
    assert re.sub(r"#.*", "", again).split() == re.sub(r"#.*", "", shown).split()


def test_a_relative_users_file_starts_at_the_configuration_file(ringway, file, target, tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "users.yaml").write_text("users: [{name: alice, password: '{plain}secret'}]\n")
    (folder / "ringway.yaml").write_text("socks5: {auth: password, users_file: users.yaml}\n")
    proxy = ringway(arguments=["-c", str(folder / "ringway.yaml")])
    assert proxy.tunnel(target(echo).address, ("alice", "secret"))


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_it_says_what_it_is(argument):
    said = run(argument)
    assert said.returncode == 0 and "ringway" in said.stdout
