//! The file: rows of minutes, hours and days in SQLite. The only door to it.
//!
//! A minute is written into all three tables in one transaction, added to what is there: so an hour is right before it is over, a
//! minute that comes in two parts is whole, and there is no later step that could be missed. `open` opens and mends, `expiry` forgets what is old.
//!
//! The write-ahead log with `synchronous=FULL`: what was written survives a killed process and a power cut, at the price
//! of one fsync a minute.

mod expiry;
mod open;

pub use open::Opened;

use super::question::Step;
use super::tracker::{By, Figures, Minute, Row};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Names whose numbers are remembered; then all are looked up anew.
const NAMES_MAX: usize = 1 << 16;
/// One row's figure: no sum of those of 2^13 minutes, which five days have not, leaves SQLite's integers.
const FIGURE_MAX: u64 = 1 << 50;
/// How long another process may hold the file.
const BUSY_MAX: Duration = Duration::from_secs(2);
/// SQLite's own steps between two looks at the clock: well under a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 20_000;

/// An open file, or memory.
pub struct Store {
    db: Connection,
    /// `None`: memory.
    file: Option<File>,
    numbers: HashMap<(By, Arc<str>), i64>,
    patience: Patience,
}

struct File {
    path: PathBuf,
    identity: Identity,
}

/// Device and inode.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|is| (is.dev(), is.ino()))
}

/// When a question is given up; SQLite looks at it while it works.
#[derive(Clone)]
struct Patience {
    epoch: Instant,
    /// Milliseconds since the epoch.
    until_ms: Arc<AtomicU64>,
}

impl Patience {
    fn new() -> Patience {
        Patience { epoch: Instant::now(), until_ms: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn until(&self, until: Option<Instant>) {
        self.until_ms.store(until.map_or(u64::MAX, |until| self.ms(until)), Relaxed);
    }

    fn is_over(&self) -> bool {
        let until_ms = self.until_ms.load(Relaxed);
        until_ms != u64::MAX && self.ms(Instant::now()) >= until_ms
    }

    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Something that was written or read was not.
#[derive(Debug)]
pub struct Fault {
    pub kind: FaultKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// What is in the file makes no sense.
    Damaged,
    /// It may be well again later, as it is: the disk is full, or another process has the file.
    Passing,
    /// The file has to be opened anew.
    Lost,
    /// The question took too long.
    TooLong,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => FaultKind::Damaged,
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                FaultKind::Passing
            }
            Some(ErrorCode::OperationInterrupted) => FaultKind::TooLong,
            _ => FaultKind::Lost,
        };
        Fault { kind, text: error.to_string() }
    }
}

/// What is read: rows of one kind and one step, in the order of their times.
pub struct Wanted<'a> {
    pub by: By,
    pub step: Step,
    /// Seconds since 1970; `to` is not included.
    pub from: u64,
    pub to: u64,
    /// Only this key's.
    pub key: Option<&'a str>,
    /// When it is given up.
    pub until: Instant,
}

/// A row as it was read; `key` is a number that [`Store::name`] knows.
pub struct Read {
    pub key: i64,
    pub at: u64,
    pub figures: Figures,
}

impl Store {
    /// Writes a minute, or nothing of it.
    pub fn write(&mut self, minute: &Minute) -> Result<(), Fault> {
        if self.numbers.len() > NAMES_MAX {
            self.numbers.clear();
        }
        let written = self.write_all(minute);
        if written.is_err() {
            // Numbers given in a transaction that is no more.
            self.numbers.clear();
        }
        Ok(written?)
    }

    fn write_all(&mut self, minute: &Minute) -> rusqlite::Result<()> {
        let Store { db, numbers, .. } = self;
        let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut adding = [
            (Step::Minute, transaction.prepare_cached(ADD_MINUTE)?),
            (Step::Hour, transaction.prepare_cached(ADD_HOUR)?),
            (Step::Day, transaction.prepare_cached(ADD_DAY)?),
        ];
        for row in &minute.rows {
            let name = (row.by, row.key.clone());
            let number = match numbers.get(&name) {
                Some(number) => *number,
                None => {
                    let number = number(&transaction, row)?;
                    numbers.insert(name, number);
                    number
                }
            };
            for (step, add) in &mut adding {
                add.execute(values(row, number, step.floor(minute.at)))?;
            }
        }
        drop(adding);
        transaction.commit()
    }

    /// Calls `each` with every row that is wanted.
    pub fn read(&self, wanted: &Wanted<'_>, mut each: impl FnMut(Read)) -> Result<(), Fault> {
        self.patience.until(Some(wanted.until));
        let outcome = self.read_all(wanted, &mut each);
        self.patience.until(None);
        Ok(outcome?)
    }

    fn read_all(&self, wanted: &Wanted<'_>, each: &mut impl FnMut(Read)) -> rusqlite::Result<()> {
        let key = match wanted.key {
            Some(key) => match self.number_of(wanted.by, key)? {
                Some(number) => Some(number),
                None => return Ok(()),
            },
            None => None,
        };
        let sql = format!(
            "SELECT key, time, sent_bytes, received_bytes, connections, failed, active_max FROM {} \
             WHERE kind = ?1 AND time >= ?2 AND time < ?3 AND (?4 IS NULL OR key = ?4)",
            wanted.step.table()
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows =
            statement.query(params![wanted.by as i64, whole(wanted.from), whole(wanted.to), key])?;
        while let Some(row) = rows.next()? {
            let number = |column: usize| row.get::<_, i64>(column).map(|it| u64::try_from(it).unwrap_or(0));
            each(Read {
                key: row.get(0)?,
                at: number(1)?,
                figures: Figures {
                    sent_bytes: number(2)?,
                    received_bytes: number(3)?,
                    connections: number(4)?,
                    failed: number(5)?,
                    active_max: number(6)?,
                },
            });
        }
        Ok(())
    }

    /// How many names there are of a kind.
    pub fn names(&self, by: By) -> Result<usize, Fault> {
        let mut count = self.db.prepare_cached("SELECT count(*) FROM keys WHERE kind = ?1")?;
        let names: i64 = count.query_row(params![by as i64], |row| row.get(0))?;
        Ok(usize::try_from(names).unwrap_or(0))
    }

    /// What a row's key is called.
    pub fn name(&self, key: i64) -> Result<Arc<str>, Fault> {
        let mut name = self.db.prepare_cached("SELECT name FROM keys WHERE id = ?1")?;
        Ok(name.query_row(params![key], |row| row.get::<_, String>(0))?.into())
    }

    /// When the oldest row of a step begins, in seconds since 1970.
    pub fn oldest(&self, step: Step) -> Result<Option<u64>, Fault> {
        Ok(oldest(&self.db, step, By::Total)?)
    }

    /// Whether it outlives the process.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether what is written can be found again: a file that was removed or replaced is written on by those who have it open.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.file.as_ref().is_none_or(|file| identity(&file.path).is_some_and(|is| is == file.identity))
    }

    fn number_of(&self, by: By, name: &str) -> rusqlite::Result<Option<i64>> {
        let mut known = self.db.prepare_cached("SELECT id FROM keys WHERE kind = ?1 AND name = ?2")?;
        known.query_row(params![by as i64, name], |row| row.get(0)).optional()
    }
}

/// The number that stands for a row's key.
fn number(db: &Connection, row: &Row) -> rusqlite::Result<i64> {
    let mut add = db.prepare_cached("INSERT OR IGNORE INTO keys (kind, name) VALUES (?1, ?2)")?;
    add.execute(params![row.by as i64, &*row.key])?;
    let mut find = db.prepare_cached("SELECT id FROM keys WHERE kind = ?1 AND name = ?2")?;
    find.query_row(params![row.by as i64, &*row.key], |found| found.get(0))
}

/// A row as the tables have it.
fn values(row: &Row, key: i64, at: u64) -> [i64; 8] {
    let figure = |figure: u64| whole(figure.min(FIGURE_MAX));
    let Figures { sent_bytes, received_bytes, connections, failed, active_max } = row.figures;
    [
        row.by as i64,
        whole(at),
        key,
        figure(sent_bytes),
        figure(received_bytes),
        figure(connections),
        figure(failed),
        figure(active_max),
    ]
}

macro_rules! adding_to {
    ($table:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET ",
            "sent_bytes = sent_bytes + excluded.sent_bytes, ",
            "received_bytes = received_bytes + excluded.received_bytes, ",
            "connections = connections + excluded.connections, failed = failed + excluded.failed, ",
            "active_max = max(active_max, excluded.active_max)"
        )
    };
}
const ADD_MINUTE: &str = adding_to!("minutes");
const ADD_HOUR: &str = adding_to!("hours");
const ADD_DAY: &str = adding_to!("days");

fn oldest(db: &Connection, step: Step, by: By) -> rusqlite::Result<Option<u64>> {
    // Not by min(): with the kind fixed this is one step down the tree.
    let sql = format!("SELECT time FROM {} WHERE kind = ?1 ORDER BY time LIMIT 1", step.table());
    let time = db.prepare_cached(&sql)?.query_row(params![by as i64], |row| row.get(0)).optional()?;
    Ok(time.map(|time: i64| u64::try_from(time).unwrap_or(0)))
}

/// SQLite's integers have a sign.
fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
