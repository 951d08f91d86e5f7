//! book_changes: what was traded in a ledger's books, by request and by stream (rippled, `BookChanges.h`).

use std::collections::BTreeMap;

use neo_ledger::{Asset, LedgerTime};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::select::{self, Found};
use super::{Fields, Request, fields, transactions};
use crate::amount::{TokenValue, Value, divide};
use crate::apply::tx::amount;
use crate::history::Record;
use crate::ledger::Header;
use crate::node::Node;

/// What was traded in one market.
struct Tally {
    volumes: (Value, Value),
    high: TokenValue,
    low: TokenValue,
    open: TokenValue,
    close: TokenValue,
    assets: (Asset, Asset),
}

pub(super) fn book_changes(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    match select::header(node, request)? {
        Found::Closed(header) => of_ledger(node, header),
        Found::Open => {
            let last = node.chain.header();
            Ok(message(None, node.chain.open_index(), last.close_time, Vec::new()))
        }
    }
}

/// The changes of a closed ledger whose transactions are remembered.
pub(super) fn of_ledger(node: &Node, header: &Header) -> Result<Fields, ApiError> {
    let mut tallies = BTreeMap::new();
    for (_, record) in node.history.of_ledger(header.index) {
        tally(record, &mut tallies)?;
    }
    let changes = tallies.values().map(shown).collect();
    Ok(message(Some(header), header.index, header.close_time, changes))
}

fn message(header: Option<&Header>, index: u32, time: LedgerTime, changes: Vec<Json>) -> Fields {
    let mut message = fields(json!({
        "changes": changes, "ledger_index": index, "ledger_time": time, "type": "bookChanges",
        "validated": header.is_some(),
    }));
    if let Some(header) = header {
        message.insert("ledger_hash".to_string(), json!(header.hash));
    }
    message
}

/// Adds what a transaction's metadata say of offers that were taken. Offers that a cancel names are left out.
fn tally(record: &Record, tallies: &mut BTreeMap<String, Tally>) -> Result<(), ApiError> {
    let (tx, meta) = transactions::parse(record)?;
    let is_offer = matches!(tx["TransactionType"].as_str(), Some("OfferCreate" | "OfferCancel"));
    let cancelled = tx.get("OfferSequence").and_then(Json::as_u64).filter(|_| is_offer);
    for node in meta["AffectedNodes"].as_array().into_iter().flatten() {
        let (deleted, node) = match (node.get("DeletedNode"), node.get("ModifiedNode")) {
            (Some(node), _) => (true, node),
            (None, Some(node)) => (false, node),
            (None, None) => continue,
        };
        let (last, before) = (&node["FinalFields"], &node["PreviousFields"]);
        let named = deleted && cancelled.is_some() && last["Sequence"].as_u64() == cancelled;
        if node["LedgerEntryType"] != "Offer" || named {
            continue;
        }
        let sides = [&last["TakerGets"], &before["TakerGets"], &last["TakerPays"], &before["TakerPays"]].map(amount);
        let [Some(gets), Some(gets_before), Some(pays), Some(pays_before)] = sides else { continue };
        let failed = |_| ApiError::internal();
        let gets = (gets.0.sub(gets_before.0).map_err(failed)?, gets.1);
        let pays = (pays.0.sub(pays_before.0).map_err(failed)?, pays.1);
        add(gets, pays, tallies).map_err(failed)?;
    }
    Ok(())
}

/// A token as this message names it.
fn name(asset: Asset) -> String {
    match asset {
        Asset::Xrp => "XRP".to_string(),
        Asset::Token(token) => format!("{}/{}", token.issuer, token.currency),
    }
}

fn add(
    gets: (Value, Asset),
    pays: (Value, Asset),
    tallies: &mut BTreeMap<String, Tally>,
) -> Result<(), crate::amount::ArithmeticError> {
    // XRP is the first side; else the one whose name sorts first.
    let first_is_gets = gets.1 == Asset::Xrp || (pays.1 != Asset::Xrp && name(gets.1) < name(pays.1));
    let ((first, first_asset), (second, second_asset)) = if first_is_gets { (gets, pays) } else { (pays, gets) };
    if second.is_zero() {
        return Ok(());
    }
    let Value::Token(rate) = divide(first, second, false)? else { return Ok(()) };
    let size = |value: Value| value.cleared().sub(value).map(|minus| if minus.is_positive() { minus } else { value });
    let (first, second) = (size(first)?, size(second)?);
    let key = format!("{}|{}", name(first_asset), name(second_asset));
    match tallies.get_mut(&key) {
        Some(tally) => {
            tally.volumes = (tally.volumes.0.add(first)?, tally.volumes.1.add(second)?);
            tally.high = tally.high.max(rate);
            tally.low = tally.low.min(rate);
            tally.close = rate;
        }
        None => {
            let assets = (first_asset, second_asset);
            let new = Tally { volumes: (first, second), high: rate, low: rate, open: rate, close: rate, assets };
            tallies.insert(key, new);
        }
    }
    Ok(())
}

fn shown(tally: &Tally) -> Json {
    let currency = |asset| if asset == Asset::Xrp { "XRP_drops".to_string() } else { name(asset) };
    json!({
        "close": tally.close.text(),
        "currency_a": currency(tally.assets.0),
        "currency_b": currency(tally.assets.1),
        "high": tally.high.text(),
        "low": tally.low.text(),
        "open": tally.open.text(),
        "volume_a": tally.volumes.0.text(),
        "volume_b": tally.volumes.1.text(),
    })
}
