// Dialogs: the browser's own element, which keeps the focus inside and everything else out of reach. Escape closes them, and the
// focus goes back to where it was.

import { button, el, faultNote, fill } from "./dom.js";

let opened = 0;

/**
 * Opens a dialog.
 * @param {{title: string, name?: string, kind?: string, children?: Array, onEscape?: () => boolean}} what `onEscape` may refuse
 * @returns {{element: HTMLDialogElement, close: (value?: *) => void, closed: Promise<*>}}
 *     `closed` resolves to what it was closed with; undefined: it was dismissed.
 */
export function openDialog({ title, name = "", kind = "", children = [], onEscape = () => true }) {
    const before = document.activeElement;
    const id = `dialog-${(opened += 1)}`;
    const dismiss = button("✕", () => onEscape() && close(), {
        kind: "quiet small",
        "aria-label": "Close",
        title: "Close (Esc)",
    });
    const element = el(
        "dialog",
        { class: `dialog ${kind}`.trim(), "aria-labelledby": id, data: name ? { dialog: name } : {} },
        el("header", { class: "dialog-head" }, el("h2", { id }, title), dismiss),
        children,
    );
    let finish;
    const closed = new Promise((resolve) => (finish = resolve));
    let value;
    function close(given) {
        value = given;
        element.close();
    }
    element.addEventListener("cancel", (event) => {
        if (!onEscape()) {
            event.preventDefault();
        }
    });
    // A press on the backdrop is one on the dialog itself, outside its box.
    element.addEventListener("mousedown", (event) => {
        if (event.target === element && isOutside(element, event) && onEscape()) {
            close();
        }
    });
    element.addEventListener("close", () => {
        element.remove();
        if (before?.isConnected) {
            before.focus({ preventScroll: true });
        }
        finish(value);
    });
    document.body.append(element);
    element.showModal();
    return { element, close, closed };
}

function isOutside(element, { clientX, clientY }) {
    const box = element.getBoundingClientRect();
    return clientX < box.left || clientX > box.right || clientY < box.top || clientY > box.bottom;
}

/**
 * A form in a dialog. `submit` is called with the dialog: what it resolves to closes the dialog, what it throws is shown in it and
 * the form stays. Meanwhile nothing can be pressed twice.
 * @returns {Promise<*>} what `submit` came to; undefined: it was dismissed
 */
export function formDialog({
    title,
    name,
    kind,
    intro = [],
    fields = [],
    confirm,
    danger = false,
    cancel = "Cancel",
    fault = null,
    submit,
}) {
    let busy = false;
    const faults = el("div", { class: "ops-faults" }, fault && faultNote(fault));
    const yes = el("button", { type: "submit", class: `button ${danger ? "danger" : "primary"}` }, confirm);
    const no = button(cancel, () => dialog.close());
    const form = el(
        "form",
        { class: "ops-form", novalidate: true },
        el("div", { class: "dialog-body" }, intro, fields, faults),
        el("div", { class: "dialog-foot" }, no, yes),
    );
    const dialog = openDialog({ title, name, kind, children: [form], onEscape: () => !busy });
    const setBusy = (is) => {
        busy = is;
        [yes, no].forEach((one) => (one.disabled = is));
        form.setAttribute("aria-busy", String(is));
    };
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const invalid = form.querySelector(":invalid");
        if (busy) {
            return;
        }
        if (invalid) {
            fill(faults, faultNote(`${labelOf(invalid)}: ${invalid.validationMessage}`));
            invalid.focus();
            return;
        }
        setBusy(true);
        fill(faults);
        try {
            dialog.close(await submit({ ...dialog, confirm: yes }));
        } catch (problem) {
            setBusy(false);
            fill(faults, faultNote(problem));
            holdBack(yes, problem.status === 429 ? problem.retryAfterSeconds : null);
        }
    });
    const first = form.querySelector("input, select, textarea");
    (first ?? yes).focus();
    return dialog.closed;
}

function labelOf(control) {
    return control.labels?.[0]?.textContent ?? "This field";
}

/** After too many wrong ones: the button says how long, and cannot be pressed before. */
function holdBack(confirm, seconds) {
    if (!seconds) {
        return;
    }
    const text = confirm.textContent;
    let left = seconds;
    confirm.disabled = true;
    const tick = () => {
        const over = left <= 0 || !confirm.isConnected;
        confirm.textContent = over ? text : `${text} (in ${left} s)`;
        confirm.disabled = !over;
        left -= 1;
        if (!over) {
            setTimeout(tick, 1_000);
        }
    };
    tick();
}
