//! What somebody wants of the configuration.

use super::Refusal;
use crate::running::Temporary;
use ringway_shared::config::{KEYS, Reload};
use std::time::Duration;

/// Keys set for a time at once.
pub const OVERRIDES_MAX: usize = 64;
/// The longest time for which something is set.
pub const TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A wish, and whose it is.
pub struct Request {
    /// As logs and `GET /admin/config/generations` name them.
    pub by: String,
    /// Somebody is answered, and the audit log has the line of that request.
    pub answered: bool,
    pub wish: Wish,
    /// Only tell what would change.
    pub dry_run: bool,
    /// The ETags one of which the configuration in force must have, as `If-Match` has them.
    pub if_match: Option<String>,
}

pub enum Wish {
    /// What file, environment and command line say now.
    Sources,
    /// An earlier generation, with the contents its files had then; `None`: the one before.
    Rollback(Option<u64>),
    /// Set these for a time.
    Override(Vec<Temporary>),
    /// End what is set for a time: this key, or all. With `due` only, whatever is over anyway.
    Return(Returning),
}

pub enum Returning {
    All,
    Key(String),
    Due,
}

impl Request {
    /// SIGHUP.
    #[must_use]
    pub fn of_signal() -> Request {
        Request {
            by: "SIGHUP".to_owned(),
            answered: false,
            wish: Wish::Sources,
            dry_run: false,
            if_match: None,
        }
    }

    /// What is over ends.
    #[must_use]
    pub fn of_the_clock() -> Request {
        Request {
            by: "clock".to_owned(),
            answered: false,
            wish: Wish::Return(Returning::Due),
            dry_run: false,
            if_match: None,
        }
    }

    /// Whether it is kept, and done later, when it comes at a bad moment: nobody would see that it was refused.
    #[must_use]
    pub fn can_be_put_off(&self) -> bool {
        !self.answered && matches!(self.wish, Wish::Sources)
    }

    /// Whether it was made knowing the configuration in force (RFC 9110 section 13.1.1).
    pub fn agrees_with(&self, tag: &str) -> Result<(), Refusal> {
        let Some(wanted) = &self.if_match else { return Ok(()) };
        let names_it = |one: &str| one == "*" || one == tag;
        if wanted.split(',').any(|one| names_it(one.trim())) {
            return Ok(());
        }
        Err(Refusal::Stale { tag: tag.to_owned() })
    }
}

impl Wish {
    /// As logs have it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Wish::Sources => "reload",
            Wish::Rollback(_) => "rollback",
            Wish::Override(_) => "override",
            Wish::Return(_) => "end of an override",
        }
    }

    /// Puts its own overrides in, or takes some away.
    pub fn overrule(&self, overrides: &mut Vec<Temporary>) -> Result<(), Refusal> {
        match self {
            Wish::Sources | Wish::Rollback(_) | Wish::Return(Returning::Due) => {}
            Wish::Override(fresh) => {
                overrides.retain(|one| !fresh.iter().any(|fresh| fresh.set.key == one.set.key));
                overrides.extend(fresh.iter().cloned());
                // In the table's order: it is the same set whoever set what first.
                overrides.sort_by_key(|one| KEYS.iter().position(|key| key.path == one.set.key));
                if overrides.len() > OVERRIDES_MAX {
                    return Err(Refusal::TooManyOverrides);
                }
            }
            Wish::Return(Returning::All) => overrides.clear(),
            Wish::Return(Returning::Key(key)) => {
                if !overrides.iter().any(|one| one.set.key == *key) {
                    return Err(Refusal::NotOverridden(key.clone()));
                }
                overrides.retain(|one| one.set.key != *key);
            }
        }
        Ok(())
    }
}

/// Whether a key may be set for a time: one that takes effect without a listener or a restart. The error says why not.
pub fn may_be_set_for_a_time(path: &str) -> Result<(), String> {
    let Some(key) = KEYS.iter().find(|key| key.path == path) else {
        return Err("unknown key: GET /config lists all".to_owned());
    };
    if reaches_beyond(path) {
        return Err("names files, or says who may steer ringway: write it in the file and reload".to_owned());
    }
    match key.reload {
        Reload::Live | Reload::NewConnections => Ok(()),
        Reload::Listener => Err("opens and closes listeners: write it in the file and reload".to_owned()),
        Reload::Restart => Err("is read at the start alone: write it in the file and restart".to_owned()),
    }
}

/// Whether a key is out of bounds for requests: whoever may ask for it would have the files of ringway's user opened, or open the
/// control port wider than the configuration's owner did. What it is to be in the long run stands in files that others cannot write.
fn reaches_beyond(path: &str) -> bool {
    let names_files =
        [".certificates", "_file", "_files", "_env", "_url"].iter().any(|end| path.ends_with(end));
    let logs_elsewhere = path.starts_with("log.") && !["log.level", "log.access_format"].contains(&path);
    names_files || logs_elsewhere || path.starts_with("control.") || path == "socks5.upstream.proxies"
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::config::Override;
    use std::time::Instant;

    fn set(key: &str, value: &str) -> Temporary {
        let set = Override { key: key.to_owned(), value: value.to_owned(), until: String::new() };
        Temporary { set, due: Instant::now(), by: "test".to_owned() }
    }

    fn keys(overrides: &[Temporary]) -> Vec<(&str, &str)> {
        overrides.iter().map(|one| (&*one.set.key, &*one.set.value)).collect()
    }

    #[test]
    fn what_is_set_takes_the_place_of_what_was() {
        let mut overrides = Vec::new();
        let both = vec![set("log.level", "debug"), set("socks5.limits.connections", "5")];
        assert!(Wish::Override(both).overrule(&mut overrides).is_ok());
        assert!(Wish::Override(vec![set("log.level", "trace")]).overrule(&mut overrides).is_ok());
        assert_eq!(keys(&overrides), [("socks5.limits.connections", "5"), ("log.level", "trace")]);
        let end = |key: &str| Wish::Return(Returning::Key(key.to_owned()));
        assert!(end("log.level").overrule(&mut overrides).is_ok());
        assert!(matches!(end("log.level").overrule(&mut overrides), Err(Refusal::NotOverridden(_))));
        assert_eq!(keys(&overrides), [("socks5.limits.connections", "5")]);
        assert!(Wish::Return(Returning::All).overrule(&mut overrides).is_ok());
        assert!(overrides.is_empty());
    }

    #[test]
    fn they_are_bounded() {
        let live = KEYS.iter().filter(|key| may_be_set_for_a_time(key.path).is_ok());
        let many = live.take(OVERRIDES_MAX + 1).map(|key| set(key.path, key.default)).collect();
        let outcome = Wish::Override(many).overrule(&mut Vec::new());
        assert!(matches!(outcome, Err(Refusal::TooManyOverrides)));
    }

    #[test]
    fn no_request_names_files_or_widens_the_control_port() {
        for key in KEYS.iter().map(|key| key.path).filter(|path| may_be_set_for_a_time(path).is_ok()) {
            let foreign = ["file", "cert", "_env", "url", "control.", "log.a", "log.c", "proxies"];
            let is_form = key == "log.access_format";
            assert!(is_form || !foreign.iter().any(|part| key.contains(part)), "{key}");
        }
        assert!(may_be_set_for_a_time("log.audit").is_err() && may_be_set_for_a_time("log.level").is_ok());
    }

    #[test]
    fn listeners_and_what_is_read_at_the_start_cannot_be_set_for_a_time() {
        for (key, told) in
            [("socks5.listen", "listeners"), ("workers.count", "restart"), ("colour", "unknown key")]
        {
            assert!(may_be_set_for_a_time(key).unwrap_err().contains(told), "{key}");
        }
        assert!(may_be_set_for_a_time("socks5.limits.connections").is_ok());
    }

    #[test]
    fn an_etag_must_be_the_one_in_force() {
        let request = |if_match: Option<&str>| Request {
            answered: false,
            if_match: if_match.map(str::to_owned),
            ..Request::of_the_clock()
        };
        for wanted in [None, Some("*"), Some("\"3-a\""), Some("\"2-b\", \"3-a\"")] {
            assert!(request(wanted).agrees_with("\"3-a\"").is_ok(), "{wanted:?}");
        }
        // A weak tag does not do for what would be changed.
        for wanted in ["\"2-b\"", "W/\"3-a\"", ""] {
            assert!(request(Some(wanted)).agrees_with("\"3-a\"").is_err(), "{wanted:?}");
        }
    }
}
