// The strip at the top: whether all is well, and if not, why, in words.

import { el, fill, setText } from "../dom.js";

const WORDS = {
    ok: ["ok", "All is well"],
    degraded: ["warn", "Degraded"],
    draining: ["info", "Draining"],
    stalled: ["bad", "A worker is stalled"],
};

const OF_CONNECTION = {
    connecting: ["info", "Connecting"],
    offline: ["bad", "Disconnected"],
    paused: ["warn", "Paused"],
    unauthorized: ["bad", "Not signed in"],
};

const LOOK_EVERY_MS = 1_000;

/** "2 alerts firing, 1 pending": what there is none of is left out. */
export function wordsOfAlerts(firing, pending, format) {
    if (!firing) {
        return pending ? `${format.plural(pending, "alert")} pending` : "no alert";
    }
    return `${format.plural(firing, "alert")} firing${pending ? `, ${format.count(pending)} pending` : ""}`;
}

export function mount(root, { feed, api, format }) {
    // The word alone is read out when it changes: reasons may tell a time that grows each second.
    const word = el("strong", { class: "strip-word", role: "status" });
    const reasons = el("span", { class: "strip-reasons" });
    const more = el("a", { class: "strip-more", href: "#panel-alerts" });
    const dot = el("span", { class: "dot", "aria-hidden": "true" });
    const act = () => (feed.state === "unauthorized" ? api.signIn() : feed.retry());
    const again = el("button", { type: "button", class: "button", on: { click: act } });
    const words = el("span", { class: "row" }, word, reasons);
    const strip = el("div", { class: "strip" }, dot, words, more, again);
    root.append(strip);

    const show = (kind, title, list, rest) => {
        strip.className = `strip ${kind}`;
        dot.className = `dot ${kind}`;
        setText(word, title);
        const text = list.join("\n");
        if (reasons.dataset.text !== text) {
            reasons.dataset.text = text;
            fill(
                reasons,
                list.map((reason) => el("span", {}, reason)),
            );
        }
        setText(more, rest);
        setText(again, feed.state === "unauthorized" ? "Sign in…" : "Try again now");
        again.hidden = !["offline", "unauthorized"].includes(feed.state);
    };

    const draw = () => {
        const health = feed.latest("proxy_health");
        if (feed.state !== "live") {
            const [kind, title] = feed.isSilent ? ["bad", "Silent"] : OF_CONNECTION[feed.state];
            const told = [feed.reason, health && `the figures are of ${format.time(health.time)}`];
            return show(kind, title, told.filter(Boolean), "");
        }
        if (!health) {
            return show("info", "Connected", ["the first figures are on their way"], "");
        }
        const [kind, title] = WORDS[health.status] ?? ["warn", health.status];
        const { firing = 0, pending = 0 } = health.alerts ?? {};
        const alerts = wordsOfAlerts(firing, pending, format);
        return show(firing && kind === "ok" ? "warn" : kind, title, health.reasons ?? [], alerts);
    };
    feed.on("proxy_health", draw);
    feed.onState(draw);
    // Tells how long it is until the next try.
    setInterval(() => feed.state === "offline" && draw(), LOOK_EVERY_MS);
}
