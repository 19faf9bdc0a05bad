// Building the page: elements made of plain values. What ringway's clients sent is only ever text here, never markup.

/** Properties that an attribute would not set, or not for long. */
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "required", "selected", "indeterminate"]);

/**
 * An element. `on` holds listeners by event, `data` the data-* attributes; null and false leave an attribute out.
 * @param {string} tag
 * @param {Object<string, *>} [properties]
 * @param {...(Node|string|number|null|false|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(properties ?? {})) {
        if (name === "on") {
            Object.entries(value).forEach(([event, listener]) => element.addEventListener(event, listener));
        } else if (name === "data") {
            Object.assign(element.dataset, value);
        } else if (PROPERTIES.has(name)) {
            element[name] = value ?? "";
        } else if (value !== null && value !== undefined && value !== false) {
            element.setAttribute(name, value === true ? "" : String(value));
        }
    }
    element.append(...kept(children));
    return element;
}

/** Puts these in place of what was in it. */
export function fill(element, ...children) {
    element.replaceChildren(...kept(children));
    return element;
}

/** Sets the text if it is another one: an unchanged node is not laid out anew, nor read out again. */
export function setText(element, text) {
    const shown = String(text ?? "");
    if (element.textContent !== shown) {
        element.textContent = shown;
    }
    return element;
}

function kept(children) {
    return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** A button that acts; `kind` is primary, danger, quiet or small, or several of them. */
export function button(text, onClick, { kind = "", ...properties } = {}) {
    return el(
        "button",
        { type: "button", class: `button ${kind}`.trim(), ...properties, on: { click: onClick } },
        text,
    );
}

let fields = 0;

/**
 * A labelled control: `{label, name, hint, options, ...}`; other properties are the control's own. With `options`
 * (`[value, text]` each) it is a select, with `list` (values) it suggests them.
 * @returns {HTMLElement} with `.control`
 */
export function field({ label, hint, options, list, class: kind = "", ...properties }) {
    const id = `field-${(fields += 1)}`;
    const described = hint ? { "aria-describedby": `${id}-hint` } : {};
    const { value, ...others } = properties;
    const own = { id, ...others, ...described };
    const control = options
        ? el(
              "select",
              own,
              options.map(([of, text]) => el("option", { value: of, selected: of === (value ?? "") }, text)),
          )
        : el("input", { type: "text", autocomplete: "off", spellcheck: "false", list: list && `${id}-list`, ...own });
    if (!options && value !== undefined && control.type !== "checkbox") {
        control.value = value;
    }
    const isBox = properties.type === "checkbox";
    const caption = el("label", { class: "field-name", for: id }, label);
    const wrapper = el(
        "div",
        { class: `field ${isBox ? "ops-box" : ""} ${kind}`.trim() },
        isBox ? [control, caption] : [caption, control],
        list &&
            el(
                "datalist",
                { id: `${id}-list` },
                list.map((of) => el("option", { value: of })),
            ),
        hint && el("p", { class: "field-hint", id: `${id}-hint` }, hint),
    );
    wrapper.control = control;
    return wrapper;
}

/** A message with what to do about it, read out at once. Takes a Problem, an Error or a text. */
export function faultNote(fault) {
    const detail = fault?.detail ?? String(fault?.message ?? fault);
    return el(
        "div",
        { class: "ops-note bad", role: "alert" },
        el("p", {}, sentence(detail)),
        fault?.hint && el("p", { class: "ops-hint" }, sentence(fault.hint)),
        fault?.signIn &&
            button(fault.status === 401 ? "Sign in…" : "Use another token…", fault.signIn, { kind: "small" }),
    );
}

/** The API's faults begin small and end without a full stop. */
export function sentence(text) {
    return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?:]$/.test(text) ? "" : ".");
}

/** Something to know: `kind` is info, warn, bad or ok. */
export function note(kind, ...children) {
    return el("div", { class: `ops-note ${kind}`, role: "status" }, el("p", {}, children));
}

/** Calm words where nothing is to be shown. */
export function emptyNote(text, hint) {
    return el("div", { class: "empty" }, el("p", {}, text), hint && el("p", { class: "ops-hint" }, hint));
}

/** A list of names and values; those without a value are left out. */
export function facts(pairs) {
    const given = pairs.filter(([, value]) => value !== null && value !== undefined);
    return el(
        "dl",
        { class: "facts" },
        given.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value instanceof Node ? value : String(value))]),
    );
}
