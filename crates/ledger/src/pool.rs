//! The pair's automated market maker, as `amm_info` tells of it.

use neo_market::AmmView;
use serde::Deserialize;
use serde_json::Value;

use crate::error::{ProtocolError, from_value};
use crate::types::{Address, Amount, Token};

const WHAT: &str = "amm_info";

/// `amm_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AmmInfo {
    /// The pool's account.
    pub account: Address,
    /// What it holds and takes.
    pub pool: AmmView,
    /// True when its token is frozen: then it trades with nobody.
    pub frozen: bool,
}

impl AmmInfo {
    /// Reads the result for the pool of `token` against XRP.
    ///
    /// The fee is the one that everybody pays: the holder of the auction slot pays less for a day, and we do not know who
    /// takes an offer next.
    ///
    /// # Errors
    /// [`ProtocolError`] with the field's name, also for another pair's pool.
    pub fn from_value(value: &Value, token: Token) -> Result<AmmInfo, ProtocolError> {
        #[derive(Deserialize)]
        struct Amm {
            account: Address,
            amount: Amount,
            amount2: Amount,
            trading_fee: u16,
            #[serde(default)]
            asset_frozen: bool,
            #[serde(default)]
            asset2_frozen: bool,
        }
        #[derive(Deserialize)]
        struct Raw {
            amm: Amm,
            #[serde(alias = "ledger_current_index")]
            ledger_index: u32,
        }
        let Raw { amm, ledger_index } = from_value(value, WHAT)?;
        let other = || ProtocolError::Wrong {
            what: WHAT,
            field: "amount".to_string(),
            reason: format!("the pool is not of {token} against XRP"),
        };
        // In the order that was asked for, which is not the ledger's.
        let (xrp, held) = match (amm.amount, amm.amount2) {
            (Amount::Xrp(xrp), held @ Amount::Token { .. }) | (held @ Amount::Token { .. }, Amount::Xrp(xrp)) => {
                (xrp, held)
            }
            _ => return Err(other()),
        };
        let held = held.value_of(token).ok_or_else(other)?;
        let pool = AmmView { ledger_index, xrp, token: held, trading_fee: amm.trading_fee };
        Ok(AmmInfo { account: amm.account, pool, frozen: amm.asset_frozen || amm.asset2_frozen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Currency;
    use neo_market::Drops;
    use serde_json::json;

    const TOKEN: Token = Token { currency: Currency::RLUSD, issuer: Address([3; 20]) };

    fn said() -> Value {
        json!({"amm": {"account": Address([4; 20]), "amount": "1000000", "trading_fee": 500, "asset2_frozen": false,
            "amount2": {"currency": TOKEN.currency, "issuer": TOKEN.issuer, "value": "2.4"},
            "lp_token": {"currency": "USD", "issuer": Address([4; 20]), "value": "1"}},
            "ledger_index": 77, "validated": true})
    }

    #[test]
    fn the_pool_is_read_in_either_order() {
        let info = AmmInfo::from_value(&said(), TOKEN).unwrap();
        let pool =
            AmmView { ledger_index: 77, xrp: Drops::new(1_000_000), token: "2.4".parse().unwrap(), trading_fee: 500 };
        assert_eq!(info, AmmInfo { account: Address([4; 20]), pool, frozen: false });
        let mut turned = said();
        let (one, two) = (turned["amm"]["amount"].clone(), turned["amm"]["amount2"].clone());
        (turned["amm"]["amount"], turned["amm"]["amount2"]) = (two, one);
        turned["amm"]["asset_frozen"] = json!(true);
        let info = AmmInfo::from_value(&turned, TOKEN).unwrap();
        assert!(info.frozen && info.pool == pool);
    }

    #[test]
    fn what_is_missing_or_of_another_pair_is_named() {
        let mut value = said();
        value["amm"].as_object_mut().unwrap().remove("trading_fee");
        let error = AmmInfo::from_value(&value, TOKEN).unwrap_err();
        assert!(matches!(error, ProtocolError::Missing { field, .. } if field == "trading_fee"));
        let other = Token { issuer: Address([9; 20]), ..TOKEN };
        assert!(AmmInfo::from_value(&said(), other).unwrap_err().to_string().contains("against XRP"));
    }
}
