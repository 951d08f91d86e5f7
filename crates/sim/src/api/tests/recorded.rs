//! The requests that a rippled 2.6.1 was asked, and what it answered (`../shared/fixtures/api/rippled`).

use std::collections::BTreeMap;

use neo_ledger::Hash;
use serde_json::{Value as Json, json};

use super::compare::Differences;
use super::world::{FIXTURES, build, fixture};
use crate::node::{ConnectionId, Node};

/// Cases that are not compared, by file (without its version) and name; `*` for all of a file.
const NOT_COMPARED: &[(&str, &str, &str)] = &[
    ("stop", "*", "here any client may stop the ledger: that is how `neo` ends it"),
    ("ripple_path_find", "*", "path finding is not modelled"),
    ("jsonrpc_server_info", "*", "the recorded port was an administrator's, who is told more"),
];

/// Files of which only the shape is compared.
const SHAPE_ONLY: &[(&str, &str)] =
    &[("submit", "between the recorded submissions stood others, which are not at hand: sequence numbers differ")];
/// What the order of transactions in their ledger decides. It follows hashes of a kind that is not modelled, and only in
/// `account_tx` is it seen.
const OF_THE_ORDER: [&str; 3] = ["AffectedNodes", "TransactionIndex", "ctid"];

struct Case {
    file: String,
    name: String,
    transport: String,
    request: Json,
    response: Json,
}

fn cases() -> Option<Vec<Case>> {
    fixture("requests/ping.v1.json")?;
    let mut files: Vec<String> = std::fs::read_dir(format!("{FIXTURES}/requests"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        for case in fixture(&format!("requests/{file}"))?.as_array().unwrap() {
            cases.push(Case {
                file: file.trim_end_matches(".json").to_string(),
                name: case["name"].as_str().unwrap().to_string(),
                transport: case["transport"].as_str().unwrap().to_string(),
                request: case["request"].clone(),
                response: case["response"].clone(),
            });
        }
    }
    Some(cases)
}

fn reason(case: &Case) -> Option<&'static str> {
    let method = case.file.split(".v").next().unwrap_or_default();
    NOT_COMPARED
        .iter()
        .find(|(file, name, _)| *file == method && (*name == "*" || *name == case.name))
        .map(|(_, _, reason)| *reason)
}

/// Names hashes of the recorded ledgers in a request by ours of the same index.
fn translated(node: &Node, hashes: &BTreeMap<String, u32>, request: &Json) -> Json {
    let mut request = request.clone();
    if let Some(index) = request["ledger_hash"].as_str().and_then(|hash| hashes.get(hash))
        && let Some(header) = node.history.header(*index)
    {
        request["ledger_hash"] = json!(header.hash);
    }
    request
}

/// The recorded ledgers' hashes, as the answers tell them.
fn hashes(cases: &[Case]) -> BTreeMap<String, u32> {
    let mut hashes = BTreeMap::new();
    for case in cases {
        let result = &case.response["result"];
        if let (Some(hash), Some(index)) = (result["ledger_hash"].as_str(), result["ledger_index"].as_u64()) {
            hash.parse::<Hash>().unwrap();
            hashes.insert(hash.to_string(), u32::try_from(index).unwrap());
        }
    }
    hashes
}

fn answer(node: &mut Node, id: ConnectionId, case: &Case, request: &Json) -> Json {
    let text = match case.transport.as_str() {
        "ws raw" => request.as_str().unwrap().to_string(),
        _ => request.to_string(),
    };
    if case.transport == "http" {
        let (_, reply) = node.post(text.as_bytes());
        return json!({ "http_status": reply.status, "body": serde_json::from_str::<Json>(&reply.body).unwrap() });
    }
    let outgoing = node.request(id, &text);
    serde_json::from_str(&outgoing.last().unwrap().text).unwrap()
}

#[test]
fn recorded_requests_are_answered_as_a_real_node_answered_them() {
    let (Some(cases), Some((mut node, refused))) = (cases(), build()) else { return };
    assert!(refused.is_empty(), "not in this world: {refused:#?}");
    let hashes = hashes(&cases);
    let (mut compared, mut shapes, mut values, mut left_out) = (0, Vec::new(), Vec::new(), BTreeMap::new());
    for case in &cases {
        if let Some(reason) = reason(case) {
            left_out.entry(format!("{}, {}", case.file, case.name)).or_insert(reason);
            continue;
        }
        let id = node.connect();
        let request = translated(&node, &hashes, &case.request);
        let mut got = answer(&mut node, id, case, &request);
        let mut expected = case.response.clone();
        // What is repeated of the request is our own.
        if let Some(request) = got.get("request") {
            expected["request"] = request.clone();
        }
        if case.file.starts_with("account_tx") {
            (expected, got) = (without(&expected, &OF_THE_ORDER), without(&got, &OF_THE_ORDER));
        }
        let differences = Differences::of(&expected, &got);
        let named = |what: &String| format!("{}, {}: {what}", case.file, case.name);
        shapes.extend(differences.shape.iter().map(named));
        if SHAPE_ONLY.iter().all(|(file, _)| !case.file.starts_with(file)) {
            values.extend(differences.values.iter().map(named));
        }
        compared += 1;
        node.disconnect(id);
    }
    for (case, reason) in &left_out {
        eprintln!("not compared: {case}: {reason}");
    }
    for (file, reason) in SHAPE_ONLY {
        eprintln!("of {file} only fields and types are compared: {reason}");
    }
    eprintln!(
        "{compared} recorded requests compared, {} not; not compared anywhere: directories in metadata, and the \
               values of hashes and clocks; in account_tx not what the order within a ledger decides",
        left_out.len()
    );
    for difference in shapes.iter().chain(&values) {
        eprintln!("{difference}");
    }
    assert!(shapes.is_empty(), "{} shapes differ", shapes.len());
    assert!(values.is_empty(), "{} values differ", values.len());
}

/// The same without these fields, wherever they are.
fn without(json: &Json, left_out: &[&str]) -> Json {
    match json {
        Json::Array(rows) => rows.iter().map(|row| without(row, left_out)).collect(),
        Json::Object(fields) => {
            let kept = fields.iter().filter(|(name, _)| !left_out.contains(&name.as_str()));
            Json::Object(kept.map(|(name, value)| (name.clone(), without(value, left_out))).collect())
        }
        other => other.clone(),
    }
}

/// The names of an object's fields.
fn names(json: &Json) -> Vec<&str> {
    json.as_object().map(|fields| fields.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Stream messages of a recorded run, one of each kind and version.
fn recorded_messages(file: &str) -> Option<BTreeMap<String, Json>> {
    let path = format!("{FIXTURES}/streams/{file}");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {path} is not here; the recorded messages are not part of the project");
        return None;
    };
    let mut kinds = BTreeMap::new();
    for line in text.lines() {
        let event: Json = serde_json::from_str(line).unwrap();
        let message = &event["msg"];
        let tx = message.get("tx_json").or_else(|| message.get("transaction"));
        let of_type = tx.and_then(|tx| tx["TransactionType"].as_str()).unwrap_or_default();
        let kind = format!("{} {} {of_type}", message["type"].as_str().unwrap_or_default(), message["status"]);
        kinds.entry(kind).or_insert(message.clone());
    }
    Some(kinds)
}

#[test]
fn stream_messages_have_the_fields_of_a_real_nodes() {
    for (file, version) in [("trading15_api1.jsonl", 1), ("trading60_a.jsonl", 2)] {
        let Some(kinds) = recorded_messages(file) else { return };
        let mut node = Node::new(&crate::Scenario { network_id: 0, ..crate::Scenario::default() }, 5).unwrap();
        let id = node.connect();
        let streams = json!(["ledger", "transactions", "transactions_proposed", "book_changes"]);
        let request = json!({ "id": 1, "command": "subscribe", "api_version": version, "streams": streams });
        node.request(id, &request.to_string());
        let mut seen = BTreeMap::new();
        for out in (0..20).flat_map(|_| node.close_ledger()) {
            let message: Json = serde_json::from_str(&out.text).unwrap();
            let name = if version > 1 { "tx_json" } else { "transaction" };
            let of_type = message[name]["TransactionType"].as_str().unwrap_or_default().to_string();
            let kind = format!("{} {} {of_type}", message["type"].as_str().unwrap(), message["status"]);
            let Some(recorded) = kinds.get(&kind) else { continue };
            assert_eq!(names(&message), names(recorded), "{kind}");
            // Transactions of the simulation carry no signature; optional fields come and go.
            let own = ["Expiration", "Flags", "LastLedgerSequence", "OfferSequence", "TicketSequence", "TxnSignature"];
            let fields = |json: &Json| {
                names(&json[name])
                    .into_iter()
                    .filter(|field| !own.contains(field))
                    .map(str::to_string)
                    .collect::<Vec<_>>()
            };
            assert_eq!(fields(&message), fields(recorded), "{kind}");
            *seen.entry(kind).or_insert(0) += 1;
        }
        for kind in ["ledgerClosed null ", "bookChanges null ", "transaction \"proposed\" OfferCreate"] {
            assert!(seen.contains_key(kind), "{kind}: {seen:?}");
        }
    }
}
