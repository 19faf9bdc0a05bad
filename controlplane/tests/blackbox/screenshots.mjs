// Pictures of the dashboard for docs/images: see scripts/screenshots.sh.
//     node screenshots.mjs FOLDER [FOLDER FOR WHOLE PAGES]
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { echo, launch, Page } from "./browser.mjs";
import { eventually, start } from "./ringway.mjs";
import { names, PASSWORD, traffic, USERS } from "./traffic.mjs";

const [images, whole] = process.argv.slice(2);
const WARM_SECONDS = Number(process.env.WARM_SECONDS ?? 150);
const LOAD_SECONDS = Number(process.env.LOAD_SECONDS ?? 45);
const DESK = { width: 1440, height: 900, deviceScaleFactor: 1 };
const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const seconds = (count) => new Promise((resolve) => setTimeout(resolve, count * 1000));

/** The page from its top, and for those who look critically all of it. */
async function picture(page, name) {
    await page.page.evaluate(() => scrollTo(0, 0));
    await page.page.screenshot({ path: join(images, `dashboard-${name}.png`) });
    if (whole) {
        for (const panel of await page.get("main > section").all()) {
            await panel.scrollIntoViewIfNeeded();
            await seconds(0.5);
        }
        await page.page.evaluate(() => scrollTo(0, 0));
        await seconds(1);
        await page.page.screenshot({ path: join(whole, `whole-${name}.png`), fullPage: true });
    }
}

async function main() {
    const folder = await mkdtemp(join(tmpdir(), "ringway-pictures-"));
    const users = USERS.map((name) => `  - {name: ${name}, password: "{plain}${PASSWORD}"}\n`).join("");
    await writeFile(join(folder, "users.yaml"), `users:\n${users}`);
    const [browser, target, dns] = await Promise.all([launch(), echo(), names()]);
    const server = await start({
        "workers.count": 2,
        "socks5.allow_targets": "[loopback]",
        "socks5.auth": "password",
        "socks5.users_file": join(folder, "users.yaml"),
        "socks5.dns.servers": `["${dns.address}"]`,
    });
    const town = await traffic(server, target.port);
    try {
        const open = (theme, size) => Page.open(browser, server.control, { theme, ...size });
        const pages = {
            light: await open("light", DESK),
            dark: await open("dark", DESK),
            phone: await open("light", PHONE),
        };
        await Promise.all(Object.values(pages).map((page) => page.state("live")));
        await seconds(WARM_SECONDS);
        for (const [name, page] of Object.entries(pages)) {
            await picture(page, name);
        }
        town.share = 12;
        await seconds(LOAD_SECONDS);
        await picture(pages.light, "load");
        town.stop();
        await server.stop("SIGKILL");
        await pages.light.state("offline");
        await eventually(async () => !(await pages.light.get("#toasts > *").count()), "toasts to go");
        await picture(pages.light, "offline");
    } finally {
        town.stop();
        target.stop();
        dns.stop();
        await server.stop();
        await browser.close();
        await rm(folder, { recursive: true });
    }
}

await main();
