//! The rules of the orders: what is signed, when it may be sent, and what a validated ledger proves of it.
//!
//! Three rules carry the rest. An intent is durable before its blob is sent. A transaction is settled only by a validated
//! ledger: found in one, or its LastLedgerSequence passed in gap-free history. While the fate of a level's transaction is
//! open, that level signs nothing new.
//!
//! Here are the state and the order of work; `settle` reads what a ledger proves, `adopt` takes over what still stands,
//! `audit` holds what the ledger lists against its own counts,
//! `missing` says what is unknown after a hole in the history, `tickets` are the numbers for cancels that must not wait,
//! `suspects` are offers that nobody owns yet, `stranger` is what others did with our key, `desired` is what is to stand,
//! `quoting` decides what to change, `token_rules` what the issuer forbids, `refusals` what waits after the ledger's no,
//! `delays` what waits after a fill, `latency` how long offers take, `last_look` what is too late to leave, `not_quoted` counts what is left out, `watch` measures for the triggers, `sending`
//! signs and sends.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use neo_ledger::keys::{Keypair, SignError};
use neo_ledger::types::{Hash, LedgerTime, Token};
use neo_market::model::RollingVolatility;
use neo_market::quote::{Moves, QuoteConfig};
use neo_market::risk::RiskConfig;
use neo_market::{AmountError, Dec, Drops, Side};
use neo_store::record::{IntentState, OrderState, Processor, Purpose, Record};
use thiserror::Error;

use super::adopt::Adoptable;
use super::audit::Audits;
use super::delays::FillDelays;
use super::fees::{FeeBudget, FeePaid};
use super::last_look::Market;
use super::latency::Latency;
use super::not_quoted::NotQuoted;
use super::refusals::Refusals;
use super::settle::intent_update;
use super::suspects::Suspects;
use super::tickets::Tickets;
use super::token_rules::TokenRules;
use super::watch::{Watch, WatchStart};
use crate::clock::to_utc;
use crate::heard::Heard;
use crate::messages::{IntentsDurable, LedgerUpdate, OrdersCommand, RiskNote, Submission, SubmissionReply};
use crate::status::{AuditStatus, QuoteStatus, TripStatus};

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
    /// What quotes may cost in any 24 hours of ledger time, every other fee counted in; zero: no limit.
    pub fee_budget: Drops,
    /// Fees of the last day that the record knows of.
    pub fees_paid: Vec<FeePaid>,
    /// Trading time after which the session ends by itself, in seconds.
    pub trade_for_s: Option<u32>,
    /// Transactions of earlier sessions whose fate the record does not know: hash and LastLedgerSequence.
    pub unsettled: Vec<(Hash, u32)>,
    /// Transactions that the record has settled and that the node's history may show once more.
    pub settled: Vec<Hash>,
    /// Offers of earlier sessions to take over where they still stand; any other is cancelled before the first quote.
    pub adoptable: Vec<Adoptable>,
    /// Lists of different ledgers that must show an offer which no order owns before it is cancelled or taken over.
    pub orphan_reads: u32,
    /// Tickets that are kept for cancels that would wait behind a stuck sequence number; 0: none.
    pub cancel_tickets: u32,
    /// Why the session begins paused, if it does.
    pub paused: Option<String>,
    /// What the triggers begin with.
    pub watch: WatchStart,
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
    /// The record cannot be relied on any more, for this reason: nothing new is quoted.
    RecordHalted(String),
    /// Time has passed; `now` says how much.
    Tick,
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
    /// The record is lost: note the hashes of these cancels beside it, durably, then send them.
    SubmitUnrecorded(Vec<Submission>),
    /// Nothing more will be done on this ledger.
    LedgerDone(u32),
    /// The list of our offers is wanted again with the next ledger.
    ListAgain,
    /// Trading time is over.
    Elapsed,
    /// Nothing of ours is on the ledger or in flight.
    Flat,
    /// Somebody else trades on the account: the session must end. What was seen.
    Stranger(String),
    /// Something of what was wanted cannot be signed by any key: the session must end. What was signed before it goes.
    Broken(String),
    /// A trigger tripped, or is not tripped any more.
    Risk(RiskNote),
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
pub(super) enum Intention {
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
pub(super) struct Offer {
    pub(super) side: Side,
    pub(super) level: u8,
    pub(super) price: Dec,
    pub(super) remaining: Drops,
    pub(super) placed_ledger: u32,
    pub(super) expires: Option<LedgerTime>,
    /// False until a validated ledger shows it resting.
    pub(super) resting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
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
pub(super) struct InFlight {
    pub(super) hash: Hash,
    pub(super) blob: String,
    pub(super) purpose: Purpose,
    /// The level that it occupies.
    pub(super) level: Option<(Side, u8)>,
    /// The offer that it cancels or replaces.
    pub(super) target: Option<u32>,
    pub(super) last_ledger_sequence: u32,
    pub(super) fee: Drops,
    pub(super) sending: Sending,
    /// It uses a ticket, and no sequence number.
    pub(super) by_ticket: bool,
    /// Tickets that it makes.
    pub(super) makes: u32,
    /// The validated ledger that it was signed after.
    pub(super) signed_ledger: u32,
    /// A node said that it waits for others, or for its place.
    pub(super) held_back: bool,
}

/// The orders.
pub struct OrdersCore {
    pub(super) config: OrdersConfig,
    pub(super) key: Keypair,
    pub(super) intention: Intention,
    pub(super) offers: BTreeMap<u32, Offer>,
    /// Offers on the ledger that no order of this session made: cancelled before the first quote.
    pub(super) orphans: BTreeSet<u32>,
    /// Offers that are listed and that no order owns, until enough lists have shown them.
    pub(super) suspects: Suspects,
    /// By sequence number, or by ticket: the ledger gives no number twice.
    pub(super) in_flight: BTreeMap<u32, InFlight>,
    /// The transactions of ledgers that were worked through.
    heard: Heard,
    /// Ours that were given up for dead, or lost: a ledger's proof that comes late finds them here.
    pub(super) buried: BTreeSet<Hash>,
    pub(super) tickets: Tickets,
    pub(super) next_sequence: u32,
    /// A transaction died: later sequence numbers cannot apply until all in flight are settled.
    pub(super) hole: bool,
    /// Why nothing is quoted until somebody says otherwise.
    pub(super) paused: Option<String>,
    pub(super) batch: u64,
    /// The records of each batch that is not known to be durable.
    pub(super) awaited: BTreeMap<u64, Vec<Record>>,
    /// Nothing can be made durable any more: only cancels are signed.
    pub(super) record_lost: bool,
    pub(super) ledger_index: u32,
    pub(super) close_time: LedgerTime,
    pub(super) done: bool,
    pub(super) flat_told: bool,
    pub(super) first_close: Option<LedgerTime>,
    pub(super) elapsed_told: bool,
    pub(super) open_ledger_cost: Option<Drops>,
    /// Of the newest ledger.
    pub(super) base_fee: Drops,
    /// The last signature that was asked for did not come from where the key is.
    pub(super) signer_away: bool,
    pub(super) mid: Option<Dec>,
    pub(super) withheld: Option<String>,
    pub(super) refusals: Refusals,
    pub(super) delays: FillDelays,
    /// Of the reference price; measured anew in each session.
    pub(super) volatility: RollingVolatility,
    /// Of the best prices; measured anew in each session.
    pub(super) moves: Moves,
    pub(super) latency: Latency,
    pub(super) market: Market,
    pub(super) not_quoted: NotQuoted,
    /// Ledgers that may have closed since the last one that was heard of.
    pub(super) unheard_ledgers: u32,
    pub(super) watch: Watch,
    pub(super) token_rules: TokenRules,
    pub(super) fees: FeeBudget,
    pub(super) audits: Audits,
    pub(super) failed_transactions: u64,
    pub(super) fills: (u64, u64),
    /// What earlier sessions left unsettled: hash and LastLedgerSequence.
    pub(super) inherited: BTreeMap<Hash, u32>,
    /// Those of them that a ledger may have included which nobody saw.
    pub(super) maybe_missed: BTreeSet<Hash>,
    /// Settled before this session: seen again in history, they are nobody else's.
    pub(super) settled: BTreeSet<Hash>,
    /// Offers that somebody else placed while we run. They are left alone: they may be another engine's.
    pub(super) strange: BTreeSet<u32>,
    /// Ledgers of this session are missing: an offer that nobody saw placed may be ours.
    pub(super) history_lost: bool,
    /// What the first stranger did, until it is told.
    pub(super) stranger: Option<String>,
    pub(super) stranger_told: bool,
}

impl OrdersCore {
    /// Orders that have not seen the ledger yet.
    #[must_use]
    pub fn new(config: OrdersConfig, key: Keypair) -> OrdersCore {
        let volatility = RollingVolatility::new(config.quote.volatility_window_s);
        let moves = Moves::new(config.quote.volatility_window_s);
        let tickets = Tickets::new(config.cancel_tickets);
        OrdersCore {
            inherited: config.unsettled.iter().copied().collect(),
            settled: config.settled.iter().copied().collect(),
            paused: config.paused.clone(),
            fees: FeeBudget::new(config.fee_budget, &config.fees_paid),
            watch: Watch::new(&config.risk, &config.fees_paid, config.watch.clone()),
            config,
            key,
            intention: Intention::Quote,
            offers: BTreeMap::new(),
            orphans: BTreeSet::new(),
            suspects: Suspects::default(),
            in_flight: BTreeMap::new(),
            heard: Heard::default(),
            buried: BTreeSet::new(),
            tickets,
            next_sequence: 0,
            hole: false,
            batch: 0,
            awaited: BTreeMap::new(),
            record_lost: false,
            ledger_index: 0,
            close_time: LedgerTime(0),
            done: true,
            flat_told: false,
            first_close: None,
            elapsed_told: false,
            open_ledger_cost: None,
            base_fee: Drops::ZERO,
            signer_away: false,
            mid: None,
            withheld: Some("waiting for the first validated ledger".to_string()),
            refusals: Refusals::default(),
            delays: FillDelays::default(),
            volatility,
            moves,
            latency: Latency::default(),
            market: Market::default(),
            not_quoted: NotQuoted::default(),
            unheard_ledgers: 0,
            token_rules: TokenRules::default(),
            audits: Audits::default(),
            failed_transactions: 0,
            fills: (0, 0),
            strange: BTreeSet::new(),
            maybe_missed: BTreeSet::new(),
            history_lost: false,
            stranger: None,
            stranger_told: false,
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
            OrdersInput::Reply(reply) => self.reply(reply, now, &mut effects)?,
            OrdersInput::Command(OrdersCommand::Quiesce) => self.quiesce("stopping".to_string()),
            OrdersInput::RecordHalted(reason) => self.quiesce(reason),
            OrdersInput::Command(OrdersCommand::Withdraw) if self.intention != Intention::Closed => {
                self.intention = Intention::Withdraw;
                self.withheld = Some("withdrawing all offers".to_string());
                if self.has_seen_a_ledger() {
                    self.withdraw(now, &mut effects)?;
                }
            }
            OrdersInput::Command(OrdersCommand::Withdraw) => {}
            OrdersInput::Command(OrdersCommand::Pause(reason)) => self.pause(reason, now, &mut effects)?,
            OrdersInput::Command(OrdersCommand::Resume) => self.resume(&mut effects),
            OrdersInput::Tick => self.watch_time(now, &mut effects)?,
        }
        self.conclude(&mut effects);
        Ok(effects)
    }

    fn quiesce(&mut self, reason: String) {
        if self.intention == Intention::Quote {
            self.intention = Intention::Hold;
            self.withheld = Some(reason);
        }
    }

    /// A stop that runs already withdraws everything itself.
    fn pause(
        &mut self,
        reason: String,
        now: DateTime<Utc>,
        effects: &mut Vec<OrdersEffect>,
    ) -> Result<(), OrdersError> {
        self.paused = Some(reason.clone());
        if self.intention != Intention::Quote {
            return Ok(());
        }
        self.withheld = Some(reason);
        if self.has_seen_a_ledger() { self.withdraw(now, effects) } else { Ok(()) }
    }

    fn resume(&mut self, effects: &mut Vec<OrdersEffect>) {
        let released = self.watch.resume();
        let held = self.paused.take().is_some() || !released.is_empty();
        self.tell_triggers(released, effects);
        if held && self.intention == Intention::Quote {
            self.withheld = Some("resumed: it quotes with the next validated ledger".to_string());
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
        let suspected = self.suspects.of_before().next().is_some();
        self.offers.is_empty() && self.orphans.is_empty() && !suspected && self.in_flight.is_empty() && !inherited
    }

    /// What earlier sessions signed and a ledger to come may include. A last ledger further ahead than any that is
    /// signed for is of another ledger's numbers, and would be waited for in vain.
    pub(super) fn inherited_in_flight(&self) -> impl Iterator<Item = &Hash> {
        let farthest = self.ledger_index.saturating_add(self.config.last_ledger_offset);
        self.inherited.iter().filter(move |(_, last)| **last <= farthest).map(|(hash, _)| hash)
    }

    /// What is still open, for people: offers by number and transactions by hash.
    #[must_use]
    pub fn open_items(&self) -> (Vec<u32>, Vec<String>) {
        let known = self.offers.keys().chain(self.orphans.iter()).copied();
        let offers = known.chain(self.suspects.of_before()).collect();
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

    /// True once a withdrawal was asked for and every offer that was on its way has arrived or is dead: what is left in
    /// flight is cancels, or makes tickets.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let withdrawing = matches!(self.intention, Intention::Withdraw | Intention::Closed);
        withdrawing && self.in_flight.values().all(|tx| matches!(tx.purpose, Purpose::Cancel | Purpose::Ticket))
    }

    /// True once a withdrawal was asked for and a node has answered for every cancel, or none can be reached.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        let withdrawing = matches!(self.intention, Intention::Withdraw | Intention::Closed);
        withdrawing && self.in_flight.values().all(|tx| matches!(tx.sending, Sending::Sent | Sending::Unanswered))
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

    /// The audits so far; balances are the valuer's to compare.
    #[must_use]
    pub fn audits(&self) -> AuditStatus {
        self.audits.counts()
    }

    /// Why nothing is quoted, if nothing is.
    #[must_use]
    pub fn withheld(&self) -> Option<&str> {
        self.withheld.as_deref()
    }

    /// Triggers that are tripped, the one that decides first.
    #[must_use]
    pub fn trips(&self) -> Vec<TripStatus> {
        let mut trips: Vec<_> = self.watch.triggers().standing().collect();
        trips.sort_by_key(|trip| std::cmp::Reverse(trip.action));
        let shown = |trip: &neo_market::Trip| TripStatus {
            trigger: trip.trigger.to_string(),
            action: trip.action.to_string(),
            reason: trip.reason.clone(),
            since: (trip.since_s > 0).then(|| to_utc(LedgerTime(trip.since_s))),
        };
        trips.into_iter().map(shown).collect()
    }

    /// How often each trigger tripped.
    #[must_use]
    pub fn trip_counts(&self) -> BTreeMap<String, u64> {
        self.watch.triggers().counts().iter().map(|(trigger, count)| (trigger.to_string(), *count)).collect()
    }

    /// In how many ledgers something was not quoted, by the kind of the reason.
    #[must_use]
    pub fn refusal_counts(&self) -> BTreeMap<String, u64> {
        self.not_quoted.counts().iter().map(|(kind, count)| ((*kind).to_string(), *count)).collect()
    }

    /// Ledger close time since the session's first ledger, in seconds.
    #[must_use]
    pub fn trading_s(&self) -> i64 {
        self.first_close.map_or(0, |first| i64::from(self.close_time.0) - i64::from(first.0))
    }

    /// For whoever takes these orders over: what was signed and never handed over is forgotten, and its numbers are free
    /// again. The records, for the case that the others never came to be: the intents, their offers, and their death.
    #[must_use]
    pub fn forget_unsent(&mut self, now: DateTime<Utc>) -> Vec<Record> {
        let mut records: Vec<Record> = std::mem::take(&mut self.awaited).into_values().flatten().collect();
        let unsent = |tx: &InFlight| matches!(tx.sending, Sending::AwaitsRecord { .. });
        let sequences: Vec<u32> =
            self.in_flight.iter().filter(|(_, tx)| unsent(tx)).map(|(sequence, _)| *sequence).collect();
        let mut first = None;
        for sequence in sequences {
            let Some(flight) = self.in_flight.remove(&sequence) else { continue };
            if flight.by_ticket {
                self.tickets.give_back(sequence);
            } else {
                first.get_or_insert(sequence);
            }
            if flight.purpose != Purpose::Cancel {
                self.offers.remove(&sequence);
            }
            records.push(intent_update(&flight.hash, IntentState::Dead, None, None, now));
        }
        // They were signed last, so theirs are the highest numbers.
        self.next_sequence = first.unwrap_or(self.next_sequence);
        records
    }

    /// Nothing can be made durable any more. From here on only cancels are signed: sending one twice, or one that nobody
    /// remembers, takes away nothing but the offer.
    pub fn lose_the_record(&mut self) {
        self.record_lost = true;
        if self.intention != Intention::Closed {
            self.intention = Intention::Withdraw;
            self.withheld = Some("the record is lost: withdrawing all offers".to_string());
        }
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
        // A feed that was started again may tell of what was told before. Lower numbers are another ledger's.
        if update.ledger.index < self.ledger_index {
            self.heard = Heard::default();
            self.forget_the_market();
        }
        self.ledger_index = update.ledger.index;
        self.close_time = update.ledger.close_time;
        self.base_fee = update.ledger.base_fee;
        // What the first update brings happened before this session: offers are swept, nobody is accused.
        let is_history = self.first_close.is_none();
        self.first_close.get_or_insert(update.ledger.close_time);
        self.done = false;
        let mut records = Vec::new();
        for transaction in self.heard.take(&update.transactions) {
            self.settle(transaction, is_history, now, &mut records);
            self.pay(transaction);
            self.watch_transaction(transaction)?;
            self.fills_of(transaction, mid_before, now, &mut records);
            self.offer_changes(transaction, now, &mut records);
        }
        self.fees.closed(self.close_time);
        if let Some(cause) = &update.history_lost {
            self.lose_the_hole(update, cause, now, &mut records);
        }
        self.bury_the_dead(now, &mut records);
        self.resynchronise(update.account.sequence);
        if let Some(offers) = &update.offers {
            self.compare(offers, is_history, now, &mut records);
        }
        let owned = update.owned.as_ref();
        if let Some(gone) = owned.map(|owned| self.tickets.listed(owned.tickets(), is_history)) {
            records.extend(self.audits.tickets_gone(&gone, self.ledger_index).map(|finding| finding.record(now)));
        }
        if !self.suspects.is_empty() || self.tickets.wants_list() {
            effects.push(OrdersEffect::ListAgain);
        }
        if let Some(owned) = owned {
            let ours = self.tickets.ours();
            let findings = self.audits.check(owned, &ours, update.account.owner_count, self.ledger_index);
            records.extend(findings.into_iter().map(|finding| finding.record(now)));
        }
        let changes = self.token_rules.hear(&update.terms, self.ledger_index, now);
        if !changes.is_empty() && self.token_rules.reason().is_none() {
            // What was refused was refused for this; nothing else need be waited for.
            self.refusals = Refusals::default();
        }
        records.extend(changes);
        records.push(Record::LedgerProcessed {
            ledger_index: self.ledger_index,
            ledger_hash: Some(update.ledger.hash.0),
            close_time: to_utc(self.close_time),
            by: Processor::Orders,
        });
        effects.push(OrdersEffect::Record(records));
        self.mid = update.view.mid()?;
        self.measure(update)?;
        self.look_at(&update.view)?;
        self.send_again(now, effects);
        self.unheard_ledgers = 0;
        self.watch_ledger(update, now, effects)?;
        self.check_elapsed(effects);
        self.check_stranger(effects);
        let done = match (self.intention, self.pausing()) {
            (Intention::Quote, Some(reason)) => {
                self.withheld = Some(reason);
                self.withdraw(now, effects)
            }
            (Intention::Quote, None) => self.requote(update, now, effects),
            (Intention::Hold | Intention::Closed, _) => Ok(()),
            (Intention::Withdraw, _) => self.withdraw(now, effects),
        };
        let refused = self.not_quoted.ledger_done();
        if !refused.is_empty() {
            effects.push(OrdersEffect::Record(refused));
        }
        done
    }

    /// Ledger numbers have gone back: it is another world. What was measured and what waits is of the old one, whose
    /// numbers and times may be hours ahead.
    fn forget_the_market(&mut self) {
        self.volatility = RollingVolatility::new(self.config.quote.volatility_window_s);
        self.moves = Moves::new(self.config.quote.volatility_window_s);
        self.latency = Latency::default();
        self.delays = FillDelays::default();
        self.refusals = Refusals::default();
    }

    /// Why nothing is to be quoted: the operator's pause, or a trigger.
    pub(super) fn pausing(&self) -> Option<String> {
        self.paused.clone().or_else(|| self.watch.reason())
    }

    fn check_stranger(&mut self, effects: &mut Vec<OrdersEffect>) {
        if let (Some(cause), false) = (&self.stranger, self.stranger_told) {
            self.stranger_told = true;
            self.withheld = Some(cause.clone());
            effects.push(OrdersEffect::Stranger(cause.clone()));
            if self.intention != Intention::Closed {
                self.intention = Intention::Withdraw;
            }
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
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
