//! Pools: making, filling, emptying and voting, every rule by a case worked out by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

mod common;

use common::{ALICE, BOB, CAROL, ISSUER, NOW, World, asset, rlusd, token, with, xrp};
use neo_ledger::{Address, Asset, Token};
use neo_sim::amendment::Amendment;
use neo_sim::amm::{Amm, AssetPair, MAX_VOTE_SLOTS};
use neo_sim::amount::{TokenValue, Value};
use neo_sim::number::{Number, Rounding};
use neo_sim::state::{
    AccountRoot, LSF_AMM_NODE, LSF_DEFAULT_RIPPLE, LSF_GLOBAL_FREEZE, LSF_REQUIRE_AUTH, LineKey, TrustLine,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const LP_TOKEN: u32 = 0x0001_0000;
const WITHDRAW_ALL: u32 = 0x0002_0000;
const ONE_ASSET_WITHDRAW_ALL: u32 = 0x0004_0000;
const SINGLE_ASSET: u32 = 0x0008_0000;
const TWO_ASSET: u32 = 0x0010_0000;
const ONE_ASSET_LP_TOKEN: u32 = 0x0020_0000;
const LIMIT_LP_TOKEN: u32 = 0x0040_0000;
const TWO_ASSET_IF_EMPTY: u32 = 0x0080_0000;
const SET_FREEZE: u32 = 0x0010_0000;

fn pair() -> AssetPair {
    AssetPair::of(Asset::Xrp, asset())
}

fn amm_tx(kind: &str, flags: u32, more: Json) -> Json {
    let fields = json!({
        "TransactionType": kind,
        "Asset": { "currency": "XRP" },
        "Asset2": asset(),
        "Flags": flags,
    });
    with(fields, more)
}

fn deposit(flags: u32, more: Json) -> Json {
    amm_tx("AMMDeposit", flags, more)
}

fn withdraw(flags: u32, more: Json) -> Json {
    amm_tx("AMMWithdraw", flags, more)
}

fn vote(fee: u16) -> Json {
    amm_tx("AMMVote", 0, json!({ "TradingFee": fee }))
}

fn create(drops: i64, tokens: &str, fee: u16) -> Json {
    json!({ "TransactionType": "AMMCreate", "Amount": xrp(drops), "Amount2": rlusd(tokens), "TradingFee": fee })
}

fn amm(world: &World) -> &Amm {
    world.state.amm(pair()).unwrap()
}

fn lp_token(world: &World) -> Token {
    amm(world).lp_token(pair())
}

fn lp(world: &World, value: &str) -> Json {
    let token = lp_token(world);
    json!({ "currency": token.currency, "issuer": token.issuer, "value": value })
}

fn lp_of(world: &World, account: Address) -> String {
    world.state.token_balance(account, lp_token(world)).text()
}

/// XRP and RLUSD in the pool.
fn pool(world: &World) -> (i64, String) {
    let account = amm(world).account;
    (world.xrp(account), world.rlusd(account))
}

/// A pool of Alice's: 100 XRP and 400 RLUSD, so 200,000 tokens.
fn with_pool(fee: u16) -> World {
    let mut world = World::new();
    world.ok(ALICE, create(100_000_000, "400", fee));
    world
}

/// The nodes of one kind in the metadata.
fn nodes<'a>(meta: &'a Json, action: &str, kind: &str) -> Vec<&'a Json> {
    let nodes = meta["AffectedNodes"].as_array().unwrap().iter();
    nodes.filter_map(|node| node.get(action)).filter(|node| node["LedgerEntryType"] == kind).collect()
}

#[test]
fn a_new_pool_has_an_account_lines_tokens_a_vote_and_an_auction_slot() {
    let mut world = World::new();
    let meta = world.ok(ALICE, create(100_000_000, "400", 300));
    let entry = amm(&world).clone();
    assert_eq!(entry.lp_token_balance.text(), "200000");
    assert_eq!(pool(&world), (100_000_000, "400".to_string()));
    assert_eq!(lp_of(&world, ALICE), "200000");
    assert_eq!((world.owner_count(ALICE), world.owner_count(entry.account)), (2, 1));
    let root = world.state.account(entry.account).unwrap();
    assert_eq!((root.flags, root.amm_id, root.sequence), (26_214_400, Some(pair().id()), world.index));
    let line = world.state.line(LineKey::of(entry.account, ISSUER, token().currency)).unwrap();
    assert_ne!(line.flags & LSF_AMM_NODE, 0);
    let slot = entry.auction_slot.unwrap();
    assert_eq!((slot.account, slot.discounted_fee, slot.expiration.0), (ALICE, 30, NOW + 86_400));
    let created = nodes(&meta, "CreatedNode", "AMM")[0];
    assert_eq!(created["LedgerIndex"], json!(pair().id()));
    let fields = created["NewFields"].as_object().unwrap();
    let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
    names.sort_unstable();
    // XRP, no flags and the first page of the directory are defaults, which are left out.
    assert_eq!(names, ["Account", "Asset2", "AuctionSlot", "LPTokenBalance", "TradingFee", "VoteSlots"]);
    let vote = json!({ "VoteEntry": { "Account": ALICE, "TradingFee": 300, "VoteWeight": 100_000 } });
    assert_eq!(fields["VoteSlots"], json!([vote]));
}

#[test]
fn a_pool_is_refused_for_what_rippled_refuses_it_for() {
    let result = |change: &dyn Fn(&mut World), tx: Json| {
        let mut world = World::new();
        change(&mut world);
        world.result(ALICE, tx)
    };
    let none = |_: &mut World| {};
    assert_eq!(result(&none, create(100, "400", 1_001)), "temBAD_FEE");
    assert_eq!(result(&none, create(0, "400", 0)), "temBAD_AMOUNT");
    assert_eq!(result(&none, create(100, "-1", 0)), "temBAD_AMOUNT");
    assert_eq!(result(&none, with(create(1, "1", 0), json!({ "Amount2": "5" }))), "temBAD_AMM_TOKENS");
    assert_eq!(result(&none, with(create(1, "1", 0), json!({ "Flags": 0x0001_0000 }))), "temINVALID_FLAG");
    assert_eq!(result(&none, create(100_000_000, "1001", 0)), "tecUNFUNDED_AMM");
    assert_eq!(result(&none, create(998_600_000, "10", 0)), "tecUNFUNDED_AMM");
    let off = |world: &mut World| world.rules.amendments.set(Amendment::Amm, false);
    assert_eq!(result(&off, create(0, "400", 0)), "temDISABLED");
    let flag = |flag: u32, clear: u32| {
        move |world: &mut World| {
            let root = world.state.account(ISSUER).unwrap().clone();
            world.state.put_account(ISSUER, AccountRoot { flags: (root.flags | flag) & !clear, ..root });
        }
    };
    assert_eq!(result(&flag(LSF_REQUIRE_AUTH, 0), create(1, "1", 0)), "tecNO_AUTH");
    assert_eq!(result(&flag(LSF_GLOBAL_FREEZE, 0), create(1, "1", 0)), "tecFROZEN");
    assert_eq!(result(&flag(0, LSF_DEFAULT_RIPPLE), create(1, "1", 0)), "terNO_RIPPLE");
    let poor = |world: &mut World| {
        let root = world.state.account(ALICE).unwrap().clone();
        world.state.put_account(ALICE, AccountRoot { balance: 1_399_999, ..root });
    };
    assert_eq!(result(&poor, create(1, "1", 0)), "tecINSUF_RESERVE_LINE");
    assert_eq!(result(&|world| drop(world.ok(BOB, create(1_000, "1", 0))), create(1, "1", 0)), "tecDUPLICATE");
}

#[test]
fn a_pools_tokens_are_no_asset_of_a_pool() {
    let mut world = with_pool(0);
    let tx = with(create(1_000, "1", 0), json!({ "Amount2": lp(&world, "5") }));
    assert_eq!(world.result(ALICE, tx), "tecAMM_INVALID_TOKENS");
}

#[test]
fn both_assets_go_in_for_a_number_of_tokens() {
    let mut world = with_pool(500);
    let tokens = lp(&world, "50000");
    world.ok(BOB, deposit(LP_TOKEN, json!({ "LPTokenOut": tokens })));
    assert_eq!(pool(&world), (125_000_000, "500".to_string()));
    assert_eq!((lp_of(&world, BOB).as_str(), amm(&world).lp_token_balance.text().as_str()), ("50000", "250000"));
    // The least that is accepted.
    let least = json!({ "LPTokenOut": lp(&world, "25000"), "Amount": xrp(12_500_001), "Amount2": rlusd("50") });
    assert_eq!(world.result(CAROL, deposit(LP_TOKEN, least)), "tecAMM_FAILED");
}

#[test]
fn both_assets_go_in_up_to_an_amount_of_each() {
    let mut world = with_pool(500);
    world.ok(BOB, deposit(TWO_ASSET, json!({ "Amount": xrp(10_000_000), "Amount2": rlusd("100") })));
    assert_eq!(pool(&world), (110_000_000, "440".to_string()));
    assert_eq!(lp_of(&world, BOB), "20000");
    world.ok(BOB, deposit(TWO_ASSET, json!({ "Amount": xrp(110_000_000), "Amount2": rlusd("44") })));
    assert_eq!(pool(&world), (121_000_000, "484".to_string()));
    let least = json!({ "Amount": xrp(10_000_000), "Amount2": rlusd("100"), "LPTokenOut": lp(&world, "30000") });
    assert_eq!(world.result(BOB, deposit(TWO_ASSET, least)), "tecAMM_FAILED");
}

#[test]
fn one_asset_in_buys_fewer_tokens_the_higher_the_fee() {
    let tokens = |fee| {
        let mut world = with_pool(fee);
        world.ok(BOB, deposit(SINGLE_ASSET, json!({ "Amount": xrp(21_000_000) })));
        (world.state.token_balance(BOB, lp_token(&world)), pool(&world).0)
    };
    // Without a fee 21% more of one asset makes 10% more tokens, rounded in the pool's favour.
    let (free, drops) = tokens(0);
    let at_least = |text: &str| TokenValue::from_dec(text.parse().unwrap()).unwrap();
    assert!(free <= at_least("20000") && free > at_least("19999.99"), "{free:?}");
    assert!((120_999_998..=121_000_000).contains(&drops), "{drops}");
    let (charged, _) = tokens(1_000);
    assert!(charged < free && charged > at_least("19800"), "{charged:?}");
}

#[test]
fn one_asset_goes_in_for_tokens_or_at_a_price() {
    let mut world = with_pool(0);
    let wanted = lp(&world, "20000");
    let tx = |most| deposit(ONE_ASSET_LP_TOKEN, json!({ "Amount": xrp(most), "LPTokenOut": wanted }));
    assert_eq!(world.result(BOB, tx(20_999_999)), "tecAMM_FAILED");
    world.ok(BOB, tx(21_000_001));
    let filled = pool(&world).0;
    assert!((121_000_000..=121_000_001).contains(&filled), "{filled}");
    // A token costs 1,100 drops at the margin now; 1,200 at the mean are reached with some XRP.
    let at = |price: i64, amount: i64| deposit(LIMIT_LP_TOKEN, json!({ "Amount": xrp(amount), "EPrice": xrp(price) }));
    assert_eq!(world.result(CAROL, at(1_000, 1_000_000)), "tecAMM_FAILED");
    world.ok(CAROL, at(1_200, 0));
    let paid = pool(&world).0 - filled;
    let got = world.state.token_balance(CAROL, lp_token(&world));
    let m = Rounding::Nearest;
    let price = m.div(Number::whole(u32::try_from(paid).unwrap()), Number::of_token(got)).unwrap();
    let near = m.sub(price, Number::whole(1_200)).unwrap();
    assert!(near <= m.number(1, -2).unwrap() && near >= m.number(-1, -2).unwrap(), "{price:?}");
}

#[test]
fn a_deposit_is_refused_for_what_rippled_refuses_it_for() {
    let mut world = with_pool(0);
    let single = |drops| deposit(SINGLE_ASSET, json!({ "Amount": xrp(drops) }));
    assert_eq!(world.result(BOB, deposit(SINGLE_ASSET | TWO_ASSET, json!({ "Amount": xrp(5) }))), "temMALFORMED");
    assert_eq!(world.result(BOB, deposit(WITHDRAW_ALL, json!({}))), "temINVALID_FLAG");
    assert_eq!(world.result(BOB, deposit(LP_TOKEN, json!({ "LPTokenOut": rlusd("5") }))), "temBAD_AMM_TOKENS");
    assert_eq!(world.result(BOB, single(1_000_000_000)), "tecINSUF_RESERVE_LINE");
    assert_eq!(world.result(ALICE, single(1_000_000_000)), "tecUNFUNDED_AMM");
    let if_empty = json!({ "Amount": xrp(5), "Amount2": rlusd("5") });
    assert_eq!(world.result(BOB, deposit(TWO_ASSET_IF_EMPTY, if_empty)), "tecAMM_NOT_EMPTY");
    let other = with(single(5), json!({ "Asset2": { "currency": "USD", "issuer": ISSUER } }));
    assert_eq!(world.result(BOB, other), "terNO_AMM");
    let freeze = json!({ "currency": "524C555344000000000000000000000000000000", "issuer": BOB, "value": "0" });
    world.ok(ISSUER, json!({ "TransactionType": "TrustSet", "LimitAmount": freeze, "Flags": SET_FREEZE }));
    assert_eq!(world.result(BOB, single(5)), "tecFROZEN");
    // Before AMMClawback only what is deposited must not be frozen.
    world.rules.amendments.set(Amendment::AmmClawback, false);
    world.ok(BOB, single(1_000_000));
}

#[test]
fn tokens_buy_both_assets_back_and_the_last_ones_end_the_pool() {
    let mut world = with_pool(500);
    let tokens = lp(&world, "50000");
    world.ok(BOB, deposit(LP_TOKEN, json!({ "LPTokenOut": tokens })));
    let (before, account) = (world.all_drops(), amm(&world).account);
    world.ok(ALICE, withdraw(WITHDRAW_ALL, json!({})));
    assert_eq!(pool(&world), (25_000_000, "100".to_string()));
    let meta = world.ok(BOB, withdraw(WITHDRAW_ALL, json!({})));
    assert!(world.state.amm(pair()).is_none() && world.state.account(account).is_none());
    assert_eq!(world.state.lines_of(account).count(), 0);
    assert_eq!((world.owner_count(ALICE), world.owner_count(BOB)), (1, 1));
    assert_eq!((world.rlusd(ALICE).as_str(), world.rlusd(BOB).as_str()), ("1000", "1000"));
    assert_eq!(world.all_drops(), before - 20);
    for kind in ["AMM", "AccountRoot"] {
        assert_eq!(nodes(&meta, "DeletedNode", kind).len(), 1, "{kind}");
    }
    assert_eq!(nodes(&meta, "DeletedNode", "RippleState").len(), 2);
}

#[test]
fn one_asset_comes_out() {
    let mut world = with_pool(0);
    // 19% less of one asset is 10% of the tokens.
    world.ok(ALICE, withdraw(SINGLE_ASSET, json!({ "Amount": xrp(19_000_000) })));
    assert_eq!((pool(&world).0, lp_of(&world, ALICE).as_str()), (81_000_000, "180000"));
    let tokens = lp(&world, "18000");
    let least = |drops| withdraw(ONE_ASSET_LP_TOKEN, json!({ "Amount": xrp(drops), "LPTokenIn": tokens }));
    assert_eq!(world.result(ALICE, least(15_390_001)), "tecAMM_FAILED");
    world.ok(ALICE, least(0));
    assert_eq!(pool(&world), (65_610_000, "400".to_string()));
    world.ok(ALICE, withdraw(TWO_ASSET, json!({ "Amount": xrp(6_561_000), "Amount2": rlusd("400") })));
    assert_eq!(pool(&world), (59_049_000, "360".to_string()));
}

#[test]
fn a_withdrawal_is_refused_for_what_rippled_refuses_it_for() {
    let mut world = with_pool(0);
    assert_eq!(world.result(BOB, withdraw(WITHDRAW_ALL, json!({}))), "tecAMM_BALANCE");
    let one = |drops| withdraw(SINGLE_ASSET, json!({ "Amount": xrp(drops) }));
    assert_eq!(world.result(ALICE, one(100_000_001)), "tecAMM_BALANCE");
    assert_eq!(world.result(ALICE, one(100_000_000)), "tecAMM_BALANCE");
    assert_eq!(world.result(ALICE, withdraw(ONE_ASSET_WITHDRAW_ALL, json!({ "Amount": xrp(0) }))), "tecAMM_BALANCE");
    let tokens = lp(&world, "200001");
    assert_eq!(world.result(ALICE, withdraw(LP_TOKEN, json!({ "LPTokenIn": tokens }))), "tecAMM_INVALID_TOKENS");
    assert_eq!(world.result(ALICE, withdraw(TWO_ASSET_IF_EMPTY, json!({}))), "temINVALID_FLAG");
    assert_eq!(world.result(ALICE, withdraw(WITHDRAW_ALL, json!({ "Amount": xrp(5) }))), "temMALFORMED");
    // A price in the asset instead of the tokens.
    let price = json!({ "Amount": xrp(5), "EPrice": xrp(1_000) });
    assert_eq!(world.result(ALICE, withdraw(LIMIT_LP_TOKEN, price)), "temBAD_AMM_TOKENS");
    let tiny = lp(&world, "0.000000001");
    assert_eq!(world.result(ALICE, withdraw(LP_TOKEN, json!({ "LPTokenIn": tiny }))), "tecAMM_FAILED");
}

#[test]
fn a_line_that_a_withdrawal_makes_needs_its_reserve() {
    let mut world = with_pool(0);
    // Alice's line is gone and she owns two entries: her pool tokens, and one more.
    let account = world.state.account(ALICE).unwrap().clone();
    world.state.put_account(ALICE, AccountRoot { balance: 1_500_000, owner_count: 2, ..account });
    let key = LineKey::of(ALICE, ISSUER, token().currency);
    world.state.put(neo_sim::state::Key::Line(key), None);
    let tx = || withdraw(SINGLE_ASSET, json!({ "Amount": rlusd("10") }));
    assert_eq!(world.result(ALICE, tx()), "tecINSUFFICIENT_RESERVE");
    world.rules.amendments.set(Amendment::FixAmmV1V2, false);
    world.ok(ALICE, tx());
    let got = world.state.token_balance(ALICE, token());
    assert!(got > TokenValue::new(9_999, -3).unwrap() && got <= TokenValue::new(10, 0).unwrap(), "{got:?}");
}

#[test]
fn the_fee_is_the_mean_of_the_votes_by_tokens() {
    let mut world = with_pool(500);
    let tokens = lp(&world, "50000");
    world.ok(BOB, deposit(LP_TOKEN, json!({ "LPTokenOut": tokens })));
    world.ok(BOB, vote(100));
    let entry = amm(&world);
    // 200,000 tokens for 500 and 50,000 for 100.
    assert_eq!((entry.trading_fee, entry.auction_slot.as_ref().unwrap().discounted_fee), (420, 42));
    assert_eq!(entry.vote_slots.iter().map(|slot| slot.weight).collect::<Vec<_>>(), [80_000, 20_000]);
    assert_eq!(world.result(CAROL, vote(5)), "tecAMM_INVALID_TOKENS");
    assert_eq!(world.result(BOB, vote(1_001)), "temBAD_FEE");
    // Who leaves loses his vote at the next one.
    world.ok(BOB, withdraw(WITHDRAW_ALL, json!({})));
    let meta = world.ok(ALICE, vote(0));
    assert_eq!((amm(&world).trading_fee, amm(&world).vote_slots.len()), (0, 1));
    let changed = nodes(&meta, "ModifiedNode", "AMM")[0];
    assert_eq!(changed["PreviousFields"]["TradingFee"], json!(420));
    assert!(changed["FinalFields"].get("TradingFee").is_none());
}

#[test]
fn a_ninth_vote_takes_the_place_of_the_lightest_or_none() {
    let mut world = with_pool(500);
    let voters: Vec<Address> = (0..9).map(|n| Address([0x20 + n; 20])).collect();
    for (n, voter) in voters.iter().enumerate() {
        let root = world.state.account(CAROL).unwrap().clone();
        world.state.put_account(*voter, AccountRoot { sequence: 1, owner_count: 0, ..root });
        let key = LineKey::of(*voter, amm(&world).account, pair().lp_currency());
        let line = TrustLine {
            balance: TokenValue::ZERO,
            low_limit: TokenValue::ZERO,
            high_limit: TokenValue::ZERO,
            ..world.state.line(LineKey::of(ALICE, amm(&world).account, pair().lp_currency())).unwrap().clone()
        };
        let held = TokenValue::new(100 + i64::try_from(n).unwrap(), 0).unwrap();
        world.state.put_line(key, TrustLine { balance: if key.low == *voter { held } else { held.neg() }, ..line });
        world.state.commit();
    }
    for voter in voters.iter().take(7) {
        world.ok(*voter, vote(100));
    }
    assert_eq!(amm(&world).vote_slots.len(), MAX_VOTE_SLOTS);
    world.ok(voters[8], vote(200));
    let slots: Vec<Address> = amm(&world).vote_slots.iter().map(|slot| slot.account).collect();
    assert_eq!(slots.len(), MAX_VOTE_SLOTS);
    assert!(slots.contains(&voters[8]) && !slots.contains(&voters[0]));
    // The first one has fewer tokens than any of those who vote now.
    world.ok(voters[0], vote(1_000));
    assert!(!amm(&world).vote_slots.iter().any(|slot| slot.account == voters[0]));
}

#[test]
fn the_address_of_a_pool_follows_from_its_assets() {
    let (first, second) = (with_pool(0), with_pool(500));
    assert_eq!(amm(&first).account, amm(&second).account);
}

/// One step of a random life of a pool.
#[derive(Clone, Debug)]
enum Step {
    Deposit { who: usize, flags: u32, drops: i64, micros: i64, tokens: i64 },
    Withdraw { who: usize, flags: u32, drops: i64, micros: i64, tokens: i64 },
    Vote { who: usize, fee: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let deposits = prop::sample::select(vec![LP_TOKEN, SINGLE_ASSET, TWO_ASSET, ONE_ASSET_LP_TOKEN, LIMIT_LP_TOKEN]);
    let withdrawals = prop::sample::select(vec![
        LP_TOKEN,
        SINGLE_ASSET,
        TWO_ASSET,
        ONE_ASSET_LP_TOKEN,
        LIMIT_LP_TOKEN,
        WITHDRAW_ALL,
        ONE_ASSET_WITHDRAW_ALL,
    ]);
    let amounts = (0..3_usize, 1..200_000_000_i64, 1..400_000_000_i64, 1..900_000_i64);
    prop_oneof![
        (deposits, amounts.clone()).prop_map(|(flags, (who, drops, micros, tokens))| Step::Deposit {
            who,
            flags,
            drops,
            micros,
            tokens
        }),
        (withdrawals, amounts).prop_map(|(flags, (who, drops, micros, tokens))| Step::Withdraw {
            who,
            flags,
            drops,
            micros,
            tokens
        }),
        (0..3_usize, 0..1_000_u16).prop_map(|(who, fee)| Step::Vote { who, fee }),
    ]
}

fn terms(world: &World, flags: u32, tokens_field: &str, (drops, micros, tokens): (i64, i64, i64)) -> Json {
    let second = rlusd(&format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000));
    let tokens = lp(world, &format!("{}.{:01}", tokens / 10, tokens % 10));
    match flags {
        LP_TOKEN => json!({ tokens_field: tokens }),
        TWO_ASSET => json!({ "Amount": xrp(drops), "Amount2": second }),
        ONE_ASSET_LP_TOKEN if tokens_field == "LPTokenIn" => json!({ "Amount": xrp(0), tokens_field: tokens }),
        ONE_ASSET_LP_TOKEN => json!({ "Amount": xrp(drops), tokens_field: tokens }),
        LIMIT_LP_TOKEN if tokens_field == "LPTokenIn" => {
            json!({ "Amount": rlusd("0"), "EPrice": lp(world, &format!("{}", 400 + drops % 400)) })
        }
        LIMIT_LP_TOKEN => json!({ "Amount": xrp(drops), "EPrice": xrp(900 + drops % 400) }),
        WITHDRAW_ALL => json!({}),
        ONE_ASSET_WITHDRAW_ALL => json!({ "Amount": second }),
        _ => json!({ "Amount": second }),
    }
}

/// The root of the product of the pool's assets, over its tokens.
fn root_over_tokens(world: &World) -> Option<Number> {
    let entry = world.state.amm(pair())?;
    let m = Rounding::Nearest;
    let drops = m.of(Value::Drops(world.xrp(entry.account))).unwrap();
    let tokens = Number::of_token(world.state.token_balance(entry.account, token()));
    Some(m.div(m.root2(m.mul(drops, tokens).unwrap()).unwrap(), Number::of_token(entry.lp_token_balance)).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever providers do, each pool token stays backed: the root of the product of the pool's assets is no less than
    /// its tokens but for the last digits, holders' tokens add up to the pool's, and nothing appears or disappears.
    #[test]
    fn a_pools_tokens_stay_backed(steps in prop::collection::vec(step(), 1..40), fee in 0_u16..=1_000) {
        let mut world = with_pool(fee);
        let people = [ALICE, BOB, CAROL];
        let (mut drops, mut applied) = (world.all_drops(), 0);
        for step in steps {
            if world.state.amm(pair()).is_none() {
                break;
            }
            let (who, tx) = match step {
                Step::Deposit { who, flags, drops, micros, tokens } => {
                    (who, deposit(flags, terms(&world, flags, "LPTokenOut", (drops, micros, tokens))))
                }
                Step::Withdraw { who, flags, drops, micros, tokens } => {
                    (who, withdraw(flags, terms(&world, flags, "LPTokenIn", (drops, micros, tokens))))
                }
                Step::Vote { who, fee } => (who, vote(fee)),
            };
            let result = world.apply(people[who], tx);
            let token = result.result.token;
            prop_assert!(!matches!(token, "tecINTERNAL" | "tecINVARIANT_FAILED"), "{}", token);
            drops -= result.fee;
            applied += usize::from(token == "tesSUCCESS");
            prop_assert_eq!(world.all_drops(), drops);
            let Some(ratio) = root_over_tokens(&world) else { continue };
            let least = Rounding::Nearest.sub(Number::ONE, Rounding::Nearest.number(1, -11).unwrap()).unwrap();
            prop_assert!(ratio >= least, "{ratio:?}");
            let m = Rounding::Nearest;
            let held = people.iter().fold(Number::ZERO, |sum, account| {
                m.add(sum, Number::of_token(world.state.token_balance(*account, lp_token(&world)))).unwrap()
            });
            let apart = m.sub(held, Number::of_token(amm(&world).lp_token_balance)).unwrap();
            let apart = if apart.signum() < 0 { apart.neg() } else { apart };
            prop_assert!(apart <= m.number(1, -6).unwrap(), "{apart:?}");
            for account in people {
                let owned = world.state.lines_of(account).count();
                prop_assert_eq!(world.owner_count(account), u32::try_from(owned).unwrap());
            }
        }
        prop_assume!(applied > 0);
    }
}
