//! The payment engine: every rule by a case worked out by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

mod common;

use common::{ALICE, BOB, CAROL, ISSUER, World, create, rlusd, with, xrp};
use neo_ledger::{Address, Currency, Token};
use neo_sim::state::{LSF_HIGH_NO_RIPPLE, LSF_LOW_NO_RIPPLE, LineKey};
use serde_json::{Value as Json, json};

const NO_RIPPLE_DIRECT: u32 = 0x0001_0000;
const PARTIAL: u32 = 0x0002_0000;
const LIMIT_QUALITY: u32 = 0x0004_0000;
const SELL: u32 = 0x0008_0000;
const IOC: u32 = 0x0002_0000;
/// A second issuer, of EUR.
const BANK: Address = Address([8; 20]);
/// RippleState flags of deep freeze, low and high.
const DEEP_FREEZE: u32 = 0x0600_0000;

fn eur_currency() -> Currency {
    "EUR".parse().unwrap()
}

fn eur(value: &str) -> Json {
    json!({ "currency": "EUR", "issuer": BANK, "value": value })
}

fn pay(to: Address, amount: Json) -> Json {
    json!({ "TransactionType": "Payment", "Destination": to, "Amount": amount })
}

/// The world of the crossing tests with a bank whose EUR Alice, Bob and Carol hold 1,000 of each.
fn world() -> World {
    let mut world = World::new();
    let root = world.state.account(ISSUER).unwrap().clone();
    world.state.put_account(BANK, neo_sim::state::AccountRoot { sequence: 1, owner_count: 0, ..root });
    for account in [ALICE, BOB, CAROL] {
        world.ok(account, json!({ "TransactionType": "TrustSet", "LimitAmount": eur("10000") }));
        world.ok(BANK, pay(account, eur("1000")));
    }
    world
}

fn eur_of(world: &World, holder: Address) -> String {
    world.state.token_balance(holder, Token { currency: eur_currency(), issuer: BANK }).text()
}

/// Changes a line's entry directly.
fn edit_line(world: &mut World, a: Address, b: Address, edit: impl Fn(&mut neo_sim::state::TrustLine)) {
    let key = LineKey::of(a, b, Currency::RLUSD);
    let mut line = world.state.line(key).unwrap().clone();
    edit(&mut line);
    world.state.put_line(key, line);
}

fn set_rate(world: &mut World, issuer: Address, rate: u32) {
    world.ok(issuer, json!({ "TransactionType": "AccountSet", "TransferRate": rate }));
}

#[test]
fn tokens_ripple_through_their_issuer_up_to_the_receivers_limit() {
    let mut world = world();
    world.ok(ALICE, pay(BOB, rlusd("100")));
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("900", "1100"));
    edit_line(&mut world, BOB, ISSUER, |line| {
        // Bob's address is below the issuer's.
        line.low_limit = neo_sim::amount::TokenValue::new(1_150, 0).unwrap();
    });
    assert_eq!(world.result(ALICE, pay(BOB, rlusd("51"))), "tecPATH_PARTIAL");
    let meta = world.ok(ALICE, with(pay(BOB, rlusd("51")), json!({ "Flags": PARTIAL })));
    assert_eq!(meta["DeliveredAmount"], rlusd("50"));
    assert_eq!(world.result(ALICE, pay(BOB, rlusd("1"))), "tecPATH_DRY");
}

#[test]
fn the_sender_pays_the_transfer_fee_and_send_max_bounds_it() {
    let mut world = world();
    set_rate(&mut world, ISSUER, 1_010_000_000);
    assert_eq!(world.result(ALICE, pay(BOB, rlusd("100"))), "tecPATH_PARTIAL", "without SendMax no fee can be paid");
    world.ok(ALICE, with(pay(BOB, rlusd("100")), json!({ "SendMax": rlusd("101") })));
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("899", "1100"));
    // To the issuer and from it nothing is charged.
    world.ok(ALICE, pay(ISSUER, rlusd("99")));
    world.ok(ISSUER, pay(ALICE, rlusd("100")));
    assert_eq!(world.rlusd(ALICE), "900");
}

#[test]
fn deliver_min_is_the_least_that_a_partial_payment_brings() {
    let mut world = world();
    let partial = |least: &str| with(pay(BOB, rlusd("2000")), json!({ "Flags": PARTIAL, "DeliverMin": rlusd(least) }));
    assert_eq!(world.result(ALICE, partial("1000.1")), "tecPATH_PARTIAL");
    assert_eq!(world.rlusd(ALICE), "1000");
    assert_eq!(world.ok(ALICE, partial("1000"))["DeliveredAmount"], rlusd("1000"));
    let whole = with(pay(BOB, rlusd("1")), json!({ "DeliverMin": rlusd("1") }));
    assert_eq!(world.result(CAROL, whole), "temBAD_AMOUNT");
}

#[test]
fn an_issuer_that_sets_no_ripple_on_both_lines_lets_nothing_through() {
    let mut world = world();
    for holder in [ALICE, BOB] {
        edit_line(&mut world, holder, ISSUER, |line| line.flags |= LSF_HIGH_NO_RIPPLE);
    }
    assert_eq!(world.result(ALICE, pay(BOB, rlusd("1"))), "tecPATH_DRY");
    edit_line(&mut world, BOB, ISSUER, |line| line.flags &= !(LSF_HIGH_NO_RIPPLE | LSF_LOW_NO_RIPPLE));
    world.ok(ALICE, pay(BOB, rlusd("1")));
}

#[test]
fn qualities_of_lines_make_tokens_dearer_on_the_way() {
    let mut world = world();
    // Bob takes tokens that come in over his line at 98 per cent.
    edit_line(&mut world, BOB, ISSUER, |line| line.qualities.low_in = 980_000_000);
    world.ok(ISSUER, pay(CAROL, rlusd("1")));
    let meta = world.ok(ALICE, with(pay(BOB, rlusd("98")), json!({ "SendMax": rlusd("200") })));
    assert!(meta.get("DeliveredAmount").is_none());
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("900", "1100"));
}

#[test]
fn frozen_tokens_go_back_to_their_issuer_only() {
    let mut world = world();
    edit_line(&mut world, ALICE, ISSUER, |line| line.flags |= neo_sim::state::LSF_HIGH_FREEZE);
    assert_eq!(world.result(ALICE, pay(BOB, rlusd("1"))), "tecPATH_DRY");
    world.ok(BOB, pay(ALICE, rlusd("1")));
    world.ok(ALICE, pay(ISSUER, rlusd("1")));
    edit_line(&mut world, ALICE, ISSUER, |line| {
        line.flags = line.flags & !neo_sim::state::LSF_HIGH_FREEZE | DEEP_FREEZE
    });
    assert_eq!(world.result(BOB, pay(ALICE, rlusd("1"))), "tecPATH_DRY", "deeply frozen takes nothing either");
    world.ok(ISSUER, json!({ "TransactionType": "AccountSet", "SetFlag": 7 }));
    assert_eq!(world.result(BOB, pay(CAROL, rlusd("1"))), "tecPATH_DRY");
    world.ok(BOB, pay(ISSUER, rlusd("1")));
}

#[test]
fn one_book_changes_one_asset_into_another() {
    let mut world = world();
    world.offer(BOB, rlusd("200"), xrp(100_000_000));
    let buy = |drops: i64| with(pay(CAROL, rlusd("100")), json!({ "SendMax": xrp(drops) }));
    assert_eq!(world.result(ALICE, buy(49_999_999)), "tecPATH_PARTIAL");
    world.ok(ALICE, buy(60_000_000));
    assert_eq!((world.rlusd(CAROL).as_str(), world.rlusd(BOB).as_str()), ("1100", "900"));
    assert_eq!(world.result(ALICE, with(buy(60_000_000), json!({ "Flags": NO_RIPPLE_DIRECT }))), "temRIPPLE_EMPTY");
    // At a limit of 2.5 RLUSD for one XRP nothing is good enough.
    let limited = json!({ "Flags": LIMIT_QUALITY, "SendMax": xrp(40_000_000) });
    assert_eq!(world.result(ALICE, with(pay(CAROL, rlusd("100")), limited)), "tecPATH_PARTIAL");
}

#[test]
fn a_path_may_lead_through_two_books() {
    let mut world = world();
    world.offer(BOB, xrp(100_000_000), rlusd("100"));
    world.offer(CAROL, eur("200"), xrp(100_000_000));
    let by_xrp = json!({ "SendMax": rlusd("60"), "Paths": [[{ "currency": "XRP" }]] });
    world.ok(ALICE, with(pay(BOB, eur("100")), by_xrp));
    assert_eq!((world.rlusd(ALICE).as_str(), eur_of(&world, BOB).as_str()), ("950", "1100"));
    assert_eq!((eur_of(&world, CAROL).as_str(), world.rlusd(BOB).as_str()), ("900", "1050"));
    let loop_back = json!({ "SendMax": rlusd("60"), "Paths": [[{ "currency": "XRP" }, { "currency": "XRP" }]] });
    assert_eq!(world.result(ALICE, with(pay(BOB, eur("1")), loop_back)), "temBAD_PATH");
}

#[test]
fn offers_between_two_tokens_cross_through_xrp_where_that_is_better() {
    let mut world = world();
    // Directly 1.2 RLUSD for a euro; through XRP 1.0.
    let direct = world.offer(BOB, eur("50"), rlusd("60"));
    world.offer(BOB, xrp(50_000_000), rlusd("50"));
    world.offer(CAROL, eur("50"), xrp(50_000_000));
    world.ok(ALICE, create(rlusd("120"), eur("100")));
    assert_eq!((eur_of(&world, ALICE).as_str(), world.rlusd(ALICE).as_str()), ("1100", "890"));
    assert!(world.find(BOB, direct).is_none());
}

#[test]
fn what_came_in_during_a_payment_pays_for_nothing_in_it() {
    let mut world = world();
    // Bob has no RLUSD left but buys 50 in the first book and sells 50 in the second, all within one payment.
    world.ok(BOB, pay(ISSUER, rlusd("990")));
    world.offer(BOB, eur("50"), rlusd("50"));
    world.offer(BOB, rlusd("50"), xrp(50_000_000));
    let around = json!({ "SendMax": xrp(100_000_000), "Flags": PARTIAL,
        "Paths": [[{ "currency": Currency::RLUSD, "issuer": ISSUER }]] });
    let meta = world.ok(ALICE, with(pay(CAROL, eur("40")), around));
    assert_eq!(meta["DeliveredAmount"], eur("10"));
    assert_eq!(world.rlusd(BOB), "10");
}

#[test]
fn xrp_that_a_filled_offer_sets_free_of_reserve_cannot_be_spent_at_once() {
    let mut world = world();
    // Bob's two asks for XRP; he keeps the reserve of his two lines and two offers, and three XRP.
    let first = world.offer(BOB, xrp(2_000_000), rlusd("2"));
    let second = world.offer(BOB, xrp(2_000_000), rlusd("2.1"));
    let spare = world.xrp(BOB) - 10 - (1_800_000 + 3_000_000);
    world.ok(BOB, pay(CAROL, xrp(spare)));
    world.ok(ALICE, with(create(rlusd("10"), xrp(1_000_000)), json!({ "Flags": IOC | SELL })));
    assert!(world.find(BOB, first).is_none() && world.find(BOB, second).is_none());
    // The reserve of the first, now gone, stayed out of reach: two XRP, then one.
    assert_eq!(world.xrp(BOB), 1_800_000);
}

#[test]
fn xrp_reaches_a_new_account_only_with_its_reserve() {
    let mut world = world();
    let new = Address([7; 20]);
    assert_eq!(world.result(ALICE, pay(new, xrp(999_999))), "tecNO_DST_INSUF_XRP");
    assert_eq!(world.result(ALICE, pay(new, rlusd("1"))), "tecNO_DST");
    world.ok(ALICE, pay(new, xrp(1_000_000)));
    assert_eq!(world.xrp(new), 1_000_000);
    for (more, refused) in [
        (json!({ "SendMax": xrp(5) }), "temBAD_SEND_XRP_MAX"),
        (json!({ "Paths": [[{ "account": BOB }]] }), "temBAD_SEND_XRP_PATHS"),
        (json!({ "Flags": PARTIAL }), "temBAD_SEND_XRP_PARTIAL"),
        (json!({ "Flags": LIMIT_QUALITY }), "temBAD_SEND_XRP_LIMIT"),
        (json!({ "Flags": NO_RIPPLE_DIRECT }), "temBAD_SEND_XRP_NO_DIRECT"),
    ] {
        assert_eq!(world.result(ALICE, with(pay(new, xrp(1)), more)), refused);
    }
    assert_eq!(world.result(ALICE, pay(ALICE, rlusd("1"))), "temREDUNDANT");
}

#[test]
fn offers_of_owners_without_approval_are_removed() {
    let mut world = world();
    let ask = world.offer(BOB, xrp(10_000_000), rlusd("10"));
    let root = world.state.account(ISSUER).unwrap().clone();
    let flags = root.flags | neo_sim::state::LSF_REQUIRE_AUTH;
    world.state.put_account(ISSUER, neo_sim::state::AccountRoot { flags, ..root });
    world.ok(ALICE, create(rlusd("11"), xrp(10_000_000)));
    assert!(world.find(BOB, ask).is_none());
    assert_eq!(world.rlusd(ALICE), "1000");
    assert_eq!(world.result(CAROL, create(xrp(1_000_000), rlusd("1"))), "tecNO_AUTH");
}

#[test]
fn a_pool_is_taken_before_a_book_that_is_dearer() {
    let mut world = world();
    let pool = json!({ "TransactionType": "AMMCreate", "Amount": xrp(100_000_000), "Amount2": rlusd("100"),
        "TradingFee": 0 });
    world.ok(ALICE, pool);
    let account = world.state.amms().next().unwrap().1.account;
    // The pool's price is one RLUSD for one XRP, and 1.188 after nine; the book's is 1.21.
    let ask = world.offer(BOB, xrp(10_000_000), rlusd("12.1"));
    let before = world.xrp(CAROL);
    world.ok(CAROL, with(create(rlusd("9"), xrp(1_000_000)), json!({ "Flags": IOC | SELL })));
    assert_eq!((world.xrp(CAROL), world.rlusd(CAROL).as_str()), (before - 10 + 8_256_880, "991"));
    assert_eq!((world.xrp(account), world.rlusd(account).as_str()), (100_000_000 - 8_256_880, "109"));
    assert_eq!(world.find(BOB, ask).unwrap().taker_gets, neo_sim::amount::Value::Drops(10_000_000));
    // Twelve more: the pool up to the book's price, the rest from the book.
    world.ok(CAROL, with(create(rlusd("12"), xrp(1_000_000)), json!({ "Flags": IOC | SELL })));
    let left = world.find(BOB, ask).unwrap().taker_gets;
    assert!(left < neo_sim::amount::Value::Drops(1_000_000), "{}", left.text());
    assert!(world.xrp(account) < 91_000_000 && world.xrp(account) > 90_900_000);
}
