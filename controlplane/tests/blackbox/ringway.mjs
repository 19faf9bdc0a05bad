// The program under test for tests in JavaScript: TEST_PROGRAM, on free ports unless told otherwise. ringway.py is its elder.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const WAIT_MS = 30_000;
const POLL_MS = 10;
const READY = /ready socks5=(\S+) websocket=(\S+) control=([^\s"]+)/;
const FREE_PORTS = {
    "socks5.listen": "[127.0.0.1:0]",
    "websocket.listen": "[127.0.0.1:0]",
    "control.listen": "[127.0.0.1:0]",
};

/** npm's packages lie where NODE_PATH says. */
export const require = createRequire(import.meta.url);

/** Calls `condition` until it is truthy and gives its value. */
export async function eventually(condition, what = String(condition)) {
    const deadline = performance.now() + WAIT_MS;
    for (;;) {
        const value = await condition();
        if (value) {
            return value;
        }
        if (performance.now() >= deadline) {
            throw new Error(`not within ${WAIT_MS} ms: ${typeof what === "function" ? what() : what}`);
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
}

/** An ES module of the dashboard's. Through a `data:` address, as Node takes a `.js` file without a package.json for CommonJS. */
export async function dashboardModule(name) {
    const text = await readFile(join(process.env.TEST_DASHBOARD, name));
    return import(`data:text/javascript;base64,${text.toString("base64")}`);
}

/** A running ringway, ready to serve: `await start({"workers.count": 1}, {arguments: ["-c", file]})`. */
export async function start(options = {}, { arguments: words = [] } = {}) {
    const folder = await mkdtemp(join(tmpdir(), "ringway-"));
    const settings = Object.entries({ ...FREE_PORTS, ...options }).flatMap(([key, value]) => [
        "--set",
        `${key}=${value}`,
    ]);
    const process_ = spawn(process.env.TEST_PROGRAM, [...words, ...settings], {
        cwd: folder,
        stdio: ["ignore", "pipe", "pipe"],
        // Without what would configure it.
        env: Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("RINGWAY_"))),
    });
    const log = [];
    const ready = new Promise((resolve, reject) => {
        const heard = (line) => {
            log.push(line);
            const found = READY.exec(line);
            found && resolve(found);
        };
        createInterface(process_.stdout).on("line", heard);
        createInterface(process_.stderr).on("line", heard);
        process_.once("exit", (code) => reject(new Error(`ringway ended with ${code}:\n${log.join("\n")}`)));
    });
    const [, socks, websocket, control] = await ready;
    const stop = async (signal = "SIGTERM") => {
        if (process_.exitCode === null && process_.signalCode === null) {
            process_.kill(signal);
            await once(process_, "exit");
        }
        await rm(folder, { recursive: true, force: true });
    };
    return { socks, websocket: `ws://${websocket}/ws`, control: `http://${control}`, log, stop };
}
