//! Old valuation snapshots are thinned out: a session of weeks takes one a ledger, 22,000 a day, and what a year is asked
//! about is not each of them.
//!
//! The unit is an hour of a session, once all of it is older than the limit: which rows stay is [`rule`]; the others are
//! removed in one transaction with a row of `thinned` that names each by its number. So a row that was thinned out is told
//! from one that was lost, by whoever looks at the numbers. Nothing else is ever removed.
//!
//! The space is not given back to the system: SQLite uses free pages for the rows that come next, which is all the time.
//! `VACUUM` would write the whole file anew beside a trading engine, and a file of `auto_vacuum` pays for a map of its
//! pages with every commit.

mod hour;
mod named;
mod numbers;
mod rule;

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

pub(crate) use self::hour::{Hour, Limit, Next, next, take_out};
pub(crate) use self::named::{all_numbers, check_row, leave_out_present};
pub(crate) use self::numbers::numbers;
use crate::checkpoint;
use crate::error::StoreError;
use crate::open::{Store, sqlite};
use crate::read::Reader;
use crate::record::CheckpointOwner;

/// Real time between two looks of a running writer that found nothing old enough: the hours of a session grow old one
/// after the other.
const LOOK_EVERY: TimeDelta = TimeDelta::hours(1);
/// Commits between two hours while records keep coming.
const COMMITS_BETWEEN: u32 = 16;
/// Bytes of the WAL after which they are written back, before a session.
const FOLD_BYTES: u64 = 4 << 20;

/// What was thinned out, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Thinned {
    /// Snapshots that were removed.
    pub rows: u64,
    /// Hours that they were removed from.
    pub hours: u64,
    /// False when the time was over before all was looked at.
    pub finished: bool,
}

impl Thinned {
    fn add(&mut self, hour: &Hour) {
        self.rows = self.rows.saturating_add(hour.rows());
        self.hours = self.hours.saturating_add(u64::from(hour.rows() > 0));
    }
}

impl Store {
    /// Thins out what is older than [`crate::Options::snapshots_keep_days`], hour by hour, before a session and after the
    /// backup that has it all. What does not get done within `limit_ms` of the monotonic clock is left to the writer.
    ///
    /// # Errors
    /// [`StoreError::Sqlite`]; the hours before it are done, and its own is as it was.
    pub fn thin(&mut self, limit_ms: Option<u64>) -> Result<Thinned, StoreError> {
        let failed = sqlite(&self.path, "thinning out old snapshots");
        let started_us = (self.options.monotonic_us)();
        let mut done = Thinned { finished: true, ..Thinned::default() };
        if self.options.snapshots_keep_days == 0 {
            return Ok(done);
        }
        let limit = Limit { keep_days: self.options.snapshots_keep_days, now: (self.options.clock)() };
        let page_bytes = self.page_bytes().map_err(&failed)?;
        let mut after_seq = done_to(&self.conn).map_err(&failed)?;
        while let Next::Hour(hour) = next(&self.conn, after_seq, limit).map_err(&failed)? {
            after_seq = hour.last_seq;
            self.thin_hour(&hour, limit, page_bytes).map_err(&failed)?;
            done.add(&hour);
            // Only what was removed is remembered: a part of an hour from which nothing goes is no progress.
            let spent_us = (self.options.monotonic_us)().saturating_sub(started_us);
            if hour.rows() > 0 && limit_ms.is_some_and(|limit_ms| spent_us > limit_ms.saturating_mul(1_000)) {
                done.finished = false;
                break;
            }
        }
        Ok(done)
    }

    fn thin_hour(&mut self, hour: &Hour, limit: Limit, page_bytes: u64) -> rusqlite::Result<()> {
        if hour.rows() == 0 {
            return Ok(());
        }
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        take_out(&tx, hour, limit)?;
        tx.commit()?;
        let own = self.options.checkpoints == CheckpointOwner::Own;
        if own && checkpoint::behind_bytes(&self.conn, page_bytes)? >= FOLD_BYTES {
            checkpoint::fold(&self.conn)?;
        }
        Ok(())
    }
}

/// What [`Store::thin`] would remove with such a limit. Reads only; an engine may run.
///
/// # Errors
/// As for [`Reader::open`], [`StoreError::Sqlite`].
pub fn preview(path: &Path, keep_days: u32, now: DateTime<Utc>) -> Result<Thinned, StoreError> {
    let reader = Reader::open(path)?;
    let mut found = Thinned { finished: true, ..Thinned::default() };
    if keep_days == 0 {
        return Ok(found);
    }
    let mut look = || -> rusqlite::Result<()> {
        let mut after_seq = done_to(&reader.conn)?;
        while let Next::Hour(hour) = next(&reader.conn, after_seq, Limit { keep_days, now })? {
            after_seq = hour.last_seq;
            found.add(&hour);
        }
        Ok(())
    };
    look().map_err(sqlite(path, "looking for old snapshots"))?;
    Ok(found)
}

/// The last row that was thinned out: everything before it was looked at then. What a repair brought back from a backup
/// stays.
pub(crate) fn done_to(conn: &Connection) -> rusqlite::Result<i64> {
    conn.query_row("SELECT coalesce(max(last_seq), 0) FROM thinned", [], |row| row.get(0))
}

/// When the writer of a running session thins out the next hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    keep_days: u32,
    /// Where the next hour is looked for; `None` before the first look.
    pub(crate) after_seq: Option<i64>,
    looked_at: Option<DateTime<Utc>>,
    commits: u32,
}

impl Pace {
    pub(crate) fn new(keep_days: u32) -> Pace {
        Pace { keep_days, after_seq: None, looked_at: None, commits: 0 }
    }

    /// The limit, when an hour is due: at once while nothing is to be recorded, else after some commits; and where the last
    /// look found nothing old, an hour later. A clock that was set back is no reason to wait for it.
    pub(crate) fn due(&mut self, now: DateTime<Utc>, idle: bool) -> Option<Limit> {
        self.commits = if idle { COMMITS_BETWEEN } else { self.commits.saturating_add(1) };
        let rests = self.looked_at.is_some_and(|at| at <= now && now < at + LOOK_EVERY);
        if self.keep_days == 0 || rests || self.commits < COMMITS_BETWEEN {
            return None;
        }
        self.commits = 0;
        Some(Limit { keep_days: self.keep_days, now })
    }

    /// An hour was done.
    pub(crate) fn went_on(&mut self, after_seq: i64) {
        (self.after_seq, self.looked_at) = (Some(after_seq), None);
    }

    /// Nothing was old enough.
    pub(crate) fn found_nothing(&mut self, now: DateTime<Utc>) {
        self.looked_at = Some(now);
    }

    /// No more in this session.
    pub(crate) fn end(&mut self) {
        self.keep_days = 0;
    }
}

#[cfg(test)]
mod tests;
