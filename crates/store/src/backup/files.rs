//! The folder of a record's backups: names, the order of time in them, the lock, and what killed backups leave.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;

use super::BackupError;
use crate::lock::{Lock, LockError, with_suffix};

/// The time in a backup's name.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// Backups of one second; more than anybody can take.
const REPEATS_MAX: u32 = 1_000;
/// How often, and how long between, a running backup is waited for.
const LOCK_TRIES: u32 = 120;
const LOCK_PAUSE: Duration = Duration::from_millis(250);

/// A backup in the folder. Listing does not verify it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupFile {
    /// The file.
    pub path: PathBuf,
    /// Its name, `neo-sim-20260418T192119Z.db`.
    pub name: String,
    /// When it was taken: the time in its name.
    pub taken_at: DateTime<Utc>,
    /// Which one of that second: 0 for the first.
    #[serde(skip)]
    pub repeat: u32,
    /// Bytes.
    pub size: u64,
}

/// Where the backups of `db` are: the folder `backups` beside it. Records of one folder share it; the name of each
/// backup begins with that of its record.
#[must_use]
pub fn folder_of(db: &Path) -> PathBuf {
    folder_of_file(db).join("backups")
}

/// The backups of `db`, the newest first; none when there is no folder.
///
/// # Errors
/// [`BackupError::Io`].
pub fn list(db: &Path) -> Result<Vec<BackupFile>, BackupError> {
    let folder = folder_of(db);
    let mut files = Vec::new();
    for name in names_in(&folder)? {
        if parse(db, &name).is_some() {
            files.push(describe(db, &folder.join(&name))?);
        }
    }
    files.sort_by_key(|file| std::cmp::Reverse((file.taken_at, file.repeat)));
    Ok(files)
}

/// The folder of a file, also of one that is named without any.
pub(crate) fn folder_of_file(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// What the names of a record's backups begin with: its own name without `.db`.
pub(crate) fn stem_of(db: &Path) -> String {
    let name = db.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".db").unwrap_or(&name).to_string()
}

pub(crate) fn sha256_path(backup: &Path) -> PathBuf {
    with_suffix(backup, ".sha256")
}

/// An error of the system, with the file and what was being done.
pub(crate) fn io(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> BackupError + use<> {
    let path = path.to_path_buf();
    move |source| BackupError::Io { path: path.clone(), doing, source }
}

/// Makes names in a folder durable. Windows has no such call: there the file system's journal must do.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    if cfg!(unix) {
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder, "syncing the folder"))?;
    }
    Ok(())
}

/// Writes a small file and makes its content durable.
pub(crate) fn write_synced(path: &Path, text: &str) -> Result<(), BackupError> {
    let mut file = File::create(path).map_err(io(path, "creating the file"))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io(path, "writing the file"))
}

/// Who may read the record may read its copy, and nobody else.
pub(crate) fn same_permissions(of: &Path, path: &Path) -> Result<(), BackupError> {
    let permissions = fs::metadata(of).map_err(io(of, "reading the permissions"))?.permissions();
    fs::set_permissions(path, permissions).map_err(io(path, "setting the permissions"))
}

/// Removes a file; one that is not there is gone already.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io(path, "removing the file")(error)),
        _ => Ok(()),
    }
}

/// A file's place in time, from its path.
pub(super) fn describe(db: &Path, path: &Path) -> Result<BackupFile, BackupError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let size = fs::metadata(path).map_err(io(path, "reading the size"))?.len();
    let (taken_at, repeat) =
        parse(db, &name).ok_or_else(|| BackupError::NoSuch { asked: name.clone(), folder: folder_of(db) })?;
    Ok(BackupFile { path: path.to_path_buf(), name, taken_at, repeat, size })
}

/// One backup at a time: another one that runs is waited for, half a minute at most.
pub(super) fn lock_folder(db: &Path, folder: &Path) -> Result<Lock, BackupError> {
    let path = folder.join(format!("{}.lock", stem_of(db)));
    let mut tries = 0;
    loop {
        match Lock::acquire(&path, "a backup") {
            Err(LockError::Held { .. }) if tries < LOCK_TRIES => tries += 1,
            Err(LockError::Held { path, pid, .. }) => {
                let pid = pid.map_or_else(|| String::from("unknown"), |pid| pid.to_string());
                return Err(BackupError::Running { holder: format!("{}, process {pid}", path.display()) });
            }
            other => return Ok(other?),
        }
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Removes what killed backups left of this record: copies that never got their name, and sums without a backup.
pub(super) fn clean(db: &Path, folder: &Path) -> Result<(), BackupError> {
    for name in names_in(folder)? {
        let partial =
            name.find(".partial").and_then(|end| name.get(..end)).is_some_and(|name| parse(db, name).is_some());
        let orphan = name
            .strip_suffix(".sha256")
            .is_some_and(|backup| parse(db, backup).is_some() && !folder.join(backup).exists());
        if partial || orphan {
            tracing::warn!(file = name, "a backup was cut short; what it left is removed");
            remove_if_there(&folder.join(&name))?;
        }
    }
    Ok(())
}

/// A name that no backup has: the second, and a number where that is taken.
pub(super) fn free_name(db: &Path, folder: &Path, now: DateTime<Utc>) -> Result<String, BackupError> {
    let base = format!("{}-{}", stem_of(db), now.format(STAMP));
    for repeat in 0..REPEATS_MAX {
        let name = if repeat == 0 { format!("{base}.db") } else { format!("{base}-{repeat}.db") };
        if !folder.join(&name).try_exists().map_err(io(folder, "looking for a free name"))? {
            return Ok(name);
        }
    }
    let taken = io::Error::new(ErrorKind::AlreadyExists, format!("{REPEATS_MAX} backups are named {base}"));
    Err(io(folder, "looking for a free name")(taken))
}

/// The time and the number in a backup's name; `None` for any other file, also for those of another record.
fn parse(db: &Path, name: &str) -> Option<(DateTime<Utc>, u32)> {
    let rest = name.strip_prefix(&stem_of(db))?.strip_prefix('-')?.strip_suffix(".db")?;
    let (stamp, repeat) = match rest.split_once('-') {
        None => (rest, 0),
        Some((stamp, repeat)) => (stamp, repeat.parse().ok().filter(|n: &u32| *n > 0 && n.to_string() == repeat)?),
    };
    let taken_at = NaiveDateTime::parse_from_str(stamp, STAMP).ok()?.and_utc();
    (taken_at.format(STAMP).to_string() == stamp).then_some((taken_at, repeat))
}

fn names_in(folder: &Path) -> Result<Vec<String>, BackupError> {
    let failed = io(folder, "listing the backups");
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(&failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        // A name that is no text is none of ours.
        if let Ok(name) = entry.map_err(&failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_backups() {
        let db = Path::new("data/neo.db");
        let (taken_at, repeat) = parse(db, "neo-20260418T192119Z-12.db").unwrap();
        assert_eq!((taken_at.to_rfc3339().as_str(), repeat), ("2026-04-18T19:21:19+00:00", 12));
        assert!(parse(db, "neo-20260418T192119Z.db").is_some());
        for other in [
            "neo-sim-20260418T192119Z.db",
            "neo-20260418T192119Z.db.partial",
            "neo-20260418T192119Z.db.sha256",
            "neo-20260418T192119.db",
            "neo-20261318T192119Z.db",
            "neo-20260418T192119Z-0.db",
            "neo-20260418T192119Z-01.db",
            "neo-20260418T192119Z--1.db",
            "neo-2026418T192119Z.db",
            "neo.db",
            "neo-.db",
            "",
        ] {
            assert_eq!(parse(db, other), None, "{other}");
        }
        assert!(parse(Path::new("neo.sqlite"), "neo.sqlite-20260418T192119Z.db").is_some());
        assert_eq!(folder_of(Path::new("neo.db")), Path::new("./backups"));
    }
}
