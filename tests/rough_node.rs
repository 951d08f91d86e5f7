//! A session behind a node with each of the scenario's faults, with every strategy and every source of the price: it trades
//! on, no quote crosses, takes by accident, passes a limit or rests on old data, and nothing is left on the ledger.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod runner;

use std::cell::Cell;
use std::collections::BTreeSet;

use neo_market::ReferenceConfig;
use neo_sim::Scenario;
use neo_sim::faults::{FaultPlan, Times};
use neo_store::record::{FlowCause, Record};
use runner::Runner;
use runner::strategies::{cases, limits, prices, strategies};

const MAX_STEPS: u64 = 3_000_000;
/// Ten minutes, about 150 ledgers.
const TRADE_FOR_S: u32 = 600;

fn rate(per_ledger: f64, ledgers: u32) -> Times {
    Times { per_ledger, ledgers, ..Times::default() }
}

/// Runs sessions of three seeds and every strategy to their end on a network, and gives the fills of all.
fn sessions(change: impl Fn(&mut FaultPlan)) -> usize {
    sessions_on(Runner::on_a_network, change)
}

fn sessions_on(place: impl Fn(Runner) -> Runner, change: impl Fn(&mut FaultPlan)) -> usize {
    let mut scenario = Scenario::default();
    change(&mut scenario.faults);
    sessions_in(&scenario, place, |_| {})
}

fn sessions_in(scenario: &Scenario, place: impl Fn(Runner) -> Runner, look: impl Fn(&Runner)) -> usize {
    cases(3, 1)
        .map(|(name, quote, seed)| {
            let mut runner = place(Runner::limited(scenario, seed, TRADE_FOR_S, (quote, limits())));
            let flat = runner.run(MAX_STEPS);
            let lines: Vec<&str> = runner.log.lines().collect();
            let tail: Vec<String> =
                lines.iter().rev().take(12).rev().map(|line| line.chars().take(240).collect()).collect();
            assert!(flat, "{name}, seed {seed}: not flat; the log ends with\n{}", tail.join("\n"));
            for record in &runner.records {
                if let Record::Flow(flow) = record {
                    assert_eq!(flow.cause, FlowCause::Fee, "seed {seed}: {flow:?}");
                }
            }
            runner.invariants.hold(&format!("{name}, seed {seed}"));
            look(&runner);
            runner.records.iter().filter(|record| matches!(record, Record::Fill(_))).count()
        })
        .sum()
}

#[test]
fn connections_that_drop() {
    assert!(sessions(|plan| plan.disconnect = rate(0.05, 1)) > 0);
    assert!(sessions(|plan| plan.slow_reader = rate(0.05, 1)) > 0);
}

#[test]
fn a_node_under_load() {
    assert!(sessions(|plan| plan.slow_down = rate(0.05, 2)) > 0);
}

#[test]
fn messages_that_suffer() {
    sessions(|plan| plan.messages.lost = 0.01);
    sessions(|plan| plan.messages.delayed = 0.01);
    sessions(|plan| plan.messages.duplicated = 0.05);
    sessions(|plan| plan.messages.reordered = 0.05);
}

/// A stand-alone node says nothing until it is asked to close a ledger: when its word of that is lost, nothing else comes.
#[test]
fn messages_that_suffer_on_a_node_that_waits_to_be_asked() {
    let all = |change: fn(&mut FaultPlan)| sessions_on(|runner| runner, change);
    all(|plan| plan.messages.lost = 0.01);
    all(|plan| plan.messages.delayed = 0.01);
    all(|plan| plan.messages.duplicated = 0.05);
    all(|plan| plan.messages.reordered = 0.05);
}

#[test]
fn a_node_that_falls_behind_or_leaves_a_gap_or_forgets() {
    assert!(sessions(|plan| plan.behind = rate(0.02, 5)) > 0);
    assert!(sessions(|plan| plan.gap = rate(0.05, 1)) > 0);
    assert!(sessions(|plan| (plan.forgets, plan.forgets_keep) = (rate(0.05, 1), 3)) > 0);
}

#[test]
fn transactions_that_never_get_in() {
    assert!(sessions(|plan| plan.never_in = 0.1) > 0);
}

#[test]
fn a_fee_that_rises() {
    sessions(|plan| (plan.fee_spike, plan.fee_spike_factor) = (rate(0.03, 10), 50));
}

/// Nothing is in the record twice, and nothing of ours is on the ledger.
fn is_whole(runner: &Runner) {
    let fills = runner.records.iter().filter_map(|record| match record {
        Record::Fill(fill) => Some((fill.tx_hash.clone(), fill.offer_sequence)),
        _ => None,
    });
    let (mut seen, mut count) = (BTreeSet::new(), 0);
    fills.for_each(|fill| {
        seen.insert(fill);
        count += 1;
    });
    assert_eq!(seen.len(), count, "a fill is recorded twice");
    let maker = runner.node.scenario().maker().unwrap();
    assert_eq!(runner.node.validated_state().offers_of(maker).count(), 0);
}

#[test]
fn a_ledger_that_others_fill() {
    for (each, refusal) in [(10, "terQUEUED"), (2, "telCAN_NOT_QUEUE_FULL")] {
        let mut scenario = Scenario::default();
        let queue = &mut scenario.queue;
        (queue.minimum_txn_in_ledger, queue.target_txn_in_ledger, queue.maximum_txn_in_ledger) = (40, 40, Some(40));
        queue.maximum_txn_per_account = each;
        (scenario.faults.crowd, scenario.faults.crowd_transactions) = (rate(0.1, 4), 60);
        let met = Cell::new(0);
        let fills = sessions_in(&scenario, Runner::on_a_network, |runner| {
            is_whole(runner);
            met.set(met.get() + runner.log.matches(refusal).count());
        });
        assert!(met.get() > 0, "the engine never met {refusal}");
        assert!(fills > 0);
    }
}

#[test]
fn other_ticks_and_reserves() {
    assert!(sessions(|plan| (plan.tick_size, plan.tick_size_to) = (rate(0.02, 20), 4)) > 0);
    assert!(sessions(|plan| plan.reserve = rate(0.02, 20)) > 0);
}

/// Faults of each kind at once, small.
fn rough(pool: bool) -> Scenario {
    let mut scenario = Scenario::default();
    if pool {
        (scenario.amm.xrp, scenario.amm.trading_fee) = ("500000".parse().unwrap(), 200);
    }
    let faults = &mut scenario.faults;
    (faults.disconnect, faults.behind, faults.gap) = (rate(0.01, 1), rate(0.01, 4), rate(0.01, 1));
    (faults.messages.lost, faults.messages.delayed) = (0.003, 0.003);
    (faults.messages.duplicated, faults.messages.reordered) = (0.02, 0.02);
    faults.never_in = 0.03;
    scenario
}

#[test]
fn every_source_of_the_price_with_every_strategy() {
    for (source, price) in prices() {
        let ReferenceConfig { outside_required, .. } = price;
        for (seed, (name, quote)) in (1..).zip(strategies()) {
            let what = format!("{source}, {name}");
            let runner = Runner::limited(&rough(seed % 2 == 0), seed, TRADE_FOR_S, (quote, limits()));
            let mut runner = runner.with_price(price.clone()).on_a_network();
            assert!(runner.run(MAX_STEPS), "{what}: not flat");
            runner.invariants.hold(&what);
            is_whole(&runner);
            assert!(runner.invariants.offers > 10, "{what}: {} offers", runner.invariants.offers);
            let silent = runner.orders.refusal_counts().contains_key("outside_price_too_old");
            assert!(silent || !outside_required, "{what}: {:?}", runner.orders.refusal_counts());
        }
    }
}
