//! What one run came to, from its records. Pure; every amount is a decimal.

use chrono::{DateTime, Utc};
use neo_market::{AmountError, Dec, Drops, Rounding, Side, bps_from_mid};
use neo_store::record::{FlowCause, Record, Role, ValuationSnapshot};
use serde::Serialize;

/// Ledgers after a fill at which the middle is looked up.
pub const MARK_OUT_LEDGERS: u32 = 5;
/// Places of amounts in RLUSD and XRP that are means.
const PLACES: i32 = 6;

/// The figures of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Fills.
    pub fills: u64,
    /// Of these, such that took: none was asked for.
    pub taker_fills: u64,
    /// XRP filled.
    pub volume_xrp: Dec,
    /// What quoting earned after fees, in RLUSD: the value at the end less what the balances of the start are worth then.
    /// `None` without a price at the end.
    pub result_rlusd: Option<Dec>,
    /// The value at the end less that at the start, in RLUSD: what the price did to the balances is in it.
    pub value_change_rlusd: Option<Dec>,
    /// Fees paid, in XRP.
    pub fees_xrp: Dec,
    /// The deepest fall of the result from a height before, in RLUSD.
    pub drawdown_rlusd: Option<Dec>,
    /// The farthest that the XRP went from those of the start.
    pub largest_inventory_xrp: Dec,
    /// The mean distance of the XRP from those of the start, over the ledgers.
    pub mean_inventory_xrp: Dec,
    /// The mean gain of fills against the middle five ledgers later, by volume, in basis points; `None` without one.
    pub mark_out_bps: Option<Dec>,
    /// Offers and cancels that were signed.
    pub transactions: u64,
    /// Ledgers.
    pub ledgers: u64,
    /// Seconds of the ledger's time.
    pub seconds: i64,
}

struct Traded {
    ledger: u32,
    side: Side,
    price: Dec,
    xrp: Dec,
}

struct Seen {
    ledger: u32,
    at: DateTime<Utc>,
    xrp: Dec,
    rlusd: Dec,
    mark: Option<Dec>,
    middle: Option<Dec>,
}

/// Takes records in, and tells what they came to.
#[derive(Default)]
pub struct Tally {
    fills: Vec<Traded>,
    taker_fills: u64,
    seen: Vec<Seen>,
    fees: Drops,
    transactions: u64,
    failed: Option<AmountError>,
}

impl Tally {
    /// Takes one record in.
    pub fn take(&mut self, record: &Record) {
        let taken = match record {
            Record::Fill(fill) => fill.xrp.to_xrp().map(|xrp| {
                self.taker_fills += u64::from(fill.role == Role::Taker);
                self.fills.push(Traded { ledger: fill.ledger_index, side: fill.side, price: fill.price, xrp });
            }),
            Record::Flow(flow) if flow.cause == FlowCause::Fee => self.fees.sub(flow.xrp).map(|fees| self.fees = fees),
            Record::Valuation(snapshot) => seen(snapshot).map(|seen| self.seen.push(seen)),
            Record::Intent(_) => {
                self.transactions += 1;
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = taken {
            self.failed.get_or_insert(error);
        }
    }

    /// The figures.
    ///
    /// # Errors
    /// Amounts that do not add up.
    pub fn outcome(self) -> Result<Outcome, AmountError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut outcome = Outcome {
            fills: self.fills.len() as u64,
            taker_fills: self.taker_fills,
            volume_xrp: sum(self.fills.iter().map(|fill| fill.xrp))?,
            fees_xrp: self.fees.to_xrp()?,
            mark_out_bps: self.mark_out()?,
            transactions: self.transactions,
            ledgers: self.seen.len() as u64,
            ..Outcome::default()
        };
        let (Some(first), Some(last)) = (self.seen.first(), self.seen.last()) else { return Ok(outcome) };
        outcome.seconds = (last.at - first.at).num_seconds();
        let mut height: Option<Dec> = None;
        for seen in &self.seen {
            let away = seen.xrp.sub(first.xrp)?.abs();
            outcome.largest_inventory_xrp = outcome.largest_inventory_xrp.max(away);
            outcome.mean_inventory_xrp = outcome.mean_inventory_xrp.add(away)?;
            let Some(result) = result(first, seen)? else { continue };
            let top = height.map_or(result, |height| height.max(result));
            height = Some(top);
            let fall = top.sub(result)?;
            outcome.drawdown_rlusd = Some(outcome.drawdown_rlusd.map_or(fall, |worst| worst.max(fall)));
            outcome.result_rlusd = Some(result);
        }
        let count = Dec::from_i64(i64::try_from(self.seen.len()).unwrap_or(i64::MAX));
        outcome.mean_inventory_xrp =
            outcome.mean_inventory_xrp.div(count, Rounding::HalfEven)?.round_places(PLACES, Rounding::HalfEven)?;
        // Both ends are marked by the last price that there was.
        let last = self.seen.iter().rev().find(|seen| seen.mark.is_some());
        outcome.value_change_rlusd = match (worth(first)?, last.map(worth).transpose()?.flatten()) {
            (Some(before), Some(after)) => Some(after.sub(before)?),
            _ => None,
        };
        Ok(outcome)
    }

    fn mark_out(&self) -> Result<Option<Dec>, AmountError> {
        let (mut weighted, mut volume) = (Dec::zero(), Dec::zero());
        for fill in &self.fills {
            let wanted = fill.ledger.saturating_add(MARK_OUT_LEDGERS);
            let later = self.seen.get(self.seen.partition_point(|seen| seen.ledger < wanted));
            let Some(middle) =
                later.filter(|seen| seen.ledger <= wanted.saturating_add(3)).and_then(|seen| seen.middle)
            else {
                continue;
            };
            let gain = bps_from_mid(fill.side, fill.price, middle)?;
            weighted = weighted.add(gain.mul(fill.xrp, Rounding::HalfEven)?)?;
            volume = volume.add(fill.xrp)?;
        }
        if volume.is_zero() {
            return Ok(None);
        }
        weighted.div(volume, Rounding::HalfEven)?.round_places(2, Rounding::HalfEven).map(Some)
    }
}

fn seen(snapshot: &ValuationSnapshot) -> Result<Seen, AmountError> {
    let middle = match (snapshot.best_bid, snapshot.best_ask) {
        (Some(bid), Some(ask)) => Some(bid.add(ask)?.div(Dec::from_i64(2), Rounding::HalfEven)?),
        _ => None,
    };
    Ok(Seen {
        ledger: snapshot.ledger_index,
        at: snapshot.close_time,
        xrp: snapshot.xrp.to_xrp()?,
        rlusd: snapshot.rlusd,
        mark: snapshot.mark_price,
        middle: middle.filter(|middle| middle.is_positive()),
    })
}

fn worth(seen: &Seen) -> Result<Option<Dec>, AmountError> {
    let Some(mark) = seen.mark else { return Ok(None) };
    seen.rlusd.add(seen.xrp.mul(mark, Rounding::HalfEven)?).map(Some)
}

/// What is owned beyond what was owned first, at the price now.
fn result(first: &Seen, now: &Seen) -> Result<Option<Dec>, AmountError> {
    let Some(mark) = now.mark else { return Ok(None) };
    let xrp = now.xrp.sub(first.xrp)?.mul(mark, Rounding::HalfEven)?;
    now.rlusd.sub(first.rlusd)?.add(xrp)?.round_places(PLACES, Rounding::HalfEven).map(Some)
}

fn sum(mut all: impl Iterator<Item = Dec>) -> Result<Dec, AmountError> {
    all.try_fold(Dec::zero(), Dec::add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use neo_store::record::{Fill, Flow, SnapshotKind};

    fn d(text: &str) -> Dec {
        text.parse().unwrap()
    }

    fn snapshot(ledger: u32, xrp: i64, rlusd: &str, mark: Option<&str>) -> Record {
        let at = DateTime::from_timestamp(i64::from(ledger) * 4, 0).unwrap();
        let middle = mark.map(d);
        Record::Valuation(ValuationSnapshot {
            kind: SnapshotKind::Ledger,
            ledger_index: ledger,
            close_time: at,
            total_value_rlusd: None,
            xrp: Drops::new(xrp * 1_000_000),
            reserve: Drops::ZERO,
            rlusd: d(rlusd),
            mark_price: middle,
            mark_source: "book_mid".to_string(),
            mark_age_ledgers: 0,
            mark_sources: None,
            best_bid: middle,
            best_ask: middle,
            our_bid: None,
            our_ask: None,
            recorded_at: at,
        })
    }

    fn fill(ledger: u32, side: Side, xrp: i64, price: &str, role: Role) -> Record {
        let at = DateTime::UNIX_EPOCH;
        Record::Fill(Fill {
            tx_hash: String::new(),
            offer_sequence: 1,
            role,
            side,
            xrp: Drops::new(xrp * 1_000_000),
            rlusd: d(price),
            price: d(price),
            mid_price: None,
            ledger_index: ledger,
            transaction_index: 0,
            close_time: at,
            recorded_at: at,
        })
    }

    #[test]
    fn a_run_is_held_against_holding_and_its_falls_are_measured() {
        let mut tally = Tally::default();
        let fee = Flow {
            tx_hash: None,
            cause: FlowCause::Fee,
            xrp: Drops::new(-10),
            rlusd: Dec::zero(),
            detail: None,
            ledger_index: 2,
            close_time: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
        };
        for record in [
            snapshot(1, 100, "200", Some("2")),
            fill(2, Side::Bid, 10, "1.99", Role::Maker),
            Record::Flow(fee),
            snapshot(2, 110, "180.1", Some("2")),
            snapshot(3, 110, "180.1", Some("1.9")),
            fill(4, Side::Ask, 20, "2.1", Role::Taker),
            snapshot(4, 90, "222.1", Some("2.2")),
            snapshot(7, 90, "222.1", Some("2")),
            snapshot(8, 90, "222.1", None),
        ] {
            tally.take(&record);
        }
        let told = tally.outcome().unwrap();
        // Bought 10 at 1.99, sold 20 at 2.1: 22.1 RLUSD for 10 XRP, which are worth 20 at last.
        assert_eq!(told.result_rlusd, Some(d("2.1")));
        // 402.1 at last, 400 at first.
        assert_eq!(told.value_change_rlusd, Some(d("2.1")));
        // 0.1 after the first fill, then -0.9, then 0.1 (22.1 - 22), 2.1.
        assert_eq!(told.drawdown_rlusd, Some(d("1")));
        assert_eq!((told.fills, told.taker_fills, told.volume_xrp), (2, 1, d("30")));
        assert_eq!((told.largest_inventory_xrp, told.mean_inventory_xrp), (d("10"), d("8.333333")));
        assert_eq!((told.fees_xrp, told.seconds, told.ledgers), (d("0.00001"), 28, 6));
        // Five ledgers after the first is the seventh; after the fourth the ninth, which is not there.
        assert_eq!(told.mark_out_bps, Some(d("50")));
    }

    #[test]
    fn nothing_known_is_none_and_not_zero() {
        let told = Tally::default().outcome().unwrap();
        assert_eq!((told.result_rlusd, told.drawdown_rlusd, told.mark_out_bps), (None, None, None));
    }
}
