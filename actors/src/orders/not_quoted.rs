//! What is not quoted, and why: counted in every ledger, recorded when it begins, now and then, and when it ends. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use neo_market::Side;
use neo_store::record::{Record, Refusal};

/// A refusal that lasts is told again after so many ledgers: what a crash forgets is less.
const TOLD_EVERY_LEDGERS: u64 = 256;

/// What a standing refusal is known by; its figures may change.
type Key = (&'static str, Option<u8>, Option<u8>);

#[derive(Clone, Debug)]
struct Standing {
    row: Refusal,
    told: u64,
    /// Noted since the last ledger.
    fresh: bool,
}

/// The refusals that stand, and how often each kind was met.
#[derive(Clone, Debug, Default)]
pub(super) struct NotQuoted {
    standing: BTreeMap<Key, Standing>,
    counts: BTreeMap<&'static str, u64>,
}

/// The ledger that was to be quoted on.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) ledger_index: u32,
    pub(super) close_time: DateTime<Utc>,
    /// Real time.
    pub(super) now: DateTime<Utc>,
}

impl NotQuoted {
    /// A level, a side or everything is not quoted on this ledger. True when that is new.
    pub(super) fn note(
        &mut self,
        kind: &'static str,
        side: Option<Side>,
        level: Option<u8>,
        reason: &str,
        at: At,
    ) -> bool {
        let side_key = side.map(|side| u8::from(side == Side::Ask));
        let standing = self.standing.get_mut(&(kind, side_key, level));
        if standing.as_ref().is_some_and(|standing| standing.fresh) {
            return false;
        }
        let count = self.counts.entry(kind).or_default();
        *count = count.saturating_add(1);
        if let Some(standing) = standing {
            standing.fresh = true;
            standing.row.count = standing.row.count.saturating_add(1);
            (standing.row.last_ledger_index, standing.row.last_close_time) = (at.ledger_index, at.close_time);
            return false;
        }
        let row = Refusal {
            side,
            level,
            kind: kind.to_string(),
            reason: reason.to_string(),
            first_ledger_index: at.ledger_index,
            first_close_time: at.close_time,
            last_ledger_index: at.ledger_index,
            last_close_time: at.close_time,
            count: 1,
            recorded_at: at.now,
        };
        self.standing.insert((kind, side_key, level), Standing { row, told: 0, fresh: true });
        true
    }

    /// The ledger is worked through: what was not noted on it has ended.
    pub(super) fn ledger_done(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        self.standing.retain(|_, standing| {
            let stays = std::mem::take(&mut standing.fresh);
            let untold = standing.row.count.saturating_sub(standing.told);
            if standing.told == 0 || untold >= TOLD_EVERY_LEDGERS || (!stays && untold > 0) {
                standing.told = standing.row.count;
                records.push(Record::Refusal(standing.row.clone()));
            }
            stays
        });
        records
    }

    /// How many ledgers each kind was met in, summed over sides and levels.
    pub(super) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ledger_index: u32) -> At {
        let close_time = DateTime::from_timestamp(1_800_000_000 + 4 * i64::from(ledger_index), 0).unwrap();
        At { ledger_index, close_time, now: close_time }
    }

    /// First ledger, last ledger, count.
    fn rows(records: &[Record]) -> Vec<(u32, u32, u64)> {
        let row = |record: &Record| match record {
            Record::Refusal(row) => (row.first_ledger_index, row.last_ledger_index, row.count),
            other => panic!("{other:?}"),
        };
        records.iter().map(row).collect()
    }

    #[test]
    fn a_refusal_that_stands_is_told_at_its_beginning_now_and_then_and_at_its_end() {
        let mut not_quoted = NotQuoted::default();
        let mut told = Vec::new();
        for index in 1..=600 {
            let new = not_quoted.note("no_reserve", Some(Side::Bid), Some(0), "figures", at(index));
            assert_eq!(new, index == 1);
            assert!(!not_quoted.note("no_reserve", Some(Side::Bid), Some(0), "again", at(index)), "once a ledger");
            told.extend(rows(&not_quoted.ledger_done()));
        }
        assert_eq!(told, [(1, 1, 1), (1, 257, 257), (1, 513, 513)]);
        assert_eq!(rows(&not_quoted.ledger_done()), [(1, 600, 600)]);
        assert_eq!(not_quoted.ledger_done(), []);
        assert_eq!(not_quoted.counts()["no_reserve"], 600);
        // It begins anew.
        assert!(not_quoted.note("no_reserve", Some(Side::Bid), Some(0), "figures", at(700)));
        assert_eq!(rows(&not_quoted.ledger_done()), [(700, 700, 1)]);
        assert_eq!(not_quoted.ledger_done(), [], "its end is what was told");
    }

    #[test]
    fn sides_levels_and_kinds_are_apart() {
        let mut not_quoted = NotQuoted::default();
        not_quoted.note("unfunded", Some(Side::Bid), Some(0), "", at(1));
        not_quoted.note("unfunded", Some(Side::Ask), Some(0), "", at(1));
        not_quoted.note("unfunded", Some(Side::Bid), Some(1), "", at(1));
        not_quoted.note("no_reserve", Some(Side::Bid), Some(0), "", at(1));
        not_quoted.note("crossed_book", None, None, "", at(1));
        assert_eq!(not_quoted.ledger_done().len(), 5);
        assert_eq!(not_quoted.counts()["unfunded"], 3);
    }
}
