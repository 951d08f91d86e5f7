//! feature: the amendments of rippled 2.6.1, of which this ledger follows the same as a stand-alone one.

use neo_ledger::{Hash, sha512_half};
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::{Fields, Request, fields};

/// Amendments in force (rippled 2.6.1, `features.macro`: supported, not obsolete, without Batch and XChainBridge).
const ENABLED: &str = "AMM AMMClawback CheckCashMakesTrustLine Checks Clawback Credentials DID DeepFreeze \
    DeletableAccounts DepositAuth DepositPreauth DisallowIncoming DynamicNFT ExpandedSignerList Flow FlowSortStrands \
    HardenedValidations ImmediateOfferKilled MPTokensV1 MultiSignReserve NFTokenMintOffer NegativeUNL \
    NonFungibleTokensV1_1 PermissionedDEX PermissionedDomains PriceOracle RequireFullyCanonicalSig TicketBatch \
    TokenEscrow XRPFees fix1513 fix1515 fix1543 fix1571 fix1578 fix1623 fix1781 fixAMMOverflowOffer fixAMMv1_1 \
    fixAMMv1_2 fixAMMv1_3 fixAmendmentMajorityCalc fixCheckThreading fixDisallowIncomingV1 fixEmptyDID \
    fixEnforceNFTokenTrustline fixEnforceNFTokenTrustlineV2 fixFillOrKill fixFrozenLPTokenTransfer \
    fixInnerObjTemplate fixInnerObjTemplate2 fixInvalidTxFlags fixMasterKeyAsRegularKey fixNFTokenPageLinks \
    fixNFTokenRemint fixNFTokenReserve fixNonFungibleTokensV1_2 fixPayChanCancelAfter fixPayChanRecipientOwnerDir \
    fixPreviousTxnID fixQualityUpperBound fixReducedOffersV1 fixReducedOffersV2 fixRemoveNFTokenAutoTrustLine \
    fixRmSmallIncreasedQOffers fixSTAmountCanonicalize fixTakerDryOfferRemoval fixTrustLinesToSelf fixUniversalNumber \
    fixXChainRewardRounding";
/// Amendments that a fresh node does not list as enabled: not voted in, obsolete, or retired, which is to say that
/// their code is unconditional.
const NOT_ENABLED: &str = "Batch CryptoConditions CryptoConditionsSuite EnforceInvariants Escrow FeeEscalation FlowCross \
    MultiSign NonFungibleTokensV1 PayChan SortedDirectories TickSize TrustSetAuth XChainBridge fix1201 fix1368 fix1373 \
    fix1512 fix1523 fix1528 fixNFTokenDirV1 fixNFTokenNegOffer";

/// Name, id (half the SHA-512 of the name) and whether it is in force.
fn amendments() -> impl Iterator<Item = (&'static str, Hash, bool)> {
    let named = |names: &'static str, enabled| {
        names.split_whitespace().map(move |name| (name, sha512_half(&[name.as_bytes()]), enabled))
    };
    named(ENABLED, true).chain(named(NOT_ENABLED, false))
}

fn shown((name, id, enabled): (&'static str, Hash, bool)) -> (String, Json) {
    (id.to_string(), json!({ "enabled": enabled, "name": name, "supported": true }))
}

pub(super) fn feature(request: &Request) -> Result<Fields, ApiError> {
    let Some(asked) = request.get("feature") else {
        let all: Fields = amendments().map(shown).collect();
        return Ok(fields(json!({ "features": all })));
    };
    let asked = asked.as_str().ok_or_else(ApiError::bad_params)?;
    // Only an administrator may vote.
    if request.get("vetoed").is_some() {
        return Err(ApiError::no_permission());
    }
    let found = amendments().find(|(name, id, _)| *name == asked || id.to_string() == asked.to_ascii_uppercase());
    let found = found.ok_or_else(|| ApiError::new("badFeature", 40, "Feature unknown or invalid."))?;
    Ok(Fields::from_iter([shown(found)]))
}
