//! The copy that is taken before an old database is changed.

use std::fs::File;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::lock::with_suffix;
use crate::old::error::OldError;
use crate::old::layout::{quote, tables};

/// Names tried when several copies are made in one second.
const NAMES: u32 = 100;

/// Copies the database beside itself, as `OLD.before-backfill-20260418T192119Z.db`, and gives the copy's path. The copy
/// is checked whole, has as many rows in each table as the database, and is on the disk before it gets its name.
pub(crate) fn copy(conn: &Connection, path: &Path, now: DateTime<Utc>) -> Result<PathBuf, OldError> {
    let target = free_name(path, now)?;
    let partial = with_suffix(&target, ".partial");
    let failed = |detail: String| OldError::Backup { path: target.clone(), detail };
    write(conn, &partial).map_err(|error| failed(error.to_string()))?;
    verify(conn, &partial).map_err(|error| failed(error.to_string()))?.map_err(failed)?;
    let io = |source| OldError::Io { path: target.clone(), source };
    // Windows syncs only what is open for writing.
    File::options().write(true).open(&partial).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&partial, &target).map_err(io)?;
    if let Some(folder) = target.parent().filter(|_| cfg!(unix)) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // The name itself is durable only when its folder is.
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    Ok(target)
}

fn free_name(path: &Path, now: DateTime<Utc>) -> Result<PathBuf, OldError> {
    let stamp = now.format("%Y%m%dT%H%M%SZ");
    let stem = with_suffix(&path.with_extension(""), &format!(".before-backfill-{stamp}"));
    let names = (0..NAMES).map(|n| if n == 0 { ".db".to_string() } else { format!("-{n}.db") });
    names.map(|end| with_suffix(&stem, &end)).find(|name| !name.exists()).ok_or_else(|| OldError::Backup {
        path: with_suffix(&stem, ".db"),
        detail: "that name and its variants are taken".to_string(),
    })
}

fn write(conn: &Connection, partial: &Path) -> rusqlite::Result<()> {
    let mut target = Connection::open(partial)?;
    let backup = Backup::new(conn, &mut target)?;
    // All pages in one step: nobody else can write meanwhile, the file is ours alone.
    match backup.step(-1)? {
        StepResult::Done => {}
        _ => return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None)),
    }
    drop(backup);
    target.close().map_err(|(_, error)| error)
}

/// `integrity_check` calls an unfinished copy `ok`, so the rows are counted too.
fn verify(conn: &Connection, partial: &Path) -> rusqlite::Result<Result<(), String>> {
    let target = Connection::open_with_flags(partial, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    target.pragma_update(None, "query_only", "ON")?;
    let found: String = target.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(Err(format!("the copy is malformed: {found}")));
    }
    for table in tables(conn)? {
        let sql = format!("SELECT count(*) FROM {}", quote(&table.name));
        let count = |conn: &Connection| conn.query_row(&sql, [], |row| row.get::<_, i64>(0));
        let (ours, theirs) = (count(conn)?, count(&target)?);
        if ours != theirs {
            return Ok(Err(format!("{} has {theirs} rows in the copy, {ours} in the database", table.name)));
        }
    }
    target.close().map_err(|(_, error)| error)?;
    Ok(Ok(()))
}
