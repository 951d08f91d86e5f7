//! What goes out when a ledger closes: `ledgerClosed` first, then its transactions in order.
//!
//! A client that watches transactions, accounts and books gets a transaction once for each kind that it concerns, as
//! rippled sends it.

use serde_json::{Value as Json, json};

use super::accounts::owner_funds;
use super::history::{ctid, shown_tx};
use super::{fields, server};
use crate::apply::tx::Body;
use crate::calendar;
use crate::history::Record;
use crate::ledger::ClosedTx;
use crate::node::{Node, Outgoing};

/// Messages of the ledger that has just closed.
pub(crate) fn ledger_messages(node: &Node, closed: &[ClosedTx]) -> Vec<Outgoing> {
    let mut outgoing = Vec::new();
    if node.connections.is_empty() {
        return outgoing;
    }
    let text = ledger_closed(node, closed.len());
    for (connection, _) in node.connections.iter().filter(|(_, client)| client.ledger.is_some()) {
        outgoing.push(Outgoing { connection: *connection, text: text.clone() });
    }
    for closed in closed {
        transaction_messages(node, closed, &mut outgoing);
    }
    outgoing
}

fn ledger_closed(node: &Node, transactions: usize) -> String {
    let mut message = server::ledger_stream_fields(node);
    message.insert("txn_count".to_string(), json!(transactions));
    message.insert("type".to_string(), json!("ledgerClosed"));
    Json::Object(message).to_string()
}

fn transaction_messages(node: &Node, closed: &ClosedTx, outgoing: &mut Vec<Outgoing>) {
    // Each version's text is made once, and only when somebody wants it.
    let mut texts: [Option<String>; 2] = [None, None];
    for (connection, client) in &node.connections {
        let by_account = closed.meta.accounts.iter().find_map(|account| client.accounts.get(account));
        let by_book = closed.meta.books.iter().find_map(|book| client.books.get(book));
        let by_book = by_book.filter(|_| closed.result.is_success());
        for version in [client.transactions.as_ref(), by_account, by_book].into_iter().flatten() {
            let slot = if *version > 1 { &mut texts[1] } else { &mut texts[0] };
            let text = slot.get_or_insert_with(|| transaction(node, closed, *version)).clone();
            outgoing.push(Outgoing { connection: *connection, text });
        }
    }
}

fn transaction(node: &Node, closed: &ClosedTx, version: u64) -> String {
    let header = node.chain.header();
    let mut tx = shown_tx(&closed.tx.json, version);
    tx.insert("date".to_string(), json!(header.close_time));
    if let Body::OfferCreate { taker_gets, .. } = &closed.tx.body
        && let Some(funds) = owner_funds(node, closed.tx.account, taker_gets.1)
    {
        tx.insert("owner_funds".to_string(), json!(funds.text()));
    }
    let meta: Json = serde_json::from_str(&Record::of(closed).meta).unwrap_or_else(|_| closed.meta.json.clone());
    let mut message = fields(json!({
        "close_time_iso": calendar::iso(header.close_time),
        "engine_result": closed.result.token,
        "engine_result_code": closed.result.code,
        "engine_result_message": closed.result.message,
        "ledger_hash": header.hash,
        "ledger_index": header.index,
        "meta": meta,
        "status": "closed",
        "type": "transaction",
        "validated": true,
    }));
    if let Some(ctid) = ctid((header.index, closed.index), node.scenario.network_id) {
        message.insert("ctid".to_string(), json!(ctid));
    }
    if version > 1 {
        message.insert("hash".to_string(), json!(closed.tx.hash));
        message.insert("tx_json".to_string(), Json::Object(tx));
    } else {
        tx.insert("hash".to_string(), json!(closed.tx.hash));
        message.insert("transaction".to_string(), Json::Object(tx));
    }
    Json::Object(message).to_string()
}
