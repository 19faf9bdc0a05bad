// Asking again and again, but only while somebody looks: nothing is asked for a panel that is scrolled away, nor in a hidden tab.

/** What is a little below the window is asked for as well: it is there when one comes to it. */
const NEAR = { rootMargin: "500px" };

/**
 * Calls `ask` at once when `root` comes into view, and `intervalMs` after each answer while it stays there. A call that throws is
 * the caller's to show; the next one comes in time all the same.
 * @param {Element} root
 * @param {number} intervalMs
 * @param {(signal: AbortSignal) => Promise<void>} ask
 * @returns {{now: () => Promise<void>, stop: () => void, setInterval: (ms: number) => void}} `now` asks at once
 */
export function poll(root, intervalMs, ask) {
    let seen = false;
    let timer = null;
    let running = null;
    let interval = intervalMs;
    const isWanted = () => seen && document.visibilityState === "visible";
    const schedule = () => {
        clearTimeout(timer);
        timer = isWanted() ? setTimeout(run, interval) : null;
    };
    const run = async () => {
        running?.abort();
        const abort = (running = new AbortController());
        clearTimeout(timer);
        timer = null;
        try {
            await ask(abort.signal);
        } catch (fault) {
            if (!fault?.isAborted) {
                console.warn("asking for a panel failed", fault?.message ?? fault);
            }
        } finally {
            if (running === abort) {
                running = null;
                schedule();
            }
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
    return {
        now: run,
        setInterval: (ms) => (interval = ms),
        stop: () => {
            observer.disconnect();
            document.removeEventListener("visibilitychange", look);
            clearTimeout(timer);
            running?.abort();
        },
    };
}
