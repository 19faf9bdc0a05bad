"""GET /openapi.json: the document is valid, what is really answered is what it says, and what it allows to be asked breaks nothing."""

import copy
import json
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from targets import echo

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
TESTING = {"control.test_endpoints": "true", "workers.count": 2}
# What ends, drains, wedges or changes the process: tried by hand, here or in the tests of that.
ENDING = ("/api/v1/drill", "/admin/drain", "/admin/upgrade")
# Answers 200 with `error` to what is wrong, as Centrifugo does.
PUBLISH = "Publish"
PROBLEM = "application/problem+json"
# What may be answered to what a schema allows: no schema knows the keys of a configuration, or what is there.
WELL_FORMED = ["2xx", "304", "401", "403", "404", "409", "412", "422", "429"]
# Conditions have a grammar, and rules of what stands beside what, that schemas do not have: 400 says which.
CONDITIONS = ("/api/v1/connections", "/api/v1/connections/kill", "/api/v1/top")


def document_of(proxy):
    answer = proxy.get("/openapi.json")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    return answer.json


@pytest.fixture
def served(ringway):
    """A ringway with all its routes, and its document."""
    proxy = ringway(TESTING)
    return proxy, document_of(proxy)


def strict(schema):
    """The schema, with every member that it does not name forbidden: what is answered must be told."""
    schema = copy.deepcopy(schema)

    def close(part):
        if isinstance(part, dict):
            if "properties" in part and part.get("type") == "object":
                part.setdefault("additionalProperties", False)
            for member in part.values():
                close(member)
        elif isinstance(part, list):
            for item in part:
                close(item)

    close(schema)
    return schema


def faults(document, schema, value):
    whole = {**strict(schema), "components": strict(document["components"])}
    return [f"{list(error.absolute_path)}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)]


def content_of(document, method, path, status):
    """What the document says an answer's body is, by media type."""
    responses = document["paths"][path][method.lower()]["responses"]
    response = responses.get(str(status))
    assert response, f"{method} {path} answered {status}, which the document does not name"
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    return response.get("content", {})


def hold(document, method, path, answer):
    """An answer is as the document says."""
    content = content_of(document, method, path, answer.status)
    media = (answer.headers["Content-Type"] or "").split(";")[0]
    if not content:
        assert answer.body == b""
        return
    assert media in content, f"{method} {path} answered {media}, not one of {list(content)}"
    schema = content[media].get("schema")
    wrong = faults(document, schema, answer.json) if schema else []
    assert not wrong, f"{method} {path}: {wrong}\n{answer.text[:2000]}"


@pytest.mark.parametrize("testing", ["true", "false"])
def test_the_document_is_valid_and_holds_what_is_served(ringway, testing):
    proxy = ringway({"control.test_endpoints": testing})
    document = document_of(proxy)
    OpenAPIV31SpecValidator(document).validate()
    assert document["info"]["version"] == proxy.get("/health").json["version"]
    told = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    index = {tuple(line.split()[:2]) for line in proxy.get("/").text.splitlines() if line.startswith(METHODS)}
    assert told == index
    assert ("/api/v1/drill" in document["paths"]) == (testing == "true")
    assert proxy.get("/openapi.json").body == proxy.get("/openapi.json").body


def test_every_schema_is_one(served):
    _, document = served
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert name[0].isupper()


# What stands in a path, as a ringway with one SOCKS5 connection knows it.
PLACES = {
    "/api/v1/feed/{topic}": lambda proxy: "/api/v1/feed/traffic_data",
    "/dashboard/{file}": lambda proxy: "/dashboard/main.js",
    "/dashboard/panels/{file}": lambda proxy: "/dashboard/panels/traffic.js",
    "/debug/hist/{name}": lambda proxy: "/debug/hist/connect",
    "/api/v1/connections/{id}": lambda proxy: "/api/v1/connections/" + proxy.get("/api/v1/connections").json["connections"][0]["id"],
}


def test_every_page_answers_what_the_document_says(served, target):
    proxy, document = served
    proxy.tunnel(target(echo).address)
    for path, item in document["paths"].items():
        if "get" not in item:
            continue
        real = path
        if "{" in path:
            assert path in PLACES, f"say in PLACES what {path} may stand for"
            real = PLACES[path](proxy)
        answer = proxy.get(real)
        # What speaks another protocol says so to who asks in this one.
        expected = (426,) if "101" in item["get"]["responses"] else (200, 204)
        assert answer.status in expected, f"{real}: {answer.status} {answer.text}"
        hold(document, "GET", path, answer)
        assert proxy.http("HEAD", real).status == answer.status


def test_a_configuration_known_already_is_not_sent_again_as_the_document_says(served):
    proxy, document = served
    tag = proxy.get("/config").headers["ETag"]
    known = proxy.get("/config", If_None_Match=tag)
    assert known.status == 304
    hold(document, "GET", "/config", known)
    names = [parameter["name"] for parameter in document["paths"]["/config"]["get"]["parameters"]]
    assert names == ["If-None-Match"]


def test_other_methods_are_405_with_those_there_are(served):
    proxy, document = served
    for path, item in document["paths"].items():
        real = path.replace("{", "").replace("}", "")
        methods = {method.upper() for method in item} | ({"HEAD"} if "get" in item else set())
        for method in METHODS:
            if method in methods:
                continue
            answer = proxy.http(method, real)
            assert answer.status == 405, f"{method} {real}: {answer.status}"
            assert set(answer.headers["Allow"].split(", ")) == methods
            assert not faults(document, {"$ref": "#/components/schemas/Problem"}, answer.json)


def test_faults_are_problems(served):
    proxy, document = served
    for answer in (
        proxy.get("/no/such/path"),
        proxy.http("POST", "/api/v1/drill"),
        proxy.http("POST", "/api/v1/drill?worker=9&kind=die"),
        proxy.http("POST", "/api/v1/drill", body=b"x" * 70_000),
        proxy.http("POST", "/api/publish", body=b"{}"),
    ):
        assert answer.headers["Content-Type"] == PROBLEM, answer.text
        problem = answer.json
        assert not faults(document, {"$ref": "#/components/schemas/Problem"}, problem)
        assert problem["status"] == answer.status and problem["detail"] and problem["hint"]


def test_a_drill_answers_what_the_document_says(served):
    proxy, document = served
    proxy.panics_expected = True
    for query in ("kind=panic&worker=0&tasks=1", "kind=stall&worker=1&ms=1", "kind=flood", "kind=panic&worker=0&taks=1"):
        answer = proxy.http("POST", f"/api/v1/drill?{query}")
        assert answer.status == (202 if "s=1" in query and "taks" not in query else 400)
        hold(document, "POST", "/api/v1/drill", answer)


def test_the_publish_api_answers_what_the_document_says(ringway, websocket):
    proxy = ringway({"websocket.namespaces": '[{prefix: "", publish: anyone, history: {size: 10, ttl: 1m}, presence: true}]'})
    document = document_of(proxy)
    websocket(proxy).subscribe("news.a")
    said = {
        "publish": {"channel": "news.a", "data": {"n": 1}},
        "broadcast": {"channels": ["news.a", "news.b"], "data": [1, None]},
        "subscribe": {"user": "", "channel": "news.a", "client": "nobody"},
        "unsubscribe": {"user": "nobody", "channel": "news.a"},
        "disconnect": {"user": "nobody", "disconnect": {"code": 3000, "reason": "enough"}},
        "presence": {"channel": "news.a"},
        "presence_stats": {"channel": "news.a"},
        "history": {"channel": "news.a", "limit": -1},
        "history_remove": {"channel": "news.a"},
        "channels": {"pattern": "news.*"},
        "info": {},
        "batch": {"commands": [{"publish": {"channel": "news.a", "data": 1}}, {"publish": {}}]},
        "": {"id": 7, "method": "publish", "params": {"channel": "news.a", "data": 1}},
    }
    paths = {f"/api/{name}".rstrip("/"): body for name, body in said.items()}
    assert set(paths) == {path for path, item in document["paths"].items() if item.get("post", {}).get("tags") == [PUBLISH]}
    for path, body in paths.items():
        request = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert not faults(document, request, body), f"{path}: {faults(document, request, body)}"
        answer = proxy.http("POST", path, {"Content-Type": "application/json"}, json.dumps(body))
        assert answer.status == 200 and "error" not in answer.json, answer.text
        hold(document, "POST", path, answer)
    for text in ("{}", '{"channel": "a b", "data": 1}', '{"commands": 1}', '{"method": "rpc"}'):
        for path in paths:
            answer = proxy.http("POST", path, {"Content-Type": "application/json"}, text)
            if answer.status == 200:
                hold(document, "POST", path, answer)
            else:
                assert answer.status == 400 and answer.json["error"]["code"] == 107


# Schemathesis: whatever the document allows to be asked, and what it does not.


def schemathesis(proxy, document, folder, *arguments):
    """Runs it; what it finds is the failure. `default` is taken out: an answer that is not named by its status is one."""
    named = copy.deepcopy(document)
    for item in named["paths"].values():
        for operation in item.values():
            del operation["responses"]["default"]
    del named["components"]["responses"]["Fault"]
    path = folder / "openapi.json"
    path.write_text(json.dumps(named))
    config = folder / "schemathesis.toml"
    expected = "checks.positive_data_acceptance.expected-statuses"
    lines = [f"{expected} = {json.dumps(WELL_FORMED)}"]
    for route in CONDITIONS:
        lines += ["[[operations]]", f'include-path = "{route}"', f"{expected} = {json.dumps([*WELL_FORMED, '400'])}"]
    lines += ["[[operations]]", 'include-path = "/ws"', f"{expected} = {json.dumps([*WELL_FORMED, '426'])}"]
    config.write_text("\n".join(lines) + "\n")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(path), "--url", "http://{}:{}".format(*proxy.control)),
        *("--phases", "coverage,fuzzing", "--checks", "all", "--continue-on-failure", "--seed", "1", "--no-color", "--request-timeout", "10"),
        *(word for route in ENDING for word in ("--exclude-path", route)),
        *arguments,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert proxy.process.poll() is None and proxy.get("/livez").status == 200


def test_schemathesis_finds_nothing_in_the_pages(served, tmp_path):
    proxy, document = served
    schemathesis(proxy, document, tmp_path, "--exclude-tag", PUBLISH, "--max-examples", "12")


def test_schemathesis_finds_nothing_in_the_publish_api(served, tmp_path):
    proxy, document = served
    wrong_is_answered_200 = ("--exclude-checks", "negative_data_rejection")
    schemathesis(proxy, document, tmp_path, "--include-tag", PUBLISH, "--max-examples", "15", *wrong_is_answered_200)
