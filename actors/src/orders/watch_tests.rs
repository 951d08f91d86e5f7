//! The triggers in the orders: what a trip withdraws, what brings the quotes back, and what is told of it.

use chrono::TimeDelta;
use neo_market::reference::Reference;
use neo_market::triggers::TriggerRule;
use neo_market::triggers::worth::{Sample, Worth};
use neo_market::{ClearedBy, Trigger, TriggerEvent, TripAction};

use super::*;

/// A bench with one trigger on.
fn watching(trigger: Trigger, limit: &str, action: TripAction, start: WatchStart) -> Bench {
    let mut config = core(1).config;
    for other in Trigger::ALL {
        config.risk.triggers.rule_mut(other).limit = Dec::zero();
    }
    let rule = TriggerRule { limit: limit.parse().unwrap(), action, resume_after_s: 8 };
    *config.risk.triggers.rule_mut(trigger) = rule;
    config.watch = start;
    Bench { core: OrdersCore::new(config, key()), effects: Vec::new() }
}

fn at_price(index: u32, sequence: u32, bid: &str, ask: &str) -> LedgerUpdate {
    let mut update = update(index, sequence, vec![], None);
    let level = |price: &str| vec![BookLevel { price: price.parse().unwrap(), size: Drops::new(1_000_000_000) }];
    show(&mut update, MarketView { ledger_index: index, bids: level(bid), asks: level(ask), ..MarketView::default() });
    update
}

/// Begins with a bid and an ask that rest from ledger 101 on.
fn begun(bench: &mut Bench) -> Vec<Intent> {
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    assert_eq!(intents.len(), 2);
    let placed = intents.iter().zip([Side::Bid, Side::Ask]).map(|(intent, side)| {
        included(intent, 101, "tesSUCCESS", vec![change(intent.sequence, side, OfferChangeKind::Created)])
    });
    bench.ledger(&update(101, 3, placed.collect(), None));
    bench.acknowledge();
    assert_eq!(bench.core.quotes().len(), 2);
    intents
}

/// What the triggers did since this was asked for the last time, and what was signed.
fn told(bench: &mut Bench) -> (Vec<String>, Vec<Intent>) {
    let word = |effect: &OrdersEffect| match effect {
        OrdersEffect::Risk(note) => Some(match &note.event {
            TriggerEvent::Tripped(trip) => format!("{} {} at {}", trip.trigger, trip.action, note.ledger_index),
            TriggerEvent::Cleared { trigger, by } => {
                format!("{trigger} cleared by {} at {}", by.as_str(), note.ledger_index)
            }
        }),
        _ => None,
    };
    let words = bench.effects.iter().filter_map(word).collect();
    (words, bench.acknowledge())
}

fn all_cancel(intents: &[Intent], count: usize) {
    assert!(intents.iter().all(|intent| intent.purpose == Purpose::Cancel), "{intents:?}");
    assert_eq!(intents.len(), count, "{intents:?}");
}

/// The offers are gone in this ledger.
fn gone(index: u32, cancels: &[Intent], sequence: u32, price: (&str, &str)) -> LedgerUpdate {
    let removed = OfferChangeKind::Removed(Removal::Cancelled);
    let transactions = cancels.iter().zip([Side::Bid, Side::Ask]).map(|(cancel, side)| {
        included(cancel, index, "tesSUCCESS", vec![change(cancel.offer_sequence.unwrap(), side, removed)])
    });
    LedgerUpdate { transactions: transactions.collect(), ..at_price(index, sequence, price.0, price.1) }
}

#[test]
fn a_drawdown_withdraws_in_its_own_ledger_and_holds_until_the_operator_resumes() {
    let mut bench = watching(Trigger::Drawdown, "2", TripAction::Latch, WatchStart::default());
    begun(&mut bench);
    // 49000 at 2.40; 1.99 % below is 48024.9: 10000 XRP at 2.3025.
    bench.ledger(&at_price(102, 3, "2.30", "2.305"));
    assert_eq!(told(&mut bench).0, [""; 0]);
    bench.ledger(&at_price(103, 3, "2.29", "2.31"));
    let (words, cancels) = told(&mut bench);
    assert_eq!(words, ["drawdown_pct latch at 103"]);
    let cancelled: std::collections::BTreeSet<u32> =
        cancels.iter().filter_map(|intent| intent.offer_sequence).collect();
    assert!(cancelled.contains(&1) && cancelled.contains(&2), "{cancels:?}");
    assert!(cancels.iter().all(|intent| intent.purpose == Purpose::Cancel), "nothing is quoted: {cancels:?}");
    let withheld = bench.core.withheld().unwrap();
    assert!(withheld.contains("until `neo resume`") && withheld.contains("2.04 % below"), "{withheld}");
    assert_eq!(bench.core.trips()[0].trigger, "drawdown_pct");
    // The price comes back: it stays withdrawn. The offers in flight have died by then.
    bench.ledger(&update(150, 3, vec![], Some(vec![])));
    assert_eq!(told(&mut bench), (vec![], vec![]));
    bench.on(OrdersInput::Command(OrdersCommand::Resume));
    assert_eq!(told(&mut bench).0, ["drawdown_pct cleared by operator at 150"]);
    // From here a loss is counted anew: at the low price nothing trips.
    bench.ledger(&at_price(151, 3, "2.29", "2.31"));
    let (words, placed) = told(&mut bench);
    assert_eq!(words, [""; 0]);
    assert_eq!(placed.iter().filter(|intent| intent.purpose == Purpose::Place).count(), 2);
    assert_eq!((bench.core.withheld(), bench.core.trip_counts()["drawdown_pct"]), (None, 1));
}

#[test]
fn a_price_that_is_made_without_one_side_of_the_book_counts_losses_too() {
    let one_sided = |index: u32, price: &str| {
        let mut update = at_price(index, 3, "2.28", "2.32");
        update.view.asks.clear();
        update.reference = Ok(Reference { price: price.parse().unwrap(), source: "blend", readings: Vec::new() });
        update
    };
    let mut bench = watching(Trigger::Drawdown, "2", TripAction::Latch, WatchStart::default());
    begun(&mut bench);
    bench.ledger(&one_sided(102, "2.3025"));
    assert_eq!(told(&mut bench).0, [""; 0]);
    bench.ledger(&one_sided(103, "2.30"));
    assert_eq!(told(&mut bench).0, ["drawdown_pct latch at 103"]);
}

#[test]
fn a_stop_withdraws_and_quotes_no_more() {
    let mut bench = watching(Trigger::DayLoss, "2", TripAction::Stop, WatchStart::default());
    begun(&mut bench);
    bench.ledger(&at_price(102, 3, "2.29", "2.31"));
    let (words, cancels) = told(&mut bench);
    assert_eq!(words, ["day_loss_pct stop at 102"]);
    all_cancel(&cancels, 2);
    bench.on(OrdersInput::Command(OrdersCommand::Resume));
    bench.ledger(&gone(103, &cancels, 5, ("2.39", "2.41")));
    assert_eq!(bench.acknowledge().len(), 0);
    assert!(bench.effects.contains(&OrdersEffect::Flat) || bench.core.is_flat(), "{:?}", bench.core.open_items());
}

#[test]
fn a_pause_ends_by_itself_when_the_price_has_been_calm() {
    let mut bench = watching(Trigger::PriceMove, "100", TripAction::Pause, WatchStart::default());
    begun(&mut bench);
    bench.ledger(&at_price(102, 3, "2.42", "2.44"));
    let (words, cancels) = told(&mut bench);
    assert_eq!(words, ["price_move_bps pause at 102"]);
    all_cancel(&cancels, 2);
    bench.ledger(&gone(103, &cancels, 5, ("2.42", "2.44")));
    bench.ledger(&at_price(104, 5, "2.42", "2.44"));
    assert_eq!(told(&mut bench), (vec![], vec![]), "4 s of calm");
    bench.ledger(&at_price(105, 5, "2.42", "2.44"));
    let (words, placed) = told(&mut bench);
    assert_eq!(words, ["price_move_bps cleared by itself at 105"]);
    assert_eq!(placed.len(), 2);
}

#[test]
fn money_that_comes_or_goes_is_no_loss_and_a_reserve_that_is_taken_away_is_seen() {
    let mut bench = watching(Trigger::Drawdown, "2", TripAction::Latch, WatchStart::default());
    begun(&mut bench);
    let withdrawal = |index: u32, drops: i64| {
        let intent = Intent { sequence: 9, ..begun(&mut Bench::new(1))[0].clone() };
        let moved = included(&intent, index, "tesSUCCESS", vec![]);
        let xrp_change = Drops::new(-drops);
        let kind = "Payment".to_string();
        OwnTransaction { ours: false, fee: Drops::ZERO, hash: Hash([77; 32]), xrp_change, kind, ..moved }
    };
    let mut after = update(102, 3, vec![withdrawal(102, 9_000_000_000)], None);
    after.account.xrp = Drops::new(1_000_000_000);
    bench.ledger(&after);
    assert_eq!(told(&mut bench).0, [""; 0], "nine tenths of the XRP left, and nothing is lost");
    // The same balance without a transaction that took it away is a loss.
    let mut gone = update(103, 3, vec![], None);
    gone.account.xrp = Drops::new(100_000_000);
    bench.ledger(&gone);
    assert_eq!(told(&mut bench).0, ["drawdown_pct latch at 103"]);

    let mut bench = watching(Trigger::ReserveShort, "5", TripAction::Pause, WatchStart::default());
    begun(&mut bench);
    let mut short = update(102, 3, vec![withdrawal(102, 9_994_000_001)], None);
    // 1.2 XRP are the reserve.
    short.account.xrp = Drops::new(6_200_000);
    bench.ledger(&short);
    assert_eq!(told(&mut bench).0, [""; 0]);
    short.ledger.index = 103;
    short.account.xrp = Drops::new(6_199_999);
    bench.ledger(&short);
    let (words, cancels) = told(&mut bench);
    assert_eq!(words, ["reserve_short_xrp pause at 103"]);
    assert!(cancels.iter().all(|intent| intent.purpose == Purpose::Cancel));
}

#[test]
fn what_an_earlier_session_lost_counts_and_a_flow_that_it_told_of_does_not_count_twice() {
    let sample = |at_s, rlusd: &str| {
        let (xrp, rlusd) = (Drops::new(10_000_000_000), rlusd.parse().unwrap());
        Sample { at_s, xrp, rlusd, mark: "2.40".parse().unwrap() }
    };
    let began_s = 800_000_000 + 99 * 4;
    let remembered = |flow: bool| {
        let mut worth = Worth::new(7);
        worth.sample(&sample(began_s - 100, "26000")).unwrap();
        worth.sample(&sample(began_s, "25300")).unwrap();
        let hash = Hash([77; 32]);
        if flow {
            worth.flow(Drops::ZERO, "-300".parse().unwrap()).unwrap();
        }
        WatchStart { worth: Some(worth), told_flows: vec![hash], ..WatchStart::default() }
    };
    // 50000 at the peak: 49000 now are 2 %.
    let mut bench = watching(Trigger::Drawdown, "2", TripAction::Latch, remembered(false));
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let (words, signed) = told(&mut bench);
    assert_eq!((words, signed.len()), (vec!["drawdown_pct latch at 100".to_string()], 0), "before the first quote");
    // 300 of them were taken out at the end, and told of again with the history: once is 1.4 %.
    let mut bench = watching(Trigger::Drawdown, "1.5", TripAction::Latch, remembered(true));
    let taken = OwnTransaction {
        ours: false,
        fee: Drops::ZERO,
        hash: Hash([77; 32]),
        xrp_change: Drops::ZERO,
        token_change: "-300".parse().unwrap(),
        ..included(&begun(&mut Bench::new(1))[0], 100, "tesSUCCESS", vec![])
    };
    bench.ledger(&update(100, 1, vec![taken], Some(vec![])));
    assert_eq!(told(&mut bench).0, [""; 0]);
    let losses = bench.core.trips();
    assert_eq!(losses, []);
}

#[test]
fn a_latch_from_before_holds_and_one_that_was_ended_meanwhile_is_told_as_cleared() {
    let latched = vec![(Trigger::Rejects, "rejects latch at noon: 9 failed".to_string())];
    let start = WatchStart { latched, released: vec![Trigger::DayLoss], ..WatchStart::default() };
    let mut bench = watching(Trigger::Rejects, "1", TripAction::Latch, start);
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let (words, signed) = told(&mut bench);
    assert_eq!((words, signed.len()), (vec!["day_loss_pct cleared by operator at 100".to_string()], 0));
    assert!(bench.core.withheld().unwrap().contains("9 failed"));
    bench.on(OrdersInput::Command(OrdersCommand::Resume));
    assert_eq!(told(&mut bench).0, ["rejects cleared by operator at 100"]);
    bench.ledger(&update(101, 1, vec![], None));
    assert_eq!(told(&mut bench).1.len(), 2);
}

#[test]
fn rejects_and_fees_are_counted_over_their_windows() {
    let failed = |index: u32, intents: &[Intent]| {
        let transactions = intents.iter().map(|intent| included(intent, index, "tecUNFUNDED_OFFER", vec![])).collect();
        update(index, 3, transactions, None)
    };
    let mut bench = watching(Trigger::Rejects, "2", TripAction::Pause, WatchStart::default());
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    bench.ledger(&failed(101, &intents[..1]));
    assert_eq!(told(&mut bench).0, [""; 0], "one is not two");
    bench.ledger(&failed(102, &intents[1..]));
    let (words, signed) = told(&mut bench);
    assert_eq!(words, ["rejects pause at 102"]);
    assert!(signed.iter().all(|intent| intent.purpose == Purpose::Cancel));
    // 300 s after the first they are not two any more, and 8 s later it is over.
    bench.ledger(&update(176, 3, vec![], None));
    assert_eq!(told(&mut bench).0, [""; 0]);
    bench.ledger(&update(178, 3, vec![], None));
    assert_eq!(told(&mut bench).0, ["rejects cleared by itself at 178"]);

    let mut bench = watching(Trigger::Fees, "20", TripAction::Pause, WatchStart::default());
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let intents = bench.acknowledge();
    assert!(intents.iter().all(|intent| intent.fee == Drops::new(10)));
    bench.ledger(&failed(101, &intents[..1]));
    assert_eq!(told(&mut bench).0, [""; 0], "10 drops");
    bench.ledger(&failed(102, &intents[1..]));
    assert_eq!(told(&mut bench).0, ["fees_drops pause at 102"], "to the last drop");
}

#[test]
fn rejects_and_fees_of_before_a_restart_count_and_those_before_a_resume_do_not() {
    // Ledger 100 closes at 800,000,400: what was refused 300 s before is just forgotten.
    let at = |s: u32| LedgerTime(800_000_400 - s);
    let start = |rejects: Vec<LedgerTime>| WatchStart { rejects, ..WatchStart::default() };
    let mut bench = watching(Trigger::Rejects, "2", TripAction::Latch, start(vec![at(299), at(0)]));
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert_eq!(told(&mut bench).0, ["rejects latch at 100"], "a crash resets nothing");
    let mut bench = watching(Trigger::Rejects, "2", TripAction::Latch, start(vec![at(300), at(0)]));
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let (words, intents) = told(&mut bench);
    assert_eq!((words, intents.len()), (vec![], 2));
    bench.ledger(&update(101, 3, vec![included(&intents[0], 101, "tecKILLED", vec![])], None));
    assert_eq!(told(&mut bench).0, ["rejects latch at 101"], "one of before, one of now");

    let fee = |n: u8, s: u32| FeePaid { hash: Hash([n; 32]), close_time: at(s), fee: Drops::new(10) };
    for (resumed, words) in [(None, vec!["fees_drops pause at 100".to_string()]), (Some(at(8)), vec![])] {
        let mut config = watching(Trigger::Fees, "20", TripAction::Pause, WatchStart::default()).core.config.clone();
        config.fees_paid = vec![fee(1, 8), fee(2, 4)];
        config.watch.fees_resumed = resumed;
        let mut bench = Bench { core: OrdersCore::new(config, key()), effects: Vec::new() };
        bench.ledger(&update(100, 1, vec![], Some(vec![])));
        assert_eq!(told(&mut bench).0, words);
    }
}

#[test]
fn what_an_earlier_session_signed_counts_when_it_fails_or_dies_in_this_one() {
    let before = |n: u8, last: u32| (Hash([n; 32]), last);
    let failed = |index: u32| {
        let mut failed = included(&begun(&mut Bench::new(1))[0], index, "tecKILLED", vec![]);
        (failed.hash, failed.sequence) = (Hash([7; 32]), 9);
        failed
    };
    let begin = |unsettled: Vec<(Hash, u32)>| {
        let mut config = watching(Trigger::Rejects, "2", TripAction::Pause, WatchStart::default()).core.config.clone();
        config.unsettled = unsettled;
        Bench { core: OrdersCore::new(config, key()), effects: Vec::new() }
    };
    let mut bench = begin(vec![before(7, 104), before(8, 100)]);
    let mut first = update(100, 10, vec![failed(100)], Some(vec![]));
    first.account.sequence = 10;
    bench.ledger(&first);
    assert_eq!(told(&mut bench).0, ["rejects pause at 100"], "one failed, one died");
    // Successful is no reject, and one that died 100 ledgers ago did so 300 s ago or earlier.
    let mut bench = begin(vec![before(7, 104), before(8, 0), before(9, 100)]);
    first.transactions[0].result = "tesSUCCESS".to_string();
    bench.ledger(&first);
    assert_eq!(told(&mut bench).0, [""; 0]);
    let mut bench = begin(vec![before(8, 1), before(9, 100)]);
    first.transactions.clear();
    bench.ledger(&first);
    assert_eq!(told(&mut bench).0, ["rejects pause at 100"], "99 ledgers are 297 s at least");
}

#[test]
fn what_is_remembered_and_told_again_with_the_history_counts_once() {
    let at = |s: u32| LedgerTime(800_000_400 - s);
    let moved = |hash: u8, closed: LedgerTime, rlusd: &str| OwnTransaction {
        ours: false,
        fee: Drops::ZERO,
        hash: Hash([hash; 32]),
        close_time: Some(closed),
        xrp_change: Drops::ZERO,
        token_change: rlusd.parse().unwrap(),
        ..included(&begun(&mut Bench::new(1))[0], 100, "tesSUCCESS", vec![])
    };
    // 49000 at the peak, and 600 that came in after it are in the account: counted twice, 1.2 % were lost.
    let remembered = |told: Vec<Hash>, flow: &str| {
        let mut worth = Worth::new(7);
        let (xrp, rlusd) = (Drops::new(10_000_000_000), "25000".parse().unwrap());
        worth.sample(&Sample { at_s: at(40).0, xrp, rlusd, mark: "2.40".parse().unwrap() }).unwrap();
        worth.flow(Drops::ZERO, flow.parse().unwrap()).unwrap();
        WatchStart { worth: Some(worth), told_flows: told, ..WatchStart::default() }
    };
    let mut bench = watching(Trigger::Drawdown, "1", TripAction::Latch, remembered(vec![Hash([7; 32])], "600"));
    let mut first = update(100, 1, vec![moved(7, at(0), "600")], Some(vec![]));
    first.account.rlusd = "25600".parse().unwrap();
    bench.ledger(&first);
    assert_eq!(told(&mut bench).0, [""; 0], "a flow that was told of");
    let mut bench = watching(Trigger::Drawdown, "1", TripAction::Latch, remembered(vec![], "0"));
    bench.ledger(&update(100, 1, vec![moved(8, at(40), "600")], Some(vec![])));
    assert_eq!(told(&mut bench).0, [""; 0], "history that the value contains");

    let mut config = watching(Trigger::Fees, "20", TripAction::Pause, WatchStart::default()).core.config.clone();
    config.fees_paid = vec![FeePaid { hash: Hash([7; 32]), close_time: at(40), fee: Drops::new(10) }];
    config.settled = vec![Hash([7; 32])];
    let again = |ours: bool, hash: u8| OwnTransaction { ours, fee: Drops::new(10), ..moved(hash, at(40), "0") };
    let mut bench = Bench { core: OrdersCore::new(config, key()), effects: Vec::new() };
    bench.ledger(&update(100, 1, vec![again(true, 7), again(false, 9)], Some(vec![])));
    assert_eq!(told(&mut bench).0, [""; 0], "a fee that was told of, and a stranger's");
}

#[test]
fn what_the_operator_resumed_from_is_counted_anew() {
    for (trigger, limit) in [(Trigger::Rejects, "2"), (Trigger::Fees, "20")] {
        let mut bench = watching(trigger, limit, TripAction::Latch, WatchStart::default());
        bench.ledger(&update(100, 1, vec![], Some(vec![])));
        let intents = bench.acknowledge();
        let failed = intents.iter().map(|intent| included(intent, 101, "tecUNFUNDED_OFFER", vec![])).collect();
        bench.ledger(&update(101, 3, failed, None));
        assert_eq!(told(&mut bench).0, [format!("{trigger} latch at 101")]);
        bench.on(OrdersInput::Command(OrdersCommand::Resume));
        assert_eq!(told(&mut bench).0, [format!("{trigger} cleared by operator at 101")]);
        bench.ledger(&update(102, 3, vec![], None));
        assert_eq!(told(&mut bench).0, [""; 0], "{trigger}");
    }
}

#[test]
fn who_holds_is_watched_and_who_leaves_is_not() {
    let start = || WatchStart { ledgers_come: true, ..WatchStart::default() };
    let tick = |bench: &mut Bench| {
        let effects = bench.core.on(OrdersInput::Tick, now() + TimeDelta::seconds(60)).unwrap();
        bench.effects.extend(effects);
    };
    let mut bench = watching(Trigger::DayLoss, "2", TripAction::Latch, start());
    begun(&mut bench);
    bench.on(OrdersInput::Command(OrdersCommand::Quiesce));
    bench.ledger(&at_price(102, 3, "2.29", "2.31"));
    assert_eq!(told(&mut bench).0, ["day_loss_pct latch at 102"], "the next session must know");
    for command in [OrdersCommand::Quiesce, OrdersCommand::Withdraw] {
        let mut bench = watching(Trigger::Silence, "30", TripAction::Pause, start());
        begun(&mut bench);
        bench.on(OrdersInput::Command(command));
        bench.acknowledge();
        tick(&mut bench);
        assert_eq!(told(&mut bench).0, [""; 0]);
    }
}

#[test]
fn transactions_of_an_earlier_session_whose_fate_is_open_are_unknown() {
    let mut config =
        watching(Trigger::UnknownIntents, "2", TripAction::Pause, WatchStart::default()).core.config.clone();
    config.unsettled = vec![(Hash([7; 32]), 104), (Hash([8; 32]), 104)];
    let mut bench = Bench { core: OrdersCore::new(config, key()), effects: Vec::new() };
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert_eq!(told(&mut bench).0, ["unknown_intents pause at 100"]);
}

#[test]
fn transactions_without_a_fate_are_counted_when_they_are_late() {
    let mut bench = watching(Trigger::UnknownIntents, "2", TripAction::Pause, WatchStart::default());
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    assert_eq!(bench.acknowledge().len(), 2);
    bench.ledger(&update(102, 1, vec![], None));
    assert_eq!(told(&mut bench).0, [""; 0], "two ledgers are usual");
    bench.ledger(&update(103, 1, vec![], None));
    assert_eq!(told(&mut bench).0, ["unknown_intents pause at 103"]);
    // They are dead, and so are the cancels that the pause sent, by 108.
    bench.ledger(&update(108, 1, vec![], None));
    bench.acknowledge();
    bench.ledger(&update(110, 1, vec![], None));
    assert_eq!(told(&mut bench).0, ["unknown_intents cleared by itself at 110"]);
}

#[test]
fn silence_and_a_clock_that_is_off_are_seen_where_ledgers_come_by_the_clock() {
    let start = |ledgers_come, by_the_clock| WatchStart { ledgers_come, by_the_clock, ..WatchStart::default() };
    let closed = crate::clock::to_utc(LedgerTime(800_000_000 + 400));
    for (listens, words) in [(true, vec!["silence_s pause at 101".to_string()]), (false, Vec::new())] {
        let mut bench = watching(Trigger::Silence, "30", TripAction::Pause, start(listens, false));
        begun(&mut bench);
        let tick = |bench: &mut Bench, after_s| {
            let effects = bench.core.on(OrdersInput::Tick, now() + TimeDelta::seconds(after_s)).unwrap();
            bench.effects.extend(effects);
        };
        tick(&mut bench, 29);
        assert_eq!(told(&mut bench), (vec![], vec![]));
        tick(&mut bench, 30);
        let (said, cancels) = told(&mut bench);
        assert_eq!(said, words);
        all_cancel(&cancels, if listens { 2 } else { 0 });
        // Ten ledgers may have closed unheard: a cancel that was counted from the last one heard of could be in none.
        assert!(cancels.iter().all(|intent| intent.last_ledger_sequence == 101 + 10 + 5), "{cancels:?}");
        tick(&mut bench, 31);
        assert_eq!(told(&mut bench), (vec![], vec![]), "once");
    }
    for (off_s, trips) in [(59, 0), (60, 1), (-59, 0), (-60, 1)] {
        let mut bench = watching(Trigger::ClockSkew, "60", TripAction::Pause, start(true, true));
        let (update, now) = (update(100, 1, vec![], Some(vec![])), closed + TimeDelta::seconds(off_s));
        bench.effects = bench.core.on(OrdersInput::Update(&update), now).unwrap();
        assert_eq!(told(&mut bench).0.len(), trips, "{off_s} s");
    }
    let mut bench = watching(Trigger::ClockSkew, "60", TripAction::Pause, start(true, false));
    begun(&mut bench);
    assert_eq!(told(&mut bench).0, [""; 0], "a simulated ledger has its own time");
}

#[test]
fn ledgers_that_went_by_unseen_are_a_gap_and_a_hole_in_history_is_one() {
    let mut bench = watching(Trigger::Gap, "10", TripAction::Pause, WatchStart::default());
    begun(&mut bench);
    bench.ledger(&update(111, 3, vec![], None));
    assert_eq!(told(&mut bench).0, [""; 0], "nine are missing");
    bench.ledger(&update(122, 3, vec![], None));
    assert_eq!(told(&mut bench).0, ["gap_ledgers pause at 122"]);
    let mut bench = watching(Trigger::Gap, "10", TripAction::Pause, WatchStart::default());
    begun(&mut bench);
    let lost = LedgerUpdate { history_lost: Some("pruned".into()), ..update(102, 3, vec![], None) };
    bench.ledger(&lost);
    assert_eq!(told(&mut bench).0, ["gap_ledgers pause at 102"]);
}

#[test]
fn inventory_beyond_its_bounds_is_seen() {
    let mut bench = watching(Trigger::Inventory, "100", TripAction::Pause, WatchStart::default());
    let mut config = bench.core.config.clone();
    config.risk.max_inventory_xrp = Some("10500".parse().unwrap());
    bench.core = OrdersCore::new(config, key());
    let owns = |index, drops| {
        let mut update = update(index, 1, vec![], Some(vec![]));
        update.account.xrp = Drops::new(drops);
        update
    };
    bench.ledger(&owns(100, 10_599_999_999));
    assert_eq!(told(&mut bench).0, [""; 0]);
    bench.ledger(&owns(101, 10_600_000_000));
    assert_eq!(told(&mut bench).0, ["inventory_over_xrp pause at 101"]);
}

fn refusals(effects: &[OrdersEffect]) -> Vec<(String, Option<Side>, u32, u64)> {
    let row = |record: &Record| match record {
        Record::Refusal(row) => Some((row.kind.clone(), row.side, row.first_ledger_index, row.count)),
        _ => None,
    };
    recorded(effects).filter_map(row).collect()
}

#[test]
fn what_is_not_quoted_is_a_row_at_its_beginning_and_at_its_end() {
    let mut bench = watching(Trigger::Rejects, "0", TripAction::Pause, WatchStart::default());
    let poor = |index| {
        let mut update = update(index, 1, vec![], Some(vec![]));
        update.account.rlusd = Dec::zero();
        update
    };
    bench.ledger(&poor(100));
    let bid = |kind: &str, first, count| (kind.to_string(), Some(Side::Bid), first, count);
    assert_eq!(refusals(&bench.effects), [bid("insufficient_funds", 100, 1)]);
    bench.acknowledge();
    bench.ledger(&poor(101));
    bench.ledger(&poor(102));
    assert_eq!(refusals(&bench.effects), []);
    let mut empty = poor(103);
    let view = MarketView { asks: Vec::new(), ..empty.view.clone() };
    show(&mut empty, view);
    bench.ledger(&empty);
    let all = ("no_reference_price".to_string(), None, 103, 1);
    let mut rows = refusals(&bench.effects);
    rows.sort();
    assert_eq!(rows, [bid("insufficient_funds", 100, 3), all]);
    assert_eq!(bench.core.refusal_counts()["insufficient_funds"], 3);
    // The gate's own refusals too: no offer above the largest size.
    let mut config = bench.core.config.clone();
    config.risk.max_order_xrp = Dec::one();
    let mut bench = Bench { core: OrdersCore::new(config, key()), effects: Vec::new() };
    bench.ledger(&update(100, 1, vec![], Some(vec![])));
    let kinds: Vec<(String, Option<Side>)> = refusals(&bench.effects).into_iter().map(|row| (row.0, row.1)).collect();
    let large = |side| ("order_too_large".to_string(), Some(side));
    assert_eq!(kinds, [large(Side::Bid), large(Side::Ask)]);
    assert_eq!(ClearedBy::Itself.as_str(), "itself");
}
