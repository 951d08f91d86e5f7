//! Triggers in a simulated market, over virtual time: what trips withdraws in its own ledger, nothing is quoted while it
//! stands, and the session goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod runner;

use std::collections::BTreeMap;

use neo_actors::messages::OrdersCommand;
use neo_ledger::keys::{Algorithm, Keypair};
use neo_ledger::tx::{Body, Transaction};
use neo_ledger::types::Amount;
use neo_market::risk::RiskConfig;
use neo_market::triggers::TriggerRule;
use neo_market::{ClearedBy, Dec, Drops, Trigger, TriggerEvent, TripAction};
use neo_sim::Scenario;
use neo_store::record::{Purpose, Record};
use runner::Runner;
use runner::strategies::cases;

const MAX_STEPS: u64 = 3_000_000;

fn with(rules: &[(Trigger, &str, TripAction)]) -> RiskConfig {
    let mut risk = RiskConfig::default();
    for (trigger, limit, action) in rules {
        let rule = TriggerRule { limit: limit.parse().unwrap(), action: *action, resume_after_s: 20 };
        *risk.triggers.rule_mut(*trigger) = rule;
    }
    risk
}

/// A market that falls, and an account that is half XRP.
fn falling() -> Scenario {
    let d = |text: &str| text.parse::<Dec>().unwrap();
    let mut scenario = Scenario { maker_xrp: d("2000"), maker_rlusd: d("4800"), ..Scenario::default() };
    scenario.price.drift_bps_per_ledger = -1.0;
    scenario.price.reversion = 0.0;
    scenario
}

/// Ledgers that quotes, not cancels, were signed at.
fn quoted(runner: &Runner) -> Vec<u32> {
    let at = |record: &Record| match record {
        Record::Intent(intent) if intent.purpose != Purpose::Cancel => Some(intent.ledger_index),
        _ => None,
    };
    runner.records.iter().filter_map(at).collect()
}

/// Each trip's first ledger and the ledger that ended it, if one did.
fn stood(runner: &Runner) -> Vec<(Trigger, u32, Option<u32>)> {
    let mut open: BTreeMap<Trigger, u32> = BTreeMap::new();
    let mut stood = Vec::new();
    for note in &runner.risk {
        match &note.event {
            TriggerEvent::Tripped(trip) => assert_eq!(open.insert(trip.trigger, note.ledger_index), None),
            TriggerEvent::Cleared { trigger, .. } => {
                stood.push((*trigger, open.remove(trigger).unwrap(), Some(note.ledger_index)));
            }
        }
    }
    stood.extend(open.into_iter().map(|(trigger, since)| (trigger, since, None)));
    stood
}

fn nothing_is_quoted_while_one_stands(runner: &Runner) {
    let stood = stood(runner);
    for ledger in quoted(runner) {
        let stands = |(_, from, to): &&(Trigger, u32, Option<u32>)| *from <= ledger && to.is_none_or(|to| ledger < to);
        assert_eq!(stood.iter().find(stands), None, "a quote at ledger {ledger}");
    }
}

#[test]
fn a_falling_market_trips_the_drawdown_and_the_operator_brings_the_quotes_back() {
    let risk = with(&[(Trigger::Drawdown, "0.5", TripAction::Latch)]);
    let mut runner = Runner::new(&falling(), 3, 1_800).with_risk(risk);
    while runner.risk.is_empty() {
        runner.step();
        assert!(!runner.flat, "it never tripped");
    }
    let TriggerEvent::Tripped(trip) = runner.risk[0].event.clone() else { panic!("{:?}", runner.risk) };
    assert_eq!((trip.trigger, trip.action), (Trigger::Drawdown, TripAction::Latch));
    assert!(quoted(&runner).len() > 10, "it had traded: {:?}", quoted(&runner));
    let before = runner.updates;
    while runner.updates < before + 20 {
        runner.step();
    }
    assert!(runner.orders.is_flat(), "{:?}", runner.orders.open_items());
    nothing_is_quoted_while_one_stands(&runner);
    let at_resume = quoted(&runner).len();
    runner.command(OrdersCommand::Resume);
    while runner.risk.len() == 1 {
        runner.step();
    }
    let by_operator = TriggerEvent::Cleared { trigger: Trigger::Drawdown, by: ClearedBy::Operator };
    assert_eq!(runner.risk[1].event, by_operator);
    assert!(runner.run(MAX_STEPS), "not flat");
    assert!(quoted(&runner).len() > at_resume, "it quotes again");
    nothing_is_quoted_while_one_stands(&runner);
}

#[test]
fn the_same_seed_trips_in_the_same_ledger_and_a_stop_asks_for_nothing_more() {
    let log = |action| {
        let risk = with(&[(Trigger::Drawdown, "0.5", action)]);
        let mut runner = Runner::new(&falling(), 5, 900).with_risk(risk);
        assert!(runner.run(MAX_STEPS), "not flat");
        nothing_is_quoted_while_one_stands(&runner);
        runner
    };
    assert!(log(TripAction::Latch).log == log(TripAction::Latch).log, "two runs of one seed differ");
    let stopped = log(TripAction::Stop);
    assert!(!stopped.elapsed, "a stop withdraws, and the supervisor ends the session");
    let last = *quoted(&stopped).last().unwrap();
    assert!(last < stopped.risk[0].ledger_index);
}

#[test]
fn transactions_that_never_get_in_are_rejects_and_the_pause_ends_by_itself() {
    let mut scenario = Scenario::default();
    scenario.faults.never_in = 0.5;
    let risk = with(&[(Trigger::Rejects, "6", TripAction::Pause)]);
    let mut runner = Runner::new(&scenario, 2, 3_600).on_a_network().with_risk(risk).quiet();
    assert!(runner.run(MAX_STEPS), "not flat");
    let stood = stood(&runner);
    assert!(stood.iter().all(|(trigger, ..)| *trigger == Trigger::Rejects) && !stood.is_empty(), "{stood:?}");
    let first_end = stood[0].2.expect("the pause ends by itself");
    assert!(quoted(&runner).iter().any(|ledger| *ledger >= first_end), "it quotes again");
    nothing_is_quoted_while_one_stands(&runner);
}

#[test]
fn a_withdrawal_that_nobody_announced_leaves_the_reserve_short() {
    let risk = with(&[
        (Trigger::ReserveShort, "500", TripAction::Pause),
        // What leaves is no loss.
        (Trigger::Drawdown, "20", TripAction::Latch),
    ]);
    let mut runner = Runner::new(&Scenario::default(), 4, 600).with_risk(risk);
    // Nothing of ours waits for the sequence number that the payment takes.
    while runner.orders.quotes().is_empty() || runner.orders.in_flight() > 0 {
        runner.step();
    }
    let maker = Keypair::from_seed(&neo_sim::maker_seed()).unwrap();
    let (balance, sequence) = {
        let account = runner.node.validated_state().account(maker.address()).unwrap();
        (account.balance, account.sequence)
    };
    let elsewhere = Keypair::from_entropy([5; 16], Algorithm::Ed25519).unwrap();
    // Takers of the same ledger may come first: what stays is more than they can buy of us.
    let amount = Amount::Xrp(Drops::new(balance - 400_000_000));
    let transaction = Transaction {
        account: maker.address(),
        sequence,
        ticket_sequence: None,
        fee: Drops::new(10),
        flags: 0,
        last_ledger_sequence: Some(runner.node.ledger_index() + 10),
        network_id: runner.node.scenario().network_id,
        body: Body::Payment { destination: elsewhere.address(), amount, send_max: None },
    };
    let said = runner.submit_elsewhere(&maker.sign(&transaction).unwrap().blob);
    assert!(said.contains("tesSUCCESS"), "{said}");
    assert!(runner.run(MAX_STEPS), "not flat");
    let left = runner.records.iter().any(|record| matches!(record, Record::Flow(flow) if flow.xrp.get() < -1_000_000));
    assert!(left, "the payment did not get in");
    let trips: Vec<Trigger> = stood(&runner).into_iter().map(|(trigger, ..)| trigger).collect();
    assert_eq!(trips, [Trigger::ReserveShort]);
    nothing_is_quoted_while_one_stands(&runner);
    assert!(runner.orders.trips()[0].reason.contains("spendable above the reserve"), "{:?}", runner.orders.trips());
}

#[test]
fn behind_a_rough_node_with_every_trigger_on_nothing_is_quoted_while_one_stands() {
    let text = include_str!("../config/scenarios/rough-node.toml");
    let scenario: Scenario = toml::from_str(text).unwrap();
    let pause = TripAction::Pause;
    let risk = with(&[
        (Trigger::Gap, "1", pause),
        (Trigger::Drawdown, "0.2", pause),
        (Trigger::HoldingLoss, "0.05", pause),
        (Trigger::DayLoss, "0.3", pause),
        (Trigger::Rejects, "2", pause),
        (Trigger::Fees, "2000", pause),
        (Trigger::UnknownIntents, "3", pause),
        (Trigger::PriceMove, "30", pause),
    ]);
    let mut tripped: BTreeMap<Trigger, usize> = BTreeMap::new();
    for (_, quote, seed) in cases(4, 1) {
        let runner = Runner::new(&scenario, seed, 1_800).on_a_network().with_risk(risk.clone());
        let mut runner = runner.with_quote(quote).quiet();
        assert!(runner.run(MAX_STEPS), "seed {seed}: not flat");
        nothing_is_quoted_while_one_stands(&runner);
        assert!(!quoted(&runner).is_empty(), "seed {seed}");
        for (trigger, ..) in stood(&runner) {
            *tripped.entry(trigger).or_default() += 1;
        }
    }
    assert!(tripped.len() >= 4, "of these few tripped: {tripped:?}");
}
