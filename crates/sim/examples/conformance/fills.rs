//! Makers' fills, read off metadata: what each offer that was hit sold and bought.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::exact::Exact;

/// What makers sold and bought, by the index of the offer.
type Fills = BTreeMap<String, Json>;

/// The first fill that is in one of both only, or differs: its name, the expected one, ours.
pub fn difference(expected: &[Json], metadata: &Json) -> Option<(String, Json, Json)> {
    let theirs: Fills = expected.iter().map(recorded).collect();
    let ours = ours(metadata);
    let names: std::collections::BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let name = names.into_iter().find(|name| theirs.get(*name) != ours.get(*name))?;
    let of = |fills: &Fills| fills.get(name).cloned().unwrap_or_default();
    Some((format!("fill of Offer {name}"), of(&theirs), of(&ours)))
}

fn recorded(fill: &Json) -> (String, Json) {
    let side = |amount: &Json| {
        let mut amount = amount.clone();
        let text = amount["value"].as_str().and_then(|text| Exact::parse(text, 0)).map(|value| value.text());
        amount["value"] = json!(text);
        amount
    };
    let index = fill["index"].as_str().unwrap_or_default().to_string();
    (index, json!({ "sold": side(&fill["maker_sold"]), "bought": side(&fill["maker_bought"]) }))
}

fn ours(metadata: &Json) -> Fills {
    let nodes = metadata["AffectedNodes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| fill(node.get("ModifiedNode").or_else(|| node.get("DeletedNode"))?)).collect()
}

fn fill(node: &Json) -> Option<(String, Json)> {
    let before = node.get("PreviousFields")?;
    if node["LedgerEntryType"] != "Offer" || (before.get("TakerGets").is_none() && before.get("TakerPays").is_none()) {
        return None;
    }
    let side = |field: &str| {
        let after = &node["FinalFields"][field];
        moved(before.get(field).unwrap_or(after), after)
    };
    let (sold, bought) = (side("TakerGets"), side("TakerPays"));
    Some((node["LedgerIndex"].as_str()?.to_string(), json!({ "sold": sold, "bought": bought })))
}

/// What an amount fell by; XRP in XRP, not in drops. Null where it rose or cannot be read.
fn moved(before: &Json, after: &Json) -> Json {
    let number = |amount: &Json| match amount {
        Json::String(drops) => Exact::parse(drops, -6),
        amount => Exact::parse(amount["value"].as_str()?, 0),
    };
    let value = number(before).zip(number(after)).and_then(|(before, after)| Some(before.less(&after)?.text()));
    match after {
        Json::String(_) => json!({ "currency": "XRP", "value": value }),
        token => json!({ "currency": token["currency"], "issuer": token["issuer"], "value": value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_that_is_missing_or_differs_is_named() {
        let usd = |value: &str| json!({ "currency": "USD", "issuer": "rA", "value": value });
        let node = json!({ "ModifiedNode": { "LedgerEntryType": "Offer", "LedgerIndex": "AB",
            "FinalFields": { "TakerGets": "7000000", "TakerPays": usd("14") },
            "PreviousFields": { "TakerGets": "10000000", "TakerPays": usd("20") } } });
        let metadata = json!({ "AffectedNodes": [node] });
        let xrp = |value: &str| json!({ "currency": "XRP", "value": value });
        let recorded = |sold: &str| vec![json!({ "index": "AB", "maker_sold": xrp(sold), "maker_bought": usd("6.0") })];
        assert_eq!(difference(&recorded("3"), &metadata), None);
        assert!(difference(&recorded("3.000001"), &metadata).is_some());
        assert!(difference(&[], &metadata).is_some());
        assert!(difference(&recorded("3"), &json!({})).is_some());
    }
}
