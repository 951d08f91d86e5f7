//! Amendments: which of the protocol's optional rules are in force.
//!
//! The default is what rippled 2.6.1 supports and does not mark as obsolete or unfinished. Only amendments that some
//! rule of this ledger asks for, or that a recorded ledger can switch, have a name here; every other one is in force,
//! or has no effect on what is modelled.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! amendments {
    ($($name:ident = $text:literal;)*) => {
        /// An amendment that a rule of this ledger depends on; its text is the name in rippled's `features.macro`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Amendment {
            $(
                #[doc = concat!("`", $text, "`.")]
                $name,
            )*
        }

        impl Amendment {
            /// All of them.
            pub const ALL: &[Amendment] = &[$(Amendment::$name),*];

            /// Its name in the protocol.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Amendment::$name => $text,)*
                }
            }

            /// The amendment of this name; `None` for one that no rule here depends on.
            #[must_use]
            pub fn named(name: &str) -> Option<Amendment> {
                match name {
                    $($text => Some(Amendment::$name),)*
                    _ => None,
                }
            }
        }
    };
}

amendments! {
    Amm = "AMM";
    AmmClawback = "AMMClawback";
    Checks = "Checks";
    Clawback = "Clawback";
    DeepFreeze = "DeepFreeze";
    DeletableAccounts = "DeletableAccounts";
    DepositAuth = "DepositAuth";
    DepositPreauth = "DepositPreauth";
    DisallowIncoming = "DisallowIncoming";
    EnforceInvariants = "EnforceInvariants";
    Flow = "Flow";
    FlowCross = "FlowCross";
    FlowSortStrands = "FlowSortStrands";
    ImmediateOfferKilled = "ImmediateOfferKilled";
    MpTokensV1 = "MPTokensV1";
    PermissionedDex = "PermissionedDEX";
    RequireFullyCanonicalSig = "RequireFullyCanonicalSig";
    SingleAssetVault = "SingleAssetVault";
    TickSize = "TickSize";
    TicketBatch = "TicketBatch";
    TrustSetAuth = "TrustSetAuth";
    XrpFees = "XRPFees";
    Fix1513 = "fix1513";
    Fix1515 = "fix1515";
    Fix1543 = "fix1543";
    Fix1571 = "fix1571";
    Fix1578 = "fix1578";
    Fix1623 = "fix1623";
    Fix1781 = "fix1781";
    FixAmmOverflowOffer = "fixAMMOverflowOffer";
    FixAmmV1V1 = "fixAMMv1_1";
    FixAmmV1V2 = "fixAMMv1_2";
    FixAmmV1V3 = "fixAMMv1_3";
    FixDisallowIncomingV1 = "fixDisallowIncomingV1";
    FixFillOrKill = "fixFillOrKill";
    FixFrozenLpTokenTransfer = "fixFrozenLPTokenTransfer";
    FixInnerObjTemplate = "fixInnerObjTemplate";
    FixInvalidTxFlags = "fixInvalidTxFlags";
    FixMasterKeyAsRegularKey = "fixMasterKeyAsRegularKey";
    FixPreviousTxnId = "fixPreviousTxnID";
    FixQualityUpperBound = "fixQualityUpperBound";
    FixReducedOffersV1 = "fixReducedOffersV1";
    FixReducedOffersV2 = "fixReducedOffersV2";
    FixRmSmallIncreasedQOffers = "fixRmSmallIncreasedQOffers";
    FixStAmountCanonicalize = "fixSTAmountCanonicalize";
    FixTakerDryOfferRemoval = "fixTakerDryOfferRemoval";
    FixTrustLinesToSelf = "fixTrustLinesToSelf";
    FixUniversalNumber = "fixUniversalNumber";
}

/// The amendments in force.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Amendments {
    /// One bit for each amendment that is off.
    off: u64,
}

const _: () = assert!(Amendment::ALL.len() <= 64, "one bit for each amendment");

impl Default for Amendments {
    /// As in rippled 2.6.1 with everything on that it supports.
    fn default() -> Amendments {
        Amendments { off: Amendments::bit(Amendment::SingleAssetVault) }
    }
}

impl Amendments {
    const fn bit(amendment: Amendment) -> u64 {
        1 << amendment as u32
    }

    /// The defaults without the amendments of these names; names that no rule depends on are passed over.
    pub fn without<'a>(names: impl IntoIterator<Item = &'a str>) -> Amendments {
        let mut amendments = Amendments::default();
        for amendment in names.into_iter().filter_map(Amendment::named) {
            amendments.set(amendment, false);
        }
        amendments
    }

    /// True when the amendment is in force.
    #[must_use]
    pub const fn enabled(&self, amendment: Amendment) -> bool {
        self.off & Amendments::bit(amendment) == 0
    }

    /// Switches an amendment.
    pub const fn set(&mut self, amendment: Amendment, enabled: bool) {
        if enabled {
            self.off &= !Amendments::bit(amendment);
        } else {
            self.off |= Amendments::bit(amendment);
        }
    }

    fn disabled(&self) -> impl Iterator<Item = Amendment> {
        Amendment::ALL.iter().copied().filter(|amendment| !self.enabled(*amendment))
    }
}

impl fmt::Debug for Amendments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all but ")?;
        f.debug_set().entries(self.disabled()).finish()
    }
}

impl Serialize for Amendments {
    /// The names of those that are off.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.disabled().map(Amendment::name))
    }
}

impl<'de> Deserialize<'de> for Amendments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amendments, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        let mut amendments = Amendments { off: 0 };
        for name in &names {
            let amendment = Amendment::named(name).ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "no rule of this ledger depends on the amendment {name}; leave it out"
                ))
            })?;
            amendments.set(amendment, false);
        }
        Ok(amendments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_amendments() {
        for amendment in Amendment::ALL {
            assert_eq!(Amendment::named(amendment.name()), Some(*amendment));
        }
        assert_eq!(Amendment::named("fixNFTokenDirV1"), None);
    }

    #[test]
    fn what_is_switched_off_survives_being_written_down() {
        let amendments = Amendments::without(["AMM", "NonFungibleTokensV1", "fixAMMv1_3"]);
        assert!(!amendments.enabled(Amendment::Amm) && !amendments.enabled(Amendment::FixAmmV1V3));
        assert!(amendments.enabled(Amendment::FixAmmV1V1) && !amendments.enabled(Amendment::SingleAssetVault));
        let text = serde_json::to_string(&amendments).unwrap();
        assert_eq!(text, r#"["AMM","SingleAssetVault","fixAMMv1_3"]"#);
        assert_eq!(serde_json::from_str::<Amendments>(&text).unwrap(), amendments);
        assert!(serde_json::from_str::<Amendments>(r#"["fixNothing"]"#).is_err());
    }
}
