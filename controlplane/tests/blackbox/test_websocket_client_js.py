"""The JavaScript client that the dashboard uses: its tests are in websocket_client.test.mjs."""

from javascript import DASHBOARD, NODE_MODULES, node_tests, run

STRICT = ["--allowJs", "--checkJs", "--strict", "--noEmit", "--target", "es2022", "--module", "es2022", "--lib", "es2022,dom"]


def test_it_does_what_it_says_against_the_binary():
    node_tests("websocket_client.test.mjs")


def checked(path):
    return run(NODE_MODULES / ".bin/tsc", *STRICT, path)


def test_its_types_are_whole():
    said = checked(DASHBOARD / "websocket-client.js")
    assert said.returncode == 0, said.stdout


def test_its_types_hold_those_who_use_it(tmp_path):
    (tmp_path / "websocket-client.js").write_text((DASHBOARD / "websocket-client.js").read_text())
    used = 'import { WebSocketClient } from "./websocket-client.js";\nconst client = new WebSocketClient("/ws", { topics: ["t"] });\n'
    right = 'client.on("close", ({ retryInMs }) => retryInMs?.toFixed());\nclient.subscribe("t", (data) => data.any.thing);\n'
    user = tmp_path / "user.js"
    user.write_text(used + right)
    assert checked(user).returncode == 0, checked(user).stdout
    for wrong in ('client.on("close", ({ status }) => status);', "client.subscribe(7);", 'client.getStats().bytes;', 'new WebSocketClient("/ws", { retries: 3 });'):
        user.write_text(used + wrong)
        assert checked(user).returncode != 0, wrong
