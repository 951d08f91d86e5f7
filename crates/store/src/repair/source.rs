//! The damaged record, opened in the way that shows most of it. Nothing of it is changed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::Serialize;

use crate::backup::{BackupError, immutable, io};
use crate::lock::with_suffix;
use crate::look::name_of;
use crate::read::query;
use crate::schema;
use crate::untouched::{self, Unopened, has_wal};

/// How the damaged record is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadAs {
    /// The file with its `-wal`.
    WithWal,
    /// The file alone: it had no `-wal`, or one that is not its own.
    Alone,
    /// A copy of the file with the table of contents of a backup, because its own is broken.
    WithContentsOfBackup,
    /// Not at all.
    Unreadable,
}

/// Opens what can be opened; the connection must be closed before the scratch folder is removed.
pub(super) fn open(
    db: &Path,
    wal_is_stray: bool,
    backup: Option<&Path>,
) -> Result<(Option<Connection>, ReadAs), BackupError> {
    // Before the record itself is open: on Windows no name of an open file can be removed.
    untouched::remove_scratch(db)?;
    // Why one way shows nothing is of no use where another does; what was wrong with the record is known.
    let alone = immutable(db).ok().filter(has_tables);
    if has_wal(db) && !wal_is_stray {
        match untouched::open(db) {
            Ok(conn) if has_tables(&conn) && is_same(&conn, alone.as_ref()) => {
                return Ok((Some(conn), ReadAs::WithWal));
            }
            Ok(_) | Err(Unopened::Sqlite(_)) => {}
            Err(Unopened::System(error)) => return Err(error),
        }
    }
    if let Some(conn) = alone {
        return Ok((Some(conn), ReadAs::Alone));
    }
    if let Some(backup) = backup
        && let Some(conn) = patched(db, wal_is_stray, backup)?
    {
        return Ok((Some(conn), ReadAs::WithContentsOfBackup));
    }
    Ok((None, ReadAs::Unreadable))
}

/// The tables can be named; what is in them is another matter.
fn has_tables(conn: &Connection) -> bool {
    let ours = conn.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0));
    let named = |table: &str| {
        let sql = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        conn.query_row(sql, [table], |row| row.get::<_, i64>(0)).optional().is_ok_and(|page| page.is_some())
    };
    ours.is_ok_and(|id| id == schema::APPLICATION_ID) && schema::ALWAYS.iter().all(|table| named(table))
}

/// With the `-wal` it must be the record that the file alone says it is, and not one from before.
fn is_same(with_wal: &Connection, alone: Option<&Connection>) -> bool {
    let Some(Ok(Some((ours, seq)))) = alone.map(name_of) else { return true };
    match name_of(with_wal) {
        Ok(Some((theirs, their_seq))) => theirs == ours && their_seq >= seq,
        // Its own row may be what is damaged.
        Ok(None) | Err(_) => true,
    }
}

/// A copy of the file in which the pages of the schema are those of a backup: a backup is a copy page by page, so the
/// tables of both begin at the same pages as long as no migration lies between.
fn patched(db: &Path, wal_is_stray: bool, backup: &Path) -> Result<Option<Connection>, BackupError> {
    let Ok(pages) = schema_pages(backup) else { return Ok(None) };
    let second = untouched::make_scratch(db)?;
    fs::copy(db, &second).map_err(io(&second, "copying the damaged record"))?;
    let failed = io(&second, "putting the backup's table of contents into the copy");
    let mut from = File::open(backup).map_err(io(backup, "opening the backup"))?;
    let mut header = [0; 100];
    from.read_exact(&mut header).map_err(io(backup, "reading the backup"))?;
    let size = match header.get(16..18) {
        Some([0, 1]) => 65_536,
        Some([high, low]) => u64::from(*high) << 8 | u64::from(*low),
        _ => return Ok(None),
    };
    let mut to = OpenOptions::new().write(true).open(&second).map_err(&failed)?;
    let pages_there = fs::metadata(&second).map_err(&failed)?.len() / size.max(1);
    let mut page = vec![0; usize::try_from(size).unwrap_or(0)];
    for number in pages {
        let at = SeekFrom::Start(number.saturating_sub(1).saturating_mul(size));
        from.seek(at).and_then(|_| from.read_exact(&mut page)).map_err(io(backup, "reading the backup"))?;
        if number == 1
            && let Some(count) = page.get_mut(28..32)
        {
            count.copy_from_slice(&u32::try_from(pages_there).unwrap_or(u32::MAX).to_be_bytes());
        }
        to.seek(at).and_then(|_| to.write_all(&page)).map_err(&failed)?;
    }
    drop(to);
    if has_wal(db) && !wal_is_stray {
        let wal = with_suffix(&second, "-wal");
        fs::copy(with_suffix(db, "-wal"), &wal).map_err(io(&wal, "copying the -wal of the damaged record"))?;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = if has_wal(&second) { Connection::open_with_flags(&second, flags) } else { immutable(&second) };
    Ok(conn.ok().filter(has_tables))
}

fn schema_pages(backup: &Path) -> rusqlite::Result<Vec<u64>> {
    let sql = "SELECT pageno FROM dbstat WHERE name IN ('sqlite_schema', 'sqlite_master') ORDER BY pageno";
    let pages = query(&immutable(backup)?, sql, [], |row| row.get::<_, i64>(0))?;
    Ok(pages.into_iter().filter_map(|page| u64::try_from(page).ok()).collect())
}
