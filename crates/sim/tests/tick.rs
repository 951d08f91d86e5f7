//! What the engine signs for a tick size is what rests, and the market's account of the rounding is this ledger's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

mod common;

use common::{ALICE, BOB, ISSUER, World, create, rlusd, xrp};
use neo_market::{Dec, Drops, IssuerRules, Quote, Side, as_placed};
use neo_sim::amount::Value;
use proptest::prelude::*;
use serde_json::json;

/// A world whose issuer rounds rates to so many digits.
fn world(digits: u8) -> World {
    let mut world = World::new();
    if digits > 0 {
        world.ok(ISSUER, json!({ "TransactionType": "AccountSet", "TickSize": digits }));
    }
    world
}

/// Places an offer of these legs; what rests: XRP and token.
fn rests(world: &mut World, side: Side, size: Drops, tokens: Dec) -> Option<(Drops, Dec)> {
    let (drops, tokens) = (xrp(size.get()), rlusd(&tokens.to_string()));
    let sequence = match side {
        Side::Bid => world.offer(ALICE, tokens, drops),
        Side::Ask => world.offer(ALICE, drops, tokens),
    };
    let offer = world.find(ALICE, sequence)?;
    let (drops, tokens) = match side {
        Side::Bid => (offer.taker_pays, offer.taker_gets),
        Side::Ask => (offer.taker_gets, offer.taker_pays),
    };
    let Value::Drops(drops) = drops else { panic!("{drops:?}") };
    Some((Drops::new(drops), tokens.text().parse().unwrap()))
}

prop_compose! {
    fn any_legs()(digits in prop_oneof![Just(0_u8), 3_u8..=15], price in 1_000_000_i64..9_999_999_999_999_999,
                  exponent in -17_i32..-13, size in 1_i64..200_000_000, bid: bool) -> (u8, Dec, Drops, Side) {
        let price = Dec::from_parts(price, exponent).unwrap();
        (digits, price, Drops::new(size), if bid { Side::Bid } else { Side::Ask })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    /// Any legs, not only ours: the two agree on what is left of them.
    #[test]
    fn as_placed_is_what_the_ledger_places((digits, price, size, side) in any_legs()) {
        let quote = Quote::new(side, 0, price, size).unwrap();
        prop_assume!(quote.rlusd.is_positive());
        let placed = as_placed(side, size, quote.rlusd, Some(digits)).unwrap();
        prop_assert_eq!(placed, rests(&mut world(digits), side, size, quote.rlusd));
    }

    #[test]
    fn what_rests_equals_what_was_signed((digits, price, size, side) in any_legs()) {
        let size = size.max(Drops::new(1_000_000));
        let quote = Quote::on_grid(side, 0, price, size, Some(digits)).unwrap();
        prop_assert!(quote.is_some());
        let quote = quote.unwrap();
        let left = rests(&mut world(digits), side, quote.size, quote.rlusd);
        prop_assert_eq!(left, Some((quote.size, quote.rlusd)));
    }
}

/// Who pays the fee in a crossing: the owner of the offer whose token moves.
#[test]
fn a_bid_costs_its_owner_the_transfer_fee_and_an_ask_brings_all_of_it() {
    let mut world = World::new();
    let rules = IssuerRules { tick_size: None, transfer_rate: Some(1_002_000_000) };
    world.ok(ISSUER, json!({ "TransactionType": "AccountSet", "TransferRate": 1_002_000_000_u32 }));
    world.offer(ALICE, rlusd("100"), xrp(50_000_000));
    world.ok(BOB, create(xrp(50_000_000), rlusd("100")));
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("899.8", "1100"));
    // Alice's ask: Bob pays the fee for what she receives.
    world.offer(ALICE, xrp(50_000_000), rlusd("100"));
    world.ok(BOB, create(rlusd("100"), xrp(50_000_000)));
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("999.8", "999.8"));
    // A bid of all that may be promised is filled whole; the balance is used up to its last digits.
    let promised = rules.promisable("999.8".parse().unwrap()).unwrap();
    let bid = world.offer(ALICE, rlusd(&promised.to_string()), xrp(400_000_000));
    world.ok(BOB, create(xrp(400_000_000), rlusd(&promised.to_string())));
    assert!(world.find(ALICE, bid).is_none());
    let left: Dec = world.rlusd(ALICE).parse().unwrap();
    assert!(!left.is_negative() && left < "0.000000000001".parse().unwrap(), "{left}");
    assert_eq!(world.xrp(ALICE) / 1_000_000, 1_000 + 400 - 1);
}

/// The limit of a trust line does not bind what offers bring.
#[test]
fn an_ask_is_filled_beyond_the_limit_of_its_owners_line() {
    let mut world = World::new();
    world.ok(ALICE, json!({ "TransactionType": "TrustSet", "LimitAmount": rlusd("1000.5") }));
    let ask = world.offer(ALICE, xrp(50_000_000), rlusd("100"));
    world.ok(BOB, create(rlusd("100"), xrp(50_000_000)));
    assert_eq!(world.rlusd(ALICE), "1100");
    assert!(world.find(ALICE, ask).is_none());
    // Crossing by itself neither.
    world.offer(BOB, rlusd("100"), xrp(50_000_000));
    world.ok(ALICE, create(xrp(50_000_000), rlusd("100")));
    assert_eq!(world.rlusd(ALICE), "1200");
}
