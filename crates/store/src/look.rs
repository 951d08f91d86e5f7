//! The look at a record before it is opened: SQLite replays or deletes a `-wal` the moment it opens the file, so what is
//! to be refused must be known before. Nothing is changed, of the `-wal` and the `-shm` neither.
//!
//! A `-wal` is told to be a stranger's by its page size, by the database header in it, and by the row of `meta`, which
//! each commit of ours writes anew and which names the record; a log that SQLite would drop in silence, by its
//! checksums. A log of the same record from another time, or of a record that has no `record_id` yet and was begun in
//! the same millisecond, is found by the full check alone, and only where it breaks the structure.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::backup::{BackupError, immutable};
use crate::error::StoreError;
use crate::lock::with_suffix;
use crate::open::{check_ownership, damage, sqlite};
use crate::schema;
use crate::untouched::{self, Unopened};
use crate::wal::{self, DB_HEADER, Log, word};

/// Where the database's header says how long a page is, how many there are, and whose the file is.
const PAGE_SIZE: usize = 16;
const USER_APPLICATION_ID: usize = 68;

/// Refuses a record that must not be opened: not ours, damaged, or with a `-wal` that is not its own. A file that is
/// not there, and an empty one, is for the engine to make. The caller holds the record's lock.
///
/// # Errors
/// As for [`crate::Store::open`].
pub(crate) fn look(db: &Path) -> Result<(), StoreError> {
    untouched::remove_scratch(db).map_err(|error| unreadable(db, error))?;
    let looked = look_at(db);
    // After the connection is closed; what was found weighs more than what could not be tidied up.
    let tidied = untouched::remove_scratch(db).map_err(|error| unreadable(db, error));
    looked.and(tidied)
}

fn look_at(db: &Path) -> Result<(), StoreError> {
    let Bytes { has_header, has_log } = refuse_stray(db)?;
    if !has_header {
        return Ok(());
    }
    let conn = untouched::open(db).map_err(|error| match error {
        Unopened::Sqlite(error) => sqlite(db, "looking at the file")(error),
        Unopened::System(error) => unreadable(db, error),
    })?;
    if has_log {
        compare_records(db, &conn)?;
    }
    check_ownership(&conn, db)?;
    check(&conn, db, has_log)
}

/// What there is, by the bytes alone.
pub(crate) struct Bytes {
    pub(crate) has_header: bool,
    pub(crate) has_log: bool,
}

/// Refuses a `-wal` that by its bytes must not be replayed.
///
/// # Errors
/// [`StoreError::StrayWal`], [`StoreError::Unreadable`].
pub(crate) fn refuse_stray(db: &Path) -> Result<Bytes, StoreError> {
    let log = read_log(&with_suffix(db, "-wal")).map_err(system(db))?;
    let header = read_header(db).map_err(system(db))?;
    if let Some(log) = &log
        && let Some(detail) = stray(header.as_ref(), log)
    {
        return Err(StoreError::StrayWal { path: db.to_path_buf(), detail });
    }
    Ok(Bytes { has_header: header.is_some(), has_log: log.is_some() })
}

/// The log, where there is one with anything in it.
fn read_log(path: &Path) -> io::Result<Option<Log>> {
    match File::open(path) {
        Ok(file) => {
            let log = wal::scan(&mut BufReader::with_capacity(1 << 16, file))?;
            Ok(Some(log).filter(|log| log.header_is_sound || log.has_content))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The database's first bytes; `None` where there is no file, or an empty one.
fn read_header(path: &Path) -> io::Result<Option<[u8; DB_HEADER]>> {
    let mut header = [0; DB_HEADER];
    match File::open(path).and_then(|file| file.take(DB_HEADER as u64).read(&mut header)) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(header)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a log must not be replayed into a database with this header, as far as the bytes tell.
fn stray(header: Option<&[u8; DB_HEADER]>, log: &Log) -> Option<String> {
    if !log.header_is_sound {
        // SQLite syncs the header before the first frame: no crash leaves frames behind a broken one.
        return Some(String::from("its header is broken, and SQLite would drop everything in it"));
    }
    let Some(header) = header else {
        let found = format!("it holds {} transactions, and the file itself is missing or empty", log.commits);
        return (log.commits > 0 || log.commits_beyond > 0).then_some(found);
    };
    if log.commits == 0 && log.commits_beyond == 0 {
        return None;
    }
    let page_size = match header.get(PAGE_SIZE..PAGE_SIZE + 2) {
        Some([0, 1]) => 65_536,
        Some([high, low]) => u32::from(*high) << 8 | u32::from(*low),
        _ => 0,
    };
    if header.starts_with(b"SQLite format 3\0") && page_size != log.page_size {
        return Some(format!("its pages have {} bytes, those of the file {page_size}", log.page_size));
    }
    if let Some(theirs) = &log.page_one
        && i64::from(word(header, USER_APPLICATION_ID)) == schema::APPLICATION_ID
        && i64::from(word(theirs, USER_APPLICATION_ID)) != schema::APPLICATION_ID
    {
        return Some(format!("it is of another program (application_id {:#010x})", word(theirs, USER_APPLICATION_ID)));
    }
    // Only the last transaction can have been cut by a power failure: each is synced before the next begins.
    (log.commits_beyond > 1).then(|| {
        format!(
            "a part of it in the middle is damaged, and SQLite would drop the {} transactions behind it",
            log.commits_beyond
        )
    })
}

/// The record as its file alone tells, against the record as it is with the `-wal`.
pub(crate) fn compare_records(db: &Path, with_wal: &Connection) -> Result<(), StoreError> {
    // Only half of a checkpoint may be in the file: then it tells nothing, and the full check must.
    let Ok(Some((ours, seq))) = immutable(db).and_then(|conn| name_of(&conn)) else { return Ok(()) };
    let stray = |detail: String| Err(StoreError::StrayWal { path: db.to_path_buf(), detail });
    let (theirs, their_seq) = match name_of(with_wal) {
        Ok(Some(found)) => found,
        Ok(None) => return stray(String::from("with it the file holds no record any more")),
        Err(error) => return stray(format!("with it the file cannot be read ({error})")),
    };
    if theirs != ours {
        return stray(format!("it belongs to the record {theirs}, the file to {ours}"));
    }
    if their_seq < seq {
        return stray(format!("it ends at row {their_seq}, and the file has rows up to {seq}: it is from before"));
    }
    Ok(())
}

/// What names a record, and its watermark.
pub(crate) fn name_of(conn: &Connection) -> rusqlite::Result<Option<(String, i64)>> {
    let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        return Ok(None);
    }
    let id = if version < 3 { "NULL" } else { "record_id" };
    let sql = format!("SELECT account, created_at, {id}, durable_seq FROM meta WHERE id = 1");
    conn.query_row(&sql, [], |row| {
        let (account, created_at): (String, String) = (row.get(0)?, row.get(1)?);
        let id: Option<String> = row.get(2)?;
        let name = format!("of {account} begun at {created_at} ({})", id.as_deref().unwrap_or("without an id"));
        Ok((name, row.get(3)?))
    })
    .optional()
}

/// The structure: whole after an unclean end, else what can be checked quickly. Any doubt that the last end was clean
/// is an unclean one.
fn check(conn: &Connection, db: &Path, has_wal: bool) -> Result<(), StoreError> {
    let failed = sqlite(db, "checking the file");
    let imported = "SELECT count(*) FROM pragma_table_info('sessions') WHERE name = 'imported'";
    let history = if conn.query_row(imported, [], |row| row.get::<_, i64>(0)).map_err(&failed)? == 0 {
        ""
    } else {
        " AND imported = 0"
    };
    let there = "SELECT count(*) FROM sqlite_schema WHERE name = 'sessions'";
    let open = format!("SELECT count(*) FROM sessions WHERE ended_at IS NULL{history}");
    let mut open_sessions = 0_i64;
    if conn.query_row(there, [], |row| row.get::<_, i64>(0)).map_err(&failed)? > 0 {
        open_sessions = conn.query_row(&open, [], |row| row.get(0)).map_err(&failed)?;
    }
    let pragma = if has_wal || open_sessions > 0 { "PRAGMA integrity_check(1)" } else { "PRAGMA quick_check(1)" };
    match damage(conn, pragma).map_err(failed)? {
        None => Ok(()),
        Some(detail) => Err(StoreError::Damaged { path: db.to_path_buf(), detail }),
    }
}

fn system(db: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = db.to_path_buf();
    move |source| StoreError::Unreadable { path: path.clone(), source }
}

/// The folder that the look needs cannot be made where nothing can be written.
fn unreadable(db: &Path, error: BackupError) -> StoreError {
    let path = db.to_path_buf();
    match error {
        BackupError::Io { source, .. }
            if matches!(source.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) =>
        {
            StoreError::NotWritable { path, reason: source.to_string() }
        }
        BackupError::Io { source, .. } => StoreError::Unreadable { path, source },
        other => StoreError::Unreadable { path, source: io::Error::other(other.to_string()) },
    }
}
