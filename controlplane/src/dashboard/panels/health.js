// What the strip at the top is made of: configuration, listeners, upstreams, certificates, and how connections ended of late.

import { el, fill, setText } from "../dom.js";
import { bar, cut, either, rowsIn } from "../lists.js";

const DAY_MS = 86_400_000;
const EXPIRES_SOON_MS = 14 * DAY_MS;
const ENDINGS_MAX = 7;
const LISTENERS_MAX = 12;

/** Endings that are as it should be; the others are drawn as faults. */
const GOOD = new Set(["finished", "closed", "normal", "client_closed", "drained", "idle_timeout"]);

export function mount(root, { feed, format }) {
    const version = el("span", { class: "panel-note" });
    const facts = el("dl", { class: "facts" });
    const endings = el("ul", { class: "ranks" });
    const none = el("p", { class: "empty" });
    root.append(
        el("div", { class: "panel-head" }, el("h2", {}, "Health"), version),
        el(
            "div",
            { class: "halves" },
            facts,
            el("div", { class: "stack" }, el("h3", {}, "How connections ended, last minute"), endings, none),
        ),
    );
    either(endings, none, false);
    setText(none, "Nothing is known yet.");
    let most = 1;
    const draw = rowsIn(endings, () => ending(format, () => most));
    let told = "";
    feed.on("proxy_health", (data) => {
        setText(version, data.version ? `ringway ${data.version}` : "");
        const ended = Object.entries(data.closed_last_minute ?? {}).filter(([, count]) => count > 0);
        ended.sort(([, one], [, other]) => other - one);
        most = ended[0]?.[1] ?? 1;
        draw(ended.slice(0, ENDINGS_MAX));
        either(endings, none, ended.length > 0);
        setText(none, "No connection has ended in the last minute.");
        // Most seconds change none of it.
        const rows = factsOf(data, format);
        const now = JSON.stringify(
            rows.map(([name, lines]) => [name, lines.map(({ kind, text, note }) => [kind, text, note])]),
        );
        if (now !== told) {
            told = now;
            fill(
                facts,
                rows.map(([name, lines]) => [el("dt", {}, name), el("dd", {}, lines.map(line))]),
            );
        }
    });
}

/** Pairs of a name and its lines, `{text, kind?, note?}`. */
function factsOf(data, format) {
    const rows = [];
    const add = (name, lines) => lines.length && rows.push([name, lines]);
    const { generation, loaded_at: loaded, last_reload: reload } = data.configuration ?? {};
    add("Configuration", [
        { text: `generation ${format.count(generation)}`, note: `since ${format.dateTime(loaded)}` },
    ]);
    add("Last reload", [reloadOf(reload, format)]);
    const listeners = data.listeners ?? [];
    add(
        "Listens",
        listeners.slice(0, LISTENERS_MAX).map((one) => ({ text: `${one.address}`, note: service(one), code: true })),
    );
    add(
        "Upstreams",
        (data.upstreams ?? []).map((one) => ({
            text: one.name,
            kind: one.healthy ? "ok" : "bad",
            note: one.healthy ? "answers" : "does not answer",
        })),
    );
    add(
        "Certificates",
        (data.certificates ?? []).map((one) => certificate(one, format)),
    );
    add(
        "Notices",
        (data.notices ?? []).map((text) => ({ text, kind: "warn" })),
    );
    return rows;
}

function service({ service: name, tls }) {
    const plain = String(name).replace(/_tls$/, "");
    const names = { socks5: "SOCKS5", websocket: "WebSocket", control: "control", control_unix: "control" };
    return `${names[plain] ?? plain.replaceAll("_", " ")}${tls ? " over TLS" : ""}`;
}

function reloadOf(reload, format) {
    if (!reload) {
        return { text: "none since start" };
    }
    const when = format.dateTime(reload.at);
    return reload.ok
        ? { text: "applied", kind: "ok", note: when }
        : { text: "refused", kind: "bad", note: `${when}${reload.message ? `: ${reload.message}` : ""}` };
}

function certificate({ name, expires_at: at }, format) {
    const left = Date.parse(at) - Date.now();
    const kind = left <= 0 ? "bad" : left < EXPIRES_SOON_MS ? "warn" : "ok";
    return { text: name, kind, note: left <= 0 ? `expired ${format.day(at)}` : `until ${format.day(at)}` };
}

function line({ text, kind, note, code }) {
    const dot = kind && el("span", { class: `dot ${kind}`, "aria-hidden": "true" });
    return el(
        "div",
        { class: "fact" },
        dot,
        el(code ? "code" : "span", { class: "fact-text" }, text),
        note && el("span", { class: "fact-note" }, note),
    );
}

function ending(format, most) {
    const name = el("span", { class: "rank-name cut" });
    const count = el("span", { class: "rank-value" });
    const share = bar();
    return {
        element: el("li", { class: "rank" }, name, count, share.element),
        tell([reason, number]) {
            cut(name, format.words(reason));
            setText(count, format.count(number));
            share.tell(number / most(), GOOD.has(reason) ? "" : "warn");
        },
    };
}
