// Top.

import { el } from "../dom.js";

export function mount(root) {
    root.append(el("div", { class: "panel-head" }, el("h2", {}, "Top")), el("p", { class: "empty" }, "This panel is being built."));
}
