// Ending connections: one, or all that a filter fits, after a look at how many they are.

import { formDialog } from "../dialog.js";
import { el, facts, faultNote, field, fill } from "../dom.js";
import { reasonFault, REASON_BYTES_MAX } from "../reading.js";
import { withQuery } from "../api.js";

/** Connections that are ended at most at once, unless one says otherwise. */
const MOST = 1_000;

function reasonField() {
    return field({
        label: "Reason",
        name: "reason",
        maxlength: String(REASON_BYTES_MAX),
        placeholder: "killed by the operator",
        hint: "Stands in the access log and the audit log; a WebSocket client is told it. May be left empty.",
    });
}

function reasonOf(made) {
    const reason = made.control.value.trim();
    const fault = reasonFault(reason);
    if (fault) {
        throw new Error(fault);
    }
    return reason || undefined;
}

/** @returns {Promise<Object|undefined>} what the API said; undefined: nothing was done */
export function killOne(api, row, target, format) {
    const reason = reasonField();
    return formDialog({
        title: "Kill this connection?",
        name: "kill",
        intro: [
            facts([
                ["Connection", row.id],
                ["Client", row.client],
                ["User", row.user ?? "—"],
                [row.service === "websocket" ? "Path" : "Target", target],
                ["Age", format.duration(row.age_seconds)],
            ]),
            el(
                "p",
                { class: "panel-note" },
                row.service === "websocket"
                    ? "The client gets a close frame with code 3503 and the reason."
                    : "It is reset on both sides.",
            ),
        ],
        fields: [reason],
        confirm: "Kill",
        danger: true,
        submit: () =>
            api.delete(withQuery(`/api/v1/connections/${encodeURIComponent(row.id)}`, { reason: reasonOf(reason) })),
    });
}

/** Counts first, then asks, then kills. */
export function killMatching(api, filter, words, format) {
    const all = Object.keys(filter).length === 0;
    const wanted = { filter, ...(all ? { all: true } : {}), most: MOST };
    const found = el("p", { class: "ops-found", role: "status" }, "Counting…");
    const reason = reasonField();
    const meant = field({
        label: "Every connection of both services is meant",
        type: "checkbox",
        name: "all",
        required: true,
    });
    let counted = null;
    const count = async () => {
        counted = await api.post("/api/v1/connections/kill", { ...wanted, dry_run: true });
        fill(found, found_(counted, format));
        return counted;
    };
    const done = formDialog({
        title: all ? "Kill every connection?" : "Kill all that match?",
        name: "kill-matching",
        intro: [el("p", {}, all ? "No condition is set: all connections are meant." : `Those of ${words}.`), found],
        fields: [reason, all && meant],
        confirm: "Kill them",
        danger: true,
        submit: async () => {
            const why = reasonOf(reason);
            if (!counted) {
                await count();
            }
            return api.post("/api/v1/connections/kill", { ...wanted, reason: why });
        },
    });
    count().catch((problem) => found.isConnected && fill(found, faultNote(problem)));
    return done;
}

function found_({ matched, complete, partial }, format) {
    const connections = matched === 1 ? "1 connection matches" : `${format.count(matched)} connections match`;
    const more =
        matched >= MOST
            ? ` so far: ${format.count(MOST)} are killed at once, then ask again.`
            : complete
              ? " now. Who comes until you press is meant as well."
              : " of those that could be looked at.";
    const silent = partial.length > 0 ? ` Workers ${partial.join(", ")} do not answer: theirs are left.` : "";
    return [el("strong", {}, connections), more, silent];
}
