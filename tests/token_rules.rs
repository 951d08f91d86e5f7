//! Whole sessions under an issuer's tick size and transfer fee: the record's offers are the ledger's, and the fee is in
//! what a bid costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail loudly")]

mod runner;

use std::collections::{BTreeMap, BTreeSet};

use neo_ledger::Asset;
use neo_market::{Dec, Drops, Rounding, Side};
use neo_sim::Scenario;
use neo_sim::amount::Value;
use neo_store::record::{Fill, Order, Record, ValuationSnapshot};
use runner::Runner;
use runner::strategies::{cases, strategies};

const MAX_STEPS: u64 = 3_000_000;
const TRADE_FOR_S: u32 = 600;

fn orders(records: &[Record]) -> BTreeMap<u32, &Order> {
    let orders = records.iter().filter_map(|record| if let Record::Order(order) = record { Some(order) } else { None });
    orders.map(|order| (order.offer_sequence, order)).collect()
}

fn fills(records: &[Record]) -> Vec<&Fill> {
    records.iter().filter_map(|record| if let Record::Fill(fill) = record { Some(fill) } else { None }).collect()
}

fn snapshot(record: &Record) -> Option<&ValuationSnapshot> {
    if let Record::Valuation(snapshot) = record { Some(snapshot) } else { None }
}

/// Runs a session; whenever a ledger was told of, each untouched offer on it is held against its order. Gives how many
/// offers were compared.
fn run(runner: &mut Runner, scenario: &Scenario) -> usize {
    let maker = scenario.maker().unwrap();
    let mut compared = BTreeSet::new();
    for _ in 0..MAX_STEPS {
        if runner.flat {
            return compared.len();
        }
        let updates = runner.updates;
        runner.step();
        if runner.updates == updates {
            continue;
        }
        let (orders, fills) = (orders(&runner.records), fills(&runner.records));
        let filled: BTreeSet<u32> = fills.iter().map(|fill| fill.offer_sequence).collect();
        for (key, offer) in runner.node.validated_state().offers_of(maker) {
            let sequence = key.sequence;
            let Some(order) = orders.get(&sequence).filter(|_| !filled.contains(&sequence)) else { continue };
            let bid = offer.book.pays == Asset::Xrp;
            let (xrp, token) =
                if bid { (offer.taker_pays, offer.taker_gets) } else { (offer.taker_gets, offer.taker_pays) };
            assert_eq!(bid, order.side == Side::Bid);
            assert_eq!((xrp, token.text().parse::<Dec>().unwrap()), (Value::Drops(order.size.get()), order.rlusd));
            compared.insert(sequence);
        }
    }
    panic!("not flat");
}

#[test]
fn with_a_tick_size_what_is_recorded_is_what_rests() {
    let quotes = strategies().into_iter().cycle().map(|(_, quote)| quote);
    for ((seed, tick_size), quote) in [(1, 3), (2, 5), (3, 5), (4, 7), (5, 15)].into_iter().zip(quotes) {
        let scenario = Scenario { tick_size, ..Scenario::default() };
        let mut runner = Runner::new(&scenario, seed, TRADE_FOR_S).with_quote(quote).on_a_network().quiet();
        let compared = run(&mut runner, &scenario);
        assert!(compared > 20, "seed {seed}, {tick_size} digits: {compared} offers");
    }
}

#[test]
fn under_a_transfer_fee_the_books_balance_and_a_bid_costs_no_more_than_its_offset_allows() {
    let rate: Dec = "1.002".parse().unwrap();
    for (_, quote, seed) in cases(3, 1) {
        let scenario = Scenario { tick_size: 6, transfer_rate: 1_002_000_000, ..Scenario::default() };
        let mut runner = Runner::new(&scenario, seed, TRADE_FOR_S).with_quote(quote).on_a_network().quiet();
        run(&mut runner, &scenario);
        let (orders, fills) = (orders(&runner.records), fills(&runner.records));
        for fill in fills.iter().filter(|fill| fill.side == Side::Bid && fill.xrp > Drops::ZERO) {
            let order = orders[&fill.offer_sequence];
            let cost = fill.rlusd.div(fill.xrp.to_xrp().unwrap(), Rounding::Down).unwrap();
            // A drop is all that a fill may be off by.
            let allowed = order.price.mul(rate, Rounding::Up).unwrap().mul("1.000001".parse().unwrap(), Rounding::Up);
            assert!(cost <= allowed.unwrap(), "seed {seed}: {fill:?} of {order:?}");
            let middle = order.mid_price.unwrap();
            assert!(cost < middle, "seed {seed}: {cost} for the middle {middle}");
        }
        assert!(fills.iter().any(|fill| fill.side == Side::Ask), "seed {seed}");
        let mut snapshots = runner.records.iter().filter_map(snapshot);
        let first = snapshots.next().unwrap();
        let last = snapshots.next_back().unwrap();
        let (mut xrp, mut rlusd) = (first.xrp, first.rlusd);
        for record in &runner.records {
            let (drops, tokens) = match record {
                Record::Fill(fill) if fill.side == Side::Bid => (fill.xrp, fill.rlusd.neg()),
                Record::Fill(fill) => (Drops::ZERO.sub(fill.xrp).unwrap(), fill.rlusd),
                Record::Flow(flow) => (flow.xrp, flow.rlusd),
                _ => continue,
            };
            (xrp, rlusd) = (xrp.add(drops).unwrap(), rlusd.add(tokens).unwrap());
        }
        assert_eq!((xrp, rlusd), (last.xrp, last.rlusd), "seed {seed}");
    }
}
