// Puts the page together: the connection, the panels, the header.

import { Api } from "./api.js";
import { el, setText } from "./dom.js";
import * as format from "./format.js";
import * as alerts from "./panels/alerts.js";
import * as configuration from "./panels/configuration.js";
import * as connections from "./panels/connections.js";
import * as health from "./panels/health.js";
import * as history from "./panels/history.js";
import * as latency from "./panels/latency.js";
import * as log from "./panels/log.js";
import * as status from "./panels/status.js";
import * as tiles from "./panels/tiles.js";
import * as top from "./panels/top.js";
import * as traffic from "./panels/traffic.js";
import * as workers from "./panels/workers.js";
import { Feed } from "./store.js";
import { WebSocketClient } from "./websocket-client.js";

/** By the `<section id="panel-…">` each lives in. */
const PANELS = {
    status,
    tiles,
    traffic,
    latency,
    workers,
    health,
    top,
    alerts,
    history,
    connections,
    configuration,
    log,
};

/** At most so long until the first try to come back; each further one may take twice as long, up to 30 s. */
const RECONNECT_MS = 500;
const TOAST_MS = 7_000;
const TOASTS_MAX = 4;

const byId = (id) => document.getElementById(id);

/** Tells of something that happened; screen readers say it. */
function announce(text, kind = "info") {
    const toasts = byId("toasts");
    const toast = el("div", { class: `toast ${kind}`, role: kind === "error" ? "alert" : "status" }, text);
    toasts.append(toast);
    while (toasts.children.length > TOASTS_MAX) {
        toasts.firstElementChild.remove();
    }
    setTimeout(() => toast.remove(), TOAST_MS);
}

const DOTS = { connecting: "info", live: "ok", offline: "bad", paused: "warn", unauthorized: "bad" };

function showState(feed) {
    feed.onState((state) => {
        document.body.dataset.state = state;
        setText(byId("state"), state);
        byId("state-dot").className = `dot ${DOTS[state]}`;
        byId("state-badge").className = `badge ${DOTS[state]}`;
        byId("state-badge").title = feed.reason;
        showTitle(feed);
    });
}

function showTitle(feed) {
    const active = feed.latest("traffic_data")?.connections?.active;
    const figures = active === undefined ? "" : `${format.count(active)} · `;
    const title = feed.state === "live" ? `${figures}ringway` : `${feed.state} · ringway`;
    if (document.title !== title) {
        document.title = title;
    }
}

function showProcess(feed) {
    feed.on("proxy_health", ({ version }) => setText(byId("version"), version ?? ""));
    feed.on("traffic_data", ({ uptime_seconds, boot }) => {
        setText(byId("uptime"), `up ${format.duration(uptime_seconds)}`);
        byId("uptime").title = `boot ${boot}: another one stands for another process`;
        showTitle(feed);
    });
}

function steerPause(feed) {
    const button = byId("pause");
    button.addEventListener("click", () => {
        feed.isPausedBy("person") ? feed.resume("person") : feed.pause("person");
        button.setAttribute("aria-pressed", String(feed.isPausedBy("person")));
        setText(button, feed.isPausedBy("person") ? "Resume" : "Pause");
    });
    // Nobody looks at a hidden tab: it costs the server nothing.
    const look = () => (document.visibilityState === "hidden" ? feed.pause("hidden") : feed.resume("hidden"));
    document.addEventListener("visibilitychange", look);
    // Who has come back from elsewhere, or has a network again, does not want to wait.
    const hurry = () => feed.state === "offline" && !feed.isSilent && feed.retry();
    document.addEventListener("visibilitychange", hurry);
    addEventListener("online", hurry);
    look();
}

/** Shown while there is a token to forget. */
function steerSignOut(api) {
    const button = byId("sign-out");
    const show = () => (button.hidden = !api.token);
    button.addEventListener("click", () => api.signOut());
    api.onToken(show);
    show();
}

const THEMES = {
    system: ["light", "Colours: as the system", "M4 5h16v11H4zM9 20h6M12 16v4"],
    light: [
        "dark",
        "Colours: light",
        "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5",
    ],
    dark: ["system", "Colours: dark", "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5"],
};

function steerTheme() {
    const button = byId("theme");
    const show = () => {
        const [, label, picture] = THEMES[globalThis.ringwayTheme.chosen()] ?? THEMES.system;
        button.setAttribute("aria-label", label);
        button.title = label;
        byId("theme-picture").setAttribute("d", picture);
    };
    button.addEventListener("click", () => {
        const [next] = THEMES[globalThis.ringwayTheme.chosen()] ?? THEMES.system;
        globalThis.ringwayTheme.choose(next);
        show();
    });
    show();
}

function mountAll(context) {
    for (const [name, panel] of Object.entries(PANELS)) {
        try {
            panel.mount(byId(`panel-${name}`), context);
        } catch (fault) {
            console.error(fault);
            byId(`panel-${name}`).replaceChildren(
                el("p", { class: "empty" }, `This panel cannot be shown: ${fault.message}`),
            );
        }
    }
}

const api = new Api();
const client = new WebSocketClient("/ws", {
    autoConnect: false,
    reconnectInterval: RECONNECT_MS,
    getUrl: () => api.feedUrl(),
});
const feed = new Feed(client).watch();

// Without its token the connection has no business to stay either.
api.onToken(() => feed.retry());
showState(feed);
showProcess(feed);
steerPause(feed);
steerTheme();
steerSignOut(api);
mountAll({ feed, api, format, announce });
client.connect();
