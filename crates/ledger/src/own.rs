//! What a validated transaction means for our account: balance changes, fills, and what became of our offers.
//!
//! A fill is what the balances say. The amounts in offer entries tell which offer was hit, and share out the balance
//! change where one transaction hit several; where they contradict the balances (a transfer fee, a payment in the same
//! transaction) they stand, and the rest of the balance change is left to the caller as a residual.

use neo_market::{AmountError, Dec, Drops, Rounding, Side};
use thiserror::Error;

use crate::message::ValidatedTransaction;
use crate::meta::{Action, Entry, Node};
use crate::types::{Address, Amount, Hash, LedgerTime, Token};

/// Digits of a fill's price.
const PRICE_DIGITS: usize = 16;
/// Relative difference between offer entries and balances that rounding explains.
const ROUNDING: (i64, i32) = (1, -9);
/// The same relative to the balance itself, which has 16 digits.
const BALANCE_ROUNDING: (i64, i32) = (1, -15);

/// Why metadata could not be read for our account.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MetaError {
    /// An entry of ours lacks a field.
    #[error("transaction {hash}: our {entry} entry {index} has no field {field}; read the ledger's state instead")]
    Missing {
        /// The transaction.
        hash: Hash,
        /// The type of the entry.
        entry: &'static str,
        /// The entry.
        index: Hash,
        /// The field.
        field: &'static str,
    },
    /// An amount that cannot be.
    #[error("transaction {hash}: {source}; read the ledger's state instead")]
    Amount {
        /// The transaction.
        hash: Hash,
        /// What is wrong.
        source: AmountError,
    },
}

/// A validated transaction as our account sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnTransaction {
    /// Its hash.
    pub hash: Hash,
    /// The ledger that holds it.
    pub ledger_index: u32,
    /// Its place in that ledger.
    pub transaction_index: u32,
    /// True when we sent it.
    pub ours: bool,
    /// When that ledger closed, where the node said so with the transaction.
    pub close_time: Option<LedgerTime>,
    /// The transaction type, such as `OfferCreate`.
    pub kind: String,
    /// Its sequence, or its ticket when it used one.
    pub sequence: u32,
    /// Its field `OfferSequence`.
    pub offer_sequence: Option<u32>,
    /// The fee we paid; zero unless it is ours.
    pub fee: Drops,
    /// Its result code.
    pub result: String,
    /// Change of our XRP, fee included.
    pub xrp_change: Drops,
    /// Change of our balance of the token.
    pub token_change: Dec,
    /// Our account afterwards, as far as the transaction touched it.
    pub after: AccountAfter,
    /// Trades of our offers.
    pub fills: Vec<FilledOffer>,
    /// Our offers of the pair that were placed, changed or removed.
    pub offers: Vec<OfferChange>,
}

/// State of our account after a transaction; `None` where the transaction did not touch it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountAfter {
    /// XRP balance.
    pub xrp: Option<Drops>,
    /// Next sequence number.
    pub account_sequence: Option<u32>,
    /// Objects that reserve is paid for.
    pub owner_count: Option<u32>,
    /// Token balance.
    pub token: Option<Dec>,
}

/// A trade of one of our offers. Amounts are positive; the side says which way they went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilledOffer {
    /// The offer.
    pub offer_sequence: u32,
    /// True when our own transaction took other offers.
    pub taker: bool,
    /// `Bid` when we bought XRP.
    pub side: Side,
    /// XRP traded.
    pub xrp: Drops,
    /// Token traded.
    pub token: Dec,
    /// Token for one XRP, 16 digits.
    pub price: Dec,
}

/// What became of an offer of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferChange {
    /// The offer.
    pub sequence: u32,
    /// What it sells after this, or still sold when it was removed.
    pub taker_gets: Amount,
    /// What it buys after this, or still bought when it was removed.
    pub taker_pays: Amount,
    /// Its side.
    pub side: Side,
    /// What happened.
    pub kind: OfferChangeKind,
}

/// What happened to an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferChangeKind {
    /// It rests now.
    Created,
    /// It was partly filled.
    Modified,
    /// It is gone.
    Removed(Removal),
}

/// Why an offer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Filled to the end.
    Filled,
    /// By our OfferCancel.
    Cancelled,
    /// By our OfferCreate that named it.
    Replaced,
    /// Its time had come, and a transaction met it.
    Expired,
    /// Its funds were gone or its rest too small, and a transaction met it.
    Unfunded,
    /// Our own new offer would have crossed it.
    SelfCrossed,
    /// Anything else.
    Other,
}

/// Reads what a transaction did to `account` in XRP and `token`; `None` when it did nothing to either.
///
/// `parent_close_time` is when the ledger before the transaction's closed: it decides between expired and unfunded.
/// Without it the close time of the transaction's own ledger is used if known.
///
/// # Errors
/// [`MetaError`] when an entry of ours is incomplete or its amounts are absurd.
pub fn own_transaction(
    tx: &ValidatedTransaction,
    account: Address,
    token: Token,
    parent_close_time: Option<LedgerTime>,
) -> Result<Option<OwnTransaction>, MetaError> {
    let reader = Reader { tx, account, token, parent_close_time, ours: tx.account == account };
    reader.read().map_err(|problem| match problem {
        Problem::Meta(e) => e,
        Problem::Amount(source) => MetaError::Amount { hash: tx.hash, source },
    })
}

enum Problem {
    Meta(MetaError),
    Amount(AmountError),
}

impl From<AmountError> for Problem {
    fn from(e: AmountError) -> Problem {
        Problem::Amount(e)
    }
}

struct Reader<'a> {
    tx: &'a ValidatedTransaction,
    account: Address,
    token: Token,
    parent_close_time: Option<LedgerTime>,
    ours: bool,
}

/// What an offer entry says was traded, positive and before the balances are asked.
struct NodeFill {
    sequence: u32,
    side: Side,
    xrp: Drops,
    token: Dec,
    /// Token for one XRP by the offer's own amounts, for fills too small to have a price.
    rate: Dec,
}

#[derive(Default)]
struct Balances {
    xrp_change: Drops,
    token_change: Dec,
    /// The larger of the token balances before and after: its last digit bounds the rounding.
    token_scale: Dec,
    after: AccountAfter,
    touched: bool,
}

impl Reader<'_> {
    fn read(&self) -> Result<Option<OwnTransaction>, Problem> {
        let balances = self.balances()?;
        let (mut offers, mut node_fills) = (Vec::new(), Vec::new());
        for node in self.tx.meta.nodes.iter().filter(|n| n.entry == Entry::Offer) {
            if node.fields.account == Some(self.account)
                && let Some(change) = self.offer_change(node, &mut node_fills)?
            {
                offers.push(change);
            }
        }
        if !self.ours && !balances.touched && offers.is_empty() {
            return Ok(None);
        }
        let fills = if self.tx.meta.succeeded() { self.fills(&balances, &node_fills)? } else { Vec::new() };
        Ok(Some(OwnTransaction {
            hash: self.tx.hash,
            ledger_index: self.tx.ledger_index,
            transaction_index: self.tx.transaction_index,
            ours: self.ours,
            close_time: self.tx.close_time,
            kind: self.tx.kind.clone(),
            sequence: self.tx.sequence,
            offer_sequence: self.tx.offer_sequence,
            fee: self.fee(),
            result: self.tx.result.clone(),
            xrp_change: balances.xrp_change,
            token_change: balances.token_change,
            after: balances.after,
            fills,
            offers,
        }))
    }

    fn fee(&self) -> Drops {
        if self.ours { self.tx.fee } else { Drops::ZERO }
    }

    fn balances(&self) -> Result<Balances, Problem> {
        let mut all = Balances::default();
        for node in &self.tx.meta.nodes {
            if let Some((now, before)) = node.account_drops().filter(|_| node.fields.account == Some(self.account)) {
                all.touched = true;
                all.after.xrp = Some(now);
                all.after.account_sequence = node.fields.sequence;
                // A created account's count is left out when it is zero.
                all.after.owner_count = node.fields.owner_count.or((node.action == Action::Created).then_some(0));
                if let Some(before) = before {
                    all.xrp_change = all.xrp_change.add(now.sub(before)?)?;
                }
            } else if let Some(line) = node.line_balance(self.account, self.token) {
                all.touched = true;
                all.after.token = Some(line.now);
                if let Some(before) = line.before {
                    all.token_change = all.token_change.add(line.now.sub(before)?)?;
                    all.token_scale = all.token_scale.max(line.now.abs()).max(before.abs());
                }
            }
        }
        Ok(all)
    }

    fn missing(&self, node: &Node, field: &'static str) -> Problem {
        Problem::Meta(MetaError::Missing { hash: self.tx.hash, entry: "Offer", index: node.index, field })
    }

    /// The change of one of our offers; `None` when it is of another pair or nothing of it changed.
    fn offer_change(&self, node: &Node, fills: &mut Vec<NodeFill>) -> Result<Option<OfferChange>, Problem> {
        let taker_gets = match node.fields.taker_gets {
            Some(amount) => amount,
            // Offers of multi-purpose tokens have amounts of another kind; they are of another pair.
            None if node.fields.taker_pays.is_some() => return Ok(None),
            None => return Err(self.missing(node, "TakerGets")),
        };
        let Some(taker_pays) = node.fields.taker_pays else { return Ok(None) };
        let Some(side) = side_of(&taker_gets, &taker_pays, self.token) else { return Ok(None) };
        let sequence = node.fields.sequence.ok_or_else(|| self.missing(node, "Sequence"))?;
        let fill = node_fill(node, sequence, side, &taker_gets, &taker_pays)?;
        let filled = fill.is_some();
        let changed = node.previous.taker_gets.is_some() || node.previous.taker_pays.is_some();
        fills.extend(fill);
        let kind = match node.action {
            Action::Created => OfferChangeKind::Created,
            Action::Modified if changed => OfferChangeKind::Modified,
            Action::Modified => return Ok(None),
            Action::Deleted => OfferChangeKind::Removed(self.removal(node, sequence, filled, &taker_gets, &taker_pays)),
        };
        Ok(Some(OfferChange { sequence, taker_gets, taker_pays, side, kind }))
    }

    fn removal(&self, node: &Node, sequence: u32, filled: bool, gets: &Amount, pays: &Amount) -> Removal {
        if filled {
            // A remainder on both sides died with the fill: its funds were gone or it was too small to stand.
            return if gets.is_zero() || pays.is_zero() { Removal::Filled } else { Removal::Unfunded };
        }
        let named = self.ours && self.tx.offer_sequence == Some(sequence);
        let succeeded = self.tx.meta.succeeded();
        match self.tx.kind.as_str() {
            "OfferCancel" if named && succeeded => return Removal::Cancelled,
            "OfferCreate" if named && succeeded => return Removal::Replaced,
            "OfferCreate" | "Payment" => {}
            _ if self.ours => return Removal::Other,
            _ => {}
        }
        // An offer is dead when its expiration is not after the parent's close (xrpl.org, "Offer Expiration").
        let closed = self.parent_close_time.or(self.tx.close_time);
        if let Some(expiration) = node.fields.expiration {
            match closed {
                Some(closed) if expiration <= closed => return Removal::Expired,
                Some(_) => {}
                None if !self.ours => return Removal::Other,
                None => {}
            }
        }
        if self.ours && succeeded && self.tx.kind == "OfferCreate" { Removal::SelfCrossed } else { Removal::Unfunded }
    }

    fn fills(&self, balances: &Balances, nodes: &[NodeFill]) -> Result<Vec<FilledOffer>, Problem> {
        // What the balances say was traded, signed: received is positive.
        let xrp = balances.xrp_change.add(self.fee())?;
        let token = balances.token_change;
        let (mut xrp_rest, mut token_rest) = (xrp, token);
        let mut fills = Vec::with_capacity(nodes.len() + 1);
        for node in nodes {
            let (x, t) = signed(node.side, node.xrp, node.token);
            xrp_rest = xrp_rest.sub(x)?;
            token_rest = token_rest.sub(t)?;
            fills.push(node.fill(node.xrp, node.token)?);
        }
        if self.ours && self.tx.kind == "OfferCreate" {
            fills.extend(self.taker_fill(xrp_rest, token_rest)?);
            return Ok(fills);
        }
        let (Some(last), Some(node)) = (fills.last_mut(), nodes.last()) else { return Ok(fills) };
        // The last offer takes what is left over by rounding, so that fills and balance change agree to the digit.
        // XRP moves in whole drops: a difference there is not rounding, so the entries stand.
        let count = i64::try_from(nodes.len()).unwrap_or(i64::MAX);
        if xrp_rest.get() == 0 && token_rest.abs() <= token_tolerance(balances, nodes, count)? {
            let (_, token) = signed(node.side, node.xrp, node.token);
            let (_, token) = signed(node.side, node.xrp, token.add(token_rest)?);
            if !token.is_negative() {
                *last = node.fill(node.xrp, token)?;
            }
        }
        Ok(fills)
    }

    /// What our own OfferCreate took: what the balances say beyond our resting offers that it hit.
    fn taker_fill(&self, xrp: Drops, token: Dec) -> Result<Option<FilledOffer>, Problem> {
        let side = match (xrp.get().signum(), token.is_positive(), token.is_negative()) {
            (1, _, true) => Side::Bid,
            (-1, true, _) => Side::Ask,
            // Nothing traded, or another pair: the balances then move in one asset only.
            _ => return Ok(None),
        };
        let (xrp, token) = signed(side, xrp, token);
        let price = price(xrp, token)?.unwrap_or_default();
        Ok(Some(FilledOffer { offer_sequence: self.tx.sequence, taker: true, side, xrp, token, price }))
    }
}

/// Turns positive amounts of a trade into balance changes, and back.
fn signed(side: Side, xrp: Drops, token: Dec) -> (Drops, Dec) {
    match side {
        Side::Bid => (xrp, token.neg()),
        Side::Ask => (Drops::new(xrp.get().saturating_neg()), token),
    }
}

/// How far offer entries and balances may differ by rounding alone.
fn token_tolerance(balances: &Balances, nodes: &[NodeFill], count: i64) -> Result<Dec, AmountError> {
    let mut traded = Dec::zero();
    for node in nodes {
        traded = traded.add(node.token)?;
    }
    let relative = traded.mul(Dec::from_parts(ROUNDING.0, ROUNDING.1)?, Rounding::Up)?;
    let scale = balances.token_scale.mul(Dec::from_parts(BALANCE_ROUNDING.0, BALANCE_ROUNDING.1)?, Rounding::Up)?;
    Ok(relative.max(scale.mul(Dec::from_i64(count.saturating_add(1)), Rounding::Up)?))
}

/// The side of an offer of XRP against the token; `None` for other pairs.
#[must_use]
pub fn side_of(taker_gets: &Amount, taker_pays: &Amount, token: Token) -> Option<Side> {
    match (taker_gets, taker_pays) {
        (Amount::Xrp(_), Amount::Token { token: t, .. }) if *t == token => Some(Side::Ask),
        (Amount::Token { token: t, .. }, Amount::Xrp(_)) if *t == token => Some(Side::Bid),
        _ => None,
    }
}

/// The XRP and the token value of an offer's two amounts; `None` when it is not one of each.
#[must_use]
pub fn xrp_and_token(taker_gets: &Amount, taker_pays: &Amount) -> Option<(Drops, Dec)> {
    match (taker_gets, taker_pays) {
        (Amount::Xrp(xrp), Amount::Token { value, .. }) | (Amount::Token { value, .. }, Amount::Xrp(xrp)) => {
            Some((*xrp, *value))
        }
        _ => None,
    }
}

/// Token for one XRP, rounded to 16 digits; `None` for no XRP.
///
/// # Errors
/// [`AmountError`] when the quotient is out of range.
pub fn price(xrp: Drops, token: Dec) -> Result<Option<Dec>, AmountError> {
    if xrp.get() == 0 {
        return Ok(None);
    }
    let exact = token.div(xrp.to_xrp()?, Rounding::HalfEven)?;
    exact.round_digits(PRICE_DIGITS, Rounding::HalfEven).map(Some)
}

fn node_fill(
    node: &Node,
    sequence: u32,
    side: Side,
    gets: &Amount,
    pays: &Amount,
) -> Result<Option<NodeFill>, AmountError> {
    let before = (node.previous.taker_gets.unwrap_or(*gets), node.previous.taker_pays.unwrap_or(*pays));
    let Some((xrp, token)) = node_trade(node, gets, pays)? else { return Ok(None) };
    let Some((xrp_before, token_before)) = xrp_and_token(&before.0, &before.1) else { return Ok(None) };
    let rate = price(xrp_before, token_before)?.unwrap_or_default();
    Ok(Some(NodeFill { sequence, side, xrp, token, rate }))
}

/// The XRP and the token that an offer's entry lost to a trade; `None` where it lost none.
pub(crate) fn node_trade(node: &Node, gets: &Amount, pays: &Amount) -> Result<Option<(Drops, Dec)>, AmountError> {
    // Only what changed is listed: an absent side did not change.
    let before_gets = node.previous.taker_gets.unwrap_or(*gets);
    let before_pays = node.previous.taker_pays.unwrap_or(*pays);
    let (Some((xrp, token)), Some((xrp_before, token_before))) =
        (xrp_and_token(gets, pays), xrp_and_token(&before_gets, &before_pays))
    else {
        return Ok(None);
    };
    let (xrp, token) = (xrp_before.sub(xrp)?, token_before.sub(token)?);
    let grew = xrp.get() < 0 || token.is_negative();
    if node.action == Action::Created || grew || (xrp.get() == 0 && token.is_zero()) {
        return Ok(None);
    }
    Ok(Some((xrp, token)))
}

impl NodeFill {
    fn fill(&self, xrp: Drops, token: Dec) -> Result<FilledOffer, AmountError> {
        let price = price(xrp, token)?.filter(|p| !p.is_zero()).unwrap_or(self.rate);
        Ok(FilledOffer { offer_sequence: self.sequence, taker: false, side: self.side, xrp, token, price })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Currency, offer_index};
    use serde_json::{Value, json};

    const US: Address = Address([1; 20]);
    const THEM: Address = Address([2; 20]);
    const TOKEN: Token = Token { currency: Currency::RLUSD, issuer: Address([3; 20]) };

    fn rlusd(value: &str) -> Value {
        json!({"currency": TOKEN.currency, "issuer": TOKEN.issuer, "value": value})
    }

    /// A balance change of our account: XRP in drops before and after.
    fn root(before: u64, after: u64) -> Value {
        json!({"ModifiedNode": {"LedgerEntryType": "AccountRoot", "LedgerIndex": "00".repeat(32),
            "FinalFields": {"Account": US, "Balance": after.to_string(), "Sequence": 9, "OwnerCount": 2},
            "PreviousFields": {"Balance": before.to_string()}}})
    }

    /// Our trust line; we are its low account.
    fn line(before: &str, after: &str) -> Value {
        let limit = |account: Address| json!({"currency": TOKEN.currency, "issuer": account, "value": "0"});
        json!({"ModifiedNode": {"LedgerEntryType": "RippleState", "LedgerIndex": "01".repeat(32),
            "FinalFields": {"Balance": rlusd(after), "LowLimit": limit(US), "HighLimit": limit(TOKEN.issuer)},
            "PreviousFields": {"Balance": rlusd(before)}}})
    }

    /// An ask of ours: what it still sells and buys, and what it did before when that changed.
    fn ask(action: &str, sequence: u32, now: (&str, &str), before: Option<(&str, &str)>) -> Value {
        let amounts = |(xrp, token): (&str, &str)| json!({"TakerGets": xrp, "TakerPays": rlusd(token)});
        let mut fields = amounts(now);
        fields["Account"] = json!(US);
        fields["Sequence"] = json!(sequence);
        fields["Expiration"] = json!(500);
        let of = if action == "CreatedNode" { "NewFields" } else { "FinalFields" };
        json!({action: {"LedgerEntryType": "Offer", "LedgerIndex": offer_index(US, sequence), of: fields,
            "PreviousFields": before.map_or(json!({}), amounts)}})
    }

    fn tx(
        sender: Address,
        kind: &str,
        offer_sequence: Option<u32>,
        result: &str,
        nodes: &[Value],
    ) -> ValidatedTransaction {
        let entry = json!({"validated": true, "hash": "0A".repeat(32), "ledger_index": 7,
            "tx_json": {"Account": sender, "TransactionType": kind, "Sequence": 40, "Fee": "10",
                "OfferSequence": offer_sequence},
            "meta": {"TransactionIndex": 0, "TransactionResult": result, "AffectedNodes": nodes}});
        ValidatedTransaction::from_account_tx(&entry).unwrap()
    }

    fn own(tx: &ValidatedTransaction, parent_close: u32) -> OwnTransaction {
        own_transaction(tx, US, TOKEN, Some(LedgerTime(parent_close))).unwrap().unwrap()
    }

    fn d(text: &str) -> Dec {
        text.parse().unwrap()
    }

    #[test]
    fn a_maker_fill_takes_the_last_digit_from_the_balance() {
        let nodes = [
            root(100_000_000, 96_000_000),
            line("1000000000", "1000000010.000001"),
            ask("DeletedNode", 5, ("0", "0"), Some(("2000000", "5"))),
            ask("ModifiedNode", 6, ("1000000", "2.5"), Some(("3000000", "7.5000004"))),
        ];
        let own = own(&tx(THEM, "OfferCreate", None, "tesSUCCESS", &nodes), 0);
        assert_eq!((own.xrp_change, own.token_change, own.fee), (Drops::new(-4_000_000), d("10.000001"), Drops::ZERO));
        let sequences: Vec<_> = own.fills.iter().map(|f| (f.offer_sequence, f.taker, f.xrp, f.token)).collect();
        let last = (6, false, Drops::new(2_000_000), d("5.000001"));
        assert_eq!(sequences, [(5, false, Drops::new(2_000_000), d("5")), last]);
        assert_eq!(own.offers[0].kind, OfferChangeKind::Removed(Removal::Filled));
        assert_eq!(own.offers[1].kind, OfferChangeKind::Modified);
        assert_eq!(own.after.account_sequence, Some(9));
    }

    #[test]
    fn a_transfer_fee_leaves_the_fill_and_a_residual() {
        let nodes = [
            root(100_000_000, 98_000_000),
            line("100", "104.9"),
            ask("ModifiedNode", 6, ("1000000", "2.5"), Some(("3000000", "7.5"))),
        ];
        let own = own(&tx(THEM, "Payment", None, "tesSUCCESS", &nodes), 0);
        assert_eq!((own.fills[0].token, own.token_change), (d("5"), d("4.9")));
    }

    #[test]
    fn our_own_taking_is_the_balance_change_without_the_fee() {
        let nodes =
            [root(100_000_000, 97_999_990), line("100", "105"), ask("CreatedNode", 40, ("1000000", "2.5"), None)];
        let own = own(&tx(US, "OfferCreate", None, "tesSUCCESS", &nodes), 0);
        assert_eq!((own.ours, own.fee), (true, Drops::new(10)));
        let fill = own.fills[0];
        assert_eq!((fill.offer_sequence, fill.taker, fill.side), (40, true, Side::Ask));
        assert_eq!((fill.xrp, fill.token, fill.price), (Drops::new(2_000_000), d("5"), d("2.5")));
        assert_eq!(own.offers[0].kind, OfferChangeKind::Created);
    }

    #[test]
    fn removals_are_told_apart() {
        let gone = |filled| ask("DeletedNode", 5, ("2000000", "5"), filled);
        let removal = |sender, kind: &str, named, result: &str, close, filled| {
            let tx = tx(sender, kind, named, result, &[gone(filled)]);
            let own = own(&tx, close);
            if result != "tesSUCCESS" {
                assert!(own.fills.is_empty());
            }
            own.offers[0].kind
        };
        let is = |removal| OfferChangeKind::Removed(removal);
        let (ok, killed) = ("tesSUCCESS", "tecKILLED");
        assert_eq!(removal(US, "OfferCancel", Some(5), ok, 0, None), is(Removal::Cancelled));
        assert_eq!(removal(US, "OfferCreate", Some(5), ok, 900, None), is(Removal::Replaced));
        assert_eq!(removal(US, "OfferCreate", Some(4), ok, 0, None), is(Removal::SelfCrossed));
        assert_eq!(removal(US, "OfferCreate", Some(4), ok, 500, None), is(Removal::Expired));
        // What a killed replace removed, it did not replace.
        assert_eq!(removal(US, "OfferCreate", Some(5), killed, 499, None), is(Removal::Unfunded));
        assert_eq!(removal(THEM, "OfferCreate", None, killed, 500, None), is(Removal::Expired));
        assert_eq!(removal(THEM, "OfferCreate", None, ok, 499, None), is(Removal::Unfunded));
        assert_eq!(removal(THEM, "Payment", None, ok, 0, Some(("3000000", "7.5"))), is(Removal::Unfunded));
        assert_eq!(removal(US, "AccountDelete", None, ok, 0, None), is(Removal::Other));
    }

    #[test]
    fn a_failed_transaction_costs_its_fee_only() {
        let own = own(&tx(US, "OfferCreate", None, "tecUNFUNDED_OFFER", &[root(100, 90)]), 0);
        assert_eq!((own.xrp_change, own.fee, own.fills.len()), (Drops::new(-10), Drops::new(10), 0));
        // Even where its metadata looks like a trade.
        let nodes = [root(100, 90), ask("ModifiedNode", 6, ("1", "2"), Some(("3", "6")))];
        assert_eq!(self::own(&tx(US, "OfferCreate", None, "tecKILLED", &nodes), 0).fills, []);
    }

    #[test]
    fn strangers_and_other_pairs_are_not_ours_and_broken_entries_are_named() {
        let nobody = tx(THEM, "OfferCreate", None, "tesSUCCESS", &[]);
        assert_eq!(own_transaction(&nobody, US, TOKEN, None).unwrap(), None);
        let mut node = ask("ModifiedNode", 5, ("1", "1"), None);
        node["ModifiedNode"]["FinalFields"]["TakerGets"] = json!({"currency": "USD", "issuer": THEM, "value": "1"});
        assert_eq!(own_transaction(&tx(THEM, "Payment", None, "tesSUCCESS", &[node]), US, TOKEN, None).unwrap(), None);
        let mut broken = ask("DeletedNode", 5, ("1", "1"), None);
        broken["DeletedNode"]["FinalFields"].as_object_mut().unwrap().remove("Sequence");
        let error = own_transaction(&tx(THEM, "Payment", None, "tesSUCCESS", &[broken]), US, TOKEN, None).unwrap_err();
        assert!(matches!(error, MetaError::Missing { field: "Sequence", .. }));
    }

    #[test]
    fn the_line_is_seen_from_our_side_when_we_are_high() {
        let mut node = line("-100", "-105");
        let fields = &mut node["ModifiedNode"]["FinalFields"];
        let (low, high) = (fields["LowLimit"].clone(), fields["HighLimit"].clone());
        (fields["LowLimit"], fields["HighLimit"]) = (high, low);
        let own = own(&tx(THEM, "Payment", None, "tesSUCCESS", &[node]), 0);
        assert_eq!((own.token_change, own.after.token), (d("5"), Some(d("105"))));
    }
}
