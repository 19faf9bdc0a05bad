// Rows that are told anew each second: their elements stay, only texts change.

import { el, setText } from "./dom.js";

/**
 * Rows within `parent`, each made once and told again and again: `make()` returns `{element, tell(item)}`.
 * @returns {(items: Array) => void}
 */
export function rowsIn(parent, make) {
    const rows = [];
    return (items) => {
        while (rows.length < items.length) {
            rows.push(make());
            parent.append(rows.at(-1).element);
        }
        while (rows.length > items.length) {
            rows.pop().element.remove();
        }
        items.forEach((item, index) => rows[index].tell(item));
    };
}

/** A share as a bar, 0 to 1: `{element, tell(share, kind)}`. What it shows stands beside it as text. */
export function bar(kind = "") {
    const element = el("span", { class: `bar ${kind}`, "aria-hidden": "true" }, el("span", { class: "bar-fill" }));
    return {
        element,
        tell(share, now = "") {
            const held = Math.min(1, Math.max(0, share || 0)).toFixed(4);
            if (element.dataset.share !== held) {
                element.dataset.share = held;
                element.style.setProperty("--share", held);
            }
            const wanted = `bar ${kind} ${now}`.trim();
            if (element.className !== wanted) {
                element.className = wanted;
            }
        },
    };
}

/** A text that may be cut, and is whole in its title. */
export function cut(element, text) {
    if (element.title !== text) {
        element.title = text;
    }
    return setText(element, text);
}

/** Shows `content` or, where there is none, `empty`. */
export function either(content, empty, has) {
    content.hidden = !has;
    empty.hidden = has;
}
