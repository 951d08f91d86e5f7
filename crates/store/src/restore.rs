//! Restore: a backup takes the place of the record, and the former record is set aside untouched.
//!
//! Three files make one record (`.db`, `-wal`, `-shm`) and no system exchanges three files at once. So a note is made
//! durable before the first of them moves and removed after the last step; while it is there the record is refused by
//! everything that opens it, and the next restore first puts the former files back (or, if the new one is whole and in
//! place, takes the restore as done). A restore that is killed at any moment leaves the old record, the new one, or the
//! note that says what to do; never a file with another's `-wal`.

mod loss;
mod note;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use loss::{Lost, Present};
pub use note::refuse_unfinished;

use crate::backup::{
    self, BackupError, Contents, Hashing, Verified, check, folder_of, folder_of_file, io, list, remove_if_there,
    same_permissions, sha256_of, stem_of, sync_folder, verify,
};
use crate::lock::{Lock, lock_path, with_suffix};
use crate::untouched;
use note::Note;

/// The files that make one record. The database goes first: a record that is missing is noticed, one without its `-wal`
/// is not.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];
/// Set-aside folders of one second; more than anybody can make.
const REPEATS_MAX: u32 = 1_000;

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The record.
    pub db: PathBuf,
    /// The backup it was restored from.
    pub backup: PathBuf,
    /// What was verified of it.
    #[serde(flatten)]
    pub verified: Verified,
    /// Where the former files are; `None` when there was no record.
    pub set_aside: Option<PathBuf>,
    /// What the former record was, and what of it the backup does not have.
    pub former: Present,
    /// What became of an earlier restore that had been cut short; `None` when there was none.
    pub settled: Option<Settled>,
}

/// What became of a restore that had been cut short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// The former files were put back.
    PutBack,
    /// The backup was whole and in place already.
    WasDone {
        /// Where that restore had set the former files aside.
        set_aside: PathBuf,
    },
}

/// Where a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The backup is verified; nothing was changed.
    Verified,
    /// A part of the backup is copied beside the record.
    Copying,
    /// The copy is whole and durable.
    Copied,
    /// The note is durable: from here on the record is refused until the restore is settled.
    Noted,
    /// One file of the former record was moved.
    Moved,
    /// The copy has the record's name.
    InPlace,
}

/// Restores the record at `db` from `asked`: `latest`, the name of a backup in its folder, or the path of a file.
/// `watch` is told of each step.
///
/// # Errors
/// [`BackupError::Locked`] while an engine has the record; [`BackupError::Replaced`] when what was put in place is not
/// what was written. After any other error the record is as it was, or the next restore makes it so.
pub fn restore(
    db: &Path,
    asked: &str,
    now: DateTime<Utc>,
    watch: &mut dyn FnMut(Step),
) -> Result<Restored, BackupError> {
    check_target(db)?;
    let _lock = Lock::acquire(&lock_path(db), "restoring a backup")?;
    let settled = settle(db)?;
    let source = find(db, asked)?;
    let verified = verify_source(db, &source)?;
    watch(Step::Verified);
    let copy = copy_path(db);
    let made = copy_beside(&source, &copy, &verified, watch).and_then(|()| {
        if db.exists() {
            same_permissions(db, &copy)?;
        }
        let former = loss::compare(db, &verified.contents, &copy)?;
        refuse_other_identity(db, &former, &verified.contents)?;
        Ok(former)
    });
    let former = match made {
        Ok(former) => former,
        Err(error) => {
            remove_copy(db)?;
            return Err(error);
        }
    };
    watch(Step::Copied);
    let aside = aside_path(db, now)?;
    let set_aside = exchange(db, &copy, &source, &verified.sha256, &aside, watch)?;
    Ok(Restored { db: db.to_path_buf(), backup: source, verified, set_aside, former, settled })
}

/// Where the new record is put together before it takes the name.
pub(crate) fn copy_path(db: &Path) -> PathBuf {
    with_suffix(db, ".restoring")
}

/// Removes the copy, and what SQLite has beside it while a repair writes to it.
pub(crate) fn remove_copy(db: &Path) -> Result<(), BackupError> {
    let copy = copy_path(db);
    ["", "-wal", "-shm", "-journal"].iter().try_for_each(|part| remove_if_there(&with_suffix(&copy, part)))
}

pub(crate) fn check_target(db: &Path) -> Result<(), BackupError> {
    let refused = |reason: &str| Err(BackupError::Target { path: db.to_path_buf(), reason: reason.to_string() });
    match fs::symlink_metadata(db) {
        Ok(found) if found.is_symlink() => refused("it is a symbolic link; name the file that it points to with --db"),
        Ok(found) if found.is_dir() => refused("it is a folder; name a file with --db"),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io(db, "looking at the record")(error)),
        _ if !folder_of_file(db).is_dir() => refused("its folder does not exist; check the path given with --db"),
        _ => Ok(()),
    }
}

fn find(db: &Path, asked: &str) -> Result<PathBuf, BackupError> {
    let (files, folder) = (list(db)?, folder_of(db));
    if asked == "latest" {
        return files.into_iter().next().map(|file| file.path).ok_or(BackupError::None { db: db.into(), folder });
    }
    if let Some(file) =
        files.into_iter().find(|file| file.name == asked || file.name.strip_suffix(".db") == Some(asked))
    {
        return Ok(file.path);
    }
    let path = PathBuf::from(asked);
    if path.is_file() { Ok(path) } else { Err(BackupError::NoSuch { asked: asked.to_string(), folder }) }
}

/// A backup of the folder must be the one that was taken; a file from elsewhere must at least be whole.
pub(crate) fn verify_source(db: &Path, source: &Path) -> Result<Verified, BackupError> {
    let real = |path: &Path| fs::canonicalize(path).map_err(io(path, "resolving the path"));
    let source_path = real(source)?;
    if db.exists() && real(db)? == source_path {
        let reason = String::from("it is the file that it would be restored from; name a backup");
        return Err(BackupError::Target { path: db.to_path_buf(), reason });
    }
    let folder = folder_of(db);
    let ours = folder.exists() && source_path.parent() == Some(real(&folder)?.as_path());
    if ours && backup::sha256_beside(source)?.is_none() {
        return Err(BackupError::NoSha256 { path: source.to_path_buf() });
    }
    verify(source)
}

/// Copies into the record's folder, so that the last step is a rename; the copy is compared by its SHA-256 on the disk.
pub(crate) fn copy_beside(
    source: &Path,
    copy: &Path,
    verified: &Verified,
    watch: &mut dyn FnMut(Step),
) -> Result<(), BackupError> {
    let mut reader = File::open(source).map(Hashing::new).map_err(io(source, "opening the backup"))?;
    let mut file = File::create(copy).map_err(io(copy, "creating the copy"))?;
    watch(Step::Copying);
    std::io::copy(&mut reader, &mut file).and_then(|_| file.sync_all()).map_err(io(copy, "copying the backup"))?;
    drop(file);
    for found in [reader.hex(), sha256_of(copy)?] {
        if found != verified.sha256 {
            return Err(BackupError::Sha256 { path: copy.to_path_buf(), expected: verified.sha256.clone(), found });
        }
    }
    sync_folder(&folder_of_file(copy))
}

/// A record of another account is another file, whatever its name.
fn refuse_other_identity(db: &Path, former: &Present, backup: &Contents) -> Result<(), BackupError> {
    let Present::Readable { contents, .. } = former else { return Ok(()) };
    let name = |of: &Contents| format!("{} {} on {}", of.mode, of.account, of.network);
    if name(contents) == name(backup) {
        return Ok(());
    }
    Err(BackupError::OtherIdentity { db: db.to_path_buf(), found: name(backup), wanted: name(contents) })
}

/// Sets the former files aside and gives the copy the record's name, under the note.
pub(crate) fn exchange(
    db: &Path,
    copy: &Path,
    source: &Path,
    sha256: &str,
    aside: &Path,
    watch: &mut dyn FnMut(Step),
) -> Result<Option<PathBuf>, BackupError> {
    let folder = folder_of_file(db);
    fs::create_dir(aside).map_err(io(aside, "making the folder for the former record"))?;
    sync_folder(&folder)?;
    let note = Note { backup: source.to_path_buf(), sha256: sha256.to_string(), set_aside: aside.to_path_buf() };
    note.write(db)?;
    watch(Step::Noted);
    let mut moved = false;
    for part in PARTS {
        moved |= rename_if_there(&with_suffix(db, part), &aside.join(part_name(db, part)))?;
        watch(Step::Moved);
    }
    // Durable before the new file has the name: else a power cut could bring an old -wal back beside it.
    sync_folder(aside)?;
    sync_folder(&folder)?;
    fs::rename(copy, db).map_err(io(db, "putting the backup in place"))?;
    sync_folder(&folder)?;
    watch(Step::InPlace);
    verify_in_place(db, &note)?;
    Note::remove(db)?;
    if moved {
        return Ok(Some(aside.to_path_buf()));
    }
    fs::remove_dir(aside).map_err(io(aside, "removing the empty folder"))?;
    Ok(None)
}

/// Verifies the record once more where it is now; the note stays when it is not what was written.
fn verify_in_place(db: &Path, note: &Note) -> Result<(), BackupError> {
    let found = sha256_of(db)?;
    let detail = if found == note.sha256 {
        match check(db) {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        }
    } else {
        format!("SHA-256 is {found}, {} was written", note.sha256)
    };
    Err(BackupError::Replaced { path: db.to_path_buf(), set_aside: note.set_aside.clone(), detail })
}

/// Settles a restore that was cut short, and removes what one left that had changed nothing yet.
pub(crate) fn settle(db: &Path) -> Result<Option<Settled>, BackupError> {
    let copy = copy_path(db);
    let Some(note) = note::read(db)? else {
        remove_copy(db)?;
        untouched::remove_scratch(db)?;
        return Ok(None);
    };
    // The copy has its own name until the very last step.
    if !copy.exists() && db.exists() && verify_in_place(db, &note).is_ok() {
        Note::remove(db)?;
        return Ok(Some(Settled::WasDone { set_aside: note.set_aside }));
    }
    // Where both are, the one in place is the new one and is not good.
    let in_aside = |part: &str| note.set_aside.join(part_name(db, part));
    if in_aside("").exists() {
        rename_if_there(db, &copy)?;
    }
    for part in PARTS.into_iter().rev() {
        rename_if_there(&in_aside(part), &with_suffix(db, part))?;
    }
    sync_folder(&folder_of_file(db))?;
    Note::remove(db)?;
    remove_copy(db)?;
    untouched::remove_scratch(db)?;
    if let Err(error) = fs::remove_dir(&note.set_aside) {
        tracing::warn!(folder = %note.set_aside.display(), %error, "the empty folder of the restore stays");
    }
    Ok(Some(Settled::PutBack))
}

fn part_name(db: &Path, part: &str) -> PathBuf {
    PathBuf::from(with_suffix(db, part).file_name().unwrap_or_default())
}

/// True when there was a file to move.
fn rename_if_there(from: &Path, to: &Path) -> Result<bool, BackupError> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound && !from.exists() => Ok(false),
        Err(error) => Err(io(from, "moving the file")(error)),
    }
}

/// Where the former files go, a name that nothing has: `neo-sim.set-aside-20260418T192119Z`. The record's lock keeps it
/// free.
pub(crate) fn aside_path(db: &Path, now: DateTime<Utc>) -> Result<PathBuf, BackupError> {
    let folder = folder_of_file(db);
    let base = format!("{}.set-aside-{}", stem_of(db), now.format("%Y%m%dT%H%M%SZ"));
    for repeat in 0..REPEATS_MAX {
        let path = folder.join(if repeat == 0 { base.clone() } else { format!("{base}-{repeat}") });
        if !path.try_exists().map_err(io(&folder, "looking for a free name"))? {
            return Ok(path);
        }
    }
    let taken = std::io::Error::new(ErrorKind::AlreadyExists, format!("{REPEATS_MAX} folders are named {base}"));
    Err(io(&folder, "looking for a free name")(taken))
}
