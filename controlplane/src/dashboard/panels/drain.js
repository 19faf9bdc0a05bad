// Taking no new clients, and how far that is.

import { formDialog } from "../dialog.js";
import { button, el, facts, faultNote, field, fill, note, setText } from "../dom.js";
import { poll } from "../polling.js";
import { timeFault } from "../reading.js";

/** While nothing goes on, and while something does. */
const RESTING_MS = 5_000;
const DRAINING_MS = 1_000;

const STATES = {
    serving: ["ok", "Serving", "New clients are welcome."],
    grace: ["warn", "Grace", "/readyz says 503 already; new clients are still served."],
    draining: ["warn", "Draining", "New clients are refused; those who are in are served."],
    stopping: ["bad", "Stopping", "The process ends when nobody is left."],
};

export function mountDrain(root, { api, format, announce }) {
    const state = el("span", { class: "badge" });
    const words = el("span", { class: "panel-note" });
    const action = el("span", {});
    const progress = el("div", {});
    let before = null;
    fill(
        root,
        el(
            "div",
            { class: "row" },
            el("h3", {}, "New clients"),
            state,
            words,
            el("span", { class: "ops-spring" }),
            action,
        ),
        progress,
    );

    const start = async () => {
        const answer = await drainForm(api);
        if (answer) {
            announce("The drain has begun.", "info");
            show(answer);
            timer.now();
        }
    };
    const end = async () => {
        try {
            show(await api.post("/admin/undrain"));
            announce("New clients are served again.", "info");
        } catch (problem) {
            announce(problem.detail, "error");
        }
    };
    const show = (answer) => {
        const [kind, name, meaning] = STATES[answer.state] ?? ["", answer.state, ""];
        state.className = `badge ${kind}`;
        setText(state, name);
        setText(words, meaning);
        if (before !== answer.state) {
            before = answer.state;
            fill(
                action,
                answer.state === "serving"
                    ? button("Drain…", start)
                    : answer.state === "stopping"
                      ? null
                      : button("Serve again", end, { kind: "primary" }),
            );
        }
        fill(progress, answer.state !== "serving" && progressView(answer, format));
        timer.setInterval(answer.state === "serving" ? RESTING_MS : DRAINING_MS);
    };
    const timer = poll(root, RESTING_MS, async (signal) => {
        try {
            show(await api.get("/admin/drain", { signal, background: true }));
        } catch (problem) {
            if (!problem.isAborted) {
                fill(progress, faultNote(problem));
            }
            return false;
        }
    });
    return () => timer.stop();
}

function progressView(answer, format) {
    const seconds = (value) => (value === null ? null : `in ${format.duration(value)}`);
    const told = answer.workers.filter((worker) => worker.told).length;
    const { connections, refused } = answer;
    return facts([
        ["New clients are refused", seconds(answer.grace_left_seconds)],
        [
            "Still connected",
            `${format.count(connections.socks5)} SOCKS5, ${format.count(connections.websocket)} WebSocket`,
        ],
        ["Refused since", `${format.count(refused.socks5)} SOCKS5, ${format.count(refused.websocket)} WebSocket`],
        ["WebSocket clients sent elsewhere", format.count(answer.websocket_gone)],
        ["The last of them is told", seconds(answer.websocket_told_in_seconds)],
        ["Workers that refuse", `${told} of ${answer.workers.length}`],
        ["Serves again by itself", seconds(answer.undrain_in_seconds)],
        ["Then", answer.stop ? "the process ends when nobody is left" : null],
    ]);
}

function drainForm(api) {
    const grace = field({
        label: "Grace",
        name: "grace",
        value: "5s",
        required: true,
        hint: "For so long only /readyz says so: load balancers have time to notice.",
    });
    const lasting = field({
        label: "For",
        name: "for",
        placeholder: "until I take it back",
        hint: "It serves again by itself after so long, e.g. 10m. May be left empty.",
    });
    const stop = field({ label: "End the process once nobody is left", name: "stop", type: "checkbox" });
    return formDialog({
        title: "Take no new clients?",
        name: "drain",
        intro: [
            note(
                "info",
                "Transfers go on and nothing is cut. WebSocket clients are told to come again elsewhere. The process stays, unless you say otherwise.",
            ),
        ],
        fields: [grace, lasting, stop],
        confirm: "Drain",
        danger: true,
        submit: () => {
            const time = lasting.control.value.trim();
            const fault = time && timeFault(time);
            if (fault) {
                throw new Error(`For: ${fault}`);
            }
            return api.post("/admin/drain", {
                grace: grace.control.value.trim(),
                stop: stop.control.checked,
                ...(time ? { for: time } : {}),
            });
        },
    });
}
