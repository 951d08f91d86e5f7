//! The ledger's state: accounts, trust lines, offers, pools and tickets, with a journal that can take any change back.
//!
//! Everything is in ordered maps, so that the same transactions give the same state, digest and metadata everywhere.
//! A change writes the entry's former value into the journal; rolling back to a mark undoes what came after it, and
//! the metadata of a transaction is read off the journal as well. Costs depend on what is touched, not on the size.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::{Address, Asset, Currency, Hash, LedgerTime, Token};
use serde::{Deserialize, Serialize};

use crate::amm::{Amm, AssetPair};
use crate::amount::{Quality, TokenValue, Value};

/// AccountRoot flag: the free change of its key was used.
pub const LSF_PASSWORD_SPENT: u32 = 0x0001_0000;
/// AccountRoot flag: payments to it need a destination tag.
pub const LSF_REQUIRE_DEST_TAG: u32 = 0x0002_0000;
/// AccountRoot flag: it would rather not get XRP; clients heed it, the ledger does not.
pub const LSF_DISALLOW_XRP: u32 = 0x0008_0000;
/// AccountRoot flag: it gave up freezing single lines and ending a global freeze.
pub const LSF_NO_FREEZE: u32 = 0x0020_0000;
/// AccountRoot flag: nobody may offer it NFTs.
pub const LSF_DISALLOW_INCOMING_NFTOKEN_OFFER: u32 = 0x0400_0000;
/// AccountRoot flag: nobody may write it checks.
pub const LSF_DISALLOW_INCOMING_CHECK: u32 = 0x0800_0000;
/// AccountRoot flag: nobody may open payment channels to it.
pub const LSF_DISALLOW_INCOMING_PAY_CHAN: u32 = 0x1000_0000;
/// AccountRoot flag: nobody may open trust lines to it.
pub const LSF_DISALLOW_INCOMING_TRUSTLINE: u32 = 0x2000_0000;
/// AccountRoot flag: its tokens may be held in escrow.
pub const LSF_ALLOW_TRUST_LINE_LOCKING: u32 = 0x4000_0000;
/// AccountRoot flag: the master key cannot sign.
pub const LSF_DISABLE_MASTER: u32 = 0x0010_0000;
/// AccountRoot flag: only accounts it approved may pay it.
pub const LSF_DEPOSIT_AUTH: u32 = 0x0100_0000;
/// AccountRoot flag: holders of its tokens need its approval.
pub const LSF_REQUIRE_AUTH: u32 = 0x0004_0000;
/// AccountRoot flag: it can take its tokens back.
pub const LSF_ALLOW_CLAWBACK: u32 = 0x8000_0000;
/// RippleState flag: the low account approved the high one as a holder.
pub const LSF_LOW_AUTH: u32 = 0x0004_0000;
/// RippleState flag: the high account approved the low one as a holder.
pub const LSF_HIGH_AUTH: u32 = 0x0008_0000;
/// RippleState flag: one side is a pool's account.
pub const LSF_AMM_NODE: u32 = 0x0100_0000;
/// AccountRoot flag: tokens of this issuer ripple by default (its lines need no NoRipple).
pub const LSF_DEFAULT_RIPPLE: u32 = 0x0080_0000;
/// AccountRoot flag: everything this issuer issued is frozen.
pub const LSF_GLOBAL_FREEZE: u32 = 0x0040_0000;
/// Offer flag: placed with tfPassive.
pub const LSF_PASSIVE: u32 = 0x0001_0000;
/// Offer flag: placed with tfSell.
pub const LSF_SELL: u32 = 0x0002_0000;
/// RippleState flag: the low account pays reserve for the line.
pub const LSF_LOW_RESERVE: u32 = 0x0001_0000;
/// RippleState flag: the high account pays reserve for the line.
pub const LSF_HIGH_RESERVE: u32 = 0x0002_0000;
/// RippleState flag: the low account lets nothing ripple through.
pub const LSF_LOW_NO_RIPPLE: u32 = 0x0010_0000;
/// RippleState flag: the high account lets nothing ripple through.
pub const LSF_HIGH_NO_RIPPLE: u32 = 0x0020_0000;
/// RippleState flag: the low account froze the line.
pub const LSF_LOW_FREEZE: u32 = 0x0040_0000;
/// RippleState flag: the high account froze the line.
pub const LSF_HIGH_FREEZE: u32 = 0x0080_0000;

/// The transaction that last changed an entry, and its ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Hash of the transaction.
    pub txn: Hash,
    /// Index of its ledger.
    pub ledger_index: u32,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRoot {
    /// All its XRP, in drops.
    pub balance: i64,
    /// Sequence of its next transaction.
    pub sequence: u32,
    /// Entries it pays reserve for.
    pub owner_count: u32,
    /// `lsf...` flags.
    pub flags: u32,
    /// Significant digits of the rates of offers in its tokens; 0 is unset.
    pub tick_size: u8,
    /// What its tokens cost to move, in billionths; 0 is unset.
    pub transfer_rate: u32,
    /// The pool that this account stands for.
    #[serde(default)]
    pub amm_id: Option<Hash>,
    /// Tickets it holds.
    #[serde(default)]
    pub ticket_count: u32,
    /// What it says of itself and of its keys; `None` when nothing.
    #[serde(default)]
    pub details: Option<Box<AccountDetails>>,
    /// What last changed it.
    pub previous: Option<Thread>,
}

impl AccountRoot {
    /// Its details, empty when there are none.
    #[must_use]
    pub fn details(&self) -> AccountDetails {
        self.details.as_deref().cloned().unwrap_or_default()
    }

    /// Sets its details.
    pub fn set_details(&mut self, details: AccountDetails) {
        self.details = Some(Box::new(details)).filter(|details| **details != AccountDetails::default());
    }
}

/// What few accounts have: another key, and what is written on them. Texts are hex, as a node shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccountDetails {
    /// The account of the key that may sign beside the master key.
    pub regular_key: Option<Address>,
    /// Its last transaction, where it asked for this to be kept.
    pub account_txn_id: Option<Hash>,
    /// A domain.
    pub domain: Option<String>,
    /// MD5 of a mail address.
    pub email_hash: Option<String>,
    /// Key for encrypted messages.
    pub message_key: Option<String>,
    /// Any 256 bits.
    pub wallet_locator: Option<String>,
    /// Who may mint NFTs for it.
    pub nftoken_minter: Option<Address>,
}

/// A trust line's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineKey {
    /// The account with the lower id.
    pub low: Address,
    /// The account with the higher id.
    pub high: Address,
    /// The token's currency.
    pub currency: Currency,
}

impl LineKey {
    /// The line between two accounts.
    #[must_use]
    pub fn of(a: Address, b: Address, currency: Currency) -> LineKey {
        if a < b { LineKey { low: a, high: b, currency } } else { LineKey { low: b, high: a, currency } }
    }

    /// The other account of the line.
    #[must_use]
    pub fn peer_of(&self, account: Address) -> Address {
        if account == self.low { self.high } else { self.low }
    }
}

/// A trust line (RippleState).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustLine {
    /// What the low account holds; negative when it owes.
    pub balance: TokenValue,
    /// Most the low account accepts.
    pub low_limit: TokenValue,
    /// Most the high account accepts.
    pub high_limit: TokenValue,
    /// `lsf...` flags.
    pub flags: u32,
    /// What its sides charge.
    #[serde(default)]
    pub qualities: LineQualities,
    /// What last changed it.
    pub previous: Option<Thread>,
}

/// What the sides of a line charge for tokens that come in over it and that go out over it, in billionths; 0 is unset,
/// which is par.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineQualities {
    /// The low account, for what it gets.
    pub low_in: u32,
    /// The low account, for what it sends.
    pub low_out: u32,
    /// The high account, for what it gets.
    pub high_in: u32,
    /// The high account, for what it sends.
    pub high_out: u32,
}

impl LineQualities {
    /// One side's, in and out.
    #[must_use]
    pub const fn of_side(&self, low: bool) -> (u32, u32) {
        if low { (self.low_in, self.low_out) } else { (self.high_in, self.high_out) }
    }
}

/// An offer's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OfferKey {
    /// Its owner.
    pub account: Address,
    /// Sequence of the transaction that placed it.
    pub sequence: u32,
}

/// One side of a market: offers that pay one asset to get another, as their owners see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Book {
    /// What a taker pays.
    pub pays: Asset,
    /// What a taker gets.
    pub gets: Asset,
}

impl Book {
    /// The opposite side.
    #[must_use]
    pub const fn reversed(self) -> Book {
        Book { pays: self.gets, gets: self.pays }
    }
}

/// An offer in a book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The book it stands in.
    pub book: Book,
    /// What is left to pay for it.
    pub taker_pays: Value,
    /// What is left to get from it.
    pub taker_gets: Value,
    /// The quality it was placed at, which orders it for good.
    pub quality: Quality,
    /// Its place among offers of one quality: first in, first out.
    pub order: u64,
    /// `lsf...` flags.
    pub flags: u32,
    /// When it dies.
    pub expiration: Option<LedgerTime>,
    /// What last changed it.
    pub previous: Option<Thread>,
}

/// A ticket's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TicketKey {
    /// Its owner.
    pub account: Address,
    /// The sequence number that it sets aside.
    pub sequence: u32,
}

/// A ticket: a sequence number to be used later, in any order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// What last changed it.
    pub previous: Option<Thread>,
}

/// Names an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// An account.
    Account(Address),
    /// A trust line.
    Line(LineKey),
    /// An offer.
    Offer(OfferKey),
    /// A pool.
    Amm(AssetPair),
    /// A ticket.
    Ticket(TicketKey),
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// An account.
    Account(AccountRoot),
    /// A trust line.
    Line(TrustLine),
    /// An offer.
    Offer(Offer),
    /// A pool.
    Amm(Amm),
    /// A ticket.
    Ticket(Ticket),
}

/// A point in the journal to come back to; the default is its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(usize);

/// The state of a ledger.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "StateImage", into = "StateImage")]
pub struct State {
    accounts: BTreeMap<Address, AccountRoot>,
    lines: BTreeMap<LineKey, TrustLine>,
    offers: BTreeMap<OfferKey, Offer>,
    tickets: BTreeMap<TicketKey, Ticket>,
    amms: BTreeMap<AssetPair, Amm>,
    pools: BTreeMap<Address, AssetPair>,
    books: BTreeMap<Book, BTreeMap<(Quality, u64), OfferKey>>,
    lines_of: BTreeMap<Address, BTreeSet<LineKey>>,
    next_order: u64,
    journal: Vec<(Key, Option<Entry>)>,
}

/// What of a [`State`] is written down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct StateImage {
    accounts: Vec<(Address, AccountRoot)>,
    lines: Vec<(LineKey, TrustLine)>,
    offers: Vec<(OfferKey, Offer)>,
    #[serde(default)]
    amms: Vec<(AssetPair, Amm)>,
    #[serde(default)]
    tickets: Vec<(TicketKey, Ticket)>,
    next_order: u64,
}

impl From<StateImage> for State {
    fn from(image: StateImage) -> State {
        let mut state = State { next_order: image.next_order, ..State::default() };
        for (key, account) in image.accounts {
            state.place(Key::Account(key), Some(Entry::Account(account)));
        }
        for (key, line) in image.lines {
            state.place(Key::Line(key), Some(Entry::Line(line)));
        }
        for (key, offer) in image.offers {
            state.place(Key::Offer(key), Some(Entry::Offer(offer)));
        }
        for (key, amm) in image.amms {
            state.place(Key::Amm(key), Some(Entry::Amm(amm)));
        }
        for (key, ticket) in image.tickets {
            state.place(Key::Ticket(key), Some(Entry::Ticket(ticket)));
        }
        state
    }
}

impl From<State> for StateImage {
    fn from(state: State) -> StateImage {
        StateImage {
            accounts: state.accounts.into_iter().collect(),
            lines: state.lines.into_iter().collect(),
            offers: state.offers.into_iter().collect(),
            amms: state.amms.into_iter().collect(),
            tickets: state.tickets.into_iter().collect(),
            next_order: state.next_order,
        }
    }
}

impl State {
    /// An account.
    #[must_use]
    pub fn account(&self, address: Address) -> Option<&AccountRoot> {
        self.accounts.get(&address)
    }

    /// A trust line.
    #[must_use]
    pub fn line(&self, key: LineKey) -> Option<&TrustLine> {
        self.lines.get(&key)
    }

    /// An offer.
    #[must_use]
    pub fn offer(&self, key: OfferKey) -> Option<&Offer> {
        self.offers.get(&key)
    }

    /// A pool.
    #[must_use]
    pub fn amm(&self, pair: AssetPair) -> Option<&Amm> {
        self.amms.get(&pair)
    }

    /// The pool that an account stands for, with its assets.
    #[must_use]
    pub fn amm_of(&self, account: Address) -> Option<(AssetPair, &Amm)> {
        let pair = *self.pools.get(&account)?;
        Some((pair, self.amms.get(&pair)?))
    }

    /// All pools, by their assets.
    pub fn amms(&self) -> impl Iterator<Item = (AssetPair, &Amm)> {
        self.amms.iter().map(|(pair, amm)| (*pair, amm))
    }

    /// All tickets, by owner and sequence.
    pub fn tickets(&self) -> impl Iterator<Item = (TicketKey, &Ticket)> {
        self.tickets.iter().map(|(key, ticket)| (*key, ticket))
    }

    /// A ticket.
    #[must_use]
    pub fn ticket(&self, key: TicketKey) -> Option<&Ticket> {
        self.tickets.get(&key)
    }

    /// An account's tickets, by sequence.
    pub fn tickets_of(&self, account: Address) -> impl Iterator<Item = (TicketKey, &Ticket)> {
        let first = TicketKey { account, sequence: 0 };
        let last = TicketKey { account, sequence: u32::MAX };
        self.tickets.range(first..=last).map(|(key, ticket)| (*key, ticket))
    }

    /// True when the account has a trust line (of either side), an offer or a ticket.
    #[must_use]
    pub fn owns_anything(&self, account: Address) -> bool {
        self.lines_of(account).next().is_some()
            || self.offers_of(account).next().is_some()
            || self.tickets_of(account).next().is_some()
    }

    /// All accounts, by id.
    pub fn accounts(&self) -> impl Iterator<Item = (Address, &AccountRoot)> {
        self.accounts.iter().map(|(address, account)| (*address, account))
    }

    /// All trust lines, by key.
    pub fn lines(&self) -> impl Iterator<Item = (LineKey, &TrustLine)> {
        self.lines.iter().map(|(key, line)| (*key, line))
    }

    /// All offers, by owner and sequence.
    pub fn offers(&self) -> impl Iterator<Item = (OfferKey, &Offer)> {
        self.offers.iter().map(|(key, offer)| (*key, offer))
    }

    /// An account's trust lines, by key.
    pub fn lines_of(&self, account: Address) -> impl Iterator<Item = (LineKey, &TrustLine)> {
        self.lines_of.get(&account).into_iter().flatten().filter_map(|key| Some((*key, self.lines.get(key)?)))
    }

    /// An account's offers, by sequence.
    pub fn offers_of(&self, account: Address) -> impl Iterator<Item = (OfferKey, &Offer)> {
        let first = OfferKey { account, sequence: 0 };
        let last = OfferKey { account, sequence: u32::MAX };
        self.offers.range(first..=last).map(|(key, offer)| (*key, offer))
    }

    /// A book's offers, best first, first in first out at one quality.
    pub fn book(&self, book: Book) -> impl Iterator<Item = (OfferKey, &Offer)> {
        self.books.get(&book).into_iter().flatten().filter_map(|(_, key)| Some((*key, self.offers.get(key)?)))
    }

    /// The first offer of a book.
    #[must_use]
    pub fn best(&self, book: Book) -> Option<(OfferKey, &Offer)> {
        self.book(book).next()
    }

    /// What a holder has of a token, from his side of the line; negative when he owes it.
    #[must_use]
    pub fn token_balance(&self, holder: Address, token: Token) -> TokenValue {
        let key = LineKey::of(holder, token.issuer, token.currency);
        match self.lines.get(&key) {
            Some(line) if holder == key.low => line.balance,
            Some(line) => line.balance.neg(),
            None => TokenValue::ZERO,
        }
    }

    /// The place of the next offer in its quality's queue.
    pub fn take_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    /// Leaves so many places of every queue free.
    pub(crate) fn skip_orders(&mut self, places: u64) {
        self.next_order = self.next_order.saturating_add(places);
    }

    /// Writes or removes an entry; the former one goes to the journal.
    pub fn put(&mut self, key: Key, entry: Option<Entry>) {
        let former = self.place(key, entry);
        self.journal.push((key, former));
    }

    /// Writes an account.
    pub fn put_account(&mut self, address: Address, account: AccountRoot) {
        self.put(Key::Account(address), Some(Entry::Account(account)));
    }

    /// Writes a trust line.
    pub fn put_line(&mut self, key: LineKey, line: TrustLine) {
        self.put(Key::Line(key), Some(Entry::Line(line)));
    }

    /// Writes an offer.
    pub fn put_offer(&mut self, key: OfferKey, offer: Offer) {
        self.put(Key::Offer(key), Some(Entry::Offer(offer)));
    }

    /// Writes a pool.
    pub fn put_amm(&mut self, pair: AssetPair, amm: Amm) {
        self.put(Key::Amm(pair), Some(Entry::Amm(amm)));
    }

    /// Where the journal stands.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.journal.len())
    }

    /// Takes back everything since the mark.
    pub fn roll_back(&mut self, mark: Mark) {
        while self.journal.len() > mark.0 {
            if let Some((key, former)) = self.journal.pop() {
                self.place(key, former);
            }
        }
    }

    /// Entries written since the mark.
    #[must_use]
    pub fn touched(&self, since: Mark) -> BTreeSet<Key> {
        self.journal.iter().skip(since.0).map(|(key, _)| *key).collect()
    }

    /// Every write since the mark with the value it replaced, oldest first.
    pub fn writes(&self, since: Mark) -> impl DoubleEndedIterator<Item = &(Key, Option<Entry>)> {
        self.journal.iter().skip(since.0)
    }

    /// Entries written since the mark, each with its value at the mark.
    #[must_use]
    pub fn formers(&self, since: Mark) -> BTreeMap<Key, &Option<Entry>> {
        // The first write of an entry replaced what it was; collecting in reverse, that one stays.
        self.writes(since).rev().map(|(key, former)| (*key, former)).collect()
    }

    /// All entries, by kind and key.
    pub fn entries(&self) -> impl Iterator<Item = (Key, Entry)> {
        let accounts = self.accounts.keys().map(|key| Key::Account(*key));
        let lines = self.lines.keys().map(|key| Key::Line(*key));
        let offers = self.offers.keys().map(|key| Key::Offer(*key));
        let amms = self.amms.keys().map(|key| Key::Amm(*key));
        let tickets = self.tickets.keys().map(|key| Key::Ticket(*key));
        let keys = accounts.chain(lines).chain(offers).chain(amms).chain(tickets);
        keys.filter_map(|key| Some((key, self.entry(key)?)))
    }

    /// An entry as it was at the mark.
    #[must_use]
    pub fn entry_at(&self, mark: Mark, key: Key) -> Option<Entry> {
        match self.writes(mark).find(|(written, _)| *written == key) {
            Some((_, former)) => former.clone(),
            None => self.entry(key),
        }
    }

    /// An entry as it is.
    #[must_use]
    pub fn entry(&self, key: Key) -> Option<Entry> {
        match key {
            Key::Account(address) => self.accounts.get(&address).cloned().map(Entry::Account),
            Key::Line(line) => self.lines.get(&line).cloned().map(Entry::Line),
            Key::Offer(offer) => self.offers.get(&offer).cloned().map(Entry::Offer),
            Key::Amm(pair) => self.amms.get(&pair).cloned().map(Entry::Amm),
            Key::Ticket(ticket) => self.tickets.get(&ticket).cloned().map(Entry::Ticket),
        }
    }

    /// Forgets the journal: what is done can no longer be taken back.
    pub fn commit(&mut self) {
        self.journal.clear();
    }

    /// The same, with what would have taken it back: every write with the value it replaced, oldest first.
    pub(crate) fn commit_with_journal(&mut self) -> Vec<(Key, Option<Entry>)> {
        std::mem::take(&mut self.journal)
    }

    /// Takes back what [`State::commit_with_journal`] gave.
    pub(crate) fn take_back(&mut self, journal: &[(Key, Option<Entry>)]) {
        for (key, former) in journal.iter().rev() {
            self.place(*key, former.clone());
        }
    }

    /// Makes these entries equal to another state's, and forgets the journal.
    pub fn copy_from(&mut self, other: &State, keys: &BTreeSet<Key>) {
        for key in keys {
            self.place(*key, other.entry(*key));
        }
        self.next_order = other.next_order;
        self.journal.clear();
    }

    fn place(&mut self, key: Key, entry: Option<Entry>) -> Option<Entry> {
        match (key, entry) {
            (Key::Account(address), Some(Entry::Account(account))) => {
                self.accounts.insert(address, account).map(Entry::Account)
            }
            (Key::Account(address), _) => self.accounts.remove(&address).map(Entry::Account),
            (Key::Line(line_key), Some(Entry::Line(line))) => {
                for account in [line_key.low, line_key.high] {
                    self.lines_of.entry(account).or_default().insert(line_key);
                }
                self.lines.insert(line_key, line).map(Entry::Line)
            }
            (Key::Line(line_key), _) => {
                for account in [line_key.low, line_key.high] {
                    if let Some(lines) = self.lines_of.get_mut(&account) {
                        lines.remove(&line_key);
                    }
                }
                self.lines.remove(&line_key).map(Entry::Line)
            }
            (Key::Offer(offer_key), Some(Entry::Offer(offer))) => {
                // An offer that only shrinks keeps its place in the book.
                if let Some(known) = self.offers.get_mut(&offer_key)
                    && (known.book, known.quality, known.order) == (offer.book, offer.quality, offer.order)
                {
                    return Some(Entry::Offer(std::mem::replace(known, offer)));
                }
                let former = self.unbook(offer_key);
                self.books.entry(offer.book).or_default().insert((offer.quality, offer.order), offer_key);
                self.offers.insert(offer_key, offer);
                former.map(Entry::Offer)
            }
            (Key::Offer(offer_key), _) => self.unbook(offer_key).map(Entry::Offer),
            (Key::Ticket(ticket_key), Some(Entry::Ticket(ticket))) => {
                self.tickets.insert(ticket_key, ticket).map(Entry::Ticket)
            }
            (Key::Ticket(ticket_key), _) => self.tickets.remove(&ticket_key).map(Entry::Ticket),
            (Key::Amm(pair), entry) => {
                let former = self.amms.remove(&pair);
                if let Some(former) = &former {
                    self.pools.remove(&former.account);
                }
                if let Some(Entry::Amm(amm)) = entry {
                    self.pools.insert(amm.account, pair);
                    self.amms.insert(pair, amm);
                }
                former.map(Entry::Amm)
            }
        }
    }

    fn unbook(&mut self, key: OfferKey) -> Option<Offer> {
        let offer = self.offers.remove(&key)?;
        if let Some(book) = self.books.get_mut(&offer.book) {
            book.remove(&(offer.quality, offer.order));
            if book.is_empty() {
                self.books.remove(&offer.book);
            }
        }
        Some(offer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(balance: i64) -> AccountRoot {
        AccountRoot { balance, sequence: 1, ..AccountRoot::default() }
    }

    fn offer(quality: u64, order: u64) -> Offer {
        let token = Token { currency: Currency::RLUSD, issuer: Address([9; 20]) };
        Offer {
            book: Book { pays: Asset::Token(token), gets: Asset::Xrp },
            taker_pays: Value::Token(TokenValue::SMALLEST),
            taker_gets: Value::Drops(1),
            quality: Quality(quality),
            order,
            flags: 0,
            expiration: None,
            previous: None,
        }
    }

    #[test]
    fn rolling_back_restores_every_entry_and_the_books() {
        let mut state = State::default();
        let (a, key) = (Address([1; 20]), |sequence| OfferKey { account: Address([1; 20]), sequence });
        state.put_account(a, account(5));
        state.put_offer(key(1), offer(10, 1));
        let before = serde_json::to_string(&state).unwrap();
        let mark = state.mark();
        state.put_account(a, account(7));
        state.put_offer(key(2), offer(9, 2));
        state.put(Key::Offer(key(1)), None);
        state.put_account(a, account(8));
        assert_eq!(state.best(offer(9, 2).book).map(|(key, _)| key), Some(key(2)));
        assert_eq!(state.entry_at(mark, Key::Account(a)), Some(Entry::Account(account(5))));
        state.roll_back(mark);
        assert_eq!(serde_json::to_string(&state).unwrap(), before);
        assert_eq!(state.best(offer(9, 2).book).map(|(key, _)| key), Some(key(1)));
        assert_eq!(state.book(offer(9, 2).book).count(), 1);
    }

    #[test]
    fn a_book_is_ordered_by_quality_then_by_arrival() {
        let mut state = State::default();
        for (sequence, quality) in [(1, 30), (2, 20), (3, 20), (4, 10)] {
            let order = state.take_order();
            state.put_offer(OfferKey { account: Address([1; 20]), sequence }, offer(quality, order));
        }
        let order: Vec<u32> = state.book(offer(0, 0).book).map(|(key, _)| key.sequence).collect();
        assert_eq!(order, [4, 2, 3, 1]);
        let restored: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        let again: Vec<u32> = restored.book(offer(0, 0).book).map(|(key, _)| key.sequence).collect();
        assert_eq!(again, order);
    }
}
