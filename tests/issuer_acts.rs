//! A session whose issuer freezes and claws back while it quotes, and one whose node is amendment-blocked: nothing is lost
//! or doubled, the books balance, nothing stays on the ledger, and the engine says why it does not quote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod runner;

use std::collections::BTreeSet;

use neo_market::{Dec, Drops, Side};
use neo_sim::Scenario;
use neo_sim::faults::{FaultPlan, Times};
use neo_store::record::{Fill, Flow, FlowCause, Purpose, Record, ValuationSnapshot};
use runner::Runner;
use runner::strategies::cases;

const MAX_STEPS: u64 = 3_000_000;
/// Ten minutes, about 150 ledgers.
const TRADE_FOR_S: u32 = 600;
/// The ledger in which the fault begins, in the middle of the trading time, and how long it lasts.
const BEGINS: u32 = 60;
const LASTS: u32 = 40;

fn during() -> Times {
    Times::at(&[BEGINS], LASTS)
}

/// A session that has ended, and each reason for not quoting that it gave, with the ledgers in which it did.
struct Ended {
    runner: Runner,
    seed: u64,
    said: Vec<(u32, String)>,
}

/// Sessions of a few seeds with every strategy, judged by what must be true of each.
fn sessions(change: impl Fn(&mut FaultPlan)) -> Vec<Ended> {
    let mut scenario = Scenario::default();
    change(&mut scenario.faults);
    cases(3, 1)
        .map(|(_, quote, seed)| {
            let mut runner = Runner::new(&scenario, seed, TRADE_FOR_S).with_quote(quote).on_a_network().quiet();
            let mut said = Vec::new();
            for _ in 0..MAX_STEPS {
                if runner.flat {
                    break;
                }
                let updates = runner.updates;
                runner.step();
                if let (true, Some(reason)) = (runner.updates > updates, runner.orders.withheld()) {
                    said.push((runner.orders.ledger_index().unwrap(), reason.to_string()));
                }
            }
            let ended = Ended { runner, seed, said };
            ended.judge(&scenario);
            ended
        })
        .collect()
}

impl Ended {
    fn judge(&self, scenario: &Scenario) {
        let (seed, runner) = (self.seed, &self.runner);
        assert!(runner.flat, "seed {seed}: not flat, {:?}", self.said.last());
        runner.invariants.hold(&format!("seed {seed}"));
        assert_eq!(runner.stranger, None, "seed {seed}");
        let maker = scenario.maker().unwrap();
        let state = runner.node.validated_state();
        assert_eq!(state.offers_of(maker).count(), 0, "seed {seed}: offers are left");
        let keys: BTreeSet<_> = self.fills().map(|fill| (&fill.tx_hash, fill.offer_sequence)).collect();
        assert_eq!(keys.len(), self.fills().count(), "seed {seed}: a fill is recorded twice");
        let snapshots: Vec<&ValuationSnapshot> = runner.records.iter().filter_map(snapshot).collect();
        let (first, last) = (snapshots.first().unwrap(), snapshots.last().unwrap());
        let (mut xrp, mut rlusd) = (first.xrp, first.rlusd);
        for record in &runner.records {
            let (drops, tokens) = moved(record);
            (xrp, rlusd) = (xrp.add(drops).unwrap(), rlusd.add(tokens).unwrap());
        }
        assert_eq!((xrp, rlusd), (last.xrp, last.rlusd), "seed {seed}: fills and flows against the last snapshot");
        let on_ledger = (state.account(maker).unwrap().balance, state.token_balance(maker, scenario.token()).text());
        assert_eq!((xrp.get(), rlusd), (on_ledger.0, on_ledger.1.parse().unwrap()), "seed {seed}: against the ledger");
    }

    fn fills(&self) -> impl Iterator<Item = &Fill> {
        self.runner.records.iter().filter_map(|record| match record {
            Record::Fill(fill) => Some(fill),
            _ => None,
        })
    }

    /// Flows but for fees.
    fn flows(&self) -> Vec<&Flow> {
        let flow = |record: &'_ Record| matches!(record, Record::Flow(flow) if flow.cause != FlowCause::Fee);
        let flows = self.runner.records.iter().filter(|record| flow(record));
        flows.filter_map(|record| if let Record::Flow(flow) = record { Some(flow) } else { None }).collect()
    }

    /// Offers of one side, or of both, that were signed in these ledgers.
    fn placed(&self, side: Option<Side>, ledgers: std::ops::Range<u32>) -> usize {
        let of = |record: &&Record| {
            matches!(record, Record::Order(order)
                if side.is_none_or(|side| side == order.side) && ledgers.contains(&order.ledger_index))
        };
        self.runner.records.iter().filter(of).count()
    }

    /// How often a reason with these words was given from the fault's beginning on.
    fn said(&self, words: &str) -> usize {
        let during = BEGINS..BEGINS + LASTS + 70;
        self.said.iter().filter(|(ledger, reason)| during.contains(ledger) && reason.contains(words)).count()
    }
}

fn snapshot(record: &Record) -> Option<&ValuationSnapshot> {
    match record {
        Record::Valuation(snapshot) => Some(snapshot),
        _ => None,
    }
}

/// What a record says came and went.
fn moved(record: &Record) -> (Drops, Dec) {
    match record {
        Record::Fill(fill) if fill.side == Side::Bid => (fill.xrp, fill.rlusd.neg()),
        Record::Fill(fill) => (Drops::ZERO.sub(fill.xrp).unwrap(), fill.rlusd),
        Record::Flow(flow) => (flow.xrp, flow.rlusd),
        _ => (Drops::ZERO, Dec::zero()),
    }
}

/// The rows of `faults` that tell of a stop's beginning and of its end.
fn told(ended: &Ended) -> (usize, usize) {
    let causes: Vec<&str> = ended
        .runner
        .records
        .iter()
        .filter_map(|record| if let Record::Fault(fault) = record { Some(fault.cause.as_str()) } else { None })
        .collect();
    let with = |words: &str| causes.iter().filter(|cause| cause.starts_with(words)).count();
    (with("at ledger "), with("no longer at ledger "))
}

#[test]
fn a_frozen_line_stops_the_bids_alone() {
    for ended in sessions(|plan| plan.line_freeze = during()) {
        assert!(ended.flows().is_empty(), "{:?}", ended.flows());
        let (bids, asks) = (Side::Bid, Side::Ask);
        // What is signed in the first two ledgers was signed before the freeze was seen. After that the terms of the line
        // tell of it, and nothing is tried in vain.
        let tried = ended.placed(Some(bids), BEGINS + 2..BEGINS + LASTS);
        assert_eq!(tried, 0, "seed {}: bids of a frozen line", ended.seed);
        assert!(ended.placed(Some(asks), BEGINS + 2..BEGINS + LASTS) > 0, "seed {}: XRP is not frozen", ended.seed);
        assert!(ended.said("frozen our trust line: no bids") > 0, "seed {}: {:?}", ended.seed, ended.said);
        assert_eq!(told(&ended), (1, 1), "seed {}", ended.seed);
        assert!(ended.placed(Some(bids), BEGINS + LASTS..BEGINS + LASTS + 70) > 0, "seed {}: not after", ended.seed);
    }
}

#[test]
fn nothing_is_quoted_while_everything_is_frozen() {
    type Case = (fn(&mut FaultPlan), &'static str);
    let cases: [Case; 2] = [
        (|plan| plan.deep_freeze = during(), "frozen deeply"),
        (|plan| plan.global_freeze = during(), "global freeze"),
    ];
    for (change, words) in cases {
        for ended in sessions(change) {
            assert!(ended.flows().is_empty(), "{:?}", ended.flows());
            // The issuer's root is read with each ledger, and is at most one ledger behind it.
            assert_eq!(ended.placed(None, BEGINS + 3..BEGINS + LASTS), 0, "seed {}", ended.seed);
            assert!(ended.said(words) > 0, "seed {}: {:?}", ended.seed, ended.said);
            assert_eq!(told(&ended), (1, 1), "seed {}", ended.seed);
            assert!(ended.placed(None, BEGINS + LASTS..BEGINS + LASTS + 70) > 0, "seed {}: not after", ended.seed);
            assert_eq!(
                ended.fills().filter(|fill| (BEGINS + 1..BEGINS + LASTS).contains(&fill.ledger_index)).count(),
                0
            );
        }
    }
}

#[test]
fn a_clawback_is_a_flow_and_the_session_goes_on_with_what_is_left() {
    let taken: Dec = "5000".parse().unwrap();
    for ended in sessions(|plan| (plan.clawback, plan.clawback_rlusd) = (Times::at(&[BEGINS], 1), taken)) {
        let [flow] = ended.flows()[..] else { panic!("seed {}: {:?}", ended.seed, ended.flows()) };
        assert_eq!((flow.cause, flow.detail.as_deref()), (FlowCause::Withdrawal, Some("Clawback")));
        assert_eq!((flow.xrp, flow.rlusd, flow.ledger_index), (Drops::ZERO, taken.neg(), BEGINS));
        assert!(ended.placed(None, BEGINS + 1..BEGINS + 90) > 0, "seed {}: it stopped quoting", ended.seed);
    }
}

#[test]
fn a_clawback_of_everything_leaves_asks() {
    let taken: Dec = "1000000000".parse().unwrap();
    for ended in sessions(|plan| (plan.clawback, plan.clawback_rlusd) = (Times::at(&[BEGINS], 1), taken)) {
        let [flow] = ended.flows()[..] else { panic!("seed {}: {:?}", ended.seed, ended.flows()) };
        assert!(flow.rlusd.is_negative() && flow.detail.as_deref() == Some("Clawback"), "{flow:?}");
    }
}

#[test]
fn behind_an_amendment_blocked_node_nothing_is_sent_and_the_session_goes_on_after_it() {
    for ended in sessions(|plan| plan.amendment_blocked = during()) {
        assert!(ended.flows().is_empty(), "{:?}", ended.flows());
        assert!(ended.fills().count() > 0, "seed {}", ended.seed);
        let intents = ended.runner.records.iter().filter(|record| {
            matches!(record, Record::Intent(intent)
                if intent.purpose != Purpose::Cancel && (BEGINS + 1..BEGINS + LASTS).contains(&intent.ledger_index))
        });
        assert_eq!(intents.count(), 0, "seed {}: signed without a ledger", ended.seed);
        assert!(ended.placed(None, BEGINS + LASTS..BEGINS + LASTS + 70) > 0, "seed {}: not after", ended.seed);
    }
}
