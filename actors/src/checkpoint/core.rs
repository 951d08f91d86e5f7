//! When the next checkpoint is asked for, and what is said of one that does not get through.

/// A checkpoint that a reader blocks is tried again after this.
const RETRY_MS: u64 = 5_000;
/// So many blocked attempts in a row are worth a row in `faults`: the WAL is growing.
const BLOCKED_LIMIT: u32 = 3;

/// What the writer answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The WAL is written back and truncated.
    Done,
    /// A reader kept it from finishing; the WAL has so many bytes.
    Busy {
        /// Size of the WAL.
        wal_bytes: u64,
    },
    /// It failed.
    Failed(String),
}

/// A row for `faults`: what happened, and what is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What happened, and the next step of a person.
    pub cause: String,
    /// What the engine does.
    pub action: String,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// When to ask again.
    pub wait_ms: u64,
    /// True while checkpoints do not get through.
    pub blocked: bool,
    /// What is to be recorded: once when they stay blocked, once when they are free again.
    pub note: Option<Note>,
}

/// The timer's memory.
#[derive(Debug)]
pub struct CheckpointCore {
    every_ms: u64,
    blocked: u32,
    told: bool,
}

impl CheckpointCore {
    /// A timer that asks every so often.
    #[must_use]
    pub fn new(every_ms: u64) -> CheckpointCore {
        CheckpointCore { every_ms, blocked: 0, told: false }
    }

    /// When the first one is asked for.
    #[must_use]
    pub fn first_ms(&self) -> u64 {
        self.every_ms
    }

    /// The writer has answered.
    pub fn on(&mut self, answer: Answer) -> Next {
        let what = match answer {
            Answer::Done => return self.done(),
            Answer::Busy { wal_bytes } => {
                format!("a reader blocks it and the write-ahead log has {wal_bytes} bytes; end that program")
            }
            Answer::Failed(error) => error,
        };
        self.blocked = self.blocked.saturating_add(1);
        let wait_ms = RETRY_MS.min(self.every_ms);
        let tell = self.blocked >= BLOCKED_LIMIT && !self.told;
        self.told |= tell;
        let note = tell.then(|| Note {
            cause: format!("no checkpoint in {} attempts: {what}", self.blocked),
            action: format!("tried again every {wait_ms} ms"),
        });
        Next { wait_ms, blocked: true, note }
    }

    fn done(&mut self) -> Next {
        let note = std::mem::take(&mut self.told).then(|| Note {
            cause: format!("checkpoints get through again after {} blocked attempts", self.blocked),
            action: "none is needed".to_string(),
        });
        self.blocked = 0;
        Next { wait_ms: self.every_ms, blocked: false, note }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Answer = Answer::Busy { wal_bytes: 1_234 };

    #[test]
    fn a_blocked_checkpoint_is_tried_again_soon_and_told_once_and_its_end_once() {
        let mut core = CheckpointCore::new(60_000);
        assert_eq!(core.on(Answer::Done), Next { wait_ms: 60_000, blocked: false, note: None });
        let next: Vec<Next> = (0..10).map(|_| core.on(BUSY)).collect();
        assert!(next.iter().all(|next| next.blocked && next.wait_ms == 5_000));
        let told: Vec<bool> = next.iter().map(|next| next.note.is_some()).collect();
        assert_eq!(told[..4], [false, false, true, false]);
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(next[2].note.as_ref().unwrap().cause.contains("1234 bytes; end that program"));
        let freed = core.on(Answer::Done);
        assert!(freed.note.unwrap().cause.contains("10 blocked"));
        assert_eq!(core.on(Answer::Done).note, None);
        // The next blockade is told again.
        assert_eq!((0..3).filter(|_| core.on(BUSY).note.is_some()).count(), 1);
    }

    #[test]
    fn a_reader_that_goes_at_once_is_not_told() {
        let mut core = CheckpointCore::new(60_000);
        core.on(BUSY);
        core.on(BUSY);
        assert_eq!(core.on(Answer::Done), Next { wait_ms: 60_000, blocked: false, note: None });
        core.on(BUSY);
        assert_eq!(core.on(BUSY).note, None, "attempts long ago do not count");
    }

    #[test]
    fn a_timer_faster_than_the_retry_stays_as_fast() {
        assert_eq!(CheckpointCore::new(1_000).on(BUSY).wait_ms, 1_000);
    }

    #[test]
    fn a_checkpoint_that_fails_counts_as_blocked_and_says_why() {
        let mut core = CheckpointCore::new(60_000);
        let notes: Vec<Note> =
            (0..3).filter_map(|_| core.on(Answer::Failed("disk I/O error".to_string())).note).collect();
        assert_eq!(notes.len(), 1);
        assert!(notes[0].cause.contains("disk I/O error"));
    }
}
