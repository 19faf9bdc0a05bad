//! New keys for JSON Web Tokens, while connections come in: from a file that changes, and from a URL.
//!
//! Runs on the control thread and waits for nobody there. Whatever fails, the keys there were stay. `fetch` is the
//! HTTP client; here is when, and what becomes of it.

use crate::fetch;
use ringway_dataplane::policy::jwt::{JWKS_BYTES_MAX, JwkSource, KeyRing};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often the file's date is looked at.
const FILE_LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often it is asked whether a fetch is due.
const URL_LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a failure the next fetch waits so long, then twice as long each time, up to `jwks_refresh`.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// Anybody can send tokens that name unknown keys: they bring on one fetch in so long at most.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(30);

/// From the name's lookup to the last byte.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// Gives the ring in use now; `None`: no JSON Web Tokens are asked for.
pub type Look = Rc<dyn Fn() -> Option<Arc<KeyRing>>>;

/// How fetches went.
#[derive(Default)]
pub struct Fetches {
    pub succeeded: Cell<u64>,
    pub failed: Cell<u64>,
}

/// Brings new keys into the ring for as long as it is polled.
pub async fn keep(look: Look, fetches: Rc<Fetches>) {
    tokio::join!(keep_file(&look), keep_url(&look, &fetches, fetch::host_roots));
}

async fn keep_file(look: &Look) {
    let mut watched = WatchedFile::default();
    loop {
        if let Some(ring) = look() {
            watched.look(&ring);
        }
        sleep(FILE_LOOK_EVERY).await;
    }
}

/// What was seen of the file last.
#[derive(Default)]
struct WatchedFile {
    /// Of which ring (a reload makes a new one), when it changed, its length and which file it is.
    stamp: Option<(usize, i64, i64, u64, u64)>,
    text: Option<Arc<str>>,
}

impl WatchedFile {
    fn look(&mut self, ring: &Arc<KeyRing>) {
        let Some(file) = &ring.config().jwks_file else { return };
        let path = file.path.display();
        let stamp = std::fs::metadata(&file.path).ok().map(|facts| {
            (Arc::as_ptr(ring) as usize, facts.mtime(), facts.mtime_nsec(), facts.len(), facts.ino())
        });
        // While it is away, between two versions, there is nothing to read.
        if stamp.is_none() || stamp == self.stamp {
            return;
        }
        if self.stamp.map(|stamp| stamp.0) != stamp.map(|stamp| stamp.0) {
            self.text = Some(file.text.clone());
        }
        self.stamp = stamp;
        let text = match read_bounded(&file.path) {
            Ok(text) => text,
            Err(error) => {
                return tracing::warn!(
                    "websocket.jwt.jwks_file {path} cannot be read: {error}; its keys stay"
                );
            }
        };
        if self.text.as_deref() == Some(&*text) {
            return;
        }
        match ring.read(&text, JwkSource::File) {
            Ok(keys) => {
                tracing::info!(
                    "websocket.jwt.jwks_file {path} has changed: {} keys, {} of no use",
                    keys.len(),
                    keys.skipped
                );
                ring.replace(JwkSource::File, keys);
            }
            Err(why) => tracing::warn!("websocket.jwt.jwks_file {path} {why}; its former keys stay"),
        }
        self.text = Some(text.into());
    }
}

/// Reads one byte too far a file that is too large: it is refused by its length then.
fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(JWKS_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

async fn keep_url(look: &Look, fetches: &Fetches, roots: fetch::Roots) {
    let mut schedule = Schedule::default();
    loop {
        if let Some(ring) = look()
            && let Some(url) = ring.config().jwks_url.clone()
            && schedule.is_due(&url, ring.unknown_keys(), ring.config().jwks_refresh, Instant::now())
        {
            let unknown_keys = ring.unknown_keys();
            let fetched = get(&url, roots).await;
            let succeeded = take_fetched(look, &url, fetched);
            let count = if succeeded { &fetches.succeeded } else { &fetches.failed };
            count.set(count.get() + 1);
            schedule.done(&url, unknown_keys, succeeded, Instant::now());
        }
        sleep(URL_LOOK_EVERY).await;
    }
}

/// The document at `url`. The error is for the operator.
async fn get(url: &str, roots: fetch::Roots) -> Result<String, String> {
    let ask = fetch::Ask {
        method: "GET",
        url,
        headers: &[("accept", "application/json")],
        body: Vec::new(),
        time_max: FETCH_MAX,
        answer_bytes_max: JWKS_BYTES_MAX,
    };
    let answer = fetch::send(&ask, roots).await?;
    // A redirect leads to another host, which nobody has configured.
    if answer.status != 200 {
        return Err(format!("answered {}: the URL must answer 200 with a JWK Set", answer.status));
    }
    String::from_utf8(answer.body?).map_err(|_| "the answer is not UTF-8".to_owned())
}

/// Gives what was fetched to the ring in use now, which may be a newer one than it was fetched for.
fn take_fetched(look: &Look, url: &str, fetched: Result<String, String>) -> bool {
    let Some(ring) = look().filter(|ring| ring.config().jwks_url.as_deref() == Some(url)) else {
        return fetched.is_ok();
    };
    match fetched.and_then(|text| ring.read(&text, JwkSource::Url)) {
        Ok(keys) => {
            tracing::debug!("fetched {} keys from {url}, {} of no use", keys.len(), keys.skipped);
            ring.replace(JwkSource::Url, keys);
            true
        }
        Err(why) => {
            tracing::warn!("websocket.jwt.jwks_url {url}: {why}; the keys fetched before stay");
            false
        }
    }
}

/// When the URL is fetched next.
#[derive(Default)]
struct Schedule {
    /// What was fetched last, and when; `None`: nothing yet.
    last: Option<(Box<str>, Instant)>,
    failures: u32,
    /// Tokens with unknown keys until then.
    unknown_keys: u64,
}

impl Schedule {
    /// `refresh` as it is now: a shorter one holds at once.
    fn is_due(&self, url: &str, unknown_keys: u64, refresh: Duration, now: Instant) -> bool {
        let Some((last, at)) = &self.last else { return true };
        let wait = match self.failures {
            0 => refresh,
            failures => RETRY_MIN.saturating_mul(1 << (failures - 1)).min(refresh),
        };
        let regular = now.duration_since(*at) >= wait;
        let asked_for = unknown_keys != self.unknown_keys && now.duration_since(*at) >= UNKNOWN_KEY_PAUSE;
        **last != *url || regular || asked_for
    }

    fn done(&mut self, url: &str, unknown_keys: u64, succeeded: bool, now: Instant) {
        self.failures = if succeeded { 0 } else { (self.failures + 1).min(16) };
        self.last = Some((url.into(), now));
        self.unknown_keys = unknown_keys;
    }
}

#[cfg(test)]
mod tests;
