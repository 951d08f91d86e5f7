//! No offer takes by accident: the margin of what is placed, the last look at what was signed, and a world that begins anew.

use neo_market::AmmView;

use super::shaping::{dec, fill, priced, rest, with};
use super::*;

/// A ledger with this best bid and ask.
fn touched(index: u32, sequence: u32, bid: &str, ask: &str) -> LedgerUpdate {
    let mut update = update(index, sequence, vec![], None);
    let level = |price: &str| vec![BookLevel { price: dec(price), size: Drops::new(1_000_000_000) }];
    let view = MarketView { bids: level(bid), asks: level(ask), ..update.view.clone() };
    show(&mut update, view);
    update
}

fn price_of(bench: &Bench, side: Side) -> Dec {
    bench.core.offers.values().find(|offer| offer.side == side).unwrap().price
}

/// A bench that quotes one level 2 bps around the middle.
fn tight() -> Bench {
    with(|config| (config.quote.bid_offset_bps, config.quote.ask_offset_bps) = (dec("2"), dec("2")))
}

/// Makes the batches durable, and gives what is handed over by then.
fn durable(bench: &mut Bench, batches: &[u64]) -> Vec<Hash> {
    bench.take();
    for batch in batches {
        bench.on(OrdersInput::Durable(IntentsDurable { batch: *batch, result: Ok(()) }));
    }
    let submitted = |effect: &OrdersEffect| match effect {
        OrdersEffect::Submit(submission) => Some(submission.hash),
        _ => None,
    };
    bench.effects.iter().filter_map(submitted).collect()
}

fn persisted(bench: &Bench) -> Vec<u64> {
    let batch = |effect: &OrdersEffect| match effect {
        OrdersEffect::Persist { batch, .. } => Some(*batch),
        _ => None,
    };
    bench.effects.iter().filter_map(batch).collect()
}

#[test]
fn a_new_offer_keeps_the_margin_and_is_counted_and_one_that_rests_is_not_chased_away() {
    let mut bench = tight();
    bench.ledger(&touched(100, 1, "2.3999", "2.4001"));
    let placed = bench.acknowledge();
    // Its own price is 2.39952, 2.4 bps below the ask; the least margin is 5.
    assert_eq!(price_of(&bench, Side::Bid), dec("2.398899"));
    assert_eq!(price_of(&bench, Side::Ask), dec("2.4011"));
    assert_eq!(bench.core.refusal_counts()["taking_guard"], 2);
    // The market comes nearer, a little at a time: what rests may be hit, and is left to it.
    rest(&mut bench, 101, "2.4", &placed);
    assert!(bench.acknowledge().is_empty());
    for (index, ask) in [(102, "2.3999"), (103, "2.3996"), (106, "2.3993")] {
        bench.ledger(&touched(index, bench.core.next_sequence, "2.399", ask));
        let moved: Vec<_> = bench.acknowledge().iter().map(|intent| intent.purpose).collect();
        assert!(bench.core.offers.values().any(|offer| offer.price == dec("2.398899")), "{ask}: {moved:?}");
    }
}

#[test]
fn a_market_that_moves_widens_the_margin() {
    let bid = |swing: &str| {
        let mut bench = tight();
        bench.core.paused = Some("until it is measured".to_string());
        let mids = [dec("2.4"), dec("2.4").add(dec(swing)).unwrap()];
        for index in 100..112_u32 {
            let mid = mids[usize::from(index % 2 == 1)];
            let near = |by: &str| mid.add(dec(by)).unwrap().to_string();
            bench.ledger(&touched(index, 1, &near("-0.0001"), &near("0.0001")));
        }
        bench.core.paused = None;
        bench.ledger(&touched(112, 1, "2.3999", "2.4001"));
        price_of(&bench, Side::Bid)
    };
    assert_eq!(bid("0"), dec("2.398899"), "the least");
    let (some, more) = (bid("0.0012"), bid("0.0024"));
    assert!(some < dec("2.397") && more < some.sub(dec("0.002")).unwrap(), "5 and 10 bps a ledger: {some}, {more}");
    let off = {
        let mut bench = tight();
        bench.core.config.quote.taking_guard_bps = Dec::zero();
        bench.ledger(&touched(100, 1, "2.3999", "2.4001"));
        price_of(&bench, Side::Bid)
    };
    assert_eq!(off, dec("2.39952"), "its own price");
}

#[test]
fn what_could_take_by_now_does_not_leave_and_its_numbers_are_free_again() {
    let mut bench = Bench::new(2);
    bench.ledger(&update(100, 7, vec![], Some(vec![])));
    let batches = persisted(&bench);
    assert_eq!((batches.len(), bench.core.in_flight()), (1, 4));
    // The record is slow. The second ask, at 2.4048, would meet a bid by now; the first as well.
    bench.ledger(&touched(101, 7, "2.4045", "2.41"));
    let sent = durable(&mut bench, &batches);
    // In order: bid 0, ask 0, bid 1, ask 1. Nothing behind the first ask has left either.
    assert_eq!((sent.len(), bench.core.in_flight(), bench.core.next_sequence), (1, 1, 8));
    assert_eq!(bench.core.refusal_counts()["last_look"], 1);
    let recorded: Vec<&Record> = bench
        .effects
        .iter()
        .filter_map(|effect| if let OrdersEffect::Record(records) = effect { Some(records) } else { None })
        .flatten()
        .collect();
    let dead = |record: &&&Record| matches!(record, Record::IntentUpdate(update) if update.state == IntentState::Dead);
    let failed = |record: &&&Record| {
        matches!(record, Record::OrderEvent(event) if event.state == OrderState::Failed
            && event.detail.as_ref().is_some_and(|detail| detail.contains("never sent")))
    };
    assert_eq!((recorded.iter().filter(dead).count(), recorded.iter().filter(failed).count()), (3, 3));
    bench.take();
    bench.ledger(&touched(102, 7, "2.4045", "2.41"));
    let again: Vec<u32> = bench.acknowledge().iter().map(|intent| intent.sequence).collect();
    assert_eq!(again, [8, 9, 10], "the next ledger quotes anew, without a hole");
}

#[test]
fn what_the_market_left_alone_leaves_late() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let batches = persisted(&bench);
    bench.ledger(&update(101, 1, vec![], None));
    assert_eq!(durable(&mut bench, &batches).len(), 2);
    assert!(!bench.core.refusal_counts().contains_key("last_look"));
}

#[test]
fn cancels_behind_what_does_not_leave_are_signed_anew() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let placed = bench.acknowledge();
    rest(&mut bench, 101, "2.4", &placed);
    bench.acknowledge();
    // Both are replaced in a market that has risen; then the operator wants everything gone; and it falls again.
    bench.ledger(&priced(102, 3, "2.45"));
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    let batches = persisted(&bench);
    assert_eq!((batches.len(), bench.core.in_flight()), (2, 6), "two replacements, four cancels");
    bench.ledger(&touched(103, 3, "2.43", "2.44"));
    let sent = durable(&mut bench, &batches);
    assert!(sent.is_empty(), "nothing that was signed before leaves");
    let cancels = bench.acknowledge();
    assert!(cancels.iter().all(|intent| intent.purpose == Purpose::Cancel));
    assert_eq!(cancels.iter().filter_map(|intent| intent.offer_sequence).collect::<BTreeSet<_>>(), [1, 2].into());
}

#[test]
fn what_no_node_answered_for_is_not_sent_again_where_it_could_take() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let batches = persisted(&bench);
    for hash in durable(&mut bench, &batches) {
        let result = Err("no answer".to_string());
        bench.on(OrdersInput::Reply(SubmissionReply { hash, result, open_ledger_cost: None }));
    }
    let sent = |bench: &mut Bench, update: &LedgerUpdate| {
        bench.take();
        bench.ledger(update);
        bench.effects.iter().filter(|effect| matches!(effect, OrdersEffect::Submit(_))).count()
    };
    assert_eq!(
        sent(&mut bench, &touched(101, 1, "2.402", "2.41")),
        1,
        "the ask at 2.4024 is within the margin of 2.402"
    );
    assert_eq!(bench.core.refusal_counts()["last_look"], 1);
    assert_eq!(
        sent(&mut bench, &touched(102, 1, "2.39", "2.41")),
        1,
        "the ask goes when there is room; the bid waits for its answer"
    );
}

#[test]
fn what_is_signed_behind_is_not_stalled_by_an_offer_that_could_take() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let batches = persisted(&bench);
    let placed = durable(&mut bench, &batches);
    let unanswered = |bench: &mut Bench, hashes: &[Hash]| {
        for hash in hashes {
            let result = Err("no answer".to_string());
            bench.on(OrdersInput::Reply(SubmissionReply { hash: *hash, result, open_ledger_cost: None }));
        }
    };
    unanswered(&mut bench, &placed);
    let sent = |bench: &Bench| -> Vec<Hash> {
        let hash = |effect: &OrdersEffect| match effect {
            OrdersEffect::Submit(submission) => Some(submission.hash),
            _ => None,
        };
        bench.effects.iter().filter_map(hash).collect()
    };
    bench.take();
    bench.ledger(&touched(101, 1, "2.39", "2.398"));
    assert_eq!(sent(&bench), placed, "the bid at 2.3976 could take, and the ask waits for its number");
    unanswered(&mut bench, &placed);
    bench.take();
    bench.ledger(&touched(102, 1, "2.402", "2.41"));
    assert_eq!(sent(&bench), placed[..1], "nothing waits for the ask");
    // Until cancels do, whose numbers come behind its own.
    bench.take();
    bench.on(OrdersInput::Command(OrdersCommand::Withdraw));
    let batches = persisted(&bench);
    let sent = durable(&mut bench, &batches);
    assert_eq!((sent.len(), sent[0]), (3, placed[1]), "the same blob, and two cancels behind it");
}

#[test]
fn an_offer_at_its_margin_leaves_although_the_market_has_come_a_little_nearer() {
    let left = |guard: &str, ask: &str| {
        let mut bench = tight();
        bench.ledger(&touched(100, 1, "2.3999", "2.4001"));
        let batches = persisted(&bench);
        assert_eq!(price_of(&bench, Side::Bid), dec("2.398899"), "5 bps from the ask");
        bench.core.config.quote.taking_guard_bps = dec(guard);
        bench.ledger(&touched(101, 1, "2.3999", ask));
        durable(&mut bench, &batches).len()
    };
    assert_eq!(left("5", "2.4"), 2, "a tick nearer");
    assert_eq!(left("5.001", "2.4001"), 2, "a little wilder");
    assert_eq!((left("5", "2.3996"), left("5", "2.3994")), (2, 0), "2.9 and 2.1 bps: half of the margin is 2.5");
}

#[test]
fn only_what_the_record_has_is_looked_at() {
    let mut bench = Bench::new(1);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    bench.core.config.quote.levels = 2;
    bench.ledger(&touched(101, 1, "2.401", "2.5"));
    let batches = persisted(&bench);
    assert_eq!((batches.len(), bench.core.in_flight()), (2, 4));
    // The second batch's bid could take by now, the first batch's offers could not.
    let nearest = bench.core.offers.values().filter(|offer| offer.side == Side::Bid).map(|offer| offer.price).max();
    let ask = nearest.unwrap().add(dec("0.0001")).unwrap().to_string();
    bench.ledger(&touched(102, 1, "2.401", &ask));
    assert_eq!(durable(&mut bench, &batches[..1]).len(), 2);
    assert_eq!(bench.core.in_flight(), 4, "it is not the second batch's turn");
    assert!(durable(&mut bench, &batches[1..]).is_empty());
    assert_eq!((bench.core.in_flight(), bench.core.next_sequence), (2, 3));
}

#[test]
fn a_margin_that_leaves_no_price_beside_the_pool_withdraws_nothing() {
    let mut bench = with(|config| config.quote.amm_min_edge_bps = Some(dec("1")));
    let beside = |index: u32, sequence: u32| {
        let mut update = touched(index, sequence, "2.399", "2.401");
        let (xrp, token) = (Drops::new(1_000_000_000_000), dec("2400000"));
        let amm = Some(AmmView { ledger_index: index, xrp, token, trading_fee: 200 });
        let view = MarketView { amm, ..update.view.clone() };
        show(&mut update, view);
        update
    };
    bench.ledger(&beside(100, 1));
    let placed = bench.acknowledge();
    assert_eq!((placed.len(), price_of(&bench, Side::Bid)), (2, dec("2.3976")));
    rest(&mut bench, 101, "2.4", &placed);
    bench.acknowledge();
    // The pool pays 2.3952, and the margin reaches beyond.
    bench.core.config.quote.taking_guard_bps = dec("40");
    for index in 102..110 {
        bench.ledger(&beside(index, bench.core.next_sequence));
        assert!(bench.acknowledge().is_empty(), "what rests takes nothing");
    }
    assert_eq!(bench.core.refusal_counts()["pool_goes_first"], 16);
    // A side that must wait is withdrawn all the same.
    bench.core.refusals.hear(Side::Bid, "tecFROZEN", 110);
    bench.ledger(&beside(110, bench.core.next_sequence));
    let cancels = bench.acknowledge();
    assert_eq!(cancels.iter().map(|intent| intent.purpose).collect::<Vec<_>>(), [Purpose::Cancel]);
    assert_eq!(cancels[0].offer_sequence, Some(1));
}

#[test]
fn a_world_that_begins_anew_is_measured_anew_and_nothing_waits_for_the_old_one() {
    let mut bench = with(|config| {
        (config.quote.volatility_widen, config.quote.bid_delay_after_fill_ledgers) = (dec("1"), 50);
    });
    for index in 1_000..1_012_u32 {
        bench.ledger(&priced(index, 1, if index % 2 == 0 { "2.4" } else { "2.401" }));
    }
    let placed = bench.acknowledge();
    rest(&mut bench, 1_012, "2.4", &placed);
    let mut filled = priced(1_013, bench.core.next_sequence, "2.4");
    filled.transactions = vec![fill(placed[0].sequence, Side::Bid, 1_013)];
    bench.ledger(&filled);
    bench.acknowledge();
    bench.core.refusals.hear(Side::Ask, "tecFROZEN", 1_013);
    let waits = |bench: &Bench, index: u32| {
        (bench.core.delays.must_wait(Side::Bid, index), bench.core.refusals.must_wait(Side::Ask, index))
    };
    assert_eq!(waits(&bench, 5), (true, true), "numbers that went back would wait for a thousand ledgers");
    // A stand-alone node was started anew.
    bench.ledger(&priced(5, 1, "2.4"));
    assert_eq!(waits(&bench, 5), (false, false));
    assert!(bench.core.withheld().unwrap().contains("0 of 10 moves"), "{:?}", bench.core.withheld());
    for index in 6..16_u32 {
        bench.ledger(&priced(index, 1, if index % 2 == 0 { "2.4" } else { "2.401" }));
    }
    assert!(bench.core.withheld().is_none_or(|reason| !reason.contains("moves")), "{:?}", bench.core.withheld());
    assert!(matches!(bench.core.volatility.measured().unwrap(), neo_market::model::Measured::Sigma(_)));
}
