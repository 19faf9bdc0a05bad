"""A ringway whose whole configuration is a file, to be changed and reloaded."""

import json
import signal

from waiting import eventually

FREE = ("socks5.listen", "websocket.listen", "control.listen", "socks5.allow_targets")
BASE = {
    "workers.count": 2,
    "socks5.listen": ["127.0.0.1:0"],
    "socks5.allow_targets": ["loopback"],
    "websocket.listen": ["127.0.0.1:0"],
    "control.listen": ["127.0.0.1:0"],
    "control.test_endpoints": True,
}


def nested(settings):
    """`{"log.level": "debug"}` -> `{"log": {"level": "debug"}}`"""
    root = {}
    for key, value in settings.items():
        *sections, name = key.split(".")
        place = root
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    return root


class Reloading:
    """The process and its file."""

    def __init__(self, ringway, folder, settings=None, **how):
        self.path = folder / "ringway.yaml"
        self.settings = {**BASE, **(settings or {})}
        self.write()
        self.proxy = ringway({key: None for key in FREE}, arguments=["-c", str(self.path)], **how)

    def write(self, text=None):
        # A line for each section: faults can be told apart by theirs.
        lines = [f"{section}: {json.dumps(value)}\n" for section, value in nested(self.settings).items()]
        fresh = self.path.with_suffix(".new")
        fresh.write_text("".join(lines) if text is None else text)
        fresh.rename(self.path)

    def set(self, **settings):
        """`set(log__level="debug")`; None takes a key away."""
        for name, value in settings.items():
            self.settings[name.replace("__", ".")] = value
        self.settings = {key: value for key, value in self.settings.items() if value is not None}
        self.write()

    def reload(self, query="", **headers):
        return self.proxy.http("POST", f"/admin/reload-config{query}", {name.replace("_", "-"): value for name, value in headers.items()})

    def reloaded(self, **settings):
        """Sets these and reloads; what changed."""
        self.set(**settings)
        answer = self.reload()
        assert answer.status == 200, answer.text
        self.all_serve(answer.json["generation"])
        return answer.json

    def faults(self, answer=None):
        """Reloads, which must fail; the faults."""
        answer = answer or self.reload()
        assert answer.status == 422 and answer.headers["Content-Type"] == "application/problem+json", answer.text
        return answer.json["faults"]

    def post(self, method, path, body=None, **headers):
        headers = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return self.proxy.http(method, path, headers, None if body is None else json.dumps(body))

    def hang_up(self):
        self.proxy.signal(signal.SIGHUP)

    def value(self, key):
        return self.proxy.get("/config").json[key]["value"]

    def tag(self):
        return self.proxy.get("/config").headers["ETag"]

    def generation(self):
        return self.proxy.get("/health").json["generation"]

    def generations(self):
        """Those that the workers serve under."""
        return {worker["generation"] for worker in self.proxy.stats()["workers"]}

    def all_serve(self, generation):
        eventually(lambda: self.generations() == {generation}, 10, lambda: f"all at {generation}: {self.generations()}")
