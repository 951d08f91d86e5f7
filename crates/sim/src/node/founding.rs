//! How a world begins: by transactions of its first ledgers.

use neo_ledger::Address;
use neo_market::{AmountError, Dec, Drops, Rounding};
use serde_json::{Map, Value as Json, json};

use super::{GENESIS_ACCOUNT, Node};
use crate::amount::{TokenValue, Value};
use crate::apply::meta::amount_json;
use crate::apply::tx::ASF_DEFAULT_RIPPLE;
use crate::generator::Generator;
use crate::mirror::apply::Applier;
use crate::scenario::ScenarioError;

/// What each participant starts with: enough for years of trading.
const PARTICIPANT_DROPS: i64 = 1_000_000_000_000_000;
const PARTICIPANT_RLUSD: i64 = 1_000_000_000;
/// XRP of the issuer, in drops.
const ISSUER_DROPS: i64 = 1_000_000_000;
/// AccountSet number of AllowTrustLineClawback.
const ASF_ALLOW_TRUST_LINE_CLAWBACK: u32 = 16;

impl Node {
    /// Funds the issuer, the participants and the maker by transactions of the first ledgers.
    pub(super) fn found_world(&mut self) -> Result<(), ScenarioError> {
        self.history.track(self.scenario.maker()?);
        if self.mirror.is_some() {
            return self.found_accounts(vec![Applier::keeper(), Applier::taker()]);
        }
        let provider = self.scenario.has_pool().then(Generator::provider_account);
        let participants: Vec<Address> =
            Generator::taker_accounts().into_iter().chain([Generator::maker_account()]).chain(provider).collect();
        self.found_accounts(participants)?;
        if let Some(provider) = provider {
            let pool = self.generator.pool(self.scenario.reserve_inc_drops);
            self.found("making the pool", provider, pool)?;
            self.close();
        }
        // A market is there before anybody looks at it: the first ledger that a client sees has a price.
        for draft in self.generator.opening_quotes() {
            self.send_draft(draft);
        }
        self.close();
        Ok(())
    }

    /// Funds the issuer, the participants and the maker, in four ledgers.
    fn found_accounts(&mut self, participants: Vec<Address>) -> Result<(), ScenarioError> {
        let (issuer, maker) = (self.scenario.issuer(), self.scenario.maker()?);
        let (rlusd, genesis) = (self.scenario.rlusd(), Address(GENESIS_ACCOUNT));
        let maker_drops = drops_of(self.scenario.maker_xrp)?;
        let pay = |to: Address, amount: Json| {
            object(json!({ "TransactionType": "Payment", "Destination": to, "Amount": amount }))
        };
        self.found("funding the issuer", genesis, pay(issuer, json!(ISSUER_DROPS.to_string())))?;
        for account in &participants {
            self.found("funding a participant", genesis, pay(*account, json!(PARTICIPANT_DROPS.to_string())))?;
        }
        if maker_drops > 0 {
            self.found("funding the maker", genesis, pay(maker, json!(maker_drops.to_string())))?;
        }
        self.close();
        if self.faults.claws_back() {
            // Possible only for an account that owns nothing yet.
            let allow = json!({ "TransactionType": "AccountSet", "SetFlag": ASF_ALLOW_TRUST_LINE_CLAWBACK });
            self.found("allowing clawback", issuer, object(allow))?;
        }
        let settings = json!({ "TransactionType": "AccountSet", "SetFlag": ASF_DEFAULT_RIPPLE });
        let mut settings = object(settings);
        if self.scenario.tick_size > 0 {
            settings.insert("TickSize".to_string(), json!(self.scenario.tick_size));
        }
        if self.scenario.transfer_rate > 0 {
            settings.insert("TransferRate".to_string(), json!(self.scenario.transfer_rate));
        }
        self.found("setting up the issuer", issuer, settings)?;
        self.close();
        let limit = amount_json(Value::Token(token_value(Dec::from_i64(10_000_000_000))?), rlusd);
        let trust = object(json!({ "TransactionType": "TrustSet", "LimitAmount": limit, "Flags": 0x0002_0000 }));
        let holders: Vec<Address> = participants.iter().copied().chain((maker_drops > 0).then_some(maker)).collect();
        for account in holders {
            self.found("setting a trust line", account, trust.clone())?;
        }
        self.close();
        let participants_value = token_value(Dec::from_i64(PARTICIPANT_RLUSD))?;
        for account in participants {
            let amount = amount_json(Value::Token(participants_value), rlusd);
            self.found("issuing to a participant", issuer, pay(account, amount))?;
        }
        let maker_value = token_value(self.scenario.maker_rlusd)?;
        if maker_drops > 0 && !maker_value.is_zero() {
            let amount = amount_json(Value::Token(maker_value), rlusd);
            self.found("issuing to the maker", issuer, pay(maker, amount))?;
        }
        self.close();
        Ok(())
    }

    fn found(&mut self, step: &'static str, account: Address, fields: Map<String, Json>) -> Result<(), ScenarioError> {
        let failed = |result: &str| ScenarioError::Genesis { step, result: result.to_string() };
        let tx = self.unsigned(account, fields).ok_or_else(|| failed("terNO_ACCOUNT"))?;
        let submitted = self.chain.submit(tx, false);
        if submitted.result.is_success() { Ok(()) } else { Err(failed(submitted.result.token)) }
    }
}

pub(super) fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn drops_of(xrp: Dec) -> Result<i64, ScenarioError> {
    Drops::from_xrp(xrp, Rounding::Down).map(Drops::get).map_err(amount_error)
}

fn token_value(value: Dec) -> Result<TokenValue, ScenarioError> {
    let rounded = value.round_digits(neo_market::decimal::LEDGER_DIGITS, Rounding::Down).map_err(amount_error)?;
    TokenValue::from_dec(rounded).map_err(amount_error)
}

fn amount_error(error: AmountError) -> ScenarioError {
    ScenarioError::Genesis { step: "reading an amount of the scenario", result: error.to_string() }
}
