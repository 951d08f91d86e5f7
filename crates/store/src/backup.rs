//! Backups: a verified copy of the record, taken while the engine writes.
//!
//! The copy is made by SQLite's backup API inside one read transaction, so that commits of the engine neither restart it
//! nor appear in it. It goes into a `.partial` file, slice by slice, each slice synced before the next, so that the disk
//! never has more than a slice of ours to write when the engine wants its commit. Only when the copy was verified does it
//! get its name, and its SHA-256 (in the form that `sha256sum -c` reads) is beside it before it does: a file with the
//! name of a backup is a whole backup.
//!
//! A reader takes no lock that a commit waits for. What a backup can cost the writer is the wait of a checkpoint that
//! falls into the copying: at most its busy time-out, 100 ms, after which it is tried again later.

mod check;
mod error;
mod files;
pub mod retention;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, params};
use serde::Serialize;

pub use check::{Contents, Verified, check, verify};
pub use error::BackupError;
pub use files::{BackupFile, folder_of, list};
pub use retention::Retention;

pub(crate) use check::{Hashing, contents, immutable, sha256_beside, sha256_of, sqlite};
pub(crate) use files::{
    folder_of_file, io, remove_if_there, same_permissions, sha256_path, stem_of, sync_folder, write_synced,
};

use crate::columns::time;
use crate::error::StoreError;
use crate::lock::{Lock, with_suffix};
use crate::open::Store;
use crate::read;

/// Pages of one slice: 4 MB of the usual pages of 4 KB.
const SLICE_PAGES: i32 = 1_024;
/// Between two slices the disk is the engine's.
const SLICE_PAUSE: Duration = Duration::from_millis(1);
/// How often a slice that somebody's lock refuses is tried again, and how long between.
const BUSY_TRIES: u32 = 100;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// A backup that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// The file.
    #[serde(flatten)]
    pub file: BackupFile,
    /// Its SHA-256, hex.
    pub sha256: String,
    /// What is in it.
    pub contents: Contents,
    /// The names of older backups that the retention rules removed.
    pub removed: Vec<String>,
}

/// How far the copying is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Pages of the whole.
    pub pages: u64,
    /// Pages that are copied.
    pub copied: u64,
}

/// Takes a backup of the record at `db` over a connection that only reads, whether an engine runs or not. The engine is
/// asked for nothing and its record is not written: the row in `backups` is added when an engine next opens the file.
/// `watch` is told after each slice. Blocks until the backup is verified.
///
/// # Errors
/// [`BackupError`]; what was begun is removed, and no older backup is touched.
pub fn take(
    db: &Path,
    retention: &Retention,
    now: DateTime<Utc>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Taken, BackupError> {
    let source = read::open_for_backup(db)?;
    let folder = Folder::lock(db)?;
    let mut taken = folder.take(&source, now, watch)?;
    source.close().map_err(|(_, error)| sqlite(db, "closing the record after the backup")(error))?;
    taken.removed = folder.retain(retention, &taken.file.name)?;
    Ok(taken)
}

impl Store {
    /// Takes a backup over the store's own connection, before a session begins, and brings the table `backups` in line
    /// with the folder. `None` for a record without any session: there is nothing to lose yet.
    ///
    /// # Errors
    /// [`BackupError`]; what was begun is removed, and no older backup is touched.
    pub fn backup(&mut self, retention: &Retention, now: DateTime<Utc>) -> Result<Option<Taken>, BackupError> {
        let failed = sqlite(&self.path, "reading whether there is anything to back up");
        let sessions: i64 =
            self.conn.query_row("SELECT count(*) FROM sessions", [], |row| row.get(0)).map_err(failed)?;
        if sessions == 0 {
            return Ok(None);
        }
        let folder = Folder::lock(&self.path)?;
        let mut taken = folder.take(&self.conn, now, &mut |_| {})?;
        taken.removed = folder.retain(retention, &taken.file.name)?;
        record_folder(&mut self.conn, &self.path)?;
        Ok(Some(taken))
    }
}

/// A backup of a file that is about to be migrated, over the connection that will do it.
pub(crate) fn before_migration(conn: &Connection, db: &Path, now: DateTime<Utc>) -> Result<Taken, BackupError> {
    Folder::lock(db)?.take(conn, now, &mut |_| {})
}

/// An error of SQLite about the record itself: damage of it is no bad backup.
fn damaged(db: &Path, doing: &'static str) -> impl Fn(rusqlite::Error) -> BackupError + use<> {
    let (failed, path) = (sqlite(db, doing), db.to_path_buf());
    move |error| match failed(error) {
        BackupError::NotWhole { detail, .. } => StoreError::Damaged { path: path.clone(), detail }.into(),
        other => other,
    }
}

/// Makes the table `backups` say what the folder holds: backups taken beside a running engine come in, removed ones go.
/// One that has no SHA-256 or cannot be read is not listed; it keeps nobody from trading.
fn record_folder(conn: &mut Connection, db: &Path) -> Result<(), BackupError> {
    let failed = sqlite(db, "recording the backups");
    let files = list(db)?;
    let known: Vec<String> = read::query(conn, "SELECT name FROM backups", [], |row| row.get(0)).map_err(&failed)?;
    let tx = conn.transaction().map_err(&failed)?;
    for name in known.iter().filter(|name| !files.iter().any(|file| file.name == **name)) {
        tx.execute("DELETE FROM backups WHERE name = ?1", [name]).map_err(&failed)?;
    }
    for file in files.iter().filter(|file| !known.contains(&file.name)) {
        let sha256 = match sha256_beside(&file.path) {
            Ok(Some(sha256)) => sha256,
            other => {
                tracing::error!(backup = file.name, found = ?other, "this backup has no SHA-256; it is not listed");
                continue;
            }
        };
        let size = i64::try_from(file.size).unwrap_or(i64::MAX);
        let session = match immutable(&file.path).and_then(|backup| contents(&backup)) {
            Ok(contents) => contents.last_session,
            Err(error) => {
                tracing::error!(backup = file.name, %error, "this backup cannot be read; it is not listed");
                continue;
            }
        };
        // After a restore the record may not have that session any more.
        tx.execute(
            "INSERT INTO backups (name, sha256, size, taken_at, session_number)
             VALUES (?1, ?2, ?3, ?4, (SELECT number FROM sessions WHERE number = ?5))",
            params![file.name, sha256, size, time(file.taken_at), session],
        )
        .map_err(&failed)?;
    }
    tx.commit().map_err(failed)
}

/// The folder of a record's backups, ours alone while this lives.
struct Folder {
    db: PathBuf,
    path: PathBuf,
    _lock: Lock,
}

impl Folder {
    /// Makes the folder if need be, waits for another backup that runs, and removes what killed ones left.
    fn lock(db: &Path) -> Result<Folder, BackupError> {
        let path = folder_of(db);
        std::fs::create_dir_all(&path).map_err(io(&path, "creating the folder of the backups"))?;
        let lock = files::lock_folder(db, &path)?;
        files::clean(db, &path)?;
        Ok(Folder { db: db.to_path_buf(), path, _lock: lock })
    }

    fn take(
        &self,
        source: &Connection,
        now: DateTime<Utc>,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Taken, BackupError> {
        let name = files::free_name(&self.db, &self.path, now)?;
        let path = self.path.join(&name);
        let partial = with_suffix(&path, ".partial");
        let made = self.copy(source, &partial, watch).and_then(|expected| self.finish(&partial, &path, &expected));
        let (sha256, contents) = match made {
            Ok(made) => made,
            Err(error) => {
                for leftover in [&partial, &sha256_path(&path)] {
                    if let Err(error) = remove_if_there(leftover) {
                        tracing::error!(%error, "what the failed backup left could not be removed");
                    }
                }
                return Err(error);
            }
        };
        let file = files::describe(&self.db, &path)?;
        Ok(Taken { file, sha256, contents, removed: Vec::new() })
    }

    /// Copies everything that is committed now; gives what the copy must hold.
    fn copy(
        &self,
        source: &Connection,
        partial: &Path,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Contents, BackupError> {
        let failed = damaged(&self.db, "copying the record");
        // One read transaction over the whole copy: commits of others do not restart it.
        let snapshot = source.unchecked_transaction().map_err(&failed)?;
        let expected = contents(&snapshot).map_err(&failed)?;
        let mut copy = open_copy(partial).map_err(&failed)?;
        // Opened once and closed after SQLite has closed: closing any handle drops SQLite's own POSIX locks.
        let handle = OpenOptions::new().write(true).open(partial).map_err(io(partial, "opening the copy"))?;
        same_permissions(&self.db, partial)?;
        {
            let backup = Backup::new(&snapshot, &mut copy).map_err(&failed)?;
            let mut refused = 0;
            loop {
                let step = backup.step(SLICE_PAGES).map_err(&failed)?;
                let progress = backup.progress();
                let pages = u64::try_from(progress.pagecount).unwrap_or(0);
                let left = u64::try_from(progress.remaining).unwrap_or(0);
                match step {
                    StepResult::Done => break,
                    StepResult::More => {
                        handle.sync_data().map_err(io(partial, "syncing the copy"))?;
                        watch(Progress { pages, copied: pages.saturating_sub(left) });
                        std::thread::sleep(SLICE_PAUSE);
                    }
                    _ if refused < BUSY_TRIES => {
                        refused += 1;
                        std::thread::sleep(BUSY_PAUSE);
                    }
                    _ => return Err(BackupError::Busy { path: self.db.clone() }),
                }
            }
        }
        copy.close().map_err(|(_, error)| failed(error))?;
        handle.sync_all().map_err(io(partial, "syncing the copy"))?;
        snapshot.finish().map_err(failed)?;
        Ok(expected)
    }

    /// Verifies the copy against what was in the record, and gives it its name.
    fn finish(&self, partial: &Path, path: &Path, expected: &Contents) -> Result<(String, Contents), BackupError> {
        let found = match check(partial) {
            Ok(found) => found,
            // The copy is of what the record holds: what is wrong with it is wrong there.
            Err(BackupError::NotWhole { detail, .. }) => {
                let detail = format!("a copy of it does not pass the full check: {detail}");
                return Err(StoreError::Damaged { path: self.db.clone(), detail }.into());
            }
            Err(error) => return Err(error),
        };
        if found != *expected {
            let detail = format!("the copy holds {found}, the record {expected}");
            return Err(BackupError::NotWhole { path: partial.to_path_buf(), detail });
        }
        let sha256 = sha256_of(partial)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        write_synced(&sha256_path(path), &format!("{sha256}  {name}\n"))?;
        std::fs::rename(partial, path).map_err(io(path, "naming the backup"))?;
        sync_folder(&self.path)?;
        Ok((sha256, found))
    }

    /// Removes what the rules do not keep; never the one just taken, which is known to be good.
    fn retain(&self, retention: &Retention, just_taken: &str) -> Result<Vec<String>, BackupError> {
        let files = list(&self.db)?;
        let surplus: Vec<&BackupFile> =
            retention.surplus(&files).into_iter().filter(|file| file.name != just_taken).collect();
        for file in &surplus {
            remove_if_there(&file.path)?;
            remove_if_there(&sha256_path(&file.path))?;
        }
        if !surplus.is_empty() {
            sync_folder(&self.path)?;
        }
        Ok(surplus.into_iter().map(|file| file.name.clone()).collect())
    }
}

/// The copy needs no journal of its own, it is thrown away when anything fails; and it is synced here, not by SQLite.
fn open_copy(partial: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(partial, flags)?;
    conn.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "OFF")?;
    Ok(conn)
}
