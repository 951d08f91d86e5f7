//! The whole engine's rules in one thread over virtual time, from one seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod runner;

use std::collections::BTreeSet;

use neo_ledger::keys::{Algorithm, Keypair};
use neo_ledger::tx::{ASF_DEFAULT_RIPPLE, Body, TF_IMMEDIATE_OR_CANCEL, Transaction};
use neo_ledger::types::{Amount, LedgerTime};
use neo_market::{Dec, Drops, QuoteConfig, Side};
use neo_sim::{Node, Scenario};
use neo_store::record::{OrderState, Purpose, Record, SnapshotKind, ValuationSnapshot};
use runner::strategies::{cases, strategies};
use runner::{Event, Fate, Runner};
use serde_json::json;

const MAX_STEPS: u64 = 3_000_000;

fn session(quote: &QuoteConfig, seed: u64, trade_for_s: u32) -> Runner {
    let mut runner = Runner::new(&Scenario::default(), seed, trade_for_s).with_quote(quote.clone());
    assert!(runner.run(MAX_STEPS), "seed {seed}: not flat; the log ends with\n{}", tail(&runner.log));
    runner.invariants.hold(&format!("seed {seed}"));
    runner
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..]
        .iter()
        .map(|line| &line[..line.len().min(300)])
        .collect::<Vec<_>>()
        .join("\n")
}

fn fills(runner: &Runner) -> Vec<&neo_store::record::Fill> {
    runner
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Fill(fill) => Some(fill),
            _ => None,
        })
        .collect()
}

fn snapshots(runner: &Runner) -> Vec<&ValuationSnapshot> {
    runner
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Valuation(snapshot) => Some(snapshot),
            _ => None,
        })
        .collect()
}

/// Fills and flows of the records, signed, and the change of the balances between the first and the last snapshot.
fn sums(runner: &Runner) -> ((Drops, Dec), (Drops, Dec)) {
    let all = snapshots(runner);
    let (first, last) = (all.first().unwrap(), all.last().unwrap());
    assert_eq!(first.kind, SnapshotKind::Opening);
    let (mut xrp, mut rlusd) = (Drops::ZERO, Dec::zero());
    for record in &runner.records {
        match record {
            Record::Fill(fill) if fill.ledger_index > first.ledger_index => {
                let (sign_xrp, sign_rlusd) = match fill.side {
                    Side::Bid => (fill.xrp, fill.rlusd.neg()),
                    Side::Ask => (Drops::ZERO.sub(fill.xrp).unwrap(), fill.rlusd),
                };
                xrp = xrp.add(sign_xrp).unwrap();
                rlusd = rlusd.add(sign_rlusd).unwrap();
            }
            Record::Flow(flow) if flow.ledger_index > first.ledger_index => {
                // Nobody pays this account: whatever is neither a fill nor a fee was a fill that was misread.
                assert_eq!(flow.cause, neo_store::record::FlowCause::Fee, "{flow:?}");
                xrp = xrp.add(flow.xrp).unwrap();
                rlusd = rlusd.add(flow.rlusd).unwrap();
            }
            _ => {}
        }
    }
    ((xrp, rlusd), (last.xrp.sub(first.xrp).unwrap(), last.rlusd.sub(first.rlusd).unwrap()))
}

#[test]
fn the_same_seed_gives_the_same_log_byte_for_byte() {
    for (name, quote) in strategies() {
        let (one, two) = (session(&quote, 7, 600), session(&quote, 7, 600));
        assert!(one.log == two.log, "{name}: two runs of one seed differ");
        assert_ne!(one.log, session(&quote, 8, 600).log, "{name}: the seed drives nothing");
        assert!(!fills(&one).is_empty(), "{name}");
    }
}

#[test]
fn every_fill_is_recorded_once_and_the_books_balance_to_the_last_digit() {
    for (_, quote, seed) in cases(5, 2) {
        let runner = session(&quote, seed, 1_200);
        let fills = fills(&runner);
        let keys: BTreeSet<_> = fills.iter().map(|fill| (&fill.tx_hash, fill.offer_sequence)).collect();
        assert_eq!(keys.len(), fills.len(), "seed {seed}: a fill is recorded twice");
        assert!(fills.len() > 10, "seed {seed}: {} fills", fills.len());
        let (explained, changed) = sums(&runner);
        assert_eq!(explained, changed, "seed {seed}");
    }
}

#[test]
fn every_offer_ends_and_no_quote_of_ours_takes() {
    for (_, quote) in strategies() {
        every_offer_ends(&session(&quote, 3, 1_200));
    }
}

fn every_offer_ends(runner: &Runner) {
    let mut open = BTreeSet::new();
    for record in &runner.records {
        match record {
            Record::Order(order) => {
                open.insert(order.offer_sequence);
            }
            Record::OrderEvent(event) => {
                let over = !matches!(event.state, OrderState::Pending | OrderState::Resting | OrderState::PartlyFilled);
                if over {
                    assert!(open.remove(&event.offer_sequence), "offer {} ended twice", event.offer_sequence);
                }
                assert_ne!(event.state, OrderState::Unknown, "{event:?}");
            }
            Record::Fill(fill) => assert_eq!(fill.role, neo_store::record::Role::Maker, "{fill:?}"),
            _ => {}
        }
    }
    assert!(open.is_empty(), "offers without an end: {open:?}");
}

#[test]
fn cuts_and_doubled_messages_lose_no_fill_and_double_none() {
    for (_, quote, seed) in cases(3, 2) {
        let runner = Runner::new(&Scenario::default(), seed, 1_200).with_quote(quote);
        let mut runner = runner.with_fault(Box::new(move |step, event| {
            match event {
                // Every validated message may come twice, as it does from a node with overlapping subscriptions.
                Event::FromNode(text) if text.contains("\"type\":\"transaction\"") && step % 3 == 0 => Fate::Doubled,
                _ => Fate::Arrives,
            }
        }));
        let (mut next_cut, mut cuts, mut steps) = (700, 0, 0_u64);
        while !runner.flat && steps < MAX_STEPS {
            runner.step();
            steps += 1;
            if steps == next_cut {
                runner.cut();
                cuts += 1;
                next_cut += 700 + seed * 77;
            }
        }
        assert!(runner.flat, "seed {seed}: the log ends with\n{}", tail(&runner.log));
        assert!(cuts >= 3, "seed {seed}: {cuts} cuts in {steps} steps");
        runner.invariants.hold(&format!("seed {seed}"));
        let keys: BTreeSet<_> = fills(&runner).iter().map(|fill| (fill.tx_hash.clone(), fill.offer_sequence)).collect();
        assert_eq!(keys.len(), fills(&runner).len(), "seed {seed}: a fill is recorded twice");
        let (explained, changed) = sums(&runner);
        assert_eq!(explained, changed, "seed {seed}");
    }
}

#[test]
fn lost_and_late_messages_of_the_node_lose_no_fill_and_double_none() {
    for (_, quote, seed) in cases(3, 2) {
        let mut rolls = u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15_u64);
        let mut suffered = (0, 0);
        let counts = std::rc::Rc::new(std::cell::RefCell::new((0, 0)));
        let counted = std::rc::Rc::clone(&counts);
        let runner = Runner::new(&Scenario::default(), seed, 1_200).with_quote(quote);
        let mut runner = runner.with_fault(Box::new(move |_, event| {
            let Event::FromNode(text) = event else { return Fate::Arrives };
            rolls ^= rolls << 13;
            rolls ^= rolls >> 7;
            rolls ^= rolls << 17;
            // One stream transaction in ten is lost, one in ten comes after what followed it.
            match (text.contains("\"type\":\"transaction\""), rolls % 10) {
                (true, 0) => {
                    suffered.0 += 1;
                    *counted.borrow_mut() = suffered;
                    Fate::Lost
                }
                (true, 1) => {
                    suffered.1 += 1;
                    *counted.borrow_mut() = suffered;
                    Fate::Late
                }
                _ => Fate::Arrives,
            }
        }));
        assert!(runner.run(MAX_STEPS), "seed {seed}: the log ends with\n{}", tail(&runner.log));
        let (lost, late) = *counts.borrow();
        assert!(lost > 20 && late > 20, "{lost} lost, {late} late");
        runner.invariants.hold(&format!("seed {seed}"));
        let keys: BTreeSet<_> = fills(&runner).iter().map(|fill| (fill.tx_hash.clone(), fill.offer_sequence)).collect();
        assert_eq!(keys.len(), fills(&runner).len(), "seed {seed}: a fill is recorded twice");
        let (explained, changed) = sums(&runner);
        assert_eq!(explained, changed, "seed {seed}");
    }
}

fn used_tickets(runner: &Runner) -> BTreeSet<u32> {
    let intended = runner.records.iter().filter_map(|record| match record {
        Record::Intent(intent) if intent.purpose == Purpose::Cancel => Some(intent),
        _ => None,
    });
    let by_ticket = |blob: &str| neo_ledger::codec::decode(blob).unwrap().get("TicketSequence").is_some();
    intended.filter(|intent| by_ticket(&intent.blob)).map(|intent| intent.sequence).collect()
}

#[test]
fn with_tickets_cancels_go_past_lost_submissions_and_everything_balances() {
    let mut by_ticket = 0;
    for (_, quote, seed) in cases(3, 2) {
        let mut submissions = seed;
        let runner = Runner::ticketed(&Scenario::default(), seed, 1_200, 2).with_quote(quote).on_a_network();
        let mut runner = runner.with_fault(Box::new(move |_, event| {
            // One submission in seven never gets to the node, and whatever is signed after it waits for it to die.
            let Event::Submit(_) = event else { return Fate::Arrives };
            submissions += 1;
            if submissions % 7 == 0 { Fate::Lost } else { Fate::Arrives }
        }));
        assert!(runner.run(MAX_STEPS), "seed {seed}: the log ends with\n{}", tail(&runner.log));
        assert_eq!(runner.stranger, None, "seed {seed}");
        runner.invariants.hold(&format!("seed {seed}"));
        let keys: BTreeSet<_> = fills(&runner).iter().map(|fill| (fill.tx_hash.clone(), fill.offer_sequence)).collect();
        assert_eq!(keys.len(), fills(&runner).len(), "seed {seed}: a fill is recorded twice");
        let (explained, changed) = sums(&runner);
        assert_eq!(explained, changed, "seed {seed}");
        assert_eq!(standing(&runner.node), [], "seed {seed}");
        let differences = runner.orders.audits();
        assert_eq!((differences.offers, differences.objects, differences.owner_count), (0, 0, 0), "seed {seed}");
        let account = runner.node.validated_state().account(maker().address()).unwrap();
        assert!(
            account.ticket_count <= 2 && account.owner_count == 1 + account.ticket_count,
            "seed {seed}: {account:?}"
        );
        by_ticket += used_tickets(&runner).len();
    }
    assert!(by_ticket > 5, "{by_ticket} cancels went with a ticket: nothing was tried");
}

#[test]
fn after_a_kill_the_tickets_are_taken_over_and_no_stranger_is_seen() {
    for (_, quote, seed) in cases(3, 2) {
        let mut before = Runner::ticketed(&Scenario::default(), seed, 100_000, 2).with_quote(quote);
        let tickets = |runner: &Runner| runner.node.validated_state().account(maker().address()).unwrap().ticket_count;
        for _ in 0..MAX_STEPS {
            before.step();
            if tickets(&before) == 2 && before.orders.quotes().len() == 4 {
                break;
            }
        }
        let mut after = before.killed(12, 120);
        assert!(after.run(MAX_STEPS), "seed {seed}: not flat; the log ends with\n{}", tail(&after.log));
        after.invariants.hold(&format!("seed {seed}"));
        assert_eq!(after.stranger, None, "seed {seed}");
        let makes = |record: &&Record| matches!(record, Record::Intent(intent) if intent.purpose == Purpose::Ticket);
        assert_eq!(after.records.iter().filter(makes).count(), 0, "seed {seed}: they were there");
        assert_eq!(
            (tickets(&after), after.orders.audits().objects),
            (2, 0),
            "seed {seed}: they stay for the next session"
        );
    }
}

#[test]
fn with_the_record_lost_only_cancels_leave_and_nothing_is_left_on_the_ledger() {
    let mut cancelled = 0;
    for (quote, steps) in moments() {
        let mut runner = Runner::new(&Scenario::default(), 11, 36_000).with_quote(quote);
        (0..steps).for_each(|_| runner.step());
        runner.lose_record();
        let recorded = intents(&runner);
        assert!(runner.run(MAX_STEPS), "lost at step {steps}: not flat\n{}", tail(&runner.log));
        runner.invariants.hold(&format!("at step {steps}"));
        assert_eq!(intents(&runner), recorded, "lost at step {steps}: something new was signed for the record");
        cancelled += runner.unrecorded.len();
        // A hole in the account's numbers would have to be waited for until the transactions die.
        assert!(!runner.log.contains("Dead"), "lost at step {steps}: a number was never used");
    }
    assert!(cancelled > 8, "{cancelled}");
}

#[test]
fn orders_that_are_taken_over_send_no_quote_any_more_and_leave_nothing() {
    for (quote, steps) in moments() {
        let mut runner = Runner::new(&Scenario::default(), 12, 36_000).with_quote(quote);
        (0..steps).for_each(|_| runner.step());
        runner.take_orders_over();
        let before = runner.records.len();
        assert!(runner.run(MAX_STEPS), "taken over at step {steps}: not flat\n{}", tail(&runner.log));
        runner.invariants.hold(&format!("at step {steps}"));
        let quotes = runner.records[before..].iter().filter(|record| matches!(record, Record::Order(_))).count();
        assert_eq!(quotes, 0, "taken over at step {steps}");
    }
}

/// Steps at which something is lost, with every strategy: a model quotes from its tenth move on.
fn moments() -> Vec<(QuoteConfig, u32)> {
    let steps = [150, 400, 1_000, 1_001, 1_003, 1_007, 1_013, 4_000];
    strategies().into_iter().flat_map(|(_, quote)| steps.map(|steps| (quote.clone(), steps))).collect()
}

fn intents(runner: &Runner) -> usize {
    runner.records.iter().filter(|record| matches!(record, Record::Intent(_))).count()
}

#[test]
fn a_valuer_that_goes_on_from_the_record_writes_what_the_first_would_have_written() {
    for (name, quote) in strategies() {
        let whole = session(&quote, 5, 600);
        for steps in [600, 2_000, 3_001] {
            let mut runner = Runner::new(&Scenario::default(), 5, 600).with_quote(quote.clone());
            (0..steps).for_each(|_| runner.step());
            runner.replace_valuer();
            assert!(runner.run(MAX_STEPS));
            let same = whole.records == runner.records;
            assert!(same, "{name}: another valuer from step {steps} on writes another record");
        }
    }
}

/// Steps until the engine has quotes on the ledger and `fills` fills, without a transaction in flight.
fn trading(scenario: &Scenario, seed: u64, fills_wanted: usize) -> Runner {
    trading_as(&QuoteConfig::default(), scenario, seed, fills_wanted)
}

fn trading_as(quote: &QuoteConfig, scenario: &Scenario, seed: u64, fills_wanted: usize) -> Runner {
    let mut runner = Runner::new(scenario, seed, 100_000).with_quote(quote.clone());
    for _ in 0..MAX_STEPS {
        runner.step();
        if fills(&runner).len() >= fills_wanted && runner.orders.quotes().len() == 4 && runner.orders.in_flight() == 0 {
            return runner;
        }
    }
    panic!("seed {seed}: the engine does not trade; the log ends with\n{}", tail(&runner.log));
}

#[test]
fn after_a_kill_offers_are_swept_and_missed_fills_recorded_before_the_first_quote() {
    let (mut missed, mut swept_in_all) = (0, 0);
    for (_, quote, seed) in cases(6, 2) {
        let before = trading_as(&quote, &Scenario::default(), seed, 3);
        let known: BTreeSet<String> = fills(&before).iter().map(|fill| fill.tx_hash.clone()).collect();
        let died_at = before.node.ledger_index();
        let mut after = before.killed(12, 120);
        let left: BTreeSet<u32> = standing(&after.node).into_iter().map(|(sequence, _)| sequence).collect();
        let begins_at = after.node.ledger_index();
        assert!(after.run(MAX_STEPS), "seed {seed}: not flat; the log ends with\n{}", tail(&after.log));
        after.invariants.hold(&format!("seed {seed}"));

        let position = |wanted: &dyn Fn(&Record) -> bool| after.records.iter().position(wanted);
        let first_quote = position(&|record| matches!(record, Record::Order(_))).expect("it quotes");
        for (at, record) in after.records.iter().enumerate() {
            match record {
                Record::Fill(fill) if fill.ledger_index <= begins_at => {
                    assert!(at < first_quote, "seed {seed}: a missed fill comes after a quote: {fill:?}");
                    assert!(fill.ledger_index > died_at && !known.contains(&fill.tx_hash), "seed {seed}: {fill:?}");
                    missed += 1;
                }
                _ => {}
            }
        }
        let swept = cancelled(&after.records[..first_quote]);
        // Several lists must show an offer before it is cancelled: one that is taken meanwhile needs no cancel.
        assert!(swept.is_subset(&left), "seed {seed}: {swept:?} of {left:?}");
        let gone = |sequence: &u32| {
            after.records[..first_quote].iter().any(|record| {
                matches!(record, Record::OrderEvent(event)
                    if event.offer_sequence == *sequence && !matches!(event.state, OrderState::Resting | OrderState::PartlyFilled))
            })
        };
        assert!(left.iter().all(gone), "seed {seed}: quoted before the old offers were seen gone");
        swept_in_all += swept.len();
        assert_eq!(after.stranger, None, "the dead engine's transactions are no stranger's");
    }
    assert!(swept_in_all > 0, "no seed had an offer left: nothing was tried");
    assert!(missed > 0, "no seed had a fill while nobody watched: nothing was tried");
}

/// Offers that cancels were signed for.
fn cancelled(records: &[Record]) -> BTreeSet<u32> {
    let target = |record: &Record| match record {
        Record::Intent(intent) if intent.purpose == Purpose::Cancel => intent.offer_sequence,
        _ => None,
    };
    records.iter().filter_map(target).collect()
}

fn maker() -> Keypair {
    Keypair::from_seed(&neo_sim::maker_seed()).unwrap()
}

/// What of the account stands on the validated ledger: offers by number and when they die.
fn standing(node: &Node) -> Vec<(u32, Option<LedgerTime>)> {
    node.validated_state().offers_of(maker().address()).map(|(key, offer)| (key.sequence, offer.expiration)).collect()
}

/// A transaction of `key`'s account with its next number, signed outside the engine.
fn signed(node: &Node, key: &Keypair, flags: u32, body: Body) -> String {
    let transaction = Transaction {
        account: key.address(),
        sequence: node.validated_state().account(key.address()).unwrap().sequence,
        ticket_sequence: None,
        fee: Drops::new(10),
        flags,
        last_ledger_sequence: Some(node.ledger_index() + 10),
        network_id: node.scenario().network_id,
        body,
    };
    key.sign(&transaction).unwrap().blob
}

/// XRP for RLUSD at any price, taking what stands and resting nothing.
fn sell_at_any_price(node: &Node, key: &Keypair) -> String {
    let token = node.scenario().token();
    let taker_pays = Amount::Token { value: "0.5".parse().unwrap(), token };
    let taker_gets = Amount::Xrp(Drops::new(50_000_000));
    let body = Body::OfferCreate { taker_gets, taker_pays, expiration: None, offer_sequence: None };
    signed(node, key, TF_IMMEDIATE_OR_CANCEL, body)
}

fn rlusd_of_maker(node: &Node) -> Dec {
    node.balances(maker().address()).unwrap().unwrap().rlusd
}

/// A taker with a key of its own, paid for by the maker; the engine trades on until it quotes again.
fn with_taker(runner: &mut Runner) -> Keypair {
    let taker = Keypair::from_entropy([5; 16], Algorithm::Ed25519).unwrap();
    let amount = Amount::Xrp(Drops::new(500_000_000));
    let body = Body::Payment { destination: taker.address(), amount, send_max: None };
    let said = runner.submit_elsewhere(&signed(&runner.node, &maker(), 0, body));
    assert!(said.contains("tesSUCCESS"), "{said}");
    let has_come = |runner: &Runner| runner.node.validated_state().account(taker.address()).is_some();
    for _ in 0..MAX_STEPS {
        runner.step();
        if has_come(runner) && runner.orders.quotes().len() == 4 && runner.orders.in_flight() == 0 {
            return taker;
        }
    }
    panic!("the engine does not quote again; the log ends with\n{}", tail(&runner.log));
}

#[test]
fn when_everything_dies_no_offer_of_ours_can_be_taken_after_its_expiration() {
    let mut runner = trading(&Scenario::default(), 4, 1);
    let taker = with_taker(&mut runner);
    assert_eq!(runner.stranger, None, "a payment is no offer");

    // Control: just after the death our bid is there for the taking.
    let world = runner.node.save().unwrap();
    let mut alive = Node::load(&world, &Scenario::default()).unwrap();
    let before = rlusd_of_maker(&alive);
    let connection = alive.connect();
    let order = sell_at_any_price(&alive, &taker);
    alive.request(connection, &neo_ledger::request::submit(1, &order, false));
    alive.close_ledger();
    assert_ne!(rlusd_of_maker(&alive), before, "the taker does not reach our bid: the rest proves nothing");

    // The engine is gone. The stated time is the latest Expiration that it left.
    let offers = standing(&runner.node);
    assert_eq!(offers.len(), 4);
    let stated = offers.iter().map(|(_, expires)| expires.expect("every offer carries an Expiration")).max().unwrap();
    let left_s = stated.0 - runner.node.close_time().0;
    assert!(left_s <= 120, "{left_s} s");
    while runner.node.close_time() < stated {
        runner.accept(1);
    }
    let at_expiry = rlusd_of_maker(&runner.node);
    let said = runner.submit_elsewhere(&sell_at_any_price(&runner.node, &taker));
    assert!(said.contains("tesSUCCESS") || said.contains("tecKILLED"), "{said}");
    runner.accept(1);
    let mut later = Node::load(&runner.node.save().unwrap(), &Scenario::default()).unwrap();
    for _ in 0..300 {
        later.close_ledger();
    }
    for node in [&runner.node, &later] {
        assert_eq!(rlusd_of_maker(node), at_expiry, "an expired offer of ours was taken");
    }
}

#[test]
fn expired_offers_that_nobody_met_are_swept_before_the_first_quote() {
    // The others quote inside of ours, so that no transaction meets our expired offers and removes them.
    let mut scenario = Scenario::default();
    scenario.makers.spread_bps = 4.0;
    scenario.takers.arrivals_per_ledger = 0.0;
    let mut runner = trading(&scenario, 4, 0);
    let stated = standing(&runner.node).iter().filter_map(|(_, expires)| *expires).max().unwrap();
    while runner.node.close_time() < stated {
        runner.accept(1);
    }
    let mut after = runner.killed(2, 60);
    let left: BTreeSet<u32> = standing(&after.node).into_iter().map(|(sequence, _)| sequence).collect();
    assert!(!left.is_empty(), "every expired offer was met: nothing is left to sweep");
    assert!(after.run(MAX_STEPS), "not flat; the log ends with\n{}", tail(&after.log));
    let first_quote = after.records.iter().position(|record| matches!(record, Record::Order(_))).expect("it quotes");
    assert_eq!(cancelled(&after.records[..first_quote]), left);
    assert_eq!(standing(&after.node), []);
}

#[test]
fn an_offer_that_another_host_places_on_our_account_ends_the_session_in_order() {
    let mut runner = trading(&Scenario::default(), 2, 1);
    let token = runner.node.scenario().token();
    let taker_gets = Amount::Xrp(Drops::new(10_000_000));
    let taker_pays = Amount::Token { value: "100".parse().unwrap(), token };
    let body = Body::OfferCreate { taker_gets, taker_pays, expiration: None, offer_sequence: None };
    let foreign = runner.node.validated_state().account(maker().address()).unwrap().sequence;
    let said = runner.submit_elsewhere(&signed(&runner.node, &maker(), 0, body));
    assert!(said.contains("tesSUCCESS"), "{said}");
    assert!(runner.run(MAX_STEPS), "not flat; the log ends with\n{}", tail(&runner.log));
    let cause = runner.stranger.clone().expect("the session must end");
    assert!(cause.contains("another program trades on this account"), "{cause}");
    let left: Vec<u32> = standing(&runner.node).into_iter().map(|(sequence, _)| sequence).collect();
    assert_eq!(left, [foreign], "ours are withdrawn, the stranger's is not ours to touch");
    let (explained, changed) = sums(&runner);
    assert_eq!(explained, changed);
}

/// A ticket is a sequence number set aside: whoever takes one means to place offers beside ours.
#[test]
fn a_ticket_that_another_host_takes_on_our_account_ends_the_session_in_order() {
    let mut runner = trading(&Scenario::default(), 4, 1);
    let key = maker();
    let account = runner.node.validated_state().account(key.address()).unwrap();
    let (sequence, objects) = (account.sequence, account.owner_count);
    let network_id = runner.node.scenario().network_id;
    let ticket = json!({"TransactionType": "TicketCreate", "TicketCount": 2, "Account": key.address().to_string(),
        "Sequence": sequence, "Fee": "1000", "Flags": 0, "NetworkID": network_id});
    let said = runner.submit_elsewhere(&key.sign_json(&ticket).unwrap().blob);
    assert!(said.contains("tesSUCCESS"), "{said}");
    assert!(runner.run(MAX_STEPS), "not flat; the log ends with\n{}", tail(&runner.log));
    let cause = runner.stranger.clone().expect("the session must end");
    assert!(cause.contains("another program trades on this account") && cause.contains("TicketCreate"), "{cause}");
    let account = runner.node.validated_state().account(key.address()).unwrap();
    assert!(objects > 3 && account.owner_count == 3, "the line and the two tickets are left: {account:?}");
    assert_eq!(standing(&runner.node), []);
    let (explained, changed) = sums(&runner);
    assert_eq!(explained, changed);
}

#[test]
fn any_other_transaction_from_another_host_is_survived() {
    let mut runner = trading(&Scenario::default(), 3, 1);
    let body = Body::AccountSet { set_flag: Some(ASF_DEFAULT_RIPPLE), clear_flag: None, tick_size: None };
    let said = runner.submit_elsewhere(&signed(&runner.node, &maker(), 0, body));
    assert!(said.contains("tesSUCCESS"), "{said}");
    let fills_before = fills(&runner).len();
    for _ in 0..MAX_STEPS {
        runner.step();
        if fills(&runner).len() > fills_before + 2 {
            break;
        }
    }
    assert!(fills(&runner).len() > fills_before + 2, "it trades on");
    assert_eq!(runner.stranger, None);
    let recorded = runner.records.iter().any(
        |record| matches!(record, Record::Fault(fault) if fault.cause.contains("AccountSet") && fault.action.contains("sequence")),
    );
    assert!(recorded, "the foreign transaction is in the record");
    runner.command(neo_actors::messages::OrdersCommand::Withdraw);
    assert!(runner.run(MAX_STEPS));
    let (explained, changed) = sums(&runner);
    assert_eq!(explained, changed);
}
