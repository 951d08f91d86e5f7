//! The triggers' eyes: what each ledger says of value, fees, rejects and data, measured before anything is quoted on it.
//! The rules are `market::triggers`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use neo_ledger::own::OwnTransaction;
use neo_ledger::types::{Hash, LedgerTime};
use neo_market::risk::RiskConfig;
use neo_market::triggers::measure::{Measured, readings, silence};
use neo_market::triggers::window::Window;
use neo_market::triggers::worth::{Sample, Worth};
use neo_market::{AmountError, ClearedBy, Dec, Drops, Trigger, TriggerEvent, Triggers, Trip, TripAction};

use super::core::{Intention, OrdersCore, OrdersEffect, OrdersError, Sending};
use super::fees::FeePaid;
use crate::clock::to_utc;
use crate::messages::{LedgerUpdate, RiskNote};
use crate::moved::beside_fills;

/// A transaction is in a ledger, or known not to be, within so many ledgers when all goes well.
const USUAL_LEDGERS: u32 = 3;
/// The shortest that is usual from one ledger to the next, in seconds.
const LEAST_CLOSE_S: u32 = 3;

/// What the triggers begin with.
#[derive(Clone, Debug, Default)]
pub struct WatchStart {
    /// What a loss is counted from, read back from the record.
    pub worth: Option<Worth>,
    /// Deposits and withdrawals that `worth` knows of and no value of it shows yet.
    pub told_flows: Vec<Hash>,
    /// When transactions of earlier sessions failed or died, as far as the window of `rejects` reaches back.
    pub rejects: Vec<LedgerTime>,
    /// Fees up to then are not counted by `fees_drops`: the operator has resumed from it since.
    pub fees_resumed: Option<LedgerTime>,
    /// Triggers that are latched from before, each with its reason.
    pub latched: Vec<(Trigger, String)>,
    /// Triggers whose latch the operator ended while no engine ran.
    pub released: Vec<Trigger>,
    /// Ledgers come by themselves: that none comes is worth a trigger.
    pub ledgers_come: bool,
    /// Close times are those of the local clock, or one of the two is wrong.
    pub by_the_clock: bool,
}

/// What is measured from ledger to ledger.
#[derive(Debug)]
pub(super) struct Watch {
    risk: RiskConfig,
    triggers: Triggers,
    worth: Worth,
    told_flows: BTreeSet<Hash>,
    rejects: Window,
    /// `failed_transactions` of the orders when it was looked at last.
    rejects_seen: u64,
    fees: Window,
    fees_told: BTreeSet<Hash>,
    accepted: Option<Dec>,
    ledger_index: Option<u32>,
    heard_at: Option<DateTime<Utc>>,
    released: Vec<Trigger>,
    ledgers_come: bool,
    by_the_clock: bool,
}

impl Watch {
    pub(super) fn new(risk: &RiskConfig, fees_paid: &[FeePaid], start: WatchStart) -> Watch {
        let config = &risk.triggers;
        let mut fees = Window::new(config.fees_window_s);
        let counts = |paid: &&FeePaid| start.fees_resumed.is_none_or(|resumed| paid.close_time > resumed);
        fees_paid.iter().filter(counts).for_each(|paid| fees.add(paid.close_time.0, paid.fee.get()));
        let mut rejects = Window::new(config.rejects_window_s);
        start.rejects.iter().for_each(|at| rejects.add(at.0, 1));
        Watch {
            triggers: Triggers::new(config.clone(), &start.latched),
            worth: start.worth.unwrap_or_else(|| Worth::new(config.loss_days)),
            told_flows: start.told_flows.into_iter().collect(),
            rejects,
            rejects_seen: 0,
            fees,
            fees_told: fees_paid.iter().map(|paid| paid.hash).collect(),
            accepted: None,
            ledger_index: None,
            heard_at: None,
            released: start.released,
            ledgers_come: start.ledgers_come,
            by_the_clock: start.by_the_clock,
            risk: risk.clone(),
        }
    }

    /// A transaction that touched the account, for the first time.
    fn hear(&mut self, transaction: &OwnTransaction, closed: LedgerTime) -> Result<(), AmountError> {
        let at_s = transaction.close_time.unwrap_or(closed).0;
        if transaction.ours && transaction.fee > Drops::ZERO && !self.fees_told.contains(&transaction.hash) {
            self.fees.add(at_s, transaction.fee.get());
        }
        let (xrp, rlusd) = beside_fills(transaction)?;
        let moved = xrp != Drops::ZERO || !rlusd.is_zero();
        // History that the remembered values contain is no news.
        let is_news = self.worth.newest_s().is_none_or(|newest_s| at_s > newest_s);
        if moved && is_news && !self.told_flows.contains(&transaction.hash) {
            self.worth.flow(xrp, rlusd)?;
        }
        Ok(())
    }

    /// A transaction of an earlier session failed or died.
    fn hear_reject(&mut self, at_s: u32) {
        self.rejects.add(at_s, 1);
    }

    fn measure(&mut self, seen: &Seen<'_>) -> Result<Measured, AmountError> {
        let Seen { update, mid, failed, unknown_intents, now } = *seen;
        let at_s = update.ledger.close_time.0;
        let balances = update.account.balances(&update.ledger)?;
        let gap = self.ledger_index.map_or(0, |last| update.ledger.index.saturating_sub(last.saturating_add(1)));
        let new_rejects = failed.saturating_sub(self.rejects_seen);
        self.rejects_seen = failed;
        if new_rejects > 0 {
            self.rejects.add(at_s, i64::try_from(new_rejects).unwrap_or(i64::MAX));
        }
        let (xrp, rlusd) = (balances.xrp, balances.rlusd);
        let losses = match mid {
            Some(mark) => self.worth.sample(&Sample { at_s, xrp, rlusd, mark })?,
            None => None,
        };
        let moved = mid.map(|mid| (self.accepted.unwrap_or(mid), mid));
        // Whatever the price is now, the next move is counted from it: a jump trips once, and calm ends the pause.
        self.accepted = mid.or(self.accepted);
        (self.ledger_index, self.heard_at) = (Some(update.ledger.index), Some(now));
        Ok(Measured {
            gap_ledgers: gap,
            history_lost: update.history_lost.clone(),
            losses,
            xrp,
            spendable_xrp: xrp.sub(balances.reserve)?,
            rejects: self.rejects.sum(at_s),
            fees_drops: self.fees.sum(at_s),
            unknown_intents,
            moved,
            clock_ahead_s: self
                .by_the_clock
                .then(|| now.timestamp().saturating_sub(to_utc(update.ledger.close_time).timestamp())),
        })
    }

    fn ledger(&mut self, seen: &Seen<'_>) -> Result<Vec<TriggerEvent>, AmountError> {
        let by = ClearedBy::Operator;
        let released = std::mem::take(&mut self.released);
        let mut events: Vec<_> = released.into_iter().map(|trigger| TriggerEvent::Cleared { trigger, by }).collect();
        let measured = self.measure(seen)?;
        let readings = readings(&self.risk, &measured)?;
        events.extend(self.triggers.on(&readings, seen.update.ledger.close_time.0));
        Ok(events)
    }

    fn tick(&mut self, now: DateTime<Utc>, closed: LedgerTime) -> Vec<TriggerEvent> {
        let Some(heard_at) = self.heard_at.filter(|_| self.ledgers_come) else { return Vec::new() };
        let reading = silence(&self.risk.triggers, (now - heard_at).num_seconds());
        // Only a ledger ends it.
        if reading.condition == neo_market::triggers::Condition::Gone {
            return Vec::new();
        }
        self.triggers.on(&[reading], closed.0)
    }

    /// Seconds since the last ledger was heard of.
    fn silent_s(&self, now: DateTime<Utc>) -> u32 {
        let silent = self.heard_at.map_or(0, |heard_at| (now - heard_at).num_seconds().max(0));
        u32::try_from(silent).unwrap_or(u32::MAX)
    }

    /// The operator resumes: what a latch was counted by begins anew.
    pub(super) fn resume(&mut self) -> Vec<TriggerEvent> {
        let events = self.triggers.resume();
        for event in &events {
            match event {
                TriggerEvent::Cleared { trigger, .. } if trigger.is_loss() => self.worth.restart(),
                TriggerEvent::Cleared { trigger: Trigger::Rejects, .. } => self.rejects.clear(),
                TriggerEvent::Cleared { trigger: Trigger::Fees, .. } => self.fees.clear(),
                TriggerEvent::Cleared { .. } | TriggerEvent::Tripped(_) => {}
            }
        }
        events
    }

    pub(super) fn triggers(&self) -> &Triggers {
        &self.triggers
    }

    /// Why nothing is quoted, if a trigger is tripped.
    pub(super) fn reason(&self) -> Option<String> {
        self.triggers.deciding().map(in_words)
    }
}

fn in_words(trip: &Trip) -> String {
    let until = match trip.action {
        TripAction::Pause => "paused by the trigger",
        TripAction::Latch => "paused until `neo resume` by the trigger",
        TripAction::Stop => "stopped by the trigger",
    };
    format!("{until} {}: {}", trip.trigger, trip.reason)
}

/// What a ledger shows.
struct Seen<'a> {
    update: &'a LedgerUpdate,
    mid: Option<Dec>,
    failed: u64,
    unknown_intents: u32,
    now: DateTime<Utc>,
}

impl OrdersCore {
    /// The triggers hear of a transaction that is told for the first time.
    pub(super) fn watch_transaction(&mut self, transaction: &OwnTransaction) -> Result<(), AmountError> {
        self.watch.hear(transaction, self.close_time)
    }

    /// What an earlier session signed failed, or no ledger included it up to its last one: the ledger's own time where it is
    /// known, else the latest that it can have been.
    pub(super) fn watch_inherited(&mut self, closed: Option<LedgerTime>, last_ledger: u32) {
        let ledgers_ago = self.ledger_index.saturating_sub(last_ledger);
        let latest_s = self.close_time.0.saturating_sub(ledgers_ago.saturating_mul(LEAST_CLOSE_S));
        self.watch.hear_reject(closed.map_or(latest_s, |closed| closed.0));
    }

    /// The triggers look at a ledger, before anything is quoted on it.
    pub(super) fn watch_ledger(
        &mut self,
        update: &LedgerUpdate,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        if !matches!(self.intention, Intention::Quote | Intention::Hold) {
            return Ok(());
        }
        let unknown_intents = self.unknown_intents();
        // A pool that makes the price alone marks what is lost as well: who quotes by it must be stopped by it.
        let mid = self.mid.or_else(|| update.reference.as_ref().ok().map(|reference| reference.price));
        let seen = Seen { update, mid, failed: self.failed_transactions, unknown_intents, now };
        let events = self.watch.ledger(&seen)?;
        self.tell_triggers(events, effects);
        Ok(())
    }

    /// Time has passed and no ledger has come.
    pub(super) fn watch_time(
        &mut self,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        if self.intention != Intention::Quote || !self.has_seen_a_ledger() {
            return Ok(());
        }
        let events = self.watch.tick(now, self.close_time);
        if events.is_empty() {
            return Ok(());
        }
        self.tell_triggers(events, effects);
        self.withheld = self.pausing();
        // The network may go on where only our view of it stands still: what is signed must live that much longer.
        self.unheard_ledgers = self.watch.silent_s(now).div_ceil(LEAST_CLOSE_S);
        self.withdraw(now, effects)
    }

    pub(super) fn tell_triggers(&mut self, events: Vec<TriggerEvent>, effects: &mut Vec<OrdersEffect>) {
        for event in events {
            if let TriggerEvent::Tripped(trip) = &event {
                tracing::warn!(
                    trigger = trip.trigger.as_str(),
                    action = trip.action.as_str(),
                    reason = trip.reason,
                    "a trigger tripped"
                );
                if trip.action == TripAction::Stop {
                    self.intention = Intention::Withdraw;
                    self.withheld = Some(in_words(trip));
                }
            }
            let (ledger_index, close_time) = (self.ledger_index, self.close_time);
            effects.push(OrdersEffect::Risk(RiskNote { event, ledger_index, close_time }));
        }
    }

    /// Transactions that no node has answered for, and those whose fate is open for longer than is usual.
    fn unknown_intents(&self) -> u32 {
        let signed_at = |last: u32| last.saturating_sub(self.config.last_ledger_offset);
        let is_late = |last: u32| signed_at(last).saturating_add(USUAL_LEDGERS) <= self.ledger_index;
        let ours = self.in_flight.values();
        let ours = ours.filter(|tx| tx.sending == Sending::Unanswered || is_late(tx.last_ledger_sequence)).count();
        u32::try_from(ours.saturating_add(self.inherited_in_flight().count())).unwrap_or(u32::MAX)
    }
}
