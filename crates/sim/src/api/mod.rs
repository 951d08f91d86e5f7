//! rippled's WebSocket API: requests in, responses and streams out (shapes of rippled 2.6.1, API versions 1 and 2).

mod accounts;
mod books;
pub(crate) mod connection;
mod error;
mod history;
mod select;
mod server;
pub(crate) mod stream;
mod submit;
mod subscribe;

use serde_json::{Map, Value as Json, json};

use crate::node::{ConnectionId, Node, Outgoing};
use error::ApiError;

/// API versions that are answered.
const API_VERSIONS: std::ops::RangeInclusive<u64> = 1..=2;

/// The fields of a result.
pub(crate) type Fields = Map<String, Json>;

/// A request that is to be answered.
pub(crate) struct Request {
    /// All its fields.
    pub json: Fields,
    /// The API version it is answered in.
    pub version: u64,
}

impl Request {
    pub(crate) fn get(&self, field: &str) -> Option<&Json> {
        self.json.get(field)
    }

    pub(crate) fn flag(&self, field: &str) -> bool {
        self.get(field).and_then(Json::as_bool).unwrap_or(false)
    }
}

/// Answers one message of a client.
pub(crate) fn handle(node: &mut Node, connection: ConnectionId, text: &str) -> Vec<Outgoing> {
    let answer = |json: Json| Outgoing { connection, text: json.to_string() };
    let Ok(Json::Object(json)) = serde_json::from_str::<Json>(text) else {
        let shown: String = text.chars().take(1_000).collect();
        return vec![answer(json!({ "error": "jsonInvalid", "type": "error", "value": shown }))];
    };
    let mut envelope = Fields::new();
    for field in ["id", "api_version"] {
        if let Some(value) = json.get(field) {
            envelope.insert(field.to_string(), value.clone());
        }
    }
    let failed = |mut envelope: Fields, error: ApiError| {
        envelope.insert("status".to_string(), json!("error"));
        envelope.insert("type".to_string(), json!("response"));
        envelope.insert("request".to_string(), masked(&json));
        envelope.extend(error.into_fields());
        Json::Object(envelope)
    };
    let version = match json.get("api_version") {
        None => 1,
        Some(value) => match value.as_u64().filter(|version| API_VERSIONS.contains(version)) {
            Some(version) => version,
            None => return vec![answer(failed(envelope, ApiError::bare("invalid_API_version")))],
        },
    };
    let Some(command) = command_of(&json) else {
        return vec![answer(failed(envelope, ApiError::bare("missingCommand")))];
    };
    let request = Request { json: json.clone(), version };
    let (mut outgoing, result) = dispatch(node, connection, &command, &request);
    let response = match result {
        Ok(result) => {
            envelope.insert("result".to_string(), Json::Object(result));
            envelope.insert("status".to_string(), json!("success"));
            envelope.insert("type".to_string(), json!("response"));
            Json::Object(envelope)
        }
        Err(error) => failed(envelope, error),
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

fn dispatch(
    node: &mut Node,
    connection: ConnectionId,
    command: &str,
    request: &Request,
) -> (Vec<Outgoing>, Result<Fields, ApiError>) {
    let result = match command {
        "ping" => Ok(Fields::new()),
        "server_info" => Ok(server::server_info(node)),
        "server_state" => Ok(server::server_state(node)),
        "fee" => Ok(server::fee(node)),
        "ledger_current" => Ok(server::ledger_current(node)),
        "ledger_closed" => Ok(server::ledger_closed(node)),
        "ledger" => history::ledger(node, request),
        "tx" => history::tx(node, request),
        "account_tx" => history::account_tx(node, request),
        "account_info" => accounts::account_info(node, request),
        "account_lines" => accounts::account_lines(node, request),
        "account_offers" => accounts::account_offers(node, request),
        "account_objects" => accounts::account_objects(node, request),
        "book_offers" => books::book_offers(node, request),
        "submit" => submit::submit(node, request),
        "subscribe" => subscribe::subscribe(node, connection, request),
        "unsubscribe" => subscribe::unsubscribe(node, connection, request),
        "ledger_accept" => {
            let outgoing = node.close_ledger();
            return (outgoing, Ok(server::ledger_current(node)));
        }
        "stop" => {
            node.stopping = true;
            Ok(Fields::from_iter([("message".to_string(), json!("ripple server stopping"))]))
        }
        _ => Err(ApiError::new("unknownCmd", 32, "Unknown method.")),
    };
    (Vec::new(), result)
}

/// The fields of a JSON object built in place.
pub(crate) fn fields(json: Json) -> Fields {
    match json {
        Json::Object(fields) => fields,
        _ => Fields::new(),
    }
}
