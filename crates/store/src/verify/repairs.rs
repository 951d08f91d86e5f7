//! What repairs wrote down: a hole that one of them knows is told as its own, any other is a new loss.

use std::ops::RangeInclusive;

use rusqlite::Connection;

use super::{Check, Report, Severity, text, text_opt};
use crate::read::query;
use crate::session::REFETCH_WAITS;

/// A repair that was made.
#[derive(Clone, Debug)]
struct Made {
    id: i64,
    at: String,
    cause: String,
    set_aside: String,
    backup: Option<String>,
    backup_reason: Option<String>,
    watermark_read: bool,
    refetch_from: Option<i64>,
    refetch_to: Option<i64>,
    waits: bool,
}

/// Rows that a repair knows to be lost.
#[derive(Clone, Debug)]
struct Gap {
    repair: i64,
    seqs: RangeInclusive<i64>,
    after_ledger: Option<i64>,
    to_ledger: Option<i64>,
}

/// All repairs of a record.
#[derive(Clone, Debug, Default)]
pub(super) struct Repairs {
    made: Vec<Made>,
    gaps: Vec<Gap>,
}

pub(super) fn read(conn: &Connection) -> rusqlite::Result<Repairs> {
    let sql = format!("SELECT *, ({REFETCH_WAITS}) AS waits FROM repairs ORDER BY id");
    let column = |row: &rusqlite::Row<'_>, name: &str| row.as_ref().column_index(name);
    let made = query(conn, &sql, [], |row| {
        Ok(Made {
            id: row.get("id")?,
            at: text(row, column(row, "repaired_at")?)?,
            cause: text(row, column(row, "cause")?)?,
            set_aside: text(row, column(row, "set_aside")?)?,
            backup: text_opt(row, column(row, "backup")?)?,
            backup_reason: text_opt(row, column(row, "backup_reason")?)?,
            watermark_read: row.get("watermark_read")?,
            refetch_from: row.get("refetch_from_ledger")?,
            refetch_to: row.get("refetch_to_ledger")?,
            waits: row.get("waits")?,
        })
    })?;
    let gaps = query(conn, "SELECT * FROM repair_gaps ORDER BY first_seq", [], |row| {
        Ok(Gap {
            repair: row.get("repair")?,
            seqs: row.get("first_seq")?..=row.get("last_seq")?,
            after_ledger: row.get("after_ledger")?,
            to_ledger: row.get("to_ledger")?,
        })
    })?;
    Ok(Repairs { made, gaps })
}

impl Repairs {
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.made.len()).unwrap_or(u64::MAX)
    }

    /// The part of a range of missing numbers that begins it: up to where, and the repair that knows of it.
    pub(super) fn first_part(&self, first: i64, last: i64) -> (i64, Option<i64>) {
        if let Some(gap) = self.gaps.iter().find(|gap| gap.seqs.contains(&first)) {
            return (last.min(*gap.seqs.end()), Some(gap.repair));
        }
        let next = self.gaps.iter().map(|gap| *gap.seqs.start()).filter(|start| *start > first).min();
        (next.map_or(last, |next| last.min(next.saturating_sub(1))), None)
    }

    /// How a difference weighs that the loss of rows of ledgers after `from` up to `to` explains, and which repair wrote
    /// the loss down. While the history is still to be fetched, it must be.
    pub(super) fn explains_ledgers(&self, from: i64, to: i64) -> Option<(Severity, i64)> {
        let lost_in = |gap: &&Gap| {
            let made = self.made.iter().find(|made| made.id == gap.repair);
            let end = gap.to_ledger.or(made.and_then(|made| made.refetch_to)).unwrap_or(i64::MAX);
            from < end && gap.after_ledger.unwrap_or(0) < to
        };
        // Without a watermark, what came after the last row has no number.
        let tail = |made: &&Made| {
            let from_ledger = made.refetch_from.unwrap_or(i64::MAX);
            (made.waits || !made.watermark_read) && from < made.refetch_to.unwrap_or(i64::MAX) && from_ledger < to
        };
        let repair = self.gaps.iter().find(lost_in).map(|gap| gap.repair);
        let repair = repair.or_else(|| self.made.iter().find(tail).map(|made| made.id))?;
        let waits = self.made.iter().any(|made| made.waits);
        Some((if waits { Severity::Warning } else { Severity::Note }, repair))
    }

    /// The repair that may have lost the order of a fill: its row came before the fill's, and the fill is of a ledger
    /// after the beginning of the hole.
    pub(super) fn explains_order(&self, fill_seq: i64, fill_ledger: i64) -> Option<i64> {
        let before = |gap: &&Gap| *gap.seqs.start() < fill_seq && gap.after_ledger.unwrap_or(0) <= fill_ledger;
        self.gaps.iter().find(before).map(|gap| gap.repair)
    }

    pub(super) fn tell(&self, report: &mut Report) {
        for made in &self.made {
            let Made { id, at, cause, set_aside, .. } = made;
            let base = match (&made.backup, &made.backup_reason) {
                (Some(backup), _) => format!("the backup {backup}"),
                (None, Some(reason)) => format!("no backup ({reason})"),
                (None, None) => String::from("no backup"),
            };
            let lost: i64 =
                self.gaps.iter().filter(|gap| gap.repair == *id).map(|gap| gap.seqs.end() - gap.seqs.start() + 1).sum();
            let tail = if made.watermark_read { "" } else { ", and what came after the last row, if anything did" };
            let text = format!(
                "repair {id} at {at} mended the record ({cause}) from {base} and what could be read: {lost} rows are \
                 lost{tail}; the damaged files are in {set_aside}"
            );
            report.note(Check::Repairs, None, text);
            if let (true, Some(from)) = (made.waits, made.refetch_from) {
                let text = format!(
                    "repair {id} left the account's history from ledger {from} on to be fetched again; the next `neo \
                     run` does it"
                );
                report.warning(Check::Repairs, None, text);
            }
        }
    }
}
