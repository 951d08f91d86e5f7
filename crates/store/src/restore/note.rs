//! The note beside a record whose files are being exchanged: `neo-sim.db.restore`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backup::{BackupError, folder_of_file, io, sync_folder, write_synced};
use crate::error::StoreError;
use crate::lock::with_suffix;

/// What must be known to settle a restore that was cut short.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// The backup that is being restored.
    pub(super) backup: PathBuf,
    /// Its SHA-256: a record with it is whole.
    pub(super) sha256: String,
    /// Where the former files go.
    pub(super) set_aside: PathBuf,
}

impl Note {
    /// Makes the note durable; it is there whole or not at all.
    pub(super) fn write(&self, db: &Path) -> Result<(), BackupError> {
        let path = path_of(db);
        let new = with_suffix(&path, ".new");
        let text = serde_json::to_string(self).map_err(|error| io(&path, "writing the note")(error.into()))?;
        write_synced(&new, &text)?;
        fs::rename(&new, &path).map_err(io(&path, "writing the note"))?;
        sync_folder(&folder_of_file(db))
    }

    /// The record is settled.
    pub(super) fn remove(db: &Path) -> Result<(), BackupError> {
        let path = path_of(db);
        fs::remove_file(&path).map_err(io(&path, "removing the note"))?;
        sync_folder(&folder_of_file(db))
    }
}

/// The note, if a restore was cut short.
pub(super) fn read(db: &Path) -> Result<Option<Note>, BackupError> {
    let path = path_of(db);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io(&path, "reading the note"))?,
    };
    match serde_json::from_str::<Note>(&text) {
        // The folder of the data may have been moved since.
        Ok(note) => {
            let name = note.set_aside.file_name().unwrap_or_default().to_os_string();
            Ok(Some(Note { set_aside: folder_of_file(db).join(name), ..note }))
        }
        Err(error) => {
            let reason = format!(
                "{} is not the note of a restore ({error}); move the files that belong together back by hand, \
                 then delete it",
                path.display()
            );
            Err(BackupError::Target { path: db.to_path_buf(), reason })
        }
    }
}

/// Refuses a record whose files are being exchanged.
///
/// # Errors
/// [`StoreError::RestoreUnfinished`].
pub fn refuse_unfinished(db: &Path) -> Result<(), StoreError> {
    if !path_of(db).exists() {
        return Ok(());
    }
    // A note that cannot be read still says that the record must not be used.
    let set_aside = match read(db) {
        Ok(Some(note)) => note.set_aside,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::error!(%error, "the note of the restore cannot be read");
            path_of(db)
        }
    };
    Err(StoreError::RestoreUnfinished { path: db.to_path_buf(), set_aside })
}

fn path_of(db: &Path) -> PathBuf {
    with_suffix(db, ".restore")
}
