//! Opening the file: its schema, its limits, and what becomes of one that is damaged.

use super::{BUSY_MAX, Fault, FaultKind, File, Patience, STEPS_BETWEEN_LOOKS, Store, identity};
use rusqlite::{Connection, OpenFlags};
use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// "rway": whose file it is, for file(1) and for us.
const APPLICATION_ID: i32 = 0x7277_6179;
/// What users have moved is nobody else's business.
const MODE: u32 = 0o600;
/// Of pages in memory, in KiB.
const CACHE_KIB: u32 = 4_096;
/// Of the write-ahead log once it has been written back; a minute's rows are a tenth of it.
const LOG_BYTES_MAX: u32 = 4 << 20;
/// Statements kept ready: all there are.
const STATEMENTS_MAX: usize = 32;
/// What every file of SQLite begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// What is appended to the name of a damaged file. One is kept: the last.
const DAMAGED: &str = ".damaged";
/// Of the write-ahead log and its index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// How the schema of version n becomes that of n + 1: the list is only ever added to.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY,
        kind INTEGER NOT NULL, -- 0 the total, 1 a user, 2 a listener
        name TEXT NOT NULL,
        UNIQUE (kind, name)
    ) STRICT;
    CREATE TABLE minutes (
        kind INTEGER NOT NULL, -- as in keys; the order of the primary key is that of questions, and new rows come at its ends
        time INTEGER NOT NULL, -- seconds since 1970, UTC
        key INTEGER NOT NULL, -- in keys
        sent_bytes INTEGER NOT NULL,
        received_bytes INTEGER NOT NULL,
        connections INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        active_max INTEGER NOT NULL,
        PRIMARY KEY (kind, time, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE hours (
        kind INTEGER NOT NULL, time INTEGER NOT NULL, key INTEGER NOT NULL,
        sent_bytes INTEGER NOT NULL, received_bytes INTEGER NOT NULL,
        connections INTEGER NOT NULL, failed INTEGER NOT NULL, active_max INTEGER NOT NULL,
        PRIMARY KEY (kind, time, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE days (
        kind INTEGER NOT NULL, time INTEGER NOT NULL, key INTEGER NOT NULL,
        sent_bytes INTEGER NOT NULL, received_bytes INTEGER NOT NULL,
        connections INTEGER NOT NULL, failed INTEGER NOT NULL, active_max INTEGER NOT NULL,
        PRIMARY KEY (kind, time, key)
    ) STRICT, WITHOUT ROWID;
"];

/// A store, and what had to be done for it.
pub struct Opened {
    pub store: Store,
    /// The file was damaged: it is here now, and the store is empty.
    pub moved_aside: Option<(PathBuf, String)>,
}

/// Why there is no store.
#[derive(Debug)]
pub struct OpenFault(pub String);

impl Store {
    /// Opens a file that is there or makes one; `None`: memory. One that is damaged is moved aside, and another one begun.
    pub fn open(path: Option<&Path>) -> Result<Opened, OpenFault> {
        let told = |fault: Fault| OpenFault(fault.text);
        let Some(path) = path else {
            let store = Store::of(Connection::open_in_memory().map_err(Fault::from), None).map_err(told)?;
            return Ok(Opened { store, moved_aside: None });
        };
        match Store::open_file(path) {
            Ok(store) => Ok(Opened { store, moved_aside: None }),
            Err(fault) if fault.kind == FaultKind::Damaged => {
                let aside = move_aside(path).map_err(|error| {
                    OpenFault(format!("{}; and it cannot be moved aside: {error}", fault.text))
                })?;
                let store = Store::open_file(path).map_err(told)?;
                Ok(Opened { store, moved_aside: Some((aside, fault.text)) })
            }
            Err(fault) => Err(told(fault)),
        }
    }

    fn open_file(path: &Path) -> Result<Store, Fault> {
        let unreadable = |error| Fault { kind: FaultKind::Lost, text: format!("{error}") };
        // SQLite gives the files beside it the permissions that this one has.
        let made = OpenOptions::new().read(true).write(true).create(true).mode(MODE).open(path);
        refuse_what_is_no_database(&mut made.map_err(unreadable)?)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(Fault::from);
        let file = identity(path).map(|identity| File { path: path.to_owned(), identity });
        Store::of(db, file)
    }

    fn of(db: Result<Connection, Fault>, file: Option<File>) -> Result<Store, Fault> {
        let mut db = db?;
        db.busy_timeout(BUSY_MAX)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
        if pages == 0 {
            // Can be said of an empty file alone: what is deleted later can be given back.
            db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        db.execute_batch(&format!(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA journal_size_limit = {LOG_BYTES_MAX};
             PRAGMA cache_size = -{CACHE_KIB};
             PRAGMA temp_store = MEMORY;
             PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;"
        ))?;
        check(&db)?;
        migrate(&mut db)?;
        let patience = Patience::new();
        let own = patience.clone();
        db.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || own.is_over()))?;
        Ok(Store { db, file, numbers: HashMap::new(), patience })
    }
}

/// A file without SQLite's first bytes was never a history, such as the configuration, named by a slip: it is not ours to move aside.
fn refuse_what_is_no_database(file: &mut std::fs::File) -> Result<(), Fault> {
    let mut head = Vec::with_capacity(MAGIC.len());
    let read = file.take(MAGIC.len() as u64).read_to_end(&mut head);
    read.map_err(|error| Fault { kind: FaultKind::Lost, text: format!("{error}") })?;
    // A power cut may leave zeros.
    if head.is_empty() || head == MAGIC || head.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    Err(Fault { kind: FaultKind::Lost, text: "it is no SQLite file, and left as it is".into() })
}

/// Looks through the whole file, some ten milliseconds for each ten megabytes: damage that is found later would be found by a
/// question, or spread.
fn check(db: &Connection) -> Result<(), Fault> {
    let said: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said == "ok" { Ok(()) } else { Err(Fault { kind: FaultKind::Damaged, text: said }) }
}

/// Brings the schema to what this build knows. A file of somebody else's, or of a later build, is left as it is.
fn migrate(db: &mut Connection) -> Result<(), Fault> {
    let refused = |text: String| Err(Fault { kind: FaultKind::Lost, text });
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let number = |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (version, owner) = (number("user_version")?, number("application_id")?);
    let known = MIGRATIONS.len();
    match usize::try_from(version) {
        Ok(0) if owner != APPLICATION_ID => {
            let tables: i64 =
                transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if tables > 0 || owner != 0 {
                return refused("it is an SQLite file of another program's".into());
            }
        }
        Ok(version) if version > known => {
            return refused(format!(
                "it was written by a later ringway (schema {version}, known are {known})"
            ));
        }
        _ if owner != APPLICATION_ID => return refused("it is an SQLite file of another program's".into()),
        _ => {}
    }
    let done = usize::try_from(version).unwrap_or(0);
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    if done < known {
        transaction.pragma_update(None, "user_version", i32::try_from(known).unwrap_or(i32::MAX))?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    Ok(transaction.commit()?)
}

/// Gives a damaged file another name, in the place of one that was damaged before.
fn move_aside(path: &Path) -> std::io::Result<PathBuf> {
    let named = |base: &Path, end: &str| {
        let mut name = base.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = named(path, DAMAGED);
    for end in BESIDE {
        // Not there after an orderly end.
        let moved = std::fs::rename(named(path, end), named(&aside, end));
        if moved.is_err() {
            let _ = std::fs::remove_file(named(&aside, end));
        }
    }
    std::fs::rename(path, &aside)?;
    Ok(aside)
}
