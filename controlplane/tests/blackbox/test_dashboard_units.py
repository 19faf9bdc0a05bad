"""What the dashboard's live panels are made of, without a browser: how figures are told, what the store keeps."""

import subprocess

from ringway import HERE, environment


def test_figures_and_the_store():
    # Times of day are told as they are where the page is looked at.
    command = ["node", "--test", HERE / "dashboard_live.test.mjs"]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, env=environment({"TZ": "Europe/Berlin"}))
    assert said.returncode == 0 and "# fail 0" in said.stdout, said.stdout[-8000:] + said.stderr[-2000:]
