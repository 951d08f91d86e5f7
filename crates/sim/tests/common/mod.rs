//! A small world for the engine's tests: an issuer, accounts with RLUSD, transactions without signatures.
#![allow(dead_code)] // each test file uses a part

use neo_ledger::{Address, Asset, Currency, Hash, LedgerTime, Token, sha512_half};
use neo_sim::amendment::Amendments;
use neo_sim::amount::TokenValue;
use neo_sim::apply::tx::{Signer, Tx};
use neo_sim::apply::{Applied, Context, Rules, apply};
use neo_sim::state::{AccountRoot, LSF_DEFAULT_RIPPLE, Offer, OfferKey, State};
use serde_json::{Value as Json, json};

pub const ISSUER: Address = Address([9; 20]);
pub const ALICE: Address = Address([1; 20]);
pub const BOB: Address = Address([2; 20]);
pub const CAROL: Address = Address([3; 20]);
pub const NOW: u32 = 1_000;

pub struct World {
    pub state: State,
    pub rules: Rules,
    pub index: u32,
    pub now: u32,
}

pub fn token() -> Token {
    Token { currency: Currency::RLUSD, issuer: ISSUER }
}

pub fn rlusd(value: &str) -> Json {
    json!({ "currency": Currency::RLUSD, "issuer": ISSUER, "value": value })
}

pub fn xrp(drops: i64) -> Json {
    json!(drops.to_string())
}

impl World {
    /// Alice, Bob and Carol with 1,000 XRP and 1,000 RLUSD each.
    pub fn new() -> World {
        let rules = Rules {
            network_id: 1,
            base_fee_drops: 10,
            reserve_base_drops: 1_000_000,
            reserve_inc_drops: 200_000,
            amendments: Amendments::default(),
        };
        let mut world = World { state: State::default(), rules, index: 5, now: NOW };
        for account in [ISSUER, ALICE, BOB, CAROL] {
            let root = AccountRoot {
                balance: 1_000_000_000,
                sequence: 1,
                flags: if account == ISSUER { LSF_DEFAULT_RIPPLE } else { 0 },
                ..AccountRoot::default()
            };
            world.state.put_account(account, root);
        }
        for account in [ALICE, BOB, CAROL] {
            world.ok(account, json!({ "TransactionType": "TrustSet", "LimitAmount": rlusd("1000000") }));
            let pay = json!({ "TransactionType": "Payment", "Destination": account, "Amount": rlusd("1000") });
            world.ok(ISSUER, pay);
        }
        world
    }

    pub fn apply(&mut self, account: Address, fields: Json) -> Applied {
        let sequence = self.state.account(account).unwrap().sequence;
        let mut json = fields;
        json["Account"] = json!(account);
        json["Fee"] = json!("10");
        if json.get("Sequence").is_none() {
            json["Sequence"] = json!(sequence);
        }
        let hash: Hash = sha512_half(&[json.to_string().as_bytes()]);
        let tx = Tx::parse(json, hash, Signer::Simulation).unwrap();
        self.index += 1;
        let context = Context {
            rules: &self.rules,
            ledger_index: self.index,
            parent_close_time: LedgerTime(self.now),
            open: false,
            retry: false,
            fail_hard: false,
            transaction_index: 0,
            pool_account: None,
        };
        let applied = apply(&mut self.state, &tx, &context);
        self.state.commit();
        applied
    }

    pub fn ok(&mut self, account: Address, fields: Json) -> Json {
        let applied = self.apply(account, fields);
        assert_eq!(applied.result.token, "tesSUCCESS");
        applied.meta.unwrap().json
    }

    pub fn result(&mut self, account: Address, fields: Json) -> &'static str {
        self.apply(account, fields).result.token
    }

    /// Places an offer; gives its sequence.
    pub fn offer(&mut self, account: Address, gets: Json, pays: Json) -> u32 {
        let sequence = self.state.account(account).unwrap().sequence;
        self.ok(account, create(gets, pays));
        sequence
    }

    pub fn find(&self, account: Address, sequence: u32) -> Option<&Offer> {
        self.state.offer(OfferKey { account, sequence })
    }

    pub fn xrp(&self, account: Address) -> i64 {
        self.state.account(account).unwrap().balance
    }

    pub fn rlusd(&self, account: Address) -> String {
        self.state.token_balance(account, token()).text()
    }

    pub fn owner_count(&self, account: Address) -> u32 {
        self.state.account(account).unwrap().owner_count
    }

    pub fn all_drops(&self) -> i64 {
        self.state.accounts().map(|(_, root)| root.balance).sum()
    }

    /// What all holders have of the token: what the issuer owes.
    pub fn all_tokens(&self) -> TokenValue {
        let holders = [ALICE, BOB, CAROL];
        holders.iter().fold(TokenValue::ZERO, |sum, a| sum.add(self.state.token_balance(*a, token())).unwrap())
    }
}

pub fn create(gets: Json, pays: Json) -> Json {
    json!({ "TransactionType": "OfferCreate", "TakerGets": gets, "TakerPays": pays })
}

pub fn with(mut fields: Json, more: Json) -> Json {
    for (name, value) in more.as_object().unwrap() {
        fields[name] = value.clone();
    }
    fields
}

/// The asset of the token.
pub fn asset() -> Asset {
    Asset::Token(token())
}
