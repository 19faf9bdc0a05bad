// The form for a token.

import { formDialog } from "./dialog.js";
import { el, field } from "./dom.js";

/** What may stand in a header's value: anything else was not made by `ringway token`. */
const TOKEN = /^[\x21-\x7e]+$/;

/**
 * Asks for a token until one is right.
 * @param {import("./api.js").Api} api
 * @param {?import("./api.js").Problem} problem why it is asked for
 * @returns {Promise<?string>} null: not now
 */
export async function askForToken(api, problem) {
    const token = field({
        label: "Token",
        name: "token",
        type: "password",
        required: true,
        autocomplete: "current-password",
        hint: "It is kept in this tab alone, until the tab is closed.",
    });
    const why = !api.token
        ? null
        : problem?.status === 401
          ? "The token of this tab is not valid any more"
          : problem?.detail;
    const shown = await formDialog({
        title: problem?.status === 403 ? "Use another token" : "Who is there?",
        name: "login",
        intro: [
            problem?.status !== 403 && el("p", {}, "This control port answers nobody without a token."),
            el(
                "p",
                { class: "panel-note" },
                "Its operator makes one with ",
                el("code", {}, "ringway token NAME read"),
                " (or operate, or admin).",
            ),
        ],
        fields: [token],
        confirm: "Sign in",
        cancel: "Not now",
        fault: why ? { detail: why } : null,
        submit: async () => {
            const candidate = token.control.value.trim();
            if (!TOKEN.test(candidate)) {
                throw new Error("A token has no spaces and no characters beyond ASCII.");
            }
            try {
                await api.once("GET", "/health", { token: candidate });
            } catch (fault) {
                // 503: ringway is unwell, and says so to those it knows.
                if (fault.status !== 503) {
                    token.control.select();
                    fault.hint = fault.status === 401 ? "" : fault.hint;
                    throw fault;
                }
            }
            return candidate;
        },
    });
    return shown ?? null;
}
