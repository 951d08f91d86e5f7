//! Every strategy in every market and under every fault, over virtual time: no offer is signed that would cross or that
//! stands within the margin, none takes unless the price jumps while it is on its way, none rests on old data, no limit is
//! passed at any ledger, and nothing is left behind.
//!
//! `NEO_STRATEGY_SEEDS=1..20 cargo test --test strategies -- --nocapture` runs more seeds and tells what each met.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]

mod runner;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use neo_market::{Dec, QuoteConfig, Strategy};
use neo_sim::Scenario;
use neo_sim::faults::{FaultPlan, Times};
use neo_sim::scenario::PriceKind;
use neo_store::record::{FlowCause, Record};
use runner::strategies::limits;
use runner::{Event, Fate, Runner};

const MAX_STEPS: u64 = 3_000_000;
/// Ten minutes, about 150 ledgers.
const TRADE_FOR_S: u32 = 600;

fn d(text: &str) -> Dec {
    text.parse().unwrap()
}

fn seeds() -> RangeInclusive<u64> {
    let text = std::env::var("NEO_STRATEGY_SEEDS").unwrap_or_else(|_| "1..1".to_string());
    let (first, last) = text.split_once("..").unwrap_or((&text, &text));
    first.parse().unwrap()..=last.parse().unwrap()
}

/// Everything that a maker can do, each way to find the first level once.
fn strategies() -> [(&'static str, QuoteConfig); 4] {
    let fixed = QuoteConfig { inventory_target_pct: Some(d("50")), ..QuoteConfig::default() };
    let widened = QuoteConfig {
        volatility_widen: d("1"),
        size_pct: Some(d("2")),
        bid_delay_after_fill_ledgers: 2,
        ask_delay_after_fill_ledgers: 1,
        ..fixed.clone()
    };
    let model = |strategy| QuoteConfig { strategy, ..fixed.clone() };
    [
        ("fixed", fixed.clone()),
        ("fixed, widened, by shares, with delays", widened),
        ("avellaneda_stoikov", model(Strategy::AvellanedaStoikov)),
        ("glft", model(Strategy::Glft)),
    ]
}

/// One session to its end, and everything that must be true of it. Gives its fills.
fn session(name: &str, seed: u64, quote: QuoteConfig, world: &Scenario, place: impl Fn(Runner) -> Runner) -> usize {
    assert_eq!(quote.problems(), [], "{name}");
    let mut runner = place(Runner::limited(world, seed, TRADE_FOR_S, (quote, limits())));
    assert!(runner.run(MAX_STEPS), "{name}, seed {seed}: not flat\n{}", tail(&runner.log));
    runner.invariants.hold(&format!("{name}, seed {seed}"));
    let took = runner.invariants.took.len();
    let (mut keys, mut fills) = (BTreeSet::new(), 0);
    for record in &runner.records {
        match record {
            // A node that forgets may take a fill with it, which only the balances tell of.
            Record::Flow(flow) if flow.cause == FlowCause::Unexplained && world.faults.forgets.per_ledger > 0.0 => {}
            Record::Flow(flow) => assert_eq!(flow.cause, FlowCause::Fee, "{name}, seed {seed}: {flow:?}"),
            Record::Fill(fill) => {
                keys.insert((fill.tx_hash.clone(), fill.offer_sequence));
                fills += 1;
            }
            _ => {}
        }
    }
    assert_eq!(keys.len(), fills, "{name}, seed {seed}: a fill is recorded twice");
    let maker = runner.node.scenario().maker().unwrap();
    assert_eq!(runner.node.validated_state().offers_of(maker).count(), 0, "{name}, seed {seed}");
    let (offers, ledgers) = (runner.invariants.offers, runner.invariants.ledgers);
    println!(
        "{name}, seed {seed}: {fills} fills ({took} took when the price jumped), {offers} offers signed, {ledgers} ledgers"
    );
    assert!(ledgers > 100 && offers > 0, "{name}, seed {seed}: {ledgers} ledgers, {offers} offers");
    fills
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let last = lines.iter().rev().take(12).rev();
    last.map(|line| line.chars().take(240).collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// Every strategy with every seed; each of them trades.
fn all(world: &Scenario, place: impl Fn(Runner) -> Runner) {
    for (name, quote) in strategies() {
        let fills: usize = seeds().map(|seed| session(name, seed, quote.clone(), world, &place)).sum();
        assert!(fills > 0, "{name}: nothing was filled");
    }
}

#[test]
fn a_calm_market_and_one_that_trends() {
    let mut calm = Scenario::default();
    calm.price.jump_probability = 0.0;
    all(&calm, |runner| runner);
    for drift in [-1.0, 1.0] {
        let mut trending = calm.clone();
        (trending.price.drift_bps_per_ledger, trending.price.reversion) = (drift, 0.0);
        all(&trending, |runner| runner);
    }
}

#[test]
fn jumps_and_takers_who_know() {
    let mut jumps = Scenario::default();
    jumps.price.kind = Some(PriceKind::Jumps);
    (jumps.price.jump_probability, jumps.price.jump_bps) = (0.02, 100.0);
    all(&jumps, Runner::on_a_network);
    let mut informed = Scenario::default();
    (informed.takers.informed_share, informed.takers.informed_ahead_ledgers) = (0.5, 3);
    all(&informed, |runner| runner);
}

#[test]
fn a_thin_book_and_a_pool() {
    let mut thin = Scenario::default();
    (thin.makers.levels, thin.makers.size_xrp) = (1, 100.0);
    all(&thin, |runner| runner);
    let mut pool = Scenario::default();
    (pool.amm.xrp, pool.amm.trading_fee) = (d("500000"), 50);
    all(&pool, |runner| runner);
    // A margin has room in the band of a dear pool only.
    pool.amm.trading_fee = 300;
    for (name, quote) in strategies() {
        let quote = QuoteConfig { amm_min_edge_bps: Some(d("1")), ..quote };
        for seed in seeds() {
            session(name, seed, quote.clone(), &pool, |runner| runner);
        }
    }
}

/// The margin is what does it: the same sessions without it take.
#[test]
fn without_the_margin_offers_take_from_a_pool_that_others_move() {
    let mut pool = Scenario::default();
    (pool.amm.xrp, pool.amm.trading_fee) = (d("500000"), 50);
    let [(_, guarded), ..] = strategies();
    let bare = QuoteConfig { taking_guard_bps: d("0"), taking_guard_deviations: d("0"), ..guarded.clone() };
    let sessions = |quote: &QuoteConfig| {
        let mut sum = (0, 0);
        for seed in [3, 5] {
            let mut runner = Runner::limited(&pool, seed, TRADE_FOR_S, (quote.clone(), limits()));
            assert!(runner.run(MAX_STEPS));
            sum = (sum.0 + runner.invariants.took_by_accident().len(), sum.1 + runner.invariants.offers);
        }
        println!("{} deviations: {} took, {} offers signed", quote.taking_guard_deviations, sum.0, sum.1);
        sum
    };
    let ((with, offers), (without, _)) = (sessions(&guarded), sessions(&bare));
    assert_eq!(with, 0);
    assert!(without > 0, "nothing was tried");
    assert!(offers > 100, "{offers} offers: it hardly quotes");
}

fn rate(per_ledger: f64, ledgers: u32) -> Times {
    Times { per_ledger, ledgers, ..Times::default() }
}

fn under(change: impl Fn(&mut FaultPlan)) {
    let mut world = Scenario::default();
    change(&mut world.faults);
    all(&world, Runner::on_a_network);
}

#[test]
fn a_node_that_drops_falls_behind_and_forgets() {
    under(|plan| {
        plan.disconnect = rate(0.03, 1);
        plan.slow_reader = rate(0.01, 1);
        plan.behind = rate(0.01, 5);
        (plan.forgets, plan.forgets_keep) = (rate(0.02, 1), 3);
        plan.gap = rate(0.02, 1);
    });
}

#[test]
fn messages_that_suffer_and_transactions_that_never_get_in() {
    under(|plan| {
        (plan.messages.lost, plan.messages.delayed) = (0.005, 0.005);
        (plan.messages.duplicated, plan.messages.reordered) = (0.03, 0.03);
        plan.never_in = 0.05;
        (plan.fee_spike, plan.fee_spike_factor) = (rate(0.01, 5), 50);
    });
}

#[test]
fn messages_between_the_cores_that_are_lost_late_and_doubled() {
    all(&Scenario::default(), |runner| {
        let mut rolls = 0x9E37_79B9_7F4A_7C15_u64;
        runner.with_fault(Box::new(move |_, event| {
            let Event::FromNode(text) = event else { return Fate::Arrives };
            rolls ^= rolls << 13;
            rolls ^= rolls >> 7;
            rolls ^= rolls << 17;
            match (text.contains("\"type\":\"transaction\""), rolls % 20) {
                (true, 0) => Fate::Lost,
                (true, 1) => Fate::Late,
                (true, 2) => Fate::Doubled,
                _ => Fate::Arrives,
            }
        }))
    });
}

#[test]
fn each_strategy_is_the_same_for_the_same_seed_and_none_is_another() {
    let log = |quote: QuoteConfig| {
        let mut runner = Runner::limited(&Scenario::default(), 5, 300, (quote, limits()));
        assert!(runner.run(MAX_STEPS));
        runner.log
    };
    let logs: Vec<String> = strategies().into_iter().map(|(_, quote)| log(quote)).collect();
    assert!(strategies().into_iter().zip(&logs).all(|((_, quote), first)| log(quote) == *first));
    assert_eq!(logs.iter().collect::<BTreeSet<_>>().len(), logs.len(), "two strategies quote the same");
}
