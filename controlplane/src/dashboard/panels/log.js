// How much is logged: the level of everything, and of modules for a time.

import { formDialog } from "../dialog.js";
import { button, el, emptyNote, faultNote, field, fill, setText } from "../dom.js";
import { poll } from "../polling.js";
import { countdown, timeFault } from "../reading.js";
import { withQuery } from "../api.js";

const REFRESH_MS = 10_000;
/** From a level's end to the look whether it has ended. */
const OVER_MS = 2_000;
const LEVELS = ["error", "warn", "info", "debug", "trace"];
/** Where one looks most; any other may be typed. */
const MODULES = [
    "ringway_dataplane",
    "ringway_dataplane::io",
    "ringway_dataplane::hub",
    "ringway_dataplane::proto",
    "ringway_dataplane::worker",
    "ringway_controlplane",
    "ringway_controlplane::server",
    "ringway_controlplane::reload",
    "ringway_controlplane::feed",
    "ringway_controlplane::alerts",
];

export function mount(root, { api, format, announce }) {
    const level = el("span", { class: "badge" });
    const faults = el("div", {});
    const list = el("div", {}, emptyNote("Looking…"));
    let clocks = [];
    let ticking = null;
    fill(
        root,
        el(
            "header",
            { class: "panel-head" },
            el("h2", {}, "Log"),
            button("Set a level…", () => set()),
        ),
        el("p", { class: "row" }, el("span", {}, "The configuration's level is"), level),
        faults,
        list,
    );

    const show = (answer) => {
        fill(faults);
        setText(level, answer.level);
        if (answer.set.length === 0) {
            clocks = [];
            fill(
                list,
                emptyNote("No module has a level of its own.", "One can be set for a time; it returns by itself."),
            );
            return;
        }
        clocks = [];
        const rows = answer.set.map((one) => {
            const left = el("td", { class: "number", title: `${format.dateTime(one.until)}, set by ${one.by}` });
            clocks.push([left, one.until]);
            const name = one.module ?? "everything";
            return el(
                "tr",
                {},
                el(
                    "th",
                    { scope: "row", class: "cut", title: name },
                    one.module ? el("code", {}, one.module) : "everything",
                ),
                el(
                    "td",
                    {},
                    el(
                        "span",
                        { class: `badge ${one.level === "debug" || one.level === "trace" ? "warn" : "info"}` },
                        one.level,
                    ),
                ),
                left,
                el(
                    "td",
                    { class: "ops-actions" },
                    button("Return now", () => end(one.module), {
                        kind: "small",
                        "aria-label": `Let ${name} return to its level now`,
                    }),
                ),
            );
        });
        const head = el(
            "tr",
            {},
            el("th", { scope: "col" }, "Module"),
            el("th", { scope: "col" }, "Level"),
            el("th", { scope: "col", class: "number" }, "Ends in"),
            el("th", { scope: "col" }, el("span", { class: "visually-hidden" }, "Actions")),
        );
        fill(list, el("table", { class: "table ops-log" }, el("thead", {}, head), el("tbody", {}, rows)));
        tick();
    };
    const tick = () => {
        clearTimeout(ticking);
        const now = Date.now();
        const left = clocks.map(([cell, until]) => [cell, countdown(until, now)]);
        left.forEach(([cell, text]) => setText(cell, text ?? "now"));
        if (left.some(([, text]) => text === null)) {
            // By this host's clock; ringway's may be behind.
            ticking = setTimeout(timer.now, OVER_MS);
        } else if (clocks.length > 0) {
            ticking = setTimeout(tick, 1_000);
        }
    };
    const set = async () => {
        const answer = await levelForm(api);
        if (answer) {
            announce("The level is set.", "info");
            show(answer);
        }
    };
    const end = async (module) => {
        try {
            show(await api.delete(withQuery("/admin/log", { module })));
            announce("The level has returned.", "info");
        } catch (problem) {
            announce(problem.detail, "error");
            timer.now();
        }
    };
    const timer = poll(root, REFRESH_MS, async (signal) => {
        try {
            show(await api.get("/admin/log", { signal, background: true }));
        } catch (problem) {
            if (!problem.isAborted) {
                fill(faults, faultNote(problem));
                if (!level.textContent) {
                    fill(list);
                }
            }
            return false;
        }
    });
    return () => (clearTimeout(ticking), timer.stop());
}

function levelForm(api) {
    const level = field({ label: "Level", name: "level", value: "debug", options: LEVELS.map((of) => [of, of]) });
    const module = field({
        label: "Module",
        name: "module",
        list: MODULES,
        placeholder: "everything",
        hint: "With all modules below it; empty: everything.",
    });
    const time = field({
        label: "For",
        name: "for",
        value: "10m",
        required: true,
        hint: "Then it returns by itself; at most 7d.",
    });
    return formDialog({
        title: "Log more, or less, for a time",
        name: "log-level",
        fields: [level, module, time],
        confirm: "Set",
        submit: () => {
            const fault = timeFault(time.control.value);
            if (fault) {
                throw new Error(`For: ${fault}`);
            }
            const of = module.control.value.trim();
            return api.put("/admin/log", {
                level: level.control.value,
                for: time.control.value.trim(),
                ...(of ? { module: of } : {}),
            });
        },
    });
}
