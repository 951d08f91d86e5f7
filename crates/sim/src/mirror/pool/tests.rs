#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use neo_ledger::Currency;

const TOKEN: Token = Token { currency: Currency::RLUSD, issuer: Address([3; 20]) };
const POOL: Address = Address([4; 20]);

fn said() -> Json {
    let token = |issuer: Address, value: &str| json!({ "currency": TOKEN.currency, "issuer": issuer, "value": value });
    json!({ "ledger_index": 7, "amm": {
        "account": POOL, "amount": "5000000", "amount2": token(TOKEN.issuer, "12.5"), "lp_token": token(POOL, "70"),
        "trading_fee": 600, "asset2_frozen": true,
        "vote_slots": [{ "account": Address([5; 20]), "trading_fee": 600, "vote_weight": 100_000 }],
        "auction_slot": { "account": Address([5; 20]), "discounted_fee": 60, "price": token(POOL, "0"),
            "expiration": "2026-01-02T03:04:05.000000000+0000", "time_interval": 0 },
    }})
}

#[test]
fn a_pool_is_read_in_either_order_with_its_slot_and_votes() {
    let pool = told(&said(), TOKEN).unwrap();
    assert_eq!((pool.xrp, pool.token.text().as_str(), pool.frozen), (5_000_000, "12.5", true));
    assert_eq!((pool.amm.trading_fee, pool.amm.vote_slots.len(), pool.amm.mirrored), (600, 1, true));
    let slot = pool.amm.auction_slot.clone().unwrap();
    assert_eq!((slot.discounted_fee, crate::calendar::iso(slot.expiration).as_str()), (60, "2026-01-02T03:04:05Z"));
    let mut turned = said();
    let (one, two) = (turned["amm"]["amount"].clone(), turned["amm"]["amount2"].clone());
    (turned["amm"]["amount"], turned["amm"]["amount2"]) = (two, one);
    assert_eq!(told(&turned, TOKEN).unwrap(), pool);
    let mut strange = said();
    strange["amm"]["auction_slot"]["expiration"] = json!("some day");
    assert_eq!(told(&strange, TOKEN).unwrap().amm.auction_slot, None);
}

#[test]
fn another_pairs_pool_and_half_an_answer_are_errors() {
    let other = Token { issuer: Address([8; 20]), ..TOKEN };
    assert!(matches!(told(&said(), other), Err(PoolError::Other)));
    let mut half = said();
    half["amm"].as_object_mut().unwrap().remove("amount");
    assert!(matches!(told(&half, TOKEN), Err(PoolError::Told(_))));
}

#[test]
fn of_an_unknown_pool_a_part_makes_none() {
    let pool = told(&said(), TOKEN).unwrap();
    let change = PoolChange { xrp: Some((POOL, 9)), ..PoolChange::default() };
    assert_eq!(change.after(None), None);
    assert_eq!(change.after(Some(pool.clone())), Some(PoolState { xrp: 9, ..pool.clone() }));
    let strangers = PoolChange { lines: vec![(Address([6; 20]), TokenValue::ZERO, true)], ..PoolChange::default() };
    assert_eq!(strangers.after(Some(pool.clone())), Some(pool.clone()));
    assert_eq!(PoolChange { gone: true, ..PoolChange::default() }.after(Some(pool)), None);
}
