//! What keeps an old database from being backfilled or imported, each with the next step.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::error::StoreError;
use crate::lock::with_suffix;

/// Why an old database was refused. It is unchanged then.
#[derive(Debug, Error)]
pub enum OldError {
    /// There is no such file.
    #[error("{path} does not exist; give the predecessor's database file")]
    Missing {
        /// The path given.
        path: PathBuf,
    },
    /// The path names no file.
    #[error("{path} is not a file; give the predecessor's database file")]
    NotAFile {
        /// The path given.
        path: PathBuf,
    },
    /// The file is a record of this engine.
    #[error("{path} is a record of this engine, not an old database; its sessions are closed at the next `neo run`")]
    Ours {
        /// The path given.
        path: PathBuf,
    },
    /// The file is damaged or is no database.
    #[error("{path} is malformed ({detail}); nothing was changed. {mending}")]
    Malformed {
        /// The path given.
        path: PathBuf,
        /// What was found.
        detail: String,
        /// The commands that mend a copy of it.
        mending: String,
    },
    /// Another process has the file open.
    #[error(
        "{path} is in use ({holder}), so its open session may be alive; nothing was changed: end that program, then run \
         this again"
    )]
    InUse {
        /// The path given.
        path: PathBuf,
        /// What is known of who has it.
        holder: String,
    },
    /// Tables or columns are missing, or could be several things.
    #[error("{path} cannot be read without guessing; nothing was changed:\n  {}\nit has:\n  {}", problems.join("\n  "),
        tables.join("\n  "))]
    Unclear {
        /// The path given.
        path: PathBuf,
        /// What is missing, and the `--map` that names it.
        problems: Vec<String>,
        /// The tables with their columns.
        tables: Vec<String>,
    },
    /// A `--map` is not one.
    #[error("--map {text}: {mistake}")]
    Map {
        /// What was given.
        text: String,
        /// What is wrong with it.
        mistake: String,
    },
    /// A session's number cannot be told or is there twice.
    #[error("{path}: {detail}")]
    Number {
        /// The path given.
        path: PathBuf,
        /// Which, and what to do.
        detail: String,
    },
    /// Numbers of the old database are taken by sessions of the record.
    #[error(
        "{record} already has {} of its own, so the old ones cannot keep their numbers; nothing was changed. Import into \
         a record that begins with them: `neo import {} --db NEW.db`, then trade with `neo run --db NEW.db`",
        numbers.join(", "), quoted(old)
    )]
    Overlap {
        /// The record.
        record: PathBuf,
        /// The old database.
        old: PathBuf,
        /// `S1`, `S2` ...
        numbers: Vec<String>,
    },
    /// A value that was written reads back as another.
    #[error("{path}: ended_at of session {session} reads back as another time than was written; nothing was changed")]
    ReadBack {
        /// The path given.
        path: PathBuf,
        /// Which session.
        session: String,
    },
    /// The copy taken before could not be made or does not hold what it must.
    #[error("the backup {path} could not be made ({detail}); nothing was changed: free disk space, then try again")]
    Backup {
        /// The copy.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// A file could not be read or made.
    #[error("{path}: {source}; check its permissions and the disk, then try again")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("{path}: {doing} failed: {source}; nothing was changed: check the disk and the file's permissions")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Our own record refused.
    #[error(transparent)]
    Record(#[from] StoreError),
}

impl OldError {
    /// True when another command line mends it, false when a file must change first.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, OldError::Unclear { .. } | OldError::Map { .. })
    }

    /// The damage of a file, with the commands that mend a copy of it.
    pub(crate) fn malformed(path: &Path, detail: &str) -> OldError {
        OldError::Malformed { path: path.to_path_buf(), detail: detail.to_string(), mending: mending(path) }
    }
}

/// The commands for a shell: everything is done on a copy, with all files that belong together.
fn mending(path: &Path) -> String {
    let folder = with_suffix(path, ".malformed");
    let copied = folder.join(path.file_name().unwrap_or_default());
    let recovered = with_suffix(&path.with_extension(""), ".recovered.db");
    let files: Vec<_> = ["", "-wal", "-journal"]
        .into_iter()
        .map(|suffix| with_suffix(path, suffix))
        .filter(|file| file.exists())
        .map(|file| quoted(&file))
        .collect();
    format!(
        "Mend a copy of it (sqlite3 3.51.3 or later), then use that:\n  mkdir {folder}\n  cp -p {files} {folder}\n  \
         sqlite3 {copied} .recover | sqlite3 {recovered}\n  sqlite3 {recovered} 'PRAGMA integrity_check'\n  \
         neo backfill {recovered}",
        folder = quoted(&folder),
        files = files.join(" "),
        copied = quoted(&copied),
        recovered = quoted(&recovered),
    )
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(plain) && !text.is_empty() { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
