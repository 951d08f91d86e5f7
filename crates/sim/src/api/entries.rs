//! ledger_entry, ledger_data.

use neo_ledger::{Address, Currency, Hash, codec, hex};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::ledgers::header_json;
use super::objects::{self, Object};
use super::select::{self, Limits};
use super::{Fields, Request, accounts, amm, fields};
use crate::amm::AssetPair;
use crate::apply::meta::index_of;
use crate::node::Node;
use crate::state::{Key, LineKey, OfferKey, State, TicketKey};

/// Entries of a page of ledger_data: in JSON, and in binary.
const PAGE: Limits = Limits { least: 16, default: 256, most: 256 };
const BINARY_PAGE: Limits = Limits { least: 16, default: 2_048, most: 2_048 };

/// The fields by which an entry can be named, with the kind that each must be (rippled 2.6.1, `LedgerEntry.cpp`).
const NAMES: [(&str, &str); 23] = [
    ("index", ""),
    ("account_root", "account"),
    ("amm", "amm"),
    ("bridge", "bridge"),
    ("check", "check"),
    ("credential", "credential"),
    ("delegate", "delegate"),
    ("deposit_preauth", "deposit_preauth"),
    ("did", "did"),
    ("directory", "directory"),
    ("escrow", "escrow"),
    ("mpt_issuance", "mpt_issuance"),
    ("mptoken", "mptoken"),
    ("nft_page", "nft_page"),
    ("offer", "offer"),
    ("oracle", "oracle"),
    ("payment_channel", "payment_channel"),
    ("permissioned_domain", "permissioned_domain"),
    ("ripple_state", "state"),
    ("state", "state"),
    ("ticket", "ticket"),
    ("xchain_owned_claim_id", "xchain_owned_claim_id"),
    ("xchain_owned_create_account_claim_id", "xchain_owned_create_account_claim_id"),
];

/// How an entry was found, or the token of the error.
type Named = Result<Option<Object>, &'static str>;

pub(super) fn ledger_entry(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let selected = select::ledger(node, request)?;
    let failed = |error: &'static str| ApiError::bare(error).with(selected.fields.clone());
    let asked = NAMES.iter().find_map(|(name, kind)| request.get(name).map(|value| (*name, *kind, value)));
    let Some((name, kind, value)) = asked else {
        return Err(failed(if request.version > 1 { "invalidParams" } else { "unknownOption" }));
    };
    let object = find(&selected.state, name, value).map_err(failed)?.ok_or_else(|| failed("entryNotFound"))?;
    if !kind.is_empty() && kind != object.kind() {
        return Err(failed("unexpectedLedgerType"));
    }
    let mut result = selected.fields;
    result.insert("index".to_string(), json!(object.index));
    if request.flag("binary") {
        result.insert("node_binary".to_string(), json!(blob(&object)?));
    } else {
        result.insert("node".to_string(), Json::Object(object.json()));
    }
    Ok(result)
}

fn blob(object: &Object) -> Result<String, ApiError> {
    let mut json = object.json();
    json.remove("index");
    codec::encode(&Json::Object(json)).map(|bytes| hex::encode_upper(&bytes)).map_err(|_| ApiError::internal())
}

fn find(state: &State, name: &str, value: &Json) -> Named {
    match (name, value) {
        ("account_root", _) => {
            let account = address(value).ok_or("malformedAddress")?;
            Ok(by_key(state, Key::Account(account)))
        }
        ("offer", Json::Object(offer)) => {
            let (Some(account), Some(seq)) = (offer.get("account"), offer.get("seq").and_then(sequence)) else {
                return Err("malformedRequest");
            };
            let account = address(account).ok_or("malformedAddress")?;
            Ok(by_key(state, Key::Offer(OfferKey { account, sequence: seq })))
        }
        ("ripple_state" | "state", Json::Object(line)) => trust_line(state, line),
        ("ticket", Json::Object(ticket)) => {
            let (Some(account), Some(seq)) = (ticket.get("account"), ticket.get("ticket_seq").and_then(sequence))
            else {
                return Err("malformedRequest");
            };
            let account = address(account).ok_or("malformedAddress")?;
            Ok(by_key(state, Key::Ticket(TicketKey { account, sequence: seq })))
        }
        ("amm", Json::Object(pool)) => {
            let side = |field: &str| pool.get(field).and_then(amm::issue).ok_or("malformedRequest");
            Ok(by_key(state, Key::Amm(AssetPair::of(side("asset")?, side("asset2")?))))
        }
        // Kinds that this ledger does not hold: whatever they name is not there.
        (_, Json::Object(_)) if name != "index" => Ok(None),
        _ => {
            let index: Hash = value.as_str().and_then(|text| text.parse().ok()).ok_or("malformedRequest")?;
            Ok(objects::at(state, index))
        }
    }
}

fn by_key(state: &State, key: Key) -> Option<Object> {
    state.entry(key).map(|entry| Object { index: index_of(key), key, entry })
}

fn address(value: &Json) -> Option<Address> {
    value.as_str().and_then(|text| text.parse().ok())
}

fn sequence(value: &Json) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

fn trust_line(state: &State, line: &Fields) -> Named {
    let both = match line.get("accounts").and_then(Json::as_array).map(Vec::as_slice) {
        Some([Json::String(one), Json::String(other)]) if one != other => [one, other],
        _ => return Err("malformedRequest"),
    };
    let currency = line.get("currency").ok_or("malformedRequest")?;
    let [one, other] = both.map(|text| text.parse::<Address>());
    let (Ok(one), Ok(other)) = (one, other) else { return Err("malformedAddress") };
    let currency = currency.as_str().and_then(|text| text.parse::<Currency>().ok()).ok_or("malformedCurrency")?;
    Ok(by_key(state, Key::Line(LineKey::of(one, other, currency))))
}

pub(super) fn ledger_data(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let selected = select::ledger(node, request)?;
    let from: Option<Hash> = match request.get("marker") {
        None => None,
        Some(marker) => {
            let expected = || ApiError::expected_field("marker", "valid");
            Some(marker.as_str().and_then(|text| text.parse().ok()).ok_or_else(expected)?)
        }
    };
    let binary = request.flag("binary");
    let limit = select::limit(request, if binary { &BINARY_PAGE } else { &PAGE })?;
    let kind = accounts::kind_asked(request)?;
    let mut keys: Vec<(Hash, Key)> = objects::all(&selected.state).map(|key| (index_of(key), key)).collect();
    keys.retain(|(index, _)| from.is_none_or(|from| *index > from));
    keys.sort_unstable_by_key(|(index, _)| *index);
    let mut rows = Vec::new();
    for (index, key) in keys.iter().take(limit) {
        let Some(object) = by_key(&selected.state, *key).filter(|object| kind.is_none_or(|kind| kind == object.kind()))
        else {
            continue;
        };
        rows.push(match binary {
            true => json!({ "data": blob(&object)?, "index": index }),
            false => Json::Object(object.json()),
        });
    }
    let mut result = selected.fields;
    if from.is_none() && selected.validated {
        result.insert("ledger".to_string(), Json::Object(header_json(node.chain.header())));
    }
    if keys.len() > limit
        && let Some((last, _)) = keys.get(limit.saturating_sub(1))
    {
        result.insert("marker".to_string(), json!(last));
    }
    result.extend(fields(json!({ "state": rows })));
    Ok(result)
}
