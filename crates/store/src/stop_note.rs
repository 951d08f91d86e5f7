//! The stop note: what a stop that cannot write to the database leaves beside it, for the next start to turn into the
//! session's end.
//!
//! `NAME.db.stop-note` is one JSON object. It is written whole and synced before its name is its own, so it is there or
//! it is not; a file that is torn all the same says nothing and is set aside. It names its session by number and start,
//! because the database beside it may have been replaced since.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::columns::time;
use crate::lock::with_suffix;
use crate::record::{EndReason, Fault, SessionNumber, Stage};

/// A note is a few hashes; what is longer is none of ours.
const BYTES_MAX: u64 = 1 << 20;

/// What the note says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopNote {
    /// The session.
    pub session: SessionNumber,
    /// When it began: another database's session may have the same number.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` while only `unrecorded` is told and the stop goes on.
    pub ended_at: Option<DateTime<Utc>>,
    /// The stop stage that hung, if one did.
    pub stage: Option<Stage>,
    /// Why it ended.
    pub end_reason: EndReason,
    /// What happened, for people.
    pub cause: Option<String>,
    /// Hashes of the cancels that were sent without a durable record.
    pub unrecorded: Vec<String>,
    /// Faults that the database did not take.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// What lies beside a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No note.
    Nothing,
    /// A note.
    Note(Box<StopNote>),
    /// A file that is no note, and why.
    Torn(String),
}

/// The note of a database: its name with `.stop-note` added.
#[must_use]
pub fn path_of(database: &Path) -> PathBuf {
    with_suffix(database, ".stop-note")
}

impl StopNote {
    /// Writes the note beside `database`, in the place of an earlier one. Durable on return.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, database: &Path) -> io::Result<()> {
        let path = path_of(database);
        let partial = with_suffix(&path, ".partial");
        let text = serde_json::to_vec_pretty(self)?;
        let mut file = File::create(&partial)?;
        file.write_all(&text)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&partial, &path)?;
        sync_folder(&path)
    }

    /// True when it tells of this session of this database.
    #[must_use]
    pub fn is_of(&self, session: SessionNumber, started_at: DateTime<Utc>) -> bool {
        // Compared as stored: the database keeps milliseconds.
        self.session == session && time(self.started_at) == time(started_at)
    }
}

/// Looks for a note.
///
/// # Errors
/// What the system said, for a file that is there and cannot be read.
pub fn find(database: &Path) -> io::Result<Found> {
    let file = match File::open(path_of(database)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(match serde_json::from_slice(&bytes) {
        Ok(note) => Found::Note(Box::new(note)),
        Err(error) => Found::Torn(error.to_string()),
    })
}

/// Removes the note, once what it says is durable elsewhere. None is as good.
///
/// # Errors
/// What the system said.
pub fn remove(database: &Path) -> io::Result<()> {
    let path = path_of(database);
    match fs::remove_file(&path) {
        Ok(()) => sync_folder(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Keeps a note that says nothing of this database out of the way, for whoever wants to look at it.
///
/// # Errors
/// What the system said.
pub fn set_aside(database: &Path) -> io::Result<PathBuf> {
    let path = path_of(database);
    let aside = with_suffix(&path, ".ignored");
    fs::rename(&path, &aside)?;
    Ok(aside)
}

/// A name is durable once its folder is; Windows has no such thing and needs none.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn no_note_is_no_error_and_one_that_cannot_be_read_is() {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("neo.db");
        assert_eq!(find(&db).unwrap(), Found::Nothing);
        remove(&db).unwrap();
        // A folder in its place can be neither read nor removed as a file.
        fs::create_dir(path_of(&db)).unwrap();
        assert!(find(&db).is_err());
        assert!(remove(&db).is_err());
        assert!(path_of(&db).is_dir());
    }
}
