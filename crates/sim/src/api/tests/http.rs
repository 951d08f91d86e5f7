//! JSON-RPC bodies.

use serde_json::{Value as Json, json};

use crate::node::Node;
use crate::scenario::Scenario;

fn node() -> Node {
    Node::new(&Scenario { market: false, ..Scenario::default() }, 1).unwrap()
}

fn post(node: &mut Node, body: &str) -> (u16, String) {
    let (_, reply) = node.post(body.as_bytes());
    (reply.status, reply.body)
}

fn result(node: &mut Node, body: Json) -> Json {
    let (status, body) = post(node, &body.to_string());
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn what_is_no_call_is_refused_in_words() {
    let mut node = node();
    let refusals = [
        ("", "Unable to parse request: a JSON object is expected"),
        ("[]", "Unable to parse request: a JSON object is expected"),
        ("{}", "Unable to parse request: a JSON object is expected"),
        (r#"{"params":[]}"#, "Null method"),
        (r#"{"method":5}"#, "method is not string"),
        (r#"{"method":""}"#, "method is empty"),
        (r#"{"method":"fee","params":{}}"#, "params unparseable"),
        (r#"{"method":"fee","params":[1]}"#, "params unparseable"),
        (r#"{"method":"fee","params":[{},{}]}"#, "params unparseable"),
        (r#"{"method":"fee","params":[{"api_version":3}]}"#, "invalid_API_version"),
        (r#"{"method":"fee","params":[{"ripplerpc":2}]}"#, "ripplerpc is not a string"),
        (r#"{"method":"batch"}"#, "Malformed batch request"),
    ];
    for (body, said) in refusals {
        assert_eq!(post(&mut node, body), (400, said.to_string()), "{body}");
    }
}

#[test]
fn status_stands_in_the_result_and_errors_repeat_the_request() {
    let mut node = node();
    let ping = result(&mut node, json!({ "method": "ping" }));
    assert_eq!(ping, json!({ "result": { "status": "success" } }));
    let ping = result(&mut node, json!({ "method": "ping", "params": [{ "id": 7, "jsonrpc": "2.0" }] }));
    assert_eq!(ping, json!({ "id": 7, "jsonrpc": "2.0", "result": { "status": "success" } }));
    let failed = result(&mut node, json!({ "method": "sign", "params": [{ "secret": "s", "api_version": 2 }] }));
    assert_eq!(failed["result"]["error"], "notSupported");
    let repeated = json!({ "api_version": 2, "command": "sign", "secret": "<masked>" });
    assert_eq!(failed["result"]["request"], repeated);
    let modern = json!({ "method": "foo", "params": [{ "ripplerpc": "2.0" }] });
    assert_eq!(
        result(&mut node, modern)["error"],
        json!({
            "code": 32, "error": "unknownCmd", "error_code": 32, "message": "Unknown method.", "status": "error",
        })
    );
    let (status, _) = post(&mut node, r#"{"method":"foo","params":[{"ripplerpc":"3.0"}]}"#);
    assert_eq!(status, 405);
    let listen = result(&mut node, json!({ "method": "subscribe", "params": [{ "streams": ["ledger"] }] }));
    assert_eq!(listen["result"]["error"], "invalidParams");
}

#[test]
fn a_batch_answers_each_of_its_calls() {
    let mut node = node();
    let calls = json!([{ "method": "ping" }, 5, { "method": 5 }, { "method": "ping", "api_version": 9 }]);
    let answers = result(&mut node, json!({ "method": "batch", "params": calls }));
    let rows = answers.as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0]["result"]["status"], "success");
    assert_eq!(rows[1]["error"]["error"]["code"], -32_601);
    assert_eq!(rows[2]["error"]["error"]["message"], "method is not string");
    assert_eq!(rows[3]["error"]["error"]["code"], -32_606);
}

#[test]
fn ledger_accept_closes_only_where_clients_may() {
    let mut node = node();
    let id = node.connect();
    node.request(id, &json!({ "command": "subscribe", "streams": ["ledger"] }).to_string());
    let (outgoing, reply) = node.post(br#"{"method":"ledger_accept"}"#);
    assert_eq!(
        (outgoing.len(), reply.body.as_str()),
        (1, r#"{"result":{"ledger_current_index":4,"status":"success"}}"#)
    );
    node.allow_ledger_accept(false);
    let (outgoing, reply) = node.post(br#"{"method":"ledger_accept"}"#);
    assert!(outgoing.is_empty() && reply.body.contains("forbidden"), "{}", reply.body);
}
