//! account_info, account_lines, account_offers, account_objects.

use neo_ledger::{Address, Asset, Hash, Token, sha512_half};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::objects::{self, Object};
use super::select::{self, Selected};
use super::{Fields, Request, fields, load};
use crate::amount::Value;
use crate::apply::meta::{amount_json, whole_entry};
use crate::node::Node;
use crate::state::{
    Entry, Key, LSF_HIGH_FREEZE, LSF_HIGH_NO_RIPPLE, LSF_HIGH_RESERVE, LSF_LOW_FREEZE, LSF_LOW_NO_RIPPLE,
    LSF_LOW_RESERVE, LineKey, Offer, OfferKey, State, TrustLine,
};

/// Names of an AccountRoot's flags in `account_flags`, by their bits (rippled, `AccountInfo.cpp`).
const ACCOUNT_FLAGS: [(&str, u32); 15] = [
    ("allowTrustLineClawback", 0x8000_0000),
    ("allowTrustLineLocking", 0x4000_0000),
    ("defaultRipple", 0x0080_0000),
    ("depositAuth", 0x0100_0000),
    ("disableMasterKey", 0x0010_0000),
    ("disallowIncomingCheck", 0x0800_0000),
    ("disallowIncomingNFTokenOffer", 0x0400_0000),
    ("disallowIncomingPayChan", 0x1000_0000),
    ("disallowIncomingTrustline", 0x2000_0000),
    ("disallowIncomingXRP", 0x0008_0000),
    ("globalFreeze", 0x0040_0000),
    ("noFreeze", 0x0020_0000),
    ("passwordSpent", 0x0001_0000),
    ("requireAuthorization", 0x0004_0000),
    ("requireDestinationTag", 0x0002_0000),
];

pub(super) fn account_info(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let account = account_or_ident(request)?;
    let selected = select::ledger(node, request)?;
    let account: Address = account.parse().map_err(|_| ApiError::account_malformed().with(selected.fields.clone()))?;
    let Some(root) = selected.state.account(account) else {
        let mut more = selected.fields;
        more.insert("account".to_string(), json!(account));
        return Err(ApiError::account_not_found().with(more));
    };
    let queue = request.flag("queue");
    if queue && selected.validated {
        return Err(ApiError::bad_params().with(selected.fields));
    }
    let mut data = whole_entry(Key::Account(account), &Entry::Account(root.clone()));
    let mut result = selected.fields;
    result.insert("account_flags".to_string(), account_flags(root.flags));
    if request.misuses_flag("signer_lists") {
        result.insert("account_data".to_string(), Json::Object(data));
        return Err(ApiError::bad_params().with(result));
    }
    if request.flag("signer_lists") {
        // Version 1 put them into the account's own fields.
        let place = if request.version > 1 { &mut result } else { &mut data };
        place.insert("signer_lists".to_string(), json!([]));
    }
    result.insert("account_data".to_string(), Json::Object(data));
    if queue {
        result.insert("queue_data".to_string(), load::of_account(node, account));
    }
    Ok(result)
}

/// The text that names the account, which old clients call `ident`.
fn account_or_ident(request: &Request) -> Result<String, ApiError> {
    let (field, value) = match (request.get("account"), request.get("ident")) {
        (Some(value), _) => ("account", value),
        (None, Some(value)) => ("ident", value),
        (None, None) => return Err(ApiError::missing_field("account")),
    };
    value.as_str().map(str::to_string).ok_or_else(|| ApiError::invalid_field(field))
}

fn account_flags(flags: u32) -> Json {
    Json::Object(ACCOUNT_FLAGS.iter().map(|(name, bit)| (name.to_string(), json!(flags & bit != 0))).collect())
}

/// The named account of the named ledger, which must exist.
pub(super) fn existing<'a>(node: &'a Node, request: &Request) -> Result<(Selected<'a>, Address), ApiError> {
    // The account's type is looked at before the ledger, its text after it.
    match request.get("account") {
        None => return Err(ApiError::missing_field("account")),
        Some(value) if !value.is_string() => return Err(ApiError::invalid_field("account")),
        Some(_) => {}
    }
    let selected = select::ledger(node, request)?;
    let account = select::account(request, Some(&selected))?;
    if selected.state.account(account).is_none() {
        return Err(ApiError::account_not_found());
    }
    Ok((selected, account))
}

/// A page of what an account owns, from the request's marker on; and the last entry of it, when more follow. The
/// directory is paged, not the rows: a page has fewer rows where other kinds stand between. `malformed` is what is said
/// of a marker that cannot be read.
fn page(
    request: &Request,
    state: &State,
    account: Address,
    malformed: fn() -> ApiError,
) -> Result<(Vec<Object>, Option<Hash>, usize), ApiError> {
    let limit = select::limit(request, &select::OWNED)?;
    let mut objects = objects::owned(state, account);
    if let Some(marker) = request.get("marker") {
        let marker = marker.as_str().ok_or_else(|| ApiError::expected_field("marker", "string"))?;
        let (after, hint) = marker.split_once(',').ok_or_else(malformed)?;
        let after: Hash = after.parse().map_err(|_| malformed())?;
        hint.parse::<u64>().map_err(|_| malformed())?;
        // When the row that the marker names is gone, the pages cannot go on.
        let found = objects.iter().position(|object| object.index == after).ok_or_else(ApiError::bad_params)?;
        objects.drain(..=found);
    }
    let more = objects.len() > limit;
    objects.truncate(limit);
    let last = objects.last().map(|object| object.index).filter(|_| more);
    Ok((objects, last, limit))
}

fn paged(mut result: Fields, account: Address, name: &str, rows: Vec<Json>, next: Option<(String, usize)>) -> Fields {
    result.insert("account".to_string(), json!(account));
    result.insert(name.to_string(), json!(rows));
    if let Some((marker, limit)) = next {
        result.insert("marker".to_string(), json!(marker));
        result.insert("limit".to_string(), json!(limit));
    }
    result
}

pub(super) fn account_lines(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let (selected, account) = existing(node, request)?;
    let peer: Option<Address> = match request.get("peer") {
        None => None,
        Some(peer) => {
            let peer = select::text_of(peer).ok_or_else(ApiError::internal)?;
            match peer.as_str() {
                "" => None,
                text => Some(text.parse().map_err(|_| ApiError::account_malformed().with(selected.fields.clone()))?),
            }
        }
    };
    let (objects, last, limit) = page(request, &selected.state, account, ApiError::bad_params)?;
    let ignore_default = request.flag("ignore_default");
    let wanted = |key: &LineKey, line: &TrustLine| {
        let own_reserve = if key.low == account { LSF_LOW_RESERVE } else { LSF_HIGH_RESERVE };
        peer.is_none_or(|peer| key.peer_of(account) == peer) && (!ignore_default || line.flags & own_reserve != 0)
    };
    let rows = objects
        .iter()
        .filter_map(|object| match (&object.key, &object.entry) {
            (Key::Line(key), Entry::Line(line)) if wanted(key, line) => Some(line_row(account, *key, line)),
            _ => None,
        })
        .collect();
    Ok(paged(selected.fields, account, "lines", rows, last.map(|last| (format!("{last},0"), limit))))
}

fn line_row(account: Address, key: LineKey, line: &TrustLine) -> Json {
    let is_low = account == key.low;
    let (balance, limit, limit_peer) = if is_low {
        (line.balance, line.low_limit, line.high_limit)
    } else {
        (line.balance.neg(), line.high_limit, line.low_limit)
    };
    let mut row = fields(json!({
        "account": key.peer_of(account),
        "balance": balance.text(),
        "currency": key.currency,
        "limit": limit.text(),
        "limit_peer": limit_peer.text(),
        "quality_in": 0,
        "quality_out": 0,
    }));
    let named = [
        ("no_ripple", "no_ripple_peer", LSF_LOW_NO_RIPPLE, LSF_HIGH_NO_RIPPLE),
        ("freeze", "freeze_peer", LSF_LOW_FREEZE, LSF_HIGH_FREEZE),
        ("authorized", "peer_authorized", 0x0004_0000, 0x0008_0000),
        ("deep_freeze", "deep_freeze_peer", 0x0200_0000, 0x0400_0000),
    ];
    for (own, peer, low, high) in named {
        let (own_bit, peer_bit) = if is_low { (low, high) } else { (high, low) };
        for (name, bit) in [(own, own_bit), (peer, peer_bit)] {
            if line.flags & bit != 0 {
                row.insert(name.to_string(), json!(true));
            }
        }
    }
    Json::Object(row)
}

pub(super) fn account_offers(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let (selected, account) = existing(node, request)?;
    let malformed = || ApiError::invalid_field("marker");
    let (objects, last, limit) = page(request, &selected.state, account, malformed)?;
    let rows = objects
        .iter()
        .filter_map(|object| match (&object.key, &object.entry) {
            (Key::Offer(key), Entry::Offer(offer)) => Some(offer_row(*key, offer)),
            _ => None,
        })
        .collect();
    Ok(paged(selected.fields, account, "offers", rows, last.map(|last| (format!("{last},0"), limit))))
}

fn offer_row(key: OfferKey, offer: &Offer) -> Json {
    let mut row = fields(json!({
        "flags": offer.flags,
        "quality": offer.quality.rate().text(),
        "seq": key.sequence,
        "taker_gets": amount_json(offer.taker_gets, offer.book.gets),
        "taker_pays": amount_json(offer.taker_pays, offer.book.pays),
    }));
    if let Some(expiration) = offer.expiration {
        row.insert("expiration".to_string(), json!(expiration));
    }
    Json::Object(row)
}

/// Kinds of entries that keep an account from being deleted, as far as accounts own them here.
const DELETION_BLOCKERS: [&str; 4] = ["check", "escrow", "payment_channel", "state"];
/// Kinds of entries by which `account_objects` and `ledger_data` can be asked (rippled, `ledger_entries.macro`).
pub(super) const KINDS: [(&str, &str); 27] = [
    ("account", "AccountRoot"),
    ("amendments", "Amendments"),
    ("amm", "AMM"),
    ("bridge", "Bridge"),
    ("check", "Check"),
    ("credential", "Credential"),
    ("delegate", "Delegate"),
    ("deposit_preauth", "DepositPreauth"),
    ("did", "DID"),
    ("directory", "DirectoryNode"),
    ("escrow", "Escrow"),
    ("fee", "FeeSettings"),
    ("hashes", "LedgerHashes"),
    ("mpt_issuance", "MPTokenIssuance"),
    ("mptoken", "MPToken"),
    ("nft_offer", "NFTokenOffer"),
    ("nft_page", "NFTokenPage"),
    ("nunl", "NegativeUNL"),
    ("offer", "Offer"),
    ("oracle", "Oracle"),
    ("payment_channel", "PayChannel"),
    ("permissioned_domain", "PermissionedDomain"),
    ("signer_list", "SignerList"),
    ("state", "RippleState"),
    ("ticket", "Ticket"),
    ("xchain_owned_claim_id", "XChainOwnedClaimID"),
    ("xchain_owned_create_account_claim_id", "XChainOwnedCreateAccountClaimID"),
];

/// The kind of entry that `type` asks for, by its short name or its full one.
pub(super) fn kind_asked(request: &Request) -> Result<Option<&'static str>, ApiError> {
    let Some(value) = request.get("type") else { return Ok(None) };
    let asked = value.as_str().ok_or_else(|| ApiError::expected_field("type", "string"))?;
    let known = KINDS.iter().find(|(short, full)| *short == asked || full.eq_ignore_ascii_case(asked));
    known.map(|(short, _)| Some(*short)).ok_or_else(|| ApiError::invalid_field("type"))
}

pub(super) fn account_objects(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let (selected, account) = existing(node, request)?;
    let blockers = request.flag("deletion_blockers_only");
    let kind = kind_asked(request)?;
    // Kinds that no account owns (rippled, `isAccountObjectsValidType`).
    if !blockers && matches!(kind, Some("account" | "amendments" | "directory" | "fee" | "hashes" | "nunl")) {
        return Err(ApiError::invalid_field("type"));
    }
    let limit = select::limit(request, &select::OWNED)?;
    let directory = sha512_half(&[&[0x00, 0x4F], &account.0]);
    let mut objects = objects::owned(&selected.state, account);
    if let Some(marker) = request.get("marker") {
        let marker = marker.as_str().ok_or_else(|| ApiError::expected_field("marker", "string"))?;
        let malformed = || ApiError::invalid_field("marker");
        // The directory's page, and the first entry that is still to be told.
        let (page, first) = marker.split_once(',').ok_or_else(malformed)?;
        let page: Hash = page.parse().map_err(|_| malformed())?;
        let first: Hash = first.parse().map_err(|_| malformed())?;
        let found = objects.iter().position(|object| object.index == first).filter(|_| page == directory);
        objects.drain(..found.ok_or_else(malformed)?);
    }
    let next = objects.get(limit).map(|next| (format!("{directory},{}", next.index), limit));
    let wanted = |object: &&Object| {
        kind.is_none_or(|kind| kind == object.kind()) && (!blockers || DELETION_BLOCKERS.contains(&object.kind()))
    };
    let rows = objects.iter().take(limit).filter(wanted).map(|object| Json::Object(object.json())).collect();
    Ok(paged(selected.fields, account, "account_objects", rows, next))
}

/// What no account of this ledger owns.
pub(super) fn nothing_of(node: &Node, request: &Request, name: &str) -> Result<Fields, ApiError> {
    let (selected, account) = existing(node, request)?;
    select::limit(request, &select::OWNED)?;
    Ok(paged(selected.fields, account, name, Vec::new(), None))
}

/// What an account could give of an asset, as `owner_funds` says it; `None` when it issues it.
pub(super) fn owner_funds(node: &Node, state: &State, account: Address, asset: Asset) -> Option<Value> {
    match asset {
        Asset::Token(Token { issuer, .. }) if issuer == account => None,
        _ => {
            let nothing = Value::zero(asset == Asset::Xrp);
            let funds = crate::apply::funds::available(state, node.chain.rules(), account, asset, nothing, None);
            Some(if funds.is_positive() { funds } else { nothing })
        }
    }
}
