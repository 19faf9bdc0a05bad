// The form of a silence.

import { formDialog } from "../dialog.js";
import { el, field } from "../dom.js";
import { timeFault } from "../reading.js";
import { matchersOf, readMatchers } from "./alert_words.js";

const TIMES = ["30m", "1h", "2h", "8h", "1d", "7d", "30d"];
const TIME_MAX = "30d";

/** @returns {Promise<Object|undefined>} the silence; undefined: none was made */
export function silenceForm(api, alert) {
    const given = Object.entries(matchersOf(alert)).map(([label, value]) => `${label}=${value}`);
    const matchers = el("textarea", {
        id: "silence-matchers",
        "aria-describedby": "silence-matchers-hint",
        rows: String(Math.max(3, given.length + 1)),
        required: true,
        spellcheck: "false",
        class: "ops-matchers",
        value: given.join("\n"),
    });
    const time = field({
        label: "For",
        name: "for",
        value: "2h",
        list: TIMES,
        required: true,
        hint: "Then alerts are sent again; at most 30d.",
    });
    const comment = field({
        label: "Comment",
        name: "comment",
        maxlength: "300",
        placeholder: "why, and who sees to it",
    });
    return formDialog({
        title: alert.name ? `Silence ${alert.name}` : "Silence alerts",
        name: "silence",
        intro: [el("p", { class: "panel-note" }, "Silenced alerts still show here; webhooks are not told of them.")],
        fields: [
            el(
                "div",
                { class: "field" },
                el("label", { class: "field-name", for: "silence-matchers" }, "Alerts with all of these labels"),
                matchers,
                el("p", { class: "field-hint", id: "silence-matchers-hint" }, "One on a line, as label=value."),
            ),
            time,
            comment,
        ],
        confirm: "Silence",
        submit: () => {
            const fault = timeFault(time.control.value, TIME_MAX);
            if (fault) {
                throw new Error(`For: ${fault}`);
            }
            return api.post("/api/v1/alerts/silences", {
                matchers: readMatchers(matchers.value),
                for: time.control.value.trim(),
                comment: comment.control.value.trim(),
            });
        },
    });
}
