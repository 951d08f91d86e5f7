//! What was not quoted and why, and the triggers that tripped.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use neo_market::Side;
use neo_store::record::{Refusal, TripRow};
use serde::Serialize;

use crate::output::{printable, table};
use crate::sessions::moment;

/// Trips that are listed; the record has all of them.
const TRIPS_SHOWN: usize = 20;

/// Refusals of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusalSum {
    /// One word for the reason.
    pub kind: String,
    /// In how many ledgers, summed over levels, on the bid side.
    pub bids: u64,
    /// The same on the ask side.
    pub asks: u64,
    /// The same where nothing could be quoted at all.
    pub all: u64,
    /// How often it began.
    pub times: u64,
    /// The newest reason, with its figures.
    pub last_reason: String,
}

/// A trigger that tripped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TripLine {
    /// Which.
    pub trigger: String,
    /// What followed.
    pub action: String,
    /// Why.
    pub reason: String,
    /// The ledger.
    pub ledger_index: u32,
    /// Its close time.
    pub close_time: DateTime<Utc>,
    /// When it ended, in ledger time.
    pub cleared_at: Option<DateTime<Utc>>,
    /// Who ended it.
    pub cleared_by: Option<String>,
    /// What the record knows of its end.
    pub state: TripState,
}

/// What became of a trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TripState {
    /// It ended, by itself or because the operator resumed.
    Cleared,
    /// The session is open, and it is tripped.
    Standing,
    /// A pause that stood when the session ended: nothing of it outlives the session.
    EndedWithSession,
    /// The session has ended, and nobody has seen the latch end: it holds later sessions until the operator resumes, and a
    /// session that begins after that says so here.
    Latched,
}

impl TripState {
    fn of(row: &TripRow, session_ended: bool) -> TripState {
        match (row.cleared, session_ended) {
            (Some(_), _) => TripState::Cleared,
            (None, false) => TripState::Standing,
            (None, true) if row.action.is_latched() => TripState::Latched,
            (None, true) => TripState::EndedWithSession,
        }
    }
}

pub(super) fn refusal_sums(rows: &[Refusal]) -> Vec<RefusalSum> {
    let mut sums: BTreeMap<&str, RefusalSum> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(&row.kind).or_insert_with(|| RefusalSum {
            kind: row.kind.clone(),
            bids: 0,
            asks: 0,
            all: 0,
            times: 0,
            last_reason: String::new(),
        });
        let ledgers = match row.side {
            Some(Side::Bid) => &mut sum.bids,
            Some(Side::Ask) => &mut sum.asks,
            None => &mut sum.all,
        };
        *ledgers = ledgers.saturating_add(row.count);
        sum.times = sum.times.saturating_add(1);
        sum.last_reason.clone_from(&row.reason);
    }
    sums.into_values().collect()
}

pub(super) fn trip_lines(rows: &[TripRow], session_ended: bool) -> Vec<TripLine> {
    let line = |row: &TripRow| TripLine {
        trigger: row.trigger.to_string(),
        action: row.action.to_string(),
        reason: row.reason.clone(),
        ledger_index: row.ledger_index,
        close_time: row.close_time,
        cleared_at: row.cleared.map(|cleared| cleared.close_time),
        cleared_by: row.cleared.map(|cleared| cleared.by.as_str().to_string()),
        state: TripState::of(row, session_ended),
    };
    rows.iter().map(line).collect()
}

pub(super) fn lines(refusals: &[RefusalSum], trips: &[TripLine]) -> Vec<String> {
    let mut lines = Vec::new();
    if !refusals.is_empty() {
        let heading = ["not quoted", "began", "ledgers of bids", "of asks", "of all", "last reason"];
        let rows = refusals.iter().map(|sum| {
            let counts = [sum.times, sum.bids, sum.asks, sum.all].map(|count| count.to_string());
            let kind = std::iter::once(printable(&sum.kind));
            kind.chain(counts).chain([printable(&sum.last_reason)]).collect()
        });
        let heading = heading.map(str::to_string).to_vec();
        lines.extend(table(&std::iter::once(heading).chain(rows).collect::<Vec<Vec<String>>>(), &[1, 2, 3, 4]));
    }
    if !trips.is_empty() {
        lines.push(format!("trips        {}", trips.len()));
    }
    for trip in trips.iter().take(TRIPS_SHOWN) {
        let end = match (trip.cleared_at, &trip.cleared_by, trip.state) {
            (Some(at), Some(by), _) => format!("until {}Z, by {by}", moment(at)),
            (.., TripState::Standing | TripState::Cleared) => "it stands".to_string(),
            (.., TripState::EndedWithSession) => "it stood when the session ended, and ended with it".to_string(),
            (.., TripState::Latched) => "latched until `neo resume`, which no session since has seen".to_string(),
        };
        let [trigger, reason] = [&trip.trigger, &trip.reason].map(|text| printable(text));
        lines.push(format!("  {}Z {trigger} {}: {reason} ({end})", moment(trip.close_time), trip.action));
    }
    lines
}
