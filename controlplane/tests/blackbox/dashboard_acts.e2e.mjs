// What people do on the dashboard: kill, reload, log level, sign in. See test_dashboard.py.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { echo, exchange, launch, Page, tunnel } from "./browser.mjs";
import { eventually, start } from "./ringway.mjs";

const TWO_WORKERS = { "workers.count": 2, "socks5.allow_targets": "[loopback]" };

let browser;
let target;
let folder;
before(async () => {
    [browser, target, folder] = await Promise.all([launch(), echo(), mkdtemp(join(tmpdir(), "ringway-acts-"))]);
});
after(async () => {
    target.stop();
    await browser.close();
    await rm(folder, { recursive: true });
});

/** A server and a page on it, both gone after the test. */
async function opened(t, options = {}, how = {}) {
    const server = await start({ ...TWO_WORKERS, ...options }, how);
    t.after(() => server.stop());
    const page = await Page.open(browser, server.control);
    t.after(() => page.close());
    return { server, page };
}

async function json(server, path, token) {
    const answer = await fetch(server.control + path, { headers: token ? { Authorization: `Bearer ${token}` } : {} });
    assert.equal(answer.status, 200, path);
    return answer.json();
}

test("a connection is killed from the table, with a reason", async (t) => {
    const { server, page } = await opened(t);
    await page.state("live");
    const [doomed, other] = [await tunnel(server.socks, target.port), await tunnel(server.socks, target.port)];
    await Promise.all([exchange(doomed, 5_000), exchange(other, 5_000)]);
    const panel = page.get("#panel-connections");
    await panel.scrollIntoViewIfNeeded();
    const client = `127.0.0.1:${doomed.localPort}`;
    await panel.getByLabel("Client").fill(client.split(":")[0]);
    const row = panel.locator("tbody tr", { hasText: client });
    await row.waitFor();
    const ended = new Promise((resolve) => doomed.once("close", resolve));
    await row.getByRole("button", { name: /^Kill/ }).click();
    const dialog = page.get('dialog[data-dialog="kill"]');
    await dialog.getByLabel("Reason").fill("too busy");
    await dialog.getByRole("button", { name: "Kill", exact: true }).click();
    await ended;
    await dialog.waitFor({ state: "detached" });
    await row.waitFor({ state: "detached" });
    const audited = () => server.log.find((line) => line.includes("audit") && line.includes("method=DELETE"));
    assert.match(await eventually(audited), /by=anybody .*too busy/);
    await exchange(other, 5_000);
    other.destroy();
    page.assertClean();
});

test("a reload is shown before it is applied", async (t) => {
    const file = join(folder, "ringway.yaml");
    await writeFile(file, "socks5:\n  logins:\n    ban: 20m\n");
    const { server, page } = await opened(t, {}, { arguments: ["-c", file] });
    await page.state("live");
    const inForce = async () => (await json(server, "/config"))["socks5.logins.ban"].value;
    assert.equal(await inForce(), "20m");
    await writeFile(file, "socks5:\n  logins:\n    ban: 17m\n");

    const panel = page.get("#panel-configuration");
    await panel.scrollIntoViewIfNeeded();
    await panel.getByRole("button", { name: "Reload…" }).click();
    const dialog = page.get('dialog[data-dialog="reload"]');
    const change = dialog.locator('[data-key="socks5.logins.ban"]');
    await change.waitFor();
    assert.match(await change.innerText(), /20m[^]*17m/);
    assert.equal(await inForce(), "20m");
    await dialog.locator("[data-apply]").click();
    await dialog.getByText(/in force on all workers/).waitFor();
    assert.equal(await inForce(), "17m");
    await page.page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
    await panel.locator('[data-generation="2"]').waitFor();
    page.assertClean();
});

test("a faulty file changes nothing, and the page says where the fault is", async (t) => {
    const file = join(folder, "faulty.yaml");
    await writeFile(file, "socks5:\n  logins:\n    ban: 20m\n");
    const { server, page } = await opened(t, {}, { arguments: ["-c", file] });
    await page.state("live");
    await writeFile(file, "socks5:\n  logins:\n    ban: soon\n");
    const panel = page.get("#panel-configuration");
    await panel.scrollIntoViewIfNeeded();
    await panel.getByRole("button", { name: "Reload…" }).click();
    const dialog = page.get('dialog[data-dialog="reload"]');
    await dialog
        .getByText(/faulty\.yaml:3/)
        .first()
        .waitFor();
    assert.equal((await json(server, "/config"))["socks5.logins.ban"].value, "20m");
    // Chromium writes the refusal itself.
    page.said = page.said.filter((text) => !/status of 4\d\d/.test(text));
    page.assertClean();
});

test("a log level is set for a time, and returns", async (t) => {
    const { server, page } = await opened(t);
    await page.state("live");
    const panel = page.get("#panel-log");
    await panel.scrollIntoViewIfNeeded();
    await panel.getByRole("button", { name: "Set a level…" }).click();
    const dialog = page.get('dialog[data-dialog="log-level"]');
    await dialog.getByLabel("Level").selectOption("debug");
    await dialog.getByLabel("Module").fill("ringway_dataplane");
    await dialog.getByRole("button", { name: "Set" }).click();
    await panel.getByText("ringway_dataplane").waitFor();
    const [set] = (await json(server, "/admin/log")).set;
    assert.deepEqual([set.module, set.level], ["ringway_dataplane", "debug"]);
    await panel.getByRole("button", { name: /return to its level now/ }).click();
    await eventually(async () => (await json(server, "/admin/log")).set.length === 0, "no level of its own");
    page.assertClean();
});

test("who is asked for a token signs in, and reads the feed by a ticket", async (t) => {
    const token = `rw_${randomBytes(20).toString("hex")}`;
    const digest = createHash("sha256").update(token).digest("hex");
    const { server, page } = await opened(t, {
        "control.tokens": `[{name: alice, scope: admin, token: "{sha256}${digest}"}]`,
    });
    const dialog = page.get('dialog[data-dialog="login"]');
    const signIn = dialog.getByRole("button", { name: /^Sign in/ });
    await dialog.getByLabel("Token").fill(`rw_${randomBytes(20).toString("hex")}`);
    await signIn.click();
    await dialog.getByRole("alert").waitFor();
    assert.ok(!page.urls.some((url) => url.startsWith("ws:")), "nothing is read by who is nobody");

    await dialog.getByLabel("Token").fill(token);
    await signIn.click();
    await page.state("live");
    const socket = await tunnel(server.socks, target.port);
    await eventually(async () => (await page.figure("connections.active")) === 1, "one connection");
    socket.destroy();
    const sockets = page.urls.filter((url) => url.startsWith("ws:"));
    assert.ok(sockets.length > 0 && sockets.every((url) => /\/ws\?ticket=[0-9a-f]{32}$/.test(url)), String(sockets));
    assert.ok(!page.urls.some((url) => url.includes(token)), "a token is in no address");
    const log = server.log.join("\n");
    assert.ok(!log.includes(token) && !log.includes(sockets[0].split("=")[1]), "nor in the log");

    // A tab that is loaded again has it still; it is in no other.
    await page.page.reload();
    await page.state("live");
    page.assertClean({ refused: true });
});
