//! The pool of a mirrored market: what is told of it, and what of its trades is ours. The measure is a ledger that has ours in
//! it, with the same transactions.

use neo_ledger::{Address, Asset, request};
use neo_market::Dec;
use neo_sim::amm::AssetPair;
use neo_sim::state::{AccountRoot, LineKey, OfferKey};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::common::{ALICE, BOB, CAROL, World, asset, rlusd, xrp};
use super::hand::*;

const IMMEDIATE_OR_CANCEL: u32 = 0x0002_0000;
const SELL: u32 = 0x0008_0000;
/// Drops that the two worlds may differ by: a pool rounds in its favour wherever it stops.
const NEAR: i64 = 100;
/// Stands where ours stands, in the world that has it.
const DAVE: Address = Address([4; 20]);

/// A pool of 100,000 XRP at 2 RLUSD, and an owner of offers.
fn world(fee: u16) -> World {
    let mut world = World::new();
    world.state.put_account(DAVE, AccountRoot { sequence: 1, ..AccountRoot::default() });
    for account in [ALICE, BOB, CAROL, DAVE] {
        let root = world.state.account(account).cloned().unwrap();
        world.state.put_account(account, AccountRoot { balance: 1_000_000 * XRP, ..root });
        world.ok(account, json!({ "TransactionType": "TrustSet", "LimitAmount": rlusd("100000000") }));
        let pay = json!({ "TransactionType": "Payment", "Destination": account, "Amount": rlusd("10000000") });
        world.ok(super::common::ISSUER, pay);
    }
    world.ok(ALICE, pool(fee));
    world
}

fn pool(fee: u16) -> Json {
    json!({ "TransactionType": "AMMCreate", "Amount": xrp(100_000 * XRP), "Amount2": rlusd("200000"), "TradingFee": fee })
}

fn nodes(meta: &Json) -> Vec<Json> {
    meta["AffectedNodes"].as_array().unwrap().clone()
}

/// Drops and RLUSD of the pool.
fn reserves(state: &neo_sim::state::State) -> (i64, String) {
    let amm = state.amm(AssetPair::of(Asset::Xrp, asset())).unwrap();
    let line = LineKey::of(amm.account, ISSUER, token().currency);
    let balance = state.line(line).unwrap().balance;
    (state.account(amm.account).unwrap().balance, if line.low == amm.account { balance } else { balance.neg() }.text())
}

fn place(world: &mut World, account: Address, is_ask: bool, size: i64, price: i64) -> (u32, Json) {
    let sequence = world.state.account(account).unwrap().sequence;
    let offer = fields(is_ask, account, sequence, size * XRP, price);
    let tx =
        json!({ "TransactionType": "OfferCreate", "TakerGets": offer["TakerGets"], "TakerPays": offer["TakerPays"] });
    (sequence, world.ok(account, tx))
}

/// Takes so many drops of the asks, or gives as many to the bids, at any price.
fn sweep(world: &mut World, asks: bool, drops: i64) -> Json {
    let (gets, pays, sell) = if asks { (rlusd("5000000"), xrp(drops), 0) } else { (xrp(drops), rlusd("1"), SELL) };
    let tx = json!({ "TransactionType": "OfferCreate", "TakerGets": gets, "TakerPays": pays,
        "Flags": IMMEDIATE_OR_CANCEL | sell });
    world.ok(CAROL, tx)
}

fn drops_of(world: &World, account: Address, sequence: u32) -> i64 {
    let Some(offer) = world.state.offer(OfferKey { account, sequence }) else { return 0 };
    let text = if offer.taker_gets.is_xrp() { offer.taker_gets.text() } else { offer.taker_pays.text() };
    text.parse().unwrap()
}

fn rich(scenario: &mut neo_sim::Scenario) {
    scenario.maker_xrp = Dec::from_i64(10_000_000);
    scenario.maker_rlusd = Dec::from_i64(10_000_000);
}

fn amm_info(client: &mut Client) -> Json {
    client.ask(&request::amm_info(9, token()))
}

fn told(client: &mut Client) -> (i64, String) {
    let answer = amm_info(client);
    let amm = &answer["result"]["amm"];
    (amm["amount"].as_str().unwrap().parse().unwrap(), amm["amount2"]["value"].as_str().unwrap().to_string())
}

/// One offer more or less: a price in thousandths and a size in XRP.
type Sized = (i64, i64);

/// What a sweep takes of ours where ours really stood, and what the mirror of the world without it gives.
fn both(is_ask: bool, fee: u16, real: &[Sized], ours: &[Sized], drops: i64) -> (Vec<i64>, Vec<i64>) {
    let mut recording = Recording::new(token(), None);
    recording.closed(FIRST);
    recording.picture(FIRST, &[], &[]);
    let (mut with, mut without) = (world(fee), world(fee));
    recording.pool_told(FIRST, &without.state);
    recording.closed(FIRST + 1);
    for (place_in_ledger, (price, size)) in (0..).zip(real) {
        place(&mut with, BOB, is_ask, *size, *price);
        let (_, meta) = place(&mut without, BOB, is_ask, *size, *price);
        recording.tx(FIRST + 1, place_in_ledger, &nodes(&meta));
    }
    recording.closed(FIRST + 2);
    let really: Vec<u32> = ours.iter().map(|(price, size)| place(&mut with, DAVE, is_ask, *size, *price).0).collect();
    sweep(&mut with, is_ask, drops);
    let meta = sweep(&mut without, is_ask, drops);
    recording.closed(FIRST + 3);
    recording.tx(FIRST + 3, 0, &nodes(&meta));
    recording.closed(FIRST + 4);
    let mut client = recording.replay(rich);
    client.close();
    let placed: Vec<u32> = ours.iter().map(|(price, size)| client.place(is_ask, *size, *price)).collect();
    client.close();
    client.close();
    // Ours never moves the pool.
    assert_eq!(told(&mut client), reserves(&without.state));
    let maker = client.maker();
    let mirrored = placed.iter().map(|sequence| client.drops_of(OfferKey { account: maker, sequence: *sequence }));
    let mirrored = mirrored.map(|drops| drops.unwrap_or(0)).collect();
    (really.iter().map(|sequence| drops_of(&with, DAVE, *sequence)).collect(), mirrored)
}

fn assert_same(really: &[i64], mirrored: &[i64]) {
    for (really, mirrored) in really.iter().zip(mirrored) {
        assert!((really - mirrored).abs() <= NEAR, "really {really}, mirrored {mirrored}");
    }
}

#[test]
fn between_pool_and_book_ours_gets_what_a_ledger_with_it_would_give_it() {
    // Pool at 2.000 with half a per cent; a real ask at 2.020, ours at 2.015: the pool goes first up to that, then ours.
    let (really, mirrored) = both(true, 500, &[(2_020, 100)], &[(2_015, 300)], 400 * XRP);
    assert_eq!(mirrored.len(), 1);
    assert!(really[0] < 300 * XRP && really[0] > 0, "{really:?}");
    assert_same(&really, &mirrored);
}

#[test]
fn what_stands_between_two_of_ours_is_gone_when_it_is_the_second_ones_turn() {
    // The first of ours is filled whole before the real bids are reached.
    let real = [(1_994, 521), (1_993, 595)];
    let (really, mirrored) = both(false, 0, &real, &[(1_964, 196), (1_999, 90)], 2_168_335_178);
    assert_eq!(really, [145_999_989, 0]);
    assert_same(&really, &mirrored);
}

#[test]
fn inside_the_pools_band_ours_goes_first_and_beyond_its_reach_gets_nothing() {
    let (really, mirrored) = both(true, 500, &[], &[(2_005, 50), (2_300, 50)], 60 * XRP);
    assert_eq!((really.as_slice(), mirrored.as_slice()), ([0, 50 * XRP].as_slice(), [0, 50 * XRP].as_slice()));
    let (really, mirrored) = both(false, 500, &[], &[(1_995, 50), (1_700, 50)], 60 * XRP);
    assert_eq!((really.as_slice(), mirrored.as_slice()), ([0, 50 * XRP].as_slice(), [0, 50 * XRP].as_slice()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever stands around it: book, pool and ours, on both sides.
    #[test]
    fn ours_gets_from_pool_and_book_what_a_ledger_with_it_would_give_it(
        is_ask: bool,
        fee in prop_oneof![Just(0_u16), 1_u16..=1000],
        real in prop::collection::vec((1_i64..150, 1_i64..800), 0..3),
        ours in prop::collection::vec((1_i64..150, 1_i64..800), 1..3),
        drops in 1_i64..4_000 * XRP,
    ) {
        // Away from the pool's price, inside its band or not; no two at one price, whose queue other tests look at.
        let price = |away: i64| if is_ask { 2_000 + away } else { 2_000 - away };
        let mut used = std::collections::BTreeSet::new();
        let mut spread = |all: Vec<(i64, i64)>| -> Vec<Sized> {
            let all = all.into_iter().filter(|(away, _)| used.insert(*away));
            all.map(|(away, size)| (price(away), size)).collect()
        };
        let (real, ours) = (spread(real), spread(ours));
        prop_assume!(!ours.is_empty());
        let (really, mirrored) = both(is_ask, fee, &real, &ours, drops);
        for (really, mirrored) in really.iter().zip(&mirrored) {
            prop_assert!((really - mirrored).abs() <= NEAR, "really {really}, mirrored {mirrored}");
        }
    }
}

/// A mirror of `write`'s ledgers, and the world that its transactions are of.
fn following(fee: u16, write: impl FnOnce(&mut World, &mut Recording)) -> (Client, World) {
    let (mut recording, mut world) = (Recording::new(token(), None), world(fee));
    recording.closed(FIRST);
    recording.picture(FIRST, &[bid(3, 1_900).of(100)], &[ask(1, 2_100).of(100)]);
    recording.pool_told(FIRST, &world.state);
    write(&mut world, &mut recording);
    (recording.replay(rich), world)
}

#[test]
fn amm_info_is_the_recorded_ledgers_after_trades_deposits_and_votes() {
    let mut all = Vec::new();
    let (mut client, world) = following(300, |world, recording| {
        let txs: [fn(&mut World) -> Json; 4] = [
            |world| sweep(world, true, 1_234_567_891),
            |world| sweep(world, false, 3 * XRP),
            |world| {
                let pair = json!({ "Asset": { "currency": "XRP" }, "Asset2": asset() });
                let deposit =
                    json!({ "TransactionType": "AMMDeposit", "Flags": 0x0008_0000, "Amount": xrp(500 * XRP) });
                world.ok(BOB, super::common::with(pair, deposit))
            },
            |world| {
                let pair = json!({ "Asset": { "currency": "XRP" }, "Asset2": asset() });
                world.ok(ALICE, super::common::with(pair, json!({ "TransactionType": "AMMVote", "TradingFee": 800 })))
            },
        ];
        for (index, tx) in (FIRST + 1..).zip(txs) {
            recording.closed(index);
            let meta = tx(world);
            recording.tx(index, 0, &nodes(&meta));
            let amm = world.state.amm(AssetPair::of(Asset::Xrp, asset())).unwrap();
            all.push((reserves(&world.state), amm.trading_fee, amm.lp_token_balance.text()));
        }
        recording.closed(FIRST + 5);
    });
    for expected in all {
        client.close();
        let answer = amm_info(&mut client);
        let amm = &answer["result"]["amm"];
        let lp = amm["lp_token"]["value"].as_str().unwrap().to_string();
        let fee = u16::try_from(amm["trading_fee"].as_u64().unwrap()).unwrap();
        assert_eq!(((told(&mut client)), fee, lp), expected);
        assert_eq!(answer["result"]["ledger_index"], client.node.ledger_index());
        assert_eq!(amm["asset2_frozen"], false);
    }
    assert_eq!(told(&mut client), reserves(&world.state));
}

#[test]
fn a_pool_that_is_made_is_there_and_one_that_is_gone_is_not() {
    let pair = || json!({ "Asset": { "currency": "XRP" }, "Asset2": asset() });
    let mut recording = Recording::new(token(), None);
    recording.closed(FIRST);
    recording.picture(FIRST, &[], &[]);
    recording.pool_said(FIRST, None);
    let mut world = world(1);
    let all = json!({ "TransactionType": "AMMWithdraw", "Flags": 0x0002_0000 });
    world.ok(ALICE, super::common::with(pair(), all.clone()));
    recording.closed(FIRST + 1);
    recording.tx(FIRST + 1, 0, &nodes(&world.ok(ALICE, pool(77))));
    let made = reserves(&world.state);
    recording.closed(FIRST + 2);
    recording.tx(FIRST + 2, 0, &nodes(&world.ok(ALICE, super::common::with(pair(), all))));
    recording.closed(FIRST + 3);
    let mut client = recording.replay(rich);
    assert_eq!(amm_info(&mut client)["error"], "actNotFound");
    client.close();
    assert_eq!(told(&mut client), made);
    client.close();
    assert_eq!(amm_info(&mut client)["error"], "actNotFound");
}

#[test]
fn a_pool_that_is_not_known_has_no_price_until_it_is_told_of_again() {
    let (mut client, world) = following(300, |world, recording| {
        recording.closed(FIRST + 1);
        recording.gap();
        recording.closed(FIRST + 2);
        // Unseen.
        sweep(world, true, 700 * XRP);
        recording.closed(FIRST + 3);
        recording.pool_told(FIRST + 3, &world.state);
        recording.closed(FIRST + 4);
    });
    let frozen = |client: &mut Client| amm_info(client)["result"]["amm"]["asset2_frozen"].clone();
    assert_eq!(frozen(&mut client), false);
    client.close();
    client.close();
    assert_eq!(frozen(&mut client), true);
    client.close();
    assert_eq!(frozen(&mut client), false);
    assert_eq!(told(&mut client), reserves(&world.state));
}

#[test]
fn ours_takes_nothing_from_the_pool_and_the_pool_is_not_moved_by_us() {
    let (mut client, world) = following(0, |_, recording| {
        recording.closed(FIRST + 1);
        recording.closed(FIRST + 2);
    });
    // Two per cent better than the pool asks: on the real ledger it would take.
    let ours = client.place(false, 100, 2_040);
    client.close();
    assert_eq!(client.left(ours), 100);
    assert_eq!(told(&mut client), reserves(&world.state));
}

#[test]
fn the_holder_of_the_slot_pays_less_so_that_more_of_what_he_took_was_before_ours() {
    // Who sends the recorded transactions holds the slot: at his price the pool reaches farther before ours.
    let left = |discounted: bool| {
        let mut recording = Recording::new(token(), None);
        let mut world = world(1_000);
        recording.closed(FIRST);
        recording.picture(FIRST, &[], &[]);
        let (account, lp) = {
            let amm = world.state.amm(AssetPair::of(Asset::Xrp, asset())).unwrap();
            (amm.account, amm.lp_token_balance.text())
        };
        let of = |value: &str| json!({ "currency": "03".repeat(20), "issuer": account, "value": value });
        recording.pool_said(FIRST, Some(&json!({
            "account": account, "amount": (100_000 * XRP).to_string(), "amount2": rlusd("200000"), "lp_token": of(&lp),
            "trading_fee": 1_000, "auction_slot": {
                "account": owner(if discounted { 77 } else { 78 }), "discounted_fee": 100, "price": of("1"),
                "expiration": "2036-11-25T00:00:00+0000", "time_interval": 3, "auth_accounts": [{ "account": owner(5) }],
            },
        })));
        recording.closed(FIRST + 1);
        recording.closed(FIRST + 2);
        recording.tx(FIRST + 2, 0, &nodes(&sweep(&mut world, true, 500 * XRP)));
        recording.closed(FIRST + 3);
        let mut client = recording.replay(rich);
        let ours = client.place(true, 1_000, 2_030);
        client.close();
        client.close();
        let maker = client.maker();
        client.drops_of(OfferKey { account: maker, sequence: ours }).unwrap()
    };
    assert!(left(true) > left(false), "{} {}", left(true), left(false));
}
