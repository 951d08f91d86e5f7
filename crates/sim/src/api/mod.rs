//! rippled's API: requests in, responses and streams out (shapes of rippled 2.6.1, API versions 1 and 2).

mod accounts;
mod amendments;
mod amm;
mod assets;
mod books;
mod changes;
mod condition;
pub(crate) mod connection;
mod entries;
mod error;
mod history;
mod jsonrpc;
mod ledgers;
pub(crate) mod load;
mod objects;
mod select;
mod server;
mod simulate;
pub(crate) mod stream;
mod submit;
mod subscribe;
#[cfg(test)]
mod tests;
mod transactions;
mod wallet;

use serde_json::{Map, Value as Json, json};

use crate::history::text_of;
use crate::node::{ConnectionId, Node, Outgoing};
use error::ApiError;
pub(crate) use jsonrpc::post;

/// API versions that are answered.
const API_VERSIONS: std::ops::RangeInclusive<u64> = 1..=2;
/// Largest request (rippled, `Tuning::maxRequestSize`).
const MAX_REQUEST_BYTES: usize = 1_000_000;
/// How deep a request may nest (rippled, `Json::Reader::nest_limit`).
const MAX_NESTING: usize = 25;

/// The fields of a result.
pub(crate) type Fields = Map<String, Json>;

/// A request that is to be answered.
pub(crate) struct Request {
    /// All its fields.
    pub json: Fields,
    /// The API version it is answered in.
    pub version: u64,
    /// The WebSocket it came by; `None` by HTTP.
    pub connection: Option<ConnectionId>,
}

impl Request {
    /// A field, also one that is null.
    pub(crate) fn get(&self, field: &str) -> Option<&Json> {
        self.json.get(field)
    }

    /// A field as rippled's JSON reads it where it wants a boolean: all but null, zero and emptiness are true.
    pub(crate) fn flag(&self, field: &str) -> bool {
        self.get(field).is_some_and(truth)
    }

    /// True when a boolean field holds something else, which only version 2 refuses.
    pub(crate) fn misuses_flag(&self, field: &str) -> bool {
        self.version > 1 && self.get(field).is_some_and(|value| !value.is_boolean())
    }
}

fn truth(value: &Json) -> bool {
    match value {
        Json::Null => false,
        Json::Bool(is) => *is,
        Json::Number(number) => number.as_f64() != Some(0.0),
        Json::String(text) => !text.is_empty(),
        Json::Array(rows) => !rows.is_empty(),
        Json::Object(fields) => !fields.is_empty(),
    }
}

/// A JSON object that a client sent; `None` for anything else, and for what is too large or nests too deep.
pub(crate) fn read_object(bytes: &[u8]) -> Option<Fields> {
    if bytes.len() > MAX_REQUEST_BYTES {
        return None;
    }
    match serde_json::from_slice::<Json>(bytes) {
        Ok(json) if nesting(&json) > MAX_NESTING => None,
        Ok(Json::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// Containers around the innermost one. The parser has its own limit, so this ends soon.
fn nesting(json: &Json) -> usize {
    let deepest = match json {
        Json::Array(rows) => rows.iter().map(nesting).max(),
        Json::Object(fields) => fields.values().map(nesting).max(),
        _ => return 0,
    };
    deepest.map_or(0, |below| below + 1)
}

/// The API version that these fields ask for; `None` for one that is not answered.
fn version_of(json: &Fields) -> Option<u64> {
    match json.get("api_version") {
        None => Some(1),
        Some(value) => value.as_u64().filter(|version| API_VERSIONS.contains(version)),
    }
}

/// Answers one message of a client's WebSocket.
pub(crate) fn handle(node: &mut Node, connection: ConnectionId, text: &str) -> Vec<Outgoing> {
    let answer = |json: Json| Outgoing { connection, text: text_of(&json) };
    let Some(json) = read_object(text.as_bytes()) else {
        return vec![answer(json!({ "error": "jsonInvalid", "type": "error", "value": text }))];
    };
    let mut envelope = Fields::new();
    for field in ["id", "jsonrpc", "ripplerpc", "api_version"] {
        if let Some(value) = json.get(field) {
            envelope.insert(field.to_string(), value.clone());
        }
    }
    envelope.insert("type".to_string(), json!("response"));
    let failed = |json: &Fields, mut envelope: Fields, error: ApiError| {
        let mut shown = error.into_fields();
        shown.insert("status".to_string(), json!("error"));
        shown.insert("request".to_string(), masked(json));
        shown.append(&mut envelope);
        Json::Object(shown)
    };
    let Some(version) = version_of(&json) else {
        return vec![answer(failed(&json, envelope, ApiError::bare("invalid_API_version")))];
    };
    let Some(command) = command_of(&json) else {
        return vec![answer(failed(&json, envelope, ApiError::bare("missingCommand")))];
    };
    let request = Request { json, version, connection: Some(connection) };
    let (mut outgoing, result) = dispatch(node, &command, &request);
    let response = match result {
        Ok(result) => {
            envelope.insert("result".to_string(), Json::Object(result));
            envelope.insert("status".to_string(), json!("success"));
            Json::Object(envelope)
        }
        Err(error) => failed(&request.json, envelope, error),
    };
    outgoing.push(answer(response));
    outgoing
}

/// `command`, or `method`; when both are given they must agree.
fn command_of(json: &Fields) -> Option<String> {
    let text = |field: &str| json.get(field).map(|value| value.as_str().map(str::to_string));
    match (text("command"), text("method")) {
        (Some(command), None) => command,
        (None, Some(method)) => method,
        (Some(command), Some(method)) if command == method => command,
        _ => None,
    }
}

/// The request as an error repeats it: secrets are not.
fn masked(json: &Fields) -> Json {
    let mut json = json.clone();
    for field in ["secret", "seed", "seed_hex", "passphrase"] {
        if let Some(value) = json.get_mut(field) {
            *value = json!("<masked>");
        }
    }
    Json::Object(json)
}

/// Methods of a node's administrator, refused as on a public port (rippled, `Handler.cpp`).
const ADMIN_METHODS: [&str; 20] = [
    "blacklist",
    "can_delete",
    "connect",
    "consensus_info",
    "fetch_info",
    "get_counts",
    "ledger_cleaner",
    "ledger_request",
    "log_level",
    "logrotate",
    "peer_reservations_add",
    "peer_reservations_del",
    "peer_reservations_list",
    "peers",
    "print",
    "unl_list",
    "validation_create",
    "validator_info",
    "validator_list_sites",
    "validators",
];

/// Methods of a node that this one has nothing to answer with.
const UNMODELLED_METHODS: [&str; 15] = [
    "channel_verify",
    "get_aggregate_price",
    "ledger_header",
    "manifest",
    "nft_buy_offers",
    "nft_sell_offers",
    "owner_info",
    "path_find",
    "ripple_path_find",
    "server_definitions",
    "tx_history",
    "tx_reduce_relay",
    "vault_info",
    "deposit_authorized",
    "noripple_check",
];

pub(crate) fn dispatch(node: &mut Node, command: &str, request: &Request) -> (Vec<Outgoing>, Result<Fields, ApiError>) {
    if let Some(refusal) = condition::refusal(node, command, request.version) {
        return (Vec::new(), Err(refusal));
    }
    match command {
        "submit" => return submit::submit(node, request),
        "ledger_accept" if node.accepts_ledgers => {
            if let Some(ended) = node.mirror_ended() {
                return (Vec::new(), Err(ApiError::new("notReady", 71, ended)));
            }
            let outgoing = node.close_ledger();
            return (outgoing, Ok(server::ledger_current(node)));
        }
        _ => {}
    }
    let result = match command {
        "subscribe" => subscribe::subscribe(node, request),
        "unsubscribe" => subscribe::unsubscribe(node, request),
        "random" => Ok(wallet::random(node)),
        "wallet_propose" => wallet::wallet_propose(node, request),
        "simulate" => simulate::simulate(node, request),
        "stop" => {
            node.stopping = true;
            Ok(Fields::from_iter([("message".to_string(), json!("ripple server stopping"))]))
        }
        _ => read(node, command, request),
    };
    (Vec::new(), result)
}

/// The methods that change nothing.
fn read(node: &Node, command: &str, request: &Request) -> Result<Fields, ApiError> {
    match command {
        "ping" => Ok(Fields::new()),
        "server_info" => Ok(server::server_info(node)),
        "server_state" => Ok(server::server_state(node)),
        "feature" => amendments::feature(request),
        "version" => Ok(server::version()),
        "fee" => Ok(load::fee(node)),
        "ledger_current" => Ok(server::ledger_current(node)),
        "ledger_closed" => Ok(server::ledger_closed(node)),
        "ledger" => ledgers::ledger(node, request),
        "ledger_data" => entries::ledger_data(node, request),
        "ledger_entry" => entries::ledger_entry(node, request),
        "tx" => transactions::tx(node, request),
        "transaction_entry" => transactions::transaction_entry(node, request),
        "account_tx" => history::account_tx(node, request),
        "account_info" => accounts::account_info(node, request),
        "account_lines" => accounts::account_lines(node, request),
        "account_offers" => accounts::account_offers(node, request),
        "account_objects" => accounts::account_objects(node, request),
        "account_channels" => accounts::nothing_of(node, request, "channels"),
        "account_nfts" => accounts::nothing_of(node, request, "account_nfts"),
        "account_currencies" => assets::account_currencies(node, request),
        "gateway_balances" => assets::gateway_balances(node, request),
        "book_offers" => books::book_offers(node, request),
        "book_changes" => changes::book_changes(node, request),
        "amm_info" => amm::amm_info(node, request),
        "sign" | "sign_for" | "channel_authorize" => Err(ApiError::no_signing()),
        "submit_multisigned" => Err(ApiError::new("notSupported", 75, "Operation not supported.")),
        "ledger_accept" => Err(ApiError::new("forbidden", 3, "Bad credentials.")),
        _ if ADMIN_METHODS.contains(&command) => Err(ApiError::new("forbidden", 3, "Bad credentials.")),
        _ if UNMODELLED_METHODS.contains(&command) => Err(ApiError::not_impl()),
        _ => Err(ApiError::new("unknownCmd", 32, "Unknown method.")),
    }
}

/// The fields of a JSON object built in place.
pub(crate) fn fields(json: Json) -> Fields {
    match json {
        Json::Object(fields) => fields,
        _ => Fields::new(),
    }
}
