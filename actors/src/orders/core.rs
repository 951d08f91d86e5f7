//! The rules of the orders: what is signed, when it may be sent, and what a validated ledger proves of it.
//!
//! Three rules carry the rest. An intent is durable before its blob is sent. A transaction is settled only by a validated
//! ledger: found in one, or its LastLedgerSequence passed in gap-free history. While the fate of a level's transaction is
//! open, that level signs nothing new.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use neo_ledger::keys::{Keypair, SignError};
use neo_ledger::own::{self, FilledOffer, OfferChange, OfferChangeKind, OwnTransaction, Removal};
use neo_ledger::tx::{Body, Transaction};
use neo_ledger::types::{Amount, Hash, LedgerTime, Token};
use neo_market::plan::{self, Action, Resting};
use neo_market::quote::{self, Desired, Funds, Quote, QuoteConfig};
use neo_market::risk::{RiskConfig, RiskLimits, RiskState};
use neo_market::{AmountError, Balances, Dec, Drops, Side};
use neo_store::record::{
    Fault, Fill, Intent, IntentState, IntentUpdate, Order, OrderEvent, OrderState, Processor, Purpose, Record, Role,
};
use thiserror::Error;

use crate::clock::to_utc;
use crate::messages::{IntentsDurable, LedgerUpdate, OpenOffer, OrdersCommand, Submission, SubmissionReply};
use crate::status::QuoteStatus;

/// What the orders must know.
#[derive(Clone, Debug)]
pub struct OrdersConfig {
    /// The token quoted against XRP.
    pub token: Token,
    /// The network that transactions are signed for.
    pub network_id: u32,
    /// What to quote.
    pub quote: QuoteConfig,
    /// What never to exceed.
    pub risk: RiskConfig,
    /// Ledgers after the newest validated one that a transaction may still get into.
    pub last_ledger_offset: u32,
    /// No quote pays more than this.
    pub max_fee: Drops,
    /// A cancel may pay up to this.
    pub cancel_max_fee: Drops,
    /// Trading time after which the session ends by itself, in seconds.
    pub trade_for_s: Option<u32>,
    /// Transactions of earlier sessions whose fate the record does not know: hash and LastLedgerSequence.
    pub unsettled: Vec<(Hash, u32)>,
}

/// What happens to the orders.
#[derive(Clone, Debug)]
pub enum OrdersInput<'a> {
    /// A validated ledger is complete.
    Update(&'a LedgerUpdate),
    /// A batch of intents is durable, or cannot become so.
    Durable(IntentsDurable),
    /// What the node said of a submission.
    Reply(SubmissionReply),
    /// The supervisor wants something.
    Command(OrdersCommand),
}

/// What the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrdersEffect {
    /// Record these; nothing waits for them.
    Record(Vec<Record>),
    /// Make these durable, then answer with `IntentsDurable` of this batch.
    Persist {
        /// The batch's number.
        batch: u64,
        /// Intents and the orders that they make.
        records: Vec<Record>,
    },
    /// Send to the node.
    Submit(Submission),
    /// Nothing more will be done on this ledger.
    LedgerDone(u32),
    /// Trading time is over.
    Elapsed,
    /// Nothing of ours is on the ledger or in flight.
    Flat,
}

/// What the orders cannot mend.
#[derive(Debug, Error)]
pub enum OrdersError {
    /// The key does not sign.
    #[error("a transaction could not be signed: {0}")]
    Sign(#[from] SignError),
    /// Amounts that cannot be added up.
    #[error("amounts do not add up: {0}")]
    Amount(#[from] AmountError),
    /// Intents cannot be made durable.
    #[error("the record does not take intents, so nothing may be sent: {reason}")]
    RecordLost {
        /// Why.
        reason: String,
    },
    /// The account's sequence numbers are used up.
    #[error("the account's sequence number cannot go on beyond {sequence}")]
    SequenceEnd {
        /// The last one.
        sequence: u32,
    },
}

/// Whether quotes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intention {
    Quote,
    /// No new quotes; what rests stays.
    Hold,
    /// Everything is to go.
    Withdraw,
    /// The session's record is closed: nothing is signed any more.
    Closed,
}

/// An offer of ours.
#[derive(Clone, Debug)]
struct Offer {
    side: Side,
    level: u8,
    price: Dec,
    remaining: Drops,
    placed_ledger: u32,
    expires: Option<LedgerTime>,
    /// False until a validated ledger shows it resting.
    resting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    AwaitsRecord {
        batch: u64,
    },
    AwaitsReply,
    /// The node has answered.
    Sent,
    /// No node has answered: the same blob is sent again with the next ledger.
    Unanswered,
}

/// A signed transaction whose fate is open.
#[derive(Clone, Debug)]
struct InFlight {
    hash: Hash,
    blob: String,
    purpose: Purpose,
    /// The level that it occupies.
    level: Option<(Side, u8)>,
    /// The offer that it cancels or replaces.
    target: Option<u32>,
    last_ledger_sequence: u32,
    sending: Sending,
}

/// The orders.
pub struct OrdersCore {
    config: OrdersConfig,
    key: Keypair,
    intention: Intention,
    offers: BTreeMap<u32, Offer>,
    /// Offers on the ledger that no order of this session made: cancelled before the first quote.
    orphans: BTreeSet<u32>,
    in_flight: BTreeMap<u32, InFlight>,
    next_sequence: u32,
    /// A transaction died: later sequence numbers cannot apply until all in flight are settled.
    hole: bool,
    batch: u64,
    ledger_index: u32,
    close_time: LedgerTime,
    done: bool,
    flat_told: bool,
    first_close: Option<LedgerTime>,
    elapsed_told: bool,
    open_ledger_cost: Option<Drops>,
    mid: Option<Dec>,
    withheld: Option<String>,
    failed_transactions: u64,
    fills: (u64, u64),
    /// What earlier sessions left unsettled: hash and LastLedgerSequence.
    inherited: BTreeMap<Hash, u32>,
}

impl OrdersCore {
    /// Orders that have not seen the ledger yet.
    #[must_use]
    pub fn new(config: OrdersConfig, key: Keypair) -> OrdersCore {
        OrdersCore {
            inherited: config.unsettled.iter().copied().collect(),
            config,
            key,
            intention: Intention::Quote,
            offers: BTreeMap::new(),
            orphans: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            next_sequence: 0,
            hole: false,
            batch: 0,
            ledger_index: 0,
            close_time: LedgerTime(0),
            done: true,
            flat_told: false,
            first_close: None,
            elapsed_told: false,
            open_ledger_cost: None,
            mid: None,
            withheld: Some("waiting for the first validated ledger".to_string()),
            failed_transactions: 0,
            fills: (0, 0),
        }
    }

    /// One event; `now` is the real time, for `recorded_at` only.
    ///
    /// # Errors
    /// [`OrdersError`]: the session must end.
    pub fn on(&mut self, input: OrdersInput<'_>, now: DateTime<Utc>) -> Result<Vec<OrdersEffect>, OrdersError> {
        let mut effects = Vec::new();
        match input {
            OrdersInput::Update(update) => self.update(update, now, &mut effects)?,
            OrdersInput::Durable(durable) => self.durable(&durable, now, &mut effects)?,
            OrdersInput::Reply(reply) => self.reply(reply, now, &mut effects),
            OrdersInput::Command(OrdersCommand::Quiesce) => self.quiesce(),
            OrdersInput::Command(OrdersCommand::Withdraw) if self.intention != Intention::Closed => {
                self.intention = Intention::Withdraw;
                self.withheld = Some("withdrawing all offers".to_string());
                if self.has_seen_a_ledger() {
                    self.withdraw(now, &mut effects)?;
                }
            }
            OrdersInput::Command(OrdersCommand::Withdraw) => {}
        }
        self.conclude(&mut effects);
        Ok(effects)
    }

    fn quiesce(&mut self) {
        if self.intention == Intention::Quote {
            self.intention = Intention::Hold;
            self.withheld = Some("stopping".to_string());
        }
    }

    /// Says `Flat` or `LedgerDone` once each, when nothing waits for the record or the node any more.
    fn conclude(&mut self, effects: &mut Vec<OrdersEffect>) {
        let flat = self.intention == Intention::Withdraw && self.has_seen_a_ledger() && self.is_flat();
        if flat && !self.flat_told {
            self.flat_told = true;
            effects.push(OrdersEffect::Flat);
        }
        let waits = |sending: Sending| matches!(sending, Sending::AwaitsRecord { .. } | Sending::AwaitsReply);
        let waiting = self.in_flight.values().any(|tx| waits(tx.sending));
        // A session that is flat and over asks for no further ledger: its last one is the same on every machine.
        if !self.done && !waiting && !flat {
            self.done = true;
            effects.push(OrdersEffect::LedgerDone(self.ledger_index));
        }
    }

    /// True once a validated ledger has shown the account and its offers. Before that nothing can be said of them.
    #[must_use]
    pub fn has_seen_a_ledger(&self) -> bool {
        self.ledger_index > 0
    }

    /// True when no offer of ours is on the ledger and no transaction of ours has an open fate.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        let inherited = self.inherited_in_flight().next().is_some();
        self.offers.is_empty() && self.orphans.is_empty() && self.in_flight.is_empty() && !inherited
    }

    /// What earlier sessions signed and a ledger to come may include. A last ledger further ahead than any that is
    /// signed for is of another ledger's numbers, and would be waited for in vain.
    fn inherited_in_flight(&self) -> impl Iterator<Item = &Hash> {
        let farthest = self.ledger_index.saturating_add(self.config.last_ledger_offset);
        self.inherited.iter().filter(move |(_, last)| **last <= farthest).map(|(hash, _)| hash)
    }

    /// What is still open, for people: offers by number and transactions by hash.
    #[must_use]
    pub fn open_items(&self) -> (Vec<u32>, Vec<String>) {
        let offers = self.offers.keys().chain(self.orphans.iter()).copied().collect();
        let in_flight = self.in_flight.values().map(|tx| &tx.hash).chain(self.inherited_in_flight());
        (offers, in_flight.map(ToString::to_string).collect())
    }

    /// Our offers on the ledger, for the screen.
    #[must_use]
    pub fn quotes(&self) -> Vec<QuoteStatus> {
        let mut quotes: Vec<QuoteStatus> = self
            .offers
            .values()
            .filter(|offer| offer.resting)
            .map(|offer| QuoteStatus {
                side: offer.side,
                level: offer.level,
                price: offer.price,
                remaining_drops: offer.remaining,
            })
            .collect();
        quotes.sort_by_key(|quote| (quote.side, quote.level));
        quotes
    }

    /// The newest validated ledger that was worked through.
    #[must_use]
    pub fn ledger_index(&self) -> Option<u32> {
        (self.ledger_index > 0).then_some(self.ledger_index)
    }

    /// Transactions whose fate is open.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Fills so far, bids and asks.
    #[must_use]
    pub fn fills(&self) -> (u64, u64) {
        self.fills
    }

    /// Transactions that failed or died.
    #[must_use]
    pub fn failed_transactions(&self) -> u64 {
        self.failed_transactions
    }

    /// Why nothing is quoted, if nothing is.
    #[must_use]
    pub fn withheld(&self) -> Option<&str> {
        self.withheld.as_deref()
    }

    /// Ledger close time since the session's first ledger, in seconds.
    #[must_use]
    pub fn trading_s(&self) -> i64 {
        self.first_close.map_or(0, |first| i64::from(self.close_time.0) - i64::from(first.0))
    }

    /// Records that say what is unknown of every transaction whose fate is still open, for a session that must end now.
    /// From here on nothing is signed.
    #[must_use]
    pub fn abandon(&mut self, now: DateTime<Utc>) -> Vec<Record> {
        self.intention = Intention::Closed;
        let mut records = Vec::new();
        for transaction in std::mem::take(&mut self.in_flight).into_values() {
            records.push(intent_update(&transaction.hash, IntentState::Unknown, None, None, now));
        }
        for sequence in std::mem::take(&mut self.offers).into_keys() {
            let detail = Some("the session ended before its fate was known".to_string());
            records.push(self.event(sequence, OrderState::Unknown, Drops::ZERO, detail, now));
        }
        records
    }

    fn update(
        &mut self,
        update: &LedgerUpdate,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        let mid_before = self.mid;
        self.ledger_index = update.ledger.index;
        self.close_time = update.ledger.close_time;
        self.first_close.get_or_insert(update.ledger.close_time);
        self.done = false;
        let mut records = Vec::new();
        for transaction in &update.transactions {
            self.settle(transaction, now, &mut records);
            self.fills_of(transaction, mid_before, now, &mut records);
            self.offer_changes(transaction, now, &mut records);
        }
        if let Some(cause) = &update.history_lost {
            tracing::error!(cause, "the record has a hole that no node can fill");
            let action = "followed on from the newest ledger; balances are the ledger's".to_string();
            let cause = cause.clone();
            records.push(Record::Fault(Fault {
                actor: "feed".into(),
                cause,
                backtrace: None,
                action,
                recorded_at: now,
            }));
        }
        self.bury_the_dead(now, &mut records);
        self.resynchronise(update.account.sequence);
        if let Some(offers) = &update.offers {
            self.compare(offers, now, &mut records);
        }
        records.push(Record::LedgerProcessed {
            ledger_index: self.ledger_index,
            close_time: to_utc(self.close_time),
            by: Processor::Orders,
        });
        effects.push(OrdersEffect::Record(records));
        self.send_again(now, effects);
        self.mid = update.view.mid()?;
        self.check_elapsed(effects);
        match self.intention {
            Intention::Quote => self.requote(update, now, effects),
            Intention::Hold | Intention::Closed => Ok(()),
            Intention::Withdraw => self.withdraw(now, effects),
        }
    }

    /// Sends what no node has answered for again: the same blob, so it can only ever count once.
    fn send_again(&mut self, now: DateTime<Utc>, effects: &mut Vec<OrdersEffect>) {
        let mut records = Vec::new();
        for flight in self.in_flight.values_mut().filter(|tx| tx.sending == Sending::Unanswered) {
            flight.sending = Sending::AwaitsReply;
            records.push(intent_update(&flight.hash, IntentState::Submitted, None, None, now));
            effects.push(OrdersEffect::Submit(Submission { hash: flight.hash, blob: flight.blob.clone() }));
        }
        if !records.is_empty() {
            effects.push(OrdersEffect::Record(records));
        }
    }

    fn check_elapsed(&mut self, effects: &mut Vec<OrdersEffect>) {
        let over = self.config.trade_for_s.is_some_and(|limit| self.trading_s() >= i64::from(limit));
        if over && !self.elapsed_told {
            self.elapsed_told = true;
            self.intention = Intention::Withdraw;
            self.withheld = Some("the session's time is over".to_string());
            effects.push(OrdersEffect::Elapsed);
        }
    }

    /// A transaction of ours is in a validated ledger: its fate is known.
    fn settle(&mut self, transaction: &OwnTransaction, now: DateTime<Utc>, records: &mut Vec<Record>) {
        if !transaction.ours {
            return;
        }
        // The record may know it from an earlier session even where this one does not.
        let inherited = self.inherited.remove(&transaction.hash).is_some();
        let (result, index) = (Some(transaction.result.clone()), Some(transaction.ledger_index));
        records.push(intent_update(&transaction.hash, IntentState::Validated, result, index, now));
        match self.in_flight.remove(&transaction.sequence) {
            Some(flight) if flight.hash == transaction.hash => self.settle_ours(&flight, transaction, now, records),
            Some(flight) => self.settle_robbed(&flight, transaction, now, records),
            // A killed engine's last act may be included after our first ledger: no list of offers showed it.
            None if creates(transaction) => {
                self.orphans.insert(transaction.sequence);
            }
            None if inherited && transaction.kind == "OfferCreate" => self.settle_offer(transaction, now, records),
            None => {}
        }
    }

    fn settle_ours(
        &mut self,
        flight: &InFlight,
        transaction: &OwnTransaction,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        let succeeded = transaction.result == "tesSUCCESS";
        if !succeeded {
            self.failed_transactions += 1;
            tracing::warn!(hash = %flight.hash, result = transaction.result, purpose = %flight.purpose,
                "a transaction of ours was included without success");
        }
        if flight.purpose == Purpose::Cancel {
            self.settle_cancel(flight, succeeded);
            return;
        }
        self.settle_offer(transaction, now, records);
    }

    /// An OfferCreate of ours that left no offer: a failed one, or a successful one that was filled at once.
    fn settle_offer(&mut self, transaction: &OwnTransaction, now: DateTime<Utc>, records: &mut Vec<Record>) {
        if creates(transaction) {
            return;
        }
        let filled = transaction.fills.iter().any(|fill| fill.offer_sequence == transaction.sequence);
        let succeeded = transaction.result == "tesSUCCESS";
        let state = if succeeded && filled { OrderState::Filled } else { OrderState::Failed };
        self.offers.remove(&transaction.sequence);
        records.push(self.event_in(transaction, transaction.sequence, state, Drops::ZERO, now));
    }

    /// Another transaction of our account has used the number that ours was signed for: ours can never be included.
    fn settle_robbed(
        &mut self,
        flight: &InFlight,
        transaction: &OwnTransaction,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        tracing::error!(hash = %transaction.hash, sequence = transaction.sequence,
            "a transaction that this session did not sign has used its sequence number");
        self.hole = true;
        self.failed_transactions += 1;
        let index = Some(transaction.ledger_index);
        records.push(intent_update(&flight.hash, IntentState::Dead, None, index, now));
        if flight.purpose != Purpose::Cancel && self.offers.remove(&transaction.sequence).is_some() {
            records.push(self.event_in(transaction, transaction.sequence, OrderState::Failed, Drops::ZERO, now));
        }
        if creates(transaction) {
            self.orphans.insert(transaction.sequence);
        }
    }

    /// A validated cancel proves an orphan gone even where a fill had removed it before. Offers of this session are
    /// followed by what removes them.
    fn settle_cancel(&mut self, flight: &InFlight, succeeded: bool) {
        if let (true, Some(target)) = (succeeded, flight.target) {
            self.orphans.remove(&target);
        }
    }

    fn fills_of(
        &mut self,
        transaction: &OwnTransaction,
        mid: Option<Dec>,
        now: DateTime<Utc>,
        records: &mut Vec<Record>,
    ) {
        for fill in &transaction.fills {
            match fill.side {
                Side::Bid => self.fills.0 += 1,
                Side::Ask => self.fills.1 += 1,
            }
            if fill.taker {
                tracing::warn!(hash = %transaction.hash, offer = fill.offer_sequence, "our offer crossed on placement");
            }
            records.push(Record::Fill(self.fill_record(transaction, fill, mid, now)));
        }
    }

    fn fill_record(
        &self,
        transaction: &OwnTransaction,
        fill: &FilledOffer,
        mid: Option<Dec>,
        now: DateTime<Utc>,
    ) -> Fill {
        Fill {
            tx_hash: transaction.hash.to_string(),
            offer_sequence: fill.offer_sequence,
            role: if fill.taker { Role::Taker } else { Role::Maker },
            side: fill.side,
            xrp: fill.xrp,
            rlusd: fill.token,
            price: fill.price,
            mid_price: mid,
            ledger_index: transaction.ledger_index,
            transaction_index: transaction.transaction_index,
            close_time: to_utc(transaction.close_time.unwrap_or(self.close_time)),
            recorded_at: now,
        }
    }

    fn offer_changes(&mut self, transaction: &OwnTransaction, now: DateTime<Utc>, records: &mut Vec<Record>) {
        for change in &transaction.offers {
            let remaining =
                own::xrp_and_token(&change.taker_gets, &change.taker_pays).map_or(Drops::ZERO, |(xrp, _)| xrp);
            let state = match change.kind {
                OfferChangeKind::Created => OrderState::Resting,
                OfferChangeKind::Modified => OrderState::PartlyFilled,
                OfferChangeKind::Removed(removal) => removed_state(removal),
            };
            if let Some(offer) = self.offers.get_mut(&change.sequence) {
                offer.resting = true;
                offer.remaining = remaining;
            }
            if matches!(change.kind, OfferChangeKind::Removed(_)) {
                self.offers.remove(&change.sequence);
                self.orphans.remove(&change.sequence);
            }
            records.push(self.event_in(transaction, change.sequence, state, remaining, now));
        }
    }

    /// Transactions that no ledger can include any more. Their numbers are a hole: nothing signed after them can apply.
    fn bury_the_dead(&mut self, now: DateTime<Utc>, records: &mut Vec<Record>) {
        let index = Some(self.ledger_index);
        let over: Vec<Hash> =
            self.inherited.iter().filter(|(_, last)| **last <= self.ledger_index).map(|(hash, _)| *hash).collect();
        for hash in over {
            self.inherited.remove(&hash);
            records.push(intent_update(&hash, IntentState::Dead, None, index, now));
        }
        let dead: Vec<u32> = self
            .in_flight
            .iter()
            .filter(|(_, tx)| tx.last_ledger_sequence <= self.ledger_index)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in dead {
            let Some(flight) = self.in_flight.remove(&sequence) else { continue };
            tracing::warn!(hash = %flight.hash, sequence, purpose = %flight.purpose, "a transaction of ours is dead");
            self.hole = true;
            self.failed_transactions += 1;
            records.push(intent_update(&flight.hash, IntentState::Dead, None, index, now));
            if flight.purpose != Purpose::Cancel && self.offers.remove(&sequence).is_some() {
                let detail = Some("no ledger included it up to its LastLedgerSequence".to_string());
                records.push(self.event(sequence, OrderState::Failed, Drops::ZERO, detail, now));
            }
        }
    }

    /// With nothing in flight, the ledger's number is ours again.
    fn resynchronise(&mut self, account_sequence: u32) {
        if self.in_flight.is_empty() {
            self.next_sequence = account_sequence;
            self.hole = false;
        } else {
            self.next_sequence = self.next_sequence.max(account_sequence);
        }
    }

    /// The validated list of offers against what we believe.
    fn compare(&mut self, listed: &[OpenOffer], now: DateTime<Utc>, records: &mut Vec<Record>) {
        let on_ledger: BTreeSet<u32> = listed.iter().map(|offer| offer.sequence).collect();
        for sequence in &on_ledger {
            if !self.offers.contains_key(sequence) && !self.in_flight.contains_key(sequence) {
                tracing::warn!(offer = sequence, "an offer of our account that no order of this session made");
                self.orphans.insert(*sequence);
            }
        }
        self.orphans.retain(|sequence| on_ledger.contains(sequence));
        let vanished: Vec<u32> = self
            .offers
            .iter()
            .filter(|(sequence, _)| !on_ledger.contains(sequence) && !self.in_flight.contains_key(sequence))
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in vanished {
            tracing::error!(offer = sequence, "an offer of ours is gone and no transaction that we saw removed it");
            self.offers.remove(&sequence);
            let detail = Some("absent from the validated list of offers".to_string());
            records.push(self.event(sequence, OrderState::Unknown, Drops::ZERO, detail, now));
        }
    }

    fn requote(
        &mut self,
        update: &LedgerUpdate,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        if self.hole {
            self.withheld = Some("waiting until the transactions after a dead one are settled".to_string());
            return Ok(());
        }
        let mut batch = Batch::default();
        self.cancel_orphans(now, &mut batch)?;
        if !self.orphans.is_empty() {
            self.withheld = Some("cancelling offers that an earlier session left".to_string());
            self.persist(batch, effects);
            return Ok(());
        }
        let balances = update.account.balances(&update.ledger)?;
        let mut funds = Funds::of(&balances, update.ledger.reserve_inc, self.offers.len(), &self.config.quote);
        funds.spendable_xrp = self.less_fees(funds.spendable_xrp)?;
        let desired = match quote::desired(&update.view, &funds, &self.config.quote) {
            Ok(desired) => {
                self.withheld = desired.quotes.is_empty().then(|| "no quote is possible with these funds".to_string());
                Some(desired)
            }
            Err(reason) => {
                self.withheld = Some(reason.to_string());
                None
            }
        };
        let limits = RiskLimits::new(self.config.risk.clone());
        for action in self.plan(desired.as_ref()) {
            let state = self.risk_state(&action, update, balances, desired.as_ref())?;
            match limits.check(action, &state) {
                Ok(approved) => self.act(approved.into_action(), now, &mut batch)?,
                Err(refused) => {
                    tracing::warn!(reason = %refused.reason, "a quote was refused");
                    self.withheld = Some(refused.reason.to_string());
                }
            }
        }
        self.persist(batch, effects);
        Ok(())
    }

    /// XRP that may be offered when the fees of a few rounds are set aside.
    fn less_fees(&self, spendable: Drops) -> Result<Drops, AmountError> {
        let transactions = 4 * i64::from(self.config.quote.levels.max(1));
        let fees = Drops::new(self.fee(Purpose::Place).get().saturating_mul(transactions));
        Ok(spendable.sub(fees)?.max(Drops::ZERO))
    }

    fn plan(&self, desired: Option<&Desired>) -> Vec<Action> {
        let busy: Vec<(Side, u8)> = self.in_flight.values().filter_map(|tx| tx.level).collect();
        let resting: Vec<Resting> = self
            .offers
            .iter()
            .filter(|(_, offer)| offer.resting)
            .map(|(sequence, offer)| Resting {
                side: offer.side,
                level: offer.level,
                offer_sequence: *sequence,
                price: offer.price,
                remaining: offer.remaining,
                placed_ledger: offer.placed_ledger,
                expires_at_s: offer.expires.map(|time| time.0),
            })
            .collect();
        plan::plan(desired, &resting, &busy, self.ledger_index, self.close_time.0, &self.config.quote)
    }

    /// What the limits are held against: everything open but what this action, or one in flight, replaces.
    fn risk_state(
        &self,
        action: &Action,
        update: &LedgerUpdate,
        balances: Balances,
        desired: Option<&Desired>,
    ) -> Result<RiskState, AmountError> {
        let replaced_now = match action {
            Action::Replace { offer_sequence, .. } => Some(*offer_sequence),
            Action::Place(_) | Action::Cancel { .. } => None,
        };
        let replaced_before = |sequence: u32| self.in_flight.values().any(|tx| tx.target == Some(sequence));
        let open = |side: Side| -> Result<Drops, AmountError> {
            self.offers
                .iter()
                .filter(|(sequence, offer)| offer.side == side && replaced_now != Some(**sequence))
                .filter(|(sequence, _)| !replaced_before(**sequence))
                .try_fold(Drops::ZERO, |sum, (_, offer)| sum.add(offer.remaining))
        };
        Ok(RiskState {
            balances,
            reference_price: desired.map(|desired| desired.reference_price),
            open_bid_xrp: open(Side::Bid)?,
            open_ask_xrp: open(Side::Ask)?,
            reserve_inc: update.ledger.reserve_inc,
            data_age_ledgers: update.ledger.index.saturating_sub(update.view.ledger_index),
        })
    }

    fn act(&mut self, action: Action, now: DateTime<Utc>, batch: &mut Batch) -> Result<(), OrdersError> {
        match action {
            Action::Place(quote) => self.place(&quote, None, now, batch),
            Action::Replace { offer_sequence, quote } => self.place(&quote, Some(offer_sequence), now, batch),
            Action::Cancel { offer_sequence, side, level } => {
                self.cancel(offer_sequence, Some((side, level)), now, batch)
            }
        }
    }

    fn place(
        &mut self,
        quote: &Quote,
        replaces: Option<u32>,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(), OrdersError> {
        let xrp = Amount::Xrp(quote.size);
        let rlusd = Amount::Token { value: quote.rlusd, token: self.config.token };
        let (taker_gets, taker_pays) = match quote.side {
            Side::Bid => (rlusd, xrp),
            Side::Ask => (xrp, rlusd),
        };
        let expires = self.close_time.plus_s(self.config.quote.expiration_s);
        let purpose = if replaces.is_some() { Purpose::Replace } else { Purpose::Place };
        let body = Body::OfferCreate { taker_gets, taker_pays, expiration: Some(expires), offer_sequence: replaces };
        let level = Some((quote.side, quote.level));
        let (sequence, hash) = self.sign(body, purpose, level, replaces, now, batch)?;
        batch.records.push(Record::Order(Order {
            offer_sequence: sequence,
            tx_hash: hash.to_string(),
            side: quote.side,
            level: quote.level,
            price: quote.price,
            size: quote.size,
            rlusd: quote.rlusd,
            mid_price: self.mid,
            replaces,
            expiration: Some(to_utc(expires)),
            ledger_index: self.ledger_index,
            close_time: to_utc(self.close_time),
            recorded_at: now,
        }));
        self.offers.insert(
            sequence,
            Offer {
                side: quote.side,
                level: quote.level,
                price: quote.price,
                remaining: quote.size,
                placed_ledger: self.ledger_index,
                expires: Some(expires),
                resting: false,
            },
        );
        Ok(())
    }

    fn cancel(
        &mut self,
        offer_sequence: u32,
        level: Option<(Side, u8)>,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(), OrdersError> {
        let body = Body::OfferCancel { offer_sequence };
        self.sign(body, Purpose::Cancel, level, Some(offer_sequence), now, batch)?;
        Ok(())
    }

    fn cancel_orphans(&mut self, now: DateTime<Utc>, batch: &mut Batch) -> Result<(), OrdersError> {
        let orphans: Vec<u32> = self.orphans.iter().copied().filter(|offer| !self.is_being_cancelled(*offer)).collect();
        for orphan in orphans {
            self.cancel(orphan, None, now, batch)?;
        }
        Ok(())
    }

    fn is_being_cancelled(&self, offer_sequence: u32) -> bool {
        self.in_flight.values().any(|tx| tx.purpose == Purpose::Cancel && tx.target == Some(offer_sequence))
    }

    /// Cancels every offer, resting or in flight, that no cancel in flight is for. Sequence order makes the cancel of an
    /// offer that is still in flight run after it.
    fn withdraw(&mut self, now: DateTime<Utc>, effects: &mut Vec<OrdersEffect>) -> Result<(), OrdersError> {
        if self.hole {
            return Ok(());
        }
        let mut batch = Batch::default();
        self.cancel_orphans(now, &mut batch)?;
        let open: Vec<(u32, (Side, u8))> = self
            .offers
            .iter()
            .filter(|(sequence, _)| !self.is_being_cancelled(**sequence))
            .map(|(sequence, offer)| (*sequence, (offer.side, offer.level)))
            .collect();
        for (sequence, level) in open {
            self.cancel(sequence, Some(level), now, &mut batch)?;
        }
        self.persist(batch, effects);
        Ok(())
    }

    fn fee(&self, purpose: Purpose) -> Drops {
        let asked = self.open_ledger_cost.unwrap_or(Drops::new(10)).max(Drops::new(10));
        let ceiling = if purpose == Purpose::Cancel { self.config.cancel_max_fee } else { self.config.max_fee };
        asked.min(ceiling)
    }

    fn sign(
        &mut self,
        body: Body,
        purpose: Purpose,
        level: Option<(Side, u8)>,
        target: Option<u32>,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> Result<(u32, Hash), OrdersError> {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.checked_add(1).ok_or(OrdersError::SequenceEnd { sequence })?;
        let last_ledger_sequence = self.ledger_index.saturating_add(self.config.last_ledger_offset);
        let fee = self.fee(purpose);
        let transaction = Transaction {
            account: self.key.address(),
            sequence,
            ticket_sequence: None,
            fee,
            flags: 0,
            last_ledger_sequence: Some(last_ledger_sequence),
            network_id: self.config.network_id,
            body,
        };
        let signed = self.key.sign(&transaction)?;
        batch.records.push(Record::Intent(Intent {
            tx_hash: signed.hash.to_string(),
            purpose,
            sequence,
            offer_sequence: target,
            last_ledger_sequence,
            fee,
            blob: signed.blob.clone(),
            ledger_index: self.ledger_index,
            recorded_at: now,
        }));
        let sending = Sending::AwaitsRecord { batch: self.batch + 1 };
        let hash = signed.hash;
        self.in_flight.insert(
            sequence,
            InFlight { hash, blob: signed.blob, purpose, level, target, last_ledger_sequence, sending },
        );
        Ok((sequence, hash))
    }

    fn persist(&mut self, batch: Batch, effects: &mut Vec<OrdersEffect>) {
        if batch.records.is_empty() {
            return;
        }
        self.batch += 1;
        effects.push(OrdersEffect::Persist { batch: self.batch, records: batch.records });
    }

    /// The record holds the intents: now, and not before, they may be sent. In sequence order.
    fn durable(
        &mut self,
        durable: &IntentsDurable,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        if let Err(reason) = &durable.result {
            return Err(OrdersError::RecordLost { reason: reason.clone() });
        }
        let mut records = Vec::new();
        let mut submissions = Vec::new();
        for flight in self.in_flight.values_mut() {
            if flight.sending == (Sending::AwaitsRecord { batch: durable.batch }) {
                flight.sending = Sending::AwaitsReply;
                submissions.push(Submission { hash: flight.hash, blob: flight.blob.clone() });
            }
        }
        for submission in &submissions {
            records.push(intent_update(&submission.hash, IntentState::Submitted, None, None, now));
        }
        if !records.is_empty() {
            effects.push(OrdersEffect::Record(records));
        }
        effects.extend(submissions.into_iter().map(OrdersEffect::Submit));
        Ok(())
    }

    /// A reply is a hint: it is recorded, it teaches the fee, and it settles nothing.
    fn reply(&mut self, reply: SubmissionReply, now: DateTime<Utc>, effects: &mut Vec<OrdersEffect>) {
        let Some(flight) = self.in_flight.values_mut().find(|tx| tx.hash == reply.hash) else { return };
        flight.sending = if reply.result.is_ok() { Sending::Sent } else { Sending::Unanswered };
        if let Some(cost) = reply.open_ledger_cost {
            self.open_ledger_cost = Some(cost);
        }
        let said = match reply.result {
            Ok(code) => code,
            Err(error) => {
                tracing::warn!(hash = %reply.hash, error, "no answer to a submission; it is sent again with the next ledger");
                return;
            }
        };
        if said != "tesSUCCESS" && said != "terQUEUED" {
            tracing::warn!(hash = %reply.hash, result = said, "a submission was not accepted as it is");
        }
        let record = intent_update(&reply.hash, IntentState::Submitted, Some(said), None, now);
        effects.push(OrdersEffect::Record(vec![record]));
    }

    /// A change of an offer that a transaction of a validated ledger made.
    fn event_in(
        &self,
        transaction: &OwnTransaction,
        offer_sequence: u32,
        state: OrderState,
        remaining: Drops,
        now: DateTime<Utc>,
    ) -> Record {
        Record::OrderEvent(OrderEvent {
            offer_sequence,
            state,
            remaining,
            tx_hash: Some(transaction.hash.to_string()),
            detail: (transaction.result != "tesSUCCESS").then(|| transaction.result.clone()),
            ledger_index: transaction.ledger_index,
            close_time: to_utc(transaction.close_time.unwrap_or(self.close_time)),
            recorded_at: now,
        })
    }

    /// A change of an offer that no transaction made.
    fn event(
        &self,
        offer_sequence: u32,
        state: OrderState,
        remaining: Drops,
        detail: Option<String>,
        now: DateTime<Utc>,
    ) -> Record {
        Record::OrderEvent(OrderEvent {
            offer_sequence,
            state,
            remaining,
            tx_hash: None,
            detail,
            ledger_index: self.ledger_index,
            close_time: to_utc(self.close_time),
            recorded_at: now,
        })
    }
}

fn intent_update(
    hash: &Hash,
    state: IntentState,
    engine_result: Option<String>,
    ledger_index: Option<u32>,
    now: DateTime<Utc>,
) -> Record {
    Record::IntentUpdate(IntentUpdate {
        tx_hash: hash.to_string(),
        state,
        engine_result,
        ledger_index,
        recorded_at: now,
    })
}

/// True when the transaction left an offer of its own on the ledger.
fn creates(transaction: &OwnTransaction) -> bool {
    let own = |change: &OfferChange| change.sequence == transaction.sequence;
    transaction.offers.iter().any(|change| own(change) && change.kind == OfferChangeKind::Created)
}

#[derive(Default)]
struct Batch {
    records: Vec<Record>,
}

fn removed_state(removal: Removal) -> OrderState {
    match removal {
        Removal::Filled => OrderState::Filled,
        Removal::Cancelled => OrderState::Cancelled,
        Removal::Replaced => OrderState::Replaced,
        Removal::Expired => OrderState::Expired,
        Removal::Unfunded => OrderState::Unfunded,
        Removal::SelfCrossed => OrderState::SelfCrossed,
        Removal::Other => OrderState::Unknown,
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
