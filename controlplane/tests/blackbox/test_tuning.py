"""tuning/apply.sh, on a tree of its own: this host stays as it is."""

import subprocess
from pathlib import Path

import pytest

from ringway import REPOSITORY

SCRIPT = REPOSITORY / "tuning" / "apply.sh"
UNTOUCHED = {
    "net.core.somaxconn": "4096",
    "net.core.rmem_max": "212992",
    "net.core.wmem_max": "212992",
    "net.ipv4.ip_local_port_range": "32768\t60999",
    "net.ipv4.tcp_tw_reuse": "2",
    "net.ipv4.tcp_fastopen": "0",
    "fs.pipe-user-pages-soft": "16384",
}
SYSCTL_FILE = "etc/sysctl.d/90-ringway.conf"
LIMITS_FILE = "etc/security/limits.d/90-ringway.conf"


class Host:
    """A tree that looks like a host's."""

    def __init__(self, root, values):
        self.root = root
        for key, value in values.items():
            self[key] = value

    def path(self, key):
        return self.root / "proc/sys" / key.replace(".", "/")

    def __getitem__(self, key):
        return " ".join(self.path(key).read_text().split())

    def __setitem__(self, key, value):
        self.path(key).parent.mkdir(parents=True, exist_ok=True)
        self.path(key).write_text(value + "\n")

    def apply(self, *arguments, code=0):
        done = subprocess.run([SCRIPT, "--root", self.root, *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def all(self):
        """Every file and its text."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_text() for path in files}


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path, UNTOUCHED)


def shipped():
    lines = (REPOSITORY / "tuning" / "90-ringway.conf").read_text().splitlines()
    return dict(line.split(" = ") for line in lines if " = " in line)


def written(host):
    lines = (host.root / SYSCTL_FILE).read_text().splitlines()
    return dict(line.split(" = ") for line in lines if " = " in line)


def test_it_applies_the_shipped_values_now_and_for_every_boot(host):
    host.apply()
    for key, value in shipped().items():
        assert host[key] == value
    assert written(host) == shipped()
    assert "nofile  1048576" in (host.root / LIMITS_FILE).read_text()


def test_a_dry_run_tells_the_same_and_changes_nothing(host):
    before = host.all()
    told = host.apply("--dry-run")
    assert "net.core.somaxconn: 4096 -> 16384" in told
    assert "nothing was changed" in told
    assert host.all() == before
    assert told.splitlines()[:-1] == host.apply().splitlines()


def test_the_second_time_there_is_nothing_to_do(host):
    host.apply()
    after = host.all()
    assert host.apply() == ""
    assert host.all() == after


def test_undo_leaves_no_trace(host):
    before = {path: text.split() for path, text in host.all().items()}
    host.apply()
    host.apply("--set", "net.ipv4.tcp_fastopen=1", "--set", "net.core.somaxconn=65535")
    assert host["net.core.somaxconn"] == "65535"
    told = host.apply("--undo", "--dry-run")
    assert "net.core.somaxconn: 65535 -> 4096" in told
    assert host["net.core.somaxconn"] == "65535"
    host.apply("--undo")
    assert {path: text.split() for path, text in host.all().items()} == before
    assert "nothing to undo" in host.apply("--undo")


def test_values_that_are_better_already_stay(host):
    host["net.core.rmem_max"] = "4194304"
    host["net.ipv4.ip_local_port_range"] = "1024 60999"
    host.apply()
    assert host["net.core.rmem_max"] == "4194304"
    assert host["net.ipv4.ip_local_port_range"] == "1024 65535"
    assert written(host)["net.core.rmem_max"] == "4194304"


def test_what_was_set_once_is_kept_by_later_runs(host):
    host.apply("--set", "net.ipv4.tcp_fastopen=3")
    assert host["net.ipv4.tcp_fastopen"] == "3"
    assert host.apply() == ""
    assert written(host)["net.ipv4.tcp_fastopen"] == "3"


def test_undo_leaves_alone_what_somebody_changed_since(host):
    host.apply()
    host["net.core.somaxconn"] = "30000"
    assert "somebody has changed it since" in host.apply("--undo")
    assert host["net.core.somaxconn"] == "30000"
    assert host["net.ipv4.tcp_tw_reuse"] == "2"


def test_a_file_that_was_there_comes_back(host):
    path = host.root / SYSCTL_FILE
    path.parent.mkdir(parents=True)
    path.write_text("net.core.somaxconn = 1\n")
    host.apply()
    assert written(host) == shipped()
    host.apply("--undo")
    assert path.read_text() == "net.core.somaxconn = 1\n"


def test_a_sysctl_that_this_kernel_lacks_is_told(host):
    host.path("net.ipv4.tcp_tw_reuse").unlink()
    assert "net.ipv4.tcp_tw_reuse: not on this kernel" in host.apply()
    assert host["net.core.somaxconn"] == "16384"
    host.apply("--set", "net.no.such=1", code=2)


@pytest.mark.parametrize("arguments", [["--set"], ["--set", "a"], ["--set", "a=b;c"], ["--root", "/no/such"], ["--what"]])
def test_what_cannot_be_understood_is_refused(host, arguments):
    before = host.all()
    host.apply(*arguments, code=2)
    assert host.all() == before


def test_without_root_it_says_so():
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-s"],
        stdin=SCRIPT.open(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2 and "only root" in done.stderr


def test_the_dry_run_on_this_host_is_what_doctor_says():
    """Both look at the same kernel: a sysctl that doctor finds too small is one that the script would set."""
    done = subprocess.run([SCRIPT, "--dry-run"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    somaxconn = int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert ("net.core.somaxconn:" in done.stdout) == (somaxconn < 16384)
