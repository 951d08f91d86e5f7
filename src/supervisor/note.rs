//! The stop sequence's side of the stop note: which session it is of, and what was sent without a record.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use neo_store::record::{EndReason, Fault, SessionNumber, Stage};
use neo_store::stop_note::{self, StopNote};

/// What a note of this session begins with.
#[derive(Clone, Debug)]
pub struct NoteBook {
    /// The database.
    pub path: PathBuf,
    /// The session.
    pub session: SessionNumber,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Why it ends.
    pub end_reason: EndReason,
    /// What happened.
    pub cause: Option<String>,
    /// Hashes of the cancels that were sent without a durable record.
    pub unrecorded: Vec<String>,
    /// Faults that the database did not take.
    pub faults: Vec<Fault>,
}

impl NoteBook {
    /// These are about to be sent without a durable record. The note is written first; where even that fails they are
    /// sent all the same, because an offer that nobody manages is worse than a cancel that nobody remembers.
    pub fn sends(&mut self, hashes: impl Iterator<Item = String>) {
        self.unrecorded.extend(hashes);
        if let Err(error) = self.note(None, None).write(&self.path) {
            tracing::error!(%error, hashes = ?self.unrecorded, "cancels are sent without a record and without a note");
        }
    }

    /// The session cannot be closed in the database: the note tells its end.
    ///
    /// # Errors
    /// What the system said.
    pub fn ends(&self, ended_at: DateTime<Utc>, stage: Option<Stage>) -> std::io::Result<()> {
        self.note(Some(ended_at), stage).write(&self.path)
    }

    /// The session is closed: nothing is left to tell.
    pub fn done(&self) {
        if let Err(error) = stop_note::remove(&self.path) {
            tracing::error!(%error, "the stop note could not be removed; the next start does it");
        }
    }

    fn note(&self, ended_at: Option<DateTime<Utc>>, stage: Option<Stage>) -> StopNote {
        StopNote {
            session: self.session,
            started_at: self.started_at,
            ended_at,
            stage,
            end_reason: self.end_reason,
            cause: self.cause.clone(),
            unrecorded: self.unrecorded.clone(),
            faults: self.faults.clone(),
        }
    }
}
