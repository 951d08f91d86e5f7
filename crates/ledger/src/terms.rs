//! The rules of a token, as the ledger states them: its issuer's settings and our trust line.

use neo_market::Dec;
use serde::{Deserialize, Serialize};

use crate::meta::{Meta, Node};
use crate::result::{AccountInfo, LSF_REQUIRE_AUTH, TrustLine};
use crate::types::{Address, Amount, Asset, Token};

/// AccountRoot: what it issued can be clawed back (xrpl.org, "AccountRoot Flags").
const LSF_ALLOW_CLAWBACK: u32 = 0x8000_0000;
/// RippleState: by the low account's side (rippled, `LedgerFormats.h`). The high side's bits are the next ones.
const LSF_LOW_AUTH: u32 = 0x0004_0000;
const LSF_HIGH_AUTH: u32 = 0x0008_0000;
const LSF_LOW_FREEZE: u32 = 0x0040_0000;
const LSF_HIGH_FREEZE: u32 = 0x0080_0000;
const LSF_LOW_DEEP_FREEZE: u32 = 0x0200_0000;
const LSF_HIGH_DEEP_FREEZE: u32 = 0x0400_0000;

/// What an issuer has set for all that it issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerTerms {
    /// Everything that it issued is frozen.
    pub global_freeze: bool,
    /// Trust lines to it need its authorisation.
    pub requires_authorization: bool,
    /// It can take back what it issued.
    pub may_claw_back: bool,
    /// Significant digits of the rate of an offer, when it limits them.
    pub tick_size: Option<u8>,
    /// Billionths that moving its tokens costs, when it asks a fee; 1,000,000,000 is free.
    pub transfer_rate: Option<u32>,
}

impl IssuerTerms {
    /// As the issuer's root states them.
    #[must_use]
    pub const fn of(root: &AccountInfo) -> IssuerTerms {
        IssuerTerms {
            global_freeze: root.has_global_freeze(),
            requires_authorization: root.flags & LSF_REQUIRE_AUTH != 0,
            may_claw_back: root.flags & LSF_ALLOW_CLAWBACK != 0,
            tick_size: root.tick_size,
            transfer_rate: root.transfer_rate,
        }
    }
}

/// Our trust line, beside its balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineTerms {
    /// Most that we said we would hold. Trading is not bound by it: a crossing ignores it (rippled, `DirectStep.cpp`,
    /// `DirectIOfferCrossingStep::maxFlow`), and the owner of a resting offer is credited whole (`BookStep.cpp`).
    pub limit: Dec,
    /// The issuer froze it: nothing can be sold.
    pub frozen: bool,
    /// Either side froze it deeply: nothing can be bought either.
    pub deep_frozen: bool,
    /// The issuer has authorised it.
    pub authorized: bool,
}

impl LineTerms {
    /// As `account_lines` lists it.
    #[must_use]
    pub const fn of(line: &TrustLine) -> LineTerms {
        LineTerms {
            limit: line.limit,
            frozen: line.frozen_by_peer,
            deep_frozen: line.deep_frozen_by_peer || line.deep_frozen,
            authorized: line.authorized_by_peer,
        }
    }

    /// As a transaction left it: `None` when it did not touch it, and the default line when it removed it.
    #[must_use]
    pub fn after(meta: &Meta, account: Address, token: Token) -> Option<LineTerms> {
        meta.nodes.iter().rev().find_map(|node| line_terms(node, account, token))
    }
}

pub(crate) fn line_terms(node: &Node, account: Address, token: Token) -> Option<LineTerms> {
    let (low, high) = node.line()?;
    let is_low = (low, high) == (account, token.issuer);
    if !is_low && (low, high) != (token.issuer, account) {
        return None;
    }
    let ours = if is_low { node.fields.low_limit } else { node.fields.high_limit }?;
    let Amount::Token { value: limit, .. } = ours else { return None };
    if ours.asset() != Asset::Token(Token { currency: token.currency, issuer: account }) {
        return None;
    }
    if node.action == crate::meta::Action::Deleted {
        return Some(LineTerms::default());
    }
    let flags = node.fields.flags.unwrap_or(0);
    let (freeze, auth) = if is_low { (LSF_HIGH_FREEZE, LSF_HIGH_AUTH) } else { (LSF_LOW_FREEZE, LSF_LOW_AUTH) };
    Some(LineTerms {
        limit,
        frozen: flags & freeze != 0,
        deep_frozen: flags & (LSF_LOW_DEEP_FREEZE | LSF_HIGH_DEEP_FREEZE) != 0,
        authorized: flags & auth != 0,
    })
}

/// Everything that the ledger says of trading the token with our account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTerms {
    /// The issuer's settings.
    pub issuer: IssuerTerms,
    /// Our trust line; `None` while there is none.
    pub line: Option<LineTerms>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Currency;

    #[test]
    fn a_line_is_read_from_our_side_whichever_that_is() {
        let token = |issuer: Address| Token { currency: Currency::RLUSD, issuer };
        for (we, issuer) in [(Address([1; 20]), Address([2; 20])), (Address([2; 20]), Address([1; 20]))] {
            let is_low = we < issuer;
            let (low, high) = if is_low { (we, issuer) } else { (issuer, we) };
            let limit = |of: Address, value: &str| serde_json::json!({"currency": Currency::RLUSD, "issuer": of, "value": value});
            let (low_limit, high_limit) = if is_low { ("500", "0") } else { ("0", "500") };
            let flags = if is_low { LSF_HIGH_FREEZE | LSF_HIGH_AUTH } else { LSF_LOW_FREEZE | LSF_LOW_AUTH };
            let meta = serde_json::json!({"TransactionIndex": 0, "TransactionResult": "tesSUCCESS", "AffectedNodes": [
                {"ModifiedNode": {"LedgerEntryType": "RippleState", "LedgerIndex": "0A".repeat(32), "FinalFields": {
                    "Flags": flags, "Balance": limit(Address([0; 20]), "1"), "LowLimit": limit(low, low_limit),
                    "HighLimit": limit(high, high_limit)}}}]});
            let meta: Meta = serde_json::from_value(meta).unwrap();
            let terms = LineTerms::after(&meta, we, token(issuer)).unwrap();
            let expected = LineTerms { limit: Dec::from_i64(500), frozen: true, deep_frozen: false, authorized: true };
            assert_eq!(terms, expected, "low: {is_low}");
            // The issuer's view of the same line is another: it is not frozen for it.
            assert_eq!(LineTerms::after(&meta, we, token(Address([3; 20]))), None);
        }
    }
}
