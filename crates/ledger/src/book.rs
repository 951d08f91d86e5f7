//! The order book of one token against XRP, offer by offer, kept up with metadata.
//!
//! The automated market maker is not in it. Offers of one price keep their order of arrival only roughly: a view merges
//! them anyway.

use std::collections::{BTreeMap, HashMap};

use neo_market::{AmountError, BookLevel, Dec, Drops, MarketView, Rounding, Side};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ProtocolError, from_value};
use crate::message::ValidatedTransaction;
use crate::meta::{Action, Entry, Node};
use crate::own::{price, side_of, xrp_and_token};
use crate::types::{Address, Amount, Hash, LedgerTime, Token, offer_index};

mod passed;

/// Digits of a price.
const PRICE_DIGITS: usize = 16;
const WHAT: &str = "book_offers";

/// Both sides of the book of a token against XRP, of all owners.
#[derive(Clone, Debug)]
pub struct Book {
    token: Token,
    own: Address,
    /// The ledger of the snapshot: transactions up to it are in it already.
    ledger_index: u32,
    /// Next number of arrival.
    arrivals: u64,
    offers: HashMap<Hash, (Side, Key)>,
    bids: BTreeMap<Key, Offer>,
    asks: BTreeMap<Key, Offer>,
    /// What owners can deliver, as far as the node told.
    funds: HashMap<(Address, Side), Funds>,
    /// What a trade passed over is left out.
    doubts: bool,
}

/// Place in a side: the ledger's rate (smaller is better for the taker), then arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    rate: u64,
    arrival: u64,
}

#[derive(Clone, Copy, Debug)]
struct Offer {
    owner: Address,
    price: Dec,
    xrp: Drops,
    token: Dec,
    expiration: Option<LedgerTime>,
}

/// What an owner can deliver on a side: XRP for asks, the token for bids.
#[derive(Clone, Copy, Debug)]
enum Funds {
    Xrp(Drops),
    Token(Dec),
}

/// An offer as `book_offers` lists it.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "Account")]
    account: Address,
    #[serde(rename = "Sequence")]
    sequence: u32,
    #[serde(rename = "TakerGets")]
    taker_gets: Amount,
    #[serde(rename = "TakerPays")]
    taker_pays: Amount,
    #[serde(rename = "BookDirectory")]
    book_directory: Option<Hash>,
    #[serde(rename = "Expiration")]
    expiration: Option<LedgerTime>,
    owner_funds: Option<String>,
    taker_gets_funded: Option<Amount>,
}

impl Book {
    /// An empty book; `own` is the account whose offers a view leaves out.
    #[must_use]
    pub fn new(token: Token, own: Address) -> Book {
        Book {
            token,
            own,
            ledger_index: 0,
            arrivals: 0,
            offers: HashMap::new(),
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            funds: HashMap::new(),
            doubts: false,
        }
    }

    /// The number of offers on both sides, ours and unfunded ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offers.len()
    }

    /// True when both sides are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }

    /// Starts again from the `offers` of two `book_offers` answers of the same validated ledger, best first.
    ///
    /// `asks` sell XRP (`TakerGets` is XRP), `bids` sell the token. On an error the book is left as it was.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name, also for an offer of another book.
    pub fn reset(&mut self, ledger_index: u32, asks: &[Value], bids: &[Value]) -> Result<(), ProtocolError> {
        let mut fresh = Book { ledger_index, doubts: self.doubts, ..Book::new(self.token, self.own) };
        for (side, offers) in [(Side::Ask, asks), (Side::Bid, bids)] {
            let listed = offers.iter().map(|offer| from_value(offer, WHAT)).collect::<Result<Vec<Listed>, _>>()?;
            let deliverable =
                deliverable(side, &listed).map_err(|e| wrong_offer("taker_gets_funded", e.to_string()))?;
            for offer in listed {
                fresh.list(side, offer)?;
            }
            fresh.funds.extend(deliverable);
        }
        *self = fresh;
        Ok(())
    }

    fn list(&mut self, side: Side, listed: Listed) -> Result<(), ProtocolError> {
        let wrong = wrong_offer;
        if side_of(&listed.taker_gets, &listed.taker_pays, self.token) != Some(side) {
            let reason = format!("the offer is not an {} of {} against XRP", side.as_str(), self.token);
            return Err(wrong("TakerGets", reason));
        }
        let owner = listed.account;
        if let Some(funds) = &listed.owner_funds {
            let funds = match side {
                Side::Ask => crate::types::parse_drops(funds).map(Funds::Xrp),
                Side::Bid => crate::types::parse_token_value(funds).map(Funds::Token),
            };
            // Given with an owner's best offer only.
            self.funds.entry((owner, side)).or_insert(funds.map_err(|e| wrong("owner_funds", e.to_string()))?);
        }
        let index = offer_index(owner, listed.sequence);
        let amounts = (listed.taker_gets, listed.taker_pays);
        let put = self.put(side, index, owner, amounts, listed.book_directory, listed.expiration);
        put.map_err(|e| wrong("TakerGets", e.to_string()))
    }

    /// Takes in what a validated transaction did to the book's offers and to the funds of their owners.
    ///
    /// Transactions of the snapshot's ledger or before are passed over, so that none counts twice.
    ///
    /// # Errors
    /// [`ProtocolError`] when an offer of this book lacks a field or its amounts are absurd.
    pub fn apply(&mut self, tx: &ValidatedTransaction) -> Result<(), ProtocolError> {
        if tx.ledger_index <= self.ledger_index {
            return Ok(());
        }
        let taken = self.worst_taken(tx);
        for node in &tx.meta.nodes {
            match node.entry {
                Entry::Offer => self.apply_offer(node)?,
                Entry::AccountRoot | Entry::RippleState => {
                    self.apply_funds(node).map_err(|e| wrong_node("Balance", &e))?;
                }
                _ => {}
            }
        }
        self.leave_out_passed(tx, &taken);
        Ok(())
    }

    fn apply_offer(&mut self, node: &Node) -> Result<(), ProtocolError> {
        if node.action == Action::Deleted {
            self.remove(node.index);
            return Ok(());
        }
        let (Some(gets), Some(pays)) = (node.fields.taker_gets, node.fields.taker_pays) else {
            // An entry without its fields did not change; one of a multi-purpose token is of another book.
            return Ok(());
        };
        let Some(side) = side_of(&gets, &pays, self.token) else { return Ok(()) };
        if let Some(offer) = self.offer_mut(node.index) {
            if let Some((xrp, token)) = xrp_and_token(&gets, &pays) {
                (offer.xrp, offer.token) = (xrp, token);
            }
            return Ok(());
        }
        let missing = || ProtocolError::Missing { what: "metadata", field: "Account".to_string() };
        let owner = node.fields.account.ok_or_else(missing)?;
        let (directory, expiration) = (node.fields.book_directory, node.fields.expiration);
        self.put(side, node.index, owner, (gets, pays), directory, expiration).map_err(|e| wrong_node("TakerGets", &e))
    }

    /// Moves what is known of an owner's funds by the change of its balance.
    fn apply_funds(&mut self, node: &Node) -> Result<(), AmountError> {
        if let (Some(account), Some((now, Some(before)))) = (node.fields.account, node.account_drops()) {
            if let Some(Funds::Xrp(funds)) = self.funds.get_mut(&(account, Side::Ask)) {
                *funds = funds.add(now.sub(before)?)?;
            }
            return Ok(());
        }
        let Some((low, high)) = node.line() else { return Ok(()) };
        let holder = if low == self.token.issuer { high } else { low };
        if let Some(line) = node.line_balance(holder, self.token)
            && let Some(funds) = self.funds.get_mut(&(holder, Side::Bid))
        {
            *funds = Funds::Token(line.now.max(Dec::zero()));
        }
        Ok(())
    }

    fn side_mut(&mut self, side: Side) -> &mut BTreeMap<Key, Offer> {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }

    fn offer_mut(&mut self, index: Hash) -> Option<&mut Offer> {
        let (side, key) = *self.offers.get(&index)?;
        self.side_mut(side).get_mut(&key)
    }

    fn remove(&mut self, index: Hash) {
        if let Some((side, key)) = self.offers.remove(&index) {
            self.side_mut(side).remove(&key);
        }
    }

    fn put(
        &mut self,
        side: Side,
        index: Hash,
        owner: Address,
        (gets, pays): (Amount, Amount),
        directory: Option<Hash>,
        expiration: Option<LedgerTime>,
    ) -> Result<(), AmountError> {
        let Some((xrp, token)) = xrp_and_token(&gets, &pays) else { return Ok(()) };
        // An offer trades at the rate of its directory, set when it was placed: what is left of it after rounded
        // fills only comes near. Without a directory the amounts have to do.
        let rate = directory.map(rate_of).filter(|rate| rate & MANTISSA_BITS != 0);
        let price = match rate {
            Some(rate) => price_of_rate(side, rate)?,
            None => match price(xrp, token)? {
                Some(price) if !price.is_zero() => price,
                // Nothing left on a side: it cannot trade.
                _ => return Ok(()),
            },
        };
        let rate = match rate {
            Some(rate) => rate,
            None => rate_of_price(side, price)?,
        };
        self.remove(index);
        let key = Key { rate, arrival: self.arrivals };
        self.arrivals = self.arrivals.saturating_add(1);
        self.offers.insert(index, (side, key));
        self.side_mut(side).insert(key, Offer { owner, price, xrp, token, expiration });
        Ok(())
    }

    /// The book as it can be traded at `ledger_index`, at most `depth` levels a side; the pool and the last trade are not
    /// the book's to know.
    ///
    /// Left out are our own offers, those that expire at `now` (the close time of the last validated ledger) or
    /// before, what owners cannot deliver, and levels of less than `dust` XRP. Prices have 16 digits.
    ///
    /// # Errors
    /// [`AmountError`] when a level's sum is absurd.
    pub fn view(
        &self,
        ledger_index: u32,
        depth: usize,
        now: LedgerTime,
        dust: Drops,
    ) -> Result<MarketView, AmountError> {
        Ok(MarketView {
            ledger_index,
            bids: self.levels(Side::Bid, depth, now, dust)?,
            asks: self.levels(Side::Ask, depth, now, dust)?,
            ..MarketView::default()
        })
    }

    fn levels(&self, side: Side, depth: usize, now: LedgerTime, dust: Drops) -> Result<Vec<BookLevel>, AmountError> {
        let offers = match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        };
        let mut levels: Vec<BookLevel> = Vec::new();
        // What is left of each owner's funds after its better offers.
        let mut left: HashMap<Address, Funds> = HashMap::new();
        for offer in offers.values() {
            if offer.owner == self.own || offer.expiration.is_some_and(|at| at <= now) {
                continue;
            }
            let same_price = levels.last().is_some_and(|level| level.price == offer.price);
            if !same_price {
                drop_dust(&mut levels, dust);
                if levels.len() == depth {
                    return Ok(levels);
                }
            }
            let funds = left.get(&offer.owner).or_else(|| self.funds.get(&(offer.owner, side))).copied();
            let (size, rest) = funded(offer, funds)?;
            if let Some(rest) = rest {
                left.insert(offer.owner, rest);
            }
            if size.get() <= 0 {
                continue;
            }
            match levels.last_mut() {
                Some(level) if level.price == offer.price => level.size = level.size.add(size)?,
                _ => levels.push(BookLevel { price: offer.price, size }),
            }
        }
        drop_dust(&mut levels, dust);
        levels.truncate(depth);
        Ok(levels)
    }
}

fn wrong_offer(field: &str, reason: String) -> ProtocolError {
    ProtocolError::Wrong { what: WHAT, field: field.to_string(), reason }
}

/// What owners can deliver of whom the node says that an offer is not funded in full: the sum of what it says is funded.
///
/// It is less than the owner's balance where the issuer takes a transfer fee, which the owner pays beside.
fn deliverable(side: Side, listed: &[Listed]) -> Result<HashMap<(Address, Side), Funds>, AmountError> {
    let mut all: HashMap<(Address, Side), Funds> = HashMap::new();
    let partly = listed.iter().filter(|offer| offer.taker_gets_funded.is_some()).map(|offer| offer.account);
    let partly: std::collections::HashSet<Address> = partly.collect();
    for offer in listed.iter().filter(|offer| partly.contains(&offer.account)) {
        let sum = match (offer.taker_gets_funded.unwrap_or(offer.taker_gets), all.get(&(offer.account, side))) {
            (Amount::Xrp(more), Some(Funds::Xrp(so_far))) => Funds::Xrp(so_far.add(more)?),
            (Amount::Token { value: more, .. }, Some(Funds::Token(so_far))) => Funds::Token(so_far.add(more)?),
            (Amount::Xrp(more), _) => Funds::Xrp(more),
            (Amount::Token { value: more, .. }, _) => Funds::Token(more),
        };
        all.insert((offer.account, side), sum);
    }
    Ok(all)
}

fn drop_dust(levels: &mut Vec<BookLevel>, dust: Drops) {
    if levels.last().is_some_and(|level| level.size < dust) {
        levels.pop();
    }
}

fn wrong_node(field: &str, e: &AmountError) -> ProtocolError {
    ProtocolError::Wrong { what: "metadata", field: field.to_string(), reason: e.to_string() }
}

/// The XRP that an offer can trade with its owner's funds, and what is left of them.
fn funded(offer: &Offer, funds: Option<Funds>) -> Result<(Drops, Option<Funds>), AmountError> {
    match funds {
        None => Ok((offer.xrp, None)),
        Some(Funds::Xrp(funds)) => {
            let size = offer.xrp.min(funds).max(Drops::ZERO);
            Ok((size, Some(Funds::Xrp(funds.sub(size)?))))
        }
        Some(Funds::Token(funds)) if funds >= offer.token => {
            Ok((offer.xrp, Some(Funds::Token(funds.sub(offer.token)?))))
        }
        Some(Funds::Token(funds)) => {
            let size = Drops::from_xrp(funds.max(Dec::zero()).div(offer.price, Rounding::Down)?, Rounding::Down)?;
            Ok((size.min(offer.xrp), Some(Funds::Token(Dec::zero()))))
        }
    }
}

/// Mantissa of a rate; the exponent plus 100 is in the byte above (rippled, `getRate`).
const MANTISSA_BITS: u64 = (1 << 56) - 1;
const RATE_EXPONENT_OFFSET: i32 = 100;

/// The rate that a book directory ends with: `TakerPays` for `TakerGets`, XRP in drops.
fn rate_of(directory: Hash) -> u64 {
    directory.0.iter().skip(24).fold(0, |rate, byte| rate << 8 | u64::from(*byte))
}

/// Token for one XRP from a rate.
fn price_of_rate(side: Side, rate: u64) -> Result<Dec, AmountError> {
    let overflow = || AmountError::Overflow { operation: "reading a rate" };
    let mantissa = i64::try_from(rate & MANTISSA_BITS).map_err(|_| overflow())?;
    let exponent = i32::try_from(rate >> 56).map_err(|_| overflow())? - RATE_EXPONENT_OFFSET;
    let rate = Dec::from_parts(mantissa, exponent)?;
    let drops = Dec::from_i64(neo_market::amount::DROPS_PER_XRP);
    let price = match side {
        Side::Ask => rate.mul(drops, Rounding::HalfEven)?,
        Side::Bid => drops.div(rate, Rounding::HalfEven)?,
    };
    price.round_digits(PRICE_DIGITS, Rounding::HalfEven)
}

/// The rate of a price, for sorting offers whose directory is not known.
fn rate_of_price(side: Side, price: Dec) -> Result<u64, AmountError> {
    let overflow = || AmountError::Overflow { operation: "making a rate" };
    let drops = Dec::from_i64(neo_market::amount::DROPS_PER_XRP);
    let rate = match side {
        Side::Ask => price.div(drops, Rounding::HalfEven)?,
        Side::Bid => drops.div(price, Rounding::HalfEven)?,
    };
    let (mantissa, exponent) = rate.round_digits(PRICE_DIGITS, Rounding::HalfEven)?.to_ledger_parts()?;
    let mantissa = u64::try_from(mantissa).map_err(|_| overflow())?;
    let exponent = u8::try_from(exponent + RATE_EXPONENT_OFFSET).map_err(|_| overflow())?;
    Ok(u64::from(exponent) << 56 | mantissa)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Currency;
    use serde_json::json;

    const OWN: Address = Address([1; 20]);
    const A: Address = Address([2; 20]);
    const B: Address = Address([4; 20]);
    const TOKEN: Token = Token { currency: Currency::RLUSD, issuer: Address([3; 20]) };

    fn rlusd(value: &str) -> Value {
        json!({"currency": TOKEN.currency, "issuer": TOKEN.issuer, "value": value})
    }

    fn ask(owner: Address, sequence: u32, xrp: &str, token: &str, funds: Option<&str>) -> Value {
        let (owner, id) = (owner.to_string(), sequence);
        json!({"Account": owner, "Sequence": id, "TakerGets": xrp, "TakerPays": rlusd(token), "owner_funds": funds})
    }

    fn bid(owner: Address, sequence: u32, token: &str, xrp: &str, funds: Option<&str>) -> Value {
        let (owner, id) = (owner.to_string(), sequence);
        json!({"Account": owner, "Sequence": id, "TakerGets": rlusd(token), "TakerPays": xrp, "owner_funds": funds})
    }

    fn tx(ledger_index: u32, nodes: &[Value]) -> ValidatedTransaction {
        let entry = json!({"validated": true, "hash": "0A".repeat(32), "ledger_index": ledger_index,
            "tx_json": {"Account": A, "TransactionType": "OfferCreate", "Sequence": 1, "Fee": "10"},
            "meta": {"TransactionIndex": 0, "TransactionResult": "tesSUCCESS", "AffectedNodes": nodes}});
        ValidatedTransaction::from_account_tx(&entry).unwrap()
    }

    fn node(action: &str, offer: &Value) -> Value {
        let index = offer_index(
            offer["Account"].as_str().unwrap().parse().unwrap(),
            u32::try_from(offer["Sequence"].as_u64().unwrap()).unwrap(),
        );
        let of = if action == "CreatedNode" { "NewFields" } else { "FinalFields" };
        json!({action: {"LedgerEntryType": "Offer", "LedgerIndex": index, of: offer}})
    }

    fn levels(book: &Book, side: Side) -> Vec<(String, i64)> {
        let view = book.view(1, 10, LedgerTime(100), Drops::new(1)).unwrap();
        let levels = if side == Side::Bid { view.bids } else { view.asks };
        levels.iter().map(|level| (level.price.to_string(), level.size.get())).collect()
    }

    fn book(asks: &[Value], bids: &[Value]) -> Book {
        let mut book = Book::new(TOKEN, OWN);
        book.reset(10, asks, bids).unwrap();
        book
    }

    #[test]
    fn funds_go_to_an_owners_best_offers_first() {
        let asks = [
            ask(A, 1, "1000000", "2", Some("1500000")),
            ask(B, 1, "1000000", "2", None),
            ask(A, 2, "1000000", "3", None),
            ask(A, 3, "1000000", "4", None),
        ];
        assert_eq!(levels(&book(&asks, &[]), Side::Ask), [("2".into(), 2_000_000), ("3".into(), 500_000)]);
        let bids = [bid(A, 1, "4", "2000000", Some("5")), bid(A, 2, "4", "4000000", None)];
        assert_eq!(levels(&book(&[], &bids), Side::Bid), [("2".into(), 2_000_000), ("1".into(), 1_000_000)]);
    }

    #[test]
    fn own_expired_and_dusty_offers_are_left_out() {
        let mut expired = ask(A, 1, "1000000", "2", None);
        expired["Expiration"] = json!(100);
        let mut alive = ask(A, 2, "1000000", "2.5", None);
        alive["Expiration"] = json!(101);
        let book = book(&[expired, ask(OWN, 1, "9", "1", None), alive, ask(B, 1, "7", "0.00002", None)], &[]);
        assert_eq!(book.len(), 4);
        let view = book.view(1, 10, LedgerTime(100), Drops::new(8)).unwrap();
        assert_eq!(view.asks, [BookLevel { price: "2.5".parse().unwrap(), size: Drops::new(1_000_000) }]);
        assert_eq!(book.view(1, 0, LedgerTime(0), Drops::ZERO).unwrap().asks, []);
        assert_eq!(book.view(1, 1, LedgerTime(0), Drops::ZERO).unwrap().asks.len(), 1);
    }

    #[test]
    fn metadata_keeps_the_book_up() {
        let mut book = book(&[ask(A, 1, "1000000", "2", None)], &[bid(B, 1, "1", "1000000", None)]);
        let created = ask(B, 2, "3000000", "5.7", None);
        book.apply(&tx(10, &[node("CreatedNode", &created)])).unwrap();
        assert_eq!(book.len(), 2, "a transaction of the snapshot's ledger counts once");
        book.apply(&tx(11, &[node("CreatedNode", &created)])).unwrap();
        assert_eq!(levels(&book, Side::Ask), [("1.9".into(), 3_000_000), ("2".into(), 1_000_000)]);
        // Amounts left by rounded fills do not move the price.
        let left = ask(B, 2, "1000001", "1.9000001", None);
        book.apply(&tx(12, &[node("ModifiedNode", &left), node("DeletedNode", &bid(B, 1, "0", "0", None))])).unwrap();
        assert_eq!(levels(&book, Side::Ask), [("1.9".into(), 1_000_001), ("2".into(), 1_000_000)]);
        assert_eq!(levels(&book, Side::Bid), []);
        book.apply(&tx(13, &[node("DeletedNode", &left)])).unwrap();
        assert_eq!(levels(&book, Side::Ask), [("2".into(), 1_000_000)]);
    }

    #[test]
    fn funds_follow_the_owners_balance() {
        let mut book = book(&[ask(A, 1, "1000000", "2", Some("600000"))], &[]);
        let root = json!({"ModifiedNode": {"LedgerEntryType": "AccountRoot", "LedgerIndex": "00".repeat(32),
            "FinalFields": {"Account": A, "Balance": "500"}, "PreviousFields": {"Balance": "200500"}}});
        book.apply(&tx(11, &[root])).unwrap();
        assert_eq!(levels(&book, Side::Ask), [("2".into(), 400_000)]);
    }

    #[test]
    fn a_directory_tells_the_exact_price() {
        // Rate 0.00000204: mantissa 2.04e15, exponent -21.
        let directory = "B1ACF68E41F6FF33716913E623E058A220CB62E4A6E187F84F073F5E83578000";
        let mut offer = ask(A, 1, "19999999", "40.799998", None);
        offer["BookDirectory"] = json!(directory);
        assert_eq!(levels(&book(&[offer], &[]), Side::Ask), [("2.04".into(), 19_999_999)]);
    }

    #[test]
    fn offers_of_another_book_or_without_fields_are_refused() {
        let mut book = Book::new(TOKEN, OWN);
        let mut nameless = ask(A, 1, "1", "1", None);
        nameless.as_object_mut().unwrap().remove("Account");
        assert!(book.reset(1, &[nameless], &[]).unwrap_err().to_string().contains("Account"));
        assert!(book.reset(1, &[bid(A, 1, "1", "1", None)], &[]).is_err());
        let absurd = ask(A, 1, "1", "1", Some("-5"));
        assert!(book.reset(1, &[absurd], &[]).unwrap_err().to_string().contains("owner_funds"));
    }
}
