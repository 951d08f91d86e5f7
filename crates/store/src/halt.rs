//! When the record can no longer be relied on for new quotes: the queue is full, the disk refuses, or a commit takes too
//! long. The first of them stands for the rest of the session: a disk that was too slow once is not traded on again
//! before somebody has looked at it.
//!
//! A commit that hangs cannot say so itself. So the writer's thread notes when it went to the disk, and whoever asks (the
//! orders before they sign, the writer's watcher, the supervisor) sees how long ago that was. Times are handed in.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// Why nothing new may be quoted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Halt {
    /// A record of class A found no place in the queue.
    #[error("the record's queue is full ({capacity} records): the disk does not keep up")]
    QueueFull {
        /// How many it holds.
        capacity: usize,
    },
    /// The disk or the file refused a commit or a checkpoint.
    #[error("the database refuses to be written: {error}")]
    Refused {
        /// What SQLite said.
        error: String,
    },
    /// A commit or a checkpoint took longer than the limit, or still does.
    #[error("a commit took {ms} ms, longer than store.commit_limit_ms = {limit_ms}: the disk does not keep up")]
    Slow {
        /// How long when it was noticed.
        ms: u64,
        /// The limit.
        limit_ms: u64,
    },
}

/// What the writer's thread notes and everybody else reads. Times are microseconds of a clock that never goes back.
#[derive(Debug)]
pub(crate) struct Vitals {
    limit_ms: u64,
    /// When the thread went to the disk; 0 while it is not there.
    since_us: AtomicU64,
    halt: OnceLock<Halt>,
}

impl Vitals {
    pub(crate) fn new(limit_ms: u64) -> Vitals {
        Vitals { limit_ms, since_us: AtomicU64::new(0), halt: OnceLock::new() }
    }

    /// The thread goes to the disk.
    pub(crate) fn begin(&self, now_us: u64) {
        self.since_us.store(now_us.max(1), Ordering::Release);
    }

    /// The thread is back, however it went.
    pub(crate) fn end(&self, now_us: u64) {
        self.look(now_us);
        self.since_us.store(0, Ordering::Release);
    }

    /// How long the thread has been at the disk, in microseconds; 0 while it is not there.
    pub(crate) fn running_us(&self, now_us: u64) -> u64 {
        match self.since_us.load(Ordering::Acquire) {
            0 => 0,
            since_us => now_us.saturating_sub(since_us),
        }
    }

    /// The disk refused.
    pub(crate) fn refused(&self, error: &str) {
        self.halt.get_or_init(|| Halt::Refused { error: error.to_string() });
    }

    /// A record of class A found no place.
    pub(crate) fn full(&self, capacity: usize) {
        self.halt.get_or_init(|| Halt::QueueFull { capacity });
    }

    /// Why nothing new may be quoted, if so.
    pub(crate) fn look(&self, now_us: u64) -> Option<&Halt> {
        let since_us = self.since_us.load(Ordering::Acquire);
        let ms = now_us.saturating_sub(since_us) / 1_000;
        if since_us > 0 && ms > self.limit_ms {
            return Some(self.halt.get_or_init(|| Halt::Slow { ms, limit_ms: self.limit_ms }));
        }
        self.halt.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;

    #[test]
    fn a_commit_that_hangs_is_seen_from_outside_and_one_within_the_limit_is_not() {
        let vitals = Vitals::new(5_000);
        assert_eq!(vitals.look(u64::MAX), None, "a thread that rests for ever is not slow");
        vitals.begin(10 * MS);
        assert_eq!(vitals.look(5_010 * MS), None);
        assert_eq!(vitals.running_us(5_010 * MS), 5_000 * MS);
        let halt = Halt::Slow { ms: 5_001, limit_ms: 5_000 };
        assert_eq!(vitals.look(5_011 * MS), Some(&halt));
        vitals.end(9_000 * MS);
        assert_eq!(vitals.look(9_000 * MS), Some(&halt), "once is enough");
        assert_eq!(vitals.running_us(9_000 * MS), 0, "it is back");
    }

    #[test]
    fn a_commit_that_nobody_watched_is_judged_when_it_comes_back() {
        let vitals = Vitals::new(100);
        vitals.begin(0);
        vitals.end(100 * MS);
        assert_eq!(vitals.look(100 * MS), None);
        vitals.begin(200 * MS);
        vitals.end(302 * MS);
        assert_eq!(vitals.look(302 * MS), Some(&Halt::Slow { ms: 102, limit_ms: 100 }));
    }

    #[test]
    fn the_first_reason_stands() {
        let vitals = Vitals::new(100);
        vitals.full(16);
        vitals.refused("database or disk is full");
        assert_eq!(vitals.look(0), Some(&Halt::QueueFull { capacity: 16 }));
    }
}
