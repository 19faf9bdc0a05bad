// The colours, chosen before the first paint: a classic script, so that the page never flashes.
// data-theme on <html> is always "light" or "dark"; what was chosen ("system" or one of both) is kept.
"use strict";
(() => {
    const KEY = "ringway.theme";
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const kept = () => {
        try {
            return localStorage.getItem(KEY) ?? "system";
        } catch {
            return "system";
        }
    };
    let now = kept();
    const apply = () => {
        const theme = now;
        document.documentElement.dataset.theme = theme === "system" ? (dark.matches ? "dark" : "light") : theme;
        dispatchEvent(new CustomEvent("themechange", { detail: theme }));
    };
    dark.addEventListener("change", apply);
    globalThis.ringwayTheme = {
        chosen: () => now,
        choose(theme) {
            now = theme;
            try {
                localStorage.setItem(KEY, theme);
            } catch {
                // Private windows may refuse; the choice then lasts as long as the page.
            }
            apply();
        },
    };
    apply();
})();
