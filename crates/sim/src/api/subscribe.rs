//! subscribe and unsubscribe. As in rippled, what stands before a mistake in a request is done.

use std::collections::BTreeSet;

use neo_ledger::{Address, Asset, Currency, Token};
use serde_json::{Value as Json, json};

use super::connection::Connection;
use super::error::ApiError;
use super::{Fields, Request, books, server, truth};
use crate::node::{ConnectionId, Node};
use crate::state::Book;

/// Most accounts and books that one client may watch.
const MAX_SUBSCRIPTIONS: usize = 1_000;
/// The streams, and rippled's older name of one. Of the last three nothing is ever sent: this node has no peers.
const STREAMS: [(&str, &str); 9] = [
    ("ledger", "ledger"),
    ("server", "server"),
    ("book_changes", "book_changes"),
    ("transactions", "transactions"),
    ("transactions_proposed", "transactions_proposed"),
    ("rt_transactions", "transactions_proposed"),
    ("validations", "validations"),
    ("manifests", "manifests"),
    ("consensus", "consensus"),
];

fn malformed_stream() -> ApiError {
    ApiError::new("malformedStream", 71, "Stream malformed.")
}

/// The streams that a request names, each read when its turn comes.
fn streams(request: &Request) -> Result<impl Iterator<Item = Result<&'static str, ApiError>>, ApiError> {
    let rows = match request.get("streams") {
        None => &[],
        Some(rows) => rows.as_array().ok_or_else(ApiError::bad_params)?.as_slice(),
    };
    Ok(rows.iter().map(|row| match row.as_str() {
        Some("peer_status") => Err(ApiError::no_permission()),
        name => STREAMS
            .iter()
            .find(|(known, _)| Some(*known) == name)
            .map(|(_, stream)| *stream)
            .ok_or_else(malformed_stream),
    }))
}

/// The accounts of a field; all of them must be readable, and there must be one.
fn accounts(request: &Request, field: &str) -> Result<BTreeSet<Address>, ApiError> {
    let Some(rows) = request.get(field) else { return Ok(BTreeSet::new()) };
    let rows = rows.as_array().ok_or_else(ApiError::bad_params)?;
    let read: Option<BTreeSet<Address>> =
        rows.iter().map(|row| row.as_str().and_then(|text| text.parse().ok())).collect();
    read.filter(|accounts| !accounts.is_empty()).ok_or_else(ApiError::account_malformed)
}

/// Accounts that are asked for with their proposed transactions: by this field or its older name.
fn proposed_accounts(request: &Request) -> Result<BTreeSet<Address>, ApiError> {
    let name = if request.get("accounts_proposed").is_some() { "accounts_proposed" } else { "rt_accounts" };
    accounts(request, name)
}

/// A book of a request.
struct AskedBook {
    book: Book,
    both: bool,
    snapshot: bool,
    taker: Option<Address>,
}

fn asked_books(request: &Request) -> Result<Vec<Json>, ApiError> {
    match request.get("books") {
        None => Ok(Vec::new()),
        Some(rows) => rows.as_array().cloned().ok_or_else(ApiError::bad_params),
    }
}

/// One side of a book; a currency that is wrong and an issuer that is wrong have an error each.
fn side(json: &Json, bad_currency: ApiError, bad_issuer: ApiError) -> Result<Asset, ApiError> {
    let Some(currency) = json.get("currency").and_then(Json::as_str) else { return Err(bad_currency) };
    let issuer = json.get("issuer");
    if currency == "XRP" || currency.is_empty() {
        return if issuer.is_none() { Ok(Asset::Xrp) } else { Err(bad_issuer) };
    }
    let Ok(currency) = currency.parse::<Currency>() else { return Err(bad_currency) };
    match issuer.and_then(Json::as_str).and_then(|text| text.parse().ok()) {
        Some(issuer) => Ok(Asset::Token(Token { currency, issuer })),
        None => Err(bad_issuer),
    }
}

fn read_book(json: &Json) -> Result<AskedBook, ApiError> {
    let part = |field: &str| {
        json.get(field).filter(|part| part.is_object() || part.is_null()).ok_or_else(ApiError::bad_params)
    };
    let (pays, gets) = (part("taker_pays")?, part("taker_gets")?);
    let pays = side(
        pays,
        ApiError::new("srcCurMalformed", 69, "Source currency is malformed."),
        ApiError::new("srcIsrMalformed", 70, "Source issuer is malformed."),
    )?;
    let gets = side(
        gets,
        ApiError::new("dstAmtMalformed", 51, "Destination amount/currency/issuer is malformed."),
        ApiError::new("dstIsrMalformed", 53, "Destination issuer is malformed."),
    )?;
    if pays == gets {
        return Err(ApiError::new("badMarket", 42, "No such market."));
    }
    let flag = |field: &str, older: &str| [field, older].iter().any(|name| json.get(*name).is_some_and(truth));
    let taker = match json.get("taker") {
        None => None,
        Some(taker) => {
            let taker = taker.as_str().and_then(|text| text.parse().ok());
            Some(taker.ok_or_else(|| ApiError::new("badIssuer", 41, "Issuer account malformed."))?)
        }
    };
    let (both, snapshot) = (flag("both", "both_sides"), flag("snapshot", "state_now"));
    Ok(AskedBook { book: Book { pays, gets }, both, snapshot, taker })
}

/// The WebSocket that a request came by; there is nothing to send to otherwise, and no other address is served.
fn subscriber(request: &Request) -> Result<ConnectionId, ApiError> {
    match (request.get("url"), request.connection) {
        (Some(_), _) => Err(ApiError::no_permission()),
        (None, Some(connection)) => Ok(connection),
        (None, None) => Err(ApiError::bad_params()),
    }
}

fn connection(node: &mut Node, id: ConnectionId) -> Result<&mut Connection, ApiError> {
    node.connections.get_mut(&id).ok_or_else(ApiError::internal)
}

pub(super) fn subscribe(node: &mut Node, request: &Request) -> Result<Fields, ApiError> {
    let id = subscriber(request)?;
    connection(node, id)?.version = request.version;
    let mut result = Fields::new();
    for stream in streams(request)? {
        let stream = stream?;
        connection(node, id)?.streams.insert(stream);
        match stream {
            "ledger" => result.extend(server::ledger_stream_fields(node)),
            "server" => result.extend(server::server_stream_fields(node)),
            _ => {}
        }
    }
    let proposed = proposed_accounts(request)?;
    room(node, id, proposed.len())?;
    track(node, &proposed);
    connection(node, id)?.proposed_accounts.extend(proposed);
    let accounts = accounts(request, "accounts")?;
    room(node, id, accounts.len())?;
    track(node, &accounts);
    connection(node, id)?.accounts.extend(accounts);
    if request.get("account_history_tx_stream").is_some() {
        return Err(ApiError::new("notEnabled", 12, "Not enabled in configuration."));
    }
    for row in asked_books(request)? {
        let asked = read_book(&row)?;
        room(node, id, 2)?;
        let connection = connection(node, id)?;
        connection.books.insert(asked.book);
        if asked.both {
            connection.books.insert(asked.book.reversed());
        }
        if asked.snapshot {
            snapshot(node, &asked, &mut result)?;
        }
    }
    Ok(result)
}

/// An error when the client would watch too much.
fn room(node: &mut Node, id: ConnectionId, more: usize) -> Result<(), ApiError> {
    let connection = connection(node, id)?;
    let watched = connection.accounts.len() + connection.proposed_accounts.len() + connection.books.len();
    if watched + more > MAX_SUBSCRIPTIONS {
        return Err(ApiError::new("slowDown", 10, "You are placing too much load on the server."));
    }
    Ok(())
}

/// Remembers the transactions of accounts that exist: a name costs nothing, memory does.
fn track(node: &mut Node, accounts: &BTreeSet<Address>) {
    for account in accounts {
        if node.chain.open().account(*account).is_some() {
            node.history.track(*account);
        }
    }
}

/// The requested book is `bids` and its reverse `asks` when both were asked for, else `offers`.
fn snapshot(node: &Node, asked: &AskedBook, result: &mut Fields) -> Result<(), ApiError> {
    let (state, rules) = (node.chain.validated(), node.chain.rules());
    let side = |book| books::offers(state, rules, book, asked.taker, books::OFFERS.default);
    let sides = if asked.both {
        vec![("bids", side(asked.book)?), ("asks", side(asked.book.reversed())?)]
    } else {
        vec![("offers", side(asked.book)?)]
    };
    for (name, offers) in sides {
        match result.get_mut(name).and_then(Json::as_array_mut) {
            Some(already) => already.extend(offers),
            None => {
                result.insert(name.to_string(), json!(offers));
            }
        }
    }
    Ok(())
}

pub(super) fn unsubscribe(node: &mut Node, request: &Request) -> Result<Fields, ApiError> {
    let id = subscriber(request)?;
    let connection = connection(node, id)?;
    for stream in streams(request)? {
        match stream? {
            // rippled 2.6.1 forgot this one here.
            "book_changes" => return Err(malformed_stream()),
            stream => connection.streams.remove(stream),
        };
    }
    for account in proposed_accounts(request)? {
        connection.proposed_accounts.remove(&account);
    }
    for account in accounts(request, "accounts")? {
        connection.accounts.remove(&account);
    }
    for row in asked_books(request)? {
        let asked = read_book(&row)?;
        connection.books.remove(&asked.book);
        if asked.both {
            connection.books.remove(&asked.book.reversed());
        }
    }
    Ok(Fields::new())
}
