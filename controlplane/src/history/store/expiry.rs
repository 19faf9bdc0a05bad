//! Forgetting: what is older than is kept goes in bounded steps, and pages that are free go back to the disk. Nothing goes by a
//! clock that has just jumped.

use super::{Fault, Store, oldest, whole};
use crate::history::question::Step;
use crate::history::tracker::By;
use ringway_shared::config::Keep;
use rusqlite::params;

/// Times (minutes, hours or days) of one kind forgotten at once: sixty minutes' worth for each that comes.
const TIMES_AT_ONCE: u64 = 60;
/// Free pages that stay for what is written next.
const FREE_PAGES_KEPT: i64 = 1_024;
/// Pages given back at once.
const PAGES_AT_ONCE: u32 = 256;
/// Seconds that are looked at to tell a clock that goes on from one that jumped forwards, in which everything would be too old.
const TRUST_SECONDS: u64 = 3_600;
/// Minutes of them that must have been written.
const TRUST_MINUTES: i64 = 30;

impl Store {
    /// Forgets a bounded part of what has been kept long enough by `now`. True: there may be more.
    pub fn expire(&mut self, keep: &Keep, now: u64) -> Result<bool, Fault> {
        let keep = if self.is_file() { *keep } else { keep.in_memory() };
        let transaction = self.db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut more = false;
        let mut days_gone = 0;
        for step in Step::ALL {
            let kept = step.kept_by(&keep).as_secs();
            // One goes once all of it is too old.
            let Some(before) = now.checked_sub(kept).map(|end| step.floor(end)) else { continue };
            for by in By::ALL {
                let Some(first) = oldest(&transaction, step, by)?.filter(|first| *first < before) else {
                    continue;
                };
                let until = before.min(first + TIMES_AT_ONCE * step.seconds());
                more |= until < before;
                let sql = format!("DELETE FROM {} WHERE kind = ?1 AND time < ?2", step.table());
                let gone = transaction.prepare_cached(&sql)?.execute(params![by as i64, whole(until)])?;
                days_gone += if step == Step::Day { gone } else { 0 };
            }
        }
        if days_gone > 0 {
            // Days outlive hours and minutes: a name that no day has is nobody's any more.
            transaction.execute("DELETE FROM keys WHERE id NOT IN (SELECT key FROM days)", [])?;
            self.numbers.clear();
        }
        transaction.commit()?;
        self.give_back()?;
        Ok(more)
    }

    /// Whether minutes have been written by this clock for long enough that what it says is old may go. The file knows, so
    /// a restart changes nothing.
    pub fn trusts(&self, now: u64) -> Result<bool, Fault> {
        let sql = "SELECT count(*) FROM minutes WHERE kind = ?1 AND time > ?2 AND time <= ?3";
        let range = params![By::Total as i64, whole(now.saturating_sub(TRUST_SECONDS)), whole(now)];
        let minutes: i64 = self.db.prepare_cached(sql)?.query_row(range, |row| row.get(0))?;
        Ok(minutes >= TRUST_MINUTES)
    }

    fn give_back(&self) -> Result<(), Fault> {
        let free: i64 = self.db.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        if free > FREE_PAGES_KEPT {
            // Each row that is stepped to is a page given back.
            let mut pages = self.db.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
            let mut rows = pages.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    }

    /// Bytes of the file without its log.
    pub fn bytes(&self) -> Result<u64, Fault> {
        let of = |name: &str| self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let bytes = of("page_count")?.saturating_mul(of("page_size")?);
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}
