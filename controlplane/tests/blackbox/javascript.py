"""Tests that are written in JavaScript: `node --test`, with npm's packages in target/node."""

import subprocess

from ports import free_ports
from ringway import HERE, REPOSITORY, binary, environment

DASHBOARD = REPOSITORY / "controlplane/src/dashboard"
EXAMPLES = REPOSITORY / "docs/examples"
# scripts/test.sh puts npm's packages there.
NODE_MODULES = REPOSITORY / "target/node/node_modules"
PORTS = 4
TEST_SECONDS = 300
SHOWN = 20_000


def run(*words, **env):
    return subprocess.run(
        list(map(str, words)), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TEST_SECONDS, env=environment(env)
    )


def node_tests(script, **env):
    """Runs all tests of a script against the program under test; shows those that fail."""
    first, last = free_ports(PORTS)
    said = run(
        "node",
        "--test",
        HERE / script,
        NODE_PATH=str(NODE_MODULES),
        TEST_PROGRAM=binary(),
        TEST_DASHBOARD=str(DASHBOARD),
        TEST_PORTS=",".join(map(str, range(first, last + 1))),
        **env,
    )
    assert said.returncode == 0 and "# fail 0" in said.stdout, failures(said.stdout)[-SHOWN:] + said.stderr


def failures(tap):
    """The blocks of a TAP report that begin with `not ok`."""
    blocks = tap.split("# Subtest: ")
    return "\n".join(block for block in blocks if "not ok" in block) or tap
