//! The pool's liquidity provider: he makes the pool, and then pays in and takes out by turns.

use neo_ledger::{Address, Asset};
use serde_json::{Map, Value as Json, json};

use super::{Draft, Generator, amounts, to_float};
use crate::apply::meta::amount_json;
use crate::scenario::{Scenario, participant};

/// AMMDeposit and AMMWithdraw flag: both assets, as much as is named or less (rippled, `TxFlags.h`).
const TF_TWO_ASSET: u32 = 0x0010_0000;

impl Scenario {
    /// True when a pool is made at the start.
    #[must_use]
    pub fn has_pool(&self) -> bool {
        self.amm.xrp.is_positive()
    }
}

impl Generator {
    /// The liquidity provider's account.
    #[must_use]
    pub fn provider_account() -> Address {
        participant("liquidity provider")
    }

    /// The transaction that makes the pool. It costs one owner's reserve.
    #[must_use]
    pub fn pool(&self, cost_drops: i64) -> Map<String, Json> {
        let pool = &self.scenario.amm;
        let xrp = to_float(pool.xrp);
        let price = if pool.rlusd.is_zero() { self.price } else { to_float(pool.rlusd) / xrp };
        let mut fields = self.both(price, xrp);
        fields.insert("TransactionType".to_string(), json!("AMMCreate"));
        fields.insert("TradingFee".to_string(), json!(pool.trading_fee));
        fields.insert("Fee".to_string(), json!(cost_drops.to_string()));
        fields
    }

    /// What the provider sends into the ledger that is about to close. His amounts follow the fundamental price, and the
    /// ledger takes of them what fits the pool.
    pub(super) fn provide(&self, drafts: &mut Vec<Draft>) {
        let pool = &self.scenario.amm;
        let every = u64::from(pool.provider_ledgers);
        let Some(turn) = self.ledgers.checked_div(every) else { return };
        if !self.scenario.has_pool() || turn == 0 || !self.ledgers.is_multiple_of(every) {
            return;
        }
        let kind = if turn.is_multiple_of(2) { "AMMWithdraw" } else { "AMMDeposit" };
        let mut fields = self.both(self.price, to_float(pool.provider_xrp));
        fields.insert("TransactionType".to_string(), json!(kind));
        fields.insert("Asset".to_string(), json!({ "currency": "XRP" }));
        if let Asset::Token(token) = self.rlusd {
            fields.insert("Asset2".to_string(), json!({ "currency": token.currency, "issuer": token.issuer }));
        }
        fields.insert("Flags".to_string(), json!(TF_TWO_ASSET));
        drafts.push(Draft { account: Self::provider_account(), fields, slot: None });
    }

    /// XRP and RLUSD at a price.
    fn both(&self, price: f64, xrp: f64) -> Map<String, Json> {
        let mut fields = Map::new();
        if let Some((xrp, rlusd)) = amounts(price, xrp) {
            fields.insert("Amount".to_string(), amount_json(xrp, Asset::Xrp));
            fields.insert("Amount2".to_string(), amount_json(rlusd, self.rlusd));
        }
        fields
    }
}
