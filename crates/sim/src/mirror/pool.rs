//! The pair's pool as a real ledger has it: what `amm_info` tells of it, and what metadata tells of its changes.
//!
//! The pool's entry has its index, and its account its id (rippled, `ledger_entries.macro`, `AMMID`), so neither has to be known
//! before. All that metadata says is absolute: whatever was missed of a balance before is made good by the next trade.

use neo_ledger::message::ValidatedTransaction;
use neo_ledger::meta::{Action, Entry, LSF_AMM_NODE, Node};
use neo_ledger::{Address, Amount, Asset, LedgerTime, Token};
use neo_market::AmountError;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use thiserror::Error;

use crate::amm::{Amm, AssetPair, AuctionSlot, VoteSlot};
use crate::amount::TokenValue;
use crate::image::{self, ImageError};
use crate::state::{Entry as StateEntry, LSF_HIGH_FREEZE, LSF_LOW_FREEZE};

/// Why what is said of a pool cannot be read.
#[derive(Debug, Error)]
pub enum PoolError {
    /// `amm_info`.
    #[error("amm_info: {0}")]
    Told(#[from] serde_json::Error),
    /// Its pool is another pair's.
    #[error("amm_info is of another pair's pool")]
    Other,
    /// The entry in metadata.
    #[error(transparent)]
    Entry(#[from] ImageError),
    /// An amount that a ledger cannot hold.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

/// A pool as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolState {
    /// Its entry.
    pub amm: Amm,
    /// XRP that its account holds, in drops.
    pub xrp: i64,
    /// What it holds of the token.
    pub token: TokenValue,
    /// The issuer froze it: then it trades with nobody.
    pub frozen: bool,
}

/// What a node says of the pair's pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Picture {
    /// It stands so.
    Pool(Box<PoolState>),
    /// There is none.
    Absent,
}

/// What a transaction left of a pool; what it did not touch is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolChange {
    /// Its entry.
    pub amm: Option<Amm>,
    /// It is gone.
    pub gone: bool,
    /// Its account, and what that holds in drops.
    pub xrp: Option<(Address, i64)>,
    /// Lines of pools with the issuer: the pool's account, what it holds, and whether the issuer froze it. A token has several
    /// pools, and which one is the pair's a line does not tell.
    pub lines: Vec<(Address, TokenValue, bool)>,
}

impl PoolChange {
    /// The pool after the transaction. `None` when there is none, or too little is known of it.
    #[must_use]
    pub fn after(&self, before: Option<PoolState>) -> Option<PoolState> {
        if self.gone {
            return None;
        }
        let known = before.map(|pool| (pool.amm.account, pool));
        let account = self.amm.as_ref().map(|amm| amm.account).or(known.as_ref().map(|(account, _)| *account))?;
        let before = known.filter(|(of, _)| *of == account).map(|(_, pool)| pool);
        let line = self.lines.iter().find(|(of, ..)| *of == account).map(|(_, token, frozen)| (*token, *frozen));
        let xrp = self.xrp.filter(|(of, _)| *of == account).map(|(_, xrp)| xrp);
        let was = before.as_ref();
        Some(PoolState {
            xrp: xrp.or(was.map(|pool| pool.xrp))?,
            token: line.map(|(token, _)| token).or(was.map(|pool| pool.token))?,
            frozen: line.map(|(_, frozen)| frozen).or(was.map(|pool| pool.frozen))?,
            amm: self.amm.clone().or(before.map(|pool| pool.amm))?,
        })
    }
}

/// What a transaction left of the pool of a token against XRP; `None` when it touched none.
///
/// # Errors
/// [`PoolError`].
pub fn changed(tx: &ValidatedTransaction, token: Token) -> Result<Option<PoolChange>, PoolError> {
    let pair = AssetPair::of(Asset::Xrp, Asset::Token(token));
    let id = pair.id();
    let mut change = PoolChange::default();
    for node in &tx.meta.nodes {
        match node.entry {
            Entry::Amm if node.index == id && node.action == Action::Deleted => change.gone = true,
            // A threaded entry comes without its fields.
            Entry::Amm if node.index == id && node.fields.account.is_some() => change.amm = Some(entry(node, pair)?),
            Entry::AccountRoot if node.fields.amm_id == Some(id) => {
                let drops = node.account_drops().map(|(now, _)| now.get());
                change.xrp = node.fields.account.zip(drops);
            }
            Entry::RippleState => change.lines.extend(line(node, token)?),
            _ => {}
        }
    }
    Ok(Some(change).filter(|change| *change != PoolChange::default()))
}

fn entry(node: &Node, pair: AssetPair) -> Result<Amm, PoolError> {
    let fields = &node.fields;
    let mut json = json!({
        "LedgerEntryType": "AMM",
        "Account": fields.account,
        "Asset": pair.asset,
        "Asset2": pair.asset2,
        "TradingFee": fields.trading_fee.unwrap_or(0),
    });
    let written = [
        ("LPTokenBalance", &fields.lp_token_balance),
        ("AuctionSlot", &fields.auction_slot),
        ("VoteSlots", &fields.vote_slots),
    ];
    for (name, value) in written {
        if let Some(value) = value {
            json[name] = Json::clone(value);
        }
    }
    match image::read(&json, 0)? {
        Some((_, StateEntry::Amm(amm))) => Ok(Amm { mirrored: true, ..amm }),
        _ => Err(PoolError::Other),
    }
}

fn line(node: &Node, token: Token) -> Result<Option<(Address, TokenValue, bool)>, AmountError> {
    let flags = node.fields.flags.unwrap_or(0);
    let Some((low, high)) = node.line().filter(|_| flags & LSF_AMM_NODE != 0) else { return Ok(None) };
    let pool = if low == token.issuer { high } else { low };
    let Some(balance) = node.line_balance(pool, token) else { return Ok(None) };
    let freeze = if low == token.issuer { LSF_LOW_FREEZE } else { LSF_HIGH_FREEZE };
    let held = if node.action == Action::Deleted { TokenValue::ZERO } else { TokenValue::from_dec(balance.now)? };
    Ok(Some((pool, held, flags & freeze != 0)))
}

/// The pool of a token against XRP that an `amm_info` result tells of. rippled and Clio name the fields alike.
///
/// # Errors
/// [`PoolError`].
pub fn told(result: &Json, token: Token) -> Result<PoolState, PoolError> {
    #[derive(Deserialize)]
    struct Told {
        account: Address,
        amount: Amount,
        amount2: Amount,
        lp_token: Amount,
        trading_fee: u16,
        #[serde(default)]
        asset_frozen: bool,
        #[serde(default)]
        asset2_frozen: bool,
        #[serde(default)]
        vote_slots: Vec<Vote>,
        auction_slot: Option<Slot>,
    }
    #[derive(Deserialize)]
    struct Vote {
        account: Address,
        trading_fee: u16,
        vote_weight: u32,
    }
    let told: Told = Told::deserialize(&result["amm"])?;
    let (xrp, held) = match (told.amount, told.amount2) {
        (Amount::Xrp(xrp), held @ Amount::Token { .. }) | (held @ Amount::Token { .. }, Amount::Xrp(xrp)) => {
            (xrp, held)
        }
        _ => return Err(PoolError::Other),
    };
    let held = TokenValue::from_dec(held.value_of(token).ok_or(PoolError::Other)?)?;
    let votes = told.vote_slots.iter().map(|vote| VoteSlot {
        account: vote.account,
        trading_fee: vote.trading_fee,
        weight: vote.vote_weight,
    });
    let amm = Amm {
        account: told.account,
        lp_token_balance: tokens(told.lp_token)?,
        trading_fee: told.trading_fee,
        vote_slots: votes.collect(),
        auction_slot: told.auction_slot.map(slot).transpose()?.flatten(),
        previous: None,
        mirrored: true,
    };
    Ok(PoolState { amm, xrp: xrp.get(), token: held, frozen: told.asset_frozen || told.asset2_frozen })
}

#[derive(Deserialize)]
struct Slot {
    account: Address,
    discounted_fee: u16,
    expiration: String,
    price: Amount,
    #[serde(default)]
    auth_accounts: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    account: Address,
}

fn tokens(amount: Amount) -> Result<TokenValue, PoolError> {
    match amount {
        Amount::Token { value, .. } => Ok(TokenValue::from_dec(value)?),
        Amount::Xrp(_) => Err(PoolError::Other),
    }
}

/// A slot whose end is written in a way that is not known has no discount here: everybody pays the whole fee then, which takes
/// nothing from the pool's price.
fn slot(slot: Slot) -> Result<Option<AuctionSlot>, PoolError> {
    let time = chrono::DateTime::parse_from_str(&slot.expiration, "%Y-%m-%dT%H:%M:%S%.f%z");
    let Some(expiration) = time.ok().and_then(|time| LedgerTime::from_unix_s(time.timestamp())) else {
        tracing::warn!(
            expiration = slot.expiration,
            "the end of the pool's auction slot cannot be read; its discount is left out"
        );
        return Ok(None);
    };
    Ok(Some(AuctionSlot {
        account: slot.account,
        auth_accounts: slot.auth_accounts.into_iter().map(|named| named.account).collect(),
        discounted_fee: slot.discounted_fee,
        expiration,
        price: tokens(slot.price)?,
    }))
}

#[cfg(test)]
mod tests;
