//! From a session's rows to what calibration rests on: how long each offer stood at which distance and whether it was
//! filled, and where the mid went after each fill. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use neo_market::model::calibration::{Exposure, MarkOut, Outcome};
use neo_market::model::to_float;
use neo_market::{Dec, Rounding, Side, bps_from_mid};
use neo_store::old::ImportedFill;
use neo_store::record::{Fill, Order, OrderEvent, OrderState, Role, ValuationSnapshot};
use serde_json::Value;

use super::market::Depths;
use crate::cli::MeasureFrom;

/// Two snapshots farther apart than this tell nothing of what was between them: a thinned record, or an outage.
pub(super) const LONGEST_GAP_S: f64 = 90.0;
/// Ledgers after a fill at which the mid is looked up.
pub const HORIZONS: [u32; 3] = neo_market::result::mark_out::HORIZONS_LEDGERS;
/// The horizon that a fill's cost is taken from, of [`HORIZONS`]: five ledgers.
pub(super) const COST_HORIZON: usize = 1;
/// The mid of so many ledgers later will do where that of a horizon is not known.
pub(super) const LATE: u32 = 3;

/// What one session tells.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Quotes by side.
    pub exposures: Vec<(Side, Exposure)>,
    /// Fills by side whose mid after each of [`HORIZONS`] is known.
    pub mark_outs: [Vec<(Side, MarkOut)>; 3],
    /// Of each offer and ledger with a fill: the part of the offer that was filled.
    pub shares: Vec<(Side, f64)>,
    /// Fills, whether they could be placed or not.
    pub fills: u64,
    /// Seconds between its snapshots, as far as they tell.
    pub ledgers_s: f64,
    /// How many times between two snapshots.
    pub ledgers: u64,
    /// What could not be used, and why.
    pub notes: Vec<String>,
    /// Of a recorded market: how far its trades reached.
    pub depths: Option<Depths>,
}

/// The rows of one session of this engine.
#[derive(Clone, Debug, Default)]
pub struct SessionRows {
    /// Its offers.
    pub orders: Vec<Order>,
    /// What became of them.
    pub events: Vec<OrderEvent>,
    /// Its fills.
    pub fills: Vec<Fill>,
    /// Its snapshots, in time order.
    pub valuations: Vec<ValuationSnapshot>,
}

/// The mid at a ledger.
struct Seen {
    ledger: u32,
    at: DateTime<Utc>,
    mid: Dec,
}

/// What a session of this engine tells.
#[must_use]
pub fn observe(rows: &SessionRows, measured: MeasureFrom) -> Observed {
    let mids: Vec<Seen> = rows.valuations.iter().filter_map(|snapshot| seen(snapshot, measured)).collect();
    let mut observed = Observed { fills: rows.fills.len() as u64, ..Observed::default() };
    for (before, after) in pairs(&mids) {
        observed.ledgers += 1;
        observed.ledgers_s += seconds(before.at, after.at);
    }
    let mut fills_of: BTreeMap<u32, BTreeMap<u32, f64>> = BTreeMap::new();
    for fill in rows.fills.iter().filter(|fill| fill.role == Role::Maker) {
        let xrp = fills_of.entry(fill.offer_sequence).or_default().entry(fill.ledger_index).or_default();
        *xrp += fill.xrp.get() as f64;
    }
    let lives = lives(&rows.events);
    for order in &rows.orders {
        let Some((from, to)) = lives.get(&order.offer_sequence) else { continue };
        let filled = fills_of.remove(&order.offer_sequence).unwrap_or_default();
        observed.exposures.extend(exposures(order, (*from, *to), &filled, &mids));
        let size = order.size.get() as f64;
        observed.shares.extend(filled.into_values().map(|xrp| (order.side, (xrp / size).min(1.0))));
    }
    for fill in rows.fills.iter().filter(|fill| fill.role == Role::Maker) {
        for (horizon, into) in HORIZONS.into_iter().zip(&mut observed.mark_outs) {
            into.extend(mark_out(fill, horizon, &mids).map(|mark_out| (fill.side, mark_out)));
        }
    }
    observed
}

/// The price that distances are measured from, where a snapshot has one: the middle of the book without our offers, or what
/// quotes stood around, which is what the account was valued at as long as that price was fresh.
fn seen(snapshot: &ValuationSnapshot, measured: MeasureFrom) -> Option<Seen> {
    let at = |mid: Dec| Seen { ledger: snapshot.ledger_index, at: snapshot.close_time, mid };
    if measured == MeasureFrom::Reference {
        let fresh = snapshot.mark_price.filter(|_| snapshot.mark_age_ledgers == 0);
        return fresh.filter(|price| price.is_positive()).map(at);
    }
    let sum = snapshot.best_bid?.add(snapshot.best_ask?);
    let Ok(mid) = sum.and_then(|sum| sum.div(Dec::from_i64(2), Rounding::HalfEven)) else { return None };
    mid.is_positive().then(|| at(mid))
}

fn pairs(mids: &[Seen]) -> impl Iterator<Item = (&Seen, &Seen)> {
    let both = mids.windows(2).filter_map(|pair| match pair {
        [before, after] => Some((before, after)),
        _ => None,
    });
    both.filter(|(before, after)| {
        let gap = seconds(before.at, after.at);
        after.ledger > before.ledger && gap > 0.0 && gap <= LONGEST_GAP_S
    })
}

/// Seconds between two close times, which have whole milliseconds.
pub(super) fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).num_milliseconds() as f64 / 1_000.0
}

/// The ledger from which each offer rested and the one in which it was gone (the largest number while it is not).
fn lives(events: &[OrderEvent]) -> BTreeMap<u32, (u32, u32)> {
    let mut lives: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for event in events {
        match event.state {
            OrderState::Resting | OrderState::PartlyFilled => {
                lives.entry(event.offer_sequence).or_insert((event.ledger_index, u32::MAX));
            }
            OrderState::Filled
            | OrderState::Cancelled
            | OrderState::Replaced
            | OrderState::Expired
            | OrderState::Unfunded
            | OrderState::SelfCrossed
            // Gone, for a cause that nobody knows.
            | OrderState::Unknown
            | OrderState::Failed => {
                if let Some(life) = lives.get_mut(&event.offer_sequence) {
                    life.1 = life.1.min(event.ledger_index);
                }
            }
            OrderState::Pending => {}
        }
    }
    lives
}

/// An offer in each time between two snapshots that it began resting. The ledger in which it is replaced counts whole: the
/// old offer stands for a part of it and the new one for the rest, whose first whole ledger is the next.
fn exposures(
    order: &Order,
    (from, to): (u32, u32),
    filled: &BTreeMap<u32, f64>,
    mids: &[Seen],
) -> Vec<(Side, Exposure)> {
    let first = mids.partition_point(|seen| seen.ledger < from);
    let stood = pairs(mids.get(first..).unwrap_or_default()).take_while(|(before, _)| before.ledger < to);
    stood
        .filter_map(|(before, after)| {
            let Ok(distance) = bps_from_mid(order.side, order.price, before.mid) else { return None };
            let inside = |ledger: &u32| *ledger > before.ledger && *ledger <= after.ledger;
            let outcome = Outcome::Interval(filled.keys().any(inside));
            let time_s = seconds(before.at, after.at);
            Some((order.side, Exposure { distance_bps: to_float(distance), time_s, outcome }))
        })
        .collect()
}

/// Where the mid was some ledgers after a fill, as a gain; `None` where it is not known.
fn mark_out(fill: &Fill, horizon: u32, mids: &[Seen]) -> Option<MarkOut> {
    let wanted = fill.ledger_index.checked_add(horizon)?;
    let later = mids.get(mids.partition_point(|seen| seen.ledger < wanted))?;
    let near = later.ledger <= wanted.saturating_add(LATE);
    // The ledger before the fill's is the one that the price was last known of.
    let before = mids.get(mids.partition_point(|seen| seen.ledger < fill.ledger_index).checked_sub(1)?)?;
    let fresh = fill.ledger_index.saturating_sub(before.ledger) <= LATE;
    let (true, Ok(distance), Ok(gain)) =
        (fresh, bps_from_mid(fill.side, fill.price, before.mid), bps_from_mid(fill.side, fill.price, later.mid))
    else {
        return None;
    };
    near.then(|| MarkOut { distance_bps: to_float(distance), gain_bps: to_float(gain) })
}

/// What a predecessor's session tells: its fills, and where its row names the offsets and its length is known, how often
/// an offer at each was filled (one offer a side, renewed at once, as far as is known).
#[must_use]
pub fn observe_imported(fills: &[ImportedFill], row: &Value, length_s: Option<f64>) -> Observed {
    let mut observed =
        Observed { fills: fills.len() as u64, ledgers_s: length_s.unwrap_or(0.0), ..Observed::default() };
    for (side, key) in [(Side::Bid, "bid_offset_bps"), (Side::Ask, "ask_offset_bps")] {
        let Some(distance_bps) = named(row, key).or_else(|| named(row, "offset_bps")) else {
            observed.notes.push(format!("the old record does not name {key}: its fills have no known distance"));
            continue;
        };
        let Some(time_s) = length_s.filter(|length| *length > 0.0) else {
            observed.notes.push("its length is not known: `neo backfill` closes old sessions".to_string());
            continue;
        };
        let of_side = fills.iter().filter(|fill| fill.side == Some(side)).count();
        let outcome = Outcome::Count(u32::try_from(of_side).unwrap_or(u32::MAX));
        observed.exposures.push((side, Exposure { distance_bps, time_s, outcome }));
    }
    if fills.iter().any(|fill| fill.side.is_none()) {
        observed
            .notes
            .push("fills whose side the old record does not tell are counted, and placed on none".to_string());
        observed.exposures.clear();
    }
    observed.notes.dedup();
    observed
}

/// A number of a row, by its name, at the top or in a JSON text or object within.
fn named(row: &Value, key: &str) -> Option<f64> {
    let object = row.as_object()?;
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    };
    if let Some(found) = object.get(key).and_then(number) {
        return Some(found);
    }
    object.values().find_map(|value| match value {
        Value::Object(_) => named(value, key),
        Value::String(text) if text.trim_start().starts_with('{') => {
            let Ok(inner) = serde_json::from_str::<Value>(text) else { return None };
            named(&inner, key)
        }
        _ => None,
    })
}
