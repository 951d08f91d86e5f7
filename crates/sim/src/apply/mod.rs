//! The transaction engine: one transaction against one state.
//!
//! The order of checks, what a failure costs and what it leaves behind are rippled's (2.6.1, `Transactor.cpp`,
//! `applySteps.cpp`): a result that claims a fee takes fee and sequence and nothing else, except that offers found
//! expired or unfunded by a killed offer stay removed; every other failure leaves the state as it was.

pub mod account;
pub mod amm;
pub mod clawback;
mod flow;
pub(crate) mod funds;
pub(crate) mod meta;
mod offer;
mod payment;
mod ticket;
pub mod trust;
pub mod tx;

use std::cmp::Ordering;

use neo_ledger::{Address, Asset, Currency, Hash, LedgerTime};
use serde::{Deserialize, Serialize};

use crate::amendment::{Amendment, Amendments};
use crate::amount::{ArithmeticError, Value};
use crate::state::{AccountRoot, Mark, OfferKey, State, TicketKey};
use crate::ter::Ter;
pub use flow::Hop;
pub use meta::Metadata;
use tx::{Body, Signer, Tx};

/// Network ids up to this one must not be named in a transaction (xrpl.org, "NetworkID Field").
const LAST_LEGACY_NETWORK_ID: u32 = 1024;

/// The ledger's settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The network's id.
    pub network_id: u32,
    /// The reference fee, in drops.
    pub base_fee_drops: i64,
    /// Reserve of an account, in drops.
    pub reserve_base_drops: i64,
    /// More reserve for each entry it owns, in drops.
    pub reserve_inc_drops: i64,
    /// The amendments in force.
    #[serde(default)]
    pub amendments: Amendments,
}

impl Rules {
    /// True when the amendment is in force.
    #[must_use]
    pub const fn enabled(&self, amendment: Amendment) -> bool {
        self.amendments.enabled(amendment)
    }

    /// The reserve of an account with so many entries, in drops.
    #[must_use]
    pub fn reserve(&self, owner_count: u32) -> i64 {
        self.reserve_inc_drops.saturating_mul(i64::from(owner_count)).saturating_add(self.reserve_base_drops)
    }
}

/// The ledger that a transaction is applied to.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The ledger's settings.
    pub rules: &'a Rules,
    /// Index of the ledger that is built.
    pub ledger_index: u32,
    /// When the ledger before it closed: what expiry is measured against.
    pub parent_close_time: LedgerTime,
    /// True for the open ledger: provisional, without metadata.
    pub open: bool,
    /// True while a failed transaction gets another pass: a tec is not applied then.
    pub retry: bool,
    /// True when a provisional tec must not be applied.
    pub fail_hard: bool,
    /// Place of the transaction in its ledger.
    pub transaction_index: u32,
    /// Address of the pool account that an AMMCreate makes. rippled derives it from the hash of the parent ledger, which
    /// is not modelled: a replay of a recorded ledger hands in the recorded one. Without it the address follows from
    /// the pool's id alone.
    pub pool_account: Option<Address>,
}

/// What became of a transaction.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Its result.
    pub result: Ter,
    /// True when it is in the ledger: fee and sequence are taken.
    pub applied: bool,
    /// The fee that was taken, in drops: less than offered only when the account had less.
    pub fee: i64,
    /// Its metadata, in a closed ledger.
    pub meta: Option<Metadata>,
}

/// A result that ends the work on a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub Ter);

impl From<ArithmeticError> for Failure {
    fn from(_: ArithmeticError) -> Failure {
        Failure(Ter::TEC_INTERNAL)
    }
}

/// What a transactor did: its result, and the dead offers it met, which stay removed when the rest is taken back.
pub(crate) struct Done {
    pub result: Ter,
    pub dead_offers: Vec<OfferKey>,
    /// What arrived of a payment, when it is less than its amount.
    pub delivered: Option<(Value, Asset)>,
}

impl From<Ter> for Done {
    fn from(result: Ter) -> Done {
        Done { result, dead_offers: Vec::new(), delivered: None }
    }
}

/// Applies a transaction. The state changes only when the answer says `applied`.
pub fn apply(state: &mut State, tx: &Tx, context: &Context<'_>) -> Applied {
    let refused = |result| Applied { result, applied: false, fee: 0, meta: None };
    let checked = preclaim(state, tx, context);
    if !checked.is_success() && !checked.is_claim() {
        return refused(checked);
    }
    let mark = state.mark();
    let Some(prior_balance) = state.account(tx.account).map(|root| root.balance) else {
        return refused(Ter::TER_NO_ACCOUNT);
    };
    charge(state, tx);
    note_transaction(state, tx);
    let done = if checked.is_success() {
        transact(state, tx, context, prior_balance).unwrap_or_else(|failure| failure.0.into())
    } else {
        checked.into()
    };
    if done.result.is_success() {
        return finish(state, tx, context, mark, &done, tx.fee.min(prior_balance));
    }
    state.roll_back(mark);
    let dropped = context.retry || (context.open && context.fail_hard);
    if !done.result.is_claim() || dropped {
        return refused(done.result);
    }
    charge(state, tx);
    if done.result == Ter::TEC_KILLED || done.result == Ter::TEC_EXPIRED {
        for key in &done.dead_offers {
            // The state was just rolled back to where these offers stood; one that is gone needs no removal.
            if offer::delete(state, *key).is_err() {
                state.roll_back(mark);
                return refused(Ter::TEF_INTERNAL);
            }
        }
    }
    finish(state, tx, context, mark, &done, tx.fee.min(prior_balance))
}

fn finish(state: &mut State, tx: &Tx, context: &Context<'_>, mark: Mark, done: &Done, fee: i64) -> Applied {
    let meta = (!context.open).then(|| meta::build(state, mark, tx, context, done.result, done.delivered));
    Applied { result: done.result, applied: true, fee, meta }
}

/// Takes fee and sequence, or the ticket in its place. The fee never takes more than there is.
fn charge(state: &mut State, tx: &Tx) {
    if let Some(mut root) = state.account(tx.account).cloned() {
        root.balance -= tx.fee.min(root.balance);
        if tx.has_ticket {
            ticket::consume(state, &mut root, tx.account, tx.sequence);
        } else {
            root.sequence = root.sequence.saturating_add(1);
        }
        state.put_account(tx.account, root);
    }
}

/// Keeps the transaction's hash on an account that asked for it.
fn note_transaction(state: &mut State, tx: &Tx) {
    if let Some(mut root) = state.account(tx.account).cloned()
        && let Some(details) = root.details.as_mut()
        && details.account_txn_id.is_some()
    {
        details.account_txn_id = Some(tx.hash);
        state.put_account(tx.account, root);
    }
}

/// The least that a transaction must offer to burn, without load, in drops (rippled, `calculateBaseFee`).
pub(crate) fn base_fee(tx: &Tx, root: &AccountRoot, rules: &Rules) -> i64 {
    match &tx.body {
        Body::SetRegularKey { .. } if account::key_change_is_free(tx, root) => 0,
        Body::Amm(request) => amm::base_fee(request, rules),
        _ => rules.base_fee_drops,
    }
}

/// `XRP` as if it were a token's currency, which it may not be (rippled, `badCurrency`).
const BAD_CURRENCY: &str = "0000000000000000000000005852500000000000";

/// True for the currency that no token may have.
pub(crate) fn is_bad_currency(currency: Currency) -> bool {
    BAD_CURRENCY.parse::<Currency>() == Ok(currency)
}

/// True for an asset of that currency.
pub(crate) fn has_bad_currency(asset: Asset) -> bool {
    matches!(asset, Asset::Token(token) if is_bad_currency(token.currency))
}

/// True for the two ids that stand for nobody: that of XRP's missing issuer, and rippled's `noAccount`.
pub(crate) fn is_nobody(account: Address) -> bool {
    let [start @ .., last] = account.0;
    start == [0; 19] && last <= 1
}

/// Checks that need no ledger, but the network's id and amendments.
pub(crate) fn preflight(tx: &Tx, context: &Context<'_>) -> Ter {
    let network = context.rules.network_id;
    match tx.network_id {
        Some(_) if network <= LAST_LEGACY_NETWORK_ID => return Ter::TEL_NETWORK_ID_MAKES_TX_NON_CANONICAL,
        Some(id) if id != network => return Ter::TEL_WRONG_NETWORK,
        // The simulation's own participants are of this network by birth.
        None if network > LAST_LEGACY_NETWORK_ID && tx.signer != Signer::Simulation => {
            return Ter::TEL_REQUIRES_NETWORK_ID;
        }
        _ => {}
    }
    if matches!(tx.body, Body::Amm(_)) && !amm::is_enabled(context.rules) {
        return Ter::TEM_DISABLED;
    }
    tx.preflight(context)
}

/// Whether a transaction would claim its fee: success or a tec, or why it would not go in.
pub(crate) fn preclaim(state: &State, tx: &Tx, context: &Context<'_>) -> Ter {
    let malformed = preflight(tx, context);
    if !malformed.is_success() {
        return malformed;
    }
    let Some(root) = state.account(tx.account) else { return Ter::TER_NO_ACCOUNT };
    let checks = [check_sequence, check_prior, check_fee];
    let failed = checks.into_iter().map(|check| check(state, tx, root, context)).find(|result| !result.is_success());
    if let Some(result) = failed {
        return result;
    }
    let refused = account::check_signer(tx, root);
    if !refused.is_success() {
        return refused;
    }
    preclaim_body(state, tx, root, context).unwrap_or_else(|failure| failure.0)
}

/// The sequence or ticket must be the account's (rippled, `Transactor::checkSeqProxy`).
fn check_sequence(state: &State, tx: &Tx, root: &AccountRoot, _: &Context<'_>) -> Ter {
    if tx.has_sequence_and_ticket {
        return Ter::TEM_SEQ_AND_TICKET;
    }
    if !tx.has_ticket {
        return match tx.sequence.cmp(&root.sequence) {
            Ordering::Greater => Ter::TER_PRE_SEQ,
            Ordering::Less => Ter::TEF_PAST_SEQ,
            Ordering::Equal => Ter::SUCCESS,
        };
    }
    // Its TicketCreate may still be on the way.
    if tx.sequence >= root.sequence {
        return Ter::TER_PRE_TICKET;
    }
    let key = TicketKey { account: tx.account, sequence: tx.sequence };
    if state.ticket(key).is_none() { Ter::TEF_NO_TICKET } else { Ter::SUCCESS }
}

/// What the transaction says about the one before it and about its last ledger.
fn check_prior(_: &State, tx: &Tx, root: &AccountRoot, context: &Context<'_>) -> Ter {
    let kept = root.details.as_ref().and_then(|details| details.account_txn_id);
    if tx.account_txn_id.is_some_and(|prior| prior != kept.unwrap_or(Hash([0; 32]))) {
        return Ter::TEF_WRONG_PRIOR;
    }
    if tx.last_ledger_sequence.is_some_and(|last| context.ledger_index > last) {
        return Ter::TEF_MAX_LEDGER;
    }
    Ter::SUCCESS
}

/// The fee must be enough for the open ledger, and there.
fn check_fee(_: &State, tx: &Tx, root: &AccountRoot, context: &Context<'_>) -> Ter {
    if context.open && tx.fee < base_fee(tx, root, context.rules) {
        return Ter::TEL_INSUF_FEE_P;
    }
    if tx.fee > root.balance {
        return if root.balance > 0 && !context.open { Ter::TEC_INSUFF_FEE } else { Ter::TER_INSUF_FEE_B };
    }
    Ter::SUCCESS
}

fn preclaim_body(state: &State, tx: &Tx, root: &AccountRoot, context: &Context<'_>) -> Result<Ter, Failure> {
    Ok(match &tx.body {
        Body::OfferCreate { taker_gets, taker_pays, expiration, offer_sequence } => {
            offer::preclaim(state, context, tx.account, *taker_gets, taker_pays.1, *expiration, *offer_sequence)
        }
        Body::Payment { .. } => payment::preclaim(state, tx, context),
        // An offer of the future cannot be cancelled.
        Body::OfferCancel { offer_sequence } if *offer_sequence >= root.sequence => Ter::TEM_BAD_SEQUENCE,
        Body::TrustSet(request) => request.preclaim(state, tx, root, context)?,
        Body::AccountSet(request) => request.preclaim(state, tx, root, context),
        Body::TicketCreate { count } => ticket::preclaim(tx, root, *count),
        Body::Clawback(request) => request.preclaim(state, tx, context)?,
        Body::Amm(request) => amm::preclaim(state, context, tx, request),
        Body::OfferCancel { .. } | Body::SetRegularKey { .. } | Body::Unsupported => Ter::SUCCESS,
    })
}

fn transact(state: &mut State, tx: &Tx, context: &Context<'_>, prior_balance: i64) -> Result<Done, Failure> {
    match &tx.body {
        Body::OfferCreate { .. } => offer::create(state, tx, context, prior_balance),
        Body::OfferCancel { offer_sequence } => {
            offer::delete(state, OfferKey { account: tx.account, sequence: *offer_sequence })?;
            Ok(Ter::SUCCESS.into())
        }
        Body::Payment { .. } => payment::pay(state, tx, context, prior_balance),
        Body::TrustSet(request) => request.apply(state, tx, context, prior_balance).map(Done::from),
        Body::AccountSet(request) => request.apply(state, tx, context).map(Done::from),
        Body::SetRegularKey { key } => account::set_regular_key(state, tx, context, *key).map(Done::from),
        Body::TicketCreate { count } => ticket::create(state, tx, context, prior_balance, *count).map(Done::from),
        Body::Clawback(request) => request.apply(state, tx).map(Done::from),
        Body::Amm(request) => amm::transact(state, tx, context, prior_balance, request).map(Done::from),
        Body::Unsupported => Err(Failure(Ter::TEM_DISABLED)),
    }
}
