//! What goes out by itself: a transaction when the open ledger takes it, and when a ledger closes `ledgerClosed` first,
//! then its book changes, then its transactions in order.
//!
//! A client that watches transactions, accounts and books gets a transaction once for each kind that it concerns, as
//! rippled sends it: validated ones also where proposed ones were asked for.

use std::borrow::Cow;
use std::collections::BTreeSet;

use neo_ledger::Address;
use serde_json::{Value as Json, json};

use super::accounts::owner_funds;
use super::transactions::{ctid, shown_tx};
use super::{Fields, changes, fields, server};
use crate::api::connection::Connection;
use crate::apply::tx::{Body, Tx};
use crate::calendar;
use crate::history::{text_of, with_delivered};
use crate::ledger::ClosedTx;
use crate::node::{Node, Outgoing};
use crate::state::State;
use crate::ter::Ter;

/// Messages of the ledger that has just closed.
pub(crate) fn ledger_messages(node: &Node, closed: &[ClosedTx]) -> Vec<Outgoing> {
    let mut outgoing = Vec::new();
    let mut to_stream = |stream: &str, text: &dyn Fn() -> Option<String>| {
        let mut made = None;
        for (connection, _) in node.connections.iter().filter(|(_, client)| client.has(stream)) {
            if made.is_none() {
                made = text();
            }
            outgoing.extend(made.clone().map(|text| Outgoing { connection: *connection, text }));
        }
    };
    to_stream("ledger", &|| Some(ledger_closed(node, closed.len())));
    to_stream("book_changes", &|| match changes::of_ledger(node, node.chain.header()) {
        Ok(message) => Some(Json::Object(message).to_string()),
        Err(error) => {
            tracing::error!(?error, "a ledger's book changes cannot be told");
            None
        }
    });
    if !node.connections.is_empty() {
        for closed in closed {
            transaction_messages(node, closed, &mut outgoing);
        }
    }
    outgoing
}

fn ledger_closed(node: &Node, transactions: usize) -> String {
    let mut message = server::ledger_stream_fields(node);
    message.insert("txn_count".to_string(), json!(transactions));
    message.insert("type".to_string(), json!("ledgerClosed"));
    text_of(&Json::Object(message))
}

/// A message's text in each version, made once, and only when somebody wants it.
struct Texts<'a> {
    made: [Option<String>; 2],
    make: &'a dyn Fn(u64) -> String,
}

impl Texts<'_> {
    fn of(&mut self, version: u64) -> String {
        let slot = if version > 1 { &mut self.made[1] } else { &mut self.made[0] };
        slot.get_or_insert_with(|| (self.make)(version)).clone()
    }
}

fn transaction_messages(node: &Node, closed: &ClosedTx, outgoing: &mut Vec<Outgoing>) {
    let mut texts = Texts { made: [None, None], make: &|version| validated(node, closed, version) };
    let watches = |client: &Connection, account: &Address| {
        client.accounts.contains(account) || client.proposed_accounts.contains(account)
    };
    for (connection, client) in &node.connections {
        let by_book = closed.result.is_success() && closed.meta.books.iter().any(|book| client.books.contains(book));
        let reasons = [
            client.has("transactions"),
            client.has("transactions_proposed"),
            by_book,
            closed.meta.accounts.iter().any(|account| watches(client, account)),
        ];
        for _ in reasons.iter().filter(|wanted| **wanted) {
            outgoing.push(Outgoing { connection: *connection, text: texts.of(client.version) });
        }
    }
}

/// Messages of what the open ledger took since they were last asked for.
pub(crate) fn proposed_messages(node: &mut Node) -> Vec<Outgoing> {
    let proposed = node.chain.take_proposed();
    let mut outgoing = Vec::new();
    let wanted = |client: &Connection| client.has("transactions_proposed") || !client.proposed_accounts.is_empty();
    if !node.connections.values().any(wanted) {
        return outgoing;
    }
    for (tx, result) in proposed {
        let mentioned = mentioned(&tx.json);
        let mut texts = Texts { made: [None, None], make: &|version| self::proposed(node, &tx, result, version) };
        for (connection, client) in &node.connections {
            let by_account = mentioned.iter().any(|account| client.proposed_accounts.contains(account));
            for _ in [client.has("transactions_proposed"), by_account].iter().filter(|wanted| **wanted) {
                outgoing.push(Outgoing { connection: *connection, text: texts.of(client.version) });
            }
        }
    }
    outgoing
}

/// Accounts that a transaction names, issuers of its amounts too (rippled, `STTx::getMentionedAccounts`).
fn mentioned(tx: &Json) -> BTreeSet<Address> {
    let address = |value: &Json| value.as_str().and_then(|text| text.parse().ok());
    let named = |value: &Json| address(value).or_else(|| value.get("issuer").and_then(address));
    tx.as_object().into_iter().flat_map(|fields| fields.values()).filter_map(named).collect()
}

/// What both kinds of message say of a transaction.
fn common(node: &Node, tx: &Tx, result: Ter, state: &State, date: bool, version: u64) -> Fields {
    let mut shown = shown_tx(&tx.json, version);
    if date {
        shown.insert("date".to_string(), json!(node.chain.header().close_time));
    }
    if let Body::OfferCreate { taker_gets, .. } = &tx.body
        && let Some(funds) = owner_funds(node, state, tx.account, taker_gets.1)
    {
        shown.insert("owner_funds".to_string(), json!(funds.text()));
    }
    let mut message = fields(json!({
        "engine_result": result.token,
        "engine_result_code": result.code,
        "engine_result_message": result.message,
        "type": "transaction",
    }));
    if version > 1 {
        message.insert("hash".to_string(), json!(tx.hash));
        message.insert("tx_json".to_string(), Json::Object(shown));
    } else {
        shown.insert("hash".to_string(), json!(tx.hash));
        message.insert("transaction".to_string(), Json::Object(shown));
    }
    message
}

fn proposed(node: &Node, tx: &Tx, result: Ter, version: u64) -> String {
    let mut message = common(node, tx, result, node.chain.open(), false, version);
    message.extend(fields(json!({
        "ledger_current_index": node.chain.open_index(), "status": "proposed", "validated": false,
    })));
    text_of(&Json::Object(message))
}

fn validated(node: &Node, closed: &ClosedTx, version: u64) -> String {
    let header = node.chain.header();
    let mut message = common(node, &closed.tx, closed.result, node.chain.validated(), true, version);
    message.extend(fields(json!({
        "close_time_iso": calendar::iso(header.close_time),
        "ledger_hash": header.hash,
        "ledger_index": header.index,
        "status": "closed",
        "validated": true,
    })));
    let meta = with_delivered(&closed.tx, closed.result, Cow::Borrowed(&closed.meta.json));
    message.insert("meta".to_string(), meta.into_owned());
    if let Some(ctid) = ctid((header.index, closed.index), node.scenario.network_id) {
        message.insert("ctid".to_string(), json!(ctid));
    }
    text_of(&Json::Object(message))
}
