// Reload and rollback: first what it would change, then the same with If-Match, then what came of it.

import { openDialog } from "../dialog.js";
import { button, el, faultNote, fill, note } from "../dom.js";
import { withQuery } from "../api.js";
import { countOf, differenceOf, differenceView, faultsView, isSame } from "./difference.js";

/**
 * Opens the dialog.
 * @param {{api: Object, settings: Object, generation?: number}} what `generation`: roll back to that one instead of reading the files
 * @returns {Promise<?Object>} the API's answer where something was put in force
 */
export function reload({ api, settings, generation }) {
    const path = generation ? "/admin/config/rollback" : "/admin/reload-config";
    const content = el("div", { class: "dialog-body", tabindex: "0", "aria-live": "polite" });
    const foot = el("div", { class: "dialog-foot" });
    const dialog = openDialog({
        title: generation ? `Roll back to generation ${generation}` : "Reload the configuration",
        name: generation ? "rollback" : "reload",
        kind: "ops-large",
        children: [content, foot],
        onEscape: () => !busy,
    });
    let busy = false;
    let result = null;

    // What would change is read first: the focus is on it, not on the button that has it done.
    const show = (nodes, buttons, focused) => {
        fill(content, nodes);
        fill(foot, buttons);
        (focused ?? buttons.at(-1))?.focus();
    };
    const closing = (text = "Close") => button(text, () => dialog.close(result));
    const failed = (problem) => {
        const again = button(problem.status === 412 ? "Look anew" : "Try again", preview, { kind: "primary" });
        if (problem.status === 412) {
            problem.hint = "somebody else has changed it: look anew at what would change now";
        }
        const nodes = problem.members?.faults?.length > 0 ? faultsView(problem.members) : faultNote(problem);
        show([nodes], [closing(), again]);
    };
    const run = async (parameters, options) => {
        busy = true;
        try {
            return await api.request("POST", withQuery(path, { generation, ...parameters }), options);
        } finally {
            busy = false;
        }
    };

    async function preview() {
        show(
            [
                el(
                    "p",
                    { class: "panel-note" },
                    generation ? "Comparing…" : "Reading files, users, keys and certificates…",
                ),
            ],
            [],
        );
        try {
            const { data, etag } = await run({ dry_run: true });
            const difference = differenceOf(data, settings);
            const view = differenceView(difference, { done: false });
            if (!data.changed && difference.groups.every(({ kind }) => kind === "restart")) {
                show(view, [closing()]);
                return;
            }
            const apply = button(generation ? "Roll back" : "Apply", () => put(data, etag), {
                kind: "primary",
                "data-apply": "",
            });
            show(
                [el("p", { class: "ops-found" }, `${countOf(difference)}. Nothing has been put in force yet.`), view],
                [closing("Cancel"), apply],
                content,
            );
        } catch (problem) {
            failed(problem);
        }
    }

    async function put(previewed, etag) {
        fill(foot, el("span", { class: "panel-note", role: "status" }, "Putting it in force on all workers…"));
        try {
            const { data } = await run({}, { ifMatch: etag });
            result = data;
            const other =
                !isSame(previewed, data) &&
                note(
                    "warn",
                    "The files have changed between the preview and this: what is in force now is what stands here.",
                );
            const words = data.changed
                ? `Generation ${data.generation} is in force on all workers.`
                : "Nothing has changed.";
            show([note("ok", words), other, differenceView(differenceOf(data, settings), { done: true })], [closing()]);
        } catch (problem) {
            failed(problem);
        }
    }

    preview();
    return dialog.closed.then((value) => value ?? result);
}
