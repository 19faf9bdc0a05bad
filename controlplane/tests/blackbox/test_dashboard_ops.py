"""The pure parts of the dashboard's panels that act: their tests are in dashboard_ops.test.mjs."""

import subprocess

from ringway import HERE, environment


def test_what_people_type_and_what_they_are_shown():
    said = subprocess.run(
        ["node", "--test", str(HERE / "dashboard_ops.test.mjs")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment({}),
    )
    assert said.returncode == 0, said.stdout[-20_000:] + said.stderr
    assert "# fail 0" in said.stdout, said.stdout
