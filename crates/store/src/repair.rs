//! Repair: a damaged record is set aside untouched, and a new one is put together from the newest good backup and every
//! row of the damaged one that can still be read.
//!
//! The new record is made beside the old one and takes its name in the way of a restore, under the same note: killed at
//! any moment, a repair leaves the old record, the new one, or the note that says to run it again. What is lost stays
//! lost and is written down (`repairs`, `repair_tables`, `repair_gaps`): the numbers of the missing rows, so that
//! `neo verify` tells them from a new loss, and the ledger from which the next session fetches the account's history
//! again.

mod build;
mod gaps;
mod merge;
mod salvage;
mod source;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

pub use gaps::Gap;
pub use merge::TableAccount;
pub use source::ReadAs;

use crate::backup::{BackupError, BackupFile, Contents, Verified, check, list, same_permissions, sha256_of, sqlite};
use crate::error::StoreError;
use crate::lock::{Lock, lock_path};
use crate::look::look;
use crate::open::{Identity, check_library};
use crate::record::{Mode, SessionNumber};
use crate::recover::Recovery;
use crate::restore::{self, Settled};
use crate::schema;
use crate::untouched::remove_scratch;
use build::name_and_watermark;

/// Where a repair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// What is wrong is known; the backups are verified.
    Backups,
    /// The new record is begun from a backup, or anew.
    Begun,
    /// Rows of this table are being read.
    Salvaging(&'static str),
    /// Gaps are looked for and sessions closed.
    Accounting,
    /// The new record is whole and durable.
    Built,
    /// The files are being exchanged.
    Exchanging(restore::Step),
}

/// How far a repair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Rows of the damaged record that were looked at.
    pub rows: u64,
    /// How many there should be; `None` when nobody knows.
    pub rows_expected: Option<u64>,
}

/// What a repair found and did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing is damaged: nothing was done but, perhaps, an earlier repair or restore settled.
    Sound {
        /// What became of one that had been cut short.
        settled: Option<Settled>,
    },
    /// The record was repaired.
    Repaired(Box<Repaired>),
}

/// The account of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Repaired {
    /// The record.
    pub db: PathBuf,
    /// Its number in the table `repairs`.
    pub repair: i64,
    /// What was wrong.
    pub cause: String,
    /// Where the damaged files are, untouched; `None` when there were none.
    pub set_aside: Option<PathBuf>,
    /// The backup that the new record is based on.
    pub backup: Option<PathBuf>,
    /// What is in it.
    pub backup_contents: Option<Contents>,
    /// Backups that were not used, and why.
    pub backups_refused: Vec<RefusedBackup>,
    /// How the damaged record was read.
    pub read_as: ReadAs,
    /// What became of each table.
    pub tables: Vec<TableAccount>,
    /// Rows that were recorded and are lost.
    pub gaps: Vec<Gap>,
    /// How many.
    pub missing_rows: u64,
    /// False when the watermark could not be read: what was recorded after the last row is then not known.
    pub watermark_read: bool,
    /// Sessions whose own row was lost and that stand again by their records; what is not known of them says so.
    pub sessions_from_records: Vec<SessionNumber>,
    /// Sessions that were closed.
    pub closed: Vec<Recovery>,
    /// The ledger after which the next session fetches the account's history again.
    pub refetch_from_ledger: Option<u32>,
    /// What the record holds now.
    pub contents: Contents,
    /// What became of an earlier repair or restore that had been cut short.
    pub settled: Option<Settled>,
}

/// A backup that was not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedBackup {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// Whose records the repaired record is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Nobody else's.
    Only(Identity),
    /// What the damaged record says, else what its newest good backup says, else this one's.
    AsFound(Identity),
}

/// Repairs the record at `db` if it is damaged. `watch` is told of each step, and of every thousand rows.
///
/// # Errors
/// [`BackupError::Locked`] while an engine has the record; [`StoreError::OtherIdentity`]; what is refused for another reason than damage, as by
/// [`crate::Store::open`]. After an error the record is as it was, or the next repair or restore makes it so.
pub fn repair(
    db: &Path,
    whose: &Whose,
    now: DateTime<Utc>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Outcome, BackupError> {
    check_library()?;
    restore::check_target(db)?;
    let _lock = Lock::acquire(&lock_path(db), "repairing the record")?;
    let settled = restore::settle(db)?;
    let damage = match look(db) {
        Ok(()) => return Ok(Outcome::Sound { settled }),
        Err(error) if error.is_damage() => error,
        Err(error) => return Err(error.into()),
    };
    let (Whose::Only(identity) | Whose::AsFound(identity)) = whose.clone();
    let strict = matches!(whose, Whose::Only(_));
    let repaired = Repair { db, identity, strict, now, watch, rows: 0, expected: None }.run(&damage);
    remove_scratch(db)?;
    if repaired.is_err() {
        // Once the note is written the copy is the exchange's, and the next repair settles it.
        if restore::refuse_unfinished(db).is_ok() {
            restore::remove_copy(db)?;
        }
    }
    let mut repaired = repaired?;
    repaired.settled = settled;
    Ok(Outcome::Repaired(Box::new(repaired)))
}

/// True where a repair may have something to do although there is no file of that name: a `-wal` without it, or an
/// exchange that was cut short.
#[must_use]
pub fn has_remains(db: &Path) -> bool {
    crate::untouched::has_wal(db) || restore::refuse_unfinished(db).is_err()
}

/// What was wrong, in short.
fn cause_of(damage: &StoreError) -> String {
    match damage {
        StoreError::Damaged { detail, .. } => detail.clone(),
        StoreError::StrayWal { detail, .. } => format!("its -wal must not be replayed: {detail}"),
        StoreError::NotADatabase { .. } => String::from("its first page is not that of a database"),
        other => other.to_string(),
    }
}

/// One repair.
struct Repair<'a> {
    db: &'a Path,
    identity: Identity,
    /// No other identity will do.
    strict: bool,
    now: DateTime<Utc>,
    watch: &'a mut dyn FnMut(Progress),
    rows: u64,
    expected: Option<u64>,
}

/// What the new record begins with.
struct Base {
    backup: Option<(BackupFile, Verified)>,
    refused: Vec<RefusedBackup>,
}

/// What was taken over from the damaged record.
struct Salvaged {
    read_as: ReadAs,
    watermark: Option<i64>,
    tables: Vec<TableAccount>,
    from_records: Vec<SessionNumber>,
    /// What keeps two sessions from being open; left out until they are closed.
    open_index: String,
}

impl Repair<'_> {
    fn tell(&mut self, step: Step) {
        (self.watch)(Progress { step, rows: self.rows, rows_expected: self.expected });
    }

    fn run(mut self, damage: &StoreError) -> Result<Repaired, BackupError> {
        let stray = matches!(damage, StoreError::StrayWal { .. });
        self.tell(Step::Backups);
        let (record, _) = source::open(self.db, stray, None)?;
        let (begun, _) = name_and_watermark(record.as_ref());
        self.identify(record.as_ref())?;
        drop(record);
        let base = self.choose(begun.as_deref())?;
        let newest = base.backup.as_ref().map(|(file, _)| file.path.clone());
        let (record, read_as) = source::open(self.db, stray, newest.as_deref())?;
        if record.is_none() && base.backup.is_none() && base.refused.is_empty() && !crate::untouched::has_wal(self.db) {
            // Nothing says that this was ever a record.
            return Err(StoreError::NotADatabase { path: self.db.to_path_buf() }.into());
        }
        let copy = restore::copy_path(self.db);
        let failed = sqlite(&copy, "putting the new record together");
        let mut target = self.begin(&copy, &base, record.as_ref())?;
        self.tell(Step::Begun);
        let salvaged = self.salvage(&mut target, record.as_ref(), read_as).map_err(&failed)?;
        drop(record);
        self.tell(Step::Accounting);
        let aside = restore::aside_path(self.db, self.now)?;
        let cause = cause_of(damage);
        let mut repaired = self.account(&mut target, base, salvaged, cause, &aside).map_err(&failed)?;
        target.close().map_err(|(_, error)| failed(error))?;
        let sha256 = self.finish(&copy)?;
        repaired.contents = check(&copy)?;
        self.tell(Step::Built);
        let source = repaired.backup.clone().unwrap_or_default();
        let (rows, rows_expected) = (self.rows, self.expected);
        let watch = &mut *self.watch;
        repaired.set_aside = restore::exchange(self.db, &copy, &source, &sha256, &aside, &mut |step| {
            watch(Progress { step: Step::Exchanging(step), rows, rows_expected });
        })?;
        Ok(repaired)
    }

    /// Whose records the damaged file says that it holds.
    fn identify(&mut self, record: Option<&Connection>) -> Result<(), BackupError> {
        let Some(found) = record.and_then(build::identity_in) else { return Ok(()) };
        let fields = [
            ("mode", found.mode.to_string(), self.identity.mode.to_string()),
            ("network", found.network.clone(), self.identity.network.clone()),
            ("account", found.account.clone(), self.identity.account.clone()),
        ];
        if let (true, Some((field, found, wanted))) =
            (self.strict, fields.into_iter().find(|(_, found, wanted)| found != wanted))
        {
            return Err(StoreError::OtherIdentity { path: self.db.to_path_buf(), field, found, wanted }.into());
        }
        self.identity = found;
        self.strict = true;
        Ok(())
    }

    /// The newest backup that verifies and is of this record.
    fn choose(&mut self, begun: Option<&str>) -> Result<Base, BackupError> {
        let mut refused = Vec::new();
        for file in list(self.db)? {
            let reason = match restore::verify_source(self.db, &file.path) {
                Ok(verified) => match self.foreign(&verified.contents, begun) {
                    None if !self.strict => {
                        let (network, account) = (verified.contents.network.clone(), verified.contents.account.clone());
                        let mode = Mode::from_word(&verified.contents.mode).unwrap_or(self.identity.mode);
                        self.identity = Identity { mode, network, account };
                        return Ok(Base { backup: Some((file, verified)), refused });
                    }
                    None => return Ok(Base { backup: Some((file, verified)), refused }),
                    Some(reason) => reason,
                },
                Err(error) => error.to_string(),
            };
            refused.push(RefusedBackup { name: file.name, reason });
        }
        Ok(Base { backup: None, refused })
    }

    fn foreign(&self, contents: &Contents, begun: Option<&str>) -> Option<String> {
        let ours = &self.identity;
        if self.strict
            && (contents.mode.as_str(), &contents.network, &contents.account)
                != (ours.mode.as_str(), &ours.network, &ours.account)
        {
            return Some(format!("it holds {} {} on {}", contents.mode, contents.account, contents.network));
        }
        begun
            .filter(|begun| **begun != contents.created_at)
            .map(|begun| format!("it is of the record begun at {}, this one was at {begun}", contents.created_at))
    }

    /// A copy of the backup, of this version; without one an empty record.
    fn begin(&self, copy: &Path, base: &Base, record: Option<&Connection>) -> Result<Connection, BackupError> {
        restore::remove_copy(self.db)?;
        if let Some((file, verified)) = &base.backup {
            restore::copy_beside(&file.path, copy, verified, &mut |_| {})?;
        }
        let failed = sqlite(copy, "beginning the new record");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut target = Connection::open_with_flags(copy, flags).map_err(&failed)?;
        // It is thrown away when anything fails, and synced when it is whole.
        target.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(())).map_err(&failed)?;
        target.pragma_update(None, "synchronous", "OFF").map_err(&failed)?;
        let version = target.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(&failed)?;
        if version < schema::VERSION {
            schema::migrate(&mut target, version).map_err(&failed)?;
        }
        if base.backup.is_none() {
            self.name(&target, record).map_err(&failed)?;
        }
        if self.db.exists() {
            same_permissions(self.db, copy)?;
        }
        Ok(target)
    }

    /// Syncs the new record and gives its SHA-256.
    fn finish(&self, copy: &Path) -> Result<String, BackupError> {
        let io = |doing| crate::backup::io(copy, doing);
        std::fs::OpenOptions::new()
            .write(true)
            .open(copy)
            .and_then(|file| file.sync_all())
            .map_err(io("syncing the new record"))?;
        crate::backup::sync_folder(&crate::backup::folder_of_file(self.db))?;
        sha256_of(copy)
    }
}
