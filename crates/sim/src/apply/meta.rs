//! Metadata: what a transaction changed, read off the journal, and entries as JSON.
//!
//! Directory nodes are not kept by this ledger, so they are absent here; everything else is as rippled writes it:
//! `NewFields` without defaults, `PreviousFields` with what changed only, nodes ordered by their index, and the
//! transaction threaded through every entry it touched and through the owners of what it made or removed.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::{Address, Asset, Hash, Token};
use serde_json::{Map, Value as Json, json};

use super::Context;
use super::tx::Tx;
use crate::amm::{Amm, AssetPair, AuctionSlot};
use crate::amount::{TokenValue, Value};
use crate::keylet;
use crate::state::{
    AccountDetails, AccountRoot, Book, Entry, Key, LineKey, Mark, Offer, OfferKey, State, Thread, Ticket, TrustLine,
};
use crate::ter::Ter;

/// The account that stands for nobody in a trust line's balance.
const NOBODY: Address = Address([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// A transaction's metadata, and what it concerns.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The metadata as a node shows it.
    pub json: Json,
    /// Accounts it touches: what the `accounts` stream and `account_tx` go by.
    pub accounts: BTreeSet<Address>,
    /// Books whose offers it made, took or removed: what the `books` stream goes by.
    pub books: BTreeSet<Book>,
}

/// Builds the metadata of a transaction from what was written since the mark, and threads the transaction through the
/// entries. `delivered` is what arrived of a payment, when it is less than its amount.
pub(crate) fn build(
    state: &mut State,
    mark: Mark,
    tx: &Tx,
    context: &Context<'_>,
    result: Ter,
    delivered: Option<(Value, Asset)>,
) -> Metadata {
    let (mut accounts, mut books) = (BTreeSet::from([tx.account]), BTreeSet::new());
    let thread = Thread { txn: tx.hash, ledger_index: context.ledger_index };
    let mut nodes: BTreeMap<Hash, Json> = BTreeMap::new();
    // A value that `json!` is given is copied whole, so what is large is put in as it is.
    let wrapped =
        |name: &str, node: Map<String, Json>| Json::Object(Map::from_iter([(name.to_string(), Json::Object(node))]));
    let mut threaded: BTreeSet<Key> = BTreeSet::new();
    let mut owners: BTreeSet<Address> = BTreeSet::new();
    for key in state.touched(mark) {
        let (before, after) = (state.entry_at(mark, key), state.entry(key));
        let index = index_of(key);
        let node = match (&before, &after) {
            (None, Some(entry)) => wrapped("CreatedNode", created(key, index, entry)),
            (Some(before), None) => {
                let last = last_value(state, mark, key).unwrap_or_else(|| before.clone());
                wrapped("DeletedNode", deleted(key, index, before, &last))
            }
            (Some(before), Some(after)) if before != after => {
                wrapped("ModifiedNode", modified(key, index, before, after))
            }
            _ => continue,
        };
        concern(key, &before, &after, &mut accounts, &mut books);
        if before.is_none() || after.is_none() {
            owners.extend(owners_of(key));
        }
        if after.is_some() {
            threaded.insert(key);
        }
        nodes.insert(index, node);
    }
    for owner in owners {
        let key = Key::Account(owner);
        if !threaded.contains(&key)
            && let Some(entry) = state.entry(key)
        {
            threaded.insert(key);
            let index = index_of(key);
            let mut node = header(key, index);
            thread_fields(&mut node, previous_of(&entry));
            nodes.insert(index, wrapped("ModifiedNode", node));
        }
    }
    for key in threaded {
        if let Some(entry) = state.entry(key) {
            state.put(key, Some(with_thread(entry, thread)));
        }
    }
    let mut fields = Map::from_iter([
        ("AffectedNodes".to_string(), Json::Array(nodes.into_values().collect())),
        ("TransactionIndex".to_string(), json!(context.transaction_index)),
        ("TransactionResult".to_string(), json!(result.token)),
    ]);
    if let Some((value, asset)) = delivered {
        fields.insert("DeliveredAmount".to_string(), amount_json(value, asset));
    }
    Metadata { json: Json::Object(fields), accounts, books }
}

/// Notes whom and which book a changed entry concerns. An offer of which one side only changed is not noticed by the
/// books, as in rippled.
fn concern(
    key: Key,
    before: &Option<Entry>,
    after: &Option<Entry>,
    accounts: &mut BTreeSet<Address>,
    books: &mut BTreeSet<Book>,
) {
    match key {
        Key::Account(address) => {
            accounts.insert(address);
        }
        Key::Line(line) => accounts.extend([line.low, line.high]),
        Key::Amm(_) => {
            if let Some(Entry::Amm(amm)) = after.as_ref().or(before.as_ref()) {
                accounts.insert(amm.account);
            }
        }
        Key::Ticket(ticket) => {
            accounts.insert(ticket.account);
        }
        Key::Offer(_) => {
            accounts.extend(owners_of(key));
            let Some(Entry::Offer(offer)) = after.as_ref().or(before.as_ref()) else { return };
            for asset in [offer.book.pays, offer.book.gets] {
                if let Asset::Token(token) = asset {
                    accounts.insert(token.issuer);
                }
            }
            let one_sided = match (before, after) {
                (Some(Entry::Offer(before)), Some(Entry::Offer(after))) => {
                    before.taker_gets == after.taker_gets || before.taker_pays == after.taker_pays
                }
                _ => false,
            };
            if !one_sided {
                books.insert(offer.book);
            }
        }
    }
}

/// The value an entry had just before it was removed.
fn last_value(state: &State, mark: Mark, key: Key) -> Option<Entry> {
    state.writes(mark).rev().find(|(written, former)| *written == key && former.is_some())?.1.clone()
}

fn owners_of(key: Key) -> Vec<Address> {
    match key {
        // A pool's owner is its own account, which comes and goes with it.
        Key::Account(_) | Key::Amm(_) => Vec::new(),
        Key::Line(line) => vec![line.low, line.high],
        Key::Offer(offer) => vec![offer.account],
        Key::Ticket(ticket) => vec![ticket.account],
    }
}

fn with_thread(entry: Entry, thread: Thread) -> Entry {
    let previous = Some(thread);
    match entry {
        Entry::Account(root) => Entry::Account(AccountRoot { previous, ..root }),
        Entry::Line(line) => Entry::Line(TrustLine { previous, ..line }),
        Entry::Offer(offer) => Entry::Offer(Offer { previous, ..offer }),
        Entry::Amm(amm) => Entry::Amm(Amm { previous, ..amm }),
        Entry::Ticket(_) => Entry::Ticket(Ticket { previous }),
    }
}

fn previous_of(entry: &Entry) -> Option<Thread> {
    match entry {
        Entry::Account(root) => root.previous,
        Entry::Line(line) => line.previous,
        Entry::Offer(offer) => offer.previous,
        Entry::Amm(amm) => amm.previous,
        Entry::Ticket(ticket) => ticket.previous,
    }
}

/// The ledger index of an entry.
pub(crate) fn index_of(key: Key) -> Hash {
    match key {
        Key::Account(address) => keylet::account(address),
        Key::Line(line) => keylet::line(line),
        Key::Offer(offer) => keylet::offer(offer),
        Key::Amm(pair) => keylet::amm(pair),
        Key::Ticket(ticket) => keylet::ticket(ticket),
    }
}

/// The name of an entry's kind.
pub(crate) fn kind_of(key: Key) -> &'static str {
    match key {
        Key::Account(_) => "AccountRoot",
        Key::Line(_) => "RippleState",
        Key::Offer(_) => "Offer",
        Key::Amm(_) => "AMM",
        Key::Ticket(_) => "Ticket",
    }
}

fn header(key: Key, index: Hash) -> Map<String, Json> {
    let mut node = Map::new();
    node.insert("LedgerEntryType".to_string(), json!(kind_of(key)));
    node.insert("LedgerIndex".to_string(), json!(index));
    node
}

fn thread_fields(node: &mut Map<String, Json>, previous: Option<Thread>) {
    if let Some(previous) = previous {
        node.insert("PreviousTxnID".to_string(), json!(previous.txn));
        node.insert("PreviousTxnLgrSeq".to_string(), json!(previous.ledger_index));
    }
}

fn created(key: Key, index: Hash, entry: &Entry) -> Map<String, Json> {
    let mut node = header(key, index);
    let fields = fields(key, entry).into_iter().filter(|(_, value)| !is_default(value)).collect();
    node.insert("NewFields".to_string(), Json::Object(fields));
    node
}

/// True for what `NewFields` leaves out: zero, no drops, XRP as an asset.
fn is_default(value: &Json) -> bool {
    match value {
        Json::Number(number) => number.as_u64() == Some(0),
        Json::String(text) => text == "0",
        Json::Object(asset) => asset.len() == 1 && asset.get("currency").and_then(Json::as_str) == Some("XRP"),
        _ => false,
    }
}

fn deleted(key: Key, index: Hash, before: &Entry, last: &Entry) -> Map<String, Json> {
    let mut node = header(key, index);
    let mut finals = fields(key, last);
    let changed = changes(key, before, &finals);
    thread_fields(&mut finals, previous_of(before));
    node.insert("FinalFields".to_string(), Json::Object(finals));
    if !changed.is_empty() {
        node.insert("PreviousFields".to_string(), Json::Object(changed));
    }
    node
}

fn modified(key: Key, index: Hash, before: &Entry, after: &Entry) -> Map<String, Json> {
    let mut node = header(key, index);
    let finals = fields(key, after);
    let changed = changes(key, before, &finals);
    node.insert("FinalFields".to_string(), Json::Object(finals));
    if !changed.is_empty() {
        node.insert("PreviousFields".to_string(), Json::Object(changed));
    }
    thread_fields(&mut node, previous_of(before));
    node
}

fn changes(key: Key, before: &Entry, finals: &Map<String, Json>) -> Map<String, Json> {
    fields(key, before).into_iter().filter(|(name, value)| finals.get(name) != Some(value)).collect()
}

/// An entry's fields, without those that thread transactions.
pub(crate) fn fields(key: Key, entry: &Entry) -> Map<String, Json> {
    let json = match (key, entry) {
        (Key::Account(address), Entry::Account(root)) => account_fields(address, root),
        (Key::Line(line_key), Entry::Line(line)) => line_fields(line_key, line),
        (Key::Offer(offer_key), Entry::Offer(offer)) => offer_fields(offer_key, offer),
        (Key::Amm(pair), Entry::Amm(amm)) => amm_fields(pair, amm),
        (Key::Ticket(ticket), Entry::Ticket(_)) => json!({
            "Account": ticket.account,
            "Flags": 0,
            "OwnerNode": "0",
            "TicketSequence": ticket.sequence,
        }),
        _ => Json::Null,
    };
    match json {
        Json::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// An entry as `account_objects` and `ledger_entry` show it.
pub(crate) fn whole_entry(key: Key, entry: &Entry) -> Map<String, Json> {
    let mut json = fields(key, entry);
    json.insert("LedgerEntryType".to_string(), json!(kind_of(key)));
    json.insert("index".to_string(), json!(index_of(key)));
    let never = Thread { txn: Hash([0; 32]), ledger_index: 0 };
    thread_fields(&mut json, Some(previous_of(entry).unwrap_or(never)));
    json
}

fn account_fields(address: Address, root: &AccountRoot) -> Json {
    let mut json = json!({
        "Account": address,
        "Balance": root.balance.to_string(),
        "Flags": root.flags,
        "OwnerCount": root.owner_count,
        "Sequence": root.sequence,
    });
    if let Json::Object(fields) = &mut json {
        if root.tick_size != 0 {
            fields.insert("TickSize".to_string(), json!(root.tick_size));
        }
        if root.transfer_rate != 0 {
            fields.insert("TransferRate".to_string(), json!(root.transfer_rate));
        }
        if root.ticket_count != 0 {
            fields.insert("TicketCount".to_string(), json!(root.ticket_count));
        }
        if let Some(details) = &root.details {
            detail_fields(fields, details);
        }
        if let Some(amm_id) = root.amm_id {
            fields.insert("AMMID".to_string(), json!(amm_id));
        }
    }
    json
}

fn detail_fields(fields: &mut Map<String, Json>, details: &AccountDetails) {
    let AccountDetails { regular_key, account_txn_id, domain, email_hash, message_key, wallet_locator, nftoken_minter } =
        details;
    let rows = [
        ("AccountTxnID", account_txn_id.map(|hash| json!(hash))),
        ("Domain", domain.as_ref().map(|text| json!(text))),
        ("EmailHash", email_hash.as_ref().map(|text| json!(text))),
        ("MessageKey", message_key.as_ref().map(|text| json!(text))),
        ("NFTokenMinter", nftoken_minter.map(|account| json!(account))),
        ("RegularKey", regular_key.map(|account| json!(account))),
        ("WalletLocator", wallet_locator.as_ref().map(|text| json!(text))),
    ];
    fields.extend(rows.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));
}

fn line_fields(key: LineKey, line: &TrustLine) -> Json {
    let side = |value: TokenValue, issuer| {
        amount_json(Value::Token(value), Asset::Token(Token { currency: key.currency, issuer }))
    };
    let mut json = json!({
        "Balance": side(line.balance, NOBODY),
        "Flags": line.flags,
        "HighLimit": side(line.high_limit, key.high),
        "HighNode": "0",
        "LowLimit": side(line.low_limit, key.low),
        "LowNode": "0",
    });
    let qualities = &line.qualities;
    for (name, quality) in [
        ("LowQualityIn", qualities.low_in),
        ("LowQualityOut", qualities.low_out),
        ("HighQualityIn", qualities.high_in),
        ("HighQualityOut", qualities.high_out),
    ] {
        set_unless_zero(&mut json, name, quality);
    }
    json
}

fn offer_fields(key: OfferKey, offer: &Offer) -> Json {
    let mut json = json!({
        "Account": key.account,
        "BookDirectory": keylet::book_directory(offer.book, offer.quality),
        "BookNode": "0",
        "Flags": offer.flags,
        "OwnerNode": "0",
        "Sequence": key.sequence,
        "TakerGets": amount_json(offer.taker_gets, offer.book.gets),
        "TakerPays": amount_json(offer.taker_pays, offer.book.pays),
    });
    if let (Json::Object(fields), Some(expiration)) = (&mut json, offer.expiration) {
        fields.insert("Expiration".to_string(), json!(expiration));
    }
    json
}

fn amm_fields(pair: AssetPair, amm: &Amm) -> Json {
    let lp_token = amm.lp_token(pair);
    let votes: Vec<Json> = amm
        .vote_slots
        .iter()
        .map(|slot| {
            let mut vote = json!({ "Account": slot.account, "VoteWeight": slot.weight });
            set_unless_zero(&mut vote, "TradingFee", slot.trading_fee);
            json!({ "VoteEntry": vote })
        })
        .collect();
    let mut json = json!({
        "Account": amm.account,
        "Asset": pair.asset,
        "Asset2": pair.asset2,
        "Flags": 0,
        "LPTokenBalance": amount_json(Value::Token(amm.lp_token_balance), Asset::Token(lp_token)),
        "OwnerNode": "0",
        "VoteSlots": votes,
    });
    set_unless_zero(&mut json, "TradingFee", amm.trading_fee);
    if let (Json::Object(fields), Some(slot)) = (&mut json, &amm.auction_slot) {
        fields.insert("AuctionSlot".to_string(), auction_slot_json(slot, lp_token));
    }
    json
}

fn auction_slot_json(slot: &AuctionSlot, lp_token: Token) -> Json {
    let mut json = json!({
        "Account": slot.account,
        "Expiration": slot.expiration,
        "Price": amount_json(Value::Token(slot.price), Asset::Token(lp_token)),
    });
    set_unless_zero(&mut json, "DiscountedFee", slot.discounted_fee);
    if let Json::Object(fields) = &mut json
        && !slot.auth_accounts.is_empty()
    {
        let named = |account: &Address| json!({ "AuthAccount": { "Account": account } });
        fields.insert("AuthAccounts".to_string(), slot.auth_accounts.iter().map(named).collect());
    }
    json
}

/// A fee of zero is absent from the ledger.
fn set_unless_zero(json: &mut Json, field: &str, number: impl Into<u32>) {
    let number: u32 = number.into();
    if let Json::Object(fields) = json
        && number != 0
    {
        fields.insert(field.to_string(), json!(number));
    }
}

/// An amount as the ledger's messages write it.
pub(crate) fn amount_json(value: Value, asset: Asset) -> Json {
    match asset {
        Asset::Xrp => json!(value.text()),
        Asset::Token(token) => {
            json!({ "currency": token.currency, "issuer": token.issuer, "value": value.text() })
        }
    }
}
