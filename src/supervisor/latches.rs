//! Latches on their way into the file: one that the disk refuses is kept and tried again, and its row waits for it, because
//! a row of a latch without a file says that the operator resumed.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use neo_market::{Trigger, Trip};
use neo_store::record::Record;

use crate::pause::latch;

/// The latch file of one record, and what is not in it yet.
#[derive(Debug)]
pub struct Latches {
    db: PathBuf,
    unwritten: Vec<(Trip, DateTime<Utc>, Record)>,
}

impl Latches {
    /// Those of the record `db`.
    #[must_use]
    pub fn new(db: &Path) -> Latches {
        Latches { db: db.to_path_buf(), unwritten: Vec::new() }
    }

    /// A trip that latches, at a ledger's close time, with its row; given back when the file holds the latch.
    ///
    /// # Errors
    /// What the system said of the file. The latch is kept for [`Latches::again`].
    pub fn add(&mut self, trip: &Trip, at: DateTime<Utc>, row: Record) -> io::Result<Record> {
        match latch::add(&self.db, trip, at) {
            Ok(()) => Ok(row),
            Err(error) => {
                self.unwritten.push((trip.clone(), at, row));
                Err(error)
            }
        }
    }

    /// Tries what is not written. Gives the rows of those that are now.
    pub fn again(&mut self) -> Vec<Record> {
        let mut rows = Vec::new();
        for (trip, at, row) in std::mem::take(&mut self.unwritten) {
            match self.add(&trip, at, row) {
                Ok(row) => rows.push(row),
                // Told when it was refused for the first time.
                Err(error) => {
                    tracing::debug!(%error, trigger = trip.trigger.as_str(), "the latch is still not written")
                }
            }
        }
        rows
    }

    /// The operator resumed from a trigger: a latch of it that was never written must not be. Gives its row, if there is one.
    pub fn resumed(&mut self, trigger: Trigger) -> Option<Record> {
        let at = self.unwritten.iter().position(|(trip, ..)| trip.trigger == trigger)?;
        Some(self.unwritten.remove(at).2)
    }

    /// The triggers whose latch the file does not hold.
    pub fn unwritten(&self) -> impl Iterator<Item = Trigger> {
        self.unwritten.iter().map(|(trip, ..)| trip.trigger)
    }
}

#[cfg(test)]
mod tests {
    use neo_market::TripAction;
    use neo_store::record::TripRow;

    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn trip(trigger: Trigger) -> (Trip, Record) {
        let (action, reason) = (TripAction::Latch, "figures".to_string());
        let trip = Trip { trigger, action, reason: reason.clone(), since_s: 1 };
        let row =
            TripRow { trigger, action, reason, ledger_index: 7, close_time: at(), cleared: None, recorded_at: at() };
        (trip, Record::Trip(row))
    }

    /// A folder in the file's place: nobody can write that, not even root.
    fn unwritable() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let db = folder.path().join("neo.db");
        std::fs::create_dir(latch::file(&db)).unwrap();
        (folder, db)
    }

    #[test]
    fn a_latch_that_the_disk_refuses_is_tried_again_and_its_row_comes_after_the_file() {
        let (_folder, db) = unwritable();
        let mut latches = Latches::new(&db);
        let (first, row) = trip(Trigger::Drawdown);
        assert!(latches.add(&first, at(), row.clone()).is_err(), "no row: a restart would take it for resumed");
        let (second, other) = trip(Trigger::Rejects);
        assert!(latches.add(&second, at(), other.clone()).is_err());
        assert_eq!(latches.again(), []);
        assert_eq!(latches.unwritten().collect::<Vec<_>>(), [Trigger::Drawdown, Trigger::Rejects]);
        std::fs::remove_dir(latch::file(&db)).unwrap();
        assert_eq!(latches.again(), [row, other]);
        let held: Vec<Trigger> = latch::held(&db).unwrap().into_iter().map(|(trigger, _)| trigger).collect();
        assert_eq!(held, [Trigger::Drawdown, Trigger::Rejects]);
        assert_eq!((latches.again(), latches.unwritten().count()), (vec![], 0), "each once");
    }

    #[test]
    fn a_latch_that_was_resumed_from_before_it_was_written_never_is() {
        let (_folder, db) = unwritable();
        let mut latches = Latches::new(&db);
        let (first, row) = trip(Trigger::Drawdown);
        assert!(latches.add(&first, at(), row.clone()).is_err());
        assert_eq!(latches.resumed(Trigger::Rejects), None);
        assert_eq!(latches.resumed(Trigger::Drawdown), Some(row));
        std::fs::remove_dir(latch::file(&db)).unwrap();
        assert_eq!(latches.again(), []);
        assert_eq!(latch::held(&db).unwrap(), []);
    }

    #[test]
    fn where_the_file_can_be_written_the_row_comes_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut latches = Latches::new(&folder.path().join("neo.db"));
        let (first, row) = trip(Trigger::Fees);
        assert_eq!(latches.add(&first, at(), row.clone()).unwrap(), row);
        assert_eq!(latches.unwritten().count(), 0);
    }
}
