//! Which snapshots of an hour stay. Pure.
//!
//! Stays: what is no snapshot between an opening and a closing one, or cannot be read; the first and the last of a
//! session; the first of each minute; the first after a fill, a deposit, a withdrawal or an unexplained change; and those
//! with the least and the most XRP and RLUSD. So a session's result, its span of inventory and the place of a difference
//! in its balances stay to the last digit, and a fill can be held against a price of each minute after it.

use std::collections::BTreeSet;
use std::ops::Bound;

use chrono::{DateTime, Utc};
use neo_market::Dec;

use crate::record::{SessionNumber, SnapshotKind};

/// The rule's name in the record.
pub(crate) const RULE: &str = "one_a_minute";

/// A snapshot, as far as the rule looks at it; `None` for what cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) seq: i64,
    pub(crate) session: SessionNumber,
    pub(crate) kind: Option<SnapshotKind>,
    pub(crate) ledger_index: i64,
    pub(crate) close_time: Option<DateTime<Utc>>,
    pub(crate) recorded_at: Option<DateTime<Utc>>,
    pub(crate) xrp_drops: i64,
    pub(crate) rlusd: Option<Dec>,
}

impl Seen {
    fn minute(&self) -> Option<i64> {
        self.close_time.map(|at| at.timestamp().div_euclid(60))
    }

    /// Whether the other is of the same session and of the same hour of trading time.
    pub(crate) fn same_hour(&self, other: &Seen) -> bool {
        let hour = |seen: &Seen| seen.close_time.map(|at| at.timestamp().div_euclid(3_600));
        self.session == other.session && hour(self).is_some() && hour(self) == hour(other)
    }

    fn is_plain(&self) -> bool {
        self.kind == Some(SnapshotKind::Ledger)
            && self.close_time.is_some()
            && self.recorded_at.is_some()
            && self.rlusd.is_some()
    }
}

/// How old an hour is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// All of it was recorded before the limit.
    Old,
    /// Something of it was recorded since.
    Young,
    /// Something of it says that it was recorded later than now: the clock was wrong, and how old it is nobody knows.
    Unknown,
}

pub(crate) fn age(hour: &[Seen], limit: DateTime<Utc>, now: DateTime<Utc>) -> Age {
    let times = || hour.iter().filter_map(|seen| seen.recorded_at);
    if times().any(|at| at > now) {
        Age::Unknown
    } else if times().any(|at| at >= limit) {
        Age::Young
    } else {
        Age::Old
    }
}

/// Numbers of the rows of `hour` that no reason keeps, ascending. `before` is the snapshot before it, of whatever session;
/// `moved` are the ledgers with a fill or a flow that is no fee.
pub(crate) fn surplus(before: Option<&Seen>, hour: &[Seen], ends_session: bool, moved: &BTreeSet<i64>) -> Vec<i64> {
    let extremes = extremes(hour);
    let mut before = before.filter(|before| hour.first().is_some_and(|first| first.session == before.session));
    let mut surplus = Vec::new();
    for (at, seen) in hour.iter().enumerate() {
        let stays = before.is_none_or(|before| before.minute() != seen.minute() || moves(before, seen, moved))
            || (ends_session && at + 1 == hour.len())
            || extremes.contains(&seen.seq)
            || !seen.is_plain();
        if !stays {
            surplus.push(seen.seq);
        }
        before = Some(seen);
    }
    surplus
}

/// Whether a balance was moved after the ledger of the one up to the ledger of the other.
fn moves(before: &Seen, seen: &Seen, moved: &BTreeSet<i64>) -> bool {
    let (from, to) = (before.ledger_index, seen.ledger_index);
    from < to && moved.range((Bound::Excluded(from), Bound::Included(to))).next().is_some()
}

/// The first rows with the least and the most of each.
fn extremes(hour: &[Seen]) -> BTreeSet<i64> {
    fn ends<T: Copy + Ord>(hour: &[Seen], of: impl Fn(&Seen) -> Option<T>) -> [Option<i64>; 2] {
        let values = || hour.iter().filter_map(|seen| Some((of(seen)?, seen.seq)));
        let least = values().min().map(|(_, seq)| seq);
        let most = values().max_by_key(|(value, seq)| (*value, std::cmp::Reverse(*seq))).map(|(_, seq)| seq);
        [least, most]
    }
    let xrp = ends(hour, |seen| Some(seen.xrp_drops));
    let rlusd = ends(hour, |seen| seen.rlusd);
    xrp.into_iter().chain(rlusd).flatten().collect()
}
