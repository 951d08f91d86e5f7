//! account_currencies, gateway_balances.

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::{Address, Currency};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::objects::{self};
use super::{Fields, Request, accounts, select};
use crate::amount::TokenValue;
use crate::node::Node;
use crate::state::{Entry, Key, LSF_HIGH_FREEZE, LSF_LOW_FREEZE, LineKey, State, TrustLine};

/// A trust line as one of its accounts sees it.
struct Seen {
    peer: Address,
    currency: Currency,
    balance: TokenValue,
    limit: TokenValue,
    limit_peer: TokenValue,
    /// True when this account froze it.
    frozen: bool,
}

fn seen(account: Address, key: LineKey, line: &TrustLine) -> Seen {
    let (peer, currency) = (key.peer_of(account), key.currency);
    if account == key.low {
        let frozen = line.flags & LSF_LOW_FREEZE != 0;
        let (limit, limit_peer) = (line.low_limit, line.high_limit);
        Seen { peer, currency, balance: line.balance, limit, limit_peer, frozen }
    } else {
        let frozen = line.flags & LSF_HIGH_FREEZE != 0;
        let (limit, limit_peer) = (line.high_limit, line.low_limit);
        Seen { peer, currency, balance: line.balance.neg(), limit, limit_peer, frozen }
    }
}

/// An account's trust lines in its directory's order, as it sees them.
fn lines(state: &State, account: Address) -> Vec<Seen> {
    objects::owned(state, account)
        .into_iter()
        .filter_map(|object| match (object.key, &object.entry) {
            (Key::Line(key), Entry::Line(line)) => Some(seen(account, key, line)),
            _ => None,
        })
        .collect()
}

pub(super) fn account_currencies(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let (selected, account) = accounts::existing(node, request)?;
    let (mut receive, mut send) = (BTreeSet::new(), BTreeSet::new());
    for line in lines(&selected.state, account) {
        if line.balance < line.limit {
            receive.insert(line.currency);
        }
        if line.balance.neg() < line.limit_peer {
            send.insert(line.currency);
        }
    }
    let mut result = selected.fields;
    result.insert("receive_currencies".to_string(), json!(receive));
    result.insert("send_currencies".to_string(), json!(send));
    Ok(result)
}

pub(super) fn gateway_balances(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let selected = select::ledger(node, request)?;
    let value = request.get("account").or_else(|| request.get("ident"));
    let value = value.ok_or_else(|| ApiError::missing_field("account"))?;
    let text = select::text_of(value).ok_or_else(ApiError::internal)?;
    let account: Address = text.parse().map_err(|_| ApiError::account_malformed())?;
    let mut result = selected.fields;
    result.insert("account".to_string(), json!(account));
    if request.version > 1 && selected.state.account(account).is_none() {
        return Err(ApiError::account_not_found().with(result));
    }
    let Some(hot) = hot_wallets(request) else {
        let error = match request.version {
            1 => ApiError::new("invalidHotWallet", 30, "Invalid hotwallet."),
            _ => ApiError::bad_params(),
        };
        return Err(error.with(result));
    };
    let balances = sort(lines(&selected.state, account), &hot)?;
    if !balances.obligations.is_empty() {
        let owed = balances.obligations.iter().map(|(currency, sum)| (currency.to_string(), json!(sum.text())));
        result.insert("obligations".to_string(), Json::Object(owed.collect()));
    }
    for (name, rows) in [("balances", balances.hot), ("frozen_balances", balances.frozen), ("assets", balances.assets)]
    {
        if !rows.is_empty() {
            let rows = rows.into_iter().map(|(peer, rows)| (peer.to_string(), json!(rows)));
            result.insert(name.to_string(), Json::Object(rows.collect()));
        }
    }
    Ok(result)
}

/// The accounts that `hotwallet` names; `None` when one of them cannot be read.
fn hot_wallets(request: &Request) -> Option<BTreeSet<Address>> {
    let read = |value: &Json| value.as_str().and_then(|text| text.parse().ok());
    match request.get("hotwallet") {
        None | Some(Json::Null) => Some(BTreeSet::new()),
        Some(Json::Array(rows)) => rows.iter().map(read).collect(),
        Some(value) => read(value).map(|account| BTreeSet::from([account])),
    }
}

type Rows = BTreeMap<Address, Vec<Json>>;

#[derive(Default)]
struct Balances {
    obligations: BTreeMap<Currency, TokenValue>,
    hot: Rows,
    frozen: Rows,
    assets: Rows,
}

/// Sorts an issuer's lines by what they are to it: what it owes is negative on its side.
fn sort(lines: Vec<Seen>, hot: &BTreeSet<Address>) -> Result<Balances, ApiError> {
    let mut balances = Balances::default();
    for line in lines.into_iter().filter(|line| !line.balance.is_zero()) {
        let row = |value: TokenValue| json!({ "currency": line.currency, "value": value.text() });
        let (owed, is_asset) = (line.balance.neg(), line.balance.mantissa() > 0);
        let rows = match () {
            () if hot.contains(&line.peer) => &mut balances.hot,
            () if is_asset => {
                balances.assets.entry(line.peer).or_default().push(row(line.balance));
                continue;
            }
            () if line.frozen => &mut balances.frozen,
            () => {
                let sum = balances.obligations.entry(line.currency).or_insert(TokenValue::ZERO);
                *sum = sum.add(owed).map_err(|_| ApiError::internal())?;
                continue;
            }
        };
        rows.entry(line.peer).or_default().push(row(owed));
    }
    Ok(balances)
}
