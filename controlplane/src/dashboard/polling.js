// Asking again and again, but only while somebody looks: nothing is asked for a panel that is scrolled away, nor in a hidden tab.

/** From a failure to the next try, where the interval is longer. */
const RETRY_MS = 5_000;
/** What is a little below the window is asked for as well: it is there when one comes to it. */
const NEAR = { rootMargin: "500px" };

/**
 * Calls `ask` at once when `root` comes into view, and `intervalMs` after each answer while it stays there; sooner after a failure,
 * which `ask` shows and tells by `false`; at once when another token is there.
 * @param {Element} root
 * @param {number} intervalMs
 * @param {(signal: AbortSignal) => Promise<false|void>} ask
 * @returns {{now: () => Promise<void>, stop: () => void, setInterval: (ms: number) => void}} `now` asks at once
 */
export function poll(root, intervalMs, ask) {
    let seen = false;
    let timer = null;
    let running = null;
    let interval = intervalMs;
    const isWanted = () => seen && document.visibilityState === "visible";
    const schedule = (after) => {
        clearTimeout(timer);
        timer = isWanted() ? setTimeout(run, after) : null;
    };
    const run = async () => {
        running?.abort();
        const abort = (running = new AbortController());
        clearTimeout(timer);
        timer = null;
        let answered = false;
        try {
            answered = (await ask(abort.signal)) !== false;
        } catch (fault) {
            console.error(fault);
        }
        if (running === abort) {
            running = null;
            schedule(answered ? interval : Math.min(interval, RETRY_MS));
        }
    };
    const look = () => {
        if (!isWanted()) {
            clearTimeout(timer);
            timer = null;
        } else if (!running && timer === null) {
            run();
        }
    };
    const observer = new IntersectionObserver((entries) => {
        seen = entries.at(-1).isIntersecting;
        look();
    }, NEAR);
    observer.observe(root);
    document.addEventListener("visibilitychange", look);
    const again = () => isWanted() && run();
    addEventListener("tokenchange", again);
    return {
        now: run,
        setInterval: (ms) => (interval = ms),
        stop: () => {
            observer.disconnect();
            document.removeEventListener("visibilitychange", look);
            removeEventListener("tokenchange", again);
            clearTimeout(timer);
            running?.abort();
        },
    };
}
