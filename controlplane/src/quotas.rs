//! Used quotas over a restart: read at the start, saved each second if they changed, and at the end.
//!
//! The file is replaced whole (written beside, synced, renamed), so a crash leaves the one before: at most the last
//! second is lost. One that cannot be understood is refused and left as it is: nobody's quota starts anew by accident.

use crate::calendar;
use ringway_shared::account::Account;
use ringway_shared::config::{Config, Quota, QuotaPeriod};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

/// Bytes of the file: the most users there can be, thrice over.
const FILE_BYTES_MAX: u64 = 64 << 20;
const VERSION: u32 = 1;
/// What users have used is nobody else's business.
const MODE: u32 = 0o600;

/// What each user has used of its quota, as the file has it.
pub struct Quotas {
    path: PathBuf,
    /// `None`: not read, for no user has had a quota.
    kept: Option<BTreeMap<String, Kept>>,
    /// Users whose usage was told what the file had of them, and how much that was.
    adopted: HashMap<Arc<str>, u64>,
    failing: bool,
    /// It was said that a period is far ahead of the clock.
    told_ahead: bool,
    save_failures: Rc<Cell<u64>>,
}

/// One user's usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    used_bytes: u64,
    period: Period,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger<Users> {
    version: u32,
    users: Users,
}

/// What a number of used bytes is for. Months are in their order, written `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
enum Period {
    Month { year: i16, month: i8 },
    Total,
}

impl Period {
    fn now(quota: Quota, now: SystemTime) -> Period {
        let (year, month) = calendar::month(now);
        match quota.period {
            QuotaPeriod::Total => Period::Total,
            QuotaPeriod::Month => Period::Month { year, month },
        }
    }

    /// Whether what was used in `earlier` no longer counts. A clock that was set back does not make it count anew.
    fn is_new_after(self, earlier: Period) -> bool {
        match (self, earlier) {
            (Period::Month { year, month }, Period::Month { year: last_year, month: last_month }) => {
                (year, month) > (last_year, last_month)
            }
            (Period::Total, Period::Total) => false,
            _ => true,
        }
    }

    /// Whether this month is beyond the one that comes next: the clock was wrong when it was written, or is now.
    fn is_far_ahead_of(self, now: Period) -> bool {
        let count = |year: i16, month: i8| i32::from(year) * 12 + i32::from(month);
        match (self, now) {
            (Period::Month { year, month }, Period::Month { year: this_year, month: this_month }) => {
                count(year, month) > count(this_year, this_month) + 1
            }
            _ => false,
        }
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        match period {
            Period::Month { year, month } => format!("{year:04}-{month:02}"),
            Period::Total => "total".to_owned(),
        }
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Period, String> {
        if text == "total" {
            return Ok(Period::Total);
        }
        let parts =
            text.split_once('-').and_then(|(year, month)| Some((year.parse().ok()?, month.parse().ok()?)));
        match parts {
            Some((year @ 1..=9999, month @ 1..=12)) => Ok(Period::Month { year, month }),
            _ => Err(format!("{text:?} is no period: one is written like 2026-11, or total")),
        }
    }
}

impl Quotas {
    /// Reads the file if a user has a quota. The error is for the operator.
    pub fn open(config: &Config) -> Result<Quotas, String> {
        let path = config.socks5.quota_file.clone();
        let mut quotas = Quotas {
            path,
            kept: None,
            adopted: HashMap::new(),
            failing: false,
            told_ahead: false,
            save_failures: Rc::default(),
        };
        quotas.prepare(config)?;
        Ok(quotas)
    }

    /// Reads the file, if a user of this configuration has a quota and it has not been read yet.
    pub fn prepare(&mut self, config: &Config) -> Result<(), String> {
        let mut users = config.socks5.users.iter().flat_map(|users| &users.entries);
        if users.any(|user| user.quota.is_some()) { self.read() } else { Ok(()) }
    }

    /// How often the file could not be read or saved.
    #[must_use]
    pub fn save_failures(&self) -> Rc<Cell<u64>> {
        self.save_failures.clone()
    }

    /// Tells users' usage what the file has of them, and saves nothing: before anybody is served, or else a user could use
    /// what is used up.
    pub fn adopt(&mut self, accounts: &[Account], now: SystemTime) {
        let Some(kept) = &mut self.kept else { return };
        for account in accounts {
            adopt_one(kept, &mut self.adopted, account, now);
        }
    }

    /// Takes over what has been read from the file just now, in the place of what it had before. Before anything is kept.
    pub fn reread(&mut self, read: Quotas, accounts: &[Account], now: SystemTime) {
        self.kept = read.kept;
        self.adopt(accounts, now);
    }

    /// What the file has of each user.
    pub fn saved(&self) -> impl Iterator<Item = (&str, u64)> {
        self.kept.iter().flatten().map(|(name, kept)| (name.as_str(), kept.used_bytes))
    }

    /// Tells new users' usage what the file has of them, begins new months, and saves what has changed.
    pub fn keep(&mut self, accounts: &[Account], now: SystemTime) {
        if !accounts.iter().any(|account| account.user.quota.is_some()) {
            return;
        }
        if let Err(why) = self.read() {
            return self.failed(&why);
        }
        let Some(kept) = &mut self.kept else { return };
        let changed: Vec<&Account> =
            accounts.iter().filter(|account| keep_one(kept, &mut self.adopted, account, now)).collect();
        let ahead = changed.iter().find(|account| is_far_ahead(kept, account, now));
        if let Some(account) = ahead
            && !std::mem::replace(&mut self.told_ahead, true)
        {
            tracing::warn!("{}", told_ahead(&self.path, &account.user.name));
        }
        if !changed.is_empty() || self.failing {
            self.save();
        }
    }

    fn read(&mut self) -> Result<(), String> {
        if self.kept.is_none() {
            self.kept = Some(read(&self.path)?);
        }
        Ok(())
    }

    fn save(&mut self) {
        let Some(kept) = &self.kept else { return };
        match replace(&self.path, &Ledger { version: VERSION, users: kept }) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the quota file {} is saved again", self.path.display());
                }
            }
            Err(error) => {
                let remedy = "used quotas would start anew with a restart; socks5.quota_file names it";
                self.failed(&format!(
                    "cannot save the quota file {}: {error}; {remedy}",
                    self.path.display()
                ));
            }
        }
    }

    /// Counts a failure, and says it once.
    fn failed(&mut self, why: &str) {
        self.save_failures.set(self.save_failures.get() + 1);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!("{why}");
        }
    }
}

/// Tells one user's usage what the file has now; what it was told before is taken back.
fn adopt_one(
    kept: &mut BTreeMap<String, Kept>,
    adopted: &mut HashMap<Arc<str>, u64>,
    account: &Account,
    now: SystemTime,
) {
    let Some(quota) = account.user.quota else { return };
    let (name, used) = (&account.user.name, &account.usage.quota_used);
    let period = Period::now(quota, now);
    let mut earlier = 0;
    if let Some(kept) = kept.get_mut(&**name) {
        if period.is_new_after(kept.period) {
            *kept = Kept { used_bytes: 0, period };
        }
        earlier = kept.used_bytes;
    }
    let before = adopted.insert(name.clone(), earlier).unwrap_or(0);
    // What connections have used since the start comes on top. Added first: never is it less than both have.
    used.fetch_add(earlier, Relaxed);
    used.fetch_sub(before, Relaxed);
}

/// Whether there is something new about the account's user to keep.
fn keep_one(
    kept: &mut BTreeMap<String, Kept>,
    adopted: &mut HashMap<Arc<str>, u64>,
    account: &Account,
    now: SystemTime,
) -> bool {
    let Some(quota) = account.user.quota else { return false };
    let (name, used) = (&account.user.name, &account.usage.quota_used);
    let period = Period::now(quota, now);
    let before = kept.get(&**name).cloned();
    let begins_anew = before.as_ref().is_some_and(|kept| period.is_new_after(kept.period));
    if !adopted.contains_key(name) {
        adopt_one(kept, adopted, account, now);
    } else if begins_anew {
        used.store(0, Relaxed);
    }
    // A period that the clock has not come to yet goes on.
    let period = before.as_ref().map_or(period, |kept| if begins_anew { period } else { kept.period });
    let now = Kept { used_bytes: used.load(Relaxed), period };
    let changed = before.as_ref() != Some(&now);
    if changed {
        kept.insert(name.to_string(), now);
    }
    changed
}

fn is_far_ahead(kept: &BTreeMap<String, Kept>, account: &Account, now: SystemTime) -> bool {
    let Some(quota) = account.user.quota else { return false };
    let kept = kept.get(&*account.user.name);
    kept.is_some_and(|kept| kept.period.is_far_ahead_of(Period::now(quota, now)))
}

/// Until then no month begins for the user.
fn told_ahead(path: &Path, user: &str) -> String {
    format!(
        "the quota file {} counts what {user:?} uses for a month that is yet to come: set the clock, or stop ringway \
         and correct the period there; others may be concerned",
        path.display()
    )
}

/// What the file has; nothing if there is none.
fn read(path: &Path) -> Result<BTreeMap<String, Kept>, String> {
    let shown = path.display();
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            return Err(format!("cannot read the quota file {shown}: {error}; socks5.quota_file names it"));
        }
    }
    let remedy = "restore it, or remove it to let every quota start anew";
    let malformed =
        |why: &dyn std::fmt::Display| format!("the quota file {shown} is damaged: {why}; {remedy}");
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(malformed(&format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    match serde_json::from_str::<Ledger<BTreeMap<String, Kept>>>(&text) {
        Ok(ledger) if ledger.version == VERSION => Ok(ledger.users),
        Ok(ledger) => Err(malformed(&format!("version {} is not known to this build", ledger.version))),
        Err(error) => Err(malformed(&error)),
    }
}

/// Puts a new file in the place of the one at `path`. Whatever goes wrong, one of the two is there, whole.
fn replace(path: &Path, ledger: &Ledger<&BTreeMap<String, Kept>>) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let text = serde_json::to_vec(ledger)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&beside)?;
    file.write_all(&text)?;
    file.write_all(b"\n")?;
    // Without it a power cut could leave the new name with nothing in it.
    file.sync_data()?;
    std::fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_shared::account::Usage;
    use ringway_shared::config::{Password, User};
    use std::time::{Duration, UNIX_EPOCH};

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("ringway-quotas-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn quotas(path: &Path) -> Quotas {
        Quotas {
            path: path.to_owned(),
            kept: None,
            adopted: HashMap::new(),
            failing: false,
            told_ahead: false,
            save_failures: Rc::default(),
        }
    }

    fn account(name: &str, period: QuotaPeriod) -> Account {
        let mut user = User::unlimited(name.into(), Password::Plain(Box::default()));
        user.quota = Some(Quota { bytes: 1000, period });
        Account { user: Arc::new(user), usage: Arc::new(Usage::for_workers(1)) }
    }

    fn at(epoch_seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(epoch_seconds)
    }

    fn used(account: &Account) -> u64 {
        account.usage.quota_used.load(Relaxed)
    }

    /// 2026-12-01T00:00:00Z, and the second before.
    const DECEMBER: u64 = 1_796_083_200;
    const NOVEMBER: u64 = DECEMBER - 1;

    #[test]
    fn what_was_used_survives_a_restart_and_what_came_since_is_added() {
        let path = folder("restart").join("quotas.json");
        let alice = account("alice", QuotaPeriod::Month);
        alice.usage.quota_used.store(700, Relaxed);
        quotas(&path).keep(&[alice], at(NOVEMBER));
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = r#"{"version":1,"users":{"alice":{"used_bytes":700,"period":"2026-11"}}}"#;
        assert_eq!(text.trim_end(), expected);

        let (again, mut second) = (account("alice", QuotaPeriod::Month), quotas(&path));
        again.usage.quota_used.store(5, Relaxed);
        second.keep(std::slice::from_ref(&again), at(NOVEMBER));
        assert_eq!(used(&again), 705);
        second.keep(std::slice::from_ref(&again), at(NOVEMBER));
        assert_eq!(used(&again), 705, "the file is told once");
    }

    #[test]
    fn what_the_process_before_uses_until_it_saves_the_last_time_is_told_once() {
        let path = folder("turn").join("quotas.json");
        let (old, mut first) = (account("alice", QuotaPeriod::Month), quotas(&path));
        old.usage.quota_used.store(900, Relaxed);
        first.keep(std::slice::from_ref(&old), at(NOVEMBER));
        let (heir, mut second) = (account("alice", QuotaPeriod::Month), quotas(&path));
        second.read().unwrap();
        second.adopt(std::slice::from_ref(&heir), at(NOVEMBER));
        assert_eq!(used(&heir), 900, "before anybody is served");
        heir.usage.quota_used.fetch_add(5, Relaxed);
        old.usage.quota_used.fetch_add(70, Relaxed);
        for (now, expected) in [(NOVEMBER, 975), (DECEMBER, 5)] {
            first.keep(std::slice::from_ref(&old), at(now));
            let mut saved = quotas(&path);
            saved.read().unwrap();
            second.reread(saved, std::slice::from_ref(&heir), at(now));
            assert_eq!(used(&heir), expected);
        }
        second.keep(std::slice::from_ref(&heir), at(DECEMBER));
        assert_eq!(used(&heir), 5);
    }

    #[test]
    fn a_month_ends_in_utc_and_a_total_never() {
        let path = folder("months").join("quotas.json");
        let mut quotas = quotas(&path);
        let accounts = [account("alice", QuotaPeriod::Month), account("bob", QuotaPeriod::Total)];
        for account in &accounts {
            account.usage.quota_used.store(9, Relaxed);
        }
        quotas.keep(&accounts, at(NOVEMBER));
        quotas.keep(&accounts, at(DECEMBER));
        assert_eq!(accounts.each_ref().map(used), [0, 9]);
        assert!(
            std::fs::read_to_string(&path)
                .unwrap()
                .contains(r#""alice":{"used_bytes":0,"period":"2026-12"}"#)
        );
    }

    #[test]
    fn a_month_that_passed_while_nobody_ran_counts_no_more() {
        let path = folder("passed").join("quotas.json");
        let alice = account("alice", QuotaPeriod::Month);
        alice.usage.quota_used.store(9, Relaxed);
        quotas(&path).keep(&[alice], at(NOVEMBER));
        let again = account("alice", QuotaPeriod::Month);
        again.usage.quota_used.store(2, Relaxed);
        quotas(&path).keep(std::slice::from_ref(&again), at(DECEMBER));
        assert_eq!(used(&again), 2);
    }

    #[test]
    fn a_clock_set_back_gives_no_quota_back() {
        let path = folder("back").join("quotas.json");
        let mut quotas = quotas(&path);
        let alice = [account("alice", QuotaPeriod::Month)];
        alice[0].usage.quota_used.store(9, Relaxed);
        quotas.keep(&alice, at(DECEMBER));
        quotas.keep(&alice, at(NOVEMBER));
        quotas.keep(&alice, at(DECEMBER));
        assert_eq!(used(&alice[0]), 9);
    }

    #[test]
    fn a_month_far_ahead_of_the_clock_is_told() {
        let path = folder("ahead").join("quotas.json");
        for (period, told) in [("2026-11", false), ("2026-12", false), ("2027-01", true), ("2099-01", true)] {
            let text =
                format!(r#"{{"version":1,"users":{{"alice":{{"used_bytes":7,"period":"{period}"}}}}}}"#);
            std::fs::write(&path, text).unwrap();
            let (alice, mut quotas) = (account("alice", QuotaPeriod::Month), quotas(&path));
            alice.usage.quota_used.store(1, Relaxed);
            quotas.keep(&[alice], at(NOVEMBER));
            assert_eq!(quotas.told_ahead, told, "{period}");
        }
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_as_it_is() {
        let path = folder("damaged").join("quotas.json");
        for text in [
            "",
            "{}",
            "{\"version\":1,\"users\":{\"alice\":{\"used_bytes\":7",
            r#"{"version":2,"users":{}}"#,
            r#"{"version":1,"users":{"a":{"used_bytes":-1,"period":"total"}}}"#,
            r#"{"version":1,"users":{"a":{"used_bytes":1,"period":"2026-13"}}}"#,
            r#"{"version":1,"users":{"a":{"used":1,"period":"total"}}}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let why = read(&path).unwrap_err();
            assert!(why.contains("remove it to let every quota start anew"), "{why}");
            let mut quotas = quotas(&path);
            quotas.keep(&[account("alice", QuotaPeriod::Total)], at(NOVEMBER));
            assert_eq!(quotas.save_failures.get(), 1);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn who_is_no_user_now_is_kept() {
        let path = folder("kept").join("quotas.json");
        let text = r#"{"version":1,"users":{"gone":{"used_bytes":7,"period":"total"}}}"#;
        std::fs::write(&path, text).unwrap();
        quotas(&path).keep(&[account("alice", QuotaPeriod::Total)], at(NOVEMBER));
        assert!(
            std::fs::read_to_string(&path).unwrap().contains(r#""gone":{"used_bytes":7,"period":"total"}"#)
        );
    }

    #[test]
    fn a_file_that_cannot_be_saved_is_counted_and_saved_when_it_can_be() {
        let folder = folder("unwritable");
        let path = folder.join("not-yet").join("quotas.json");
        let mut quotas = quotas(&path);
        let alice = [account("alice", QuotaPeriod::Total)];
        quotas.keep(&alice, at(NOVEMBER));
        quotas.keep(&alice, at(NOVEMBER));
        assert_eq!(quotas.save_failures.get(), 2);
        std::fs::create_dir(folder.join("not-yet")).unwrap();
        quotas.keep(&alice, at(NOVEMBER));
        assert!(path.exists() && quotas.save_failures.get() == 2 && !quotas.failing);
    }

    #[test]
    fn without_quotas_there_is_no_file() {
        let path = folder("none").join("quotas.json");
        let user = User::unlimited("alice".into(), Password::Plain(Box::default()));
        let account = Account { user: Arc::new(user), usage: Arc::new(Usage::for_workers(1)) };
        quotas(&path).keep(&[account], at(NOVEMBER));
        assert!(!path.exists());
    }
}
