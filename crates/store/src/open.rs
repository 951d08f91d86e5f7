//! Opening the file: locked, looked at, set up, migrated, identified and recovered, in this order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::checkpoint::PassLimits;
use crate::columns::time;
use crate::error::StoreError;
use crate::lock::{Lock, lock_path, with_suffix};
use crate::record::{CheckpointOwner, Mode, SessionNumber};
use crate::recover::Recovery;
use crate::schema;
use crate::writer::WriterFault;

/// The first SQLite without the WAL-reset bug (sqlite.org/wal.html#walresetbug).
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long the writer waits for a lock that a stranger holds.
pub(crate) const BUSY_TIMEOUT_WRITER: Duration = Duration::from_secs(2);
/// Statements kept prepared: more than the writer has.
const STATEMENTS_CACHED: usize = 64;

/// Whose records a file holds: one mode, one network, one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How it trades.
    pub mode: Mode,
    /// The network's name.
    pub network: String,
    /// The account's address.
    pub account: String,
}

/// Limits of the writer and its two ties to the outside: the clock and the report of faults.
#[derive(Clone)]
pub struct Options {
    /// The real clock, for `last_seen_at`, the time of checkpoints and the length of their pause.
    pub clock: fn() -> DateTime<Utc>,
    /// Told, on the writer's thread, when the disk refuses, when it accepts again and when a row is refused. It must
    /// neither block nor panic.
    pub on_fault: Option<Arc<dyn Fn(WriterFault) + Send + Sync>>,
    /// Records that can wait; beyond it class A is refused.
    pub queue_capacity: usize,
    /// Most messages in one commit.
    pub batch_rows: usize,
    /// Longest time that one commit is filled for.
    pub batch_ms: u64,
    /// A clock in microseconds that never goes back: how long commits take, and checkpoints hold the writer up.
    pub monotonic_us: fn() -> u64,
    /// A commit that takes longer than this halts quoting for the rest of the session.
    pub commit_limit_ms: u64,
    /// Who writes the WAL back into the file.
    pub checkpoints: CheckpointOwner,
    /// When the writer writes it back by itself, between two checkpoints that were asked for.
    pub passes: PassLimits,
    /// Days after which valuation snapshots are thinned out ([`crate::thin`]); 0: never.
    pub snapshots_keep_days: u32,
}

impl Options {
    /// The defaults, with this clock. `monotonic_us` stands still: nothing is ever slow.
    #[must_use]
    pub fn new(clock: fn() -> DateTime<Utc>) -> Options {
        Options {
            clock,
            on_fault: None,
            queue_capacity: 65_536,
            batch_rows: 16_384,
            batch_ms: 20,
            monotonic_us: || 0,
            commit_limit_ms: 5_000,
            checkpoints: CheckpointOwner::Own,
            passes: PassLimits::default(),
            snapshots_keep_days: 0,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("on_fault", &self.on_fault.is_some())
            .field("queue_capacity", &self.queue_capacity)
            .field("batch_rows", &self.batch_rows)
            .field("batch_ms", &self.batch_ms)
            .field("commit_limit_ms", &self.commit_limit_ms)
            .field("checkpoints", &self.checkpoints)
            .field("passes", &self.passes)
            .field("snapshots_keep_days", &self.snapshots_keep_days)
            .finish_non_exhaustive()
    }
}

/// The open file, before its writer is started. Holds the file's lock.
#[derive(Debug)]
pub struct Store {
    // Dropped in this order: the lock must outlive the connection.
    pub(crate) conn: Connection,
    pub(crate) path: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) options: Options,
    pub(crate) recovered: Vec<SessionNumber>,
    pub(crate) recoveries: Vec<Recovery>,
    pub(crate) lock: Lock,
}

impl Store {
    /// Opens the file at `path` for `identity`, creating it and its folder if need be, and closes the session that a
    /// killed engine left open. The lock `<path>.lock` is taken here and held until the writer has ended, so that no
    /// engine closes the session of another that lives. `now` is the real time, for a new file's `created_at`.
    ///
    /// # Errors
    /// A variant of [`StoreError`] for each way in which the file cannot be ours; a file that is refused is not
    /// changed.
    pub fn open(path: &Path, identity: &Identity, options: &Options, now: DateTime<Utc>) -> Result<Store, StoreError> {
        check_library()?;
        crate::place::refuse_share(path)?;
        prepare_folder(path)?;
        crate::place::refuse_mapped_drive(path)?;
        let lock = Lock::acquire(&lock_path(path), &format!("{} {}", identity.mode, identity.account))?;
        crate::restore::refuse_unfinished(path)?;
        crate::look::look(path)?;
        // An engine that was killed leaves its log: looked for before SQLite makes a new one.
        let log_is_gone = !with_suffix(path, "-wal").exists();
        let mut conn = connect(path, options.checkpoints)?;
        let version = check_ownership(&conn, path)?;
        set_up(&conn, path)?;
        if version < schema::VERSION {
            if version > 0 {
                let taken = crate::backup::before_migration(&conn, path, now).map_err(Box::new)?;
                tracing::info!(backup = %taken.file.path.display(), "backed up before the migration of the tables");
            }
            schema::migrate(&mut conn, version).map_err(sqlite(path, "the migration of the tables"))?;
        }
        check_identity(&conn, path, identity, now)?;
        if version < schema::VERSION {
            name_in_file(&conn, path)?;
        }
        let recovered = crate::recover::close_open_sessions(&mut conn, path, log_is_gone)
            .map_err(sqlite(path, "closing the session that was left open"))?;
        Ok(Store {
            conn,
            path: path.to_path_buf(),
            identity: identity.clone(),
            options: options.clone(),
            recovered: recovered.iter().map(|recovery| recovery.after.number).collect(),
            recoveries: recovered,
            lock,
        })
    }

    /// Opens an existing file for whoever it holds the records of; otherwise as [`Store::open`].
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::NoSessions`] for a file without any record, and as [`Store::open`].
    pub fn open_existing(path: &Path, options: &Options, now: DateTime<Utc>) -> Result<Store, StoreError> {
        if !path.exists() && !crate::untouched::has_wal(path) {
            return Err(StoreError::Missing { path: path.to_path_buf() });
        }
        let identity = {
            // Looked at under the lock, before anything reads the file through its `-wal`.
            let _lock = Lock::acquire(&lock_path(path), "looking at the record")?;
            crate::restore::refuse_unfinished(path)?;
            crate::look::look(path)?;
            crate::Reader::identity_of(path)?
        };
        let identity = identity.ok_or_else(|| StoreError::NoSessions { path: path.to_path_buf() })?;
        Store::open(path, &identity, options, now)
    }

    /// The sessions that an earlier engine left open and that opening has closed, as they were and as they are.
    #[must_use]
    pub fn recoveries(&self) -> &[Recovery] {
        &self.recoveries
    }

    /// Closes the file without a session; what was in the `-wal` is folded in.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`].
    pub fn close(self) -> Result<(), StoreError> {
        let failed = sqlite(&self.path, "closing the file");
        self.conn.close().map_err(|(_, error)| failed(error))
    }

    /// The sessions that an earlier engine left open and that opening has closed.
    #[must_use]
    pub fn recovered(&self) -> &[SessionNumber] {
        &self.recovered
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn page_bytes(&self) -> rusqlite::Result<u64> {
        let bytes: i64 = self.conn.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        Ok(u64::try_from(bytes).unwrap_or(4_096))
    }
}

/// An error of SQLite, with the file and what was being done.
pub(crate) fn sqlite(path: &Path, doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError + use<> {
    let path = path.to_path_buf();
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path: path.clone() },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path: path.clone(), detail: source.to_string() },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::NotWritable { path: path.clone(), reason: source.to_string() }
        }
        _ => StoreError::Sqlite { path: path.clone(), doing, source },
    }
}

/// Refuses a library that can corrupt the file.
pub(crate) fn check_library() -> Result<(), StoreError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(StoreError::SqliteTooOld { found: rusqlite::version().to_string() });
    }
    Ok(())
}

fn prepare_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(StoreError::IsAFolder { path: path.to_path_buf() });
    }
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder { path: folder.to_path_buf(), source })
        }
        _ => Ok(()),
    }
}

fn connect(path: &Path, checkpoints: CheckpointOwner) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = sqlite(path, "opening the file");
    let conn = Connection::open_with_flags(path, flags).map_err(&failed)?;
    conn.busy_timeout(BUSY_TIMEOUT_WRITER).map_err(&failed)?;
    // The last connection to close would write the WAL back behind a replicator's back, and remove it.
    let keep_wal = checkpoints == CheckpointOwner::External;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_wal).map_err(&failed)?;
    // SQLite falls back to reading only, without a word, when the file is not writable.
    if conn.is_readonly("main").map_err(&failed)? {
        let reason = String::from("the file is read-only");
        return Err(StoreError::NotWritable { path: path.to_path_buf(), reason });
    }
    conn.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    Ok(conn)
}

/// Reads, without changing anything, whether the file is ours or new; gives its schema version.
pub(crate) fn check_ownership(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    let failed = sqlite(path, "reading what the file is");
    let number = |name: &str| conn.pragma_query_value::<i64, _>(None, name, |row| row.get(0));
    let application_id = number("application_id").map_err(&failed)?;
    let version = number("user_version").map_err(&failed)?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(&failed)?;
    let is_new = application_id == 0 && version == 0 && tables == 0;
    if application_id != schema::APPLICATION_ID && !is_new {
        return Err(StoreError::NotOurs { path: path.to_path_buf(), application_id });
    }
    if version > schema::VERSION {
        return Err(StoreError::NewerSchema { path: path.to_path_buf(), found: version, known: schema::VERSION });
    }
    Ok(version)
}

/// Sets what durability rests on, and reads it back: SQLite ignores what it cannot do.
fn set_up(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = sqlite(path, "setting up the connection");
    let set = |name: &'static str, value: &str, wanted: &'static str| -> Result<(), StoreError> {
        // Some of these answer with a row and some do not; both are fine, the value is read back below.
        conn.pragma_update_and_check(None, name, value, |_| Ok(())).optional().map_err(&failed)?;
        let found = conn
            .pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0))
            .map(|value| match value {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            })
            .map_err(&failed)?;
        if found == wanted {
            return Ok(());
        }
        Err(StoreError::Pragma { path: path.to_path_buf(), name, wanted, found })
    };
    set("journal_mode", "WAL", "wal")?;
    set("synchronous", "FULL", "2")?;
    set("foreign_keys", "ON", "1")?;
    // Hashes come in no order: the pages of their indexes that a batch touches must fit, or SQLite reads them again.
    set("cache_size", "-32768", "-32768")?;
    // The writer's thread checkpoints, and nothing else does.
    set("wal_autocheckpoint", "0", "0")
}

/// Brings the tables and the record's name from the `-wal` into the file, so that the file alone can tell which `-wal`
/// is its own. A reader may be in the way: then the next checkpoint does it.
fn name_in_file(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let busy: bool = conn
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
        .map_err(sqlite(path, "the first checkpoint"))?;
    if busy {
        tracing::warn!("another program reads the record: its tables are checkpointed later");
    }
    Ok(())
}

/// The first damage that one of SQLite's checks finds. It calls a page that the disk did not give damage of the file,
/// and a backup is no remedy for that: so what it finds is looked at again, in a way that tells an error of the disk.
pub(crate) fn damage(conn: &Connection, check: &str) -> rusqlite::Result<Option<String>> {
    let look = || conn.query_row(check, [], |row| row.get::<_, String>(0));
    let found = look()?;
    if found == "ok" {
        return Ok(None);
    }
    read_every_page(conn)?;
    let again = look()?;
    if again == "ok" {
        tracing::warn!(found, "the disk refused to read and then did not; the file is sound, look after the disk");
        return Ok(None);
    }
    Ok(Some(again))
}

/// Fails when the disk does not give a page; damage of the file is not told here.
pub(crate) fn read_every_page(conn: &Connection) -> rusqlite::Result<()> {
    match conn.query_row("SELECT count(*) FROM dbstat", [], |_| Ok(())) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A new file becomes this identity's; an old one must be.
fn check_identity(conn: &Connection, path: &Path, ours: &Identity, now: DateTime<Utc>) -> Result<(), StoreError> {
    let failed = sqlite(path, "reading whose records the file holds");
    let mode = ours.mode.as_str();
    conn.execute(
        "INSERT INTO meta (id, mode, network, account, created_at, record_id)
         VALUES (1, ?1, ?2, ?3, ?4, lower(hex(randomblob(16)))) ON CONFLICT (id) DO NOTHING",
        params![mode, ours.network, ours.account, time(now)],
    )
    .map_err(&failed)?;
    let found: [String; 3] = conn
        .query_row("SELECT mode, network, account FROM meta WHERE id = 1", [], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?])
        })
        .map_err(&failed)?;
    let wanted = [mode, ours.network.as_str(), ours.account.as_str()];
    for ((field, found), wanted) in ["mode", "network", "account"].into_iter().zip(found).zip(wanted) {
        if found != wanted {
            let (path, wanted) = (path.to_path_buf(), wanted.to_string());
            return Err(StoreError::OtherIdentity { path, field, found, wanted });
        }
    }
    Ok(())
}
