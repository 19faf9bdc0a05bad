// The dashboard's pure parts: what people type, how a difference is shown, how alerts are put in order, how the API is asked.
import assert from "node:assert/strict";
import test from "node:test";

const FOLDER = new URL("../../src/dashboard/", import.meta.url);
const load = (path) => import(new URL(path, FOLDER));

const { readDuration, readBytes, readFilter, connectionsPath, reasonFault, timeFault, countdown, WITHOUT_USER } =
    await load("reading.js");
const { countOf, differenceOf, compare, textOf, placeOf, isSame } = await load("panels/difference.js");
const { conditionOf, inOrder, valueOf, matchersOf, readMatchers } = await load("panels/alert_words.js");
const { emptyWords, lateBeginOf, linesByKey, linesOfTotal, totalsOf, historyPath, isEmpty } = await load("panels/history_series.js");
const { Api, Problem, withQuery } = await load("api.js");
const format = await load("format.js");

test("a duration is read as the API reads it", () => {
    assert.equal(readDuration("250ms"), 250);
    assert.equal(readDuration("1h30m"), 5_400_000);
    assert.equal(readDuration("7d"), 604_800_000);
    for (const text of ["", "5", "m", "5 m", "30m1h", "5m5m", "1.5h", "-1m", "5M", "1y"]) {
        assert.equal(readDuration(text), null, text);
    }
});

test("a size is read as the API reads it", () => {
    assert.equal(readBytes("1GiB"), 2 ** 30);
    assert.equal(readBytes("1MiB512KiB"), 1_572_864);
    for (const text of ["", "10", "10MB", "1KiB1MiB", "99999999TiB"]) {
        assert.equal(readBytes(text), null, text);
    }
});

test("a filter holds what is written, and says it in words", () => {
    const { filter, faults, words } = readFilter({
        user: " alice ",
        target: ".example.org:443",
        min_age: "5m",
        phase: "",
    });
    assert.deepEqual(filter, { user: "alice", target: ".example.org:443", min_age: "5m" });
    assert.deepEqual(faults, {});
    assert.equal(words, "user alice, target .example.org:443, older than 5m");
});

test("a filter with a fault names the field, and leaves it out", () => {
    const { filter, faults } = readFilter({ worker: "-1", min_bytes: "10MB", min_idle: "soon", user: "bob" });
    assert.deepEqual(Object.keys(faults).sort(), ["min_bytes", "min_idle", "worker"]);
    assert.deepEqual(filter, { user: "bob" });
});

test("those without a user are asked for by an empty value", () => {
    const { filter } = readFilter({ user: WITHOUT_USER });
    assert.deepEqual(filter, { user: "" });
    assert.equal(connectionsPath(filter, { limit: 50 }), "/api/v1/connections?user=&limit=50");
});

test("the path of a page escapes what people type", () => {
    assert.equal(connectionsPath({}), "/api/v1/connections");
    const path = connectionsPath({ user: "a&b=c d#é" }, { limit: 100, cursor: "0s17" });
    assert.deepEqual(
        [...new URL(path, "http://x").searchParams],
        [
            ["user", "a&b=c d#é"],
            ["limit", "100"],
            ["cursor", "0s17"],
        ],
    );
});

test("a reason that a close frame cannot carry is refused before it is sent", () => {
    assert.equal(reasonFault("too long"), null);
    assert.equal(reasonFault("x".repeat(123)), null);
    assert.match(reasonFault("é".repeat(62)), /124 bytes/);
    assert.match(reasonFault("a\nb"), /control character/);
});

test("what is set for a time has one, and not too long", () => {
    assert.equal(timeFault(" 10m "), null);
    assert.match(timeFault("10"), /Write a time/);
    assert.match(timeFault("8d"), /7d at most/);
    assert.equal(timeFault("8d", "30d"), null);
});

test("a countdown shows its two largest units, and ends", () => {
    const now = Date.parse("2026-11-21T12:00:00Z");
    assert.equal(countdown("2026-11-21T12:09:41Z", now), "9 m 41 s");
    assert.equal(countdown("2026-11-23T12:00:00Z", now), "2 d 0 h");
    assert.equal(countdown("2026-11-21T12:00:05Z", now), "5 s");
    assert.equal(countdown("2026-11-21T12:00:00Z", now), null);
    assert.equal(countdown("2026-11-21T11:00:00Z", now), null);
});

const ANSWER = {
    generation: 1,
    changed: true,
    dry_run: true,
    applied: [
        { key: "log.level", from: "info", to: "debug" },
        { key: "socks5.listen", from: ["127.0.0.1:1080"], to: ["127.0.0.1:1080", "127.0.0.1:1081"] },
    ],
    new_connections: [{ key: "socks5.users", from: "***", to: "***", note: "bob came" }],
    restart_required: [{ key: "workers.count", running: 2, configured: 4 }],
    opened: [{ key: "socks5.listen", address: "127.0.0.1:1081" }],
    closed: [],
    notices: [],
};

test("a difference is grouped by what each key needs", () => {
    const { groups, count, opened } = differenceOf(ANSWER, {
        "socks5.listen": { reload: "listener" },
        "log.level": { reload: "live" },
    });
    assert.equal(count, 4);
    assert.deepEqual(
        groups.map(({ kind, rows }) => [kind, rows.map(({ key }) => key)]),
        [
            ["live", ["log.level"]],
            ["listener", ["socks5.listen"]],
            ["new_connections", ["socks5.users"]],
            ["restart", ["workers.count"]],
        ],
    );
    const [live, listener, fresh, restart] = groups.map(({ rows }) => rows[0]);
    assert.deepEqual([live.from, live.to], ["info", "debug"]);
    assert.deepEqual(listener.lines, [
        { sign: "=", text: "127.0.0.1:1080" },
        { sign: "+", text: "127.0.0.1:1081" },
    ]);
    assert.equal(fresh.note, "bob came");
    assert.deepEqual([restart.from, restart.to], ["2", "4"]);
    assert.equal(opened.length, 1);
    assert.equal(countOf({ groups, count }), "3 keys change, 1 waits for a restart");
    assert.equal(countOf({ groups: groups.slice(3), count: 1 }), "1 key waits for a restart");
});

test("what stays of a list stays, whatever comes and goes around it", () => {
    const rule = (to, verdict) => ({ to, verdict });
    const { lines } = compare(
        [rule("a", "allow"), rule("b", "deny"), rule("c", "allow")],
        [rule("z", "deny"), rule("a", "allow"), rule("c", "deny"), rule("d", "allow")],
    );
    assert.deepEqual(
        lines.map(({ sign, text }) => sign + text),
        [
            "+to: z, verdict: deny",
            "=to: a, verdict: allow",
            "-to: b, verdict: deny",
            "-to: c, verdict: allow",
            "+to: c, verdict: deny",
            "+to: d, verdict: allow",
        ],
    );
});

test("a list too long to compare, and a list that becomes a value, stand whole", () => {
    const long = Array.from({ length: 500 }, (_, at) => at);
    assert.equal(compare(long, []).lines, undefined);
    assert.deepEqual(compare([], "auto"), { from: "nothing", to: "auto" });
});

test("values of any kind are text", () => {
    assert.equal(textOf(null), "nothing");
    assert.equal(textOf([]), "nothing");
    assert.equal(textOf(false), "false");
    assert.equal(textOf({ name: "a", ports: [1, 2], of: { x: null } }), "name: a, ports: [1, 2], of: x: nothing");
});

test("a fault's place has line and column where there are some", () => {
    assert.equal(placeOf({ source: "ringway.yaml", line: 12, column: 5 }), "ringway.yaml:12:5");
    assert.equal(placeOf({ source: "environment LOG_LEVEL", line: null, column: null }), "environment LOG_LEVEL");
});

test("a preview is held against what was applied", () => {
    assert.ok(isSame(ANSWER, { ...ANSWER, dry_run: false, generation: 2 }));
    assert.ok(!isSame(ANSWER, { ...ANSWER, applied: [] }));
});

test("alerts that ask for somebody stand first", () => {
    const alert = (name, state, severity, since, silencedBy = null) => ({
        name,
        state,
        severity,
        since,
        silenced_by: silencedBy,
    });
    const early = "2026-11-21T10:00:00Z";
    const late = "2026-11-21T11:00:00Z";
    const given = [
        alert("over", "resolved", "critical", late),
        alert("soon", "pending", "critical", late),
        alert("old", "firing", "warning", early),
        alert("new", "firing", "warning", late),
        alert("quiet", "firing", "critical", late, "7"),
        alert("grave", "firing", "critical", early),
    ];
    assert.deepEqual(
        inOrder(given).map(({ name }) => name),
        ["grave", "new", "old", "quiet", "soon", "over"],
    );
});

test("an alert's value has its unit", () => {
    const plain = (text) => text.replaceAll("\u202f", " ");
    const shown = (alert) => plain(valueOf(alert, format));
    assert.equal(shown({ value: 97.34, threshold: 90, unit: "percent" }), "97.3 % (threshold 90 %)");
    assert.equal(shown({ value: null, unit: "percent" }), format.UNKNOWN);
    assert.equal(shown({ value: 12_345, unit: "count" }), "12,345");
    assert.equal(shown({ value: 3 * 2 ** 30, unit: "bytes" }), "3 GiB");
    assert.equal(shown({ value: 250, unit: "milliseconds" }), "250 ms");
    assert.equal(shown({ value: 0.5, threshold: 14, unit: "days" }), "12 h (threshold 14 d)");
    assert.equal(
        plain(conditionOf({ when: "above", threshold: 5, unit: "percent", for: "1m" }, format)),
        "above 5 % for 1m",
    );
    assert.equal(plain(conditionOf({ when: "below", threshold: 7, unit: "days", for: "0s" }, format)), "below 7 d");
});

test("a silence begins with what names its alert", () => {
    const labels = { alertname: "quota", severity: "warning", instance: "a:1", user: "alice" };
    assert.deepEqual(matchersOf({ name: "quota", labels }), { name: "quota", user: "alice" });
    assert.deepEqual(matchersOf({}), {});
});

test("matchers are read a line each, and faults named", () => {
    assert.deepEqual(readMatchers('name = cpu\n\n user="al=ice" '), { name: "cpu", user: "al=ice" });
    assert.throws(() => readMatchers("cpu"), /no matcher/);
    assert.throws(() => readMatchers("a=1\na=2"), /twice/);
    assert.throws(() => readMatchers(" \n"), /at least one/);
});

/** A server of one page, told what to answer to which token; and what it was asked. */
function world(answerOf, ask) {
    const asked = [];
    const kept = new Map();
    const storage = {
        getItem: (key) => kept.get(key) ?? null,
        setItem: (key, value) => kept.set(key, value),
        removeItem: (key) => kept.delete(key),
    };
    const fetch = async (path, options) => {
        asked.push({ path, ...options });
        const { status = 200, body = {}, headers = {} } = answerOf(options.headers.Authorization, path);
        return new Response(typeof body === "string" ? body : JSON.stringify(body), { status, headers });
    };
    return { api: new Api({ fetch, storage, ask }), asked };
}

const NEEDED = { status: 401, body: { detail: "a token is needed", hint: "send one" } };

test("no cookie is sent, and JSON says that it is JSON", async () => {
    const { api, asked } = world(() => ({ headers: { etag: '"1-a"' } }));
    const { etag } = await api.request("POST", "/x", { body: { a: 1 }, ifMatch: '"1-a"' });
    assert.equal(etag, '"1-a"');
    assert.equal(asked[0].credentials, "omit");
    assert.equal(asked[0].body, '{"a":1}');
    assert.deepEqual(asked[0].headers, {
        Accept: "application/json",
        "Content-Type": "application/json",
        "If-Match": '"1-a"',
    });
    await api.post("/y");
    assert.equal(asked[1].body, undefined);
    assert.equal(asked[1].headers["Content-Type"], undefined);
});

test("many who are refused at once are asked for one token, and go on with it", async () => {
    let forms = 0;
    const { api, asked } = world(
        (authorization) => (authorization === "Bearer rw_right" ? { body: { ok: true } } : NEEDED),
        async () => {
            forms += 1;
            await null;
            return "rw_right";
        },
    );
    const told = [];
    api.onToken((given) => told.push(given));
    const answers = await Promise.all([api.get("/a"), api.get("/b"), api.delete("/c")]);
    assert.deepEqual(answers, [{ ok: true }, { ok: true }, { ok: true }]);
    assert.equal(forms, 1);
    assert.deepEqual(told, [true]);
    assert.equal(asked.length, 6);
});

test("who does not sign in is not asked again by what goes on in the background", async () => {
    let forms = 0;
    const { api } = world(
        () => NEEDED,
        async () => ((forms += 1), null),
    );
    const background = { background: true };
    await assert.rejects(api.get("/a", background), (problem) => problem instanceof Problem && problem.status === 401);
    await assert.rejects(api.get("/a", background));
    assert.equal(forms, 1);
    await assert.rejects(api.post("/act"));
    assert.equal(forms, 2);
});

test("a fault has the server's words, and what comes with them", async () => {
    const body = {
        detail: "this needs scope admin, and grafana has read",
        hint: "use another",
        needed: "admin",
        held: "read",
    };
    const { api } = world(() => ({ status: 403, body }));
    await assert.rejects(api.post("/admin/reload-config"), ({ status, detail, hint, members }) => {
        assert.deepEqual([status, detail, hint, members.needed], [403, body.detail, body.hint, "admin"]);
        return true;
    });
});

test("too many wrong tokens say how long to wait", async () => {
    const { api } = world(() => ({ status: 429, body: { detail: "too many" }, headers: { "retry-after": "7" } }));
    await assert.rejects(
        api.once("GET", "/health", { token: "x" }),
        ({ status, retryAfterSeconds }) => status === 429 && retryAfterSeconds === 7,
    );
});

test("what a proxy says in HTML is no answer of ringway's", async () => {
    const { api } = world((_, path) => ({ status: path === "/bad" ? 502 : 200, body: "<h1>Bad Gateway</h1>" }));
    await assert.rejects(api.get("/bad"), ({ status, detail }) => status === 502 && /not ringway's/.test(detail));
    await assert.rejects(api.get("/good"), ({ detail }) => /not ringway's/.test(detail));
});

test("nobody there, too late and given up are told apart", async () => {
    const never = (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const storage = { getItem: () => null };
    const gone = new Api({ storage, fetch: async () => Promise.reject(new TypeError("failed to fetch")) });
    await assert.rejects(gone.get("/a"), ({ status, detail }) => status === 0 && /does not answer/.test(detail));
    const slow = new Api({ storage, fetch: never });
    await assert.rejects(slow.get("/a", { timeoutMs: 1 }), ({ detail }) => /not answered in time/.test(detail));
    const abort = new AbortController();
    const asked = slow.get("/a", { signal: abort.signal });
    abort.abort();
    await assert.rejects(asked, ({ isAborted }) => isAborted);
});

test("parameters without a value are left out of a query", () => {
    assert.equal(withQuery("/a", { reason: undefined, module: "" }), "/a");
    assert.equal(withQuery("/a", { reason: "x y&z", dry_run: true }), "/a?reason=x%20y%26z&dry_run=true");
});

const series = (key, sent, connections = sent) => ({
    key,
    sent_bytes: sent,
    received_bytes: sent.map((value) => (value === null ? null : value * 2)),
    connections,
    failed: sent.map((value) => (value === null ? null : 0)),
    active_max: sent,
});

test("history is shown by the second or minute, whatever the step, and a gap stays a gap", () => {
    const answer = {
        by: "total",
        to: "1970-01-01T03:00:00Z",
        step_seconds: 3600,
        times: [0, 3600, 7200],
        series: [series("", [3600, null, 7200])],
    };
    const [sent, received] = linesOfTotal(answer, "traffic");
    assert.deepEqual([sent.label, sent.values], ["Sent", [1, null, 2]]);
    assert.deepEqual([received.label, received.values], ["Received", [2, null, 4]]);
    assert.deepEqual(linesOfTotal(answer, "connections")[0].values, [60, null, 120]);
    assert.deepEqual(linesOfTotal(answer, "active")[0].values, [3600, null, 7200]);
});

test("the step that has just begun is as long as it lasts by now", () => {
    const answer = {
        by: "total",
        to: "1970-01-01T01:00:30Z",
        step_seconds: 3600,
        times: [0, 3600],
        series: [series("", [3600, 60])],
    };
    assert.deepEqual(linesOfTotal(answer, "traffic")[0].values, [1, 2]);
    assert.deepEqual(linesOfTotal(answer, "connections")[0].values, [60, 120]);
    // One failure in the first second of a minute is no rate of 60 a minute.
    const early = { ...answer, to: "1970-01-01T01:00:01Z" };
    assert.deepEqual(linesOfTotal(early, "connections")[0].values, [60, null]);
    assert.deepEqual(linesOfTotal(early, "active")[0].values, [3600, 60]);
});

test("since when it is known is told of the steps that are shown", () => {
    const kept = { minute: "2026-11-21T21:42:00Z", hour: "2026-11-21T21:00:00Z", day: "2026-11-21T00:00:00Z" };
    const from = "2026-11-20T21:45:00Z";
    assert.equal(lateBeginOf({ kept, step: "minute", from }), kept.minute);
    assert.equal(lateBeginOf({ kept, step: "hour", from: "2026-11-21T21:30:00Z" }), null);
    assert.equal(lateBeginOf({ kept: { minute: null }, step: "minute", from }), null);
});

test("where nobody has moved anything that is said, and not that nothing is known", () => {
    const words = (by, rows) => emptyWords({ by, series: rows });
    assert.match(words("user", []), /no user has moved/i);
    assert.match(words("listener", []), /no listener/i);
    assert.match(words("total", [series("", [null])]), /nothing is known/i);
});

test("of many keys the largest have lines, and the rest is summed", () => {
    const keys = ["a", "b", "c", "d", "e", "f", "g"];
    const answer = {
        by: "user",
        to: "1970-01-01T00:02:00Z",
        times: [0, 60],
        step_seconds: 60,
        series: keys.map((key, at) => series(key, [60 * (at + 1), at < 3 ? null : 60])),
    };
    const lines = linesByKey(answer, "traffic");
    assert.deepEqual(
        lines.map(({ label }) => label),
        ["g", "f", "e", "d", "3 further ones"],
    );
    // a, b and c: 1, 2 and 3 a second sent, twice that received; then none of them is known.
    assert.deepEqual(lines.at(-1).values, [18, null]);
    assert.deepEqual(
        linesByKey({ ...answer, series: answer.series.slice(0, 5) }, "traffic").map(({ label }) => label),
        ["e", "d", "c", "b", "a"],
    );
});

test("totals of a range leave gaps out, the largest first", () => {
    const rows = totalsOf({ series: [series("small", [1, null]), series("", [10, 20])] });
    assert.deepEqual(
        rows.map(({ key, sent_bytes, received_bytes, active_max }) => [key, sent_bytes, received_bytes, active_max]),
        [
            ["", 30, 60, 20],
            ["small", 1, 2, 1],
        ],
    );
});

test("history is asked for by range and key", () => {
    assert.equal(historyPath({ from: "-7d", by: "user" }), "/api/v1/history?from=-7d&by=user&step=auto");
    assert.equal(
        historyPath({ from: "-1h", by: "total" }, "csv"),
        "/api/v1/history?from=-1h&by=total&step=auto&format=csv",
    );
    assert.ok(isEmpty({ series: [] }));
    assert.ok(isEmpty({ series: [series("", [null, null])] }));
    assert.ok(!isEmpty({ series: [series("", [null, 0])] }));
});
