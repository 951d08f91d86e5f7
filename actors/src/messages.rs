//! What the actors say to one another.

use actix::Message;
use neo_ledger::meta::OwnTransaction;
use neo_ledger::types::{Amount, Hash, LedgerTime};
use neo_ledger::{Owned, TokenTerms};
use neo_market::{AmountError, Balances, Dec, Drops, MarketView, NoReference, Reference, TriggerEvent};

/// A validated ledger's header, as far as the engine needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerHeader {
    /// Index.
    pub index: u32,
    /// Hash, by which its chain is known.
    pub hash: Hash,
    /// Close time; trading time is this, not the wall clock.
    pub close_time: LedgerTime,
    /// The reference transaction's fee.
    pub base_fee: Drops,
    /// Reserve of an account that owns nothing.
    pub reserve_base: Drops,
    /// Reserve of each owned object.
    pub reserve_inc: Drops,
}

/// Our account at a validated ledger, as the ledger states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// All XRP, the reserve included.
    pub xrp: Drops,
    /// RLUSD on the trust line, from our side.
    pub rlusd: Dec,
    /// The next sequence number.
    pub sequence: u32,
    /// Objects that hold reserve.
    pub owner_count: u32,
}

impl AccountState {
    /// Balances with the reserve that the header's parameters ask for.
    ///
    /// # Errors
    /// [`AmountError::Overflow`] when the node states absurd reserves.
    pub fn balances(&self, ledger: &LedgerHeader) -> Result<Balances, AmountError> {
        let objects = ledger
            .reserve_inc
            .get()
            .checked_mul(i64::from(self.owner_count))
            .ok_or(AmountError::Overflow { operation: "the reserve" })?;
        Ok(Balances { xrp: self.xrp, reserve: ledger.reserve_base.add(Drops::new(objects))?, rlusd: self.rlusd })
    }
}

/// An offer of our account in the validated list of offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOffer {
    /// The account sequence that names it.
    pub sequence: u32,
    /// What it sells.
    pub taker_gets: Amount,
    /// What it asks for.
    pub taker_pays: Amount,
}

/// Everything that one validated ledger (or several, after a gap) brought: one message, so that nobody sees half of it.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct LedgerUpdate {
    /// The newest validated ledger that is completely known.
    pub ledger: LedgerHeader,
    /// The market at that ledger, without our offers.
    pub view: MarketView,
    /// The price that quotes may stand around, or why there is none.
    pub reference: Result<Reference, NoReference>,
    /// Our account at that ledger.
    pub account: AccountState,
    /// Every transaction that touched our account since the update before, in ledger order.
    pub transactions: Vec<OwnTransaction>,
    /// The validated list of our offers, where it was asked for: at the start, after a gap, and for an audit.
    pub offers: Option<Vec<OpenOffer>>,
    /// Everything that our account owns, read with the list of offers.
    pub owned: Option<Owned>,
    /// The rules of the token, as they were read last: the line's at this ledger, the issuer's at most a ledger later.
    pub terms: TokenTerms,
    /// Why the ledgers before this one could not be joined up with the record, if they could not.
    pub history_lost: Option<String>,
}

/// A signed transaction for the node.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Submission {
    /// Its hash.
    pub hash: Hash,
    /// The signed transaction, hex.
    pub blob: String,
}

/// What the node said of a submission. It settles nothing: only a validated ledger does.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct SubmissionReply {
    /// Which.
    pub hash: Hash,
    /// The provisional result code, or why there is none.
    pub result: Result<String, String>,
    /// The fee that a transaction needs now to get into the open ledger.
    pub open_ledger_cost: Option<Drops>,
}

/// The records of these intents are durable.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct IntentsDurable {
    /// The batch that the orders core named.
    pub batch: u64,
    /// Why they are not, if they are not.
    pub result: Result<(), String>,
}

/// The engine has done all it will do on this ledger. A node that closes ledgers on request may close the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct LedgerDone(
    /// The ledger's index.
    pub u32,
);

/// List our offers again with the next ledger: some that no order owns are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct ListAgain;

/// Offers are being withdrawn: a stand-alone node's ledgers are to close as soon as they may, whatever the engine's pace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct CloseSoon;

/// The supervisor's orders to the orders actor.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum OrdersCommand {
    /// No new quotes from now on.
    Quiesce,
    /// Cancel everything and report when a validated ledger proves that nothing is left.
    Withdraw,
    /// Cancel everything and quote nothing until `Resume`, for this reason. The session goes on.
    Pause(String),
    /// Quote again.
    Resume,
}

/// What a trigger did, and at which ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskNote {
    /// What it did.
    pub event: TriggerEvent,
    /// The newest validated ledger then.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: LedgerTime,
}

/// Take the final snapshot; the answer is the total value, or why it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "Result<ClosingValue, String>")]
pub struct TakeClosingValue;

/// The last value of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosingValue {
    /// Total value, or why there is none.
    pub total_value_rlusd: Result<Dec, String>,
    /// The validated ledger that it was taken at.
    pub ledger_index: u32,
    /// That ledger's close time.
    pub close_time: LedgerTime,
}

/// Answered by every actor that handles its messages: the answer proves that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub struct Beat;
