//! The requests we send, as JSON text in API version 2.

use serde_json::{Map, Value, json};

use crate::types::{Address, Asset, Hash, Token};

/// The ledger a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// The newest validated one.
    Validated,
    /// This one.
    Ledger(u32),
}

impl Index {
    fn json(self) -> Value {
        match self {
            Index::Validated => Value::from("validated"),
            Index::Ledger(index) => Value::from(index),
        }
    }
}

/// Most entries a node gives an ordinary user in one answer (xrpl.org, `account_lines`, `account_offers`).
const PAGE: u32 = 400;
/// Most transactions it gives in one answer of `account_tx`.
const TX_PAGE: u32 = 400;

fn request(id: u64, command: &str, fields: Value) -> String {
    let mut object = Map::new();
    object.insert("id".to_string(), Value::from(id));
    object.insert("command".to_string(), Value::from(command));
    object.insert("api_version".to_string(), Value::from(2));
    if let Value::Object(fields) = fields {
        // A field that does not apply is null here and left out there.
        object.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Value::Object(object).to_string()
}

fn asset(asset: Asset) -> Value {
    match asset {
        Asset::Xrp => json!({"currency": "XRP"}),
        Asset::Token(token) => {
            json!({"currency": token.currency.to_string(), "issuer": token.issuer.to_string()})
        }
    }
}

/// Subscribes to validated ledgers, to an account's transactions, and to both sides of the token's book against XRP.
#[must_use]
pub fn subscribe(id: u64, account: Address, token: Token) -> String {
    let fields = json!({"streams": ["ledger"], "accounts": [account.to_string()], "books": [both_sides(token)]});
    request(id, "subscribe", fields)
}

/// Subscribes to validated ledgers alone.
#[must_use]
pub fn subscribe_ledger(id: u64) -> String {
    request(id, "subscribe", json!({"streams": ["ledger"]}))
}

/// Subscribes to further accounts' validated transactions.
#[must_use]
pub fn subscribe_accounts(id: u64, accounts: &[Address]) -> String {
    let accounts: Vec<String> = accounts.iter().map(Address::to_string).collect();
    request(id, "subscribe", json!({"accounts": accounts}))
}

/// The node's state and network.
#[must_use]
pub fn server_info(id: u64) -> String {
    request(id, "server_info", json!({}))
}

/// An account's balance, sequence and owner count.
#[must_use]
pub fn account_info(id: u64, account: Address, index: Index) -> String {
    request(id, "account_info", json!({"account": account.to_string(), "ledger_index": index.json()}))
}

/// An account's trust lines, with one peer or all; `marker` asks for the next page.
#[must_use]
pub fn account_lines(id: u64, account: Address, peer: Option<Address>, index: Index, marker: Option<&Value>) -> String {
    let fields = json!({
        "account": account.to_string(),
        "peer": peer.map(|p| p.to_string()),
        "ledger_index": index.json(),
        "limit": PAGE,
        "marker": marker,
    });
    request(id, "account_lines", fields)
}

/// The entry of the trust line between `account` and the token's issuer.
#[must_use]
pub fn trust_line(id: u64, account: Address, token: Token, index: Index) -> String {
    let accounts = [account.to_string(), token.issuer.to_string()];
    let line = json!({"accounts": accounts, "currency": token.currency.to_string()});
    request(id, "ledger_entry", json!({"ripple_state": line, "ledger_index": index.json()}))
}

/// An account's offers; `marker` asks for the next page.
#[must_use]
pub fn account_offers(id: u64, account: Address, index: Index, marker: Option<&Value>) -> String {
    let fields = json!({"account": account.to_string(), "ledger_index": index.json(), "limit": PAGE, "marker": marker});
    request(id, "account_offers", fields)
}

/// Everything that an account owns; `marker` asks for the next page.
#[must_use]
pub fn account_objects(id: u64, account: Address, index: Index, marker: Option<&Value>) -> String {
    let fields = json!({"account": account.to_string(), "ledger_index": index.json(), "limit": PAGE, "marker": marker});
    request(id, "account_objects", fields)
}

/// An account's validated transactions from ledger `min` to `max`, oldest first when `forward`.
#[must_use]
pub fn account_tx(
    id: u64,
    account: Address,
    min: u32,
    max: Option<u32>,
    marker: Option<&Value>,
    forward: bool,
) -> String {
    let fields = json!({
        "account": account.to_string(),
        "ledger_index_min": min,
        // -1 stands for the newest validated ledger.
        "ledger_index_max": max.map_or(-1, i64::from),
        "limit": TX_PAGE,
        "marker": marker,
        "forward": forward,
    });
    request(id, "account_tx", fields)
}

/// Offers that give `gets` for `pays`, best first, in the newest validated ledger.
#[must_use]
pub fn book_offers(id: u64, gets: Asset, pays: Asset, taker: Option<Address>, limit: u32) -> String {
    book_offers_at(id, (gets, pays), taker, Index::Validated, limit)
}

/// The same in a ledger of one's choice.
#[must_use]
pub fn book_offers_at(
    id: u64,
    (gets, pays): (Asset, Asset),
    taker: Option<Address>,
    index: Index,
    limit: u32,
) -> String {
    let fields = json!({
        "taker_gets": asset(gets),
        "taker_pays": asset(pays),
        "taker": taker.map(|t| t.to_string()),
        "limit": limit,
        "ledger_index": index.json(),
    });
    request(id, "book_offers", fields)
}

/// The pool of the token against XRP, where there is one: what it holds, its account and its fee.
#[must_use]
pub fn amm_info(id: u64, token: Token) -> String {
    amm_info_at(id, token, Index::Validated)
}

/// The same in a ledger of one's choice.
#[must_use]
pub fn amm_info_at(id: u64, token: Token, index: Index) -> String {
    let fields = json!({
        "asset": asset(Asset::Xrp),
        "asset2": asset(Asset::Token(token)),
        "ledger_index": index.json(),
    });
    request(id, "amm_info", fields)
}

/// Subscribes to validated ledgers, to both sides of the token's book against XRP, and to nobody's account.
#[must_use]
pub fn subscribe_market(id: u64, token: Token) -> String {
    request(id, "subscribe", json!({"streams": ["ledger"], "books": [both_sides(token)]}))
}

fn both_sides(token: Token) -> Value {
    json!({"taker_gets": {"currency": "XRP"}, "taker_pays": asset(Asset::Token(token)), "both": true})
}

/// Submits a signed transaction; with `fail_hard` the node neither keeps nor retries what fails.
#[must_use]
pub fn submit(id: u64, blob: &str, fail_hard: bool) -> String {
    request(id, "submit", json!({"tx_blob": blob, "fail_hard": fail_hard}))
}

/// What a transaction costs now.
#[must_use]
pub fn fee(id: u64) -> String {
    request(id, "fee", json!({}))
}

/// A ledger's header.
#[must_use]
pub fn ledger(id: u64, index: Index) -> String {
    request(id, "ledger", json!({"ledger_index": index.json()}))
}

/// A transaction by its hash; with a range the answer says whether the node searched all of it.
#[must_use]
pub fn tx(id: u64, hash: Hash, ledgers: Option<(u32, u32)>) -> String {
    let fields = json!({
        "transaction": hash.to_string(),
        "min_ledger": ledgers.map(|(min, _)| min),
        "max_ledger": ledgers.map(|(_, max)| max),
    });
    request(id, "tx", fields)
}

/// Closes the ledger now; only nodes that stand alone do it.
#[must_use]
pub fn ledger_accept(id: u64) -> String {
    request(id, "ledger_accept", json!({}))
}

/// Asks the node to stop; only for its administrator.
#[must_use]
pub fn stop(id: u64) -> String {
    request(id, "stop", json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Currency;

    fn token() -> Token {
        Token { currency: Currency::RLUSD, issuer: "rMxCKbEDwqr76QuheSUMdEGf4B9xJ8m5De".parse().unwrap() }
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn requests_carry_their_number_and_the_api_version() {
        let account = token().issuer;
        let all = [
            subscribe(7, account, token()),
            subscribe_market(7, token()),
            amm_info(7, token()),
            trust_line(7, account, token(), Index::Ledger(5)),
            subscribe_accounts(7, &[account]),
            server_info(7),
            account_info(7, account, Index::Ledger(5)),
            account_lines(7, account, None, Index::Validated, None),
            account_offers(7, account, Index::Validated, None),
            account_objects(7, account, Index::Validated, None),
            account_tx(7, account, 1, None, None, true),
            book_offers(7, Asset::Xrp, Asset::Token(token()), None, 50),
            submit(7, "AB", true),
            fee(7),
            tx(7, Hash([0; 32]), Some((1, 2))),
            ledger(7, Index::Validated),
            ledger_accept(7),
            stop(7),
        ];
        for text in all {
            let value = parsed(&text);
            assert_eq!((value["id"].as_u64(), value["api_version"].as_u64()), (Some(7), Some(2)), "{text}");
            assert!(!text.contains("null"), "{text}");
        }
    }

    #[test]
    fn fields_are_the_nodes() {
        let book = parsed(&subscribe(1, token().issuer, token()));
        assert_eq!(book["books"][0]["taker_pays"]["currency"], "524C555344000000000000000000000000000000");
        assert_eq!(book["books"][0]["both"], true);
        assert!(book["books"][0].get("snapshot").is_none());
        let marker = json!({"ledger": 5, "seq": 1});
        let page = parsed(&account_tx(1, token().issuer, 3, Some(9), Some(&marker), true));
        assert_eq!((&page["ledger_index_min"], &page["ledger_index_max"]), (&json!(3), &json!(9)));
        assert_eq!(page["marker"], marker);
        assert_eq!(parsed(&account_info(1, token().issuer, Index::Validated))["ledger_index"], "validated");
    }
}
