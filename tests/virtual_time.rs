//! The whole engine's rules in one thread over virtual time, from one seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod runner;

use std::collections::BTreeSet;

use neo_market::{Dec, Drops, Side};
use neo_sim::Scenario;
use neo_store::record::{OrderState, Record, SnapshotKind, ValuationSnapshot};
use runner::{Event, Fate, Runner};

const MAX_STEPS: u64 = 3_000_000;

fn session(seed: u64, trade_for_s: u32) -> Runner {
    let mut runner = Runner::new(&Scenario::default(), seed, trade_for_s);
    assert!(runner.run(MAX_STEPS), "seed {seed}: not flat; the log ends with\n{}", tail(&runner.log));
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
    let (one, two) = (session(7, 600), session(7, 600));
    assert!(one.log == two.log, "two runs of one seed differ");
    assert_ne!(one.log, session(8, 600).log, "the seed drives nothing");
    assert!(!fills(&one).is_empty());
}

#[test]
fn every_fill_is_recorded_once_and_the_books_balance_to_the_last_digit() {
    for seed in 1..=5 {
        let runner = session(seed, 1_200);
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
    let runner = session(3, 1_200);
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
    for seed in 1..=3 {
        let mut runner = Runner::new(&Scenario::default(), seed, 1_200).with_fault(Box::new(move |step, event| {
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
        let keys: BTreeSet<_> = fills(&runner).iter().map(|fill| (fill.tx_hash.clone(), fill.offer_sequence)).collect();
        assert_eq!(keys.len(), fills(&runner).len(), "seed {seed}: a fill is recorded twice");
        let (explained, changed) = sums(&runner);
        assert_eq!(explained, changed, "seed {seed}");
    }
}

#[test]
fn lost_and_late_messages_of_the_node_lose_no_fill_and_double_none() {
    for seed in 1..=3 {
        let mut rolls = u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15_u64);
        let mut suffered = (0, 0);
        let counts = std::rc::Rc::new(std::cell::RefCell::new((0, 0)));
        let counted = std::rc::Rc::clone(&counts);
        let mut runner = Runner::new(&Scenario::default(), seed, 1_200).with_fault(Box::new(move |_, event| {
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
        let keys: BTreeSet<_> = fills(&runner).iter().map(|fill| (fill.tx_hash.clone(), fill.offer_sequence)).collect();
        assert_eq!(keys.len(), fills(&runner).len(), "seed {seed}: a fill is recorded twice");
        let (explained, changed) = sums(&runner);
        assert_eq!(explained, changed, "seed {seed}");
    }
}

#[test]
fn with_the_record_lost_only_cancels_leave_and_nothing_is_left_on_the_ledger() {
    let mut cancelled = 0;
    for steps in [150, 400, 1_000, 1_001, 1_003, 1_007, 1_013, 4_000] {
        let mut runner = Runner::new(&Scenario::default(), 11, 36_000);
        (0..steps).for_each(|_| runner.step());
        runner.lose_record();
        let recorded = intents(&runner);
        assert!(runner.run(MAX_STEPS), "lost at step {steps}: not flat\n{}", tail(&runner.log));
        assert_eq!(intents(&runner), recorded, "lost at step {steps}: something new was signed for the record");
        cancelled += runner.unrecorded.len();
        // A hole in the account's numbers would have to be waited for until the transactions die.
        assert!(!runner.log.contains("Dead"), "lost at step {steps}: a number was never used");
    }
    assert!(cancelled > 8, "{cancelled}");
}

#[test]
fn orders_that_are_taken_over_send_no_quote_any_more_and_leave_nothing() {
    for steps in [150, 400, 1_000, 1_001, 1_003, 1_007, 1_013, 4_000] {
        let mut runner = Runner::new(&Scenario::default(), 12, 36_000);
        (0..steps).for_each(|_| runner.step());
        runner.take_orders_over();
        let before = runner.records.len();
        assert!(runner.run(MAX_STEPS), "taken over at step {steps}: not flat\n{}", tail(&runner.log));
        let quotes = runner.records[before..].iter().filter(|record| matches!(record, Record::Order(_))).count();
        assert_eq!(quotes, 0, "taken over at step {steps}");
    }
}

fn intents(runner: &Runner) -> usize {
    runner.records.iter().filter(|record| matches!(record, Record::Intent(_))).count()
}

#[test]
fn a_valuer_that_goes_on_from_the_record_writes_what_the_first_would_have_written() {
    let whole = session(5, 600);
    for steps in [600, 2_000, 3_001] {
        let mut runner = Runner::new(&Scenario::default(), 5, 600);
        (0..steps).for_each(|_| runner.step());
        runner.replace_valuer();
        assert!(runner.run(MAX_STEPS));
        assert!(whole.records == runner.records, "another valuer from step {steps} on writes another record");
    }
}
