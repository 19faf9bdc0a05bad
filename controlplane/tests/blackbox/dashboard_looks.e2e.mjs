// Whether everybody can use the dashboard: a phone, a keyboard, a screen reader, light and dark. See test_dashboard.py.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { echo, launch, load, Page } from "./browser.mjs";
import { eventually, start } from "./ringway.mjs";

const LONG = "a-user-whose-name-is-far-longer-than-any-column-of-any-table-can-be";

let browser;
let target;
let server;
before(async () => {
    const options = {
        "workers.count": 2,
        "socks5.allow_targets": "[loopback]",
        "alerts.rules": "[{name: busy, of: connections, above: 0, for: 0s, severity: warning}]",
    };
    [browser, target, server] = await Promise.all([launch(), echo(), start(options)]);
});
after(async () => {
    target.stop();
    await browser.close();
    await server.stop();
});

/** A page that has been looked at from top to bottom, so that every panel has asked for what it shows. */
async function seen(t, how) {
    const page = await Page.open(browser, server.control, how);
    t.after(() => page.close());
    await page.state("live");
    for (const panel of await page.get("main > section").all()) {
        await panel.scrollIntoViewIfNeeded();
    }
    await page.text("#panel-log", /level is\s+info/);
    return page;
}

for (const theme of ["light", "dark"]) {
    test(`axe finds nothing serious without data, ${theme}`, async (t) => {
        const page = await seen(t, { theme });
        assert.deepEqual(await page.axe(), []);
        page.assertClean();
    });

    test(`axe finds nothing serious with data, ${theme}, a dialog open too`, async (t) => {
        const traffic = await load(server, target.port);
        const page = await seen(t, { theme });
        await page.get('[data-alert="busy"]').waitFor();
        const panel = page.get("#panel-connections");
        await panel.locator("tbody tr").first().waitFor();
        await page.get("details").evaluateAll((all) => all.forEach((one) => (one.open = true)));
        // Hundreds of rows that are alike take axe as many times as long.
        await page.get("#panel-configuration input[type=search]").fill("control.");
        assert.deepEqual(await page.axe(), []);
        await panel
            .getByRole("button", { name: /^Kill 0|^Kill 1/ })
            .first()
            .click();
        await page.get("dialog").waitFor();
        assert.deepEqual(await page.axe("dialog"), []);
        await traffic.stop();
        page.assertClean();
    });
}

test("a phone shows all of it without scrolling sideways", async (t) => {
    const traffic = await load(server, target.port);
    const page = await seen(t, { width: 390, height: 844, deviceScaleFactor: 2, hasTouch: true, isMobile: true });
    await page.get("#panel-connections tbody tr").first().waitFor();
    assert.ok(await page.isAsWideAsItsWindow(), await wider(page));
    const cells = await page.get("#panel-connections tbody tr").first().evaluate(shares);
    assert.ok(cells.target > 0.95 && cells.client > 0.4 && cells.user > 0.2, JSON.stringify(cells));
    await page.get("details").evaluateAll((all) => all.forEach((one) => (one.open = true)));
    const condition = page.get("#panel-alerts .ops-fires").first();
    assert.ok((await condition.evaluate((one) => one.clientWidth)) > 120, "a rule's condition has room");
    assert.ok(await page.isAsWideAsItsWindow(), await wider(page));
    await traffic.stop();
    page.assertClean();
});

/** How much of a connection's line its cells have. */
function shares(row) {
    const share = (name) => row.querySelector(`.ops-of-${name}`).clientWidth / row.clientWidth;
    return { target: share("target"), client: share("client"), user: share("user") };
}

/** What stands out at the right. */
function wider({ page }) {
    return page.evaluate(() => {
        const width = document.documentElement.clientWidth;
        const out = [...document.querySelectorAll("body *")].filter(
            (one) => one.getBoundingClientRect().right > width + 1,
        );
        return out
            .slice(0, 8)
            .map((one) => `${one.tagName}.${one.className}`)
            .join(" ");
    });
}

test("all that can be pressed is reached by Tab, visibly, and nothing holds the focus", async (t) => {
    const page = await seen(t);
    const PRESSED = "a[href], button, input, select, summary";
    await page.page.evaluate((pressed) => {
        scrollTo(0, 0);
        document.activeElement.blur();
        // What only comes meanwhile, as an alert does, may come where Tab has been already.
        document.querySelectorAll(pressed).forEach((one) => (one.dataset.there = "yes"));
    }, PRESSED);
    const focused = () =>
        page.page.evaluate(() => {
            const one = document.activeElement;
            if (one === document.body) {
                return null;
            }
            const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(one);
            const ring = (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none";
            one.dataset.tabbed = "yes";
            return { what: `${one.tagName}#${one.id}.${one.className} ${one.textContent.slice(0, 30)}`, ring };
        });
    let steps = 0;
    for (; steps < 400; steps += 1) {
        await page.page.keyboard.press("Tab");
        const here = await focused();
        if (here === null) {
            break;
        }
        assert.ok(here.ring, `no ring around ${here.what}`);
    }
    assert.ok(steps > 15 && steps < 400, `${steps} stops`);
    const missed = await page.page.evaluate(
        (pressed) =>
            [...document.querySelectorAll(pressed)]
                .filter(({ dataset }) => dataset.there && !dataset.tabbed)
                .filter((one) => one.checkVisibility() && !one.disabled && one.type !== "radio")
                .map((one) => one.outerHTML.slice(0, 100)),
        PRESSED,
    );
    assert.deepEqual(missed, []);
    page.assertClean();
});

test("a dialog is opened, walked and left by keyboard, and the focus is back where it was", async (t) => {
    const page = await seen(t);
    const opener = page.get("#panel-log").getByRole("button", { name: "Set a level…" });
    await opener.focus();
    await page.page.keyboard.press("Enter");
    const dialog = page.get("dialog");
    await dialog.waitFor();
    for (let step = 0; step < 12; step += 1) {
        await page.page.keyboard.press("Tab");
        const inside = await page.page.evaluate(
            () =>
                document.activeElement === document.body ||
                document.querySelector("dialog").contains(document.activeElement),
        );
        assert.ok(inside, "the focus stays in the dialog");
    }
    await page.page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    assert.ok(await opener.evaluate((one) => one === document.activeElement));
    page.assertClean();
});

test("a theme is chosen, and kept", async (t) => {
    const page = await Page.open(browser, server.control, { theme: "light" });
    t.after(() => page.close());
    await page.state("live");
    const ground = () => page.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    const toggle = page.get("#theme");
    await eventually(async () => (await toggle.click(), (await ground()) !== light), "another ground");
    const dark = await ground();
    await page.page.reload();
    await page.state("live");
    assert.equal(await ground(), dark);
    page.assertClean();
});

test("what must not happen would be seen", async (t) => {
    const page = await seen(t);
    await page.page.evaluate(async () => {
        console.warn("a warning");
        document.body.append(Object.assign(document.createElement("img"), { src: "http://192.0.2.1/a.png" }));
        await fetch("http://stranger.example/").catch(() => {});
        document.body.insertAdjacentHTML("beforeend", '<p style="color: red">x</p><button></button>');
    });
    await eventually(
        () => page.violations.length >= 3,
        () => String(page.violations),
    );
    assert.match(page.violations.sort().join(), /connect-src.*img-src http:\/\/192\.0\.2\.1.*style-src/);
    assert.ok(page.said.some((text) => text.startsWith("a warning")));
    assert.throws(() => page.assertClean());
    assert.match((await page.axe()).join(), /button-name/);

    page.violations = page.said = [];
    page.urls.push("http://stranger.example/");
    assert.throws(() => page.assertClean(), /stranger/);
});
