//! amm_info.

use neo_ledger::{Address, Asset, Currency, Token};
use serde_json::Value as Json;

use super::error::ApiError;
use super::objects::{self, Object};
use super::{Fields, Request, select};
use crate::node::Node;
use crate::state::State;

/// An asset as AMM requests name it (rippled, `issueFromJson`): an issuer for all but XRP.
pub(super) fn issue(json: &Json) -> Option<Asset> {
    let object = json.as_object()?;
    let currency = object.get("currency")?.as_str()?;
    match (currency, object.get("issuer")) {
        ("XRP", None) => Some(Asset::Xrp),
        ("XRP", Some(_)) => None,
        (_, issuer) => {
            let currency: Currency = currency.parse().ok()?;
            Some(Asset::Token(Token { currency, issuer: issuer?.as_str()?.parse().ok()? }))
        }
    }
}

/// What a request names: the pool, and the holder whose share it asks for.
fn named(state: &State, request: &Request) -> Result<(Object, Option<Address>), ApiError> {
    let (asset, asset2, account) = (request.get("asset"), request.get("asset2"), request.get("amm_account"));
    if asset.is_some() != asset2.is_some() || asset.is_some() == account.is_some() {
        return Err(ApiError::bad_params());
    }
    let malformed = || ApiError::new("issueMalformed", 93, "Issue is malformed.");
    let address = |value: &Json| value.as_str().and_then(|text| text.parse::<Address>().ok());
    let existing = |value: &Json| {
        address(value).filter(|account| state.account(*account).is_some()).ok_or_else(ApiError::account_malformed)
    };
    let pool = match (asset, asset2, account) {
        (Some(asset), Some(asset2), _) => {
            let assets = (issue(asset).ok_or_else(malformed)?, issue(asset2).ok_or_else(malformed)?);
            objects::amm(state, assets)
        }
        (_, _, Some(account)) => objects::amm_of(state, existing(account)?),
        _ => None,
    };
    let holder = request.get("account").map(existing).transpose()?;
    pool.map(|pool| (pool, holder)).ok_or_else(ApiError::account_not_found)
}

pub(super) fn amm_info(node: &Node, request: &Request) -> Result<Fields, ApiError> {
    let selected = select::ledger(node, request)?;
    let named = named(selected.state, request);
    let (_pool, _holder) = named.map_err(|error| error.with(selected.fields))?;
    // No state holds a pool yet.
    Err(ApiError::account_not_found())
}
