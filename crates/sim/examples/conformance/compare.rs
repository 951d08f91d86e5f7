//! Comparing entries and metadata: amounts as numbers, an absent field as its default.

use neo_ledger::Asset;
use neo_sim::amount::Value;
use serde_json::{Map, Value as Json};

/// Where two values differ: the path of fields to the place, and what each side has there.
#[derive(Debug, PartialEq)]
pub struct Difference {
    pub field: String,
    pub expected: Json,
    pub got: Json,
}

/// Fields that recordings leave out or that directories and threading alone decide.
const LEFT_OUT: [&str; 9] = [
    "BookNode",
    "HighNode",
    "LedgerEntryType",
    "LowNode",
    "OwnerNode",
    "PreviousTxnID",
    "PreviousTxnLgrSeq",
    "VaultID",
    "index",
];

/// The first field of two entries that differs.
pub fn entries(expected: &Json, got: &Json) -> Option<Difference> {
    differ("", expected, got)
}

fn differ(path: &str, expected: &Json, got: &Json) -> Option<Difference> {
    if same(expected, got) {
        return None;
    }
    match (expected, got) {
        // An amount differs as a whole.
        (Json::Object(theirs), Json::Object(_)) if theirs.contains_key("value") => {}
        (Json::Object(theirs), Json::Object(ours)) => return objects(path, theirs, ours),
        (Json::Array(theirs), Json::Array(ours)) if theirs.len() == ours.len() => {
            let places = theirs.iter().zip(ours).enumerate();
            return places.into_iter().find_map(|(n, (a, b))| differ(&format!("{path}[{n}]"), a, b));
        }
        _ => {}
    }
    Some(Difference { field: path.to_string(), expected: expected.clone(), got: got.clone() })
}

fn objects(path: &str, theirs: &Map<String, Json>, ours: &Map<String, Json>) -> Option<Difference> {
    let names: std::collections::BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let of = |fields: &Map<String, Json>, name: &str| fields.get(name).cloned().unwrap_or_default();
    names.into_iter().filter(|name| !LEFT_OUT.contains(&name.as_str())).find_map(|name| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        differ(&path, &of(theirs, name), &of(ours, name))
    })
}

fn same(a: &Json, b: &Json) -> bool {
    if a == b || (is_default(a) && is_default(b)) {
        return true;
    }
    match (a, b) {
        (Json::Number(number), Json::String(text)) | (Json::String(text), Json::Number(number)) => {
            number.to_string() == *text
        }
        (Json::Object(_), Json::Object(_)) => amount(a).is_some_and(|value| amount(b) == Some(value)),
        _ => false,
    }
}

/// True for what a field has when it is not there.
fn is_default(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Number(number) => number.as_u64() == Some(0),
        Json::String(text) => text == "0",
        _ => false,
    }
}

fn amount(json: &Json) -> Option<(Value, Asset)> {
    let amount: neo_ledger::Amount = serde::Deserialize::deserialize(json).ok()?;
    Value::from_amount(&amount).ok()
}

/// The first node of two metadata that differs, directories left out.
pub fn metadata(expected: &Json, got: &Json) -> Option<Difference> {
    let nodes = |metadata: &Json| {
        let nodes = metadata["AffectedNodes"].as_array().into_iter().flatten();
        let flat = nodes.filter_map(|node| node.as_object()?.iter().next());
        let kept = flat.filter(|(_, node)| node["LedgerEntryType"] != "DirectoryNode");
        kept.map(|(kind, node)| (node["LedgerIndex"].to_string(), json_of(kind, node))).collect::<Map<_, _>>()
    };
    objects("meta", &nodes(expected), &nodes(got))
}

/// A node with its kind; a row of `PreviousTxnID` alone is kept by its presence.
fn json_of(kind: &str, node: &Json) -> Json {
    let mut node = node.clone();
    node["kind"] = Json::String(kind.to_string());
    node["type"] = node["LedgerEntryType"].clone();
    node
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_numbers_and_absent_is_default() {
        let usd =
            |value: &str| json!({ "currency": "USD", "issuer": "rhfgRW9rZ4fr6xeobJA36tPwLY6sZDYBHc", "value": value });
        let theirs =
            json!({ "Flags": 0, "TakerGets": usd("1000000000000000e-15"), "TakerPays": "5", "OwnerNode": "1" });
        assert_eq!(entries(&theirs, &json!({ "TakerGets": usd("1"), "TakerPays": "5", "TickSize": 0 })), None);
        let found = entries(&theirs, &json!({ "TakerGets": usd("1.000000000000001"), "TakerPays": "5" }));
        assert_eq!(found.map(|difference| difference.field).as_deref(), Some("TakerGets"));
        let slots = |fee: u32| json!({ "VoteSlots": [{ "VoteEntry": { "TradingFee": fee } }] });
        let found = entries(&slots(5), &slots(6));
        assert_eq!(found.map(|difference| difference.field).as_deref(), Some("VoteSlots[0].VoteEntry.TradingFee"));
    }
}
