//! subscribe and unsubscribe.

use neo_ledger::Address;
use serde_json::{Value as Json, json};

use super::connection::Connection;
use super::error::ApiError;
use super::{Fields, Request, books, select, server};
use crate::node::{ConnectionId, Node};
use crate::state::Book;

/// Most accounts and books that one client may watch.
const MAX_SUBSCRIPTIONS: usize = 1_000;
/// Streams of rippled that are accepted and stay silent: this node relays nothing and has no peers to validate.
const SILENT_STREAMS: [&str; 6] =
    ["server", "transactions_proposed", "rt_transactions", "validations", "manifests", "consensus"];

/// What a request asks to subscribe to or to leave.
struct Asked {
    streams: Vec<String>,
    accounts: Vec<Address>,
    books: Vec<AskedBook>,
}

struct AskedBook {
    book: Book,
    both: bool,
    snapshot: bool,
    taker: Option<Address>,
}

fn invalid() -> ApiError {
    ApiError::invalid_params("Invalid parameters.")
}

fn read(request: &Request) -> Result<Asked, ApiError> {
    let mut asked = Asked { streams: Vec::new(), accounts: Vec::new(), books: Vec::new() };
    if let Some(streams) = request.get("streams") {
        for stream in streams.as_array().ok_or_else(invalid)? {
            let name = stream.as_str().ok_or_else(malformed_stream)?;
            let known = matches!(name, "ledger" | "transactions") || SILENT_STREAMS.contains(&name);
            match name {
                "peer_status" => {
                    return Err(ApiError::new("noPermission", 6, "You don't have permission for this command."));
                }
                _ if known || name == "book_changes" => asked.streams.push(name.to_string()),
                _ => return Err(malformed_stream()),
            }
        }
    }
    for field in ["accounts_proposed", "rt_accounts", "accounts"] {
        let Some(accounts) = request.get(field) else { continue };
        let accounts = accounts.as_array().ok_or_else(invalid)?;
        if accounts.is_empty() {
            return Err(ApiError::account_malformed());
        }
        for account in accounts {
            let account = account.as_str().and_then(|text| text.parse().ok());
            let account = account.ok_or_else(ApiError::account_malformed)?;
            // Proposed transactions are not sent, but the names are checked.
            if field == "accounts" {
                asked.accounts.push(account);
            }
        }
    }
    if let Some(books) = request.get("books") {
        for book in books.as_array().ok_or_else(invalid)? {
            asked.books.push(read_book(book)?);
        }
    }
    Ok(asked)
}

fn malformed_stream() -> ApiError {
    ApiError::new("malformedStream", 71, "Stream malformed.")
}

fn read_book(json: &Json) -> Result<AskedBook, ApiError> {
    let object = json.as_object().ok_or_else(invalid)?;
    let is_object = |field: &str| object.get(field).is_some_and(Json::is_object);
    if !is_object("taker_pays") || !is_object("taker_gets") {
        return Err(invalid());
    }
    let book = Book { pays: select::asset(object, "taker_pays")?, gets: select::asset(object, "taker_gets")? };
    if book.pays == book.gets {
        return Err(ApiError::new("badMarket", 42, "No such market."));
    }
    let flag = |field: &str| object.get(field).and_then(Json::as_bool).unwrap_or(false);
    let taker = match object.get("taker") {
        None => None,
        Some(taker) => {
            let taker = taker.as_str().and_then(|text| text.parse().ok());
            Some(taker.ok_or_else(|| ApiError::new("badIssuer", 41, "Issuer account malformed."))?)
        }
    };
    Ok(AskedBook { book, both: flag("both"), snapshot: flag("snapshot"), taker })
}

pub(super) fn subscribe(node: &mut Node, id: ConnectionId, request: &Request) -> Result<Fields, ApiError> {
    let asked = read(request)?;
    let mut result = Fields::new();
    for account in &asked.accounts {
        node.history.track(*account);
    }
    let too_many = ApiError::new("slowDown", 10, "You are placing too much load on the server.");
    let connection = node.connections.get_mut(&id).ok_or_else(ApiError::internal)?;
    let version = request.version;
    if connection.accounts.len() + asked.accounts.len() > MAX_SUBSCRIPTIONS
        || connection.books.len() + 2 * asked.books.len() > MAX_SUBSCRIPTIONS
    {
        return Err(too_many);
    }
    connection.accounts.extend(asked.accounts.iter().map(|account| (*account, version)));
    for asked in &asked.books {
        connection.books.insert(asked.book, version);
        if asked.both {
            connection.books.insert(asked.book.reversed(), version);
        }
    }
    for stream in &asked.streams {
        set_stream(connection, stream, Some(version));
    }
    if asked.streams.iter().any(|stream| stream == "ledger") {
        result.extend(server::ledger_stream_fields(node));
    }
    if asked.streams.iter().any(|stream| stream == "server") {
        result.extend(server::server_stream_fields());
    }
    for asked in asked.books.iter().filter(|asked| asked.snapshot) {
        snapshot(node, asked, &mut result)?;
    }
    Ok(result)
}

/// Most offers of a snapshot's side.
const SNAPSHOT_OFFERS: usize = 1_000;

/// The requested book is `bids` and its reverse `asks` when both were asked for, else `offers`.
fn snapshot(node: &Node, asked: &AskedBook, result: &mut Fields) -> Result<(), ApiError> {
    let (state, rules) = (node.chain.validated(), node.chain.rules());
    let side = |book| books::offers(state, rules, book, asked.taker, SNAPSHOT_OFFERS);
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

fn set_stream(connection: &mut Connection, stream: &str, version: Option<u64>) {
    match stream {
        "ledger" => connection.ledger = version,
        "transactions" => connection.transactions = version,
        silent => {
            if version.is_some() {
                connection.silent.insert(silent.to_string());
            } else {
                connection.silent.remove(silent);
            }
        }
    }
}

pub(super) fn unsubscribe(node: &mut Node, id: ConnectionId, request: &Request) -> Result<Fields, ApiError> {
    let asked = read(request)?;
    let connection = node.connections.get_mut(&id).ok_or_else(ApiError::internal)?;
    for stream in &asked.streams {
        set_stream(connection, stream, None);
    }
    for account in &asked.accounts {
        connection.accounts.remove(account);
    }
    for asked in &asked.books {
        connection.books.remove(&asked.book);
        if asked.both {
            connection.books.remove(&asked.book.reversed());
        }
    }
    Ok(Fields::new())
}
