//! Opening an old database alone: a process that lives and has it open keeps us out.
//!
//! Whether a session is alive cannot be read from the file, only whether somebody has the file. So "held by a live
//! process" is: another connection holds any of SQLite's locks (in WAL mode every open connection does, idle or not), or,
//! on Linux, another process has the file open at all (in rollback mode an idle connection holds no lock). Then nothing
//! is written, to no session: the predecessor's SQLite may have the WAL-reset bug, which needs a second connection that
//! writes (sqlite.org/wal.html#walresetbug).

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::lock::with_suffix;
use crate::old::error::OldError;
use crate::open::check_library;
use crate::schema::APPLICATION_ID;

/// How long a lock that passes (a checkpoint, a commit of a moment ago) is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// What the file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intention {
    /// Reading only: the file and its `-wal` stay byte for byte as they are.
    Look,
    /// Writing, without any trigger of the database's own.
    Write,
}

/// Opens the file, takes it for this connection alone, and checks it whole. Until the connection is closed nobody else
/// can read or write it.
pub(crate) fn open(path: &Path, intention: Intention) -> Result<Connection, OldError> {
    check_library()?;
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(OldError::NotAFile { path: path.to_path_buf() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(OldError::Missing { path: path.to_path_buf() });
        }
        Err(source) => return Err(OldError::Io { path: path.to_path_buf(), source }),
    }
    if let Some(holder) = holder(path)? {
        return Err(OldError::InUse { path: path.to_path_buf(), holder });
    }
    let failed = sqlite(path, "opening the file");
    let has_wal = with_suffix(path, "-wal").exists();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(&failed)?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(&failed)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).map_err(&failed)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false).map_err(&failed)?;
    // Closing the last connection folds a `-wal` into the file; looking must not.
    let keep_wal = has_wal && intention == Intention::Look;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_wal).map_err(&failed)?;
    conn.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(())).map_err(&failed)?;
    conn.pragma_update(None, "synchronous", "FULL").map_err(&failed)?;
    take(&conn, path)?;
    check(&conn, path)?;
    Ok(conn)
}

/// Takes the locks, and keeps them: with `locking_mode=EXCLUSIVE` they stay after the transaction.
fn take(conn: &Connection, path: &Path) -> Result<(), OldError> {
    conn.execute_batch("BEGIN EXCLUSIVE; ROLLBACK").map_err(sqlite(path, "taking the file for this process alone"))
}

fn check(conn: &Connection, path: &Path) -> Result<(), OldError> {
    let failed = sqlite(path, "checking the file");
    let id: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(&failed)?;
    if id == APPLICATION_ID {
        return Err(OldError::Ours { path: path.to_path_buf() });
    }
    let found: String = conn.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(&failed)?;
    if found == "ok" { Ok(()) } else { Err(OldError::malformed(path, &found)) }
}

/// An error of SQLite, with the file and what was being done; damage with the way to mend it.
pub(crate) fn sqlite(path: &Path, doing: &'static str) -> impl Fn(rusqlite::Error) -> OldError + use<> {
    let path = path.to_path_buf();
    move |source| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OldError::malformed(&path, &source.to_string()),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            OldError::InUse { path: path.clone(), holder: "another connection holds its lock".to_string() }
        }
        _ => OldError::Sqlite { path: path.clone(), doing, source },
    }
}

/// Another process that has the file open, where the system tells.
#[cfg(target_os = "linux")]
fn holder(path: &Path) -> Result<Option<String>, OldError> {
    let path = path.canonicalize().map_err(|source| OldError::Io { path: path.to_path_buf(), source })?;
    let Ok(processes) = std::fs::read_dir("/proc") else { return Ok(None) };
    let own = std::process::id();
    for process in processes.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()).filter(|pid| *pid != own) else {
            continue;
        };
        // Another user's processes, and those that ended meanwhile, do not show their files.
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let has = files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == path));
        if has {
            return Ok(Some(format!("process {pid}")));
        }
    }
    Ok(None)
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
fn holder(_: &Path) -> Result<Option<String>, OldError> {
    Ok(None)
}
