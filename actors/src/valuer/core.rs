//! The rules of the value: balances are what the ledger states, and every change of one is a fill or a flow.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use neo_ledger::own::{self, OfferChangeKind, OwnTransaction};
use neo_ledger::types::LedgerTime;
use neo_market::reference::{Age, Reading, Source};
use neo_market::value::value;
use neo_market::{AmountError, Balances, Dec, Drops, Rounding, Side};
use neo_store::record::{
    Fault, Fill, Flow, FlowCause, MarkOut, Processor, Record, SessionOpened, SnapshotKind, ValuationSnapshot,
};

use super::mark_outs::MarkOuts;
use crate::clock::to_utc;
use crate::heard::Heard;
use crate::messages::{ClosingValue, LedgerUpdate};
use crate::moved::beside_fills;

/// What an update brings: records to write, in order.
pub type Records = Vec<Record>;

/// The price that the account is valued at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    price: Dec,
    seen_at: u32,
    /// `book_mid`, or another word of the reference price.
    source: String,
    /// What it was made from, at the ledger that it was seen at. `None` where an older engine did not say.
    readings: Option<Vec<Reading>>,
}

impl Mark {
    /// The reference price, to sixteen digits, as any price on the ledger has; the half of an odd last digit would be a
    /// seventeenth. Without a reference the middle of the book, but only after others like it: a value that is told by
    /// one kind of price in one ledger and by another in the next moves without anything having happened.
    fn of(update: &LedgerUpdate, before: Option<&Mark>) -> Result<Option<Mark>, AmountError> {
        let mid = Source::BookMid.as_str();
        let seen_at = update.ledger.index;
        let found = match &update.reference {
            Ok(reference) => Some((reference.price, reference.source, reference.readings.clone())),
            Err(_) if before.is_none_or(|before| before.source == mid) => update.view.mid()?.map(|price| {
                let reading = Reading { source: Source::BookMid, price, age: Age::Ledgers(0), weight: Dec::one() };
                (price, mid, vec![reading])
            }),
            Err(_) => None,
        };
        let Some((price, source, readings)) = found else { return Ok(None) };
        let price = price.round_digits(neo_market::decimal::LEDGER_DIGITS, Rounding::HalfEven)?;
        Ok(Some(Mark { price, seen_at, source: source.to_string(), readings: Some(readings) }))
    }
}

/// Everything of the newest ledger that the closing snapshot needs.
#[derive(Clone, Debug)]
struct Latest {
    balances: Balances,
    best_bid: Option<Dec>,
    best_ask: Option<Dec>,
    ledger_index: u32,
    close_time: LedgerTime,
}

/// What a valuer that takes another's place reads back from the record.
#[derive(Clone, Debug)]
pub struct ValuerState {
    /// The last snapshot of the session.
    pub snapshot: ValuationSnapshot,
    /// That ledger's close time.
    pub close_time: LedgerTime,
    /// Value at the session's first ledger.
    pub starting_value: Option<Dec>,
    /// Our offers on the ledger: number, side and price.
    pub offers: Vec<(u32, Side, Dec)>,
    /// The session's fills.
    pub fills: Vec<Fill>,
    /// What is recorded of where the price was after them.
    pub mark_outs: Vec<MarkOut>,
}

/// The valuer.
#[derive(Default)]
pub struct ValuerCore {
    /// XRP and RLUSD at the newest ledger.
    account: Option<(Drops, Dec)>,
    offers: BTreeMap<u32, (Side, Dec)>,
    mark: Option<Mark>,
    latest: Option<Latest>,
    opened: bool,
    starting_value: Option<Dec>,
    /// Ledgers at which a balance moved and no transaction told why.
    unexplained: u64,
    /// Fills that wait for a later ledger's middle.
    mark_outs: MarkOuts,
    /// The transactions that were worked through.
    heard: Heard,
}

impl ValuerCore {
    /// A valuer that has not seen the ledger yet.
    #[must_use]
    pub fn new() -> ValuerCore {
        ValuerCore::default()
    }

    /// A valuer that goes on where another left off.
    #[must_use]
    pub fn resume(state: ValuerState) -> ValuerCore {
        let snapshot = state.snapshot;
        let seen_at = snapshot.ledger_index.saturating_sub(snapshot.mark_age_ledgers);
        ValuerCore {
            account: Some((snapshot.xrp, snapshot.rlusd)),
            offers: state.offers.into_iter().map(|(sequence, side, price)| (sequence, (side, price))).collect(),
            mark: snapshot.mark_price.map(|price| Mark {
                price,
                seen_at,
                source: snapshot.mark_source,
                readings: snapshot.mark_sources,
            }),
            latest: Some(Latest {
                balances: Balances { xrp: snapshot.xrp, reserve: snapshot.reserve, rlusd: snapshot.rlusd },
                best_bid: snapshot.best_bid,
                best_ask: snapshot.best_ask,
                ledger_index: snapshot.ledger_index,
                close_time: state.close_time,
            }),
            opened: true,
            starting_value: state.starting_value,
            unexplained: 0,
            mark_outs: MarkOuts::resume(&state.fills, &state.mark_outs, snapshot.ledger_index),
            heard: Heard::up_to(snapshot.ledger_index),
        }
    }

    /// Ledgers so far at which a balance was not what the transactions made it.
    #[must_use]
    pub fn unexplained_changes(&self) -> u64 {
        self.unexplained
    }

    /// The newest ledger that was worked through; 0 before the first.
    #[must_use]
    pub fn ledger_index(&self) -> u32 {
        self.latest.as_ref().map_or(0, |latest| latest.ledger_index)
    }

    /// A validated ledger is complete; `now` is the real time, for `recorded_at` only.
    ///
    /// # Errors
    /// [`AmountError`] when the node states balances that do not add up.
    pub fn on(&mut self, update: &LedgerUpdate, now: DateTime<Utc>) -> Result<Records, AmountError> {
        // Lower numbers are another ledger's.
        let mut records = Records::new();
        if update.ledger.index < self.ledger_index() {
            self.heard = Heard::default();
            records.extend(self.mark_outs.begin_anew());
        }
        let fresh = self.heard.take(&update.transactions);
        for transaction in &fresh {
            records.extend(self.flows_of(transaction, update, now)?);
            self.mark_outs.filled(transaction);
            self.follow_offers(transaction)?;
        }
        if let Some(found) = self.unexplained(update, fresh, now)? {
            self.unexplained = self.unexplained.saturating_add(1);
            records.extend(found);
        }
        self.account = Some((update.account.xrp, update.account.rlusd));
        // Sixteen digits, as any price on the ledger has; the half of an odd last digit would be a seventeenth.
        let digits = |mid: Dec| mid.round_digits(neo_market::decimal::LEDGER_DIGITS, Rounding::HalfEven);
        let mid = update.view.mid()?.map(digits).transpose()?;
        records.extend(self.mark_outs.at(update.ledger.index, mid));
        // A picture, or a feed that was started again, may tell of the same ledger once more, with transactions that came
        // late: they are recorded, and the ledger is valued already.
        if update.ledger.index == self.ledger_index() {
            return Ok(records);
        }
        self.mark = Mark::of(update, self.mark.as_ref())?.or(self.mark.take());
        self.latest = Some(Latest {
            balances: update.account.balances(&update.ledger)?,
            best_bid: update.view.best(Side::Bid),
            best_ask: update.view.best(Side::Ask),
            ledger_index: update.ledger.index,
            close_time: update.ledger.close_time,
        });
        let kind = if self.opened { SnapshotKind::Ledger } else { SnapshotKind::Opening };
        if let Some(snapshot) = self.snapshot(kind, now)? {
            if !self.opened {
                self.opened = true;
                self.starting_value = snapshot.total_value_rlusd;
                records.push(Record::SessionOpened(SessionOpened {
                    ledger_index: snapshot.ledger_index,
                    close_time: snapshot.close_time,
                    starting_value_rlusd: snapshot.total_value_rlusd,
                }));
            }
            records.push(Record::Valuation(snapshot));
        }
        records.push(Record::LedgerProcessed {
            ledger_index: update.ledger.index,
            ledger_hash: Some(update.ledger.hash.0),
            close_time: to_utc(update.ledger.close_time),
            by: Processor::Valuer,
        });
        Ok(records)
    }

    /// The closing snapshot, from the newest validated ledger.
    ///
    /// # Errors
    /// [`AmountError`] when the value does not fit.
    pub fn close(&mut self, now: DateTime<Utc>) -> Result<(Records, ClosingValue), AmountError> {
        let Some(snapshot) = self.snapshot(SnapshotKind::Closing, now)? else {
            let reason = "no validated ledger was seen".to_string();
            let closing = ClosingValue { total_value_rlusd: Err(reason), ledger_index: 0, close_time: LedgerTime(0) };
            return Ok((Records::new(), closing));
        };
        let total_value_rlusd = snapshot.total_value_rlusd.ok_or_else(|| snapshot.mark_source.clone());
        let close_time = self.latest.as_ref().map_or(LedgerTime(0), |latest| latest.close_time);
        let closing = ClosingValue { total_value_rlusd, ledger_index: snapshot.ledger_index, close_time };
        Ok((vec![Record::Valuation(snapshot)], closing))
    }

    /// Value at the newest ledger, and at the session's first.
    ///
    /// # Errors
    /// [`AmountError`] when the value does not fit.
    pub fn values(&self) -> Result<(Option<Dec>, Option<Dec>), AmountError> {
        let total = match &self.latest {
            Some(latest) => value(&latest.balances, self.mark.as_ref().map(|mark| mark.price))?,
            None => None,
        };
        Ok((total, self.starting_value))
    }

    /// What a transaction changed beyond its fills: our fee, and a payment or anything else.
    fn flows_of(
        &self,
        transaction: &OwnTransaction,
        update: &LedgerUpdate,
        now: DateTime<Utc>,
    ) -> Result<Records, AmountError> {
        let (xrp, rlusd) = beside_fills(transaction)?;
        let mut records = Records::new();
        let mut push = |cause, xrp, rlusd, detail| {
            records.push(Record::Flow(Flow {
                tx_hash: Some(transaction.hash.to_string()),
                cause,
                xrp,
                rlusd,
                detail,
                ledger_index: transaction.ledger_index,
                close_time: to_utc(transaction.close_time.unwrap_or(update.ledger.close_time)),
                recorded_at: now,
            }));
        };
        if transaction.fee > Drops::ZERO {
            push(FlowCause::Fee, Drops::ZERO.sub(transaction.fee)?, Dec::zero(), None);
        }
        if xrp != Drops::ZERO || !rlusd.is_zero() {
            let lowered = xrp < Drops::ZERO || rlusd.is_negative();
            let cause = if lowered { FlowCause::Withdrawal } else { FlowCause::Deposit };
            push(cause, xrp, rlusd, Some(transaction.kind.clone()));
        }
        Ok(records)
    }

    /// The ledger's balances against ours plus what we saw: a difference is recorded, never hidden.
    fn unexplained<'a>(
        &self,
        update: &LedgerUpdate,
        transactions: impl IntoIterator<Item = &'a OwnTransaction>,
        now: DateTime<Utc>,
    ) -> Result<Option<[Record; 2]>, AmountError> {
        let Some((mut xrp, mut rlusd)) = self.account else { return Ok(None) };
        for transaction in transactions {
            xrp = xrp.add(transaction.xrp_change)?;
            rlusd = rlusd.add(transaction.token_change)?;
        }
        let (xrp, rlusd) = (update.account.xrp.sub(xrp)?, update.account.rlusd.sub(rlusd)?);
        if xrp == Drops::ZERO && rlusd.is_zero() {
            return Ok(None);
        }
        tracing::error!(xrp_drops = xrp.get(), %rlusd, "the account's balances moved and no transaction tells why");
        let flow = Record::Flow(Flow {
            tx_hash: None,
            cause: FlowCause::Unexplained,
            xrp,
            rlusd,
            detail: None,
            ledger_index: update.ledger.index,
            close_time: to_utc(update.ledger.close_time),
            recorded_at: now,
        });
        let cause = format!(
            "the balances of ledger {} are not what the transactions before made them: {} drops and {rlusd} of the token \
             moved, and none tells why",
            update.ledger.index,
            xrp.get()
        );
        let action =
            "the difference is a flow of the cause unexplained; compare the account's history with an explorer";
        let fault = Fault { actor: "valuer".into(), cause, backtrace: None, action: action.into(), recorded_at: now };
        Ok(Some([flow, Record::Fault(fault)]))
    }

    fn follow_offers(&mut self, transaction: &OwnTransaction) -> Result<(), AmountError> {
        for change in &transaction.offers {
            match change.kind {
                OfferChangeKind::Created => {
                    let legs = own::xrp_and_token(&change.taker_gets, &change.taker_pays);
                    if let Some((xrp, rlusd)) = legs
                        && let Some(price) = own::price(xrp, rlusd)?
                    {
                        self.offers.insert(change.sequence, (change.side, price));
                    }
                }
                OfferChangeKind::Modified => {}
                OfferChangeKind::Removed(_) => {
                    self.offers.remove(&change.sequence);
                }
            }
        }
        Ok(())
    }

    fn snapshot(&self, kind: SnapshotKind, now: DateTime<Utc>) -> Result<Option<ValuationSnapshot>, AmountError> {
        let Some(latest) = &self.latest else { return Ok(None) };
        let prices = |side: Side| self.offers.values().filter(move |(of, _)| *of == side).map(|(_, price)| *price);
        let mark = self.mark.as_ref();
        let mark_source = match mark {
            Some(mark) => mark.source.clone(),
            None => "no price: a side of the book has been empty since the session began".to_string(),
        };
        Ok(Some(ValuationSnapshot {
            kind,
            ledger_index: latest.ledger_index,
            close_time: to_utc(latest.close_time),
            total_value_rlusd: value(&latest.balances, mark.map(|mark| mark.price))?,
            xrp: latest.balances.xrp,
            reserve: latest.balances.reserve,
            rlusd: latest.balances.rlusd,
            mark_price: mark.map(|mark| mark.price),
            mark_source,
            mark_age_ledgers: mark.map_or(0, |mark| latest.ledger_index.saturating_sub(mark.seen_at)),
            mark_sources: mark.and_then(|mark| mark.readings.clone()),
            best_bid: latest.best_bid,
            best_ask: latest.best_ask,
            our_bid: prices(Side::Bid).max(),
            our_ask: prices(Side::Ask).min(),
            recorded_at: now,
        }))
    }
}

#[cfg(test)]
#[path = "late_tests.rs"]
mod late_tests;

#[cfg(test)]
#[path = "mark_tests.rs"]
mod mark_tests;
