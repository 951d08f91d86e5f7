//! Offers that meet: every rule by a case worked out by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

mod common;

use common::{ALICE, BOB, CAROL, ISSUER, NOW, World, create, rlusd, token, with, xrp};
use neo_sim::amount::Value;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const PASSIVE: u32 = 0x0001_0000;
const IOC: u32 = 0x0002_0000;
const FOK: u32 = 0x0004_0000;
const SELL: u32 = 0x0008_0000;

/// A node's fields in the metadata, by entry type and account.
fn node<'a>(meta: &'a Json, action: &str, kind: &str, account: Option<&str>) -> Option<&'a Json> {
    meta["AffectedNodes"].as_array().unwrap().iter().filter_map(|node| node.get(action)).find(|node| {
        let fields = node.get("FinalFields").or_else(|| node.get("NewFields"));
        node["LedgerEntryType"] == kind
            && account.is_none_or(|account| fields.is_some_and(|fields| fields["Account"] == account))
    })
}

#[test]
fn a_partial_fill_leaves_the_rest_and_says_so() {
    let mut world = World::new();
    // Alice sells 100 XRP for 200 RLUSD; Bob buys 40 XRP at up to 2.1.
    let ask = world.offer(ALICE, xrp(100_000_000), rlusd("200"));
    let before = world.find(ALICE, ask).unwrap().previous.unwrap();
    let meta = world.ok(BOB, create(rlusd("84"), xrp(40_000_000)));
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("1080", "920"));
    assert_eq!(world.xrp(ALICE), 1_000_000_000 - 40_000_000 - 20);
    assert_eq!(world.xrp(BOB), 1_000_000_000 + 40_000_000 - 20);
    let offer = world.find(ALICE, ask).unwrap();
    assert_eq!((offer.taker_gets, offer.taker_pays.text().as_str()), (Value::Drops(60_000_000), "120"));
    let changed = node(&meta, "ModifiedNode", "Offer", None).unwrap();
    assert_eq!(changed["PreviousFields"], json!({ "TakerGets": "100000000", "TakerPays": rlusd("200") }));
    assert_eq!(changed["PreviousTxnID"], json!(before.txn));
    assert!(node(&meta, "CreatedNode", "Offer", None).is_none());
    assert_ne!(world.find(ALICE, ask).unwrap().previous.unwrap(), before);
}

#[test]
fn several_levels_are_taken_best_first() {
    let mut world = World::new();
    let worse = world.offer(ALICE, xrp(10_000_000), rlusd("21"));
    let better = world.offer(ALICE, xrp(10_000_000), rlusd("20"));
    let later = world.offer(CAROL, xrp(10_000_000), rlusd("20"));
    let meta = world.ok(BOB, create(rlusd("52.5"), xrp(25_000_000)));
    // 10 XRP each at 2.0 from Alice and Carol, 5 at 2.1 from Alice's worse one.
    assert_eq!(world.rlusd(BOB), "949.5");
    assert!(world.find(ALICE, better).is_none() && world.find(CAROL, later).is_none());
    assert_eq!(world.find(ALICE, worse).unwrap().taker_gets, Value::Drops(5_000_000));
    let gone = node(&meta, "DeletedNode", "Offer", None).unwrap();
    assert_eq!(
        (&gone["FinalFields"]["TakerGets"], &gone["PreviousFields"]["TakerGets"]),
        (&json!("0"), &json!("10000000"))
    );
    assert_eq!((world.owner_count(ALICE), world.owner_count(CAROL)), (2, 1));
}

#[test]
fn what_is_not_filled_rests_at_its_own_rate() {
    let mut world = World::new();
    world.offer(ALICE, xrp(10_000_000), rlusd("20"));
    let rest = world.offer(BOB, rlusd("63"), xrp(30_000_000));
    let offer = world.find(BOB, rest).unwrap();
    assert_eq!((offer.taker_pays, offer.taker_gets.text().as_str()), (Value::Drops(20_000_000), "42"));
    assert_eq!(world.owner_count(BOB), 2);
}

#[test]
fn selling_drops_at_exactly_the_bid_rests_and_locks_the_book() {
    // As seen on rippled: 150 XRP for 295.5 RLUSD (1.97) against bids 100 at 1.98 and 200 at 1.97.
    let mut world = World::new();
    world.offer(ALICE, rlusd("198"), xrp(100_000_000));
    let second = world.offer(ALICE, rlusd("394"), xrp(200_000_000));
    let rest = world.offer(BOB, xrp(150_000_000), rlusd("295.5"));
    let offer = world.find(BOB, rest).unwrap();
    assert_eq!((offer.taker_gets, offer.taker_pays.text().as_str()), (Value::Drops(49_492_386), "97.5"));
    assert_eq!(world.find(ALICE, second).unwrap().taker_pays, Value::Drops(200_000_000));
}

#[test]
fn replacing_deletes_first_and_a_failed_replacement_keeps_the_old_offer() {
    let mut world = World::new();
    let old = world.offer(ALICE, xrp(10_000_000), rlusd("20"));
    let meta = world.ok(ALICE, with(create(xrp(10_000_000), rlusd("21")), json!({ "OfferSequence": old })));
    assert!(world.find(ALICE, old).is_none() && world.find(ALICE, old + 1).is_some());
    let gone = node(&meta, "DeletedNode", "Offer", None).unwrap();
    assert!(gone.get("PreviousFields").is_none() && gone["FinalFields"]["TakerGets"] == "10000000");
    assert_eq!(world.owner_count(ALICE), 2);
    // The target is gone: no error. A killed replacement: the old one stays.
    world.ok(ALICE, with(create(xrp(1_000_000), rlusd("3")), json!({ "OfferSequence": old })));
    let killed = with(create(xrp(1_000_000), rlusd("3")), json!({ "OfferSequence": old + 1, "Flags": FOK }));
    assert_eq!(world.result(ALICE, killed), "tecKILLED");
    assert!(world.find(ALICE, old + 1).is_some());
    let future = with(create(xrp(1_000_000), rlusd("3")), json!({ "OfferSequence": 500 }));
    let (balance, applied) = (world.xrp(ALICE), world.apply(ALICE, future));
    assert_eq!((applied.result.token, applied.applied, world.xrp(ALICE)), ("temBAD_SEQUENCE", false, balance));
}

#[test]
fn expired_offers_are_removed_by_who_meets_them_even_when_he_is_killed() {
    let mut world = World::new();
    let sequence = world.state.account(ALICE).unwrap().sequence;
    world.ok(ALICE, with(create(xrp(10_000_000), rlusd("20")), json!({ "Expiration": NOW + 10 })));
    world.now = NOW + 10;
    let killed = with(create(rlusd("30"), xrp(10_000_000)), json!({ "Flags": IOC }));
    let applied = world.apply(BOB, killed);
    assert_eq!(applied.result.token, "tecKILLED");
    assert!(world.find(ALICE, sequence).is_none());
    assert_eq!(world.owner_count(ALICE), 1);
    assert!(node(&applied.meta.unwrap().json, "DeletedNode", "Offer", None).is_some());
    let late = with(create(rlusd("30"), xrp(10_000_000)), json!({ "Expiration": NOW }));
    assert_eq!(world.result(BOB, late), "tecEXPIRED");
    let never = with(create(rlusd("30"), xrp(10_000_000)), json!({ "Expiration": 0 }));
    assert_eq!(world.result(BOB, never), "temBAD_EXPIRATION");
}

#[test]
fn owners_give_what_they_have() {
    let mut world = World::new();
    // Two bids on one balance of 1,000 RLUSD; Bob sells into both.
    let first = world.offer(ALICE, rlusd("800"), xrp(400_000_000));
    let second = world.offer(ALICE, rlusd("760"), xrp(400_000_000));
    world.ok(BOB, with(create(xrp(700_000_000), rlusd("1")), json!({ "Flags": IOC | SELL })));
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("0", "2000"));
    assert!(world.find(ALICE, first).is_none(), "filled");
    assert!(world.find(ALICE, second).is_none(), "its owner has nothing left");
    // With nothing of the asset no offer can be made.
    assert_eq!(world.result(ALICE, create(rlusd("1"), xrp(1_000_000))), "tecUNFUNDED_OFFER");
}

#[test]
fn found_unfunded_offers_are_removed() {
    let mut world = World::new();
    let bid = world.offer(ALICE, rlusd("20"), xrp(10_000_000));
    world.ok(ALICE, json!({ "TransactionType": "Payment", "Destination": ISSUER, "Amount": rlusd("1000") }));
    assert!(world.find(ALICE, bid).is_some());
    world.ok(BOB, create(xrp(10_000_000), rlusd("15")));
    assert!(world.find(ALICE, bid).is_none());
    assert_eq!(world.rlusd(BOB), "1000");
}

#[test]
fn own_offers_in_the_way_are_deleted_not_traded() {
    let mut world = World::new();
    let ask = world.offer(ALICE, xrp(10_000_000), rlusd("20"));
    let bid = world.offer(ALICE, rlusd("21"), xrp(10_000_000));
    assert!(world.find(ALICE, ask).is_none() && world.find(ALICE, bid).is_some());
    assert_eq!(world.rlusd(ALICE), "1000");
    assert_eq!(world.owner_count(ALICE), 2);
}

#[test]
fn passive_offers_leave_an_equal_price_and_take_a_better_one() {
    let mut world = World::new();
    let ask = world.offer(ALICE, xrp(10_000_000), rlusd("20"));
    world.ok(BOB, with(create(rlusd("20"), xrp(10_000_000)), json!({ "Flags": PASSIVE })));
    assert!(world.find(ALICE, ask).is_some());
    world.ok(CAROL, with(create(rlusd("20.1"), xrp(10_000_000)), json!({ "Flags": PASSIVE })));
    assert!(world.find(ALICE, ask).is_none());
}

#[test]
fn all_or_nothing_and_now_or_never() {
    let mut world = World::new();
    let ask = world.offer(ALICE, xrp(10_000_000), rlusd("20"));
    let (balance, fok) = (world.xrp(BOB), with(create(rlusd("42"), xrp(20_000_000)), json!({ "Flags": FOK })));
    assert_eq!(world.result(BOB, fok), "tecKILLED");
    assert_eq!((world.xrp(BOB), world.rlusd(BOB).as_str()), (balance - 10, "1000"));
    assert!(world.find(ALICE, ask).is_some());
    world.ok(BOB, with(create(rlusd("42"), xrp(20_000_000)), json!({ "Flags": IOC })));
    assert_eq!((world.rlusd(BOB).as_str(), world.owner_count(BOB)), ("980", 1));
    let nothing = with(create(rlusd("42"), xrp(20_000_000)), json!({ "Flags": IOC }));
    assert_eq!(world.result(BOB, nothing), "tecKILLED");
    let both = with(create(rlusd("42"), xrp(20_000_000)), json!({ "Flags": IOC | FOK }));
    assert_eq!(world.result(BOB, both), "temINVALID_FLAG");
}

#[test]
fn placing_needs_reserve_unless_something_crossed() {
    let mut world = World::new();
    world.offer(ALICE, xrp(10_000_000), rlusd("20"));
    // Bob keeps one drop less than the reserve for his line and one offer.
    let spare = world.xrp(BOB) - 10 - 1_399_999;
    world.ok(BOB, json!({ "TransactionType": "Payment", "Destination": CAROL, "Amount": xrp(spare) }));
    assert_eq!(world.xrp(BOB), 1_399_999);
    assert_eq!(world.result(BOB, create(rlusd("1"), xrp(1_000_000))), "tecINSUF_RESERVE_OFFER");
    // What crosses is kept, the rest is not placed.
    world.ok(BOB, create(rlusd("42"), xrp(20_000_000)));
    assert_eq!((world.rlusd(BOB).as_str(), world.owner_count(BOB)), ("980", 1));
}

#[test]
fn ticks_round_what_a_buy_sells_and_what_a_sell_buys() {
    let mut world = World::new();
    world.ok(ISSUER, json!({ "TransactionType": "AccountSet", "TickSize": 5 }));
    // As seen on rippled: 7 XRP for 23.4567891 RLUSD at five digits.
    let buy = world.offer(ALICE, xrp(7_000_000), rlusd("23.4567891"));
    assert_eq!(world.find(ALICE, buy).unwrap().taker_gets, Value::Drops(6_999_937));
    assert_eq!(world.find(ALICE, buy).unwrap().taker_pays.text(), "23.4567891");
    world.ok(BOB, with(create(xrp(7_000_000), rlusd("23.4567891")), json!({ "Flags": SELL })));
    let sold = world.state.offers_of(BOB).next().unwrap().1;
    assert_eq!((sold.taker_gets, sold.taker_pays.text().as_str()), (Value::Drops(7_000_000), "23.457"));
}

#[test]
fn a_fill_makes_a_line_for_who_has_none() {
    let mut world = World::new();
    world.ok(CAROL, json!({ "TransactionType": "Payment", "Destination": ISSUER, "Amount": rlusd("1000") }));
    world.ok(CAROL, json!({ "TransactionType": "TrustSet", "LimitAmount": rlusd("0"), "Flags": 0x0002_0000 }));
    assert_eq!((world.state.lines_of(CAROL).count(), world.owner_count(CAROL)), (0, 0));
    world.offer(ALICE, rlusd("21"), xrp(10_000_000));
    let meta = world.ok(CAROL, create(xrp(10_000_000), rlusd("20")));
    assert_eq!((world.rlusd(CAROL).as_str(), world.owner_count(CAROL)), ("20", 1));
    assert!(node(&meta, "CreatedNode", "RippleState", None).is_some());
}

#[test]
fn transfer_fees_are_paid_by_who_gives_the_token() {
    let mut world = World::new();
    world.ok(ISSUER, json!({ "TransactionType": "AccountSet", "TransferRate": 1_010_000_000 }));
    world.offer(ALICE, rlusd("100"), xrp(50_000_000));
    world.ok(BOB, create(xrp(50_000_000), rlusd("90")));
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("909.1", "1090"));
}

fn any_transaction() -> impl Strategy<Value = (usize, Json)> {
    let amounts = (1_i64..200_000_000, 1_i64..400_000_000);
    let flags = prop::sample::select(vec![0, 0, 0, PASSIVE, IOC, FOK, SELL, IOC | SELL, FOK | SELL]);
    (0_usize..3, any::<bool>(), amounts, flags, prop::option::of(1_u32..30), prop::option::of(0_u32..2_000)).prop_map(
        |(who, sells, (drops, millionths), flags, replaced, expiration)| {
            let value = neo_sim::amount::TokenValue::new(millionths, -6).unwrap().text();
            let (gets, pays) = if sells { (xrp(drops), rlusd(&value)) } else { (rlusd(&value), xrp(drops)) };
            let mut fields = with(create(gets, pays), json!({ "Flags": flags }));
            if let Some(sequence) = replaced {
                fields["OfferSequence"] = json!(sequence);
            }
            if let Some(expiration) = expiration {
                fields["Expiration"] = json!(expiration + 1);
            }
            (who, fields)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn nothing_is_made_or_lost(transactions in prop::collection::vec(any_transaction(), 1..60)) {
        let mut world = World::new();
        let (mut drops, tokens) = (world.all_drops(), world.all_tokens());
        for (who, fields) in transactions {
            let applied = world.apply([ALICE, BOB, CAROL][who], fields);
            drops -= if applied.applied { 10 } else { 0 };
            prop_assert_eq!(world.all_drops(), drops);
            // Sixteen digits of some thousands: what the rounding of a sum can lose is far below 1e-9.
            let lost = world.all_tokens().sub(tokens).unwrap();
            prop_assert!(lost.is_zero() || lost.exponent() + 15 < -9, "{}", lost.text());
            for account in [ALICE, BOB, CAROL] {
                prop_assert!(world.xrp(account) >= 0);
                prop_assert!(world.state.token_balance(account, token()).mantissa() >= 0);
                let owned = world.state.offers_of(account).count() + world.state.lines_of(account).count();
                prop_assert_eq!(world.owner_count(account) as usize, owned);
            }
            for (_, offer) in world.state.offers() {
                prop_assert!(offer.taker_gets.is_positive() && offer.taker_pays.is_positive());
            }
            world.now += 7;
        }
    }
}
