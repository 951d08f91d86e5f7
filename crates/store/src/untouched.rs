//! Reading a record that must stay as it is, byte for byte: one that may be damaged, or that is being replaced.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::backup::{BackupError, immutable, io, remove_if_there};
use crate::lock::with_suffix;

/// Why such a record could not be opened.
pub(crate) enum Unopened {
    /// SQLite's reason: what is there is no sound database.
    Sqlite(rusqlite::Error),
    /// The system's: the second names could not be made.
    System(BackupError),
}

/// True when rows may be in the `-wal`.
pub(crate) fn has_wal(db: &Path) -> bool {
    fs::metadata(with_suffix(db, "-wal")).is_ok_and(|wal| wal.len() > 0)
}

/// Opens the record without changing a byte of its three files. Where rows are still in the `-wal`, SQLite needs a
/// `-shm` to read them and would write to the one there is: so it is shown the other two under second names, in a folder
/// of their own, which [`remove_scratch`] removes after the connection is closed.
pub(crate) fn open(db: &Path) -> Result<Connection, Unopened> {
    if !has_wal(db) {
        return immutable(db).map_err(Unopened::Sqlite);
    }
    let second = make_scratch(db).map_err(Unopened::System)?;
    for (from, to) in [(db.to_path_buf(), &second), (with_suffix(db, "-wal"), &with_suffix(&second, "-wal"))] {
        // Where the file system has no second names, a copy does.
        if fs::hard_link(&from, to).is_err() {
            fs::copy(&from, to).map_err(io(to, "copying the record to look at it")).map_err(Unopened::System)?;
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(&second, flags).map_err(Unopened::Sqlite)
}

/// An empty folder for second names; gives the name that the record has in it.
pub(crate) fn make_scratch(db: &Path) -> Result<PathBuf, BackupError> {
    let folder = scratch(db);
    remove_scratch(db)?;
    fs::create_dir(&folder).map_err(io(&folder, "making the folder for the comparison"))?;
    Ok(folder.join("record.db"))
}

fn scratch(db: &Path) -> PathBuf {
    with_suffix(db, ".comparing")
}

/// Removes the second names again.
pub(crate) fn remove_scratch(db: &Path) -> Result<(), BackupError> {
    let folder = scratch(db);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(io(&folder, "listing the folder of the comparison"))?,
    };
    for entry in entries {
        remove_if_there(&entry.map_err(io(&folder, "listing the folder of the comparison"))?.path())?;
    }
    fs::remove_dir(&folder).map_err(io(&folder, "removing the folder of the comparison"))
}
