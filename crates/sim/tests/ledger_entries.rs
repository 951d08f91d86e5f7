//! Everything that is no offer and no payment: accounts, keys, tickets, trust lines, clawback, and what is common to all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

mod common;

use common::{ALICE, BOB, CAROL, ISSUER, NOW, World, create, rlusd, token, with, xrp};
use neo_ledger::{Address, Hash, LedgerTime};
use neo_sim::apply::tx::{Signer, Tx};
use neo_sim::apply::{Applied, Context, apply};
use neo_sim::image;
use neo_sim::keylet;
use neo_sim::state::{Key, LineKey, State, TicketKey};
use serde_json::{Value as Json, json};

/// The account of a key that is nobody's master key.
const KEY: Address = Address([7; 20]);

fn set(fields: Json) -> Json {
    with(json!({ "TransactionType": "AccountSet" }), fields)
}

fn trust(fields: Json) -> Json {
    with(json!({ "TransactionType": "TrustSet", "LimitAmount": rlusd("1000000") }), fields)
}

fn tickets(count: u32) -> Json {
    json!({ "TransactionType": "TicketCreate", "TicketCount": count })
}

fn with_ticket(sequence: u32, fields: Json) -> Json {
    with(fields, json!({ "Sequence": 0, "TicketSequence": sequence }))
}

/// Applies to the open or the closed ledger, signed by a key.
fn signed(world: &mut World, key: Address, account: Address, fields: Json, open: bool) -> Applied {
    let sequence = world.state.account(account).map_or(1, |root| root.sequence);
    let mut json = with(json!({ "Account": account, "Sequence": sequence, "Fee": "10" }), fields);
    json["SigningPubKey"] = json!("");
    let tx = Tx::parse(json, Hash([5; 32]), Signer::Key(key)).unwrap();
    let context = Context {
        rules: &world.rules,
        ledger_index: world.index,
        parent_close_time: LedgerTime(NOW),
        open,
        retry: false,
        fail_hard: false,
        transaction_index: 0,
        pool_account: None,
    };
    let applied = apply(&mut world.state, &tx, &context);
    world.state.commit();
    applied
}

fn shown(state: &State, key: Key) -> Json {
    Json::Object(image::fields(key, &state.entry(key).unwrap()))
}

fn root(world: &World, account: Address) -> Json {
    shown(&world.state, Key::Account(account))
}

fn line(world: &World, holder: Address) -> Json {
    shown(&world.state, Key::Line(LineKey::of(holder, ISSUER, token().currency)))
}

fn node(meta: &Json, action: &str, index: Hash) -> Option<Json> {
    let nodes = meta["AffectedNodes"].as_array().unwrap().iter();
    nodes.filter_map(|node| node.get(action)).find(|node| node["LedgerIndex"] == json!(index)).cloned()
}

#[test]
fn account_options_are_set_and_removed() {
    let mut world = World::new();
    let key = "02000000000000000000000000000000000000000000000000000000000000BEEF".to_string();
    world.ok(ALICE, set(json!({ "SetFlag": 1, "Domain": "6578", "EmailHash": "0A".repeat(16), "MessageKey": key })));
    world.ok(ALICE, set(json!({ "Flags": 0x0010_0000, "TransferRate": 1_005_000_000, "TickSize": 5 })));
    let alice = root(&world, ALICE);
    assert_eq!(alice["Flags"], json!(0x000A_0000));
    assert_eq!((&alice["Domain"], &alice["MessageKey"]), (&json!("6578"), &json!(key)));
    assert_eq!((&alice["TransferRate"], &alice["TickSize"]), (&json!(1_005_000_000), &json!(5)));
    world.ok(ALICE, set(json!({ "ClearFlag": 1, "Domain": "", "EmailHash": "00".repeat(16), "MessageKey": "" })));
    world.ok(ALICE, set(json!({ "ClearFlag": 3, "TransferRate": 1_000_000_000, "TickSize": 16 })));
    let alice = root(&world, ALICE);
    assert_eq!(alice["Flags"], json!(0));
    for field in ["Domain", "EmailHash", "MessageKey", "TransferRate", "TickSize"] {
        assert!(alice.get(field).is_none(), "{field}");
    }
}

#[test]
fn contradictory_and_bad_options_are_malformed() {
    let mut world = World::new();
    for (fields, result) in [
        (json!({ "SetFlag": 8, "ClearFlag": 8 }), "temINVALID_FLAG"),
        (json!({ "SetFlag": 1, "Flags": 0x0002_0000 }), "temINVALID_FLAG"),
        (json!({ "Flags": 1 }), "temINVALID_FLAG"),
        (json!({ "TransferRate": 999_999_999 }), "temBAD_TRANSFER_RATE"),
        (json!({ "TransferRate": 2_000_000_001_u32 }), "temBAD_TRANSFER_RATE"),
        (json!({ "TickSize": 2 }), "temBAD_TICK_SIZE"),
        (json!({ "TickSize": 17 }), "temBAD_TICK_SIZE"),
        (json!({ "Domain": "61".repeat(257) }), "telBAD_DOMAIN"),
        (json!({ "MessageKey": "04".repeat(33) }), "telBAD_PUBLIC_KEY"),
        (json!({ "SetFlag": 10 }), "temMALFORMED"),
    ] {
        assert_eq!(world.result(ALICE, set(fields.clone())), result, "{fields}");
    }
    assert_eq!(root(&world, ALICE)["Sequence"], json!(2), "nothing was taken");
}

#[test]
fn who_gives_up_freezing_cannot_end_a_global_freeze() {
    let mut world = World::new();
    world.ok(ISSUER, set(json!({ "SetFlag": 7 })));
    world.ok(ISSUER, set(json!({ "ClearFlag": 7 })));
    world.ok(ISSUER, set(json!({ "SetFlag": 7 })));
    world.ok(ISSUER, set(json!({ "SetFlag": 6 })));
    world.ok(ISSUER, set(json!({ "ClearFlag": 7 })));
    assert_eq!(root(&world, ISSUER)["Flags"], json!(0x00E0_0000), "DefaultRipple, GlobalFreeze, NoFreeze");
    let freeze = with(trust(json!({ "Flags": 0x0010_0000 })), json!({ "LimitAmount": limit_for(ALICE) }));
    assert_eq!(world.result(ISSUER, freeze), "tecNO_PERMISSION");
    assert_eq!(world.result(ISSUER, set(json!({ "SetFlag": 16 }))), "tecNO_PERMISSION");
}

/// The issuer's limit for a holder's tokens of the same currency.
fn limit_for(holder: Address) -> Json {
    json!({ "currency": token().currency, "issuer": holder, "value": "0" })
}

#[test]
fn who_owns_something_cannot_start_to_require_authorisation() {
    let mut world = World::new();
    assert_eq!(world.result(ALICE, set(json!({ "SetFlag": 2 }))), "tecOWNERS");
    assert_eq!(world.result(ALICE, set(json!({ "SetFlag": 16 }))), "tecOWNERS");
    world.state.put_account(KEY, neo_sim::state::AccountRoot { balance: 100_000_000, ..Default::default() });
    world.ok(KEY, set(json!({ "SetFlag": 2 })));
    let hold = json!({ "currency": "USD", "issuer": KEY, "value": "5" });
    world.ok(ALICE, json!({ "TransactionType": "TrustSet", "LimitAmount": hold }));
    let allow = json!({ "currency": "USD", "issuer": ALICE, "value": "0" });
    let auth = json!({ "TransactionType": "TrustSet", "LimitAmount": allow, "Flags": 0x0001_0000 });
    world.ok(KEY, auth.clone());
    let usd = Key::Line(LineKey::of(ALICE, KEY, "USD".parse().unwrap()));
    assert_eq!(shown(&world.state, usd)["Flags"].as_u64().unwrap() & 0x000C_0000, 0x0008_0000);
    let not_needed = with(auth, json!({ "LimitAmount": rlusd("1") }));
    assert_eq!(world.result(BOB, not_needed), "tefNO_AUTH_REQUIRED");
}

#[test]
fn keys_that_may_sign() {
    let mut world = World::new();
    let note = || set(json!({}));
    let result = |world: &mut World, key, fields| signed(world, key, ALICE, fields, false).result.token;
    assert_eq!(result(&mut world, KEY, note()), "tefBAD_AUTH");
    assert_eq!(result(&mut world, ALICE, set(json!({ "SetFlag": 4 }))), "tecNO_ALTERNATIVE_KEY");
    let own = json!({ "TransactionType": "SetRegularKey", "RegularKey": ALICE });
    assert_eq!(result(&mut world, ALICE, own), "temBAD_REGKEY");
    let change = json!({ "TransactionType": "SetRegularKey", "RegularKey": KEY });
    assert_eq!(result(&mut world, ALICE, change), "tesSUCCESS");
    assert_eq!(result(&mut world, KEY, set(json!({ "SetFlag": 4 }))), "tecNEED_MASTER_KEY");
    assert_eq!(result(&mut world, ALICE, set(json!({ "SetFlag": 4 }))), "tesSUCCESS");
    assert_eq!(result(&mut world, ALICE, note()), "tefMASTER_DISABLED");
    assert_eq!(result(&mut world, KEY, note()), "tesSUCCESS");
    let remove = json!({ "TransactionType": "SetRegularKey" });
    assert_eq!(result(&mut world, KEY, remove.clone()), "tecNO_ALTERNATIVE_KEY");
    assert_eq!(result(&mut world, KEY, set(json!({ "ClearFlag": 4 }))), "tesSUCCESS");
    assert_eq!(result(&mut world, KEY, remove), "tesSUCCESS");
    assert!(root(&world, ALICE).get("RegularKey").is_none());
    assert_eq!(result(&mut world, KEY, note()), "tefBAD_AUTH");
}

#[test]
fn the_first_change_of_a_key_is_free() {
    let mut world = World::new();
    let change = json!({ "TransactionType": "SetRegularKey", "RegularKey": KEY, "Fee": "0" });
    assert_eq!(signed(&mut world, ALICE, ALICE, change.clone(), true).result.token, "tesSUCCESS");
    assert_eq!(root(&world, ALICE)["Flags"], json!(0x0001_0000));
    assert_eq!(signed(&mut world, ALICE, ALICE, change.clone(), true).result.token, "telINSUF_FEE_P");
    // The regular key has no free change.
    world.ok(BOB, json!({ "TransactionType": "SetRegularKey", "RegularKey": KEY }));
    assert_eq!(signed(&mut world, KEY, BOB, change, true).result.token, "telINSUF_FEE_P");
}

#[test]
fn tickets_set_sequences_aside_and_are_used_once_in_any_order() {
    let mut world = World::new();
    let (first, owned) = (root(&world, ALICE)["Sequence"].as_u64().unwrap() + 1, world.owner_count(ALICE));
    let first = u32::try_from(first).unwrap();
    let meta = world.ok(ALICE, tickets(3));
    let key = TicketKey { account: ALICE, sequence: first };
    let created = node(&meta, "CreatedNode", keylet::ticket(key)).unwrap();
    assert_eq!(created["NewFields"], json!({ "Account": ALICE, "TicketSequence": first }));
    let alice = root(&world, ALICE);
    assert_eq!((&alice["Sequence"], &alice["TicketCount"]), (&json!(first + 3), &json!(3)));
    assert_eq!(world.owner_count(ALICE), owned + 3);
    let meta = world.ok(ALICE, with_ticket(first + 1, create(xrp(5_000_000), rlusd("10"))));
    assert!(world.find(ALICE, first + 1).is_some(), "the offer has the ticket's number");
    let gone = node(&meta, "DeletedNode", keylet::ticket(TicketKey { sequence: first + 1, ..key })).unwrap();
    assert_eq!(gone["FinalFields"]["TicketSequence"], json!(first + 1));
    assert_eq!(world.owner_count(ALICE), owned + 3);
    assert_eq!(world.result(ALICE, with_ticket(first + 1, set(json!({})))), "tefNO_TICKET");
    assert_eq!(world.result(ALICE, with_ticket(first + 3, set(json!({})))), "terPRE_TICKET");
    let both = with(set(json!({})), json!({ "TicketSequence": first }));
    assert_eq!(world.result(ALICE, both), "temSEQ_AND_TICKET");
    // A failure that claims a fee uses the ticket up as well.
    assert_eq!(world.result(ALICE, with_ticket(first, set(json!({ "SetFlag": 2 })))), "tecOWNERS");
    assert_eq!(world.state.ticket(key), None);
    world.ok(ALICE, with_ticket(first + 2, tickets(1)));
    let alice = root(&world, ALICE);
    assert_eq!((&alice["Sequence"], &alice["TicketCount"]), (&json!(first + 4), &json!(1)));
}

#[test]
fn too_many_tickets_are_refused() {
    let mut world = World::new();
    assert_eq!(world.result(ALICE, tickets(0)), "temINVALID_COUNT");
    assert_eq!(world.result(ALICE, tickets(251)), "temINVALID_COUNT");
    world.ok(ALICE, tickets(250));
    assert_eq!(world.result(ALICE, tickets(1)), "tecDIR_FULL");
    world.state.put_account(KEY, neo_sim::state::AccountRoot { balance: 1_400_000, ..Default::default() });
    assert_eq!(world.result(KEY, tickets(3)), "tecINSUFFICIENT_RESERVE");
    // The reserve is of the balance before the fee.
    world.state.put_account(KEY, neo_sim::state::AccountRoot { balance: 1_400_000, ..Default::default() });
    world.ok(KEY, tickets(2));
}

#[test]
fn an_account_that_asks_for_it_remembers_its_last_transaction() {
    let mut world = World::new();
    world.ok(ALICE, set(json!({ "SetFlag": 5 })));
    assert_eq!(root(&world, ALICE)["AccountTxnID"], json!(Hash([0; 32])));
    let wrong = set(json!({ "AccountTxnID": Hash([1; 32]) }));
    assert_eq!(world.result(ALICE, wrong), "tefWRONG_PRIOR");
    let first = signed(&mut world, ALICE, ALICE, set(json!({ "AccountTxnID": Hash([0; 32]) })), false);
    assert_eq!((first.result.token, &root(&world, ALICE)["AccountTxnID"]), ("tesSUCCESS", &json!(Hash([5; 32]))));
    let ticket = with_ticket(1, set(json!({ "AccountTxnID": Hash([0; 32]) })));
    assert_eq!(world.result(ALICE, ticket), "temINVALID");
}

#[test]
fn a_line_can_be_charged_for_frozen_and_forgotten() {
    let mut world = World::new();
    let owned = world.owner_count(ALICE);
    world.ok(ALICE, trust(json!({ "QualityIn": 990_000_000, "QualityOut": 1_010_000_000 })));
    let side = if ALICE < ISSUER { "Low" } else { "High" };
    assert_eq!(line(&world, ALICE)[format!("{side}QualityIn")], json!(990_000_000));
    world.ok(ALICE, trust(json!({ "QualityIn": 0, "QualityOut": 1_000_000_000 })));
    assert!(line(&world, ALICE).get(format!("{side}QualityIn")).is_none());
    assert!(line(&world, ALICE).get(format!("{side}QualityOut")).is_none());
    let by_issuer = |flags: u32| with(trust(json!({ "Flags": flags })), json!({ "LimitAmount": limit_for(ALICE) }));
    for (flags, result) in [
        (0x0040_0000, "tecNO_PERMISSION"), // deeply without plainly
        (0x0050_0000, "tesSUCCESS"),
        (0x0020_0000, "tecNO_PERMISSION"), // plainly thawed, deeply frozen
        (0x0030_0000, "tecNO_PERMISSION"), // both at once
        (0x00A0_0000, "tesSUCCESS"),
    ] {
        assert_eq!(world.result(ISSUER, by_issuer(flags)), result, "{flags:x}");
    }
    // Without a balance and a limit nobody needs it.
    let all = json!({ "TransactionType": "Payment", "Destination": ISSUER, "Amount": rlusd("1000") });
    world.ok(ALICE, all);
    let none = trust(json!({ "LimitAmount": rlusd("0"), "Flags": 0x0002_0000 }));
    let meta = world.ok(ALICE, none.clone());
    let key = LineKey::of(ALICE, ISSUER, token().currency);
    assert!(node(&meta, "DeletedNode", keylet::line(key)).is_some());
    assert_eq!(world.owner_count(ALICE), owned - 1);
    assert_eq!(world.result(ALICE, none), "tecNO_LINE_REDUNDANT");
}

#[test]
fn two_lines_need_no_reserve_and_the_third_does() {
    let mut world = World::new();
    world.state.put_account(KEY, neo_sim::state::AccountRoot { balance: 1_000_100, ..Default::default() });
    let to = |issuer: Address| json!({ "currency": "USD", "issuer": issuer, "value": "5" });
    let open = |issuer| json!({ "TransactionType": "TrustSet", "LimitAmount": to(issuer) });
    world.ok(KEY, open(ALICE));
    world.ok(KEY, open(BOB));
    assert_eq!(world.result(KEY, open(CAROL)), "tecNO_LINE_INSUF_RESERVE");
    assert_eq!(world.result(KEY, open(Address([99; 20]))), "tecNO_DST");
    assert_eq!(world.result(KEY, open(KEY)), "temDST_IS_SRC");
    let negative = json!({ "currency": "USD", "issuer": ALICE, "value": "-5" });
    assert_eq!(world.result(KEY, json!({ "TransactionType": "TrustSet", "LimitAmount": negative })), "temBAD_LIMIT");
    assert_eq!(world.result(KEY, json!({ "TransactionType": "TrustSet", "LimitAmount": "5" })), "temBAD_LIMIT");
    let xrp_like = json!({ "currency": "XRP", "issuer": ALICE, "value": "5" });
    assert_eq!(world.result(KEY, json!({ "TransactionType": "TrustSet", "LimitAmount": xrp_like })), "temBAD_CURRENCY");
}

#[test]
fn nobody_opens_lines_to_who_does_not_want_them_or_stops_rippling_what_he_owes() {
    let mut world = World::new();
    world.ok(ISSUER, set(json!({ "SetFlag": 15 })));
    world.state.put_account(KEY, neo_sim::state::AccountRoot { balance: 100_000_000, ..Default::default() });
    assert_eq!(world.result(KEY, trust(json!({}))), "tecNO_PERMISSION");
    world.ok(ALICE, trust(json!({ "LimitAmount": rlusd("5") })));
    let by_issuer = with(trust(json!({ "Flags": 0x0002_0000 })), json!({ "LimitAmount": limit_for(ALICE) }));
    assert_eq!(world.result(ISSUER, by_issuer), "tecNO_PERMISSION");
}

#[test]
fn an_issuer_takes_back_at_most_what_is_held() {
    let mut world = World::new();
    let claw = |value: &str| {
        json!({ "TransactionType": "Clawback",
            "Amount": { "currency": token().currency, "issuer": ALICE, "value": value } })
    };
    assert_eq!(world.result(ISSUER, claw("5")), "tecNO_PERMISSION");
    let mut issuer = world.state.account(ISSUER).unwrap().clone();
    issuer.flags |= neo_sim::state::LSF_ALLOW_CLAWBACK;
    world.state.put_account(ISSUER, issuer);
    world.ok(ISSUER, claw("400"));
    assert_eq!(world.rlusd(ALICE), "600");
    world.ok(ISSUER, claw("10000"));
    assert_eq!(world.rlusd(ALICE), "0");
    assert_eq!(world.result(ISSUER, claw("1")), "tecINSUFFICIENT_FUNDS");
    assert_eq!(world.result(ISSUER, claw("0")), "temBAD_AMOUNT");
    let other =
        json!({ "TransactionType": "Clawback", "Amount": { "currency": "USD", "issuer": ALICE, "value": "1" } });
    assert_eq!(world.result(ISSUER, other), "tecNO_LINE");
    let stranger =
        json!({ "TransactionType": "Clawback", "Amount": { "currency": "USD", "issuer": KEY, "value": "1" } });
    assert_eq!(world.result(ISSUER, stranger), "terNO_ACCOUNT");
    assert_eq!(world.result(ISSUER, with(claw("1"), json!({ "Holder": ALICE }))), "temMALFORMED");
}

#[test]
fn what_is_common_to_all_is_checked_in_order() {
    let mut world = World::new();
    let sequence = world.state.account(ALICE).unwrap().sequence;
    for (fields, open, result) in [
        (json!({ "NetworkID": 1 }), true, "telNETWORK_ID_MAKES_TX_NON_CANONICAL"),
        (json!({ "Fee": "-1" }), true, "temBAD_FEE"),
        (json!({ "Sequence": sequence + 1, "LastLedgerSequence": 1 }), true, "terPRE_SEQ"),
        (json!({ "Sequence": sequence - 1, "LastLedgerSequence": 1 }), true, "tefPAST_SEQ"),
        (json!({ "LastLedgerSequence": 1, "Fee": "1" }), true, "tefMAX_LEDGER"),
        (json!({ "Fee": "9" }), true, "telINSUF_FEE_P"),
        (json!({ "Fee": "2000000000" }), true, "terINSUF_FEE_B"),
        (json!({ "Fee": "2000000000" }), false, "tecINSUFF_FEE"),
    ] {
        let applied = signed(&mut world, ALICE, ALICE, set(fields.clone()), open);
        assert_eq!(applied.result.token, result, "{fields}");
        assert_eq!(applied.applied, result.starts_with("tec"), "{fields}");
    }
    assert_eq!(world.xrp(ALICE), 0, "the last one took all there was");
    assert_eq!(signed(&mut world, KEY, KEY, set(json!({})), true).result.token, "terNO_ACCOUNT");
}
