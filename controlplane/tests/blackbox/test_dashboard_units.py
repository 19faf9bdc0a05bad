"""The dashboard's parts that need no browser: how figures are told, what the store keeps, what forms read."""

import subprocess

import pytest

from ringway import HERE, environment

TESTS = sorted(path.name for path in HERE.glob("dashboard_*.test.mjs"))


def test_there_are_some():
    assert "dashboard_live.test.mjs" in TESTS


@pytest.mark.parametrize("script", TESTS)
def test_they_do_what_they_say(script):
    # Times of day are told as they are where the page is looked at.
    env = environment({"TZ": "Europe/Berlin"})
    said = subprocess.run(["node", "--test", HERE / script], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=env)
    assert said.returncode == 0 and "# fail 0" in said.stdout, said.stdout[-8000:] + said.stderr[-2000:]
