"""This host: its knobs, turned for a while; its counters; a ringway on it."""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

PROGRAMS = Path(os.environ["PROGRAMS"])
RINGWAY, LOAD = PROGRAMS / "ringway", PROGRAMS / "socks_load"
SOCKS, CONTROL = 7800, 7801
# An address that is this namespace's and yet not loopback: some knobs make a difference there.
OUTSIDE = "10.8.0.1"
NOBODY = 65534


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def prepare_namespace():
    """BBR, which hosts may default to, paces even loopback and hides what is looked for."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{OUTSIDE}/32", "dev", "lo")
    Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text("reno")


def put(path, value):
    """Where this namespace may only read it, it is set in the host's."""
    try:
        Path(path).write_text(f"{value}\n")
    except PermissionError:
        namespace = f"--net=/proc/{os.environ['HOST_PID']}/ns/net"
        run("nsenter", namespace, "sh", "-c", 'echo "$2" >"$1"', "put", path, value)


@contextlib.contextmanager
def knobs(files=None, **sysctls):
    """Sysctls (`net__core__somaxconn=1`) and files of /sys, by their paths, for the length of the block."""
    paths = {f"/proc/sys/{key.replace('__', '/')}": value for key, value in sysctls.items()} | (files or {})
    before = {path: chosen(Path(path).read_text()) for path in paths}
    try:
        for path, value in paths.items():
            put(path, value)
        yield
    finally:
        for path, value in before.items():
            put(path, value)


def chosen(text):
    """`always [madvise] never` offers three and has one."""
    bracketed = re.search(r"\[(\S+)\]", text)
    return bracketed[1] if bracketed else text.strip()


class Counters:
    """How much the kernel's counters of this namespace have grown since then."""

    def __init__(self):
        self.before = self.read()

    @staticmethod
    def read():
        values = {}
        for file in ("netstat", "snmp"):
            lines = Path(f"/proc/net/{file}").read_text().splitlines()
            for names, numbers in zip(lines[::2], lines[1::2]):
                group = names.split(":")[0]
                pairs = zip(names.split()[1:], numbers.split()[1:])
                values |= {name if group == "TcpExt" else group + name: int(number) for name, number in pairs}
        return values

    def __getitem__(self, name):
        return self.read().get(name, 0) - self.before.get(name, 0)


class Ringway:
    """One that serves, until the block ends."""

    def __init__(self, *settings, user=None, wrap=(), port=SOCKS, control=CONTROL, workers=1, cpu=None, file=None):
        self.port = port
        self.command = [] if cpu is None else ["taskset", "-c", str(cpu)]
        self.command += wrap
        if user is not None:
            self.command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        given = ["log.access=false", "socks5.allow_targets=[loopback,private]", "socks5.open_proxy=true",
                 "websocket.listen=[]", f'socks5.listen=["0.0.0.0:{port}"]',
                 f'control.listen=["127.0.0.1:{control}"]', *settings]
        self.command.append(str(RINGWAY))
        if file is None:
            given.append(f"workers.count={workers}")
        else:
            self.command += ["-c", str(file)]
        for setting in given:
            self.command += ["--set", setting]

    def start(self):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        for _ in range(200):
            if " ready " in self.said():
                return True
            if self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return False

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def __enter__(self):
        if not self.start():
            self.stop()
            raise RuntimeError("ringway does not start: " + self.said())
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        # A ring that is taken down holds the listener a little longer than the process lives.
        listening = re.compile(rf":{self.port:04X} \S+ 0A ")
        for _ in range(250):
            if not listening.search(Path("/proc/net/tcp").read_text()):
                return
            time.sleep(0.02)

    def successor(self):
        """Waits for the end of a hot restart, and stops the process that took over."""
        self.process.wait(20)
        heir = int(re.search(r"started process (\d+) to take over", self.said())[1])
        os.kill(heir, signal.SIGKILL)
        while Path(f"/proc/{heir}").exists():
            time.sleep(0.02)

    @contextlib.contextmanager
    def stalled(self):
        """Does nothing for the length of the block: what a busy moment does, every time alike."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{CONTROL}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def metric(self, name):
        """The sum of a metric's samples, once the control plane has gathered them again."""
        time.sleep(1.1)
        lines = self.metrics().splitlines()
        samples = [line.rsplit(" ", 1) for line in lines if re.match(rf"{name}[ {{]", line)]
        return sum(float(value) for _, value in samples)

    def driver(self):
        return ", ".join(sorted(set(re.findall(r'worker_driver{.*driver="(.*)"} 1$', self.metrics(), re.M))))

    def of_threads(self, field):
        """The sum of a field of /proc/PID/task/*/sched."""
        texts = [path.read_text() for path in Path(f"/proc/{self.pid}/task").glob("*/sched")]
        return sum(int(number) for text in texts for number in re.findall(rf"{field}\s+:\s+(\d+)", text))
