//! JSON-RPC over HTTP: a body in, a status and a body out (rippled, `ServerHandler::processRequest`).

use serde_json::{Value as Json, json};

use super::{Fields, Request, dispatch, fields, masked, read_object, version_of};
use crate::node::{HttpReply, Node, Outgoing};

/// Most calls of a batch that are answered; a larger batch is refused whole.
const MAX_BATCH: usize = 1_000;
/// The code of a batch's call that names no method.
const METHOD_NOT_FOUND: i64 = -32_601;
/// The code of a batch's call in a version that is not answered.
const WRONG_VERSION: i64 = -32_606;

/// One call of a body.
struct Call {
    method: String,
    params: Fields,
    version: u64,
}

/// Answers the body of a POST.
pub(crate) fn post(node: &mut Node, body: &[u8]) -> (Vec<Outgoing>, HttpReply) {
    let refused = |said: &str| (Vec::new(), HttpReply { status: 400, body: said.to_string() });
    let Some(json) = read_object(body).filter(|json| !json.is_empty()) else {
        return refused("Unable to parse request: a JSON object is expected");
    };
    if json.get("method") == Some(&json!("batch")) {
        return match json.get("params").and_then(Json::as_array) {
            Some(calls) if calls.len() <= MAX_BATCH => batch(node, calls),
            _ => refused("Malformed batch request"),
        };
    }
    match single(&json) {
        Err(said) => refused(said),
        Ok(call) => {
            let (outgoing, reply) = answer(node, call);
            let status = status_of(&reply);
            (outgoing, HttpReply { status, body: Json::Object(reply).to_string() })
        }
    }
}

/// Reads a body that is one call.
fn single(json: &Fields) -> Result<Call, &'static str> {
    let first = json.get("params").and_then(Json::as_array).and_then(|params| params.first());
    let version = match first {
        Some(Json::Object(params)) => version_of(params).ok_or("invalid_API_version")?,
        _ => 1,
    };
    let method = method_of(json)?;
    let params = match json.get("params") {
        None | Some(Json::Null) => Fields::new(),
        Some(Json::Array(params)) if params.is_empty() => Fields::new(),
        Some(Json::Array(params)) => match params.as_slice() {
            [Json::Object(params)] => params.clone(),
            [Json::Null] => Fields::new(),
            _ => return Err("params unparseable"),
        },
        Some(_) => return Err("params unparseable"),
    };
    if params.get("ripplerpc").is_some_and(|value| !value.is_string()) {
        return Err("ripplerpc is not a string");
    }
    Ok(Call { method, params, version })
}

fn method_of(json: &Fields) -> Result<String, &'static str> {
    match json.get("method") {
        None | Some(Json::Null) => Err("Null method"),
        Some(Json::String(method)) if method.is_empty() => Err("method is empty"),
        Some(Json::String(method)) => Ok(method.clone()),
        Some(_) => Err("method is not string"),
    }
}

/// A batch's calls carry their fields beside the method.
fn batch(node: &mut Node, calls: &[Json]) -> (Vec<Outgoing>, HttpReply) {
    let (mut outgoing, mut replies) = (Vec::new(), Vec::new());
    let refused = |code: i64, said: &str| json!({ "code": code, "message": said });
    for call in calls {
        let Json::Object(fields) = call else {
            replies
                .push(json!({ "request": call, "error": { "error": refused(METHOD_NOT_FOUND, "Method not found") } }));
            continue;
        };
        let nested = fields.get("params").and_then(Json::as_array).and_then(|params| params.first());
        let version = match nested {
            Some(Json::Object(params)) if params.contains_key("api_version") => version_of(params),
            _ => version_of(fields),
        };
        let Some(version) = version else {
            let error = json!({ "error": refused(WRONG_VERSION, "invalid_API_version") });
            replies.push(json!({ "request": call, "error": error }));
            continue;
        };
        match method_of(fields) {
            Ok(method) => {
                let (sent, reply) = answer(node, Call { method, params: fields.clone(), version });
                outgoing.extend(sent);
                replies.push(Json::Object(reply));
            }
            Err(said) => {
                let mut shown = fields.clone();
                shown.insert("error".to_string(), json!({ "error": refused(METHOD_NOT_FOUND, said) }));
                replies.push(Json::Object(shown));
            }
        }
    }
    (outgoing, HttpReply { status: 200, body: json!(replies).to_string() })
}

fn answer(node: &mut Node, call: Call) -> (Vec<Outgoing>, Fields) {
    let Call { method, mut params, version } = call;
    params.insert("command".to_string(), json!(method));
    let request = Request { json: params.clone(), version, connection: None };
    // A WebSocket may give both names; here the method stands outside.
    let agrees = params.get("method").is_none_or(|inner| inner.as_str() == Some(method.as_str()));
    let command = if agrees { method.as_str() } else { "" };
    let (outgoing, result) = dispatch(node, command, &request);
    let modern = params.get("ripplerpc").and_then(Json::as_str).is_some_and(|text| text >= "2.0");
    let mut reply = Fields::new();
    match result {
        Ok(mut result) => {
            result.insert("status".to_string(), json!("success"));
            reply.insert("result".to_string(), Json::Object(result));
        }
        Err(error) => {
            let mut shown = error.into_fields();
            shown.insert("status".to_string(), json!("error"));
            if modern {
                let code = shown.get("error_code").cloned().unwrap_or_default();
                let message = shown.remove("error_message").unwrap_or_default();
                shown.extend(fields(json!({ "code": code, "message": message })));
                reply.insert("error".to_string(), Json::Object(shown));
            } else {
                shown.insert("request".to_string(), masked(&params));
                reply.insert("result".to_string(), Json::Object(shown));
            }
        }
    }
    for field in ["jsonrpc", "ripplerpc", "id"] {
        if let Some(value) = params.get(field) {
            reply.insert(field.to_string(), value.clone());
        }
    }
    (outgoing, reply)
}

/// 200, but for clients of ripplerpc 3.0, who get an error's own status (rippled, `ErrorCodes.cpp`).
fn status_of(reply: &Fields) -> u16 {
    let newest = reply.get("ripplerpc").and_then(Json::as_str).is_some_and(|text| text >= "3.0");
    let code = reply.get("error").and_then(|error| error.get("error_code")).and_then(Json::as_i64);
    match code.filter(|_| newest) {
        None => 200,
        Some(3) => 403,
        Some(6) => 401,
        Some(9 | 10) => 503,
        Some(19 | 21 | 29 | 92) => 404,
        Some(32) => 405,
        Some(73) => 500,
        Some(74 | 75) => 501,
        Some(_) => 400,
    }
}
