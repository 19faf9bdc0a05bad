"""The dashboard's pure parts, by Node's own test runner: dashboard_ops.test.mjs has the tests."""

import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def test_what_people_type_and_what_they_are_shown():
    """No browser and no server: filters, differences, alerts in order, and how the API is asked."""
    run = subprocess.run(
        ["node", "--test", "--test-reporter=spec", str(HERE / "dashboard_ops.test.mjs")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5_000:] + run.stderr[-2_000:]
