//! What metadata and `book_offers` say of the pair's offers and of its pool.

use neo_ledger::error::ProtocolError;
use neo_ledger::message::ValidatedTransaction;
use neo_ledger::meta::{Action, Entry, LSF_AMM_NODE, Node};
use neo_ledger::{Address, Amount, Asset, Hash, LedgerTime, Token};
use neo_market::{AmountError, Dec, Side};
use serde_json::Value as Json;

use crate::amount::{InOut, Quality, TokenValue, Value};
use crate::state::{Book, OfferKey};

/// What is left of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// XRP, in drops.
    pub xrp: i64,
    /// Of the token.
    pub token: TokenValue,
}

/// A real offer as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its owner and sequence.
    pub key: OfferKey,
    /// Its side: asks sell XRP.
    pub side: Side,
    /// The quality that it was placed at.
    pub quality: Quality,
    /// What is left.
    pub sizes: Sizes,
    /// `lsf...` flags.
    pub flags: u32,
    /// When it dies.
    pub expiration: Option<LedgerTime>,
}

/// An offer that a transaction touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The offer at the end of the transaction; for one that is gone, just before it went.
    pub offer: Standing,
    /// What was left before; `None` for a new one.
    pub before: Option<Sizes>,
    /// True when it is gone.
    pub gone: bool,
}

impl Touched {
    /// What stands afterwards.
    #[must_use]
    pub fn after(&self) -> Option<Sizes> {
        Some(self.offer.sizes).filter(|sizes| !self.gone && sizes.xrp > 0)
    }

    /// The XRP that was traded, in drops.
    #[must_use]
    pub fn traded(&self) -> i64 {
        self.before.map_or(0, |before| before.xrp.saturating_sub(self.offer.sizes.xrp)).max(0)
    }
}

/// What a pool held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserves {
    /// XRP, in drops.
    pub xrp: i64,
    /// Of the token.
    pub token: TokenValue,
}

/// What a pool gave or took, at its average price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The side of the offers that it stood in for: an ask where it gave XRP.
    pub side: Side,
    /// The quality of its average price.
    pub quality: Quality,
    /// XRP, in drops.
    pub xrp: i64,
    /// What the pool held before: its price of each drop follows from that. `None` where the average is all that is known.
    pub before: Option<Reserves>,
}

/// The book of a side.
#[must_use]
pub const fn book_of(side: Side, token: Token) -> Book {
    match side {
        Side::Ask => Book { pays: Asset::Token(token), gets: Asset::Xrp },
        Side::Bid => Book { pays: Asset::Xrp, gets: Asset::Token(token) },
    }
}

/// The two values of an offer of a side, what the taker gets first.
#[must_use]
pub const fn values_of(side: Side, sizes: Sizes) -> (Value, Value) {
    match side {
        Side::Ask => (Value::Drops(sizes.xrp), Value::Token(sizes.token)),
        Side::Bid => (Value::Token(sizes.token), Value::Drops(sizes.xrp)),
    }
}

/// The quality at which so much XRP of a side is exchanged for so much of the token.
#[must_use]
pub fn quality_of(side: Side, sizes: Sizes) -> Quality {
    let (output, input) = values_of(side, sizes);
    Quality::of(InOut { input, output })
}

fn sizes_of(gets: &Amount, pays: &Amount, token: Token) -> Result<Option<(Side, Sizes)>, AmountError> {
    let (side, xrp, amount) = match (gets, pays) {
        (Amount::Xrp(xrp), amount @ Amount::Token { .. }) => (Side::Ask, xrp, amount),
        (amount @ Amount::Token { .. }, Amount::Xrp(xrp)) => (Side::Bid, xrp, amount),
        _ => return Ok(None),
    };
    let Some(value) = amount.value_of(token) else { return Ok(None) };
    Ok(Some((side, Sizes { xrp: xrp.get(), token: TokenValue::from_dec(value)? })))
}

/// The last eight bytes of an offer's page are its rate.
fn quality_at(directory: Option<Hash>) -> Option<Quality> {
    let bytes = directory?.0;
    let rate = bytes.iter().skip(24).fold(0_u64, |rate, byte| rate << 8 | u64::from(*byte));
    Some(Quality(rate)).filter(|quality| !quality.rate().is_zero())
}

/// The pair's offers that a transaction touched.
///
/// # Errors
/// An amount that a ledger cannot hold.
pub fn touched(tx: &ValidatedTransaction, token: Token) -> Result<Vec<Touched>, AmountError> {
    let mut all = Vec::new();
    for node in tx.meta.nodes.iter().filter(|node| node.entry == Entry::Offer) {
        all.extend(touched_node(node, token)?);
    }
    Ok(all)
}

fn touched_node(node: &Node, token: Token) -> Result<Option<Touched>, AmountError> {
    let fields = &node.fields;
    let (Some(gets), Some(pays)) = (&fields.taker_gets, &fields.taker_pays) else { return Ok(None) };
    let Some((side, sizes)) = sizes_of(gets, pays, token)? else { return Ok(None) };
    let (Some(account), Some(sequence)) = (fields.account, fields.sequence) else { return Ok(None) };
    let previous = &node.previous;
    let before = (previous.taker_gets.as_ref().unwrap_or(gets), previous.taker_pays.as_ref().unwrap_or(pays));
    let before = match node.action {
        Action::Created => None,
        Action::Modified | Action::Deleted => sizes_of(before.0, before.1, token)?.map(|(_, sizes)| sizes),
    };
    let quality = quality_at(fields.book_directory).unwrap_or_else(|| quality_of(side, before.unwrap_or(sizes)));
    let key = OfferKey { account, sequence };
    let (flags, expiration) = (fields.flags.unwrap_or(0), fields.expiration);
    let offer = Standing { key, side, quality, sizes, flags, expiration };
    Ok(Some(Touched { offer, before, gone: node.action == Action::Deleted }))
}

/// What the pair's pool gave or took, where a transaction traded with it.
///
/// # Errors
/// An amount that a ledger cannot hold.
pub fn pool_share(tx: &ValidatedTransaction, token: Token) -> Result<Option<Share>, AmountError> {
    for node in tx.meta.nodes.iter().filter(|node| node.entry == Entry::RippleState) {
        let Some((low, high)) = node.line().filter(|(low, high)| [*low, *high].contains(&token.issuer)) else {
            continue;
        };
        if node.fields.flags.unwrap_or(0) & LSF_AMM_NODE == 0 {
            continue;
        }
        let pool = if low == token.issuer { high } else { low };
        let Some(line) = node.line_balance(pool, token) else { continue };
        let (Some(before), Some((now_xrp, Some(before_xrp)))) = (line.before, root_of(tx, pool)) else { continue };
        let (gained, gave) = (line.now.sub(before)?, before_xrp.saturating_sub(now_xrp));
        let before = Reserves { xrp: before_xrp, token: TokenValue::from_dec(before)? };
        return share(gave, gained, before);
    }
    Ok(None)
}

fn root_of(tx: &ValidatedTransaction, account: Address) -> Option<(i64, Option<i64>)> {
    let (now, before) = tx.meta.root(account)?.account_drops()?;
    Some((now.get(), before.map(neo_market::Drops::get)))
}

/// A trade moves one in and the other out; deposits and withdrawals do not.
fn share(gave_xrp: i64, gained: Dec, before: Reserves) -> Result<Option<Share>, AmountError> {
    let side = match (gave_xrp.signum(), gained.is_positive(), gained.is_negative()) {
        (1, true, _) => Side::Ask,
        (-1, _, true) => Side::Bid,
        _ => return Ok(None),
    };
    let token = TokenValue::from_dec(if gained.is_negative() { Dec::zero().sub(gained)? } else { gained })?;
    let sizes = Sizes { xrp: gave_xrp.saturating_abs(), token };
    Ok(Some(Share { side, quality: quality_of(side, sizes), xrp: sizes.xrp, before: Some(before) }))
}

/// The offers of a `book_offers` answer, best first, as far as their owners can honour them.
///
/// # Errors
/// [`ProtocolError`] with the field's name.
pub fn listed(offers: &[Json], side: Side, token: Token) -> Result<Vec<Standing>, ProtocolError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Row {
        account: Address,
        sequence: u32,
        taker_gets: Amount,
        taker_pays: Amount,
        book_directory: Option<Hash>,
        #[serde(default)]
        flags: u32,
        expiration: Option<LedgerTime>,
        #[serde(rename = "taker_gets_funded")]
        gets_funded: Option<Amount>,
        #[serde(rename = "taker_pays_funded")]
        pays_funded: Option<Amount>,
    }
    let wrong =
        |field: &str, reason: String| ProtocolError::Wrong { what: "book_offers", field: field.to_string(), reason };
    let mut all = Vec::new();
    for offer in offers {
        let row =
            <Row as serde::Deserialize>::deserialize(offer).map_err(|error| wrong("offers", error.to_string()))?;
        let whole = sizes_of(&row.taker_gets, &row.taker_pays, token);
        let gets = row.gets_funded.unwrap_or(row.taker_gets);
        let funded = sizes_of(&gets, &row.pays_funded.unwrap_or(row.taker_pays), token);
        let (Some((found, whole)), Some((_, sizes))) = (
            whole.map_err(|error| wrong("TakerGets", error.to_string()))?,
            funded.map_err(|error| wrong("taker_gets_funded", error.to_string()))?,
        ) else {
            return Err(wrong("TakerGets", "it is of another book".to_string()));
        };
        if found != side {
            return Err(wrong("TakerGets", "it is of the other side".to_string()));
        }
        if sizes.xrp <= 0 || sizes.token.is_zero() {
            continue;
        }
        all.push(Standing {
            key: OfferKey { account: row.account, sequence: row.sequence },
            side,
            quality: quality_at(row.book_directory).unwrap_or_else(|| quality_of(side, whole)),
            sizes,
            flags: row.flags,
            expiration: row.expiration,
        });
    }
    Ok(all)
}
