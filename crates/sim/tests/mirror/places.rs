//! Where ours stands: price, queue, sizes, gaps, and what would have crossed it.

use super::hand::*;

/// A picture of two asks and two bids in the first ledger, and so many ledgers behind what `write` adds in those after it.
fn recorded(write: impl FnOnce(&mut Recording)) -> Recording {
    let mut recording = Recording::new(token(), None);
    recording.closed(FIRST);
    recording.picture(
        FIRST,
        &[bid(3, 2_300).of(100), bid(4, 2_200).of(100)],
        &[ask(1, 2_500).of(50), ask(2, 2_600).of(100)],
    );
    write(&mut recording);
    recording
}

/// Ours is placed into the ledger after the first, behind what is written for it.
fn with_ours(is_ask: bool, xrp: i64, price: i64, write: impl FnOnce(&mut Recording)) -> (Client, u32) {
    let mut recording = recorded(|recording| {
        recording.closed(FIRST + 1);
        write(recording);
    });
    let mut client = recording.replay(|_| {});
    assert_eq!(client.node.ledger_index(), FIRST);
    let ours = client.place(is_ask, xrp, price);
    client.close();
    assert_eq!(client.left(ours), xrp);
    (client, ours)
}

#[test]
fn the_world_is_the_recordings() {
    let (client, _) = with_ours(true, 10, 2_600, |recording| recording.closed(FIRST + 2));
    assert_eq!(client.node.close_time().0, 800_000_000 + (FIRST + 1) * 4);
    assert_eq!(client.node.scenario().token(), token());
    assert_eq!((client.left_of_real(ask(1, 2_500)), client.left_of_real(bid(4, 2_200))), (50, 100));
}

#[test]
fn behind_another_of_its_price_ours_waits_and_before_a_later_one_it_goes_first() {
    let (early, late) = (ask(1, 2_500), ask(5, 2_500));
    let (mut client, ours) = with_ours(true, 30, 2_500, |recording| {
        recording.closed(FIRST + 2);
        recording.tx(FIRST + 2, 0, &[late.placed(40)]);
        recording.tx(FIRST + 2, 1, &[early.taken(50, 20)]);
        recording.closed(FIRST + 3);
        recording.tx(FIRST + 3, 0, &[early.taken(20, 0), late.taken(40, 35)]);
        recording.closed(FIRST + 4);
        recording.tx(FIRST + 4, 0, &[late.taken(35, 5)]);
        recording.closed(FIRST + 5);
    });
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(early), client.left_of_real(late)), (30, 20, 40));
    client.close();
    // The 5 that were taken behind the early one were ours in this world; the later one stands as the ledger says.
    assert_eq!((client.left(ours), client.left_of_real(early), client.left_of_real(late)), (25, 0, 35));
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(late)), (0, 5));
}

#[test]
fn a_better_price_is_filled_first_and_only_by_what_was_traded_beyond_it() {
    let (near, far) = (ask(1, 2_500), ask(2, 2_600));
    let (mut client, ours) = with_ours(true, 30, 2_550, |recording| {
        recording.closed(FIRST + 2);
        recording.tx(FIRST + 2, 0, &[near.taken(50, 0), far.taken(100, 92)]);
        recording.closed(FIRST + 3);
        recording.tx(FIRST + 3, 0, &[far.taken(92, 70)]);
        recording.tx(FIRST + 3, 1, &[far.taken(70, 60)]);
        recording.closed(FIRST + 4);
    });
    client.close();
    // 50 went at a better price than ours; 8 at a worse one.
    assert_eq!((client.left(ours), client.left_of_real(near), client.left_of_real(far)), (22, 0, 92));
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(far)), (0, 60));
}

#[test]
fn a_bid_is_filled_the_same_way() {
    let (near, far) = (bid(3, 2_300), bid(4, 2_200));
    let (mut client, ours) = with_ours(false, 30, 2_250, |recording| {
        recording.closed(FIRST + 2);
        recording.tx(FIRST + 2, 0, &[near.taken(100, 60)]);
        recording.closed(FIRST + 3);
        recording.tx(FIRST + 3, 0, &[near.taken(60, 0), far.taken(100, 89)]);
        recording.closed(FIRST + 4);
    });
    client.close();
    assert_eq!(client.left(ours), 30);
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(near), client.left_of_real(far)), (19, 0, 89));
}

#[test]
fn ours_at_the_best_price_takes_the_rest_before_ours_at_a_worse_one() {
    let (near, far) = (ask(1, 2_500), ask(2, 2_600));
    let mut recording = recorded(|recording| {
        recording.closed(FIRST + 1);
        recording.closed(FIRST + 2);
        recording.tx(FIRST + 2, 0, &[near.taken(50, 0), far.taken(100, 80)]);
        recording.closed(FIRST + 3);
    });
    let mut client = recording.replay(|_| {});
    let (best, second) = (client.place(true, 30, 2_450), client.place(true, 30, 2_550));
    client.close();
    client.close();
    // 70 were wanted: 30 of ours, and then 40 of the 50 that the near one has.
    assert_eq!((client.left(best), client.left(second)), (0, 30));
    assert_eq!((client.left_of_real(near), client.left_of_real(far)), (0, 80));
}

#[test]
fn a_real_offer_that_would_cross_ours_trades_with_it_first() {
    let crossing = bid(5, 2_450);
    let (mut client, ours) = with_ours(true, 30, 2_400, |recording| {
        recording.closed(FIRST + 2);
        recording.tx(FIRST + 2, 0, &[crossing.placed(20)]);
        recording.closed(FIRST + 3);
        recording.tx(FIRST + 3, 0, &[Real { sequence: 9, ..crossing }.placed(25)]);
        recording.closed(FIRST + 4);
        recording.tx(FIRST + 4, 0, &[Real { sequence: 9, ..crossing }.taken(25, 18)]);
        recording.closed(FIRST + 5);
    });
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(crossing)), (10, 0));
    client.close();
    assert_eq!((client.left(ours), client.left_of(owner(5), 9)), (0, 15));
    client.close();
    // What ours took is never given back.
    assert_eq!(client.left_of(owner(5), 9), 8);
}

#[test]
fn an_offer_that_was_passed_over_does_not_stand_before_ours() {
    let (unfunded, far) = (ask(1, 2_500), ask(2, 2_600));
    let (mut client, ours) = with_ours(true, 30, 2_550, |recording| {
        recording.closed(FIRST + 2);
        // The near one is left alone, though it is better: nobody can take it.
        recording.tx(FIRST + 2, 0, &[far.taken(100, 90)]);
        recording.closed(FIRST + 3);
        recording.tx(FIRST + 3, 0, &[unfunded.taken(50, 49)]);
        recording.closed(FIRST + 4);
    });
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(unfunded), client.left_of_real(far)), (20, 0, 90));
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(unfunded)), (20, 49));
}

#[test]
fn an_offer_of_which_one_side_alone_changes_is_told_to_who_watches_the_book() {
    let near = ask(1, 2_500);
    let (mut client, _) = with_ours(true, 30, 2_600, |recording| {
        recording.closed(FIRST + 2);
        // Rounding may leave the other side as it was.
        let mut node = near.taken(50, 49);
        for fields in ["FinalFields", "PreviousFields"] {
            node["ModifiedNode"][fields]["TakerPays"] = near.of(50)["TakerPays"].clone();
        }
        recording.tx(FIRST + 2, 0, &[node]);
        recording.closed(FIRST + 3);
    });
    client.close();
    assert_eq!(client.left_of_real(near), 49);
}

#[test]
fn one_that_is_withdrawn_or_unfunded_gives_no_fill_but_its_place() {
    let near = ask(1, 2_500);
    let (mut client, ours) = with_ours(true, 30, 2_500, |recording| {
        recording.closed(FIRST + 2);
        recording.tx(FIRST + 2, 0, &[near.cancelled(50)]);
        recording.closed(FIRST + 3);
        recording.tx(FIRST + 3, 0, &[ask(2, 2_600).taken(100, 99)]);
        recording.closed(FIRST + 4);
    });
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(near)), (30, 0));
    client.close();
    assert_eq!(client.left(ours), 29);
}

#[test]
fn what_the_pool_gave_counts_at_its_average_price() {
    let pool = |xrp: i64, rlusd: &str| {
        let account = owner(6);
        let balance =
            |value: &str| serde_json::json!({ "currency": token().currency, "issuer": owner(0), "value": value });
        let root = neo_ledger::sha512_half(&[b"\0a", &account.0]);
        [
            serde_json::json!({ "ModifiedNode": {
                "LedgerEntryType": "AccountRoot", "LedgerIndex": root,
                "FinalFields": { "Account": account, "Balance": (1_000 * XRP - xrp * XRP).to_string() },
                "PreviousFields": { "Balance": (1_000 * XRP).to_string() },
            }}),
            serde_json::json!({ "ModifiedNode": {
                "LedgerEntryType": "RippleState", "LedgerIndex": "EF".repeat(32),
                "FinalFields": {
                    "Balance": balance(rlusd), "Flags": 0x0101_0000,
                    "LowLimit": { "currency": token().currency, "issuer": account, "value": "0" },
                    "HighLimit": { "currency": token().currency, "issuer": ISSUER, "value": "0" },
                },
                "PreviousFields": { "Balance": balance("1000") },
            }}),
        ]
    };
    let (mut client, ours) = with_ours(true, 30, 2_400, |recording| {
        recording.closed(FIRST + 2);
        // 10 XRP for 23 RLUSD: better than ours. Then 10 for 25: worse.
        recording.tx(FIRST + 2, 0, &pool(10, "1023"));
        recording.closed(FIRST + 3);
        recording.tx(FIRST + 3, 0, &pool(10, "1025"));
        recording.closed(FIRST + 4);
    });
    client.close();
    assert_eq!(client.left(ours), 30);
    client.close();
    assert_eq!(client.left(ours), 20);
}

#[test]
fn in_a_gap_nothing_trades_and_a_picture_ends_it() {
    let (near, far) = (ask(1, 2_500), ask(2, 2_600));
    let (mut client, ours) = with_ours(true, 30, 2_450, |recording| {
        recording.gap();
        recording.closed(FIRST + 4);
        recording.tx(FIRST + 4, 0, &[near.taken(50, 10)]);
        recording.picture(FIRST + 4, &[], &[near.of(10), ask(5, 2_700).of(7)]);
        recording.closed(FIRST + 5);
        recording.tx(FIRST + 5, 0, &[near.taken(10, 6)]);
        recording.closed(FIRST + 6);
    });
    let mut times = vec![client.node.close_time().0];
    for index in FIRST + 2..=FIRST + 3 {
        client.close();
        assert_eq!((client.node.ledger_index(), client.left(ours), client.left_of_real(near)), (index, 30, 50));
        times.push(client.node.close_time().0);
    }
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(near), client.left_of_real(far)), (30, 10, 0));
    assert_eq!((client.left_of(owner(5), 7), client.left_of_real(bid(3, 2_300))), (7, 0));
    times.push(client.node.close_time().0);
    assert_eq!(times, [1, 2, 3, 4].map(|after| 800_000_000 + (FIRST + after) * 4));
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(near)), (26, 6));
}

#[test]
fn with_more_latency_ours_comes_later() {
    let near = ask(1, 2_500);
    let mut recording = recorded(|recording| {
        for after in 1..=4 {
            recording.closed(FIRST + after);
            recording.tx(FIRST + after, 0, &[near.taken(60 - i64::from(after) * 10, 50 - i64::from(after) * 10)]);
        }
        recording.closed(FIRST + 5);
    });
    let mut client = recording.replay(|scenario| scenario.mirror_latency_ledgers = 2);
    let ours = client.place(true, 30, 2_450);
    let mut left = Vec::new();
    for _ in 0..5 {
        client.close();
        left.push(client.left(ours));
    }
    assert_eq!(left, [0, 0, 30, 20, 20]);
}

#[test]
fn the_ledger_ends_with_the_recording_and_says_so() {
    let (mut client, _) = with_ours(true, 30, 2_450, |recording| recording.closed(FIRST + 2));
    client.close();
    let index = client.node.ledger_index();
    assert_eq!(index, FIRST + 2);
    assert!(client.node.close_ledger().is_empty());
    let answer = client.ask(&neo_ledger::request::ledger_accept(9));
    assert_eq!(answer["status"], "error");
    assert!(answer["error_message"].as_str().unwrap().contains("recording has ended"), "{answer}");
    assert_eq!(client.node.ledger_index(), index);
}

#[test]
fn a_picture_from_before_a_gap_does_not_end_it() {
    let near = ask(1, 2_500);
    let (mut client, ours) = with_ours(true, 30, 2_450, |recording| {
        recording.closed(FIRST + 2);
        recording.picture(FIRST + 2, &[], &[near.of(50)]);
        recording.gap();
        recording.closed(FIRST + 3);
        recording.tx(FIRST + 3, 0, &[near.taken(50, 40)]);
        recording.closed(FIRST + 4);
    });
    client.close();
    client.close();
    assert_eq!(client.left(ours), 30);
}

#[test]
fn the_followed_accounts_and_our_own_offers_are_left_out_and_what_was_traded_with_them_counts() {
    let maker = neo_ledger::Keypair::from_seed(&neo_sim::maker_seed()).unwrap().address();
    let near = ask(1, 2_500);
    let mut recording = Recording::new(token(), Some(owner(1)));
    recording.closed(FIRST);
    recording.picture(FIRST, &[fields(false, maker, 900, 5 * XRP, 2_300)], &[near.of(50), ask(2, 2_600).of(100)]);
    recording.closed(FIRST + 1);
    recording.closed(FIRST + 2);
    recording.tx(FIRST + 2, 0, &[near.taken(50, 30)]);
    recording.closed(FIRST + 3);
    let mut client = recording.replay(|_| {});
    assert_eq!((client.left(900), client.left_of_real(near), client.left_of_real(ask(2, 2_600))), (0, 0, 100));
    let ours = client.place(true, 30, 2_500);
    client.close();
    client.close();
    assert_eq!((client.left(ours), client.left_of_real(near)), (10, 0));
}
